// See sim_port.h.
#include "io/sim_port.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/check.h"
#include "io/gso.h"

namespace trunkline::io {

using core::Buffer;
using core::Packet;

SimPort::SimPort(SimWire& wire, core::PageSource& pages, const core::UdpAddress& address,
                 const SimPortOptions& options)
    : wire_(wire),
      pool_(options.inbox, options.datagram_bytes, pages),
      inbox_(std::make_unique<Packet[]>(std::bit_ceil(options.inbox))),
      inbox_mask_(std::bit_ceil(options.inbox) - 1),
      core_(options.core) {
  if (address.family != 0) endpoints_.push_back(address);
}

core::Result<uint16_t> SimPort::open_endpoint(const EndpointOptions& options) {
  constexpr uint16_t kFirstDynamicPort = 49'152;  // RFC 6335 section 6
  core::UdpAddress address = options.bind;
  const auto endpoint = static_cast<uint16_t>(endpoints_.size());
  if (address.port == 0) address.port = static_cast<uint16_t>(kFirstDynamicPort + endpoint);
  if (std::find(endpoints_.begin(), endpoints_.end(), address) != endpoints_.end())
    return core::Error{
        0, "cannot open UDP " + address.to_string() + ": the address is in use on this simulated port"};
  endpoints_.push_back(address);
  return endpoint;
}

bool SimPort::deliver(const core::UdpAddress& from, const core::UdpAddress& to,
                      std::span<const uint8_t> datagram) noexcept {
  uint16_t endpoint = 0;
  while (endpoint < endpoints_.size() && !(endpoints_[endpoint] == to)) ++endpoint;
  if (endpoint == endpoints_.size()) return false;
  Buffer* buffer = pool_.try_alloc();
  if (buffer == nullptr) {
    counters_.add(PortCounter::rx_no_buffer);
    return false;
  }
  if (datagram.size() > buffer->capacity) {
    pool_.release(buffer);
    counters_.add(PortCounter::rx_truncated);
    return false;
  }
  if (!datagram.empty()) std::memcpy(buffer->data, datagram.data(), datagram.size());
  Packet& packet = inbox_[tail_++ & inbox_mask_];
  packet = Packet{};
  packet.buffer = buffer;
  packet.data = buffer->data;
  packet.length = static_cast<uint32_t>(datagram.size());
  packet.owner_port = endpoint;
  packet.owner_core = core_;
  packet.address = from;
  return true;
}

uint32_t SimPort::receive_burst(std::span<Packet> out, Nanos now) noexcept {
  const auto count = static_cast<uint32_t>(std::min<size_t>(out.size(), tail_ - head_));
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    out[i] = inbox_[head_++ & inbox_mask_];
    out[i].time = now;
    bytes += out[i].length;
  }
  counters_.add(PortCounter::rx_runs, count);
  counters_.add(PortCounter::rx_datagrams, count);
  counters_.add(PortCounter::rx_bytes, bytes);
  return count;
}

void SimPort::give_back(std::span<Packet> packets) noexcept {
  for (Packet& packet : packets) {
    pool_.release(packet.buffer);
    packet.buffer = nullptr;
  }
}

uint32_t SimPort::transmit_burst(std::span<Packet> packets, Nanos now) noexcept {
  constexpr size_t kAhead = 4;  // ways that are fetched while one is gone
  for (size_t i = 0; i < packets.size(); ++i) {
    if (i + kAhead < packets.size()) wire_.prefetch(endpoints_[0], packets[i + kAhead].address);
    const Packet& packet = packets[i];
    TL_CHECK(packet.owner_port < endpoints_.size());
    const core::UdpAddress from = endpoints_[packet.owner_port];
    const uint32_t segment = segment_bytes(packet);
    uint32_t offset = 0;
    do {
      const uint32_t length = std::min(segment, packet.length - offset);
      wire_.carry(from, packet.address, {packet.data + offset, length}, now);
      counters_.add(PortCounter::tx_datagrams);
      offset += length;
    } while (offset < packet.length);
    counters_.add(PortCounter::tx_bytes, packet.length);
    counters_.add(PortCounter::tx_runs);
    if (Buffer* buffer = packet.buffer; buffer != nullptr) buffer->pool->release(buffer);
  }
  return static_cast<uint32_t>(packets.size());
}

void SimPort::wait(SleepUntil, Nanos) noexcept {
  core::check_failed("a simulated port is never waited for", __FILE__, __LINE__);
}

std::string SimPort::describe() const {
  return "sim: virtual time, an inbox of " + std::to_string(pool_.count()) + " datagrams";
}

}  // namespace trunkline::io
