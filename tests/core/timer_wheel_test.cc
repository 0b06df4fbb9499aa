// TimerWheel: never early, at most a tick late, cheap over long gaps; a std::multimap as the model.
#include "core/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

constexpr Nanos kTick = from_ms(1);

std::vector<uint32_t> expire_all(TimerWheel& wheel, Nanos now, size_t at_once = 64) {
  std::vector<uint32_t> all;
  std::vector<uint32_t> some(at_once);
  do {
    const uint32_t n = wheel.expire(now, some);
    all.insert(all.end(), some.begin(), some.begin() + n);
  } while (wheel.behind());
  return all;
}

TEST(TimerWheel, FiresAtTheFirstWholeTickFromTheDeadline) {
  TimerWheel wheel(4, kTick, from_s(5));
  wheel.arm(1, from_s(5) + from_us(1500));
  wheel.arm(2, from_s(5) + from_ms(2));
  EXPECT_EQ(wheel.next_deadline(), from_s(5) + from_ms(2));
  EXPECT_TRUE(expire_all(wheel, from_s(5) + from_us(1999)).empty());
  EXPECT_EQ(expire_all(wheel, from_s(5) + from_ms(2)), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(wheel.next_deadline(), kNever);
  EXPECT_FALSE(wheel.armed(1));
}

TEST(TimerWheel, FiresAPastDeadlineAtOnce) {
  TimerWheel wheel(3, kTick, from_s(10));
  wheel.arm(0, from_s(3));  // before the start
  EXPECT_LE(wheel.next_deadline(), from_s(10));
  EXPECT_EQ(expire_all(wheel, from_s(10)), std::vector<uint32_t>{0});
  expire_all(wheel, from_s(20));
  wheel.arm(1, from_s(15));
  EXPECT_LE(wheel.next_deadline(), from_s(20));
  EXPECT_EQ(expire_all(wheel, from_s(20)), std::vector<uint32_t>{1});
}

TEST(TimerWheel, MovesATimerThatIsArmedAgain) {
  TimerWheel wheel(2, kTick, {});
  wheel.arm(0, from_ms(10));
  wheel.arm(0, from_ms(5000));
  EXPECT_EQ(wheel.armed_count(), 1u);
  EXPECT_EQ(wheel.deadline(0), from_ms(5000));
  EXPECT_TRUE(expire_all(wheel, from_ms(4999)).empty());
  wheel.arm(0, from_ms(5001));
  EXPECT_TRUE(expire_all(wheel, from_ms(5000)).empty());
  EXPECT_EQ(expire_all(wheel, from_ms(5001)), std::vector<uint32_t>{0});
}

TEST(TimerWheel, ForgetsACancelledTimer) {
  TimerWheel wheel(2, kTick, {});
  wheel.cancel(0);  // never armed: nothing
  wheel.arm(0, from_ms(10));
  wheel.arm(1, from_ms(100));
  wheel.cancel(0);
  EXPECT_FALSE(wheel.armed(0));
  EXPECT_EQ(wheel.armed_count(), 1u);
  // Its place in the wheel is given up when its time comes, for which a driver may be called once.
  EXPECT_LE(wheel.next_deadline(), from_ms(100));
  EXPECT_TRUE(expire_all(wheel, from_ms(10)).empty());
  EXPECT_GT(wheel.next_deadline(), from_ms(10));
  EXPECT_EQ(expire_all(wheel, from_s(1)), std::vector<uint32_t>{1});
  wheel.cancel(1);
  EXPECT_EQ(wheel.armed_count(), 0u);
}

TEST(TimerWheel, ReturnsNoMoreThanAskedForAndGoesOn) {
  TimerWheel wheel(100, kTick, {});
  for (uint32_t id = 0; id < 100; ++id) wheel.arm(id, from_ms(id + 1));
  std::array<uint32_t, 7> out{};
  EXPECT_EQ(wheel.expire(from_ms(50), out), 7u);
  EXPECT_EQ(out[6], 6u);
  EXPECT_LE(wheel.next_deadline(), from_ms(50)) << "there is more to do now";
  // Between two calls anything may change.
  wheel.cancel(7);
  wheel.arm(8, from_ms(60));
  std::vector<uint32_t> expected;
  for (uint32_t id = 9; id < 50; ++id) expected.push_back(id);
  EXPECT_EQ(expire_all(wheel, from_ms(50), 7), expected);
  EXPECT_EQ(wheel.expire(from_ms(60), {}), 0u) << "no room: nothing is returned, nothing is lost";
  EXPECT_EQ(expire_all(wheel, from_ms(60)).size(), 11u);
}

TEST(TimerWheel, KeepsTimersFarBeyondItsSpan) {
  TimerWheel wheel(4, kTick, {});
  const Nanos day = from_s(86'400);
  wheel.arm(0, day);
  wheel.arm(1, kNever);
  wheel.arm(2, day * 400);
  EXPECT_TRUE(expire_all(wheel, day - from_ms(1)).empty());
  EXPECT_EQ(expire_all(wheel, day), std::vector<uint32_t>{0});
  EXPECT_EQ(expire_all(wheel, day * 400), std::vector<uint32_t>{2});
  EXPECT_TRUE(wheel.armed(1));
  wheel.cancel(1);
  EXPECT_EQ(wheel.next_deadline(), kNever);
}

TEST(TimerWheel, FarTimersThatStayFarKeepTheOthersGoing) {
  TimerWheel wheel(8, kTick, {});
  for (uint32_t id = 0; id < 8; ++id) wheel.arm(id, from_s(86'400) * (id % 2 == 0 ? 1 : 30));
  EXPECT_EQ(expire_all(wheel, from_s(86'400)), (std::vector<uint32_t>{0, 2, 4, 6}));
  EXPECT_EQ(expire_all(wheel, from_s(86'400) * 30), (std::vector<uint32_t>{1, 3, 5, 7}));
}

TEST(TimerWheel, IgnoresTimeThatGoesBack) {
  TimerWheel wheel(2, kTick, {});
  expire_all(wheel, from_ms(100));
  wheel.arm(0, from_ms(101));
  EXPECT_TRUE(expire_all(wheel, from_ms(50)).empty());
  EXPECT_EQ(expire_all(wheel, from_ms(101)), std::vector<uint32_t>{0});
}

TEST(TimerWheel, WorksFromANegativeStart) {
  TimerWheel wheel(2, kTick, from_s(-10));
  wheel.arm(0, from_s(-1));
  wheel.arm(1, from_s(1));
  EXPECT_LE(wheel.next_deadline(), from_s(-1));
  EXPECT_TRUE(expire_all(wheel, from_s(-1) - from_ns(1)).empty());
  EXPECT_EQ(expire_all(wheel, from_s(-1)), std::vector<uint32_t>{0});
  EXPECT_EQ(expire_all(wheel, from_s(1)), std::vector<uint32_t>{1});
}

// A driver that comes back exactly at next_deadline() meets every timer at its tick, and is not woken more
// often than a timer has levels to come down.
TEST(TimerWheel, LeadsItsDriverToEachTimerInAFewSteps) {
  Rng rng(11);
  for (int round = 0; round < 300; ++round) {
    TimerWheel wheel(1, kTick, {});
    Nanos now = from_ms(static_cast<int64_t>(rng.below(100'000)));
    expire_all(wheel, now);
    const Nanos deadline = now + from_ms(static_cast<int64_t>(1 + rng.below(1u << rng.below(24))));
    wheel.arm(0, deadline);
    uint32_t wakes = 0;
    while (wheel.armed(0)) {
      const Nanos next = wheel.next_deadline();
      ASSERT_GT(next, now) << "a driver would spin";
      ASSERT_LE(next, deadline);
      now = next;
      expire_all(wheel, now);
      ASSERT_LE(++wakes, 6u);
    }
    ASSERT_EQ(now, deadline);
  }
}

TEST(TimerWheel, CrossesTenYearsOfSilenceQuickly) {
  // 3 * 10^11 ticks: a wheel that walked them would not come back.
  TimerWheel wheel(1, kTick, {});
  wheel.arm(0, from_s(86'400) * 3650);
  EXPECT_EQ(expire_all(wheel, from_s(86'400) * 3650), std::vector<uint32_t>{0});
}

// The wheel and, beside it, what it should hold: the tick at which each armed timer may fire.
struct Pair {
  static constexpr uint32_t kTimers = 200;
  TimerWheel wheel{kTimers, kTick, from_us(333)};
  std::multimap<int64_t, uint32_t> model;  // fire time in ns -> id
  std::map<uint32_t, int64_t> fire_at;
  Nanos now = from_us(333);

  void forget(uint32_t id) {
    const auto at = fire_at.find(id);
    if (at == fire_at.end()) return;
    for (auto [i, end] = model.equal_range(at->second); i != end; ++i) {
      if (i->second != id) continue;
      model.erase(i);
      break;
    }
    fire_at.erase(at);
  }
  void arm(uint32_t id, Nanos deadline) {
    wheel.arm(id, deadline);
    forget(id);
    const int64_t since = std::max<int64_t>(deadline.ns - from_us(333).ns, 0);
    const int64_t fire = from_us(333).ns + (since + kTick.ns - 1) / kTick.ns * kTick.ns;
    model.emplace(fire, id);
    fire_at[id] = fire;
  }
  void cancel(uint32_t id) {
    wheel.cancel(id);
    forget(id);
  }
  void advance(Nanos by, size_t at_once) {
    now += by;
    const std::vector<uint32_t> fired = expire_all(wheel, now, at_once);
    std::set<uint32_t> expected;
    for (auto i = model.begin(); i != model.end() && i->first <= now.ns; ++i) expected.insert(i->second);
    ASSERT_EQ(std::set<uint32_t>(fired.begin(), fired.end()), expected);
    ASSERT_EQ(fired.size(), expected.size());
    for (uint32_t id : fired) forget(id);
  }
  void check() {
    ASSERT_EQ(wheel.armed_count(), fire_at.size());
    if (model.empty()) {
      ASSERT_EQ(wheel.next_deadline(), kNever);
    } else {
      ASSERT_LE(wheel.next_deadline().ns, std::max(model.begin()->first, now.ns));
    }
  }
};

TEST(TimerWheel, BehavesLikeAMultimap) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Pair pair;
    // Durations from nanoseconds to eleven days, evenly on a logarithmic scale.
    const auto duration = [&] {
      return from_ns(static_cast<int64_t>(rng.below(uint64_t{1} << rng.below(51))));
    };
    for (int i = 0; i < 4000 && !testing::Test::HasFatalFailure(); ++i) {
      const auto id = static_cast<uint32_t>(rng.below(Pair::kTimers));
      switch (rng.below(8)) {
        case 0:
          pair.cancel(id);
          break;
        case 1:
          pair.advance(duration(), 1 + rng.below(16));
          break;
        case 2:
          pair.arm(id, pair.now - duration());
          break;
        default:
          pair.arm(id, pair.now + duration());
          break;
      }
      pair.check();
    }
  }
}

TEST(TimerWheel, ReturnsIdsInTheOrderOfTheirTicks) {
  Rng rng(5);
  TimerWheel wheel(500, kTick, {});
  for (uint32_t id = 0; id < 500; ++id) wheel.arm(id, from_ms(static_cast<int64_t>(rng.below(100'000))));
  const std::vector<uint32_t> fired = expire_all(wheel, from_s(101));
  ASSERT_EQ(fired.size(), 500u);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end(),
                             [&](uint32_t a, uint32_t b) { return wheel.deadline(a) < wheel.deadline(b); }));
}

TEST(TimerWheelDeathTest, EndsTheProcessOnATimerThatDoesNotExist) {
  TimerWheel wheel(2, kTick, {});
  EXPECT_DEATH(wheel.arm(2, from_ms(1)), "contract broken");
  EXPECT_DEATH(wheel.cancel(2), "contract broken");
}

}  // namespace
}  // namespace trunkline::core
