// The calendar of events against the simplest queue there is.
#include "tools/sim/event_queue.h"

#include <gtest/gtest.h>

#include <queue>

namespace trunkline::sim {
namespace {

using core::Nanos;

// Pushes and pops as a simulation does, times drawn up to `span` ahead; compares with a binary heap.
void compare_with_a_heap(int64_t span, uint32_t most) {
  EventQueue queue{core::Rng(1)};
  core::Rng ties(1), rng(static_cast<uint64_t>(span) + most);
  std::priority_queue<Event, std::vector<Event>, std::greater<>> heap;
  uint32_t pushed = 0;
  const auto push = [&](Nanos time) {
    queue.push(time, EventKind::kMedia, 3, pushed);
    heap.push({time, (ties.next() << 32) | pushed, EventKind::kMedia, 3, pushed});
    ++pushed;
  };
  for (int step = 0; step < 20'000; ++step) {
    ASSERT_EQ(queue.size(), heap.size());
    ASSERT_EQ(queue.empty(), heap.empty());
    const bool grows = heap.empty() || (heap.size() < most && rng.chance(0.5));
    if (grows) {
      // A third at one instant, so that ties decide.
      push(queue.now() +
           Nanos{rng.chance(0.3) ? span : static_cast<int64_t>(rng.below(static_cast<uint64_t>(span) + 1))});
      continue;
    }
    ASSERT_EQ(queue.next().arg, heap.top().arg);
    const Event event = queue.pop();
    ASSERT_EQ(event.time, heap.top().time);
    ASSERT_EQ(event.order, heap.top().order);
    ASSERT_EQ(event.arg, heap.top().arg);
    ASSERT_EQ(queue.now(), event.time);
    heap.pop();
  }
}

TEST(EventQueue, KeepsTheOrderWhateverTheDistance) {
  for (const int64_t span :
       {0LL, 1LL, 1'000LL, 40'000LL, 1'000'000LL, 200'000'000LL, 268'435'456LL, 20'000'000'000LL}) {
    compare_with_a_heap(span, 10);
    compare_with_a_heap(span, 2'000);
  }
}

TEST(EventQueue, TakesUpWhatWasFarOffBetweenWhatIsNear) {
  EventQueue queue{core::Rng(1)};
  queue.push(core::from_s(10), EventKind::kFault, 0, 3);
  queue.push(core::from_s(10) - core::from_us(1), EventKind::kFault, 0, 2);
  queue.push(core::from_s(9) + core::from_ms(900), EventKind::kWake, 0, 0);
  ASSERT_EQ(queue.pop().arg, 0u);
  queue.push(core::from_s(10) - core::from_us(2), EventKind::kWake, 0, 1);  // the same slot of the calendar
  queue.push(core::from_s(10) + core::from_us(1), EventKind::kWake, 0, 4);
  for (uint32_t expected = 1; expected <= 4; ++expected) EXPECT_EQ(queue.pop().arg, expected);
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueue, ShowsOnlyWhatIsKnownToComeNext) {
  EventQueue queue{core::Rng(1)};
  queue.push(core::from_us(2), EventKind::kWake, 0, 2);
  queue.push(core::from_us(1), EventKind::kWake, 0, 1);
  queue.push(core::from_s(1), EventKind::kWake, 0, 3);
  ASSERT_NE(queue.peek(0), nullptr);
  EXPECT_EQ(queue.peek(0)->arg, queue.next().arg);
  EXPECT_EQ(queue.peek(0)->arg, 1u);
  ASSERT_NE(queue.peek(1), nullptr);
  EXPECT_EQ(queue.peek(1)->arg, 2u);
  EXPECT_EQ(queue.peek(2), nullptr);
}

}  // namespace
}  // namespace trunkline::sim
