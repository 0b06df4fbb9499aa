// HostChannel: everything between one host queue and the mesh thread. (Packets take another way: from the
// host queue to the data cores and back, relay/host_queue.h.)
//
//   commands   host -> mesh   a ring; full: the host's call says TL_EFULL
//   events     mesh -> host   a slot per handle and kind of event, and a ring of slot numbers
//   notices    mesh -> host   a small ring of events that may be lost (TOO_BIG); full: dropped and counted
//
// Why slots. The mesh cannot wait for a host that does not read, and an outcome may not be lost. A handle has
// at most two events in its life: the first (PUBLISHED, OUTCOME) and the last (UNPUBLISHED, PUBLISH_FAILED,
// ENDED). Each has its own slot, which stays as it is until the host has taken it, for a handle is given out
// again only after its last event was taken. So the ring of numbers can never overflow either.
//
// Invariants
//   I1  a handle is used again only after its last event was taken (HandleTable, on the host's thread)
//   I2  slot 2 x h + 0 is written once per use of handle slot h, by its first event; 2 x h + 1 by its last
//   I3  at most 2 x handles numbers are in the ring, which has room for that many
// Edges: those of SpscRing (the slot is written before its number is pushed, and read after it is popped).
//
// Life: kClosed -> kOpen (host, takes over the consuming sides) -> kClosing (host, gives everything up) ->
// kClosed (mesh, when nothing of it is left).
//   R1 -> A1  what the host did before closing happens before the mesh clears up
//   R2 -> A2  what the mesh did to clear up happens before the next host opens
#pragma once

#include <cstdint>

#include "core/atomic.h"
#include "core/counters.h"
#include "core/spsc_ring.h"
#include "relay/handle_table.h"
#include "relay/lazy_array.h"
#include "relay/mesh/mesh_node.h"
#include "relay/sleeper.h"

namespace trunkline::relay {

class HostChannel {
 public:
  enum State : uint32_t { kClosed, kOpen, kClosing };
  static constexpr uint32_t kNotices = 16;

  HostChannel(uint32_t index, uint32_t command_depth, uint32_t handles);
  uint32_t index() const noexcept { return index_; }

  // ---- host's thread

  // False when it is open, or still closing.
  bool open() noexcept;
  void close() noexcept;
  // Copies out the next event; false when there is none.
  bool take(HostEvent& event) noexcept;
  bool has_event() noexcept { return !numbers_.peek(1).empty() || !notices_.peek(1).empty(); }

  core::SpscRing<HostCommand> commands;
  HandleTable handles;
  Sleeper host;  // the queue's thread; woken by the mesh and by the data cores

  // ---- mesh thread

  void post(const HostEvent& event) noexcept;
  State state() const noexcept { return static_cast<State>(state_.load_acquire()); }  // A1
  void closed() noexcept { state_.store_release(kClosed); }                           // R2

  // ---- any thread

  uint32_t events_waiting() const noexcept { return numbers_.size_approx(); }
  uint64_t notices_lost() const noexcept { return notices_lost_.value(); }

 private:
  uint32_t index_;
  LazyArray<HostEvent> slots_;
  core::SpscRing<uint32_t> numbers_;
  core::SpscRing<HostEvent> notices_;
  core::Counter notices_lost_;
  core::Atomic<uint32_t> state_{kClosed};
};

}  // namespace trunkline::relay
