// Heartbeats: when they go out, what they say, and what the mesh thread hears of the peer's.
#include <gtest/gtest.h>

#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using H = PathHarness;
using relay::CoreEvent;
using relay::CoreEventKind;
using relay::RecordKind;

std::vector<relay::Heartbeat> beats(H& h, LinkId link, uint8_t core = 0) {
  std::vector<relay::Heartbeat> out;
  for (const ReadRecord& r : h.sent_to(link, core)) {
    if (r.header.kind == RecordKind::kHeartbeat) out.push_back(relay::decode_heartbeat(r.payload.data()));
  }
  h.port.sent.clear();
  return out;
}
ByteVector heartbeat(const relay::Heartbeat& beat) {
  ByteVector payload(relay::kHeartbeatBytes);
  relay::encode_heartbeat(payload.data(), beat);
  relay::RecordHeader header;
  header.kind = RecordKind::kHeartbeat;
  return record(header, payload);
}
void pace(H& h, LinkId link, Nanos interval) {
  relay::CoreCommand c;
  c.kind = relay::CoreCommandKind::kLinkPace;
  c.pace = {link, interval};
  h.command(c);
}

TEST(PacketPathLiveness, BeatsAtThePaceItIsToldOnLanesThatAreInUse) {
  H h;
  h.link_up(0, 2);
  pace(h, 0, core::from_ms(50));
  uint32_t lane0 = 0, lane1 = 0;
  const auto second = [&] {
    lane0 = lane1 = 0;
    for (int ms = 0; ms < 1000; ++ms) {
      h.run(core::from_ms(1));
      lane1 += static_cast<uint32_t>(h.sent_to(0, 1).size());
      lane0 += static_cast<uint32_t>(beats(h, 0).size());
    }
  };
  second();
  EXPECT_EQ(lane0, 1 + 20u) << "at once, and then on the grid";
  EXPECT_EQ(lane1, 0u) << "nothing goes to its core 1";
  h.upstream_flow(1, 5);
  h.output(1, H::to_link(0, 9, 1));
  second();
  EXPECT_EQ(lane0, 20u);
  EXPECT_EQ(lane1, 1 + 20u);
  h.output(1, H::to_link(0, 9, 1), false);
  pace(h, 0, core::from_ms(10));
  second();
  EXPECT_EQ(lane0, 1 + 100u);
  EXPECT_EQ(lane1, 0u);
}

TEST(PacketPathLiveness, WakesOncePerIntervalHoweverManyPeersItHas) {
  H h;
  for (const LinkId link : {LinkId{0}, LinkId{1}, LinkId{2}}) {
    h.link_up(link, 1);
    pace(h, link, core::from_ms(50));
    h.run(core::from_ms(17));  // their sessions begin at any time
  }
  uint32_t wakes = 0, sent = 0;
  for (int ms = 0; ms < 1000; ++ms) {
    h.port.sent.clear();
    h.run(core::from_ms(1));
    wakes += h.port.sent.empty() ? 0 : 1;
    sent += static_cast<uint32_t>(h.port.sent.size());
  }
  EXPECT_EQ(wakes, 20u);
  EXPECT_EQ(sent, 3 * 20u);
}

TEST(PacketPathLiveness, NextDueIsTheNextHeartbeatOfAQuietLink) {
  H h;
  h.link_up(0);
  pace(h, 0, core::from_ms(50));
  h.run();
  EXPECT_EQ(h.path->next_due(), h.now + core::from_ms(50));
}

TEST(PacketPathLiveness, EchoesThePeersClockAndMeasuresTheRoundTrip) {
  H h;
  Peer& peer = h.link_up(0);
  pace(h, 0, core::from_ms(50));
  h.run();
  std::vector<relay::Heartbeat> out = beats(h, 0);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].sent_us, static_cast<uint64_t>(h.now.us()));
  EXPECT_EQ(out[0].echo_us, 0u);
  EXPECT_EQ(out[0].heard_age_us, 0xffffffffu) << "nothing heard yet";
  h.events();

  // The peer held our beat for 2 ms; it comes back 9 ms after it went.
  h.now += core::from_ms(9);
  h.arrive(peer,
           {heartbeat(
               {.sent_us = 123'456, .echo_us = out[0].sent_us, .echo_hold_us = 2'000, .heard_age_us = 77})});
  h.run();
  const std::vector<CoreEvent> events = h.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, CoreEventKind::kEvidence);
  EXPECT_EQ(events[0].rtt_us, 7'000u);
  EXPECT_EQ(events[0].peer_heard_age_us, 77u);
  EXPECT_EQ(events[0].heard, h.now);

  beats(h, 0);
  h.run(core::from_ms(41));
  out = beats(h, 0);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].echo_us, 123'456u);
  EXPECT_EQ(out[0].echo_hold_us, 41'000u);
  EXPECT_EQ(out[0].heard_age_us, 41'000u);
  EXPECT_EQ(out[0].received, 1u);
}

TEST(PacketPathLiveness, IgnoresAnEchoFromTheFuture) {
  H h;
  Peer& peer = h.link_up(0);
  h.arrive(peer, {heartbeat({.sent_us = 1, .echo_us = ~uint64_t{0} / 2, .echo_hold_us = 0})});
  h.run();
  const std::vector<CoreEvent> events = h.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].rtt_us, 0u);
}

TEST(PacketPathLiveness, TellsOfASessionThatIsNotActiveYetAtOnceThenEvery5Ms) {
  H h;
  Peer peer(h.crypto, 2, 4, peer_address(2));
  h.session(relay::CoreCommandKind::kSessionInstall, peer.install);
  h.arrive(peer, {heartbeat({})});
  h.run();
  std::vector<CoreEvent> events = h.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].slot, 4u);
  EXPECT_EQ(events[0].link, 2u);
  for (int ms = 1; ms <= 20; ++ms) {
    h.arrive(peer, {heartbeat({})});
    h.run(core::from_ms(1));
  }
  EXPECT_EQ(h.events().size(), 4u);
  h.arrive(peer, {heartbeat({})});
  h.run(core::from_ms(1));
  EXPECT_EQ(h.events().size(), 0u);
  EXPECT_EQ(h.path->next_due(), h.now + core::from_ms(4)) << "what was heard since is not forgotten";
  h.run(core::from_ms(4));
  EXPECT_EQ(h.events().size(), 1u);
}

TEST(PacketPathLiveness, TellsTheFirstWordAndWritesWhatFollowsOnTheBoard) {
  H h;
  Peer& peer = h.link_up(0);
  const uint32_t slot = peer.install.slot;
  h.run();
  EXPECT_EQ(h.events().size(), 0u);
  EXPECT_EQ(h.rings.evidence.read(slot).heard, Nanos{});
  for (int ms = 0; ms < 500; ms += 50) {
    h.now += core::from_ms(50);
    h.arrive(peer, {heartbeat({.sent_us = static_cast<uint64_t>(ms) + 9,
                               .echo_us = static_cast<uint64_t>(h.now.us()) - 700,
                               .heard_age_us = 0})});
    h.run();
    const relay::Evidence seen = h.rings.evidence.read(slot);
    EXPECT_EQ(seen.heard, h.now);
    EXPECT_EQ(seen.heard_by_peer, h.now);
    EXPECT_EQ(seen.sampled, h.now);
    EXPECT_EQ(seen.rtt_us, 700u);
    EXPECT_EQ(h.events().size(), ms == 0 ? 1u : 0u) << "nobody has to act on it";
  }
}

TEST(PacketPathLiveness, TellsAWordAfterASilence) {
  H h;
  Peer& peer = h.link_up(0);
  h.arrive(peer, {heartbeat({.heard_age_us = 0})});
  h.run();
  h.events();
  const Nanos heard = h.now;
  h.run(core::from_ms(56));
  EXPECT_EQ(h.events().size(), 0u);
  EXPECT_EQ(h.rings.evidence.read(peer.install.slot).heard, heard);
  h.arrive(peer, {heartbeat({.heard_age_us = 0})});
  h.run();
  const std::vector<CoreEvent> events = h.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].heard, h.now);
}

TEST(PacketPathLiveness, TellsThatThePeerIsDeafAndThatItHearsAgain) {
  H h;
  Peer& peer = h.link_up(0);
  uint64_t sent_us = 0;
  const auto told = [&](uint32_t age_us) {
    h.arrive(peer, {heartbeat({.sent_us = ++sent_us, .heard_age_us = age_us})});
    h.run(core::from_ms(10));
    return h.events().size();
  };
  EXPECT_EQ(told(0), 1u) << "the first word";
  EXPECT_EQ(told(149'999), 0u);
  const Nanos good = h.rings.evidence.read(peer.install.slot).heard_by_peer;
  EXPECT_EQ(told(150'000), 1u);
  EXPECT_EQ(told(160'000), 1u);
  EXPECT_EQ(h.rings.evidence.read(peer.install.slot).heard_by_peer, good);
  EXPECT_EQ(told(1'000), 1u) << "the news that it hears again";
  EXPECT_EQ(told(1'000), 0u);
}

TEST(PacketPathLiveness, AHeartbeatThatWasOvertakenSaysNothing) {
  H h;
  Peer& peer = h.link_up(0);
  h.arrive(peer, {heartbeat({.sent_us = 100, .heard_age_us = 0})});
  h.run(core::from_ms(10));
  h.events();
  const Nanos good = h.rings.evidence.read(peer.install.slot).heard_by_peer;
  h.arrive(peer, {heartbeat({.sent_us = 90, .heard_age_us = 150'000})});
  h.run(core::from_ms(10));
  EXPECT_EQ(h.events().size(), 0u) << "it is bad news of an earlier moment than the good";
  h.arrive(peer, {heartbeat({.sent_us = 110, .heard_age_us = 150'000})});
  h.arrive(peer, {heartbeat({.sent_us = 105, .heard_age_us = 0})});
  h.run(core::from_ms(10));
  EXPECT_EQ(h.events().size(), 1u);
  EXPECT_EQ(h.rings.evidence.read(peer.install.slot).heard_by_peer, good);
}

TEST(PacketPathLiveness, TheBoardForgetsASessionThatIsRemoved) {
  H h;
  Peer& peer = h.link_up(0);
  h.arrive(peer, {heartbeat({})});
  h.run();
  EXPECT_EQ(h.rings.evidence.read(peer.install.slot).heard, h.now);
  h.session(relay::CoreCommandKind::kSessionRemove, peer.install);
  h.run();
  EXPECT_EQ(h.rings.evidence.read(peer.install.slot).heard, Nanos{});
}

TEST(PacketPathLiveness, EvidenceWaitsForRoomInTheRing) {
  H h;
  Peer& peer = h.link_up(0);
  while (h.rings.events.try_push(CoreEvent{})) {
  }
  h.arrive(peer, {heartbeat({})});
  h.run();
  EXPECT_EQ(h.count(CoreCounter::events_retried), 1u);
  h.events();
  h.run(core::from_ms(1));
  EXPECT_EQ(h.events().size(), 1u);
}

// Until the peer knows the new session it speaks on the old one, and is told when it was heard there: if keys
// are all that was replaced. A former life of the peer was somebody else.
TEST(PacketPathLiveness, AHeartbeatOfNewKeysSaysWhenThePeerWasHeardOnTheOldOnes) {
  for (const bool continues : {true, false}) {
    H h;
    Peer& old_session = h.link_up(0);
    h.arrive(old_session, {heartbeat({.sent_us = 1, .heard_age_us = 0})});
    h.run();
    Peer fresh(h.crypto, 0, 1, peer_address(0));
    const auto beat = [&] {
      bool ok = false;
      const std::vector<ReadRecord> records = fresh.open(h.port.sent.back().bytes, ok);
      EXPECT_TRUE(ok);
      EXPECT_EQ(records.back().header.kind, RecordKind::kHeartbeat);
      return relay::decode_heartbeat(records.back().payload.data());
    };
    h.session(relay::CoreCommandKind::kSessionInstall, fresh.install);
    h.run(core::from_ms(30));
    h.session(relay::CoreCommandKind::kSessionActivate, fresh.install, continues);
    h.run();
    ASSERT_EQ(h.port.sent.size(), 1u);
    EXPECT_EQ(beat().heard_age_us, continues ? 30'000u : relay::kNothingHeard);
    // Its first word on the new one is what counts from then on.
    h.arrive(fresh, {heartbeat({.sent_us = 2, .heard_age_us = 0})});
    h.run();
    pace(h, 0, core::from_ms(50));
    h.run(core::from_ms(20));
    ASSERT_EQ(h.port.sent.size(), 2u);
    EXPECT_EQ(beat().heard_age_us, 20'000u);
  }
}

}  // namespace
}  // namespace trunkline::tests
