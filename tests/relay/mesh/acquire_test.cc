// Acquires between a few nodes on ideal wires: which outcome comes, from whom, and when. How acquisitions end
// is mesh_node_test.cc, links are link_test.cc, bad weather is mesh_property_test.cc.
#include <gtest/gtest.h>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

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

// A host may number what it publishes and what it acquires as it likes.
TEST_F(MeshNodeTest, APublicationAndAnAcquisitionMayHaveTheSameHandle) {
  up(2);
  mesh_.publish(0, 5, a_);
  mesh_.publish(1, 5, b_);
  mesh_.run_for(kRoundTrip);
  mesh_.acquire(0, 5, b_);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(0, 5).outcome, Outcome::ok);
  mesh_.release(0, 5);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok) << "what was released is not what is published";
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

TEST_F(MeshNodeTest, AnEgressThatCannotBeOpenedEndsItsAcquisition) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(from_ms(20));
  mesh_.acquire_egress(1, 7, a_);
  mesh_.run_for(from_ms(20));
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  CoreEvent failed;
  failed.kind = CoreEventKind::kTapFailed;
  failed.address = UdpAddress::v4(127, 0, 0, 1, 1);
  mesh_.core_event(1, failed);
  EXPECT_EQ(mesh_.node(1).egress.size(), 1u) << "another destination";
  failed.address = UdpAddress::v4(127, 0, 0, 1, 9'000);
  mesh_.core_event(1, failed);
  mesh_.run_for(from_ms(20));
  EXPECT_TRUE(mesh_.node(1).egress.empty());
  EXPECT_EQ(mesh_.only(1, 7, HostEventKind::kEnded).outcome, Outcome::internal);
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
  for (const uint64_t w : {1u, 2u, 3u}) EXPECT_EQ(mesh_.only(0, w).outcome, Outcome::no_reply);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AFailedCandidateLeavesTimeForTheNext) {
  up(3, [this] { mesh_.config(2).rules.negative_answers = false; });
  mesh_.publish(1, 1, a_, 2);
  mesh_.run_for(from_ms(20));
  // The same generation is announced by a node whose id comes first, and which then says nothing.
  mesh_.publish(2, 1, a_, 2);
  mesh_.run_for(from_ms(20));
  mesh_.node(2).deaf_control = true;
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_s(1));
  const Heard ok = mesh_.only(0, 7);
  EXPECT_EQ(ok.outcome, Outcome::ok);
  EXPECT_EQ(ok.node.value, 2u);
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

}  // namespace
}  // namespace trunkline::relay
