// The fixture of the tests of acquires and publications: nodes that are all up, and the leak check that ends
// every test: after everything was released, every slab is empty again.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "tests/support/mesh_harness.h"

namespace trunkline::relay {

inline constexpr Nanos kRoundTrip = core::from_ms(10);  // of the harness's wires

class MeshNodeTest : public testing::Test {
 protected:
  // Everybody up.
  void up(uint32_t n, const std::function<void()>& configure = {}) {
    mesh_.make(n);
    if (configure) configure();
    mesh_.start_all();
    mesh_.run_for(core::from_s(1));
    for (uint32_t i = 0; i < n; ++i) {
      for (uint32_t j = 0; j < n; ++j) {
        if (i == j) continue;
        ASSERT_EQ(mesh_.link(i, j).state, LinkState::kUp) << i << " to " << j;
      }
    }
  }
  // Releases and unpublishes all there is, waits for tombstones, and looks for what is left.
  void expect_no_leak() {
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      for (const auto& [handle, track] : mesh_.node(i).wanted) mesh_.release(i, handle);
      for (const auto& [handle, track] : mesh_.node(i).published) mesh_.unpublish(i, handle);
    }
    mesh_.run_for(core::from_s(15));
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      const MeshNode::Usage usage = mesh_.mesh(i).usage();
      EXPECT_EQ(usage.tracks, 0u) << "node " << i;
      EXPECT_EQ(usage.acquires, 0u) << "node " << i;
      EXPECT_EQ(usage.requests, 0u) << "node " << i;
      EXPECT_EQ(usage.publications, 0u) << "node " << i;
      EXPECT_EQ(usage.subscriptions_up, 0u) << "node " << i;
      EXPECT_EQ(usage.subscriptions_down, 0u) << "node " << i;
      EXPECT_EQ(usage.labels, 0u) << "node " << i;
      EXPECT_EQ(usage.timers, 0u) << "node " << i;
      EXPECT_TRUE(mesh_.node(i).flows.empty());
      EXPECT_TRUE(mesh_.node(i).egress.empty());
      EXPECT_EQ(mesh_.node(i).wrong_track, 0u);
      // What an old source still sent when a feed got a new one; it was not let through.
      EXPECT_TRUE(mesh_.node(i).foreign == 0 || counter(i, MeshCounter::feeds_replaced) > 0);
      EXPECT_EQ(mesh_.mesh(i).counters().value(MeshCounter::acquires_overdue), 0u);
      EXPECT_EQ(mesh_.mesh(i).counters().value(MeshCounter::control_rejected), 0u);
    }
  }
  uint64_t counter(uint32_t i, MeshCounter which) { return mesh_.mesh(i).counters().value(which); }
  // Its publisher sends, so that it is known to flow.
  void flowing(uint32_t i, uint64_t handle, const core::TrackId& track) {
    mesh_.publish(i, handle, track);
    mesh_.send_media(i, track);
    mesh_.run_for(kRoundTrip * 2);
  }

  // Media of track a_ each 10 ms from node `i` meanwhile.
  void stream(uint32_t i, Nanos span) {
    for (const Nanos end = mesh_.now() + span; mesh_.now() < end; mesh_.run_for(core::from_ms(10))) {
      mesh_.send_media(i, a_);
    }
  }

  // What a data core says of the flow that was opened last at node `i`.
  CoreEvent of_flow(uint32_t i, CoreEventKind kind) {
    CoreEvent e;
    e.kind = kind;
    e.label = mesh_.newest_flow(i).label;
    e.flow = mesh_.newest_flow(i).flow;
    return e;
  }

  const core::TrackId a_ = test_track(1), b_ = test_track(2);
  MeshHarness mesh_;
};

}  // namespace trunkline::relay
