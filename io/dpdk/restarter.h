// Restarter: a device whose driver does not connect again by itself is stopped and started until it does.
//
// net_memif as a client connects in rte_eth_dev_start() and never again: if its server is not there yet, is
// not ready, or is started anew, it would stay silent for good. A device may only be stopped while nobody
// receives or sends on it, so its queues agree first:
//
//   queue 0    finds the link down -> pausing; all others have paused -> stop, start -> running
//   the others look at the phase once per run of the loop, say that they have seen it, and keep away from
//              the device until it is running again
//
// Nobody waits: each step is taken in some run of the loop, and the loops go on with everything else.
//
// Threads: step() by each queue's core. Edges:
//   R1 -> A1   queue 0's start happens before the others use the device again (phase_)
//   R2 -> A2   the others' last use happens before queue 0 stops it (paused_)
#pragma once

#include <array>
#include <cstdint>

#include "core/atomic.h"
#include "core/counters.h"
#include "core/ids.h"
#include "core/time.h"

namespace trunkline::io {

using core::Nanos;

class Restarter {
 public:
  // Before the cores run. `running`: the device was started.
  void begin(uint16_t device, uint32_t queues, bool running) noexcept;

  // Once per run of the loop. True: the queue may be used until the next call.
  bool step(uint32_t queue, Nanos now) noexcept {
    if (queues_ == 0) return true;  // not begun: this device needs none of it
    return queue == 0 ? step_first(now) : step_other(queue);
  }
  // Any thread: how often it was started again.
  uint64_t restarts() const noexcept { return restarts_.value(); }

 private:
  enum Phase : uint32_t { kRunning, kPausing, kStopped };

  // A link that is being made takes some milliseconds, and is not disturbed for so long.
  static constexpr Nanos kGrace = core::from_ms(250);

  bool step_first(Nanos now) noexcept;
  bool step_other(uint32_t queue) noexcept;
  bool all_paused() const noexcept;
  void start(Nanos now) noexcept;

  uint16_t device_ = 0;
  uint32_t queues_ = 0;
  Nanos look_at_{};
  core::Counter restarts_;
  core::Atomic<uint32_t> phase_{kRunning};
  std::array<core::Atomic<uint32_t>, core::kMaxCores> paused_{};  // by queue: 1, it keeps away
};

}  // namespace trunkline::io
