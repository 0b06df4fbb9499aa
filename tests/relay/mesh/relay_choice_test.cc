// Whom a search asks to ask further, when it does not wait for one of them, and how long a no stands.
#include <gtest/gtest.h>

#include <initializer_list>
#include <utility>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

class RelayChoiceTest : public MeshNodeTest {
 protected:
  struct Edge {
    uint32_t a, b;
    Nanos delay;  // one way
  };
  // n nodes, of which only these can reach each other.
  void partial(uint32_t n, std::initializer_list<Edge> edges, const std::function<void()>& configure = {}) {
    mesh_.make(n);
    for (uint32_t i = 0; i < n; ++i) {
      mesh_.config(i).full_mesh = false;
      for (uint32_t j = 0; j < n; ++j) mesh_.wire(i, j).cut = true;
    }
    for (const Edge& e : edges) mesh_.both_ways(e.a, e.b, {e.delay});
    if (configure) configure();
    mesh_.start_all();
    mesh_.run_for(from_s(2));
  }
  // Hints stay; what was asked does not.
  void expect_nothing_asked() {
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      for (const auto& [handle, track] : mesh_.node(i).wanted) mesh_.release(i, handle);
      mesh_.node(i).deaf_control = false;
    }
    mesh_.run_for(from_s(5));
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      const MeshNode::Usage usage = mesh_.mesh(i).usage();
      EXPECT_EQ(usage.acquires, 0u) << "node " << i;
      EXPECT_EQ(usage.requests, 0u) << "node " << i;
      EXPECT_EQ(usage.subscriptions_up, 0u) << "node " << i;
      EXPECT_EQ(usage.subscriptions_down, 0u) << "node " << i;
    }
  }
  void tell_drain(uint32_t i, bool on) {
    HostCommand c;
    c.kind = HostCommandKind::kDrain;
    c.on = on;
    mesh_.give_command(i, c);
  }
};

// Nodes 1 and 2 are each told that a neighbour behind them has the track; neither is served there. Each says
// so to the other, and asks it to ask further.
TEST_F(RelayChoiceTest, TwoThatAskEachOtherEndSoonAndDoNotWaitForEachOther) {
  constexpr Nanos kFar = from_ms(100);
  partial(4, {{0, 1, from_ms(1)}, {1, 2, kFar}, {2, 3, from_ms(1)}}, [this] {
    mesh_.config(0).peers[0].serve = false;  // of node 0 the first peer is node 1,
    mesh_.config(3).peers[2].serve = false;  // of node 3 the last is node 2
  });
  mesh_.hint(1, a_, 0);
  mesh_.hint(2, a_, 3);
  for (const uint32_t i : {1u, 2u}) mesh_.acquire(i, 7, a_, from_s(3));
  mesh_.run_for(from_s(4));
  for (const uint32_t i : {1u, 2u}) {
    EXPECT_EQ(mesh_.only(i, 7).outcome, Outcome::unauthorized) << i;
    EXPECT_LE(mesh_.only(i, 7).elapsed, kFar * 8 + from_ms(100)) << "four questions, one after the other";
  }
  EXPECT_GE(counter(1, MeshCounter::requests_looped) + counter(2, MeshCounter::requests_looped), 1u);
  expect_nothing_asked();
}

// Node 1, near, was only told where the track is, and nobody there answers. Node 2, far, has heard it from
// the publisher.
TEST_F(RelayChoiceTest, APeerThatKnowsIsAskedAtOnceAlthoughOneThatWasToldIsWaitedFor) {
  partial(5, {{0, 1, from_ms(1)}, {0, 2, from_ms(50)}, {1, 4, from_ms(1)}, {2, 3, from_ms(1)}});
  flowing(3, 1, a_);
  mesh_.hint(1, a_, 4);
  mesh_.node(4).deaf_control = true;
  mesh_.acquire(0, 7, a_, from_s(3));
  for (int i = 0; i < 60; ++i) {
    mesh_.send_media(3, a_);
    mesh_.run_for(from_ms(10));
  }
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(0, 7).node.value, 3u) << "through node 2, whose id is 3";
  EXPECT_LE(mesh_.only(0, 7).elapsed, from_ms(250)) << "two round trips, a hop, and a packet";
  EXPECT_EQ(counter(0, MeshCounter::relays_asked), 2u);
  expect_nothing_asked();
}

// Both were only told: the second has its turn after a third of the time.
TEST_F(RelayChoiceTest, TheNextRelayHasItsTurnWhileTheFirstIsStillWaitedFor) {
  partial(5, {{0, 1, from_ms(1)}, {0, 2, from_ms(50)}, {1, 4, from_ms(1)}, {2, 3, from_ms(1)}});
  mesh_.hint(1, a_, 4);
  mesh_.hint(2, a_, 3);
  mesh_.node(4).deaf_control = true;
  mesh_.acquire(0, 7, a_, from_s(3));
  mesh_.run_for(from_ms(900));
  EXPECT_EQ(counter(0, MeshCounter::relays_asked), 1u);
  mesh_.run_for(from_ms(300));
  EXPECT_EQ(counter(0, MeshCounter::relays_asked), 2u);
  mesh_.run_for(from_s(2));
  expect_nothing_asked();
}

// Node 2 is fed by node 1 although it could be fed by the publisher; then node 1 loses the publisher. It asks
// node 2, which gets another feed for both.
TEST_F(RelayChoiceTest, WhoIsFedByTheOneThatAsksLooksForAnotherWayForBoth) {
  up(3);
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  const auto stream = [this](Nanos span) {
    for (const Nanos end = mesh_.now() + span; mesh_.now() < end; mesh_.run_for(from_ms(10))) {
      mesh_.send_media(0, a_);
    }
  };
  stream(from_ms(100));
  mesh_.both_ways(0, 2, {from_ms(5), 0, true});
  stream(from_ms(300));
  mesh_.acquire(2, 7, a_);
  stream(from_ms(100));
  ASSERT_EQ(mesh_.only(2, 7).node.value, 2u) << "fed by node 1, whose id is 2";
  mesh_.both_ways(0, 2, {from_ms(5), 0, false});
  stream(from_s(3));
  mesh_.both_ways(0, 1, {from_ms(5), 0, true});
  stream(from_ms(150 + 100));
  const uint64_t had = mesh_.node(1).packets[7];
  stream(from_ms(100));
  EXPECT_GE(mesh_.node(1).packets[7], had + 8) << "noticed after 150 ms, and four round trips";
  EXPECT_GE(mesh_.node(2).packets[7], had / 2);
  for (const uint32_t i : {1u, 2u}) {
    EXPECT_EQ(mesh_.count(i, HostEventKind::kEnded), 0u) << i;
    EXPECT_EQ(counter(i, MeshCounter::feeds_replaced), 1u) << i;
  }
  mesh_.both_ways(0, 1, {from_ms(5), 0, false});
  expect_no_leak();
}

TEST_F(RelayChoiceTest, ANoToTheFirstWhoWaitedDoesNotHoldForThoseWhoJoinASecondLater) {
  up(3);
  flowing(1, 1, a_);
  mesh_.hint(0, a_, 2);
  mesh_.node(2).deaf_control = true;
  tell_drain(1, true);
  mesh_.run_for(from_ms(50));
  mesh_.acquire(0, 7, a_, from_s(3));
  mesh_.run_for(from_ms(500));
  EXPECT_TRUE(mesh_.node(0).heard.empty()) << "one says that it leaves, the other says nothing";
  tell_drain(1, false);
  mesh_.run_for(from_ms(700));
  mesh_.acquire(0, 8, a_, from_s(1));
  for (int i = 0; i < 10; ++i) {
    mesh_.send_media(1, a_);
    mesh_.run_for(from_ms(10));
  }
  EXPECT_EQ(mesh_.only(0, 8).outcome, Outcome::ok);
  EXPECT_LE(mesh_.only(0, 8).elapsed, kRoundTrip * 3);
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  expect_nothing_asked();
}

// What came over node 1 has stopped, and node 3 knows nobody else to ask; then node 2 says that it has found
// another way. Nothing has come over it yet.
TEST_F(RelayChoiceTest, AFeedThatWasSilentOnTheOldWayIsNotBlamedOnTheNew) {
  partial(4, {{0, 1, from_ms(1)}, {1, 2, from_ms(1)}, {2, 3, from_ms(1)}});
  flowing(0, 1, a_);
  for (const uint32_t i : {2u, 3u}) {
    mesh_.acquire(i, 7, a_);
    stream(0, from_ms(100));
    ASSERT_EQ(mesh_.only(i, 7).outcome, Outcome::ok) << i;
  }
  mesh_.both_ways(0, 2, {from_ms(1), 0, false});
  stream(0, from_s(4));
  for (const uint32_t i : {2u, 3u}) mesh_.core_event(i, of_flow(i, CoreEventKind::kFlowIdle));
  for (int i = 0; i < 500 && counter(2, MeshCounter::feeds_replaced) == 0; ++i) mesh_.run_for(from_ms(1));
  mesh_.run_for(from_ms(3));
  ASSERT_EQ(counter(3, MeshCounter::stalls), 1u) << "of the old way";
  mesh_.acquire(3, 8, a_);
  stream(0, from_ms(200));
  EXPECT_EQ(mesh_.only(3, 8).outcome, Outcome::ok);
  EXPECT_GT(mesh_.node(3).packets[8], 5u);
  EXPECT_EQ(mesh_.count(3, HostEventKind::kEnded), 0u);
  expect_nothing_asked();
}

// Node 0 publishes and does not answer for a while, so node 1 asks node 2 to ask further: who asks node 1 for
// that is told that the question has come from there, which says nothing about a question of its own.
class RelayLoopTest : public RelayChoiceTest {
 protected:
  // Until node 1 has said so; it takes 20 ms to get there.
  void ask_in_a_circle(Nanos deadline) {
    partial(4, {{0, 1, from_ms(1)}, {1, 2, from_ms(20)}, {2, 3, from_ms(1)}});
    flowing(0, 1, a_);
    mesh_.hint(2, a_, 3);
    mesh_.node(0).deaf_control = true;
    mesh_.acquire(1, 7, a_, deadline);
    for (int i = 0; i < 3'000 && counter(1, MeshCounter::requests_looped) == 0; ++i)
      mesh_.run_for(from_ms(1));
    ASSERT_EQ(counter(1, MeshCounter::requests_looped), 1u);
    mesh_.node(0).deaf_control = false;
  }
  void expect_media_from(core::NodeId id) {
    stream(0, from_ms(500));
    EXPECT_EQ(mesh_.only(2, 8).outcome, Outcome::ok);
    EXPECT_EQ(mesh_.only(2, 8).node, id);
    EXPECT_GT(mesh_.node(2).packets[8], 5u);
    expect_nothing_asked();
  }
};

TEST_F(RelayLoopTest, ANoThatWasFoundForAPeerOnTheWayIsNotRemembered) {
  ask_in_a_circle(from_ms(170));  // some 10 ms before node 2 has to answer
  mesh_.run_for(from_ms(22));
  mesh_.acquire(2, 8, a_);
  expect_media_from({2});
}

TEST_F(RelayLoopTest, WhoJoinsASearchForAPeerOnTheWayHasThatPeerAskedForItself) {
  ask_in_a_circle(from_s(3));
  mesh_.acquire(2, 8, a_);
  expect_media_from({2});
}

}  // namespace
}  // namespace trunkline::relay
