// What a mesh that runs says of its tracks: the real records behind the sentences of
// tests/relay/explain_test.cc.
#include "relay/explain.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

class MeshExplainTest : public MeshNodeTest {
 protected:
  Explanation explain(uint32_t i) {
    Explanation e;
    mesh_.mesh(i).explain(mesh_.now(), a_, e);
    return e;
  }
  std::string line(uint32_t i) {
    return first_line(explain(i), "cam").substr(std::string("track 'cam' ").size());
  }
  void drain(uint32_t i, uint32_t successor) {
    HostCommand c;
    c.kind = HostCommandKind::kDrain;
    c.on = true;
    c.node = {successor + 1};
    mesh_.give_command(i, c);
  }
};

TEST_F(MeshExplainTest, AnAbsentTrackIsDeniedByEveryPeerThatWasAsked) {
  up(5);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(22));
  ASSERT_EQ(mesh_.only(0, 7).outcome, Outcome::not_here);
  EXPECT_EQ(line(0), "does not flow: nobody has it: 4 of 4 nodes said so, 12 ms ago");
  const Explanation e = explain(0);
  ASSERT_EQ(e.peer_count, 4u);
  for (const PeerView& peer : e.shown_peers()) {
    EXPECT_EQ(peer.link.rtt_us, static_cast<uint32_t>(kRoundTrip.us()));
    EXPECT_GE(peer.link.rtt_p99_us, peer.link.rtt_us);
  }
  mesh_.run_for(from_s(60));
  EXPECT_EQ(line(0), "does not flow: nobody has it: 4 of 4 nodes said so, 60 s ago")
      << "the recorder remembers";
}

TEST_F(MeshExplainTest, APausedPeerHasNotAnswered) {
  up(2);
  mesh_.publish(1, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.wire(0, 1).cut = true;  // it is heard until it notices
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(explain(0).waiting, 1u);
  EXPECT_EQ(line(0), "does not flow: node 2 was asked and has not answered for 100 ms");
}

TEST_F(MeshExplainTest, ADrainingPublisherAndOneThatDoesNotServeSaySo) {
  up(3, [this] {
    for (PeerConfig& peer : mesh_.config(1).peers) peer.serve = peer.id.value != 3;
  });
  mesh_.publish(1, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(2, 7, a_);
  mesh_.run_for(from_s(2));
  EXPECT_EQ(find_reason(explain(2)).cause, Cause::unauthorized) << line(2);
  EXPECT_EQ(find_reason(explain(2)).node.value, 2u);
  drain(1, 2);
  mesh_.acquire(0, 8, a_);
  mesh_.run_for(from_s(2));
  EXPECT_EQ(find_reason(explain(0)).cause, Cause::draining) << line(0);
  EXPECT_TRUE(explain(1).draining.on);
}

TEST_F(MeshExplainTest, ATrackThatComesOverARelayNamesTheWay) {
  up(3);
  mesh_.publish(2, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.both_ways(0, 2, {from_ms(5), 0, true});
  mesh_.run_for(from_s(1));
  EXPECT_EQ(find_reason(explain(0)).cause, Cause::link_down) << line(0);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(300));
  ASSERT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  const Explanation e = explain(0);
  EXPECT_EQ(e.feed.value, 2u);
  ASSERT_EQ(e.path_length, 2u);
  EXPECT_EQ(e.path[0].value, 3u);
  EXPECT_EQ(e.path[1].value, 2u);
  EXPECT_EQ(line(0), "is muted: node 2 serves it and its publisher sends nothing");
  EXPECT_EQ(explain(1).served, 1u);
}

TEST_F(MeshExplainTest, AFlightSaysWhetherTheTrackWasPublishedHere) {
  up(2);
  mesh_.publish(0, 1, a_);
  mesh_.run_for(kRoundTrip);
  for (uint32_t i = 0; i < 2; ++i) mesh_.acquire(i, 7, a_);
  mesh_.run_for(kRoundTrip * 2);
  for (uint32_t i = 0; i < 2; ++i) {
    ASSERT_EQ(mesh_.mesh(i).flights().recorded(), 1u);
    EXPECT_EQ(mesh_.mesh(i).flights().at(0).outcome, Outcome::ok);
    EXPECT_EQ(mesh_.mesh(i).flights().at(0).local, i == 0);
  }
}

TEST_F(MeshExplainTest, EveryTerminalOutcomeIsAFlight) {
  up(2);
  mesh_.publish(1, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(0, 7, a_, from_ms(400));
  mesh_.acquire(0, 8, b_, from_ms(500));
  mesh_.run_for(from_s(1));
  mesh_.release(0, 7);
  mesh_.run_for(from_s(1));
  const FlightRecorder& flights = mesh_.mesh(0).flights();
  ASSERT_EQ(flights.recorded(), 2u) << "the end of an acquisition is no outcome";
  for (uint64_t serial = 0; serial < 2; ++serial) {
    const Flight& flight = flights.at(serial);
    const bool first = flight.handle == 7;
    EXPECT_EQ(flight.outcome, first ? Outcome::ok : Outcome::not_here);
    EXPECT_EQ(flight.track, first ? a_ : b_);
    EXPECT_EQ(flight.deadline, from_ms(first ? 400 : 500));
    EXPECT_EQ(flight.elapsed, kRoundTrip);
    ASSERT_EQ(flight.asked().size(), 1u);
    EXPECT_EQ(flight.asked()[0].node.value, 2u);
    EXPECT_TRUE(flight.asked()[0].answered);
    EXPECT_EQ(flight.asked()[0].outcome, flight.outcome);
    EXPECT_EQ(flight.asked()[0].answered_after, kRoundTrip);
  }
}

}  // namespace
}  // namespace trunkline::relay
