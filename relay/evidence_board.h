// EvidenceBoard: what a data core has heard of its peers, for the mesh thread to look at when it wants to
// know.
//
// The idea: that a link is well is said twenty times per second and peer, and nobody has to act on it. So it
// is no event: the core overwrites one line per session, and the mesh thread reads it when a silence would
// otherwise count. Only what asks for an act (a first word, a word after a silence, bad news) also goes
// through the ring of events (relay/liveness.h) and wakes the mesh thread.
//
// One writer, one reader, both wait-free: each word is a register of its own, the newest value wins, and no
// reader needs two of them to be of the same moment.
// Edges
//   R1 -> A1  what was written with a moment of hearing, or before it, is seen by who sees that moment
//
// Memory: 32 bytes per session, from construction on.
#pragma once

#include <cstdint>
#include <memory>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/time.h"

namespace trunkline::relay {

using core::Nanos;

struct Evidence {
  Nanos heard{};          // arrival of the newest authentic datagram; 0: none yet
  Nanos heard_by_peer{};  // arrival of the newest heartbeat that says that we are heard; 0: none yet
  Nanos sampled{};        // when rtt_us was measured; 0: not yet
  uint32_t rtt_us = 0;
};

class EvidenceBoard {
  struct alignas(32) Line {
    core::Atomic<int64_t> heard{0};
    core::Atomic<int64_t> heard_by_peer{0};
    core::Atomic<int64_t> sampled{0};
    core::Atomic<uint32_t> rtt_us{0};
  };
  static_assert(sizeof(Line) == 32);

 public:
  explicit EvidenceBoard(uint32_t sessions) : size_(sessions), lines_(std::make_unique<Line[]>(sessions)) {}

  static constexpr uint64_t bytes(uint32_t sessions) noexcept { return uint64_t{sessions} * sizeof(Line); }

  // The data core. Contract: slot < sessions.
  void write(uint32_t slot, const Evidence& evidence) noexcept {
    Line& line = lines_[slot];
    line.heard_by_peer.store_relaxed(evidence.heard_by_peer.ns);
    line.sampled.store_relaxed(evidence.sampled.ns);
    line.rtt_us.store_relaxed(evidence.rtt_us);
    line.heard.store_release(evidence.heard.ns);  // R1
  }

  void prefetch(uint32_t slot) const noexcept { core::prefetch_line(&lines_[slot < size_ ? slot : 0]); }

  // The mesh thread. A slot beyond the board was never heard on.
  Evidence read(uint32_t slot) const noexcept {
    if (slot >= size_) return {};
    const Line& line = lines_[slot];
    Evidence evidence;
    evidence.heard = Nanos{line.heard.load_acquire()};  // A1
    evidence.heard_by_peer = Nanos{line.heard_by_peer.load_relaxed()};
    evidence.sampled = Nanos{line.sampled.load_relaxed()};
    evidence.rtt_us = line.rtt_us.load_relaxed();
    return evidence;
  }

 private:
  uint32_t size_;
  std::unique_ptr<Line[]> lines_;
};

}  // namespace trunkline::relay
