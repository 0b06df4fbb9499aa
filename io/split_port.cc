// See split_port.h.
#include "io/split_port.h"

#include <algorithm>
#include <cstring>

namespace trunkline::io {

namespace {

bool shares_prefix(const InterfaceAddress& own, const core::UdpAddress& other) noexcept {
  if (own.address.family != other.family) return false;
  const uint32_t whole = own.prefix_length / 8, rest = own.prefix_length % 8;
  if (std::memcmp(own.address.ip, other.ip, whole) != 0) return false;
  return rest == 0 || (own.address.ip[whole] ^ other.ip[whole]) >> (8 - rest) == 0;
}

}  // namespace

SplitPort::SplitPort(std::unique_ptr<Port> device, Device::Reach reach, std::unique_ptr<Port> sockets)
    : device_(std::move(device)), reach_(std::move(reach)), sockets_(std::move(sockets)) {}

// ---- which side

bool SplitPort::is_of_device(const core::UdpAddress& address) const noexcept {
  return std::any_of(reach_.addresses.begin(), reach_.addresses.end(), [&](const InterfaceAddress& own) {
    return own.address.family == address.family &&
           std::memcmp(own.address.ip, address.ip, sizeof address.ip) == 0;
  });
}

bool SplitPort::device_reaches(const core::UdpAddress& address) const noexcept {
  if (address.is_loopback()) return false;
  if (address.family == 4 ? reach_.gateway_v4 : reach_.gateway_v6) return true;
  return std::any_of(reach_.addresses.begin(), reach_.addresses.end(),
                     [&](const InterfaceAddress& own) { return shares_prefix(own, address); });
}

SplitPort::Side SplitPort::side_of(const core::Packet& packet) const noexcept {
  const Endpoint& endpoint = endpoints_[packet.owner_port];
  if (endpoint.open[kDevice] && endpoint.open[kSockets])
    return device_reaches(packet.address) ? kDevice : kSockets;
  return endpoint.open[kDevice] ? kDevice : kSockets;
}

// ---- endpoints

core::Result<uint16_t> SplitPort::open_endpoint(const EndpointOptions& options) {
  const bool of_device = is_of_device(options.bind);
  const bool has_family = std::any_of(reach_.addresses.begin(), reach_.addresses.end(), [&](const auto& own) {
    return own.address.family == options.bind.family;
  });
  // An address of the device is the kernel's nowhere: its part of an endpoint for both is bound to none.
  const bool for_any = has_family && (options.bind.is_unspecified() || (of_device && options.bind.port == 0));
  Endpoint endpoint;
  if (of_device || for_any) {
    if (auto opened = open_on(kDevice, options, endpoint); !opened) return opened.error();
  }
  if (!of_device || for_any) {
    EndpointOptions on_sockets = options;
    if (of_device) std::fill(std::begin(on_sockets.bind.ip), std::end(on_sockets.bind.ip), uint8_t{0});
    if (auto opened = open_on(kSockets, on_sockets, endpoint); !opened) return opened.error();
  }
  const auto outer = static_cast<uint16_t>(endpoints_.size());
  for (const Side side : {kDevice, kSockets}) {
    if (endpoint.open[side]) outer_[side].push_back(outer);  // inner ports count from 0, too
  }
  endpoints_.push_back(endpoint);
  return outer;
}

core::Result<void> SplitPort::open_on(Side side, const EndpointOptions& options, Endpoint& endpoint) {
  const core::Result<uint16_t> inner = port(side).open_endpoint(options);
  if (!inner) return inner.error();
  TL_CHECK(*inner == outer_[side].size());
  endpoint.open[side] = true;
  endpoint.inner[side] = *inner;
  return {};
}

core::UdpAddress SplitPort::endpoint_address(uint16_t endpoint) const {
  const Endpoint& at = endpoints_[endpoint];
  return at.open[kSockets] ? sockets_->endpoint_address(at.inner[kSockets])
                           : device_->endpoint_address(at.inner[kDevice]);
}

// ---- bursts

// A packet's reserved byte says whose its buffer is: an endpoint may be on both sides.
void SplitPort::number_from(Side side, std::span<core::Packet> packets) noexcept {
  const std::vector<uint16_t>& outer = outer_[side];
  for (core::Packet& packet : packets) {
    packet.owner_port = outer[packet.owner_port];
    packet.reserved = side;
  }
}

// The longest piece at the front that goes to one side, under that side's numbers.
std::span<core::Packet> SplitPort::number_front_for(Side& side, std::span<core::Packet> packets) noexcept {
  side = side_of(packets.front());
  size_t length = 0;
  for (; length < packets.size() && side_of(packets[length]) == side; ++length)
    packets[length].owner_port = endpoints_[packets[length].owner_port].inner[side];
  return packets.first(length);
}

uint32_t SplitPort::receive_burst(std::span<core::Packet> out, Nanos now) noexcept {
  uint32_t count = device_->receive_burst(out, now);
  number_from(kDevice, out.first(count));
  if (count < out.size()) {
    const std::span<core::Packet> rest = out.subspan(count);
    const uint32_t more = sockets_->receive_burst(rest, now);
    number_from(kSockets, rest.first(more));
    count += more;
  }
  return count;
}

void SplitPort::give_back(std::span<core::Packet> packets) noexcept {
  while (!packets.empty()) {
    const uint8_t side = packets.front().reserved;
    size_t length = 1;
    while (length < packets.size() && packets[length].reserved == side) ++length;
    port(static_cast<Side>(side)).give_back(packets.first(length));
    packets = packets.subspan(length);
  }
}

uint32_t SplitPort::transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept {
  uint32_t taken = 0;
  while (taken < packets.size()) {
    Side side = kDevice;
    const std::span<core::Packet> piece = number_front_for(side, packets.subspan(taken));
    const uint32_t count = port(side).transmit_burst(piece, now);
    taken += count;
    number_from(side, piece.subspan(count));  // the caller's again
    if (count < piece.size()) break;
  }
  return taken;
}

void SplitPort::poll(Nanos now) noexcept {
  device_->poll(now);
  sockets_->poll(now);
  add_counters();
}

Nanos SplitPort::next_due() const noexcept {
  return std::min(device_->next_due(), sockets_->next_due());
}

void SplitPort::enter_thread() noexcept {
  device_->enter_thread();
  sockets_->enter_thread();
}

void SplitPort::leave_thread() noexcept {
  device_->leave_thread();
  sockets_->leave_thread();
}

void SplitPort::add_counters() noexcept {
  for (uint32_t i = 0; i < static_cast<uint32_t>(PortCounter::kCount); ++i) {
    const auto which = static_cast<PortCounter>(i);
    const uint64_t sum = device_->counters().value(which) + sockets_->counters().value(which);
    counters_.add(which, sum - counters_.value(which));
  }
}

std::string SplitPort::describe() const {
  return device_->describe() + "; other addresses by " + sockets_->describe();
}

}  // namespace trunkline::io
