// Links: handshakes that are lost, repeated, simultaneous; peers that stop, restart, or hear nothing.
#include <gtest/gtest.h>

#include "tests/relay/mesh/link_fixture.h"

namespace trunkline::relay {
namespace {

TEST_F(LinkTest, BothEndsAreUpAfterOneAndAHalfRoundTrips) {
  make(2);
  mesh_.start_all();
  EXPECT_LE(until_up(0, 1, from_s(1)), from_ms(16));
  EXPECT_EQ(mesh_.link(0, 1).incarnation, 1'000u);
  EXPECT_EQ(mesh_.link(0, 1).node.value, 2u);
}

TEST_F(LinkTest, SimultaneousOpenMakesOneSessionOnWiresOfAnyLength) {
  for (const int64_t ms : {1, 40, 120, 300}) {
    MeshHarness mesh(static_cast<uint64_t>(ms));
    mesh.make(4);
    mesh.all_wires({from_ms(ms), 0, false});
    mesh.start_all();
    mesh.run_for(from_s(4));
    for (uint32_t i = 0; i < 4; ++i) {
      for (uint32_t j = 0; j < 4; ++j) {
        if (i == j) continue;
        EXPECT_EQ(mesh.link(i, j).state, LinkState::kUp) << ms << " ms";
      }
      EXPECT_EQ(mesh.node(i).sessions.size(), 3u) << "one per peer is left, " << ms << " ms";
      EXPECT_EQ(mesh.mesh(i).counters().value(MeshCounter::links_up), 3u);
    }
  }
}

TEST_F(LinkTest, AnyOneHandshakeDatagramMayBeLost) {
  for (int lost = 0; lost < 3; ++lost) {
    MeshHarness mesh(7);
    mesh.make(2);
    mesh.start_all();
    // msg1 leaves at 1 ms, msg2 at 6 ms, confirm at 11 ms; the other node's msg1 is ignored.
    const auto [from, to] = lost == 1 ? std::pair(1u, 0u) : std::pair(0u, 1u);
    mesh.run_until(from_ms(1 + 5 * lost) - Nanos{1});
    mesh.wire(from, to).cut = true;
    mesh.run_for(from_ms(2));
    mesh.wire(from, to).cut = false;
    mesh.run_for(from_s(1));
    EXPECT_EQ(mesh.link(0, 1).state, LinkState::kUp) << "lost: " << lost;
    EXPECT_EQ(mesh.link(1, 0).state, LinkState::kUp) << "lost: " << lost;
  }
}

TEST_F(LinkTest, ALinkIsUpThreeSecondsAfterItsWireIsWholeAgainWhateverTheOutage) {
  for (const int64_t outage_ms : {200, 1'000, 4'000, 20'000}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      MeshHarness mesh(seed);
      mesh.make(2);
      mesh.start_all();
      mesh.run_for(from_ms(300));
      mesh.both_ways(0, 1, {from_ms(50), 0, true});
      mesh.run_for(from_ms(outage_ms));
      EXPECT_EQ(mesh.link(0, 1).state, LinkState::kDown);
      EXPECT_EQ(mesh.link(1, 0).state, LinkState::kDown);
      mesh.both_ways(0, 1, {from_ms(50), 0, false});
      mesh.run_for(from_s(3));
      EXPECT_EQ(mesh.link(0, 1).state, LinkState::kUp);
      EXPECT_EQ(mesh.link(1, 0).state, LinkState::kUp);
    }
  }
}

TEST_F(LinkTest, AStoppedPeerIsDownAfterDownAfterAndItsMediaIsNotDropped) {
  make(2);
  start_and_run(from_ms(300));
  mesh_.publish(0, 1, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.acquire(1, 7, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.both_ways(0, 1, {from_ms(5), 0, true});
  mesh_.run_for(from_ms(100));
  EXPECT_TRUE(up(0, 1)) << "too early";
  mesh_.run_for(from_ms(56));
  EXPECT_EQ(mesh_.link(0, 1).state, LinkState::kDown);
  EXPECT_EQ(mesh_.link(1, 0).state, LinkState::kDown);
  mesh_.both_ways(0, 1, {from_ms(5), 0, false});
  mesh_.send_media(0, test_track(1));  // before anything else
  mesh_.run_for(from_ms(6));
  EXPECT_EQ(mesh_.node(1).packets[7], 1u);
  EXPECT_EQ(mesh_.count(1, HostEventKind::kEnded), 0u);
}

TEST_F(LinkTest, AnOutageShorterThanTheLeaseKeepsSubscriptionsOfTheSameIncarnation) {
  make(2);
  start_and_run(from_ms(300));
  mesh_.publish(0, 1, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.acquire(1, 7, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.both_ways(0, 1, {from_ms(5), 0, true});
  mesh_.run_for(from_s(9));
  mesh_.both_ways(0, 1, {from_ms(5), 0, false});
  mesh_.run_for(from_s(4));
  mesh_.send_media(0, test_track(1));
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.node(1).packets[7], 1u);
  EXPECT_EQ(mesh_.count(1, HostEventKind::kEnded), 0u);
  EXPECT_EQ(mesh_.link_outputs(0), 1u);
}

TEST_F(LinkTest, ThePeerThatIsSilentForItsLeaseIsSentNothingAndExpectedToSendNothing) {
  make(2);
  start_and_run(from_ms(300));
  mesh_.publish(0, 1, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.acquire(1, 7, test_track(1));
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.link_outputs(0), 1u);
  mesh_.both_ways(0, 1, {from_ms(5), 0, true});
  mesh_.run_for(from_ms(10'100));
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  EXPECT_EQ(mesh_.count(1, HostEventKind::kEnded), 1u);
  EXPECT_EQ(mesh_.mesh(0).counters().value(MeshCounter::leases_over), 1u);
  // And when it comes back, all is told anew.
  mesh_.both_ways(0, 1, {from_ms(5), 0, false});
  mesh_.run_for(from_s(3));
  mesh_.acquire(1, 8, test_track(1));
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(1, 8).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.link_outputs(0), 1u);
}

TEST_F(LinkTest, ASessionWhoseControlIsNeverAcknowledgedIsReplacedAndTheLinkStaysUp) {
  make(2);
  start_and_run(from_s(1));
  mesh_.publish(0, 1, test_track(1));
  mesh_.publish(0, 3, test_track(3));
  mesh_.run_for(from_ms(100));
  mesh_.acquire(1, 4, test_track(3));
  mesh_.run_for(from_ms(100));
  const auto& session = mesh_.node(1).sessions[mesh_.node(1).active[0]];
  mesh_.wire(1, 0).muted_session = session.peer_index;
  const Nanos asked = mesh_.now();
  mesh_.acquire(1, 2, test_track(1), from_s(10));
  mesh_.run_for(from_ms(2'900));
  EXPECT_TRUE(mesh_.outcomes(1, 2).empty()) << "nothing is the matter before 3 s are over";
  mesh_.run_for(from_s(2));
  EXPECT_EQ(mesh_.only(1, 2).outcome, Outcome::ok);
  EXPECT_LE(mesh_.only(1, 2).at - asked, from_ms(3'100));
  EXPECT_EQ(counter(1, MeshCounter::streams_stalled), 1u);
  for (uint32_t i = 0; i < 2; ++i) EXPECT_EQ(counter(i, MeshCounter::links_down), 0u);
  mesh_.run_for(from_s(10));
  EXPECT_EQ(counter(1, MeshCounter::streams_stalled), 1u) << "the new one is well";
  EXPECT_EQ(mesh_.only(1, 4).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.count(1, HostEventKind::kEnded), 0u) << "what the peer fed before it goes on feeding";
}

// The end of a track is not told while a peer is down; then the track is published once more, and that fails.
TEST_F(LinkTest, APeerThatWasDownHearsOfAnEndAlthoughThePlaceOfItsTombstoneWasTaken) {
  make(2);
  start_and_run(from_s(1));
  mesh_.publish(0, 1, test_track(1));
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.mesh(1).usage().tracks, 1u);
  mesh_.both_ways(0, 1, {from_ms(5), 0, true});
  mesh_.run_for(from_ms(500));
  mesh_.unpublish(0, 1);
  // A tap whose socket cannot be opened: nobody is told that the track is there.
  HostCommand again;
  again.kind = HostCommandKind::kPublish;
  again.handle = 2;
  again.track = test_track(1);
  again.ingest = true;
  mesh_.give_command(0, again);
  CoreEvent failed;
  failed.kind = CoreEventKind::kTapFailed;
  failed.flow = mesh_.newest_flow(0).flow;
  failed.label = mesh_.newest_flow(0).label;
  failed.core = {static_cast<uint8_t>(failed.label.index() & 1)};
  mesh_.core_event(0, failed);
  EXPECT_EQ(mesh_.count(0, HostEventKind::kPublishFailed), 1u);
  mesh_.both_ways(0, 1, {from_ms(5), 0, false});
  mesh_.run_for(from_s(3));
  EXPECT_TRUE(up(0, 1));
  EXPECT_EQ(mesh_.mesh(1).usage().tracks, 0u) << "it believes in no track that is gone";
}

TEST_F(LinkTest, HalfOpenIsDownAtBothEndsAndComesBack) {
  make(2);
  start_and_run(from_ms(500));
  mesh_.wire(0, 1).cut = true;
  mesh_.run_for(from_ms(400));
  EXPECT_EQ(mesh_.link(1, 0).state, LinkState::kDown) << "hears nothing";
  EXPECT_EQ(mesh_.link(0, 1).state, LinkState::kDown) << "is not heard";
  mesh_.run_for(from_s(5));
  EXPECT_EQ(mesh_.link(0, 1).state, LinkState::kDown) << "stays so";
  mesh_.wire(0, 1).cut = false;
  EXPECT_LE(until_up(0, 1, from_s(3)), from_s(3));
  expect_media(0, 1, 5);
}

TEST_F(LinkTest, ARestartedPeerIsANewIncarnationAndEndsWhatItFed) {
  make(2);
  start_and_run(from_ms(300));
  mesh_.publish(0, 1, test_track(1));
  mesh_.publish(1, 1, test_track(2));
  mesh_.run_for(from_ms(50));
  mesh_.acquire(1, 7, test_track(1));
  mesh_.acquire(0, 8, test_track(2));
  mesh_.run_for(from_ms(50));
  mesh_.restart(0);  // within one heartbeat
  mesh_.run_for(from_s(3));
  ASSERT_TRUE(up(0, 1));
  EXPECT_EQ(mesh_.link(1, 0).incarnation, 2'000u);
  EXPECT_EQ(mesh_.mesh(1).counters().value(MeshCounter::peers_reborn), 1u);
  EXPECT_EQ(mesh_.mesh(0).counters().value(MeshCounter::peers_reborn), 0u) << "it knew nobody";
  EXPECT_EQ(mesh_.only(1, 7, HostEventKind::kEnded).outcome, Outcome::link_down);
  EXPECT_EQ(mesh_.link_outputs(1), 0u) << "the output toward the old incarnation is gone";
  EXPECT_EQ(mesh_.mesh(1).usage().tracks, 1u) << "and so are its announcements";
  expect_media(0, 1, 5);
  expect_media(1, 0, 6);
}

// Who proved itself holds the session already: it can say within a round trip that it hears.
TEST_F(LinkTest, ANewIncarnationThatHearsNothingIsGivenUpAfterARoundTrip) {
  make(2);
  mesh_.both_ways(0, 1, {from_ms(100), 0, false});
  start_and_run(from_s(8));
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.start(0);
  const auto run_until = [this](uint32_t i, bool is_up) {
    const Nanos since = mesh_.now();
    while ((mesh_.link(i, 1 - i).state == LinkState::kUp) != is_up && mesh_.now() - since < from_s(5))
      mesh_.run_for(from_ms(1));
    return mesh_.now() - since;
  };
  run_until(0, true);
  mesh_.wire(1, 0).cut = true;
  EXPECT_LE(run_until(1, true), from_ms(101)) << "the confirm was on its way";
  EXPECT_LE(run_until(1, false), from_ms(200 + 120 + 10)) << "a round trip, two heartbeats and a bit";
}

// Its answers are lost for most of the time that it waits for the proof; the one that arrives is proven
// later.
TEST_F(LinkTest, WhoAnswersOnceMoreWaitsForTheProofOfThat) {
  constexpr Nanos kRtt = from_ms(320);
  make(2);
  mesh_.both_ways(0, 1, {kRtt / 2, 0, false});
  Nanos first = core::kNever, arrives = core::kNever;
  mesh_.lose_handshake = [&](std::span<const uint8_t> datagram) {
    if (decode_header(datagram.data()).type != DatagramType::kHandshake2) return false;
    first = std::min(first, mesh_.now());
    if (mesh_.now() < first + from_ms(650)) return true;
    arrives = std::min(arrives, mesh_.now());
    return false;
  };
  mesh_.start_all();
  for (int i = 0; i < 3'000 && !up(0, 1); ++i) mesh_.run_for(from_ms(1));
  ASSERT_GT(arrives + kRtt, first + from_s(1)) << "after the time for the proof of the first";
  EXPECT_LE(mesh_.now(), arrives + kRtt + from_ms(5));
}

// However long its answers once took. The exchange took longer than a round trip, too, because its first
// messages were lost; and what answered the last of them is not there any more.
TEST_F(LinkTest, ANewIncarnationIsWaitedForAsLongAsARoundTripTakesNowadays) {
  make(2);
  mesh_.both_ways(0, 1, {from_ms(400), 0, false});
  start_and_run(from_s(5));
  mesh_.both_ways(0, 1, {from_ms(50), 0, false});
  mesh_.run_for(from_s(4));
  ASSERT_TRUE(up(0, 1));
  mesh_.crash(1);
  mesh_.node(1).incarnation += 1'000;
  mesh_.run_for(from_s(1));
  mesh_.lose_handshake = [](std::span<const uint8_t> datagram) {
    return decode_header(datagram.data()).type == DatagramType::kHandshake2;
  };
  mesh_.start(1);
  mesh_.run_for(from_s(1));
  mesh_.lose_handshake = {};
  bool answered = false;
  mesh_.see_handshake = [&](MeshHarness::Node&, const UdpAddress&, std::span<const uint8_t> datagram) {
    answered = answered || decode_header(datagram.data()).type == DatagramType::kHandshake2;
  };
  for (int i = 0; i < 2'000 && !answered; ++i) mesh_.run_for(from_ms(1));
  ASSERT_TRUE(answered);
  mesh_.crash(1);
  mesh_.run_for(from_ms(60));
  ASSERT_EQ(mesh_.link(0, 1).state, LinkState::kUp);
  const Nanos since = mesh_.now();
  while (mesh_.link(0, 1).state == LinkState::kUp && mesh_.now() - since < from_s(5))
    mesh_.run_for(from_ms(1));
  EXPECT_LE((mesh_.now() - since).ms(), 200 + 150 + 10) << "twice a round trip, and a silence";
}

TEST_F(LinkTest, ANodeWhoseClockWentBackRaisesItsIncarnation) {
  make(2);
  start_and_run(from_ms(300));
  mesh_.crash(0);
  mesh_.node(0).incarnation = 500;
  mesh_.run_for(from_ms(500));
  mesh_.start(0);
  mesh_.run_for(from_s(3));
  EXPECT_TRUE(up(0, 1));
  EXPECT_EQ(mesh_.mesh(0).incarnation(), 1'001u);
  EXPECT_EQ(mesh_.link(1, 0).incarnation, 1'001u);
  EXPECT_TRUE(mesh_.node(0).errors.empty()) << "not an incompatibility";
}

// Later, with the next exchange, what the other peers have from here would end for nothing.
TEST_F(LinkTest, ANodeThatRaisesItsIncarnationTellsItToAllPeersAtOnce) {
  make(3);
  start_and_run(from_ms(300));
  mesh_.crash(0);
  mesh_.both_ways(0, 2, {.cut = true});
  mesh_.run_for(from_ms(500));
  mesh_.node(0).incarnation = 2'000;  // which only node 2 hears of
  mesh_.start(0);
  mesh_.run_for(from_s(1));
  ASSERT_EQ(mesh_.link(1, 0).incarnation, 2'000u);
  mesh_.crash(0);
  mesh_.node(0).incarnation = 1'500;
  mesh_.both_ways(0, 2, {});
  mesh_.wire(1, 0) = {.delay = from_ms(300)};  // so that node 3 has it before node 2 has its say
  mesh_.start(0);
  mesh_.run_for(from_ms(200));
  ASSERT_EQ(mesh_.link(2, 0).incarnation, 1'500u);
  mesh_.run_for(from_s(3));
  EXPECT_EQ(mesh_.mesh(0).incarnation(), 2'001u);
  EXPECT_EQ(mesh_.link(1, 0).incarnation, 2'001u);
  EXPECT_EQ(mesh_.link(2, 0).incarnation, 2'001u);
  EXPECT_TRUE(up(0, 1) && up(0, 2));
}

// Whenever in an exchange that replaces keys the way is cut: who is not heard any more is told so as soon as
// at any other time, on whichever session the peer says it.
TEST_F(LinkTest, AMuteEndIsToldAsSoonAsEverWhileKeysAreReplaced) {
  for (const uint32_t cores : {1u, 2u}) {
    for (const uint32_t mute : {0u, 1u}) {
      for (int64_t after_ms = 0; after_ms <= 400; after_ms += 20) {
        SCOPED_TRACE(testing::Message() << "node " << mute + 1 << " of " << cores << " cores cut off "
                                        << after_ms << " ms into it");
        mesh_ = MeshHarness(7);
        mesh_.make(2, cores);
        for (uint32_t i = 0; i < 2; ++i) mesh_.config(i).link.rekey = from_s(2);
        mesh_.both_ways(0, 1, {from_ms(100), 0, false});
        bool begun = false;
        mesh_.see_handshake = [&](MeshHarness::Node&, const UdpAddress&, std::span<const uint8_t>) {
          begun = true;
        };
        start_and_run(from_s(1));
        ASSERT_TRUE(up(0, 1));
        begun = false;
        for (int i = 0; i < 3'000 && !begun; ++i) mesh_.run_for(from_ms(1));
        ASSERT_TRUE(begun);
        mesh_.run_for(from_ms(after_ms));
        ASSERT_TRUE(up(0, 1));
        mesh_.wire(mute, 1 - mute).cut = true;
        const Nanos since = mesh_.now();
        while (mesh_.link(mute, 1 - mute).state == LinkState::kUp && mesh_.now() - since < from_s(2))
          mesh_.run_for(from_ms(1));
        const Nanos took = mesh_.now() - since;
        // A silence, a round trip, two fast beats; and what one core's good word is worth.
        EXPECT_LE(took.ms(), 150 + 200 + 25 + (cores == 1 ? 0 : 120));
      }
    }
  }
}

// The lower id's msg1 wins, so it must be the answer to it that is refused.
TEST_F(LinkTest, ANodeWhoseClockWentBackIsTakenBackByALowerId) {
  make(2);
  start_and_run(from_ms(300));
  mesh_.crash(1);
  mesh_.node(1).incarnation = 500;
  mesh_.run_for(from_s(5));
  mesh_.start(1);
  EXPECT_LE(until_up(0, 1, from_s(10)), from_s(2));
  EXPECT_EQ(mesh_.link(0, 1).incarnation, 1'001u);
  expect_media(1, 0, 5);
}

}  // namespace
}  // namespace trunkline::relay
