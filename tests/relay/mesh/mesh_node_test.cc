// Acquires between a few nodes on ideal and on bad wires: how each outcome comes about, when, and what is
// left behind. Links are tests/relay/mesh/link_test.cc.
#include <gtest/gtest.h>

#include "tests/support/mesh_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

class MeshNodeTest : public testing::Test {
 protected:
  // Everybody up.
  void up(uint32_t n) {
    mesh_.make(n);
    mesh_.start_all();
    mesh_.run_for(from_ms(200));
    for (uint32_t i = 0; i < n; ++i) {
      for (uint32_t j = 0; j < n; ++j) {
        if (i != j) {
          ASSERT_EQ(mesh_.link(i, j).state, LinkState::kUp);
        }
      }
    }
  }
  MeshHarness mesh_;
};

TEST_F(MeshNodeTest, AnAnnouncedTrackIsAcquiredAndItsMediaArrives) {
  up(2);
  mesh_.publish(0, 1, test_track(1), 0, "opus");
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 7, test_track(1));
  mesh_.run_for(from_ms(20));
  const Heard ok = mesh_.only(1, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_FALSE(ok.flowing);
  EXPECT_EQ(ok.node.value, 1u);
  EXPECT_EQ(ok.descriptor, "opus");
  EXPECT_EQ(ok.elapsed, from_ms(10));
  for (int i = 0; i < 5; ++i) mesh_.send_media(0, test_track(1));
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.node(1).packets[7], 5u);
}

TEST_F(MeshNodeTest, AnAbsentTrackIsAnsweredInOneRoundTrip) {
  up(2);
  mesh_.acquire(1, 7, test_track(1));
  mesh_.run_for(from_ms(20));
  const Heard no = mesh_.only(1, 7);
  EXPECT_EQ(no.outcome, Outcome::not_here);
  EXPECT_EQ(no.elapsed, from_ms(10));
}

}  // namespace
}  // namespace trunkline::relay
