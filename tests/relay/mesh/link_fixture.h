// Two nodes or more, and whether and when their links are up.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/mesh_harness.h"

namespace trunkline::relay {

using core::from_ms;
using core::from_s;

class LinkTest : public testing::Test {
 protected:
  void make(uint32_t n) { mesh_.make(n); }
  void start_and_run(Nanos span) {
    mesh_.start_all();
    mesh_.run_for(span);
  }
  bool up(uint32_t a, uint32_t b) {
    return mesh_.link(a, b).state == LinkState::kUp && mesh_.link(b, a).state == LinkState::kUp;
  }
  // Time until both ends are up, in steps of a millisecond; kNever when that takes longer than `limit`.
  Nanos until_up(uint32_t a, uint32_t b, Nanos limit) {
    const Nanos start = mesh_.now();
    while (mesh_.now() - start < limit) {
      mesh_.run_for(from_ms(1));
      if (up(a, b)) return mesh_.now() - start;
    }
    return core::kNever;
  }
  // An idle track goes from a to b.
  void expect_media(uint32_t a, uint32_t b, uint64_t n) {
    mesh_.publish(a, 1'000 + n, test_track(n));
    mesh_.run_for(from_ms(500));
    mesh_.acquire(b, 1'000 + n, test_track(n));
    mesh_.run_for(from_s(1));
    EXPECT_EQ(mesh_.only(b, 1'000 + n).outcome, Outcome::ok);
    mesh_.send_media(a, test_track(n));
    mesh_.run_for(from_s(1));
    EXPECT_EQ(mesh_.node(b).packets[1'000 + n], 1u);
  }
  uint64_t counter(uint32_t i, MeshCounter which) { return mesh_.mesh(i).counters().value(which); }

  MeshHarness mesh_;
};

}  // namespace trunkline::relay
