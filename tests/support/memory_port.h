// MemoryPort: a port whose wire is two vectors. A test (or a bench) puts in what shall be received, as single
// datagrams or as GRO runs, and reads what was transmitted; it can make the port refuse from the n-th run on,
// or keep buffers as a busy device does.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/packet_pool.h"
#include "io/port.h"

namespace trunkline::tests {

struct SentRun {
  core::UdpAddress to;
  uint16_t endpoint = 0;
  uint16_t segment_size = 0;
  uint8_t traffic_class = 0;
  std::vector<uint8_t> bytes;

  std::vector<std::vector<uint8_t>> datagrams() const {
    std::vector<std::vector<uint8_t>> out;
    const std::size_t step = segment_size == 0 ? bytes.size() : segment_size;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
      out.emplace_back(from, from + static_cast<std::ptrdiff_t>(std::min(step, bytes.size() - at)));
    }
    return out;
  }
};

class MemoryPort : public io::Port {
 public:
  // What the test sets.
  uint64_t accept_runs = UINT64_MAX;  // further ones are refused
  bool keep_buffers = false;          // until release_kept()
  bool swallow = false;               // do not copy what is sent (allocation tests, benches)
  bool refuse_endpoints = false;
  std::function<void()> when_received;  // something else that happens just then
  // What the test reads.
  std::vector<SentRun> sent;
  uint64_t swallowed_datagrams = 0;
  uint64_t swallowed_bytes = 0;
  uint32_t lent = 0;  // received packets not given back

  void put(uint16_t endpoint, const core::UdpAddress& from, std::vector<uint8_t> bytes,
           uint16_t segment_size = 0) {
    inbox_.push_back({endpoint, from, segment_size, std::move(bytes)});
  }
  void release_kept() {
    for (core::Buffer* buffer : kept_) buffer->pool->release(buffer);
    kept_.clear();
  }

  core::Result<uint16_t> open_endpoint(const io::EndpointOptions& options) override {
    if (refuse_endpoints) return core::Error{0, "address already in use"};
    core::UdpAddress address = options.bind;
    if (address.port == 0) address.port = static_cast<uint16_t>(40'000 + endpoints_.size());
    endpoints_.push_back(address);
    return static_cast<uint16_t>(endpoints_.size() - 1);
  }
  core::UdpAddress endpoint_address(uint16_t endpoint) const override { return endpoints_.at(endpoint); }

  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos now) noexcept override {
    uint32_t count = 0;
    for (; count < out.size() && taken_ < inbox_.size(); ++count) {
      Arrival& arrival = inbox_[taken_++];
      core::Packet& packet = out[count];
      packet = core::Packet{};
      packet.data = arrival.bytes.data();
      packet.length = static_cast<uint32_t>(arrival.bytes.size());
      packet.segment_size = arrival.segment_size;
      packet.owner_port = arrival.endpoint;
      packet.address = arrival.from;
      packet.time = now;
    }
    lent += count;
    if (count > 0 && when_received) when_received();
    return count;
  }
  void give_back(std::span<core::Packet> packets) noexcept override {
    lent -= static_cast<uint32_t>(packets.size());
    // All at once or nothing: the path returns what it received in one run.
    for (std::size_t i = 0; i < packets.size(); ++i) inbox_.pop_front();
    taken_ -= packets.size();
  }
  uint32_t transmit_burst(std::span<core::Packet> packets, core::Nanos) noexcept override {
    uint32_t taken = 0;
    for (; taken < packets.size() && accept_runs > 0; ++taken) {
      if (accept_runs != UINT64_MAX) --accept_runs;
      const core::Packet& packet = packets[taken];
      keep(packet);
      if (keep_buffers) {
        kept_.push_back(packet.buffer);
      } else {
        packet.buffer->pool->release(packet.buffer);
      }
    }
    return taken;
  }
  void poll(core::Nanos) noexcept override {}
  void wait(io::SleepUntil, core::Nanos) noexcept override {}
  void wake() noexcept override {}
  const io::PortCounters& counters() const noexcept override { return counters_; }
  const char* name() const noexcept override { return "memory"; }
  std::string describe() const override { return "two vectors"; }

 protected:
  void keep(const core::Packet& packet) {
    if (swallow) {
      swallowed_datagrams += packet.datagrams();
      swallowed_bytes += packet.length;
    } else {
      sent.push_back({packet.address, packet.owner_port, packet.segment_size, packet.traffic_class,
                      std::vector<uint8_t>(packet.data, packet.data + packet.length)});
    }
  }

 private:
  struct Arrival {
    uint16_t endpoint;
    core::UdpAddress from;
    uint16_t segment_size;
    std::vector<uint8_t> bytes;
  };
  std::deque<Arrival> inbox_;
  std::size_t taken_ = 0;
  std::vector<core::UdpAddress> endpoints_;
  std::vector<core::Buffer*> kept_;
  io::PortCounters counters_;
};

}  // namespace trunkline::tests
