// Handover: what a data core does with a datagram that belongs to another one. A network card that spreads
// what it receives by addresses and ports cannot know the session index, and a peer may send to a port of the
// wrong core; either way the datagram goes to the core of its lane unopened, because the lane's keys, replay
// window and evidence are there.
//
//   giver   try_give(): copies the datagram into a buffer of its own pool, lends that, writes the descriptor
//           into the ring to the taker; finish(), once a run: visible to the takers, and what came home free
//   taker   for each lane of incoming(): peek at it, open the datagrams in place, give_back()
//
// It is a copy because received memory goes back to its port in the run in which it was received
// (io/port.h). One descriptor is one datagram, also of a run that the kernel had joined: its neighbours may
// belong to other cores.
//
// What bounds it: each core has `handover_buffers` buffers, an equal share of them for each other core, at
// most so many as a power of two allows. A core that stands still holds its share and no more; what does not
// fit is dropped and counted by the giver (`handover_full`). So neither the pool nor a ring can be short
// when there is credit with core::PacketReturn.
//
// Threads: one Handover per data core. try_give(), finish(), take_touched() are that core's; a HandoverLane
// has a giver and a taker. Only nodes with several data cores make them. Memory: the pool, 64 bytes of ring
// and 8 of return ring per buffer, in the constructor. Wait-free.
//
// Invariants
//   I1  pool().in_use() == the sum of what the lanes have lent, between two calls
//   I2  a lane's ring holds no more than is lent on it: there is a slot for each buffer that may be lent
// Edges: those of the two rings. The taker frees slots before it gives back the buffers that they named; as
// I2 needs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/packet.h"
#include "core/packet_pool.h"
#include "core/packet_return.h"
#include "core/page_source.h"
#include "core/spsc_ring.h"
#include "relay/config.h"

namespace trunkline::relay {

// From one data core to another.
class HandoverLane {
 public:
  // Taken per run of the taker's loop, so that no lane makes the others wait: a burst of the port.
  static constexpr uint32_t kBurst = 64;

  // `share`: a power of two; buffers of `pool` that the taker may have at a time.
  HandoverLane(core::PacketPool& pool, uint32_t share) : ring_(share), home_(pool, share) {}

  // ---- giver
  uint32_t credit() const noexcept { return home_.credit(); }
  uint32_t collect() noexcept { return home_.collect(); }
  // Contract: there is credit, and the packet's buffer has one reference, the caller's.
  void push(const core::Packet& packet) noexcept;
  void flush() noexcept;
  core::PacketReturn<>::Loans loans() const noexcept { return home_.loans(); }

  // ---- taker
  // The oldest datagrams, in place; they may be written to.
  std::span<core::Packet> peek() noexcept { return ring_.peek(kBurst); }
  // All that the last peek() showed, when nothing points into it any more.
  void give_back(std::span<const core::Packet> packets) noexcept;

  // ---- any thread
  uint32_t waiting() const noexcept { return ring_.size_approx(); }

 private:
  core::SpscRing<core::Packet> ring_;
  core::PacketReturn<> home_;
  // Giver: claimed slots, of which the first `filled_` are written and not yet committed.
  alignas(core::kSharingDistance) std::span<core::Packet> slots_;
  uint32_t filled_ = 0;
};

class Handover {
 public:
  // All of a node: one per data core, by its number, each connected with the others; none when there is one
  // data core. `pages` outlives them. Contract: there is memory for the pools (the process ends otherwise).
  static std::vector<std::unique_ptr<Handover>> make(const NodeConfig& config, core::PageSource& pages);

  // Of a data core on a node with several; lanes to the others, nothing incoming.
  Handover(const NodeConfig& config, core::CoreId self, core::PageSource& pages);
  // After all threads: every buffer is free, or waits in a lane for a taker that has ended. Another would be
  // a leak, and ends the process.
  ~Handover();
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  // Sizes, for tables: how many buffers one other core may have, and how long they are.
  static uint32_t share(const NodeConfig& config) noexcept;
  static uint32_t buffer_bytes(const NodeConfig& config) noexcept;

  // ---- the core itself

  // A core that this node has, and not this one.
  bool reaches(core::CoreId core) const noexcept { return core.value < to_.size() && to_[core.value]; }
  // `datagram` lies in `received`, whose source and endpoint go with it. False: no buffer may be lent to that
  // core now, or the datagram is longer than any that this node's settings allow. Contract: reaches(to).
  bool try_give(core::CoreId to, const core::Packet& received, std::span<const uint8_t> datagram) noexcept;
  // Once per run: what was given is visible to its takers, and what came home is free again.
  void finish() noexcept;
  // Cores that got something since the last call, one bit each, for whoever wakes them.
  uint32_t take_touched() noexcept {
    const uint32_t touched = touched_;
    touched_ = 0;
    return touched;
  }
  // What the other cores have for this one.
  std::span<HandoverLane* const> incoming() const noexcept { return incoming_; }
  bool has_incoming() const noexcept {
    return std::any_of(incoming_.begin(), incoming_.end(),
                       [](const auto* lane) { return lane->waiting() != 0; });
  }

  // ---- any thread
  const core::PacketPool& pool() const noexcept { return pool_; }
  // Datagrams from this core that no taker has seen yet.
  uint64_t waiting() const noexcept;

 private:
  void collect(HandoverLane& lane) noexcept {
    // Ends: no more comes home than is lent, and nothing is lent meanwhile.
    while (lane.collect() != 0) {
    }
  }

  core::CoreId self_;
  core::PacketPool pool_;
  std::vector<std::unique_ptr<HandoverLane>> to_;  // by core; none to ourselves
  std::vector<HandoverLane*> incoming_;            // of the others
  uint32_t unflushed_ = 0;                         // lanes written to in this run, one bit each
  uint32_t touched_ = 0;
  uint32_t lent_ = 0;  // lanes on which something may be lent
};

}  // namespace trunkline::relay
