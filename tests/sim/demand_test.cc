// What is demanded of those whose track came by way of a node that went down: for its lease the feed may
// stand, and media that was said to flow does not come. And what the replacement of keys costs. Beside that,
// nothing else is excused.
#include "tools/sim/demand.h"

#include <gtest/gtest.h>

namespace trunkline::sim {
namespace {

using relay::Outcome;

constexpr Nanos kDeadline = core::from_ms(1'500);
constexpr NodeIndex kBeyond[] = {2, 3, 4};

Options five_nodes(Topology topology) {
  using enum Region;
  Options o = plain_options(1, {kFrankfurt, kWashington, kLondon, kLondon, kTokyo});
  o.topology = topology;
  o.links = LinkSet(topology, o.nodes);
  return o;
}

// Node 0 publishes.
struct Stage {
  Options options;
  Report report;
  Fleet fleet{options, report, nullptr};
  Demands demands{fleet, options};
  TrackTruth track;

  explicit Stage(Topology topology) : options(five_nodes(topology)) {
    for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.start(node);
    track.publishers = {0};
  }
  void lose(NodeIndex node) {
    fleet.crash(node);
    track.lost_between.push_back({node, 0, fleet.now()});
  }
  // That, rather than the no which is demanded.
  bool may_be(NodeIndex node, Outcome outcome) const {
    const Demand d = demands.of(node, track, kDeadline);
    return d.expect == Expect::kNotHere && (d.also >> static_cast<uint32_t>(outcome) & 1) != 0;
  }
  bool may_stall(NodeIndex node) const { return may_be(node, Outcome::stalled); }
};

TEST(Demands, AFeedStandsForTheLeaseOfANodeThatItCameOver) {
  Stage s(Topology::kChain);
  s.lose(1);
  s.fleet.run_until(core::from_s(4));
  for (const NodeIndex node : kBeyond) {
    EXPECT_TRUE(s.may_stall(node)) << node;
    EXPECT_TRUE(s.may_be(node, Outcome::ok)) << node;  // it was muted when the node went down
    EXPECT_EQ(s.demands.of(node, s.track, kDeadline).within, Nanos{}) << node;
  }
  s.fleet.run_until(core::from_s(11));
  for (const NodeIndex node : kBeyond) EXPECT_FALSE(s.may_stall(node)) << node;
}

TEST(Demands, WhatWasPublishedAfterTheNodeWentDownNeverCameOverIt) {
  Stage s(Topology::kChain);
  s.fleet.crash(1);
  for (const NodeIndex node : kBeyond) EXPECT_FALSE(s.may_stall(node)) << node;
}

TEST(Demands, AFeedStandsOverTwoNodesThatWentDownOneAfterTheOther) {
  Stage s(Topology::kChain);
  s.lose(1);
  s.fleet.run_until(core::from_s(4));
  s.lose(2);
  s.fleet.run_until(core::from_s(12));
  EXPECT_TRUE(s.may_stall(3));
  EXPECT_TRUE(s.may_stall(4));
}

TEST(Demands, ANodeThatIsThereAgainSaysThatTheTrackIsNoMore) {
  Stage s(Topology::kChain);
  s.lose(1);
  s.track.publishers = {};
  EXPECT_TRUE(s.may_stall(3)) << "the word of its end cannot get there";
  s.fleet.start(1);
  EXPECT_FALSE(s.may_stall(3));
}

TEST(Demands, WhoReachesThePublisherOnAnotherWayHearsThatTheTrackIsNoMore) {
  Stage s(Topology::kRing);
  s.lose(1);
  s.track.publishers = {};
  for (const NodeIndex node : kBeyond) EXPECT_FALSE(s.may_stall(node)) << node;
}

TEST(Demands, NothingIsExcusedOnThePublishersSideOfTheGap) {
  Stage s(Topology::kChain);
  s.lose(2);
  s.track.publishers = {};
  EXPECT_FALSE(s.may_stall(1));
  EXPECT_TRUE(s.may_stall(3));
}

// ---- where keys are replaced

TEST(Demands, ARoundTripMoreIsGrantedWhereKeysAreReplaced) {
  Stage s(Topology::kFull);
  const auto within = [&s](NodeIndex node) { return s.demands.of(node, s.track, kDeadline).within; };
  const Nanos before = within(2);
  ASSERT_GT(before, Nanos{});
  s.options.rekey = core::from_s(2);
  EXPECT_EQ(within(2), before + s.fleet.largest_round_trip(2));
  EXPECT_EQ(within(0), core::from_ms(20)) << "its own track: nothing is sent";
}

}  // namespace
}  // namespace trunkline::sim
