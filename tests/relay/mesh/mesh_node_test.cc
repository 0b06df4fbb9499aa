// Acquires between a few nodes on ideal wires: how each outcome comes about, when, and what is left behind.
// Every test ends with the leak check: after everything was released, every slab is empty again. Links are
// tests/relay/mesh/link_test.cc, bad weather is tests/relay/mesh/mesh_property_test.cc.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "tests/support/mesh_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;
using core::from_us;

constexpr Nanos kRoundTrip = from_ms(10);  // of the harness's wires

class MeshNodeTest : public testing::Test {
 protected:
  // Everybody up.
  void up(uint32_t n, const std::function<void()>& configure = {}) {
    mesh_.make(n);
    if (configure) configure();
    mesh_.start_all();
    mesh_.run_for(from_s(1));
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
    mesh_.run_for(from_s(15));
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
      EXPECT_EQ(mesh_.node(i).foreign, 0u);
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

  const core::TrackId a_ = test_track(1), b_ = test_track(2);
  MeshHarness mesh_;
};

// ---- OK

TEST_F(MeshNodeTest, AnIdleTrackIsAcquiredInOneRoundTripAndItsMediaArrivesLater) {
  up(2);
  mesh_.publish(0, 1, a_, 0, "opus");
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(20));
  const Heard ok = mesh_.only(1, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_FALSE(ok.flowing);
  EXPECT_EQ(ok.node.value, 1u);
  EXPECT_EQ(ok.descriptor, "opus");
  EXPECT_EQ(ok.generation, 1u);
  EXPECT_EQ(ok.attempts, 1u);
  EXPECT_EQ(ok.elapsed, kRoundTrip);
  for (int i = 0; i < 5; ++i) mesh_.send_media(0, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.node(1).packets[7], 5u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AFlowingTrackIsOkWhenItsFirstPacketHasArrived) {
  up(2);
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(50));
  EXPECT_TRUE(mesh_.outcomes(1, 7).empty()) << "said before a packet was seen";
  mesh_.send_media(0, a_);
  mesh_.run_for(from_ms(20));
  const Heard ok = mesh_.only(1, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_TRUE(ok.flowing);
  EXPECT_EQ(ok.elapsed, from_ms(55));
  EXPECT_EQ(mesh_.node(1).packets[7], 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, ATrackOfThisNodeIsOkAtOnce) {
  up(1);
  mesh_.publish(0, 1, a_, 0, "vp8");
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(1));
  const Heard ok = mesh_.only(0, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_TRUE(ok.local);
  EXPECT_EQ(ok.descriptor, "vp8");
  EXPECT_EQ(ok.elapsed.ns, 0);
  mesh_.send_media(0, a_);
  EXPECT_EQ(mesh_.node(0).packets[7], 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, ManyWaitersShareOneSubscription) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  for (uint64_t w = 0; w < 200; ++w) mesh_.acquire(1, 100 + w, a_);
  mesh_.run_for(from_ms(20));
  for (uint64_t w = 0; w < 200; ++w) EXPECT_EQ(mesh_.only(1, 100 + w).outcome, Outcome::ok);
  mesh_.acquire(1, 7, a_);  // joins what is there
  EXPECT_EQ(mesh_.only(1, 7).elapsed.ns, 0);
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 1u);
  EXPECT_EQ(mesh_.link_outputs(0), 1u);
  mesh_.send_media(0, a_);
  mesh_.run_for(from_ms(20));
  for (uint64_t w = 0; w < 200; ++w) EXPECT_EQ(mesh_.node(1).packets[100 + w], 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, TheNewestGenerationIsAskedFirst) {
  up(3);
  mesh_.publish(0, 1, a_, 5);
  mesh_.publish(1, 1, a_, 6);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(2, 7, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(2, 7).node.value, 2u);
  EXPECT_EQ(mesh_.only(2, 7).generation, 6u);
  EXPECT_EQ(counter(0, MeshCounter::requests_received), 0u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AnEgressIsOpenedBeforeItsOutputAndClosedAfterIt) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire_egress(1, 7, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.node(1).egress.size(), 1u);
  mesh_.release(1, 7);
  EXPECT_TRUE(mesh_.node(1).egress.empty());
  expect_no_leak();
}

// ---- negatives

TEST_F(MeshNodeTest, AnAbsentTrackIsAnsweredInOneRoundTrip) {
  up(4);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(20));
  const Heard no = mesh_.only(1, 7);
  EXPECT_EQ(no.outcome, Outcome::not_here);
  EXPECT_FALSE(no.authoritative) << "nobody was named";
  EXPECT_EQ(no.attempts, 3u);
  EXPECT_EQ(no.elapsed, kRoundTrip);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AWrongHintIsAnsweredThenDroppedAndOthersAreAsked) {
  up(3);
  mesh_.publish(2, 1, a_);
  mesh_.hint(0, a_, 1);
  mesh_.acquire(0, 7, a_);  // before the announcement is here
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(0, 7).node.value, 3u);
  EXPECT_EQ(mesh_.node(1).mesh->counters().value(MeshCounter::requests_received), 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AStaleHintToTheOnlyPeerIsNotHereInOneRoundTrip) {
  up(2);
  mesh_.hint(0, a_, 1);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::not_here);
  EXPECT_EQ(mesh_.only(0, 7).elapsed, kRoundTrip);
  EXPECT_EQ(mesh_.only(0, 7).attempts, 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, TheWordOfTheAnnouncedPublisherEndsTheSearch) {
  up(3);
  mesh_.publish(1, 1, a_);
  mesh_.run_for(from_ms(20));
  mesh_.wire(1, 0).delay = from_ms(50);  // the withdrawal comes after the request has left
  mesh_.unpublish(1, 1);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(40));
  EXPECT_TRUE(mesh_.outcomes(0, 7).empty());
  mesh_.run_for(from_ms(40));
  const Heard gone = mesh_.only(0, 7);
  EXPECT_EQ(gone.outcome, Outcome::gone);
  EXPECT_EQ(gone.node.value, 2u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, ANegativeIsRememberedBrieflyAndForgottenWhenTheTrackIsAnnounced) {
  up(2);
  mesh_.acquire(1, 1, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 2, a_);
  EXPECT_EQ(mesh_.only(1, 2).outcome, Outcome::not_here);
  EXPECT_EQ(mesh_.only(1, 2).elapsed.ns, 0);
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 1u);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(10));
  mesh_.acquire(1, 3, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(1, 3).outcome, Outcome::ok);
  expect_no_leak();
}

TEST_F(MeshNodeTest, TenThousandAcquiresForAThousandAbsentTracksAreAThousandRequests) {
  up(2, [this] {
    for (uint32_t i = 0; i < 2; ++i) {
      mesh_.config(i).limits.max_tracks = 2'000;
      mesh_.config(i).limits.max_acquires = 12'000;
      mesh_.config(i).limits.max_requests = 2'000;
      mesh_.config(i).limits.max_flows_per_core = 2'000;
    }
    mesh_.all_wires({from_ms(70), 0, false});
  });
  mesh_.run_for(from_s(1));
  for (uint64_t k = 0; k < 10'000; ++k) {
    mesh_.acquire(1, 1 + k, test_track(k % 1'000));
    if (k % 100 == 99) mesh_.run_for(from_ms(1));
  }
  mesh_.run_for(from_s(1));
  std::map<uint64_t, int> ended;
  for (const Heard& h : mesh_.node(1).heard) {
    if (h.kind != HostEventKind::kOutcome) continue;
    ++ended[h.handle];
    EXPECT_EQ(h.outcome, Outcome::not_here);
    EXPECT_LE(h.elapsed, from_ms(140 + 15)) << "more than a window of requests waits a little for company";
  }
  EXPECT_EQ(ended.size(), 10'000u);
  for (const auto& [handle, times] : ended) EXPECT_EQ(times, 1) << handle;
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 1'000u);
  EXPECT_EQ(counter(0, MeshCounter::requests_received), 1'000u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, ABurstOfTwoHundredAbsentTracksIsAnsweredInOneRoundTripAndAFewTicks) {
  up(2, [this] { mesh_.all_wires({from_ms(70), 0, false}); });
  for (uint64_t k = 1; k <= 200; ++k) mesh_.hint(0, test_track(k), 1);
  for (uint64_t k = 1; k <= 200; ++k) mesh_.acquire(0, k, test_track(k));
  mesh_.run_for(from_s(1));
  for (uint64_t k = 1; k <= 200; ++k) {
    EXPECT_EQ(mesh_.only(0, k).outcome, Outcome::not_here);
    EXPECT_LE(mesh_.only(0, k).elapsed, from_ms(140 + 5));
  }
  EXPECT_EQ(counter(1, MeshCounter::requests_received), 200u);
  expect_no_leak();
}

// ---- deadlines

TEST_F(MeshNodeTest, ASilentPeerIsNoReplyAtTheDeadlineAndNotLater) {
  up(2, [this] { mesh_.config(1).rules.negative_answers = false; });
  for (const int64_t ms : {20, 100, 1'000, 3'000}) {
    const auto handle = static_cast<uint64_t>(ms);
    mesh_.hint(0, test_track(handle), 1);
    mesh_.acquire(0, handle, test_track(handle), from_ms(ms));
  }
  mesh_.run_for(from_s(4));
  for (const int64_t ms : {20, 100, 1'000, 3'000}) {
    const Heard end = mesh_.only(0, static_cast<uint64_t>(ms));
    EXPECT_EQ(end.outcome, Outcome::no_reply);
    EXPECT_EQ(end.node.value, 2u);
    EXPECT_GE(end.elapsed, from_ms(ms));
    EXPECT_LE(end.elapsed, from_ms(ms) + kMeshTick);
    EXPECT_GE(end.attempts, 1u);
    EXPECT_LE(end.attempts, 8u);
    EXPECT_NE(end.text.find("node 2"), std::string::npos) << end.text;
  }
}

TEST_F(MeshNodeTest, EachWaiterKeepsItsOwnDeadline) {
  up(2, [this] { mesh_.config(1).rules.negative_answers = false; });
  mesh_.acquire(0, 1, a_, from_ms(500));
  mesh_.acquire(0, 2, a_, from_ms(50));
  mesh_.run_for(from_ms(30));
  mesh_.acquire(0, 3, a_, from_ms(100));
  mesh_.run_for(from_s(1));
  EXPECT_LE(mesh_.only(0, 1).elapsed - from_ms(500), kMeshTick);
  EXPECT_LE(mesh_.only(0, 2).elapsed - from_ms(50), kMeshTick);
  EXPECT_LE(mesh_.only(0, 3).elapsed - from_ms(100), kMeshTick);
  for (uint64_t w : {1, 2, 3}) EXPECT_EQ(mesh_.only(0, w).outcome, Outcome::no_reply);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AFailedCandidateLeavesTimeForTheNext) {
  up(3, [this] { mesh_.config(1).rules.negative_answers = false; });
  mesh_.publish(2, 1, a_, 1);
  mesh_.run_for(from_ms(20));
  // A newer generation is announced by a node that then forgets it and says nothing.
  mesh_.publish(1, 1, a_, 2);
  mesh_.run_for(from_ms(20));
  mesh_.node(1).deaf_control = true;
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_s(1));
  const Heard ok = mesh_.only(0, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_EQ(ok.node.value, 3u);
  EXPECT_LT(ok.elapsed, from_ms(100));
  EXPECT_EQ(ok.attempts, 2u);
}

TEST_F(MeshNodeTest, ALateAnswerStillCountsUntilTheDeadline) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(50));
  mesh_.pause(0);  // shorter than what makes a link go down
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(120));
  EXPECT_TRUE(mesh_.outcomes(1, 7).empty());
  mesh_.resume(0);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  expect_no_leak();
}

TEST_F(MeshNodeTest, APausedOwnerIsNoReplyAlthoughItsLinkGoesDown) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(50));
  mesh_.pause(0);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_s(2));
  EXPECT_EQ(mesh_.link(1, 0).state, LinkState::kDown);
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::no_reply);
  EXPECT_LE(mesh_.only(1, 7).elapsed, from_ms(1'000) + kMeshTick);
  mesh_.resume(0);
  mesh_.run_for(from_s(1));
  EXPECT_EQ(mesh_.link_outputs(0), 0u) << "the late OK was not undone";
  expect_no_leak();
}

TEST_F(MeshNodeTest, AKnownHolderWhoseLinkIsDownIsLinkDownAtOnce) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(50));
  mesh_.crash(0);
  mesh_.run_for(from_ms(400));
  mesh_.acquire(1, 7, a_);
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::link_down);
  EXPECT_EQ(mesh_.only(1, 7).node.value, 1u);
  mesh_.acquire(1, 8, b_);
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::not_here) << "nobody is known to have it";
  EXPECT_FALSE(mesh_.only(1, 8).authoritative);
}

TEST_F(MeshNodeTest, WithoutDeadlinesASilentPeerHangsTheAcquire) {
  up(2, [this] {
    mesh_.config(0).rules.deadlines = false;
    mesh_.config(1).rules.negative_answers = false;
  });
  mesh_.hint(0, a_, 1);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_s(120));
  EXPECT_TRUE(mesh_.outcomes(0, 7).empty());
}

// ---- rendezvous

TEST_F(MeshNodeTest, RendezvousWaitsForTheAnnouncement) {
  up(2);
  mesh_.acquire(1, 7, a_, from_s(5), from_s(3));
  mesh_.acquire(1, 8, a_, from_s(5), from_ms(500));
  mesh_.acquire(1, 9, a_, from_s(5), from_ms(0));
  mesh_.run_for(from_s(1));
  EXPECT_TRUE(mesh_.outcomes(1, 7).empty());
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::not_here);
  EXPECT_GE(mesh_.only(1, 8).elapsed, from_ms(500));
  EXPECT_LE(mesh_.only(1, 8).elapsed, from_ms(500) + kMeshTick);
  EXPECT_EQ(mesh_.only(1, 9).elapsed, kRoundTrip);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(1, 7).elapsed, from_s(1) + kRoundTrip * 3 / 2);
  expect_no_leak();
}

TEST_F(MeshNodeTest, ANewcomerIsAnsweredWhileOthersWaitForTheAnnouncement) {
  up(2);
  mesh_.acquire(1, 7, a_, from_s(5), from_s(3));
  mesh_.run_for(from_s(1));
  mesh_.acquire(1, 8, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::not_here);
  EXPECT_EQ(mesh_.only(1, 8).elapsed, kRoundTrip);
  EXPECT_TRUE(mesh_.outcomes(1, 7).empty());
  expect_no_leak();
}

TEST_F(MeshNodeTest, ATrackPublishedHereEndsTheRendezvous) {
  up(2);
  mesh_.acquire(1, 7, a_, from_s(5), from_s(3));
  mesh_.run_for(from_ms(100));
  mesh_.publish(1, 1, a_);
  mesh_.run_for(from_ms(1));
  EXPECT_TRUE(mesh_.only(1, 7).local);
  expect_no_leak();
}

// ---- stalled, busy, limits

TEST_F(MeshNodeTest, FlowingMediaThatDoesNotArriveIsStalledAndReleased) {
  up(2);
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(300));
  const Heard end = mesh_.only(1, 7);
  EXPECT_EQ(end.outcome, Outcome::stalled);
  EXPECT_EQ(end.node.value, 1u);
  EXPECT_GE(end.elapsed, kRoundTrip + from_ms(150));
  EXPECT_LE(end.elapsed, kRoundTrip + from_ms(150) + kMeshTick);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AStalledPeerIsFollowedByTheNextCandidate) {
  up(3);
  flowing(0, 1, a_);
  mesh_.publish(1, 1, a_, 9);
  mesh_.send_media(1, a_);
  mesh_.run_for(from_ms(50));
  mesh_.acquire(2, 7, a_);
  for (int i = 0; i < 60; ++i) {
    mesh_.send_media(0, a_);  // node 2, of the newer generation, sends nothing more
    mesh_.run_for(from_ms(5));
  }
  EXPECT_EQ(mesh_.only(2, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(2, 7).node.value, 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, APeerWithoutRoomIsBusyAndAskedAgainUntilItHasRoom) {
  up(2, [this] { mesh_.config(0).limits.max_requests = 1; });
  mesh_.publish(0, 1, a_);
  mesh_.publish(0, 2, b_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 8, b_, from_ms(300));
  mesh_.run_for(from_ms(400));
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::busy);
  mesh_.acquire(1, 9, b_);
  mesh_.run_for(from_ms(100));
  mesh_.release(1, 7);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(1, 9).outcome, Outcome::ok);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AFullSlabIsLocalLimitAtOnceAndNamesTheLimit) {
  up(2, [this] { mesh_.config(1).limits.max_acquires = 3; });
  for (uint64_t w = 1; w <= 5; ++w) mesh_.acquire(1, w, test_track(w), from_s(1), from_s(1));
  for (uint64_t w = 4; w <= 5; ++w) {
    EXPECT_EQ(mesh_.only(1, w).outcome, Outcome::local_limit);
    EXPECT_EQ(mesh_.only(1, w).elapsed.ns, 0);
    EXPECT_NE(mesh_.only(1, w).text.find("limits.max_acquires"), std::string::npos);
  }
  mesh_.run_for(from_s(2));
  for (uint64_t w = 1; w <= 3; ++w) EXPECT_EQ(mesh_.only(1, w).outcome, Outcome::not_here);
  mesh_.acquire(1, 6, a_);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(1, 6).outcome, Outcome::not_here) << "room again";
  expect_no_leak();
}

TEST_F(MeshNodeTest, LabelsThatRestAreLocalLimitUntilTheyHaveRested) {
  up(2, [this] { mesh_.config(1).limits.max_flows_per_core = 1; });  // two cores: two labels
  for (uint64_t n = 1; n <= 3; ++n) mesh_.publish(0, n, test_track(n));
  mesh_.run_for(from_ms(20));
  for (uint64_t n = 1; n <= 2; ++n) mesh_.acquire(1, n, test_track(n));
  mesh_.run_for(from_ms(20));
  for (uint64_t n = 1; n <= 2; ++n) mesh_.release(1, n);
  mesh_.acquire(1, 3, test_track(3));
  EXPECT_EQ(mesh_.only(1, 3).outcome, Outcome::local_limit);
  EXPECT_GE(counter(1, MeshCounter::labels_resting), 1u);
  mesh_.run_for(from_s(2));
  mesh_.acquire(1, 4, test_track(3));
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(1, 4).outcome, Outcome::ok);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AHandleInUseIsRefusedWithAText) {
  up(2);
  mesh_.acquire(1, 7, a_, from_s(1), from_s(1));
  mesh_.acquire(1, 7, b_);
  ASSERT_EQ(mesh_.outcomes(1, 7).size(), 1u);
  EXPECT_EQ(mesh_.outcomes(1, 7)[0].outcome, Outcome::internal);
  EXPECT_NE(mesh_.outcomes(1, 7)[0].text.find("handle"), std::string::npos);
  expect_no_leak();
}

// ---- endings

TEST_F(MeshNodeTest, ReleaseWhileWaitingIsCancelledAndLeavesNothingAtThePeer) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(2));
  mesh_.release(1, 7);
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::cancelled);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  EXPECT_EQ(counter(1, MeshCounter::answers_late), 1u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, TheLastReleaseEndsTheSubscription) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 7, a_);
  mesh_.acquire(1, 8, a_);
  mesh_.run_for(from_ms(20));
  mesh_.release(1, 7);
  EXPECT_EQ(mesh_.only(1, 7, HostEventKind::kEnded).outcome, Outcome::cancelled);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.link_outputs(0), 1u);
  mesh_.send_media(0, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.node(1).packets[7], 0u);
  EXPECT_EQ(mesh_.node(1).packets[8], 1u);
  mesh_.release(1, 8);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  EXPECT_TRUE(mesh_.node(1).flows.empty());
  expect_no_leak();
}

TEST_F(MeshNodeTest, UnpublishingEndsAllAcquisitionsWithGone) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.acquire(0, 5, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(20));
  mesh_.unpublish(0, 1);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(0, 5, HostEventKind::kEnded).outcome, Outcome::gone);
  EXPECT_EQ(mesh_.only(1, 7, HostEventKind::kEnded).outcome, Outcome::gone);
  EXPECT_EQ(mesh_.count(0, HostEventKind::kUnpublished), 1u);
  mesh_.acquire(1, 8, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::gone) << "it is remembered for a while";
  expect_no_leak();
}

TEST_F(MeshNodeTest, ThousandsOfEndingsTakeSeveralStepsAndNoTime) {
  up(2, [this] {
    mesh_.config(1).limits.max_acquires = 5'000;
    mesh_.config(1).limits.max_outputs_per_core = 5'000;
  });
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  for (uint64_t w = 0; w < 5'000; ++w) mesh_.acquire(1, 1 + w, a_);
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.count(1, HostEventKind::kOutcome), 5'000u);
  mesh_.unpublish(0, 1);
  mesh_.run_for(from_ms(5));
  EXPECT_EQ(mesh_.count(1, HostEventKind::kEnded), 5'000u);
  EXPECT_LE(mesh_.most_outputs(), MeshNode::kMaxOutputs);
  EXPECT_GT(mesh_.most_outputs(), MeshNode::kMaxOutputs / 2);
  expect_no_leak();
}

// ---- publications

TEST_F(MeshNodeTest, ATrackIsPublishedOncePerNodeAndNeverWithAnOlderGeneration) {
  up(2);
  mesh_.publish(0, 1, a_, 10);
  mesh_.publish(0, 2, a_, 11);
  EXPECT_NE(mesh_.only(0, 2, HostEventKind::kPublishFailed).text.find("already published"),
            std::string::npos);
  mesh_.run_for(from_ms(20));
  mesh_.publish(1, 3, a_, 9);
  EXPECT_NE(mesh_.only(1, 3, HostEventKind::kPublishFailed).text.find("generation 9 is stale"),
            std::string::npos);
  mesh_.publish(1, 4, a_);
  EXPECT_EQ(mesh_.only(1, 4, HostEventKind::kPublished).generation, 11u) << "one above the highest seen";
  mesh_.unpublish(0, 1);
  mesh_.publish(0, 5, a_);
  EXPECT_EQ(mesh_.only(0, 5, HostEventKind::kPublished).generation, 11u);
  expect_no_leak();
}

TEST_F(MeshNodeTest, ATapIsPublishedWhenItsSocketIsReadyAndFailsWithItsText) {
  up(2);
  HostCommand c;
  c.kind = HostCommandKind::kPublish;
  c.track = a_;
  c.ingest = true;
  for (uint64_t handle : {1, 2}) {
    c.handle = handle;
    c.track = test_track(handle);
    mesh_.give_command(0, c);
    EXPECT_EQ(mesh_.count(0, HostEventKind::kPublished), handle - 1);
    CoreEvent e;
    e.kind = handle == 1 ? CoreEventKind::kTapReady : CoreEventKind::kTapFailed;
    const FlowOpen open = mesh_.newest_flow(0);
    e.core = {static_cast<uint8_t>(open.label.index() & 1)};
    e.flow = open.flow;
    e.label = open.label;
    e.address = UdpAddress::v4(127, 0, 0, 1, 5'004);
    std::snprintf(e.text.data(), e.text.size(), "address in use");
    mesh_.core_event(0, e);
    mesh_.node(0).published[handle] = c.track;
  }
  EXPECT_EQ(mesh_.count(0, HostEventKind::kPublished), 1u);
  EXPECT_EQ(mesh_.only(0, 2, HostEventKind::kPublishFailed).text, "address in use");
  expect_no_leak();
}

TEST_F(MeshNodeTest, TooBigIsToldOncePerSecond) {
  up(1);
  mesh_.publish(0, 1, a_);
  const FlowOpen open = mesh_.newest_flow(0);
  CoreEvent e;
  e.kind = CoreEventKind::kTooBig;
  e.core = {static_cast<uint8_t>(open.label.index() & 1)};
  e.flow = open.flow;
  e.label = open.label;
  e.size = 1'500;
  e.size_max = 1'436;
  for (int i = 0; i < 25; ++i) {
    mesh_.core_event(0, e);
    mesh_.run_for(from_ms(100));
  }
  EXPECT_EQ(mesh_.count(0, HostEventKind::kTooBig), 3u);
  expect_no_leak();
}

}  // namespace
}  // namespace trunkline::relay
