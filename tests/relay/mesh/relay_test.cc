// Over more than one hop, and when what feeds a track changes: relaying, loops, epochs, failover.
#include <gtest/gtest.h>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

class RelayTest : public MeshNodeTest {
 protected:
  // Nodes 1 .. n in a row: each can reach its neighbours only.
  void chain(uint32_t n) {
    mesh_.make(n);
    for (uint32_t i = 0; i < n; ++i) {
      mesh_.config(i).full_mesh = false;
      for (uint32_t j = 0; j < n; ++j) mesh_.wire(i, j) = {from_ms(5), 0, i + 1 != j && j + 1 != i};
    }
    mesh_.start_all();
    mesh_.run_for(from_ms(500));
  }
  void tell_drain(uint32_t i, uint64_t successor) {
    HostCommand c;
    c.kind = HostCommandKind::kDrain;
    c.on = true;
    c.node = {successor};
    mesh_.give_command(i, c);
  }
};

TEST_F(RelayTest, ATrackTwoHopsAwayIsHadThroughTheNodeBetween) {
  chain(3);
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_);
  stream(2, from_ms(200));
  const Heard ok = mesh_.only(0, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_EQ(ok.node.value, 2u) << "who feeds it";
  EXPECT_TRUE(ok.flowing);
  EXPECT_GT(mesh_.node(0).packets[7], 5u);
  EXPECT_EQ(counter(0, MeshCounter::relays_asked), 1u);
  EXPECT_GE(counter(0, MeshCounter::pendings_received), 1u);
  EXPECT_EQ(counter(1, MeshCounter::requests_relayed), 1u);
  mesh_.release(0, 7);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.link_outputs(1), 0u) << "nothing flows that nobody wants";
  EXPECT_EQ(mesh_.link_outputs(2), 0u);
  expect_no_leak();
}

// Three publish it, and the newest is where nobody who is asked has a way to.
TEST_F(RelayTest, ATrackThatIsPublishedHereIsElsewhereRatherThanNowhere) {
  chain(3);
  for (uint32_t i = 0; i < 3; ++i) mesh_.publish(i, 1, a_, i + 1);
  mesh_.run_for(from_ms(100));
  mesh_.both_ways(1, 2, {.cut = true});
  mesh_.run_for(from_ms(300));
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_s(3));
  const Heard moved = mesh_.only(0, 7);
  EXPECT_EQ(moved.outcome, Outcome::moved);
  EXPECT_EQ(moved.node.value, 2u) << "who announced a newer one";
  EXPECT_FALSE(moved.authoritative);
  expect_no_leak();
}

TEST_F(RelayTest, ATrackThreeHopsAwayIsHadToo) {
  chain(4);
  flowing(3, 1, a_);
  mesh_.hint(1, a_, 2);  // what a directory would tell the second node
  mesh_.acquire(0, 7, a_);
  stream(3, from_ms(400));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_GT(mesh_.node(0).packets[7], 5u);
  EXPECT_EQ(counter(1, MeshCounter::requests_relayed), 1u);
  EXPECT_EQ(counter(2, MeshCounter::requests_relayed), 1u);
  expect_no_leak();
}

// A packet crosses four links: who is that far away has it, and does not say that others can have it there.
TEST_F(RelayTest, AWayThatIsLongerThanAPacketsIsRefusedAndNotStalled) {
  chain(6);
  flowing(5, 1, a_);
  for (uint32_t i = 5; i-- > 1;) {
    mesh_.acquire(i, 7, a_);
    stream(5, from_ms(200));
    ASSERT_EQ(mesh_.only(i, 7).outcome, Outcome::ok) << i;
  }
  EXPECT_GT(mesh_.node(1).packets[7], 5u);
  mesh_.acquire(0, 7, a_);
  stream(5, from_ms(100));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::not_here);
  EXPECT_FALSE(mesh_.only(0, 7).authoritative);
  for (uint32_t i = 5; i-- > 1;) mesh_.release(i, 7);
  mesh_.run_for(from_ms(200));
  expect_no_leak();
}

// The way of what one has may become longer while others look for a new source. Its publisher is there as
// before: nobody is told anything, and the short way is found.
TEST_F(RelayTest, AWayThatBecomesTooLongIsReplacedAndNobodyHearsOfIt) {
  chain(6);
  mesh_.both_ways(0, 3, {from_ms(5), 0, false});
  mesh_.both_ways(5, 1, {from_ms(5), 0, false});
  mesh_.run_for(from_s(4));
  flowing(0, 1, a_);
  for (const uint32_t i : {3u, 4u, 5u, 1u, 2u}) {
    mesh_.acquire(i, 7, a_);
    stream(0, from_ms(200));
    ASSERT_EQ(mesh_.only(i, 7).outcome, Outcome::ok) << i;
  }
  ASSERT_EQ(mesh_.only(5, 7).node.value, 5u) << "from the publisher through the fourth and the fifth";
  ASSERT_EQ(mesh_.only(2, 7).node.value, 2u) << "through the second";
  mesh_.both_ways(0, 3,
                  {from_ms(5), 0, true});  // the fourth is fed by the third then: four links to the fifth
  stream(0, from_ms(600));
  const uint64_t before = mesh_.node(5).packets[7];
  stream(0, from_ms(200));
  EXPECT_EQ(mesh_.node(5).packets[7] - before, 20u) << "over the second";
  for (const uint32_t i : {1u, 2u, 3u, 4u, 5u}) EXPECT_EQ(mesh_.only(i, 7).outcome, Outcome::ok) << i;
  EXPECT_EQ(counter(5, MeshCounter::feeds_replaced), 1u);
}

TEST_F(RelayTest, WhoCarriesATrackServesItInOneRoundTripAndAsksNobody) {
  chain(3);
  flowing(2, 1, a_);
  mesh_.acquire(1, 6, a_);
  stream(2, from_ms(100));
  const uint64_t asked = counter(1, MeshCounter::requests_sent);
  mesh_.acquire(0, 7, a_);
  stream(2, from_ms(100));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_LE(mesh_.only(0, 7).elapsed, kRoundTrip + from_ms(10) + kMeshTick) << "one packet after the answer";
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), asked);
  EXPECT_EQ(mesh_.link_outputs(2), 1u) << "one copy per remote node and track";
  // The one that carries it lets go: it goes on carrying it for the other.
  mesh_.release(1, 6);
  stream(2, from_ms(100));
  EXPECT_EQ(mesh_.link_outputs(2), 1u);
  EXPECT_GT(mesh_.node(0).packets[7], 10u);
  expect_no_leak();
}

TEST_F(RelayTest, HintsInARingAndATrackThatNobodyHasEndInNotHere) {
  up(3, [this] {
    for (uint32_t i = 0; i < 3; ++i) mesh_.config(i).full_mesh = false;
  });
  for (uint32_t i = 0; i < 3; ++i) mesh_.hint(i, a_, (i + 1) % 3);
  for (uint32_t i = 0; i < 3; ++i) mesh_.acquire(i, 7, a_);
  mesh_.run_for(from_ms(100));
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(mesh_.only(i, 7).outcome, Outcome::not_here);
    EXPECT_LE(mesh_.only(i, 7).elapsed, kRoundTrip * 2 + kMeshTick);
  }
  expect_no_leak();
}

TEST_F(RelayTest, ARelayWithoutBudgetSaysDeadlineAtOnce) {
  chain(3);
  mesh_.both_ways(1, 2, {from_ms(100), 0, false});
  mesh_.run_for(from_s(8));  // so that the round trip is known
  flowing(2, 1, a_);
  mesh_.run_for(from_ms(300));
  mesh_.acquire(0, 7, a_, from_ms(120));
  mesh_.run_for(from_ms(200));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::deadline);
  EXPECT_LE(mesh_.only(0, 7).elapsed, kRoundTrip * 2 + kMeshTick);
  expect_no_leak();
}

// What has come over as many links as a packet may cross cannot be passed on; but who needs it asks for it to
// be had over fewer, when whoever has it can be asked again.
TEST_F(RelayTest, AFeedThatIsTooLongIsShortenedForWhoeverNeedsIt) {
  chain(6);
  flowing(5, 1, a_);
  for (uint32_t i = 5; i-- > 1;) {
    mesh_.acquire(i, 7, a_);
    stream(5, from_ms(200));
    ASSERT_EQ(mesh_.only(i, 7).outcome, Outcome::ok) << i;
  }
  mesh_.both_ways(1, 5, {from_ms(5), 0, false});
  stream(5, from_s(8));  // until that link is up
  ASSERT_EQ(mesh_.link(1, 5).state, LinkState::kUp);
  mesh_.acquire(0, 7, a_);
  stream(5, from_ms(200));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_GT(mesh_.node(0).packets[7], 5u);
  EXPECT_EQ(mesh_.count(1, HostEventKind::kEnded), 0u) << "its own subscriber goes on";
  for (uint32_t i = 5; i-- > 0;) mesh_.release(i, 7);
  mesh_.run_for(from_ms(200));
  expect_no_leak();
}

// What is fed by way of the asker loops back to it, unless the way is broken: then it is just not there.
TEST_F(RelayTest, AFeedByWayOfTheAskerOverALinkThatIsDownIsNoLoop) {
  chain(3);
  flowing(0, 1, a_);
  mesh_.acquire(2, 7, a_);
  stream(0, from_ms(200));
  ASSERT_EQ(mesh_.only(2, 7).outcome, Outcome::ok);
  mesh_.both_ways(0, 2, {from_ms(5), 0, false});
  mesh_.crash(1);
  mesh_.restart(0);
  mesh_.run_for(from_s(1));
  ASSERT_EQ(mesh_.link(0, 2).state, LinkState::kUp);
  mesh_.acquire(0, 8, a_);
  mesh_.run_for(from_s(1));
  EXPECT_EQ(mesh_.only(0, 8).outcome, Outcome::not_here);
  mesh_.start(1);
  mesh_.run_for(from_s(3));
  expect_no_leak();
}

TEST_F(RelayTest, ANewerPublicationElsewhereEndsWhatIsFedByTheOld) {
  up(3);
  flowing(0, 1, a_);
  mesh_.acquire(2, 7, a_);
  mesh_.acquire(0, 5, a_);  // a subscriber beside the old publisher
  stream(0, from_ms(50));
  ASSERT_EQ(mesh_.only(2, 7).outcome, Outcome::ok);
  mesh_.publish(1, 1, a_);
  stream(0, from_ms(100));
  for (const auto& [node, handle] : {std::pair{2u, 7u}, std::pair{0u, 5u}}) {
    const Heard end = mesh_.only(node, handle, HostEventKind::kEnded);
    EXPECT_EQ(end.outcome, Outcome::moved);
    EXPECT_EQ(end.node.value, 2u);
  }
  // Whoever acquires now gets the new one, at the old publisher too.
  mesh_.acquire(2, 8, a_);
  mesh_.acquire(0, 6, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(2, 8).node.value, 2u);
  EXPECT_EQ(mesh_.only(0, 6).node.value, 2u);
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  expect_no_leak();
}

TEST_F(RelayTest, AnOlderPublisherDoesNotDenyWhatAnUnreachableNewerOneHas) {
  up(3);
  mesh_.publish(1, 1, a_, 1);
  mesh_.run_for(from_ms(50));
  mesh_.publish(2, 1, a_, 2);
  mesh_.run_for(from_ms(50));
  mesh_.both_ways(0, 2, {from_ms(5), 0, true});
  mesh_.both_ways(1, 2, {from_ms(5), 0, true});
  mesh_.run_for(from_s(1));
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::link_down);
  EXPECT_EQ(mesh_.only(0, 7).node.value, 3u);
  EXPECT_FALSE(mesh_.only(0, 7).authoritative);
}

TEST_F(RelayTest, TheWordOfAnOlderEpochIsCorrectedInOneMoreRoundTrip) {
  up(2);
  mesh_.publish(0, 1, a_, 5);
  mesh_.run_for(from_ms(50));
  mesh_.unpublish(0, 1);
  mesh_.publish(0, 2, a_, 6);  // its announcement is still under way when it is asked for
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(1, 7).generation, 6u);
  EXPECT_EQ(counter(1, MeshCounter::redirects_followed), 1u);
  expect_no_leak();
}

TEST_F(RelayTest, AFeedWhoseLinkDiesIsReplacedBehindItsSubscribersBack) {
  up(3);
  flowing(0, 1, a_);
  mesh_.acquire(2, 7, a_);
  stream(0, from_ms(100));
  const uint64_t before = mesh_.node(2).packets[7];
  mesh_.both_ways(0, 2, {from_ms(5), 0, true});
  const Nanos cut = mesh_.now();
  uint64_t now_has = before;
  while (now_has <= before + 1 && mesh_.now() < cut + from_s(1)) {
    stream(0, from_ms(10));
    now_has = mesh_.node(2).packets[7];
  }
  // 150 ms until it is seen, a round trip each to the node between and from there to the publisher.
  EXPECT_LE(mesh_.now() - cut, from_ms(150 + 50 + 30));
  EXPECT_EQ(counter(2, MeshCounter::feeds_replaced), 1u);
  EXPECT_EQ(mesh_.count(2, HostEventKind::kEnded), 0u);
  stream(0, from_ms(100));
  EXPECT_GT(mesh_.node(2).packets[7], before + 5);
  // The old source is let go of when it can be told.
  mesh_.both_ways(0, 2, {from_ms(5), 0, false});
  stream(0, from_s(2));
  EXPECT_EQ(mesh_.link_outputs(0), 1u);
  expect_no_leak();
}

TEST_F(RelayTest, AFeedThatHasFallenSilentIsNotHandedOut) {
  up(3);
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  stream(0, from_ms(100));
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  mesh_.both_ways(0, 1, {from_ms(5), 0, true});
  mesh_.both_ways(0, 2, {from_ms(5), 0, true});
  mesh_.run_for(from_ms(300));
  mesh_.acquire(2, 8, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(2, 8).outcome, Outcome::link_down)
      << "not STALLED, after a yes that was worth nothing";
  EXPECT_EQ(mesh_.only(2, 8).node.value, 1u);
  mesh_.both_ways(0, 1, {from_ms(5), 0, false});
  mesh_.both_ways(0, 2, {from_ms(5), 0, false});
  stream(0, from_s(2));
  expect_no_leak();
}

// Two nodes that could not hear of each other publish a track with the same generation: each is as good as
// the other for who asks anew, and not the same media for who has one of them.
TEST_F(RelayTest, AFeedIsNotReplacedByAnotherPublicationOfTheSameGeneration) {
  up(3);
  mesh_.publish(0, 1, a_, 4);
  mesh_.publish(1, 1, a_, 4);
  mesh_.run_for(from_ms(50));
  mesh_.acquire(2, 7, a_);
  mesh_.run_for(from_ms(50));
  ASSERT_EQ(mesh_.only(2, 7).node.value, 2u) << "the greater node id";
  mesh_.both_ways(1, 2, {from_ms(5), 0, true});
  mesh_.run_for(from_ms(500));
  EXPECT_EQ(counter(2, MeshCounter::feeds_replaced), 0u);
  EXPECT_EQ(counter(2, MeshCounter::answers_fenced), 1u);
  const Heard ended = mesh_.only(2, 7, HostEventKind::kEnded);
  EXPECT_EQ(ended.outcome, Outcome::moved);
  EXPECT_EQ(ended.node.value, 1u);
  mesh_.acquire(2, 8, a_);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(2, 8).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(2, 8).node.value, 1u);
  mesh_.both_ways(1, 2, {from_ms(5), 0, false});
  mesh_.run_for(from_s(2));
  expect_no_leak();
}

TEST_F(RelayTest, AMutedTrackIsNotStalledAndOneThatShouldFlowIs) {
  up(3);
  flowing(0, 1, a_);
  mesh_.acquire(2, 7, a_);
  stream(0, from_ms(100));
  // The publisher is muted, and says so.
  mesh_.core_event(0, of_flow(0, CoreEventKind::kFlowIdle));
  mesh_.core_event(2, of_flow(2, CoreEventKind::kFlowIdle));
  mesh_.run_for(from_s(1));
  EXPECT_EQ(counter(2, MeshCounter::stalls), 0u);
  // It says that it flows, and nothing comes.
  mesh_.core_event(0, of_flow(0, CoreEventKind::kFlowStarted));
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(counter(2, MeshCounter::stalls), 0u) << "too early";
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(counter(2, MeshCounter::stalls), 1u);
  EXPECT_EQ(mesh_.count(2, HostEventKind::kEnded), 0u) << "it is kept until there is something better";
  expect_no_leak();
}

TEST_F(RelayTest, ThatMediaStopsAndFlowsAgainIsPassedOn) {
  chain(3);
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_);
  stream(2, from_ms(200));
  for (const uint32_t i : {2u, 1u, 0u}) mesh_.core_event(i, of_flow(i, CoreEventKind::kFlowIdle));
  mesh_.run_for(from_s(1));
  EXPECT_EQ(counter(0, MeshCounter::stalls), 0u);
  mesh_.core_event(1, of_flow(1, CoreEventKind::kFlowStarted));  // and nothing comes to the last node
  mesh_.run_for(from_ms(200));
  EXPECT_EQ(counter(0, MeshCounter::stalls), 1u);
  expect_no_leak();
}

TEST_F(RelayTest, WhatStopsWithoutAWordOfItsPublisherIsStalled) {
  up(3);
  flowing(0, 1, a_);
  mesh_.acquire(2, 7, a_);
  stream(0, from_ms(100));
  mesh_.core_event(2, of_flow(2, CoreEventKind::kFlowIdle));
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(counter(2, MeshCounter::stalls), 0u) << "too early";
  mesh_.run_for(from_ms(200));
  EXPECT_EQ(counter(2, MeshCounter::stalls), 1u);
  EXPECT_EQ(mesh_.count(2, HostEventKind::kEnded), 0u) << "it is kept until there is something better";
  expect_no_leak();
}

TEST_F(RelayTest, ADrainingNodeNamesItsSuccessorWhichIsAskedNext) {
  up(3);
  mesh_.publish(1, 1, a_, 4);
  mesh_.run_for(from_ms(50));
  mesh_.publish(0, 1, a_, 4);
  mesh_.run_for(from_ms(50));
  tell_drain(1, 1);
  mesh_.acquire(2, 7, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(2, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(2, 7).node.value, 1u);
  tell_drain(0, 0);
  mesh_.run_for(from_ms(300));
  mesh_.release(2, 7);
  mesh_.acquire(2, 8, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(2, 8).outcome, Outcome::draining);
  expect_no_leak();
}

TEST_F(RelayTest, APeerThatIsNotServedIsToldSo) {
  up(2, [this] { mesh_.config(0).peers[0].serve = false; });
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(50));
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::unauthorized);
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  expect_no_leak();
}

TEST_F(RelayTest, ARetryStormIsHeldBackByItsBudget) {
  up(2, [this] { mesh_.config(0).rules.negative_answers = false; });
  constexpr uint64_t kAcquires = 200;
  for (uint64_t i = 0; i < kAcquires; ++i) mesh_.hint(1, test_track(1'000 + i), 0);
  for (uint64_t i = 0; i < kAcquires; ++i) mesh_.acquire(1, 100 + i, test_track(1'000 + i));
  mesh_.run_for(from_s(2));
  const uint64_t sent = counter(1, MeshCounter::requests_sent);
  EXPECT_GE(sent, kAcquires);
  // 64 in hand, one for ten first ones, ten a second.
  EXPECT_LE(sent, kAcquires + 64 + kAcquires / 10 + 20 + 1);
  EXPECT_GT(counter(1, MeshCounter::retries_refused), 0u);
  EXPECT_EQ(mesh_.mesh(1).usage().acquires, 0u);
  EXPECT_EQ(mesh_.mesh(1).usage().labels, 0u);
}

}  // namespace
}  // namespace trunkline::relay
