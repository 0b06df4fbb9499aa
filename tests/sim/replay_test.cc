// The replayed outages: each row as it is stated, for ours and for every naive variant. To read one as a
// table: tools/dev sim --scenario NAME; docs/incidents.md has them all.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "tools/sim/scenario.h"

namespace trunkline::sim {
namespace {

void expect_as_stated(const std::string& name) {
  const std::vector<ScenarioRow> rows = scenario_rows(name);
  ASSERT_FALSE(rows.empty()) << name << " is no scenario";
  std::set<std::string> bitten, kept;  // situations
  for (const ScenarioRow& row : rows) {
    EXPECT_TRUE(row.as_stated) << row.situation << ", " << row.variant << ": " << row.happened;
    (row.variant == "ours" ? kept : bitten).insert(row.situation);
  }
  EXPECT_EQ(bitten, kept) << "each situation is run with ours, and with a variant that must fail in it";
}

TEST(Replay, TwoReleasesWithoutAVersionInCommonNovember2022) {
  expect_as_stated("replay/2022-11-16");
}
TEST(Replay, ADirectoryThatIsDeadOrLiesFebruary2023) {
  expect_as_stated("replay/2023-02-13");
}
TEST(Replay, NodesAskedForTracksThatTheyLackAndSettingsThatAreWrongNovember2023) {
  expect_as_stated("replay/2023-11-02");
}
TEST(Replay, RestartedServersThatBelieveEachOtherUnreachableFebruary2024) {
  expect_as_stated("replay/2024-02-05");
}
TEST(Replay, ARegionThatThinksItselfIsolatedAndNodesThatWaitInACircle) {
  expect_as_stated("replay/loop");
}
TEST(Replay, ConnectingToASlowPeer) {
  expect_as_stated("replay/relay-v2");
}
TEST(Replay, ABurstOnAColdRelayMay2026) {
  expect_as_stated("replay/2026-05");
}
TEST(Replay, AGrayNodeJune2026) {
  expect_as_stated("replay/2026-06-02");
}
TEST(Replay, ARegionIsolatedLongAfterAShortLossJune2026) {
  expect_as_stated("replay/2026-06-18");
}
TEST(Replay, AFlagThatMustBeInSyncAndIsNot) {
  expect_as_stated("replay/jitsi");
}
TEST(Replay, ClocksThatAreTenSecondsOff) {
  expect_as_stated("replay/T5");
}
TEST(Replay, AnOriginThatSaysItHasWhatItLost) {
  expect_as_stated("replay/T7");
}
TEST(Replay, ARollbackWhileOldNodesDrain) {
  expect_as_stated("replay/T10");
}
TEST(Replay, AllOfThemInOneRegionWithAVirtualWan) {
  expect_as_stated("replay/T11");
}

TEST(Replay, HasANameForEachTest) {
  const std::vector<std::string> names = scenario_names();
  for (int test = 1; test <= 11; ++test) {
    const std::string name = "replay/T" + std::to_string(test);
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
}

TEST(Replay, SaysThatItDoesNotKnowAScenario) {
  EXPECT_EQ(run_scenario("replay/never", stderr), 2);
  EXPECT_TRUE(scenario_rows("replay/never").empty());
}

}  // namespace
}  // namespace trunkline::sim
