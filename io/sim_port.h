// A port in virtual time: no socket, no thread, no clock. The simulator and the path tests run the production
// packet path on it.
//
// What is transmitted goes to a SimWire at once, datagram by datagram; what the wire delivers waits in a
// bounded inbox until receive_burst(). When it arrives is the wire's business (a WireModel and an event
// queue, or a vector in a test).
//
// One thread for everything. Cost: one copy per datagram in each direction; making one costs two allocations
// and the pool, so that a simulation can make thousands.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/packet_pool.h"
#include "io/port.h"

namespace trunkline::io {

class SimWire {
 public:
  virtual ~SimWire() = default;
  // The bytes are valid during the call only. May call SimPort::deliver, also of the sending port.
  virtual void carry(const core::UdpAddress& from, const core::UdpAddress& to,
                     std::span<const uint8_t> datagram, Nanos now) = 0;
  // Something will soon be carried that way.
  virtual void prefetch(const core::UdpAddress& from, const core::UdpAddress& to) const {
    static_cast<void>(from);
    static_cast<void>(to);
  }
};

struct SimPortOptions {
  uint32_t inbox = 128;            // datagrams that wait to be received or are being worked on
  uint32_t datagram_bytes = 1536;  // the longest that can be received
  uint8_t core = 0;
};

class SimPort final : public Port {
 public:
  // `wire` and `pages` outlive the port. Endpoint 0 is `address`, unless it is none.
  SimPort(SimWire& wire, core::PageSource& pages, const core::UdpAddress& address,
          const SimPortOptions& options = {});

  // Any address is free here; port 0 is given a number of its own from 49 152 on.
  core::Result<uint16_t> open_endpoint(const EndpointOptions& options) override;
  core::UdpAddress endpoint_address(uint16_t endpoint) const override {
    return endpoint < endpoints_.size() ? endpoints_[endpoint] : core::UdpAddress{};
  }
  uint32_t receive_burst(std::span<core::Packet> out, Nanos now) noexcept override;
  void give_back(std::span<core::Packet> packets) noexcept override;
  uint32_t transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept override;
  void poll(Nanos) noexcept override {}
  // Contract: never called. Virtual time does not pass by waiting.
  void wait(SleepUntil until, Nanos bound) noexcept override;
  void wake() noexcept override {}  // nobody sleeps
  const PortCounters& counters() const noexcept override { return counters_; }
  const char* name() const noexcept override { return "sim"; }
  std::string describe() const override;

  // A datagram arrives. False when it does not: no endpoint has that address, the inbox is full
  // (rx_no_buffer), or it is too long (rx_truncated).
  bool deliver(const core::UdpAddress& from, const core::UdpAddress& to,
               std::span<const uint8_t> datagram) noexcept;
  uint32_t waiting() const noexcept { return tail_ - head_; }
  // Something will be delivered soon.
  void prefetch() const noexcept {
    core::prefetch(this, sizeof *this);
    core::prefetch_line(&inbox_[tail_ & inbox_mask_]);
    pool_.prefetch();
  }

 private:
  SimWire& wire_;
  core::PacketPool pool_;
  std::vector<core::UdpAddress> endpoints_;
  std::unique_ptr<core::Packet[]> inbox_;  // a ring of a power of two
  uint32_t inbox_mask_;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
  PortCounters counters_;
  uint8_t core_;
};

}  // namespace trunkline::io
