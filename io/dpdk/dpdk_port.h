// DpdkPort: one queue pair of a device as a port. Frames come and go; between them and the datagrams of the
// port contract stands an IpHost of this queue's own.
//
// Receive: each mbuf is one datagram in place. What is not for an endpoint (ARP, NDP, ICMP, strangers) ends
// here, answered or counted. give_back() frees the mbufs of the burst.
//
// Transmit: a packet in a frame (an mbuf of this queue's pool) gets its headers written in front of its bytes
// and goes as it lies; a run in somebody's pool is copied into mbufs, datagram by datagram. Frames gather in
// a stage and go to the device a burst at a time; what the device does not take stays there and is offered
// again, and a full stage refuses.
//
// A datagram whose neighbour is not known yet counts as taken: the IpHost keeps one for each neighbour that
// it asks for, and counts the others.
//
// There is nothing to sleep on that every driver has, so wait() sleeps in slices of kNap and looks again.
//
// Owner: one data core; wake() from any thread. Cost beyond the driver's: the header of a datagram read on
// receive, a ready-made one copied on transmit.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/dpdk/rte.h"
#include "io/ip_host.h"
#include "io/port.h"
#include "io/port_options.h"
#include "io/wake_event.h"

namespace trunkline::io {

class DpdkDevice;

// Between the mbuf and its room: the Buffer that the packet path knows it by. A line, so that the room stays
// aligned.
inline constexpr uint16_t kBufferBytes = RTE_CACHE_LINE_SIZE;
static_assert(sizeof(core::Buffer) <= kBufferBytes);
inline core::Buffer* buffer_of(rte_mbuf* mbuf) noexcept {
  return reinterpret_cast<core::Buffer*>(mbuf + 1);
}
inline rte_mbuf* mbuf_of(core::Buffer* buffer) noexcept {
  return reinterpret_cast<rte_mbuf*>(buffer) - 1;
}

class DpdkPort final : public Port, private FrameSource {
 public:
  // `device` outlives the port.
  DpdkPort(DpdkDevice& device, uint16_t queue, const PortOptions& options);
  ~DpdkPort() override;

  core::Result<uint16_t> open_endpoint(const EndpointOptions& options) override;
  core::UdpAddress endpoint_address(uint16_t endpoint) const override { return endpoints_[endpoint]; }

  uint32_t receive_burst(std::span<core::Packet> out, Nanos now) noexcept override;
  void give_back(std::span<core::Packet> packets) noexcept override;
  uint32_t transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept override;
  FrameSource* frames() noexcept override { return this; }
  void poll(Nanos now) noexcept override;
  Nanos next_due() const noexcept override { return ip_.next_due(); }

  void wait(SleepUntil until, Nanos bound) noexcept override;
  void wake() noexcept override { wake_.signal(); }
  void enter_thread() noexcept override;
  void leave_thread() noexcept override;

  const PortCounters& counters() const noexcept override { return counters_; }
  const char* name() const noexcept override { return "dpdk"; }
  std::string describe() const override;
  std::vector<NamedCounter> more_counters() const override;

 private:
  uint32_t alloc_frames(std::span<core::Buffer*> out) noexcept override;
  void free_frames(std::span<core::Buffer* const> frames) noexcept override;
  uint32_t free_frames_at_least() const noexcept override;
  uint32_t frame_count() const noexcept override;

  // While nothing arrives a core looks this often: what an idle node costs (some 2 % of a CPU) against how
  // long its first packet waits.
  static constexpr Nanos kNap = core::from_us(200);
  static constexpr Nanos kStatisticsInterval = core::from_ms(250);
  // Frames that the device has not taken yet: two bursts, as many as one of its rings takes at a time.
  static constexpr uint32_t kStage = 2 * kMaxBurst;
  static constexpr uint16_t kNoEndpoint = 0xffff;
  // Ports that nobody named come from the dynamic range (RFC 6335, 6).
  static constexpr uint16_t kDynamicPorts = 49'152;

  static uint32_t place_of(uint16_t family, uint16_t port) noexcept {
    return (family == 6 ? 1u << 16 : 0u) + port;
  }
  uint16_t endpoint_for(const core::UdpAddress& destination) const noexcept;
  bool stage_copy(const core::Packet& packet, uint8_t* data, uint32_t length, Nanos now) noexcept;
  bool receive_first(uint8_t* frame, uint32_t length, bool checked, core::Packet& packet, Nanos now) noexcept;
  void stage(rte_mbuf* mbuf, uint8_t* payload, uint32_t length, const core::Packet& packet,
             const IpHost::Path* path) noexcept;
  bool take_run(core::Packet& packet, Nanos now) noexcept;
  void finish_frame(rte_mbuf* mbuf, uint8_t* payload, uint32_t length, uint32_t header) noexcept;
  rte_mbuf* new_mbuf() noexcept;
  bool has_room() noexcept { return staged_ < kStage || flush() > 0; }
  uint32_t flush() noexcept;
  void send_own_frames(Nanos now) noexcept;
  void share_neighbours(Nanos now) noexcept;
  void read_statistics(Nanos now) noexcept;

  DpdkDevice& device_;
  uint16_t id_;
  uint16_t queue_;
  uint8_t core_;
  rte_mempool* pool_;
  IpHost ip_;
  PortCounters counters_;
  WakeEvent wake_;
  std::vector<core::UdpAddress> endpoints_;
  std::vector<uint16_t> by_port_;  // family and UDP port -> endpoint + 1
  bool running_ = false;           // the device may be used in this run of the loop
  bool registered_ = false;        // the owning thread has a cache of the pool
  Nanos statistics_at_{};
  uint64_t missed_ = 0;  // by the device, as of the last look
  core::Counter link_up_;
  core::Counter news_lost_;  // neighbours that another queue's ring had no room for

  rte_mbuf* spare_ = nullptr;  // for the next frame of the host's own
  uint32_t staged_ = 0;
  std::array<rte_mbuf*, kStage> stage_;
  std::array<rte_mbuf*, kMaxBurst> received_;
  std::array<core::Packet, IpHost::kPlaces> from_;  // as every packet of the sender that is remembered there
};

}  // namespace trunkline::io
