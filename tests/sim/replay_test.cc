// The replayed outages: each row as it is stated, for ours and for every naive variant. To read one as a
// table: tools/dev sim --scenario NAME.
#include <gtest/gtest.h>

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

TEST(Replay, NodesAskedForTracksThatTheyLackAndSettingsThatAreWrongNovember2023) {
  expect_as_stated("replay/2023-11-02");
}
TEST(Replay, RestartedServersThatBelieveEachOtherUnreachableFebruary2024) {
  expect_as_stated("replay/2024-02-05");
}
TEST(Replay, ARegionThatThinksItselfIsolated) {
  expect_as_stated("replay/loop");
}
TEST(Replay, ConnectingToASlowPeer) {
  expect_as_stated("replay/relay-v2");
}
TEST(Replay, ABurstOnAColdRelayMay2026) {
  expect_as_stated("replay/2026-05");
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

TEST(Replay, SaysThatItDoesNotKnowAScenario) {
  EXPECT_EQ(run_scenario("replay/never", stderr), 2);
}

}  // namespace
}  // namespace trunkline::sim
