// A bad wire around any port: what is sent to chosen destinations is lost, delayed, duplicated, reordered,
// corrupted or slowed down by a WireModel per path, from one seed. The demo and the tests put their regions
// apart with it; there is no other use, and no switch for it in production code: it is one more Port.
//
// The idea: a datagram to an impaired destination is copied into memory of this port and waits in a heap, by
// due time, until poll() hands it to the inner port. Neighbours that are due together leave in one burst,
// which the inner port gathers into GSO runs again. Everything else passes straight through. Receiving is not
// touched: a two-way impairment is set up at both ends.
//
// Bounds: `capacity` datagrams wait at most; beyond that they are lost and counted (impaired_overflow). When
// the inner port refuses, what is due stays here and is tried again with the next poll().
//
// Owner: one data core's thread; wake() from any. Cost: a copy and a heap insertion per impaired datagram,
// and one look at each path per packet.
#pragma once

#include <memory>
#include <vector>

#include "core/packet_pool.h"
#include "io/port.h"
#include "io/wire_model.h"

namespace trunkline::io {

// Destinations and what happens on the way to them. The first path that matches counts.
struct ImpairedPath {
  core::UdpAddress to;      // port 0: any port
  uint8_t prefix_bits = 0;  // how much of the address must be equal: 32 or 128 is all of it, 0 none
  Impairment impairment;

  bool matches(const core::UdpAddress& destination) const noexcept;
};

struct ImpairedOptions {
  core::PageSource* pages = nullptr;  // outlives the port. Contract: not null
  uint32_t capacity = 8192;           // datagrams that may be on the way: rate x delay, with room
  uint32_t datagram_bytes = 2048;     // the longest that can be impaired; longer ones count as overflow
  uint64_t seed = 1;
};

class ImpairedPort final : public Port {
 public:
  ImpairedPort(std::unique_ptr<Port> inner, std::vector<ImpairedPath> paths, const ImpairedOptions& options);
  ~ImpairedPort() override;

  core::Result<uint16_t> open_endpoint(const EndpointOptions& options) override;
  core::UdpAddress endpoint_address(uint16_t endpoint) const override {
    return inner_->endpoint_address(endpoint);
  }
  uint32_t receive_burst(std::span<core::Packet> out, Nanos now) noexcept override;
  void give_back(std::span<core::Packet> packets) noexcept override { inner_->give_back(packets); }
  uint32_t transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept override;
  void poll(Nanos now) noexcept override;
  Nanos next_due() const noexcept override;
  // As the inner port does: the caller bounds the sleep by next_due().
  void wait(SleepUntil until, Nanos bound) noexcept override;
  void wake() noexcept override { inner_->wake(); }
  void enter_thread() noexcept override { inner_->enter_thread(); }
  void leave_thread() noexcept override { inner_->leave_thread(); }
  // The inner port's, and the impaired_ ones.
  const PortCounters& counters() const noexcept override { return counters_; }
  std::vector<NamedCounter> more_counters() const override { return inner_->more_counters(); }
  const char* name() const noexcept override { return name_.c_str(); }
  std::string describe() const override;

  // From the next datagram on; owner's thread. Contract: path < the number of paths given.
  void set(size_t path, const Impairment& impairment) noexcept;
  const WireModel& model(size_t path) const { return paths_[path].model; }
  // Datagrams on the way.
  size_t waiting() const noexcept { return heap_.size(); }

 private:
  struct Path {
    ImpairedPath match;
    WireModel model;
  };
  // Earliest first; of equal ones the one that was sent first.
  struct Waiting {
    Nanos due;
    uint64_t sequence;
    uint32_t buffer;                                       // index in pool_ and packets_
    bool operator<(const Waiting& other) const noexcept {  // std heaps have the greatest on top
      return due != other.due ? due > other.due : sequence > other.sequence;
    }
  };

  Path* find(const core::UdpAddress& destination) noexcept;
  void impair(const core::Packet& packet, WireModel& model, Nanos now) noexcept;
  void enqueue(const core::Packet& packet, const uint8_t* data, uint32_t length, const WireModel::Fate& fate,
               uint32_t copy) noexcept;
  void emit_due(Nanos now) noexcept;
  void copy_counters() noexcept;

  std::unique_ptr<Port> inner_;
  std::string name_;
  std::vector<Path> paths_;
  core::PacketPool pool_;
  std::unique_ptr<core::Packet[]> packets_;  // one for each buffer of pool_
  std::vector<Waiting> heap_;                // never beyond its reserved size
  uint64_t sequence_ = 0;
  PortCounters counters_;
};

}  // namespace trunkline::io
