// What runs out or comes to an end: stalled and busy peers, full slabs, releases, publications and their
// taps. Acquires themselves are acquire_test.cc.
#include <gtest/gtest.h>

#include <vector>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

// ---- what the whole mesh is judged by

TEST_F(MeshNodeTest, WhatStandsBetweenTwoNodesIsShown) {
  struct Seen final : MeshNode::Inspector {
    void wait(const MeshNode::WaitView& v) override { waits.push_back(v); }
    void feed(const MeshNode::FeedView& v) override { feeds.push_back(v); }
    void serve(const MeshNode::ServeView& v) override { serves.push_back(v); }
    std::vector<MeshNode::WaitView> waits;
    std::vector<MeshNode::FeedView> feeds;
    std::vector<MeshNode::ServeView> serves;
  };
  const auto look = [this](uint32_t i) {
    Seen seen;
    mesh_.mesh(i).inspect(seen);
    return seen;
  };
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(kRoundTrip);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(kRoundTrip / 2);
  const Seen asking = look(1);
  ASSERT_EQ(asking.waits.size(), 1u);
  EXPECT_EQ(asking.waits[0].track, a_);
  EXPECT_EQ(asking.waits[0].on.value, 1u);
  EXPECT_EQ(asking.waits[0].hop_limit, 0u);
  EXPECT_FALSE(asking.waits[0].pending);
  EXPECT_TRUE(asking.feeds.empty());
  mesh_.run_for(kRoundTrip);
  const Seen fed = look(1), serving = look(0);
  EXPECT_TRUE(fed.waits.empty());
  ASSERT_EQ(fed.feeds.size(), 1u);
  EXPECT_EQ(fed.feeds[0].from.value, 1u);
  EXPECT_TRUE(fed.feeds[0].established);
  ASSERT_EQ(serving.serves.size(), 1u);
  EXPECT_EQ(serving.serves[0].to.value, 2u);
  EXPECT_FALSE(serving.serves[0].waiting);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AnOkNamesTheDataCoreThatDelivers) {
  up(2);  // with two data cores each: tracks go to them by turns
  mesh_.publish(0, 1, a_);
  mesh_.publish(0, 2, b_);
  mesh_.run_for(kRoundTrip);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(1, 8, b_);
  mesh_.run_for(kRoundTrip * 2);
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  ASSERT_EQ(mesh_.only(1, 8).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(1, 7).core.value + mesh_.only(1, 8).core.value, 1);
  expect_no_leak();
}

TEST_F(MeshNodeTest, FeedbackGoesToThePublishersOwnLabel) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(kRoundTrip);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(kRoundTrip * 2);
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  EXPECT_NE(mesh_.newest_flow(0).label, Label{});
  EXPECT_EQ(mesh_.newest_flow(1).upstream_label, mesh_.newest_flow(0).label);
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
  mesh_.publish(1, 1, a_, 1);
  mesh_.send_media(1, a_);
  mesh_.run_for(from_ms(50));
  mesh_.acquire(2, 7, a_);
  for (int i = 0; i < 60; ++i) {
    mesh_.send_media(0, a_);  // node 2, asked first for its id, sends nothing more
    mesh_.run_for(from_ms(5));
  }
  EXPECT_EQ(mesh_.only(2, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(2, 7).node.value, 1u);
  expect_no_leak();
}

// Its media begins again just after it was given up; the one who came meanwhile had no yes of its own.
TEST_F(MeshNodeTest, WhoJoinedAfterAYesThatWasEmptyIsNotToldThatItStalled) {
  up(2);
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(100));
  mesh_.acquire(1, 8, a_);
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 1u);
  mesh_.run_for(from_ms(62));
  EXPECT_EQ(counter(1, MeshCounter::stalls), 1u);
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 2u);
  for (int i = 0; i < 10; ++i) {
    mesh_.send_media(0, a_);
    mesh_.run_for(from_ms(5));
  }
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  expect_no_leak();
}

TEST_F(MeshNodeTest, AYesThatIsEmptyTwiceIsStalledForAllWhoWait) {
  up(2);
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(100));
  mesh_.acquire(1, 8, a_);
  mesh_.run_for(from_ms(400));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::stalled);
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::stalled);
  EXPECT_LE(mesh_.only(1, 7).elapsed, (kRoundTrip + from_ms(150) + kMeshTick) * 2) << "and not a third time";
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 2u);
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
  for (const uint64_t handle : {1u, 2u}) {
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
