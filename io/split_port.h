// SplitPort: two ports as one. Addresses of a device go to the port that drives it; every other address, such
// as a tap on loopback for an SFU on this machine, goes to kernel sockets. A data core cannot tell.
//
// Endpoints are numbered here, in the order of opening; on their way to an inner port packets carry its own
// number. One that is bound to no address (0.0.0.0, ::), or to an address of the device and no port, is
// opened on both sides, and what it sends leaves by the device when the device has a way there. A burst for
// both is handed over in pieces, in order. Cost: two look-ups per packet, and what a socket port without
// endpoints costs per burst, which is a call.
//
// Owner: one data core; wake() from any thread.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "io/device.h"
#include "io/port.h"

namespace trunkline::io {

class SplitPort final : public Port {
 public:
  SplitPort(std::unique_ptr<Port> device, Device::Reach reach, std::unique_ptr<Port> sockets);

  core::Result<uint16_t> open_endpoint(const EndpointOptions& options) override;
  core::UdpAddress endpoint_address(uint16_t endpoint) const override;

  uint32_t receive_burst(std::span<core::Packet> out, Nanos now) noexcept override;
  void give_back(std::span<core::Packet> packets) noexcept override;
  uint32_t transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept override;
  // Of the device; they are sent through it only.
  FrameSource* frames() noexcept override { return device_->frames(); }
  void poll(Nanos now) noexcept override;
  Nanos next_due() const noexcept override;
  void wait(SleepUntil until, Nanos bound) noexcept override { device_->wait(until, bound); }
  void wake() noexcept override { device_->wake(); }
  void enter_thread() noexcept override;
  void leave_thread() noexcept override;

  // The sum of both.
  const PortCounters& counters() const noexcept override { return counters_; }
  std::vector<NamedCounter> more_counters() const override { return device_->more_counters(); }
  const char* name() const noexcept override { return device_->name(); }
  std::string describe() const override;

 private:
  enum Side : uint8_t { kDevice, kSockets };
  struct Endpoint {
    std::array<bool, 2> open{};       // on which sides
    std::array<uint16_t, 2> inner{};  // its numbers there
  };

  Port& port(Side side) noexcept { return side == kDevice ? *device_ : *sockets_; }
  bool is_of_device(const core::UdpAddress& address) const noexcept;
  bool device_reaches(const core::UdpAddress& address) const noexcept;
  core::Result<void> open_on(Side side, const EndpointOptions& options, Endpoint& endpoint);
  Side side_of(const core::Packet& packet) const noexcept;
  void number_from(Side side, std::span<core::Packet> packets) noexcept;
  std::span<core::Packet> number_front_for(Side& side, std::span<core::Packet> packets) noexcept;
  void add_counters() noexcept;

  std::unique_ptr<Port> device_;
  Device::Reach reach_;
  std::unique_ptr<Port> sockets_;
  std::vector<Endpoint> endpoints_;
  std::array<std::vector<uint16_t>, 2> outer_;  // by side and inner number
  PortCounters counters_;
};

}  // namespace trunkline::io
