// TimerWheel: deadlines for the entries of somebody's slab, named by their index there.
//
// The idea: four levels of 64 slots, each slot 64 times as wide as one of the level below. A timer waits at
// the level of the highest base-64 digit in which its tick differs from the current one, in the slot of that
// digit. So at each level only slots after the current digit can be occupied, any timer of a lower level is
// due before any of a higher one, and the next event is the first set bit of the lowest occupied level: a
// long idle gap is crossed in as many steps as there are occupied slots in it. When time enters a slot above
// level 0 its timers move down; each moves at most kLevels + 1 times per 64^4 ticks (4.66 h at 1 ms). Timers
// beyond the current such span wait in one list that is looked at when the span ends.
//
// A timer fires at the first expire() whose `now` has reached its tick, that is its deadline rounded up to
// the next whole tick since `start`: never early, and late by less than one tick plus the time until the
// caller comes. Ids come out in order of ticks, within one tick always in the same order for the same calls.
//
// Threads: one owner. arm and cancel are O(1), next_deadline is O(levels). Memory: 16 bytes per timer and
// about 2 KiB, in the constructor.
//
// Invariants
//   I1  a timer is in exactly one list (armed) or in none (next_ == kNil)
//   I2  a level's bit is set exactly when that slot's list is not empty
//   I3  a timer at level L, slot s has the current tick's digits above L, and s is greater than its digit at
//   L I4  the due list holds exactly the armed timers whose tick is not after the current one
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/time.h"

namespace trunkline::core {

class TimerWheel {
 public:
  // Timers are 0 .. max_timers-1, none armed. Contract: tick > 0; deadlines count from `start`.
  TimerWheel(uint32_t max_timers, Nanos tick, Nanos start);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Starts timer `id`, or moves it if it runs. A deadline in the past fires at the next expire(). kNever is
  // as good as any: it never comes. Contract (all functions): id < max_timers().
  void arm(uint32_t id, Nanos deadline) noexcept;
  // Stops it; nothing if it does not run. A timer that expire() has returned does not run.
  void cancel(uint32_t id) noexcept;
  bool armed(uint32_t id) const noexcept;
  // When it was last armed for; meaningful while armed.
  Nanos deadline(uint32_t id) const noexcept;

  // When to come back: never later than the moment the earliest timer may fire, sometimes earlier (then
  // expire() moves timers closer, returns nothing, and the next answer is later). kNever when none runs.
  Nanos next_deadline() const noexcept;

  // Stops the timers that are due at `now` and writes their ids, at most out.size(); returns how many. When
  // that is out.size() there may be more: call again, with the same `now`. A `now` before an earlier one is
  // taken as that earlier one.
  uint32_t expire(Nanos now, std::span<uint32_t> out) noexcept;

  uint32_t max_timers() const noexcept { return max_timers_; }
  uint32_t armed_count() const noexcept { return armed_count_; }

 private:
  static constexpr uint32_t kDigitBits = 6;
  static constexpr uint32_t kSlots = 1u << kDigitBits;  // one bitmap word per level
  static constexpr uint32_t kLevels = 4;                // 64^4 ticks: more than an hour at 1 ms
  static constexpr uint32_t kSpanBits = kDigitBits * kLevels;
  static constexpr uint32_t kFarList = kLevels * kSlots;  // beyond the span
  static constexpr uint32_t kDueList = kFarList + 1;      // ready to be returned
  static constexpr uint32_t kLists = kDueList + 1;
  static constexpr uint32_t kNil = UINT32_MAX;
  static constexpr uint64_t kNoEvent = UINT64_MAX;

  // Lists are circular through a sentinel, which is node max_timers_ + list.
  uint32_t sentinel(uint32_t list) const noexcept { return max_timers_ + list; }
  bool list_empty(uint32_t list) const noexcept { return next_[sentinel(list)] == sentinel(list); }
  uint64_t tick_of(Nanos deadline) const noexcept;
  Nanos time_of(uint64_t tick) const noexcept;
  void place(uint32_t id) noexcept;
  void append(uint32_t id, uint32_t list) noexcept;
  void unlink(uint32_t id) noexcept;
  // The tick at which the first occupied slot begins; which list that is.
  struct Event {
    uint64_t tick;
    uint32_t list;
  };
  Event next_event() const noexcept;
  void enter(Event event) noexcept;

  const uint32_t max_timers_;
  const Nanos tick_;
  const Nanos start_;
  uint64_t current_ = 0;  // tick: the wheel has been advanced to here
  uint32_t armed_count_ = 0;
  uint64_t occupied_[kLevels]{};
  std::unique_ptr<uint32_t[]> next_;  // timers, then sentinels
  std::unique_ptr<uint32_t[]> prev_;
  std::unique_ptr<Nanos[]> deadline_;
};

}  // namespace trunkline::core
