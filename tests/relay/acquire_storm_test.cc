// 10 000 acquires within 100 ms for 1 000 tracks that the named peer lacks: 1 000 requests go upstream, and
// those whose answer a slow machine makes late are repeated, counted, within the retry budget. Every waiter
// ends exactly once by its deadline, nobody is told LOCAL_LIMIT or BUSY, and the counters add up.
#include <gtest/gtest.h>

#include <map>

#include "tests/support/lab_node.h"

namespace trunkline::tests {
namespace {

constexpr uint32_t kAcquires = 10'000;
constexpr uint32_t kTracks = 1'000;
constexpr uint32_t kDeadlineMs = 1'000;

TEST(AcquireStorm, TenThousandWaitersCostAThousandRequests) {
  // The peer is 10 ms away: all ten waiters of a track are there before its answer is. They come 110 per
  // millisecond; in one burst, requests would wait for each other in the control stream's window, and those
  // that wait longest are asked a second time, as the attempt timer promises.
  const std::string behind = "[[lab.impair]]\nto = \"127.0.0.1:0\"\ndelay_ms = 5.0\n";
  TwoNodes nodes(45'700, "", behind);
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue queue = std::move(*nodes.b().queue(0));
  std::vector<TrackBytes> tracks;
  for (uint32_t i = 0; i < kTracks; ++i) tracks.push_back(*track_id("test", "absent-" + std::to_string(i)));
  for (const TrackBytes& track : tracks) ASSERT_EQ(queue.hint(track, 1), 0) << tl_last_error();
  ASSERT_TRUE(eventually([&] { return stat(nodes.b(), "queues", "commands_waiting") == 0; }));
  const int64_t asked_before = stat(nodes.a(), "mesh", "requests_received");

  const core::Nanos start = io::monotonic_now();
  std::map<Handle, int> ends;
  uint32_t full = 0;
  for (uint32_t i = 0; i < kAcquires; ++i) {
    while (io::monotonic_now() - start < core::from_us(9 * int64_t{i})) {
    }
    Expected<Handle> handle = Failure{};
    while (
        !(handle = queue.acquire({.track = tracks[i / (kAcquires / kTracks)], .deadline_ms = kDeadlineMs}))) {
      ASSERT_EQ(handle.error().code, TL_EFULL) << handle.error().text;
      ++full;  // the command ring: the mesh thread takes from it all the time
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    ends[*handle] = 0;
  }
  const core::Nanos asked = io::monotonic_now() - start;

  std::map<std::string, uint32_t> outcomes;
  uint64_t slowest_us = 0;
  std::vector<Event> events(256);
  uint32_t ended = 0;
  ASSERT_TRUE(eventually([&] {
    for (const Event& event : queue.events(events)) {
      ++ends[event.handle];
      ++ended;
      ++outcomes[tl_outcome_name(event.outcome)];
      slowest_us = std::max(slowest_us, event.elapsed_us);
    }
    return ended == kAcquires;
  })) << ended;
  for (const auto& [handle, count] : ends) ASSERT_EQ(count, 1) << handle;
  EXPECT_EQ(outcomes, (std::map<std::string, uint32_t>{{"NOT_HERE", kAcquires}}));
  // One request per track, and one more for each whose answer was late: those are counted, and few.
  const int64_t late = stat(nodes.b(), "mesh", "retries");
  EXPECT_EQ(stat(nodes.a(), "mesh", "requests_received") - asked_before, int64_t{kTracks} + late);
  EXPECT_LE(late, int64_t{kTracks} / 10) << "the retry budget is a tenth";
  EXPECT_EQ(stat(nodes.b(), "mesh", "acquires"), int64_t{kAcquires});
  EXPECT_EQ(stat(nodes.b(), "mesh", "acquires_overdue"), 0);
  EXPECT_LE(slowest_us, (kDeadlineMs + 1) * 1'000u);
  EXPECT_LT(asked.ms(), 100);
  std::printf("asked in %.1f ms (%u times the ring was full), slowest outcome after %.1f ms\n",
              static_cast<double>(asked.us()) / 1'000, full, static_cast<double>(slowest_us) / 1'000);
}

}  // namespace
}  // namespace trunkline::tests
