// What the port tests share: two memories, a clock, packets with a content that says which they are, and a
// receiver that takes GRO runs apart again. One thread unless a test says otherwise.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/packet_pool.h"
#include "core/page_source.h"
#include "io/port.h"
#include "io/port_options.h"

namespace trunkline::io {

inline Nanos clock_now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

// A datagram as a test sees it.
struct Datagram {
  std::string bytes;
  core::UdpAddress from;
  uint16_t endpoint = 0;
};

// `size` bytes that differ between any two numbers and, for one number, at any two neighbouring offsets.
inline std::string content(uint32_t number, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((number * 131 + i * 7) & 0xff);
  if (size >= sizeof number) std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

class PortHarness {
 public:
  PortHarness() : small_(512, 2048, pages_), large_(8, 64u << 10, pages_) {}

  core::PageSource& pages() { return pages_; }
  PortOptions options() {
    PortOptions options;
    options.pages = &pages_;
    return options;
  }

  core::Packet packet(const std::string& bytes, const core::UdpAddress& to, uint16_t endpoint = 0,
                      uint16_t segment_size = 0) {
    core::PacketPool& pool = bytes.size() <= 2048 ? small_ : large_;
    core::Packet packet;
    packet.buffer = pool.try_alloc();
    TL_CHECK(packet.buffer != nullptr);
    packet.data = packet.buffer->data;
    packet.length = static_cast<uint32_t>(bytes.size());
    packet.segment_size = segment_size;
    packet.owner_port = endpoint;
    packet.address = to;
    std::memcpy(packet.data, bytes.data(), bytes.size());
    return packet;
  }
  void release(core::Packet& packet) { packet.buffer->pool->release(packet.buffer); }

  // Buffers that no port has released yet.
  uint32_t in_use() const { return small_.in_use() + large_.in_use(); }
  uint32_t small_free() const { return small_.free_count(); }

  // Sends everything, polling between attempts; false when the port still refuses after `bound`. What it
  // refused is released.
  bool send(Port& port, std::vector<core::Packet> packets, Nanos bound = core::from_ms(500)) {
    const Nanos end = clock_now() + bound;
    std::span<core::Packet> rest(packets);
    while (!rest.empty()) {
      rest = rest.subspan(port.transmit_burst(rest, clock_now()));
      port.poll(clock_now());
      if (!rest.empty() && clock_now() > end) {
        for (core::Packet& packet : rest) release(packet);
        return false;
      }
    }
    return true;
  }

  // Receives until `count` datagrams are there or `bound` has passed, polling `sender` as well.
  std::vector<Datagram> receive(Port& port, size_t count, Port* sender = nullptr,
                                Nanos bound = core::from_ms(500)) {
    std::vector<Datagram> got;
    const Nanos end = clock_now() + bound;
    while (got.size() < count && clock_now() < end) {
      if (sender != nullptr) sender->poll(clock_now());
      receive_once(port, got);
    }
    return got;
  }

  // One burst into `got`; returns how many packets (not datagrams) it had.
  uint32_t receive_once(Port& port, std::vector<Datagram>& got, size_t burst_size = kMaxBurst) {
    core::Packet burst[kMaxBurst];
    port.poll(clock_now());
    const uint32_t packets = port.receive_burst({burst, burst_size}, clock_now());
    for (uint32_t i = 0; i < packets; ++i) {
      const core::Packet& p = burst[i];
      const uint32_t step = p.segment_size == 0 ? std::max(p.length, 1u) : p.segment_size;
      uint32_t offset = 0;
      do {
        const uint32_t length = std::min(step, p.length - offset);
        got.push_back(
            {std::string(reinterpret_cast<const char*>(p.data) + offset, length), p.address, p.owner_port});
        offset += step;
      } while (offset < p.length);
    }
    port.give_back({burst, packets});
    return packets;
  }

  // Lets a port finish what it holds: true when every buffer came back within `bound`.
  bool settles(Port& port, Nanos bound = core::from_ms(500)) {
    const Nanos end = clock_now() + bound;
    while (in_use() != 0 && clock_now() < end) port.poll(clock_now());
    return in_use() == 0;
  }

 private:
  core::HeapPageSource pages_;
  core::PacketPool small_;
  core::PacketPool large_;
};

inline core::UdpAddress loopback4(uint16_t port = 0) {
  return core::UdpAddress::v4(127, 0, 0, 1, port);
}
inline core::UdpAddress loopback6(uint16_t port = 0) {
  core::UdpAddress address;
  address.family = 6;
  address.port = port;
  address.ip[15] = 1;
  return address;
}

// Opens an endpoint with small socket buffers (a test must not depend on what the kernel grants).
inline uint16_t open(Port& port, const core::UdpAddress& address) {
  EndpointOptions options;
  options.bind = address;
  core::Result<uint16_t> endpoint = port.open_endpoint(options);
  TL_CHECK(endpoint.has_value());
  return *endpoint;
}

}  // namespace trunkline::io
