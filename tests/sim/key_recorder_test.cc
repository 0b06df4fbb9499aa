// Every datagram that two nodes seal is written down with its key and its counter, by the hundred thousand
// here and by the 10^7 in `tools/dev attacks --record`: no pair comes twice, whatever is restarted, restored
// from a snapshot or replaced while datagrams are on their way. What seals and opens, what agrees on keys and
// what counts are the real ones; the wire is in memory and loses, repeats, delays and mislays.
//
// A key is known by its secret and its lane: that each lane has a key of its own is
// tests/relay/lane_key_test.cc's.
//
// TRUNKLINE_RECORDED_DATAGRAMS: how many; and then what was seen is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/key_recording.h"

namespace trunkline::tests {
namespace {

constexpr uint64_t kSeed = 20261130;
constexpr uint64_t kShortTier = 200'000;

uint64_t asked_for() {
  const char* const asked = std::getenv("TRUNKLINE_RECORDED_DATAGRAMS");
  return asked == nullptr ? 0 : std::strtoull(asked, nullptr, 10);
}

void print(const KeyRecording& recording) {
  const auto& totals = recording.totals();
  const auto& seen = recording.seen();
  const auto line = [](const char* what, uint64_t count) {
    std::printf("  %-58s %11" PRIu64 "\n", what, count);
  };
  std::printf("two nodes of %u data cores, aes-128-gcm\n", uint32_t{kRecordedCores});
  line("datagrams sealed, each under a (key, nonce) of its own", totals.sealed);
  line("complaints of the judge", recording.complained());
  line("keys of lanes", totals.lanes);
  line("secrets they were derived from", totals.secrets);
  line("datagrams of the least used of 32 lanes", recording.least_of_a_lane());
  line("highest counter of a lane", seen.highest_counter);
  line("sessions agreed on", seen.sessions);
  line("handshakes that a lost message ended", seen.unfinished);
  line("restarts of one node", seen.endings[static_cast<size_t>(Ending::restart)]);
  line("restarts of both", seen.endings[static_cast<size_t>(Ending::both_restart)]);
  line("snapshots of one node restored, its clock too", seen.endings[static_cast<size_t>(Ending::restored)]);
  line("snapshots of both restored, but for their clocks",
       seen.endings[static_cast<size_t>(Ending::both_restored)]);
  line("msg1 that a restored node wrote again, bit by bit", seen.same_msg1);
  line("datagrams lost on the way", seen.lost);
  line("datagrams repeated", seen.repeated);
  line("datagrams delayed by up to 63 turns", seen.late);
  line("datagrams handed to the core that they belong to", recording.counted(CoreCounter::handed_over));
  line("datagrams opened", totals.opened);
  line("packets published", seen.published);
  line("packets delivered, each once", seen.delivered);
  line("of these, relayed on the way", seen.came_back);
  line("packets sealed in the frame that they came in", recording.counted(CoreCounter::media_in_place));
  for (uint32_t i = 0; i < static_cast<uint32_t>(DropReason::kCount); ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (recording.dropped(reason) == 0) continue;
    line((std::string("dropped as ") + relay::drop_reason_name(reason)).c_str(), recording.dropped(reason));
  }
  std::fflush(stdout);
}

TEST(KeyRecorder, NoKeyMeetsANonceTwiceOverLanesRekeysRestartsAndSnapshots) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const uint64_t asked = asked_for(), wanted = asked == 0 ? kShortTier : asked;
  KeyRecording recording(kSeed);
  recording.run(wanted - wanted / 4);
  recording.run_until_linked();
  recording.keep_session();  // counters grow, too
  recording.run(wanted / 4);
  if (asked != 0) print(recording);
  const auto& totals = recording.totals();
  const auto& seen = recording.seen();
  EXPECT_EQ(recording.complaints(), std::vector<std::string>{});
  EXPECT_EQ(seen.unknown, 0u) << "delivered, and nobody published it";
  EXPECT_EQ(seen.twice, 0u);

  // It was worth looking: everything that the run is about did happen.
  EXPECT_GE(totals.sealed, wanted);
  EXPECT_EQ(totals.sealed, [&] {
    uint64_t sum = 0;
    for (const auto& of : seen.lanes)
      for (const uint64_t lane : of) sum += lane;
    return sum;
  }()) << "what was sealed is what was on the wire, and all of it went past the judge";
  EXPECT_GT(recording.least_of_a_lane(), wanted / 64) << "32 lanes, evenly used";
  EXPECT_GT(seen.highest_counter, wanted / 4 / 64);
  EXPECT_GE(totals.secrets, 2 * seen.sessions);
  EXPECT_GT(totals.lanes, 24 * seen.sessions) << "nearly all lanes of nearly all sessions";
  EXPECT_GT(seen.sessions, wanted / 10'000);
  for (const uint64_t endings : seen.endings) EXPECT_GT(endings, 0u);
  EXPECT_GT(seen.same_msg1, 0u) << "no node was truly restored";
  EXPECT_GT(seen.delivered, seen.published * 9 / 10);
  for (const DropReason reason : {DropReason::not_authentic, DropReason::replayed, DropReason::no_session})
    EXPECT_GT(recording.dropped(reason), 0u) << relay::drop_reason_name(reason);
  EXPECT_EQ(totals.refused, recording.dropped(DropReason::not_authentic));
  // Nothing else stood in anybody's way.
  uint64_t others = recording.dropped();
  for (const DropReason reason :
       {DropReason::not_authentic, DropReason::replayed, DropReason::no_session, DropReason::link_gone})
    others -= recording.dropped(reason);
  EXPECT_EQ(others, 0u);
  for (const CoreCounter which : {CoreCounter::handed_over, CoreCounter::media_in_place})
    EXPECT_GT(recording.counted(which), wanted / 200) << relay::core_counter_name(which);
}

// What the judge says when keys are taken into use a second time, which is what all of the above is to
// exclude.
bool complains(const KeyRecording& recording, std::string_view of) {
  return std::any_of(recording.complaints().begin(), recording.complaints().end(),
                     [&](const std::string& text) { return text.find(of) != std::string::npos; });
}

TEST(KeyRecorder, KeysThatOutliveARestartAreNoticed) {
  KeyRecording recording(kSeed);
  recording.run_until_linked();
  recording.keep_session();
  recording.run(2'000);
  ASSERT_EQ(recording.complaints(), std::vector<std::string>{});
  const relay::SessionInstall kept = recording.node(0).newest();
  recording.restart(0);
  recording.node(0).use_again(kept);
  recording.run(200);
  EXPECT_TRUE(complains(recording, "S6: node 1 seals with a key that node 1 sealed with in another life"));
  EXPECT_TRUE(complains(recording, "S6: node 1 seals a second time with counter 0 of lane 0 to"));
}

TEST(KeyRecorder, ASessionThatIsInstalledTwiceIsNoticed) {
  KeyRecording recording(kSeed);
  recording.run_until_linked();
  recording.keep_session();
  recording.run(2'000);
  ASSERT_EQ(recording.complaints(), std::vector<std::string>{});
  recording.node(1).use_again(recording.node(1).newest());
  recording.run(200);
  EXPECT_TRUE(complains(recording, "S6: node 2 seals a second time with counter 0 of lane 3 to"));
  EXPECT_FALSE(complains(recording, "in another life"));
}

}  // namespace
}  // namespace trunkline::tests
