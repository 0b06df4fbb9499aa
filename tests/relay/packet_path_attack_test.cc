// Attacks on the packet path: by who has no key and sends what it likes from wherever it likes, and by a peer
// that has one and uses it on what is not its own. What must not happen: that anything is delivered, answered
// or believed of the first; that the second touches more than what it was granted; that any of it is not
// counted. docs/attacks.md lists them.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/frame_port.h"
#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using relay::CoreEventKind;
using relay::RecordHeader;
using relay::RecordKind;
using H = PathHarness;

const UdpAddress kStranger = UdpAddress::v4(203, 0, 113, 9, 999);
const UdpAddress kPlayer = UdpAddress::v4(198, 18, 0, 99, 5004);
constexpr FlowId kFlow = 3;
constexpr uint32_t kLargestDatagram = 65'507;  // that UDP over IPv4 carries

RecordHeader of_kind(RecordKind kind, Label label = {}) {
  RecordHeader header;
  header.kind = kind;
  header.label = label;
  header.ttl = 3;
  return header;
}
ByteVector forged(ByteVector sealed) {
  sealed.back() ^= 1;
  return sealed;
}
ByteVector probe() {
  return record(of_kind(RecordKind::kPathProbe), ByteVector(20));
}
ByteVector heartbeat() {
  ByteVector payload(relay::kHeartbeatBytes);
  relay::encode_heartbeat(payload.data(), {.sent_us = 1});
  return record(of_kind(RecordKind::kHeartbeat), payload);
}
// Runs until what was put into the port is through.
template <class Harness>
void run_all(Harness& h) {
  for (int i = 0; i < 16 && h.run() != 0; ++i) continue;
}

// ---- where a datagram came from

// An authentic datagram that somebody sends on from elsewhere: answers and media go to where the handshake
// showed the peer to be. Sent once more, from anywhere, it is a copy.
TEST(PacketPathAttack, AnAuthenticDatagramFromElsewhereMovesNothing) {
  H h;
  Peer& peer = h.link_up(0);
  h.local_flow(kFlow, TrafficClass::kAudio);
  h.output(kFlow, H::to_link(0));
  const ByteVector question = peer.seal(probe());
  h.port.put(0, kStranger, question);
  h.run();
  h.port.put(0, peer_address(0), question);
  h.port.put(0, UdpAddress::v4(203, 0, 113, 10, 999), question);
  h.publish(kFlow, rtp({}));
  h.run();
  EXPECT_EQ(h.drops(DropReason::replayed), 2u);
  EXPECT_EQ(h.count(CoreCounter::probes_answered), 1u);
  EXPECT_EQ(h.count(CoreCounter::media_to_links), 1u);
  ASSERT_GE(h.port.sent.size(), 2u);
  for (const SentRun& run : h.port.sent) EXPECT_TRUE(run.to == peer_address(0));
}

// Whatever a stranger sends to the endpoint of an egress tap from wherever: it is no subscriber, so what it
// asks for goes nowhere, and the media goes on to the one address that was configured.
TEST(PacketPathAttack, AStrangerAtATapIsNeitherHeardNorGivenMedia) {
  constexpr uint32_t kStrangers = 300;  // several per place of the look-up
  H h;
  h.local_flow(kFlow, TrafficClass::kAudio);
  h.egress(1, kPlayer);
  h.output(kFlow, H::to_egress(1));
  h.publish(kFlow, rtp({.ssrc = 42}));
  h.run();
  constexpr uint16_t kTapEndpoint = 1;  // the second one opened
  for (uint32_t i = 0; i < kStrangers; ++i) {
    const auto last = static_cast<uint8_t>(i % 250 + 1);
    const UdpAddress stranger = UdpAddress::v4(203, 0, 113, last, static_cast<uint16_t>(2'000 + i));
    h.port.put(kTapEndpoint, stranger, i % 2 == 0 ? pli(42) : rtp({.ssrc = 42}));
  }
  run_all(h);
  h.publish(kFlow, rtp({.sequence = 2, .ssrc = 42}));
  h.run();
  EXPECT_EQ(h.drops(DropReason::unknown_source), kStrangers);
  EXPECT_TRUE(h.delivered(0).empty()) << "no request reached the publisher";
  EXPECT_EQ(h.count(CoreCounter::media_to_taps), 2u);
  for (const SentRun& run : h.port.sent) EXPECT_TRUE(run.to == kPlayer);
}

// At an ingest tap that was told who publishes: media from elsewhere goes to nobody, and the requests of
// those who watch go on to the publisher, whoever else has sent meanwhile.
TEST(PacketPathAttack, AStrangerAtAnIngestTapPublishesNothingAndGetsNoRequests) {
  const UdpAddress publisher = UdpAddress::v4(198, 18, 0, 50, 5'000);
  for (const uint16_t port : {publisher.port, uint16_t{0}}) {
    H h;
    h.local_flow(kFlow, TrafficClass::kRest, relay::kNoQueue);
    UdpAddress from = publisher;
    from.port = port;
    h.ingest({.flow = kFlow, .listen = UdpAddress::v4(198, 18, 0, 1, 6'000), .from = from});
    h.output(kFlow, H::to_queue(1));
    h.run();
    constexpr uint16_t kTapEndpoint = 1;  // the second one opened
    UdpAddress same_host = publisher;
    same_host.port = 5'002;
    h.port.put(kTapEndpoint, publisher, rtp({.sequence = 1}));
    h.port.put(kTapEndpoint, kStranger, rtp({.sequence = 2}));
    h.port.put(kTapEndpoint, same_host, rtp({.sequence = 3}));
    h.port.put(kTapEndpoint, kStranger, sender_report(0x11111111));
    run_all(h);
    EXPECT_EQ(h.drops(DropReason::unknown_source), port == 0 ? 2u : 3u);
    EXPECT_EQ(h.delivered(1).size(), port == 0 ? 2u : 1u);
    h.host_packet(1, relay::HostPacketKind::kFeedback, kFlow, 500, pli(0x11111111));
    h.run();
    ASSERT_EQ(h.port.sent.size(), 1u);
    EXPECT_TRUE(h.port.sent[0].to == (port == 0 ? same_host : publisher));
  }
}

// ---- without the key

// All that a peer may say, with a tag that is not right: nothing is answered, delivered, told to the mesh
// thread, or taken for a sign of life.
TEST(PacketPathAttack, WhatIsNotAuthenticIsNeitherAnsweredNorDeliveredNorASignOfLife) {
  H h;
  Peer& peer = h.link_up(0);
  h.upstream_flow(kFlow, 0);
  h.output(kFlow, H::to_queue(1));
  h.run();
  h.events();
  const uint64_t before = h.path->conservation().forwarded;
  const ByteVector all[] = {record(media(h.label(kFlow)), rtp({})),
                            record(of_kind(RecordKind::kFeedback, h.label(kFlow)), pli(1)),
                            record(of_kind(RecordKind::kControl), ByteVector(30)), heartbeat(), probe()};
  for (const ByteVector& one : all) h.port.put(0, peer_address(0), forged(peer.seal(one)));
  run_all(h);
  EXPECT_EQ(h.drops(DropReason::not_authentic), std::size(all));
  EXPECT_EQ(h.path->conservation().forwarded, before);
  EXPECT_TRUE(h.port.sent.empty());
  EXPECT_TRUE(h.delivered(1).empty());
  for (const relay::CoreEvent& event : h.events()) EXPECT_NE(event.kind, CoreEventKind::kEvidence);
  EXPECT_EQ(h.rings.evidence.read(peer.install.slot).heard, Nanos{});
}

// On a valid index, with counters all over the space and the peer's own next one among them. The peer's
// packets come through as if there were no flood.
TEST(PacketPathAttack, AFloodOfForgedTagsOnAValidIndexTakesNothingFromThePeer) {
  constexpr uint32_t kRounds = 500, kForged = 20;
  H h;
  Peer& peer = h.link_up(0);
  h.upstream_flow(kFlow, 0);
  h.output(kFlow, H::to_queue(1));
  h.run();
  const ByteVector packet = record(media(h.label(kFlow)), rtp({}));
  core::Rng rng(1);
  size_t delivered = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    for (uint32_t i = 0; i < kForged; ++i) {
      const uint64_t counter = i == 0   ? peer.counter
                               : i == 1 ? relay::kMaxCounter
                                        : rng.next() & relay::kMaxCounter;
      h.port.put(0, i % 3 == 0 ? peer_address(0) : kStranger, forged(peer.seal_as(packet, counter)));
    }
    h.arrive(peer, {packet});
    run_all(h);
    delivered += h.delivered(1).size();
  }
  EXPECT_EQ(delivered, kRounds);
  EXPECT_EQ(h.path->drops().total(), kRounds * kForged);
  EXPECT_EQ(h.drops(DropReason::not_authentic), kRounds * kForged);
  EXPECT_TRUE(h.port.sent.empty());
}

// Every index but the right one: a scan of the slots and cores, and all 65 536 random parts of the right
// slot.
TEST(PacketPathAttack, AScanOfSessionIndexesFindsNothing) {
  H h;
  Peer& peer = h.link_up(0);
  const uint32_t right = peer.install.receive_index;
  uint64_t tried = 0;
  const auto try_index = [&](uint32_t index) {
    if (index == right) return;
    ByteVector bytes = peer.seal_as(probe(), tried);
    relay::store_be32(&bytes[8], index);
    h.port.put(0, kStranger, bytes);
    if (++tried % 64 == 0) run_all(h);
  };
  for (uint32_t random = 0; random < 65'536; ++random)
    try_index(relay::SessionIndex::make(CoreId{0}, peer.install.slot, static_cast<uint16_t>(random)));
  for (uint32_t slot = 0; slot < 4'096; ++slot)
    try_index(relay::SessionIndex::make(CoreId{0}, slot, static_cast<uint16_t>(right)));
  for (uint8_t core = 0; core < 16; ++core)
    try_index(relay::SessionIndex::make(CoreId{core}, peer.install.slot, static_cast<uint16_t>(right)));
  run_all(h);
  EXPECT_EQ(h.count(CoreCounter::datagrams_opened), 0u);
  EXPECT_EQ(h.drops(DropReason::not_authentic), 0u) << "no key was even tried";
  EXPECT_EQ(h.drops(DropReason::no_session) + h.drops(DropReason::wrong_core), tried);
  EXPECT_TRUE(h.port.sent.empty());
}

// From nothing to the largest that UDP carries, of every type.
TEST(PacketPathAttack, DatagramsOfAnyLengthAreCountedAndNothingMore) {
  H h;
  Peer& peer = h.link_up(0);
  h.upstream_flow(kFlow, 0);
  h.output(kFlow, H::to_queue(1));
  h.run();
  const uint64_t before = h.path->conservation().forwarded;
  constexpr uint32_t kLeast = relay::kHeaderBytes + relay::kTagBytes;
  const ByteVector empty = peer.seal({});
  ASSERT_EQ(empty.size(), kLeast);
  for (uint32_t length = 0; length < kLeast; ++length)
    h.port.put(0, peer_address(0), ByteVector(empty.begin(), empty.begin() + length));
  run_all(h);
  EXPECT_EQ(h.drops(DropReason::short_datagram), kLeast);
  h.port.put(0, peer_address(0), empty);
  run_all(h);
  EXPECT_EQ(h.count(CoreCounter::datagrams_opened), 1u) << "no record at all is in order";

  uint64_t too_long = 0;
  for (unsigned type = 0; type < 8; ++type) {
    for (const uint32_t length : {relay::kMaxFrameBytes + 1, 9'000u, kLargestDatagram}) {
      ByteVector bytes(length);
      relay::DatagramHeader header;
      header.version = relay::kWireVersion;
      header.type = static_cast<relay::DatagramType>(type);
      header.counter = peer.counter;
      header.session_index = peer.install.receive_index;
      relay::encode_header(bytes.data(), header);
      h.port.put(0, kStranger, bytes);
      too_long += relay::is_handshake(header.type) ? 1 : 0;
    }
  }
  run_all(h);
  EXPECT_EQ(h.drops(DropReason::handshake_full), too_long);
  EXPECT_EQ(h.drops(DropReason::not_authentic), 3u);
  EXPECT_EQ(h.drops(DropReason::bad_type), 24u - 3u - too_long);
  EXPECT_EQ(h.path->conservation().forwarded, before);
  EXPECT_TRUE(h.port.sent.empty());
}

// ---- with a key, on what is not its own

// A subscriber asks for thousands of packets in one compound. What goes on to the publisher is what one
// datagram may ask for.
TEST(PacketPathAttack, AnAvalancheOfNacksIsCutToWhatOneDatagramMayAsk) {
  constexpr uint32_t kEntries = 200, kMostUpstream = 64;
  H h;
  h.local_flow(kFlow, TrafficClass::kAudio);
  Peer& peer = h.link_up(0);
  h.output(kFlow, H::to_link(0));
  // RFC 4585 section 6.2.1: each entry is a number and 16 bits for those that follow.
  ByteVector all = {0x81, 205, 0, 2 + kEntries, 0, 0, 0, 9, 0, 0, 0, 42};
  for (uint32_t i = 0; i < kEntries; ++i) {
    const uint32_t first = 17 * i;
    all.insert(all.end(), {static_cast<uint8_t>(first >> 8), static_cast<uint8_t>(first), 0xff, 0xff});
  }
  h.arrive(peer, {record(of_kind(RecordKind::kFeedback, h.label(kFlow)), all)});
  h.run();
  EXPECT_EQ(h.count(CoreCounter::nacks_upstream), kMostUpstream);
  const std::vector<H::Delivered> got = h.delivered(0);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_LT(got[0].bytes.size(), all.size());
}

// Of a peer: records that are longer than what they are copied to, and what is behind the last one.
TEST(PacketPathAttack, APeersOversizedRecordsAndTrailingBytesAreDropped) {
  H h;
  Peer& peer = h.link_up(0);
  h.upstream_flow(kFlow, 0);
  h.output(kFlow, H::to_queue(1));
  h.run();
  const uint64_t before = h.path->conservation().forwarded;
  constexpr uint32_t kMost = kLargestDatagram - relay::kHeaderBytes - relay::kTagBytes;
  h.arrive(peer, {record(media(h.label(kFlow)), rtp({.bytes = kMost - relay::kRecordHeaderBytes}))});
  h.arrive(peer, {record(of_kind(RecordKind::kControl), ByteVector(relay::kMaxFrameBytes + 1))});
  h.arrive(peer, {record(of_kind(RecordKind::kControl), ByteVector(9'000))});
  run_all(h);
  EXPECT_EQ(h.drops(DropReason::too_big), 1u);
  EXPECT_EQ(h.drops(DropReason::bad_record), 2u);
  EXPECT_EQ(h.path->conservation().forwarded, before);
  for (size_t trailing = 1; trailing < relay::kRecordHeaderBytes; ++trailing) {
    ByteVector garbage(trailing);
    garbage.back() = 0xff;
    h.arrive(peer, {record(media(h.label(kFlow)), rtp({})), garbage});
  }
  run_all(h);
  EXPECT_EQ(h.drops(DropReason::bad_record), 2u + 7u);
  EXPECT_EQ(h.delivered(1).size(), 7u) << "what stands before it is in order";
}

// A track flows from one link to another, so its packets take the short way. Between two packets of its owner
// in the same burst a third link sends that has guessed its label; and, in bursts of its own, its owner under
// the label of the holder before.
template <class AnyPort>
void guess_a_label_that_flows(TrafficClass traffic_class) {
  PathHarnessOn<AnyPort> h;
  Peer& owner = h.link_up(0);
  h.link_up(1);
  Peer& thief = h.link_up(2);
  h.upstream_flow(kFlow, 0, traffic_class);
  h.output(kFlow, H::to_link(1));
  uint16_t sequence = 0;
  const auto packet = [&](uint32_t ssrc, uint32_t generation = 1) {
    RecordHeader header = media(h.label(kFlow, generation), traffic_class);
    header.frame_end = true;
    return record(header, rtp({.sequence = ++sequence, .ssrc = ssrc, .bytes = 700}));
  };
  for (int i = 0; i < 3; ++i) {
    h.arrive(owner, {packet(7)});
    h.run();
  }
  EXPECT_EQ(h.sent_to(1).size(), 3u);
  h.port.sent.clear();
  for (int i = 0; i < 4; ++i) {
    h.arrive(owner, {packet(7)});
    h.arrive(thief, {packet(666)});
    if (i % 2 == 0) continue;
    h.run();
    h.arrive(owner, {packet(666, 2)});
    h.run();
  }
  const std::vector<ReadRecord> got = h.sent_to(1);
  EXPECT_EQ(got.size(), 4u);
  for (const ReadRecord& read : got) EXPECT_EQ(relay::load_be32(&read.payload[8]), 7u);
  EXPECT_EQ(h.drops(DropReason::foreign_label), 4u);
  EXPECT_EQ(h.drops(DropReason::stale_label), 2u);
}

TEST(PacketPathAttack, ATrackThatFlowsIsSentOnForItsOwnerUnderItsLabelOnly) {
  guess_a_label_that_flows<MemoryPort>(TrafficClass::kAudio);
  guess_a_label_that_flows<MemoryPort>(TrafficClass::kVideoBase);
  guess_a_label_that_flows<FramePort>(TrafficClass::kVideoBase);
}

// A peer keeps the labels of a subscription that has ended, and of a track whose place has another holder.
TEST(PacketPathAttack, AfterTheEndOfASubscriptionItsLabelsAreWorthNothing) {
  H h;
  Peer& peer = h.link_up(0);
  h.local_flow(5);
  h.output(5, H::to_link(0));
  const auto ask = [&](Label label) {
    h.run(core::from_s(1));  // so that no request is merged with the one before
    h.arrive(peer, {record(of_kind(RecordKind::kFeedback, label), pli(1))});
    h.run();
    return h.delivered(0).size();
  };
  EXPECT_EQ(ask(h.label(5)), 1u) << "a subscriber is heard";
  h.output(5, H::to_link(0), false);
  EXPECT_EQ(ask(h.label(5)), 0u);
  EXPECT_EQ(h.drops(DropReason::foreign_label), 1u);
  relay::CoreCommand close;
  close.kind = relay::CoreCommandKind::kFlowClose;
  close.flow = 5;
  h.command(close);
  EXPECT_EQ(ask(h.label(5)), 0u);
  EXPECT_EQ(h.drops(DropReason::no_route), 1u);
  h.open_flow({.flow = 5, .label = h.label(5, 2), .queue = 0, .handle = 901});
  h.output(5, H::to_link(0));
  EXPECT_EQ(ask(h.label(5, 1)), 0u);
  EXPECT_EQ(h.drops(DropReason::stale_label), 1u);
  EXPECT_EQ(ask(h.label(5, 2)), 1u);
}

}  // namespace
}  // namespace trunkline::tests
