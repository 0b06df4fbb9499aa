// Peers that are asked last for what came of asking them.
#include <gtest/gtest.h>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;

class RelayEjectionTest : public MeshNodeTest {
 protected:
  // Node 0 says that its track flows, and sends nothing, as often as node `i` puts up with.
  void eject_publisher(uint32_t i) {
    for (uint64_t handle = 10; !mesh_.link(i, 0).ejected; ++handle) {
      ASSERT_LT(handle, 14u);
      mesh_.acquire(i, handle, a_, from_ms(400));
      mesh_.run_for(from_ms(450));
      EXPECT_EQ(mesh_.only(i, handle).outcome, Outcome::stalled);
    }
  }
};

TEST_F(RelayEjectionTest, APeerThatSaysYesAndSendsNothingIsEjectedAndComesBackByAProbe) {
  up(4);
  uint64_t handle = 10;
  const auto try_once = [&](bool media) {
    mesh_.acquire(3, handle, a_);
    if (media) {
      stream(0, from_ms(250));
    } else {
      mesh_.run_for(from_ms(250));
    }
    const Outcome outcome = mesh_.only(3, handle).outcome;
    mesh_.release(3, handle++);
    mesh_.run_for(from_ms(20));
    return outcome;
  };
  flowing(0, 1, a_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(try_once(false), Outcome::stalled);
  EXPECT_TRUE(mesh_.link(3, 0).ejected);
  EXPECT_EQ(counter(3, MeshCounter::peers_ejected), 1u);
  // Nobody else has it: so it is asked all the same, with everybody, and its yes is taken when all have
  // spoken.
  EXPECT_EQ(try_once(true), Outcome::ok);
  EXPECT_FALSE(mesh_.link(3, 0).ejected);
  EXPECT_EQ(counter(3, MeshCounter::peers_returned), 1u);
  expect_no_leak();
}

// Its former life is not held against it.
TEST_F(RelayEjectionTest, AnEjectedPeerThatRestartsIsAskedAsAnybody) {
  up(4);
  flowing(0, 1, a_);
  eject_publisher(3);
  mesh_.crash(0);
  mesh_.restart(0);
  mesh_.run_for(from_ms(300));
  EXPECT_EQ(mesh_.link(3, 0).state, LinkState::kUp);
  EXPECT_FALSE(mesh_.link(3, 0).ejected);
  mesh_.node(0).published.clear();
  expect_no_leak();
}

// One of two that are busy is always being asked again: only what they said first counts.
TEST_F(RelayEjectionTest, TheYesOfAnEjectedPeerDoesNotWaitForPeersThatAreBusy) {
  up(5, [this] {
    for (const uint32_t busy : {1u, 2u}) {
      mesh_.config(busy).limits.max_requests = 1;
      mesh_.both_ways(3, busy, {from_ms(5 + 35 * busy)});
    }
  });
  for (const uint32_t busy : {1u, 2u}) {
    mesh_.publish(busy, 1, test_track(10 + busy));
    mesh_.run_for(kRoundTrip);
    mesh_.acquire(4, 1 + busy, test_track(10 + busy));
    mesh_.run_for(kRoundTrip * 3);
  }
  flowing(0, 1, a_);
  eject_publisher(3);
  mesh_.acquire(3, 20, a_);
  stream(0, from_ms(500));
  EXPECT_EQ(mesh_.only(3, 20).outcome, Outcome::ok);
  EXPECT_LT(mesh_.only(3, 20).elapsed, from_ms(175)) << "the longer of their round trips is 150 ms";
  expect_no_leak();
}

TEST_F(RelayEjectionTest, NoMoreThanAThirdOfThePeersIsEjected) {
  up(3);  // two peers: a third of two is none
  flowing(0, 1, a_);
  for (uint64_t handle = 10; handle < 15; ++handle) {
    mesh_.acquire(2, handle, a_);
    mesh_.run_for(from_ms(250));
  }
  EXPECT_FALSE(mesh_.link(2, 0).ejected);
  EXPECT_GE(counter(2, MeshCounter::ejections_capped), 1u);
  expect_no_leak();
}

}  // namespace
}  // namespace trunkline::relay
