// Sessions, control and handshakes, and what the path tells the mesh thread of flows and taps.
#include <gtest/gtest.h>

#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using H = PathHarness;
using relay::CoreEvent;
using relay::CoreEventKind;
using relay::RecordKind;

TEST(PacketPathLinks, ARekeyLosesNothingInEitherDirection) {
  H h;
  Peer& old_session = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(1, 0);
  h.upstream_flow(2, 1);
  h.output(1, H::to_link(1));
  h.output(2, H::to_link(0));
  h.run();
  h.port.sent.clear();
  Peer fresh(h.crypto, 0, 1, peer_address(0));
  h.session(relay::CoreCommandKind::kSessionInstall, fresh.install);
  // Both keys receive; the old one still sends.
  h.arrive(old_session, {record(media(h.label(1)), rtp({.sequence = 1}))});
  h.arrive(fresh, {record(media(h.label(1)), rtp({.sequence = 2}))});
  h.arrive(*h.peers[1], {record(media(h.label(2)), rtp({.sequence = 3}))});
  h.run();
  EXPECT_EQ(h.sent_to(1).size(), 2u);
  EXPECT_EQ(h.sent_to(0).size(), 1u);
  h.port.sent.clear();
  h.session(relay::CoreCommandKind::kSessionActivate, fresh.install);
  h.arrive(*h.peers[1], {record(media(h.label(2)), rtp({.sequence = 4}))});
  h.run();
  ASSERT_EQ(h.port.sent.size(), 1u);
  bool ok = false;
  EXPECT_EQ(fresh.open(h.port.sent[0].bytes, ok).size(), 2u) << "media, and the first heartbeat";
  EXPECT_TRUE(ok);
  // Control that was written for the former session's stream must not go out on this one.
  h.port.sent.clear();
  relay::Frame frame;
  frame.link = old_session.install.link;
  frame.session_index = old_session.install.receive_index;
  frame.length = 20;
  h.rings.frames_in.try_push(frame);
  h.run();
  EXPECT_TRUE(h.port.sent.empty());
  EXPECT_EQ(h.drops(DropReason::link_gone), 1u);
  h.session(relay::CoreCommandKind::kSessionRemove, old_session.install);
  h.arrive(old_session, {record(media(h.label(1)), rtp({.sequence = 5}))});
  h.run();
  EXPECT_EQ(h.drops(DropReason::no_session), 1u);
}

TEST(PacketPathLinks, CarriesControlAndHandshakesBothWays) {
  H h;
  Peer& peer = h.link_up(0);
  relay::Frame frame;
  frame.link = 0;
  frame.session_index = peer.install.receive_index;
  frame.length = 3;
  std::copy_n("abc", 3, frame.bytes.begin());
  h.rings.frames_in.try_push(frame);
  frame.kind = relay::FrameKind::kHandshake;
  frame.address = peer_address(5);
  h.rings.frames_in.try_push(frame);
  relay::RecordHeader control;
  control.kind = RecordKind::kControl;
  h.arrive(peer, {record(control, {'x', 'y'})});
  ByteVector handshake(50);
  relay::encode_header(handshake.data(), {.type = relay::DatagramType::kHandshake2});
  handshake[0] = static_cast<uint8_t>(handshake[0] | (relay::kWireVersion << 5));
  h.port.put(0, peer_address(6), handshake);
  h.run();

  ASSERT_EQ(h.sent_to(0).size(), 1u);
  EXPECT_EQ(h.sent_to(0)[0].payload, (ByteVector{'a', 'b', 'c'}));
  ASSERT_EQ(h.port.sent.size(), 2u);
  EXPECT_EQ(h.port.sent[1].to, peer_address(5)) << "as it is";
  EXPECT_EQ(h.port.sent[1].bytes, (ByteVector{'a', 'b', 'c'}));
  relay::Frame got;
  ASSERT_TRUE(h.rings.frames_out.try_pop(got));
  if (got.kind == relay::FrameKind::kHandshake) {
    EXPECT_EQ(got.address, peer_address(6));
    EXPECT_EQ(got.length, 50u);
    ASSERT_TRUE(h.rings.frames_out.try_pop(got));
  }
  EXPECT_EQ(got.kind, relay::FrameKind::kControl);
  EXPECT_EQ(got.session_index, peer.install.receive_index);
  EXPECT_EQ(got.length, 2u);
}

TEST(PacketPathLinks, HandsHandshakesOfEveryTypeToTheMeshAndNothingElse) {
  H h;
  for (uint8_t type = 1; type < 8; ++type) {
    ByteVector datagram(50);
    relay::encode_header(datagram.data(), {.type = static_cast<relay::DatagramType>(type)});
    h.port.put(0, peer_address(6), datagram);
    h.run();
    relay::Frame got;
    const bool taken = h.rings.frames_out.try_pop(got);
    EXPECT_EQ(taken, type <= 3 || type == 7) << int{type};
    if (taken) {
      EXPECT_EQ(got.kind, relay::FrameKind::kHandshake);
    }
  }
  EXPECT_EQ(h.drops(DropReason::bad_type), 3u);
}

TEST(PacketPathLinks, SaysWhenAFlowStartsFallsIdleAndStartsAgain) {
  H h;
  h.local_flow(1);
  h.output(1, H::to_queue(1));
  const auto kinds = [&] {
    std::vector<CoreEventKind> out;
    for (const CoreEvent& e : h.events()) out.push_back(e.kind);
    return out;
  };
  h.publish(1, rtp({}));
  h.publish(1, rtp({}));
  h.run();
  EXPECT_EQ(kinds(), std::vector{CoreEventKind::kFlowStarted});
  for (int ms = 0; ms < 900; ms += 10) h.run(core::from_ms(10));
  EXPECT_TRUE(kinds().empty());
  for (int ms = 0; ms < 300; ms += 10) h.run(core::from_ms(10));
  EXPECT_EQ(kinds(), std::vector{CoreEventKind::kFlowIdle});
  h.publish(1, rtp({}));
  h.run();
  EXPECT_EQ(kinds(), std::vector{CoreEventKind::kFlowStarted});
}

TEST(PacketPathLinks, AFlowsStartIsSaidLaterWhenTheRingIsFull) {
  H h;
  h.local_flow(1);
  h.output(1, H::to_queue(1));
  while (h.rings.events.try_push(CoreEvent{})) {
  }
  h.publish(1, rtp({}));
  h.run();
  h.events();
  for (int i = 0; i < 10; ++i) h.run(core::from_ms(10));
  const std::vector<CoreEvent> events = h.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, CoreEventKind::kFlowStarted);
  EXPECT_EQ(events[0].label, h.label(1));
}

TEST(PacketPathLinks, ATapAnswersWithItsAddressOrTheReasonAndItsPortServesTheNextOne) {
  H h;
  h.local_flow(1, TrafficClass::kRest, relay::kNoQueue);
  h.ingest({.flow = 1, .listen = UdpAddress::v4(198, 18, 0, 1, 0)});
  h.run();
  std::vector<CoreEvent> events = h.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, CoreEventKind::kTapReady);
  EXPECT_NE(events[0].address.port, 0);
  const UdpAddress bound = events[0].address;
  relay::CoreCommand close;
  close.kind = relay::CoreCommandKind::kFlowClose;
  close.flow = 1;
  h.command(close);
  h.local_flow(2, TrafficClass::kRest, relay::kNoQueue);
  h.port.refuse_endpoints = true;
  h.ingest({.flow = 2, .listen = UdpAddress::v4(198, 18, 0, 1, 0)});
  h.local_flow(3, TrafficClass::kRest, relay::kNoQueue);
  h.ingest({.flow = 3, .listen = UdpAddress::v4(198, 18, 0, 1, 0)});
  h.run();
  events = h.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, CoreEventKind::kTapReady);
  EXPECT_EQ(events[0].address, bound);
  EXPECT_EQ(events[1].kind, CoreEventKind::kTapFailed);
  EXPECT_STREQ(events[1].text.data(), "address already in use");
}

TEST(PacketPathLinks, TellsAPublisherTheLargestSizeOncePerSecond) {
  H h;
  h.link_up(1);
  h.local_flow(1);
  h.output(1, H::to_link(1));
  h.run();
  uint32_t told = 0;
  for (int ms = 0; ms < 2'000; ms += 100) {
    h.publish(1, rtp({.bytes = 1500}));
    h.run(core::from_ms(100));
    for (const CoreEvent& e : h.events()) {
      if (e.kind != CoreEventKind::kTooBig) continue;
      ++told;
      EXPECT_EQ(e.size, 1500u);
      EXPECT_EQ(e.size_max, 1436u);
    }
  }
  EXPECT_EQ(told, 2u);
  EXPECT_EQ(h.drops(DropReason::too_big), 20u);
}

TEST(PacketPathLinks, RefusesCommandsBeyondTheLimits) {
  H h;
  relay::CoreCommand c;
  c.kind = relay::CoreCommandKind::kSessionInstall;
  c.session.slot = 16;
  h.command(c);
  c.kind = relay::CoreCommandKind::kSessionActivate;
  c.slot = 3;
  h.command(c);
  h.open_flow({.flow = 128, .label = h.label(128)});
  h.output(5, H::to_queue(0));
  h.egress(64, peer_address(1));
  h.run();
  EXPECT_EQ(h.count(CoreCounter::commands), 5u);
  EXPECT_EQ(h.count(CoreCounter::commands_refused), 5u);
}

TEST(PacketPathLinks, AnswersAPathProbeOnceWithTheSameBytes) {
  H h;
  Peer& peer = h.link_up(0);
  relay::RecordHeader probe;
  probe.kind = RecordKind::kPathProbe;
  h.arrive(peer, {record(probe, ByteVector(100, 7))});
  h.run();
  const std::vector<ReadRecord> out = h.sent_to(0);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].payload, ByteVector(100, 7));
  EXPECT_EQ(out[0].header.layer, 1) << "the direction bit";
  probe.layer = 1;
  h.port.sent.clear();
  h.arrive(peer, {record(probe, ByteVector(100, 7))});
  h.run();
  EXPECT_TRUE(h.sent_to(0).empty()) << "an answer is not answered";
}

}  // namespace
}  // namespace trunkline::tests
