// The service thread may block: with a log callback that sleeps for 5 s no acquire is late, no heartbeat is
// missed, and media moves on.
#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/lab_node.h"

namespace trunkline::tests {
namespace {

std::atomic<bool> blocking{false};
std::atomic<int> lines{0};

void slow_log(void*, int, const char*) {
  ++lines;
  if (blocking.exchange(false)) std::this_thread::sleep_for(std::chrono::seconds(5));
}

TEST(ServiceThread, MayBlockForFiveSecondsWithoutHarm) {
  const auto config = [](int id) {
    return LabOptions{id,
                      "127.0.0.1:" + std::to_string(45'500 + id),
                      "",
                      {{3 - id, "127.0.0.1:" + std::to_string(45'503 - id)}},
                      ""};
  };
  auto a = open_lab(config(1));
  auto b = open_lab(config(2), slow_log);
  ASSERT_TRUE(a && b);
  ASSERT_TRUE(eventually([&] { return link_is_up(*a) && link_is_up(*b); }));
  Queue queue = std::move(*b->queue(0));
  const int64_t downs = stat(*b, "mesh", "links_down") + stat(*a, "mesh", "links_down");
  const int64_t lines_before = lines;
  blocking = true;

  // A link event would log; publishing twice does for certain.
  const core::Nanos start = io::monotonic_now();
  uint64_t slowest_us = 0;
  int acquires = 0;
  while (io::monotonic_now() - start < core::from_ms(5'500)) {
    const auto track = *track_id("test", "absent-" + std::to_string(acquires));
    ASSERT_TRUE(queue.acquire({.track = track, .deadline_ms = 200}));
    const Event event = next_event(queue, 1'000);
    ASSERT_STREQ(tl_outcome_name(event.outcome), "NOT_HERE");
    slowest_us = std::max(slowest_us, event.elapsed_us);
    ++acquires;
    if (acquires == 10) a = Failure{0, "stopped: node 2 logs that the link is down"};
    if (acquires == 10) a = open_lab(config(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(blocking) << "the log callback was never called, so nothing was blocked";
  EXPECT_GT(lines, lines_before);
  EXPECT_EQ(stat(*b, "mesh", "acquires_overdue"), 0);
  EXPECT_LT(slowest_us, 200'000u);
  EXPECT_TRUE(link_is_up(*b));
  EXPECT_LE(stat(*b, "mesh", "links_down"), downs + 1) << "but for the restart, the link stayed up";
  std::printf("%d acquires while the service thread was blocked, slowest %.1f ms\n", acquires,
              static_cast<double>(slowest_us) / 1'000);
}

}  // namespace
}  // namespace trunkline::tests
