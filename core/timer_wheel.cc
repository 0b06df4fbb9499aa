// TimerWheel: see the header for the idea; here are the digits.
#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/check.h"

namespace trunkline::core {

TimerWheel::TimerWheel(uint32_t max_timers, Nanos tick, Nanos start)
    : max_timers_(max_timers), tick_(tick), start_(start) {
  TL_CHECK(tick.ns > 0);
  TL_CHECK(max_timers < kNil - kLists);
  next_ = std::make_unique<uint32_t[]>(max_timers + kLists);
  prev_ = std::make_unique<uint32_t[]>(max_timers + kLists);
  deadline_ = std::make_unique<Nanos[]>(max_timers);
  for (uint32_t id = 0; id < max_timers; ++id) next_[id] = kNil;
  for (uint32_t list = 0; list < kLists; ++list) {
    next_[sentinel(list)] = sentinel(list);
    prev_[sentinel(list)] = sentinel(list);
  }
}

void TimerWheel::arm(uint32_t id, Nanos deadline) noexcept {
  TL_CHECK(id < max_timers_);
  if (next_[id] != kNil) {
    unlink(id);
  } else {
    ++armed_count_;
  }
  deadline_[id] = deadline;
  place(id);
}

void TimerWheel::cancel(uint32_t id) noexcept {
  TL_CHECK(id < max_timers_);
  if (next_[id] == kNil) return;
  unlink(id);
  --armed_count_;
}

bool TimerWheel::armed(uint32_t id) const noexcept {
  TL_CHECK(id < max_timers_);
  return next_[id] != kNil;
}

Nanos TimerWheel::deadline(uint32_t id) const noexcept {
  TL_CHECK(id < max_timers_);
  return deadline_[id];
}

Nanos TimerWheel::next_deadline() const noexcept {
  if (!list_empty(kDueList)) return time_of(current_);
  const Event event = next_event();
  return event.tick == kNoEvent ? kNever : time_of(event.tick);
}

uint32_t TimerWheel::expire(Nanos now, std::span<uint32_t> out) noexcept {
  // Rounded down, while deadlines are rounded up: that is what makes a timer never early.
  uint64_t target = current_;
  if (now > start_) {
    const uint64_t elapsed = static_cast<uint64_t>(now.ns) - static_cast<uint64_t>(start_.ns);
    target = std::max(target, elapsed / static_cast<uint64_t>(tick_.ns));
  }
  uint32_t count = 0;
  // Bounded: each round either takes a timer out or enters a later slot, and slots are skipped when empty.
  while (true) {
    while (!list_empty(kDueList)) {
      if (count == out.size()) return count;
      const uint32_t id = next_[sentinel(kDueList)];
      unlink(id);
      --armed_count_;
      out[count++] = id;
    }
    const Event event = next_event();
    if (event.tick > target) break;
    enter(event);
  }
  // No slot begins in (current_, target]: so I3 still holds when the current tick jumps there.
  current_ = target;
  return count;
}

// The deadline's tick, rounded up; 0 for what is past before the start.
uint64_t TimerWheel::tick_of(Nanos deadline) const noexcept {
  if (deadline <= start_) return 0;
  const uint64_t elapsed = static_cast<uint64_t>(deadline.ns) - static_cast<uint64_t>(start_.ns);
  const auto tick = static_cast<uint64_t>(tick_.ns);
  return elapsed / tick + (elapsed % tick != 0);
}

Nanos TimerWheel::time_of(uint64_t tick) const noexcept {
  const auto room =
      static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) - static_cast<uint64_t>(start_.ns);
  if (tick > room / static_cast<uint64_t>(tick_.ns)) return kNever;
  return {static_cast<int64_t>(static_cast<uint64_t>(start_.ns) + tick * static_cast<uint64_t>(tick_.ns))};
}

void TimerWheel::place(uint32_t id) noexcept {
  const uint64_t due = tick_of(deadline_[id]);
  if (due <= current_) return append(id, kDueList);  // I4
  const auto highest_bit = static_cast<uint32_t>(std::bit_width(due ^ current_)) - 1;
  if (highest_bit >= kSpanBits) return append(id, kFarList);
  const uint32_t level = highest_bit / kDigitBits;  // I3
  const auto slot = static_cast<uint32_t>(due >> (level * kDigitBits)) % kSlots;
  append(id, level * kSlots + slot);
  occupied_[level] |= uint64_t{1} << slot;  // I2
}

void TimerWheel::append(uint32_t id, uint32_t list) noexcept {
  const uint32_t end = sentinel(list);
  const uint32_t last = prev_[end];
  next_[id] = end;
  prev_[id] = last;
  next_[last] = id;
  prev_[end] = id;
}

void TimerWheel::unlink(uint32_t id) noexcept {
  const uint32_t after = next_[id];
  const uint32_t before = prev_[id];
  next_[before] = after;
  prev_[after] = before;
  next_[id] = kNil;
  // Alone between the two ends of a sentinel: the list is empty now (I2).
  if (before == after && before >= max_timers_) {
    const uint32_t list = before - max_timers_;
    if (list < kFarList) occupied_[list / kSlots] &= ~(uint64_t{1} << (list % kSlots));
  }
}

TimerWheel::Event TimerWheel::next_event() const noexcept {
  for (uint32_t level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const auto slot = static_cast<uint32_t>(std::countr_zero(occupied_[level]));
    const uint32_t shift = level * kDigitBits;
    const uint64_t above = current_ >> (shift + kDigitBits) << (shift + kDigitBits);
    return {above | (uint64_t{slot} << shift), level * kSlots + slot};
  }
  if (!list_empty(kFarList)) return {((current_ >> kSpanBits) + 1) << kSpanBits, kFarList};
  return {kNoEvent, 0};
}

// Makes the slot's beginning the current tick and places its timers anew: at lower levels, or due.
void TimerWheel::enter(Event event) noexcept {
  current_ = event.tick;
  const uint32_t end = sentinel(event.list);
  // The last of those that are here now: a far timer may go back to the end of the same list.
  const uint32_t last = prev_[end];
  uint32_t id = next_[end];
  while (id != end) {
    const uint32_t following = next_[id];
    const bool was_last = id == last;
    unlink(id);
    place(id);
    if (was_last) break;
    id = following;
  }
}

}  // namespace trunkline::core
