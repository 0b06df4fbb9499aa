// The port that runs everywhere: recvmmsg and sendmmsg, with the kernel's batching in both directions.
//
// The idea: a system call and the kernel's way through the stack cost what they cost per operation, whether
// the operation carries one datagram or sixty. So receive asks for slabs (UDP_GRO: one buffer of up
// to 64 KiB holds a run of equal datagrams from one source) and transmit hands over runs (UDP_SEGMENT). One
// recvmmsg and one sendmmsg per endpoint and burst remain.
//
// Endpoints: one or two (the mesh address per family) are asked directly. More (one per ingest tap) stand in
// a level-triggered epoll set, whose ready list the kernel rotates; each ready endpoint gets an equal share
// of the burst, so a flood on one tap delays the others by at most one burst and starves none.
//
// Sending is synchronous: when sendmmsg returns the kernel has copied the bytes, so transmit_burst() releases
// every accepted buffer before it returns. A full socket buffer refuses the rest of the burst (tx_refused); a
// datagram that the kernel refuses for a reason of its own (too big, no route, blocked by a filter) is
// dropped and counted, and the burst goes on behind it.
//
// Owner: one data core's thread; wake() from any thread. Memory: PortOptions::receive_buffers buffers and
// the arrays of io/mmsg_slots.h. Cost: nearly all of it is the kernel's; bench/io/port_floor.cc measures the
// port beside a forwarder that makes the bare system calls and nothing else.
#pragma once

#include <memory>
#include <vector>

#include "core/packet_pool.h"
#include "io/gso.h"
#include "io/port_options.h"
#include "io/udp_socket.h"
#include "io/wake_event.h"

namespace trunkline::io {

struct MmsgReceiveSlots;  // io/mmsg_slots.h
struct MmsgSendSlots;

class MmsgPort final : public Port {
 public:
  explicit MmsgPort(const PortOptions& options);
  ~MmsgPort() override;

  core::Result<uint16_t> open_endpoint(const EndpointOptions& options) override;
  core::UdpAddress endpoint_address(uint16_t endpoint) const override;
  uint32_t receive_burst(std::span<core::Packet> out, Nanos now) noexcept override;
  void give_back(std::span<core::Packet> packets) noexcept override;
  uint32_t transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept override;
  void poll(Nanos now) noexcept override;
  void wait(SleepUntil until, Nanos bound) noexcept override;
  void wake() noexcept override { wake_event_.signal(); }
  const PortCounters& counters() const noexcept override { return counters_; }
  const char* name() const noexcept override { return "mmsg"; }
  std::string describe() const override;

  // Buffers in the caller's hands. 0 after the loop gave everything back, or something leaks.
  uint32_t buffers_lent() const noexcept { return lent_; }

 private:
  // Up to this many endpoints are asked in turn without epoll: an idle one costs one empty receive, a
  // system call, as epoll_wait would for all of them.
  static constexpr size_t kDirectEndpoints = 2;

  uint32_t fill_slots(uint32_t wanted) noexcept;
  uint32_t receive_direct(uint32_t slots, std::span<core::Packet> out, Nanos now) noexcept;
  uint32_t receive_ready(uint32_t slots, std::span<core::Packet> out, Nanos now) noexcept;
  uint32_t receive_from(uint16_t endpoint, uint32_t first, uint32_t count) noexcept;
  uint32_t take_slots(uint16_t endpoint, uint32_t first, uint32_t count, core::Packet* out,
                      Nanos now) noexcept;

  uint32_t send_group(std::span<core::Packet> group) noexcept;
  uint32_t prepare(std::span<core::Packet> group, uint32_t from, uint32_t split_until) noexcept;
  uint32_t finish(std::span<core::Packet> group, uint32_t message, bool sent) noexcept;
  void count_refused(std::span<const core::Packet> packets) noexcept;

  core::PacketPool pool_;
  std::unique_ptr<MmsgReceiveSlots> receive_;
  std::unique_ptr<MmsgSendSlots> send_;
  std::vector<UdpSocket> endpoints_;
  FileDescriptor epoll_;  // all endpoints; in use when there are more than kDirectEndpoints
  WakeEvent wake_event_;
  PortCounters counters_;
  uint32_t burst_limit_;         // slots per burst: see next_burst()
  uint32_t lent_ = 0;            // buffers received and not yet given back
  uint16_t first_endpoint_ = 0;  // rotates, so that of two busy endpoints neither always fills the burst
  uint8_t core_;
  bool receive_fits_slabs_;
  bool gso_wanted_;
  bool gso_ = false;  // what the kernel grants, known with the first endpoint
  bool timers_sharp_ = false;
};

}  // namespace trunkline::io
