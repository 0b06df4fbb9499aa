// TimerWheel against a std::multimap: whatever is done in whatever order, each timer fires exactly once, in
// the order of ticks, never early, and at the first expire() that gets as far as its tick. The seed is drawn
// anew in each run and printed by what fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "core/rng.h"
#include "core/timer_wheel.h"

namespace trunkline::core {
namespace {

// What the wheel should hold, beside it.
class Checked {
 public:
  Checked(uint32_t timers, Nanos tick, Nanos start)
      : tick_(tick),
        start_(start),
        now_(start),
        wheel_(timers, tick, start),
        where_(timers, model_.end()),
        for_later_(timers) {}

  TimerWheel& wheel() { return wheel_; }
  Nanos now() const { return now_; }

  void arm(uint32_t id, Nanos deadline) {
    wheel_.arm(id, deadline);
    forget(id);
    where_[id] = model_.emplace(fires_at(deadline), id);
    for_later_[id] = where_[id]->first > now_.ns;
    ASSERT_TRUE(wheel_.armed(id));
    ASSERT_EQ(wheel_.deadline(id), deadline);
  }
  void cancel(uint32_t id) {
    wheel_.cancel(id);
    forget(id);
    ASSERT_FALSE(wheel_.armed(id));
  }
  // One slice. What is armed when it is due already comes when it is met; all else in the order of ticks.
  void expire(size_t room) {
    std::vector<uint32_t> out(room);
    const uint32_t n = wheel_.expire(now_, out);
    ASSERT_LE(n, room);
    for (const uint32_t id : std::span(out).first(n)) {
      ASSERT_NE(where_[id], model_.end()) << "timer " << id << " fired twice, or was not armed";
      const int64_t at = where_[id]->first;
      ASSERT_LE(at, now_.ns) << "timer " << id << " fired early";
      if (for_later_[id]) {
        ASSERT_GE(at, last_) << "timer " << id << " fired after a later one";
        last_ = at;
      }
      forget(id);
    }
    if (wheel_.behind()) {
      if (!model_.empty()) {
        ASSERT_LE(wheel_.next_deadline(), now_);
      }
    } else {
      ASSERT_TRUE(model_.empty() || model_.begin()->first > now_.ns)
          << "timer " << model_.begin()->second << " is late";
    }
  }
  void advance(Nanos by) { now_ = now_.ns > kNever.ns / 2 ? now_ : now_ + by; }
  void look() const {
    ASSERT_EQ(wheel_.armed_count(), model_.size());
    if (model_.empty()) {
      ASSERT_EQ(wheel_.next_deadline(), kNever);
    } else {
      ASSERT_LE(wheel_.next_deadline().ns, std::max(model_.begin()->first, now_.ns));
    }
  }

 private:
  // Time goes on in whole ticks since the start.
  int64_t fires_at(Nanos deadline) const {
    if (deadline <= start_) return start_.ns;
    const auto since = static_cast<uint64_t>(deadline.ns) - static_cast<uint64_t>(start_.ns);
    const auto tick = static_cast<uint64_t>(tick_.ns);
    const uint64_t ticks = since / tick + (since % tick != 0);
    const auto room = static_cast<uint64_t>(kNever.ns) - static_cast<uint64_t>(start_.ns);
    return ticks > room / tick ? kNever.ns
                               : static_cast<int64_t>(static_cast<uint64_t>(start_.ns) + ticks * tick);
  }
  void forget(uint32_t id) {
    if (where_[id] == model_.end()) return;
    model_.erase(where_[id]);
    where_[id] = model_.end();
  }

  const Nanos tick_, start_;
  Nanos now_;
  TimerWheel wheel_;
  std::multimap<int64_t, uint32_t> model_;  // when it fires, in nanoseconds -> who
  std::vector<std::multimap<int64_t, uint32_t>::iterator> where_;
  std::vector<bool> for_later_;  // not due when it was armed
  int64_t last_ = INT64_MIN;     // the latest of these that fired
};

struct Mix {
  const char* name;
  uint32_t timers;
  Nanos tick;
  Nanos start;
  uint32_t longest_bits;  // durations are up to 2^this nanoseconds, evenly on a logarithmic scale
  // Of 100 operations; what is left is expire() or a look.
  uint32_t arm, put_off, bring_forward, cancel;
  uint32_t room;  // most that expire() may return
};

constexpr Mix kMixes[] = {
    {"everything", 200, from_ms(1), from_us(333), 51, 25, 15, 15, 10, 16},
    {"mostly put off", 300, from_ms(1), Nanos{0}, 36, 5, 70, 5, 5, 3},
    // Of few timers brought forward often, more ids would be left behind than there is room for.
    {"mostly brought forward", 20, from_ms(1), from_s(-40), 40, 10, 2, 80, 4, 4},
    {"mostly called off", 500, from_us(100), Nanos{0}, 34, 50, 2, 2, 40, 8},
    {"all at once", 3000, from_ms(50), from_s(1), 33, 60, 20, 10, 5, 40},
    {"nanoseconds", 50, from_ns(1), from_s(-1), 40, 30, 15, 15, 10, 5},
    {"one timer", 1, from_ms(4), Nanos{7}, 45, 30, 15, 25, 10, 1},
};

void run(const Mix& mix, uint64_t seed) {
  SCOPED_TRACE(testing::Message() << mix.name << ", seed " << seed);
  Rng rng(seed);
  Checked checked(mix.timers, mix.tick, mix.start);
  const TimerWheel& wheel = checked.wheel();
  const auto duration = [&] {
    return from_ns(static_cast<int64_t>(rng.below(uint64_t{1} << (1 + rng.below(mix.longest_bits)))));
  };
  for (int i = 0; i < 6000 && !testing::Test::HasFatalFailure(); ++i) {
    const auto id = static_cast<uint32_t>(rng.below(mix.timers));
    auto choice = static_cast<uint32_t>(rng.below(100));
    const auto falls_to = [&](uint32_t share) {
      const bool hit = choice < share;
      choice -= hit ? 0 : share;
      return hit;
    };
    if (falls_to(mix.arm)) {
      const uint64_t special = rng.below(20);
      checked.arm(id, special == 0   ? kNever
                      : special == 1 ? checked.now() - duration()
                                     : checked.now() + duration());
    } else if (falls_to(mix.put_off)) {
      if (wheel.armed(id) && wheel.deadline(id).ns < kNever.ns / 2)
        checked.arm(id, wheel.deadline(id) + duration());
    } else if (falls_to(mix.bring_forward)) {
      // Anywhere between now and when it was to be; what never comes, too.
      const Nanos was = wheel.armed(id) ? wheel.deadline(id) : checked.now() + duration();
      const int64_t span = std::max<int64_t>(std::min(was.ns, kNever.ns / 2) - checked.now().ns, 1);
      checked.arm(id, checked.now() + from_ns(static_cast<int64_t>(rng.below(static_cast<uint64_t>(span)))));
    } else if (falls_to(mix.cancel)) {
      checked.cancel(id);
    } else if (rng.chance(0.5)) {
      // Half the time to the moment that the wheel itself names, and sometimes in a slice that is cut short.
      const Nanos next = wheel.next_deadline();
      checked.advance(rng.chance(0.5) && next.ns < kNever.ns / 2 && next > checked.now()
                          ? next - checked.now()
                          : duration());
      checked.expire(rng.below(mix.room + 1));
    } else {
      checked.expire(1 + rng.below(mix.room));
    }
    checked.look();
  }
  // Everything that is ever due comes.
  checked.advance(from_ns(int64_t{1} << 61));
  while (!testing::Test::HasFatalFailure()) {
    checked.expire(16);
    if (!wheel.behind()) break;
  }
}

TEST(TimerWheelProperty, BehavesLikeAMultimapUnderAnyMixOfOperations) {
  const char* given = std::getenv("TRUNKLINE_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  SCOPED_TRACE(testing::Message() << "TRUNKLINE_SEED=" << seed << " repeats it");
  RecordProperty("seed", std::to_string(seed));
  Rng rng(seed);
  for (const Mix& mix : kMixes) {
    for (int i = 0; i < 8 && !HasFatalFailure(); ++i) run(mix, rng.next());
  }
}

// The same calls, the same order: two wheels, one on memory that was full of something else.
TEST(TimerWheelProperty, SameCallsGiveTheSameOrder) {
  class Dirty final : public PageSource {
   public:
    std::span<uint8_t> take(size_t bytes) override {
      const std::span<uint8_t> taken = heap_.take(bytes);
      std::fill(taken.begin(), taken.end(), uint8_t{0xa5});
      return taken;
    }

   private:
    HeapPageSource heap_;
  } dirty;
  constexpr uint32_t kTimers = 400;
  TimerWheel one(kTimers, from_ms(1), {});
  TimerWheel two(kTimers, from_ms(1), {}, dirty);
  Rng rng(99);
  Nanos now{};
  std::vector<uint32_t> a(8), b(8);
  for (int i = 0; i < 50'000; ++i) {
    const auto id = static_cast<uint32_t>(rng.below(kTimers));
    const Nanos deadline = now + from_us(static_cast<int64_t>(rng.below(5'000'000)));
    if (rng.chance(0.7)) {
      one.arm(id, deadline);
      two.arm(id, deadline);
    } else if (rng.chance(0.3)) {
      one.cancel(id);
      two.cancel(id);
    } else {
      now += from_us(static_cast<int64_t>(rng.below(20'000)));
      ASSERT_EQ(one.expire(now, a), two.expire(now, b));
      ASSERT_EQ(a, b);
      ASSERT_EQ(one.behind(), two.behind());
      ASSERT_EQ(one.next_deadline(), two.next_deadline());
    }
  }
}

// Expires what is due at `now` and counts the slices of it in which nothing came out.
uint32_t slices_in_vain(TimerWheel& wheel, Nanos now, std::vector<uint32_t>& fired) {
  std::vector<uint32_t> out(4);
  uint32_t in_vain = 0;
  do {
    const uint32_t n = wheel.expire(now, out);
    in_vain += n == 0 ? 1 : 0;
    fired.insert(fired.end(), out.begin(), out.begin() + n);
  } while (wheel.behind());
  return in_vain;
}

TEST(TimerWheel, WorksOffInSlicesWhatWasPutOffOrCalledOff) {
  constexpr uint32_t kTimers = 1000;
  TimerWheel wheel(kTimers, from_ms(1), {});
  for (uint32_t id = 0; id < kTimers; ++id) wheel.arm(id, from_ms(10));
  for (uint32_t id = 0; id < kTimers; ++id) {
    if (id % 2 == 0) wheel.cancel(id);
    if (id % 2 == 1) wheel.arm(id, from_ms(id == 999 ? 10 : 20));
  }
  // 1000 ids, none of them due but the last: each slice looks at 4 + kSlice of them and no more.
  std::vector<uint32_t> fired;
  EXPECT_EQ(slices_in_vain(wheel, from_ms(10), fired), (kTimers - 1) / (4 + TimerWheel::kSlice));
  EXPECT_EQ(fired, std::vector<uint32_t>{999});
  EXPECT_EQ(wheel.next_deadline(), from_ms(20));
  fired.clear();
  EXPECT_LE(slices_in_vain(wheel, from_ms(20), fired), 1u);
  ASSERT_EQ(fired.size(), 499u);
  for (uint32_t i = 0; i < fired.size(); ++i) EXPECT_EQ(fired[i], 2 * i + 1) << "in the order of arming";
}

TEST(TimerWheel, LeavesATimerThatIsPutOffWhereItIs) {
  TimerWheel wheel(2, from_ms(1), {});
  wheel.arm(0, from_ms(10));
  wheel.arm(0, from_ms(5000));
  EXPECT_EQ(wheel.next_deadline(), from_ms(10)) << "putting off is a store: the driver comes once in vain";
  std::vector<uint32_t> fired;
  slices_in_vain(wheel, from_ms(10), fired);
  EXPECT_TRUE(fired.empty());
  EXPECT_GT(wheel.next_deadline(), from_ms(10));
  wheel.arm(0, from_ms(11));
  EXPECT_EQ(wheel.next_deadline(), from_ms(11)) << "bringing forward is exact";
  slices_in_vain(wheel, from_ms(11), fired);
  EXPECT_EQ(fired, std::vector<uint32_t>{0});
}

// Each is brought forward through all the slots there are: many more ids would be left behind than fit.
TEST(TimerWheel, HoldsWhatIsBroughtForwardWithoutEnd) {
  constexpr uint32_t kTimers = 100;
  TimerWheel wheel(kTimers, from_ms(1), {});
  for (int64_t s = 20'000; s > 0; s /= 2) {
    for (uint32_t id = 0; id < kTimers; ++id) wheel.arm(id, from_s(s));
  }
  for (int64_t ms = 900; ms > 0; ms -= 3) {
    for (uint32_t id = 0; id < kTimers; ++id) wheel.arm(id, from_ms(ms + id));
  }
  std::vector<uint32_t> fired;
  for (int64_t ms = 3; ms < 3 + kTimers; ++ms) {
    EXPECT_EQ(wheel.next_deadline(), from_ms(ms));
    slices_in_vain(wheel, from_ms(ms), fired);
    EXPECT_EQ(fired.size(), static_cast<size_t>(ms - 2));
  }
  EXPECT_EQ(wheel.next_deadline(), kNever);
  slices_in_vain(wheel, from_s(30'000), fired);
  EXPECT_EQ(fired.size(), kTimers);
}

// An id left behind is met once and dropped, whatever its timer does meanwhile.
TEST(TimerWheel, DropsWhatWasLeftBehind) {
  constexpr uint32_t kTimers = 1000;
  constexpr uint32_t kLooks = 4 + TimerWheel::kSlice;
  constexpr uint32_t kOnceEach = (kTimers + kLooks - 1) / kLooks;
  TimerWheel wheel(kTimers, from_ms(1), {});
  for (uint32_t id = 0; id < kTimers; ++id) {
    wheel.arm(id, from_ms(1000));
    wheel.arm(id, from_ms(10));
    wheel.arm(id, from_ms(4100));
  }
  std::vector<uint32_t> fired;
  EXPECT_EQ(slices_in_vain(wheel, from_ms(10), fired), kOnceEach) << "put off";
  EXPECT_EQ(slices_in_vain(wheel, from_ms(1000), fired), kOnceEach) << "left behind";
  EXPECT_EQ(slices_in_vain(wheel, from_ms(4096), fired), kOnceEach) << "a level down";
  EXPECT_EQ(slices_in_vain(wheel, from_ms(4100), fired), 0u);
  EXPECT_EQ(fired.size(), kTimers);
  // There is room to leave as many behind again.
  for (uint32_t id = 0; id < kTimers; ++id) {
    wheel.arm(id, from_s(100));
    wheel.arm(id, from_s(10));
  }
  slices_in_vain(wheel, from_s(10), fired);
  EXPECT_EQ(fired.size(), 2 * kTimers);
  EXPECT_EQ(slices_in_vain(wheel, from_s(101), fired), kOnceEach);
}

// What never comes is not looked at either; what comes in ten years is looked at then.
TEST(TimerWheel, LeavesAloneWhatIsFarAway) {
  constexpr uint32_t kTimers = 1000;
  TimerWheel wheel(kTimers, from_ms(1), {});
  for (uint32_t id = 0; id < kTimers; ++id) wheel.arm(id, kNever);
  const Nanos later = from_s(86'400) * 3650;
  wheel.arm(7, later);
  wheel.arm(8, later - from_s(1));
  wheel.arm(9, later - from_s(1));
  wheel.arm(9, kNever);
  EXPECT_LE(wheel.next_deadline(), later);
  EXPECT_GT(wheel.next_deadline(), later - from_s(5 * 3600))
      << "the span in which it is due, and none before";
  std::vector<uint32_t> fired;
  EXPECT_EQ(slices_in_vain(wheel, later - from_s(5 * 3600), fired), 1u);
  slices_in_vain(wheel, later, fired);
  EXPECT_EQ(fired, (std::vector<uint32_t>{8, 7}));
  EXPECT_EQ(wheel.armed_count(), kTimers - 2);
  wheel.arm(9, later - from_s(1));  // from far away into the past
  slices_in_vain(wheel, later, fired);
  EXPECT_EQ(fired, (std::vector<uint32_t>{8, 7, 9}));
}

TEST(TimerWheelDeathTest, EndsTheProcessWhenItsMemoryIsNotThere) {
  class Empty final : public PageSource {
    std::span<uint8_t> take(size_t) override { return {}; }
  } empty;
  EXPECT_DEATH(TimerWheel(10, from_ms(1), {}, empty), "contract broken");
}

}  // namespace
}  // namespace trunkline::core
