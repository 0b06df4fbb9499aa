// Restarter: a device whose driver does not connect again by itself is stopped and started until it does.
//
// net_memif as a client connects in rte_eth_dev_start() and never again: if its server is not there yet, is
// not ready, or is started anew, it would stay silent for good. And that call waits, for good if need be,
// while the server is paused and its socket's queue is full; so it is a thread's that may wait. A device may
// only be stopped while nobody receives or sends on it, so its queues agree first:
//
//   the thread   finds the link down -> pausing; all queues have paused -> stop -> start -> running
//   the queues   look at the phase once per run of the loop, say that they have seen it, and keep away from
//                the device until it is running
//
// No data core waits: the loops go on with everything else.
//
// Threads: step() by each queue's core; begin() and end() by the device's owner. Edges:
//   R1 -> A1   the thread's start happens before the queues use the device (phase_)
//   R2 -> A2   the queues' last use happens before the thread stops it (paused_)
#pragma once

#include <array>
#include <cstdint>

#include "core/atomic.h"
#include "core/counters.h"
#include "core/ids.h"
#include "core/result.h"
#include "core/time.h"
#include "io/thread.h"
#include "io/wake_event.h"

namespace trunkline::io {

using core::Nanos;

class Restarter {
 public:
  ~Restarter() { end(); }

  // Starts the device, which is configured, and keeps it started. Before the cores run.
  core::Result<void> begin(uint16_t device, uint32_t queues);
  // Before the device is stopped for good. Ends within kEndsWithin, whatever the driver waits for.
  void end() noexcept;

  // Once per run of the loop. True: the queue may be used until the next call.
  bool step(uint32_t queue) noexcept {
    if (queues_ == 0) return true;  // not begun: this device needs none of it
    const uint32_t paused = phase_.load_acquire() == kRunning ? 0 : 1;  // A1
    if (paused != paused_[queue].load_relaxed())
      paused_[queue].store_release(paused);  // R2; it is the writer
    return paused == 0;
  }
  // Any thread: how often it was started again.
  uint64_t restarts() const noexcept { return restarts_.value(); }

 private:
  enum Phase : uint32_t { kRunning, kPausing, kStopped };

  // A link that is being made takes some milliseconds, and is not disturbed for so long.
  static constexpr Nanos kGrace = core::from_ms(250);
  static constexpr Nanos kPauseLook = core::from_ms(1);
  static constexpr Nanos kEndsWithin = core::from_s(1);

  void run();
  Nanos take_step();
  bool start();
  bool link_is_down() const noexcept;
  bool all_paused() const noexcept;

  uint16_t device_ = 0;
  uint32_t queues_ = 0;
  bool was_started_ = false;
  core::Counter restarts_;
  core::Atomic<uint32_t> phase_{kStopped};
  std::array<core::Atomic<uint32_t>, core::kMaxCores> paused_{};  // by queue: 1, it keeps away
  core::Atomic<bool> ending_{false};
  WakeEvent wake_;
  Thread thread_;
};

}  // namespace trunkline::io
