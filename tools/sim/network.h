// Network: what lies between the simulated nodes. One io::WireModel per ordered pair of nodes, the same model
// that impairs a real port, with the one-way delay of their regions.
//
// A datagram that a node transmits gets its fate at once (lost, delayed, doubled, damaged) and waits in a
// slab until its event comes. A path delivers in order unless its reorder fault strikes: two datagrams that
// are due at the same instant are set a nanosecond apart, so that the random tie of the event queue cannot
// swap them.
//
// One thread. Cost per datagram: two copies, one event, and four cache lines that were not touched lately.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/cacheline.h"
#include "io/sim_port.h"
#include "io/wire_model.h"
#include "tools/sim/auditor.h"
#include "tools/sim/auditor_keys.h"
#include "tools/sim/event_queue.h"
#include "tools/sim/faults.h"
#include "tools/sim/options.h"
#include "tools/sim/record_kinds.h"
#include "tools/sim/stranger.h"
#include "tools/sim/trace.h"

namespace trunkline::sim {

// Where node `node` listens: 198.18.0.(node + 1):4400, in the benchmarking range of RFC 2544.
core::UdpAddress node_address(NodeIndex node);

class Network final : public io::SimWire {
 public:
  // All outlive the network.
  Network(const Options& options, EventQueue& events, Trace& trace);

  // Somebody sees what passes; outlives the network.
  void watched_by(Stranger& stranger) { stranger_ = &stranger; }
  // What passes cannot be read, but by asking who saw it sealed; outlives the network.
  void sealed_under(const KeyAuditor& keys) { sealed_ = &keys; }

  // A datagram leaves a port; called by SimPort::transmit_burst.
  void carry(const core::UdpAddress& from, const core::UdpAddress& to, std::span<const uint8_t> datagram,
             Nanos now) override;

  void prefetch(const core::UdpAddress& from, const core::UdpAddress& to) const override;

  // A datagram whose kDeliver event has come. The bytes are valid until taken().
  struct Arrival {
    core::UdpAddress from{};
    core::UdpAddress to{};
    std::span<const uint8_t> bytes;
  };
  Arrival arrival(uint32_t slot) const;
  void taken(uint32_t slot) { free_.push_back(slot); }
  // It comes soon.
  void prefetch(uint32_t slot) const {
    core::prefetch_line(&flights_[slot]);
    core::prefetch_line(&flights_[slot].bytes[kShort - 1]);
  }
  // The session that its receiver will look for, if it is a data datagram; known without touching it.
  uint32_t session_slot(uint32_t slot) const { return sessions_[slot]; }

  // ---- faults
  // The path misbehaves as the options say, or (false) no longer.
  void impair(NodeIndex from, NodeIndex to, bool on);
  // Cuts are counted: a path works again when all that cut it are over.
  void cut(NodeIndex from, NodeIndex to, bool on);
  bool is_cut(NodeIndex from, NodeIndex to) const { return paths_[from * nodes_ + to].cuts > 0; }
  // The path loses what `what` says (`size`: of Gray::kLarge), until clear().
  void gray(NodeIndex from, NodeIndex to, Gray what, uint32_t size);
  void clear(NodeIndex from, NodeIndex to);
  // All is well again.
  void heal();
  // Since when nothing passes from `from` to `to`; kNever: something does.
  Nanos cut_since(NodeIndex from, NodeIndex to) const { return paths_[from * nodes_ + to].cut_since; }
  // Since when nothing is wrong with it. Contract: it is neither cut nor impaired.
  Nanos whole_since(NodeIndex from, NodeIndex to) const { return paths_[from * nodes_ + to].whole_since; }
  bool impaired(NodeIndex from, NodeIndex to) const {
    const Path& p = paths_[from * nodes_ + to];
    return p.impaired || p.gray;
  }
  // One way, without faults.
  Nanos delay(NodeIndex from, NodeIndex to) const { return paths_[from * nodes_ + to].base.delay; }

  uint64_t sent() const { return sent_; }
  uint64_t swallowed() const { return swallowed_; }
  uint64_t replayed() const { return replayed_; }
  io::WireModel::Counters totals() const;

 private:
  // A path on which nothing is wrong costs its first line.
  struct alignas(core::kCacheLine) Path {
    bool impaired = false;
    bool gray = false;
    Gray loses = Gray::kMedia;
    uint32_t size = 0;
    Nanos last_due{};
    int64_t in_line = 0;  // datagrams due at last_due so far
    io::WireModel model;
    io::Impairment base;  // the region's delay, nothing else
    uint32_t cuts = 0;
    Nanos cut_since = core::kNever;
    Nanos whole_since{};
  };
  // Two lines hold a heartbeat or a short control message; what is longer lies in long_.
  static constexpr size_t kShort = 104;
  struct alignas(core::kCacheLine) Flight {
    core::UdpAddress from;
    NodeIndex to;
    uint16_t length;
    uint8_t bytes[kShort];
  };
  static_assert(sizeof(Flight) == 2 * core::kCacheLine);
  Path& path(NodeIndex from, NodeIndex to) { return paths_[from * nodes_ + to]; }
  void apply(Path& p);
  // The moment at which it arrives: behind what is due at the same instant.
  static Nanos in_line(Path& p, Nanos due);
  void launch(Nanos due, NodeIndex to, const core::UdpAddress& from, std::span<const uint8_t> datagram,
              uint32_t corrupt_bit);
  std::optional<RecordKinds> kinds(std::span<const uint8_t> datagram) const;
  void replay(Nanos due, NodeIndex to, const core::UdpAddress& from, std::span<const uint8_t> datagram);

  static constexpr uint32_t kIntact = UINT32_MAX;

  const Options& options_;
  EventQueue& events_;
  Trace& trace_;
  uint32_t nodes_;
  core::Rng replays_;
  std::vector<Path> paths_;
  std::vector<Flight> flights_;
  std::vector<std::vector<uint8_t>> long_;  // by flight
  std::vector<uint16_t> sessions_;          // by flight
  std::vector<uint32_t> free_;
  Stranger* stranger_ = nullptr;
  const KeyAuditor* sealed_ = nullptr;
  uint64_t sent_ = 0;
  uint64_t swallowed_ = 0;  // by gray paths
  uint64_t replayed_ = 0;
};

}  // namespace trunkline::sim
