// The packet path as a whole: what comes in, what goes out, and what is counted.
#include <gtest/gtest.h>

#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using relay::RecordKind;

TEST(PacketPath, RelaysAMediaRecordFromOneLinkToAnotherByteForByte) {
  PathHarness h;
  Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(3, 0);
  h.output(3, PathHarness::to_link(1, 0x7777));
  const ByteVector packet = rtp({.bytes = 1200});
  relay::RecordHeader header = media(h.label(3), TrafficClass::kVideoBase);
  header.keyframe = true;
  header.layer = 5;
  h.arrive(from, {record(header, packet)});
  EXPECT_GT(h.run(), 0u);

  const std::vector<ReadRecord> out = h.sent_to(1);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].payload, packet);
  EXPECT_EQ(out[0].header.label.value, 0x7777u);
  EXPECT_EQ(out[0].header.traffic_class, TrafficClass::kVideoBase);
  EXPECT_TRUE(out[0].header.keyframe);
  EXPECT_FALSE(out[0].header.frame_end);
  EXPECT_EQ(out[0].header.layer, 5);
  EXPECT_EQ(out[0].header.ttl, 2) << "one hop less";
  EXPECT_EQ(h.path->drops().total(), 0u);
  EXPECT_EQ(h.run(), 0u) << "idle again";
}

TEST(PacketPath, DeliversToAHostQueueAndAnEgressTapAndALinkFromOnePublishedPacket) {
  PathHarness h;
  h.link_up(1);
  const UdpAddress player = UdpAddress::v4(198, 18, 0, 99, 5004);
  h.local_flow(4, TrafficClass::kAudio);
  h.egress(2, player);
  h.output(4, PathHarness::to_link(1));
  h.output(4, PathHarness::to_queue(1, 555));
  h.output(4, PathHarness::to_egress(2));
  const ByteVector packet = rtp({.bytes = 172});
  h.publish(4, packet);
  h.run();

  ASSERT_EQ(h.sent_to(1).size(), 1u);
  EXPECT_EQ(h.sent_to(1)[0].payload, packet);
  EXPECT_EQ(h.sent_to(1)[0].header.ttl, 3);
  const auto queued = h.delivered(1);
  ASSERT_EQ(queued.size(), 1u);
  EXPECT_EQ(queued[0].bytes, packet);
  EXPECT_EQ(queued[0].handle, 555u);
  ASSERT_EQ(h.port.sent.size(), 2u);
  const SentRun& tap = h.port.sent[0].to == player ? h.port.sent[0] : h.port.sent[1];
  EXPECT_EQ(tap.to, player);
  EXPECT_EQ(tap.bytes, packet);
  EXPECT_EQ(h.path->take_touched_queues(), 0b10u);
  EXPECT_EQ(h.path->conservation().forwarded, 3u);
}

// The mesh thread opens a flow, asks a peer for it, and the peer's first packets are here: all between a look
// at the commands and the receive call, for the thread had lost its processor.
TEST(PacketPath, WhatTheMeshThreadSaidBeforeAPacketWasSentIsInForceForIt) {
  PathHarness h;
  Peer& from = h.link_up(0);
  h.port.when_received = [&] {
    h.upstream_flow(1, 0);
    h.output(1, PathHarness::to_queue(1));
  };
  h.arrive(from, {record(media(h.label(1)), rtp({}))});
  h.run();
  EXPECT_EQ(h.drops(DropReason::no_route), 0u);
  EXPECT_EQ(h.delivered(1).size(), 1u);
}

// ---- fan-out

TEST(PacketPath, FansOutToEveryNumberOfOutputsFrom1To64AndRemovesThemAgain) {
  relay::NodeConfig config = small_config();
  config.limits.max_peers = 64;
  for (uint32_t outputs = 1; outputs <= 64; ++outputs) {
    PathHarness h(config);
    Peer& from = h.link_up(0);
    h.upstream_flow(1, 0);
    for (uint16_t i = 0; i < outputs; ++i) h.output(1, PathHarness::to_queue(1, 1000 + i));
    h.arrive(from, {record(media(h.label(1)), rtp({}))});
    h.run();
    const auto got = h.delivered(1);
    ASSERT_EQ(got.size(), outputs);
    for (uint32_t i = 0; i < outputs; ++i) EXPECT_EQ(got[i].handle, 1000u + i) << "in order of addition";
    EXPECT_EQ(h.path->conservation().received, outputs);
    // Every second one goes; the others still get theirs, once.
    for (uint16_t i = 0; i < outputs; i = static_cast<uint16_t>(i + 2)) {
      h.output(1, PathHarness::to_queue(1, 1000 + i), false);
    }
    h.arrive(from, {record(media(h.label(1)), rtp({}))});
    h.run();
    std::vector<uint64_t> handles;
    for (const auto& d : h.delivered(1)) handles.push_back(d.handle);
    std::sort(handles.begin(), handles.end());
    ASSERT_EQ(handles.size(), outputs / 2);
    for (uint32_t i = 0; i < handles.size(); ++i) EXPECT_EQ(handles[i], 1001u + 2 * i);
  }
}

TEST(PacketPath, KeepsTheOrderOfATrackOnEveryOutput) {
  PathHarness h;
  Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(1, 0, TrafficClass::kVideoBase);
  h.output(1, PathHarness::to_link(1));
  h.output(1, PathHarness::to_queue(0));
  core::Rng rng(7);
  uint16_t sequence = 0;
  for (int turn = 0; turn < 20; ++turn) {
    for (int i = 0; i < 3; ++i) {
      h.arrive(from,
               {record(media(h.label(1), TrafficClass::kVideoBase),
                       rtp({.sequence = sequence++, .bytes = 20 + static_cast<uint32_t>(rng.below(1400))}))});
    }
    h.run();
  }
  uint16_t expected = 0;
  for (const ReadRecord& r : h.sent_to(1)) EXPECT_EQ(relay::load_be16(&r.payload[2]), expected++);
  EXPECT_EQ(expected, sequence);
  expected = 0;
  for (const auto& d : h.delivered(0)) EXPECT_EQ(relay::load_be16(&d.bytes[2]), expected++);
  EXPECT_EQ(expected, sequence);
}

// ---- datagrams and runs

struct Sizes {
  const char* name;
  std::vector<uint32_t> payloads;  // one record each, in one burst
  TrafficClass traffic_class;
  std::vector<uint32_t> datagrams;  // sealed sizes, in order
  std::vector<uint32_t> runs;       // datagrams per run
};

std::vector<uint32_t> times(uint32_t n, uint32_t value) {
  return std::vector<uint32_t>(n, value);
}

TEST(PacketPath, CutsRecordsIntoDatagramsAndDatagramsIntoRuns) {
  const auto kAudio = TrafficClass::kAudio;
  const auto kVideo = TrafficClass::kVideoBase;
  const Sizes kRows[] = {
      {"one packet is one datagram: 36 bytes more", {1200}, kVideo, {1236}, {1}},
      {"equal packets are one run", times(20, 1200), kVideo, times(20, 1236), {20}},
      {"eight audio records fit 1472: 28 + 8 x 180", times(16, 172), kAudio, times(2, 1468), {2}},
      {"seven of 188 do", times(14, 188), kAudio, times(2, 1400), {2}},
      {"the last datagram of a run may be short", times(20, 172), kAudio, {1468, 1468, 748}, {3}},
      {"a small last packet of a frame ends the run",
       {1200, 1200, 300, 1200, 1200},
       kVideo,
       {1236, 1236, 336, 1236, 1236},
       {3, 2}},
      {"small records share a datagram in video too", {300, 300, 300}, kVideo, {952}, {1}},
      {"1 % shorter is padded", {1200, 1190, 1200}, kVideo, {1236, 1236, 1236}, {3}},
      {"3 % shorter is padded: 1236 - 37", {1200, 1163, 1200}, kVideo, {1236, 1236, 1236}, {3}},
      {"more than 3 % is not", {1200, 1162, 1200}, kVideo, {1236, 1198, 1236}, {2, 1}},
      {"a longer one begins a run", {1200, 1201, 1200}, kVideo, {1236, 1237, 1237}, {1, 2}},
      {"52 of 1236 fit a run of 65 000 bytes", times(60, 1200), kVideo, times(60, 1236), {52, 8}},
      {"at most 64 datagrams a run", times(70, 750), kVideo, times(70, 786), {64, 6}},
      {"the largest payload there is", {1436}, kVideo, {1472}, {1}},
  };
  for (const Sizes& row : kRows) {
    SCOPED_TRACE(row.name);
    PathHarness h;
    Peer& from = h.link_up(0);
    h.link_up(1);
    h.upstream_flow(1, 0, row.traffic_class);
    h.output(1, PathHarness::to_link(1));
    h.run();
    std::vector<ByteVector> packets;
    uint16_t sequence = 0;
    // In one burst: neighbours of equal size arrive as one GRO run.
    for (std::size_t i = 0; i < row.payloads.size();) {
      ByteVector slab;
      const uint32_t bytes = row.payloads[i];
      for (; i < row.payloads.size() && row.payloads[i] == bytes; ++i) {
        packets.push_back(rtp({.sequence = sequence++, .bytes = bytes}));
        const ByteVector one = from.seal(record(media(h.label(1), row.traffic_class), packets.back()));
        slab.insert(slab.end(), one.begin(), one.end());
      }
      h.port.put(0, from.install.peer_address, slab,
                 static_cast<uint16_t>(bytes + relay::kLoneRecordOverhead));
    }
    h.run();
    std::vector<uint32_t> sizes, runs;
    for (const SentRun& run : h.port.sent) {
      runs.push_back(static_cast<uint32_t>(run.datagrams().size()));
      for (const ByteVector& d : run.datagrams()) sizes.push_back(static_cast<uint32_t>(d.size()));
    }
    EXPECT_EQ(sizes, row.datagrams);
    EXPECT_EQ(runs, row.runs);
    const std::vector<ReadRecord> out = h.sent_to(1);
    ASSERT_EQ(out.size(), packets.size());
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i].payload, packets[i]);
  }
}

TEST(PacketPath, PadsAtMostThreePercentAndLearnsTheSizeOfAStreamThatVariesByAByte) {
  PathHarness h;
  Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(1, 0, TrafficClass::kVideoBase);
  h.output(1, PathHarness::to_link(1));
  core::Rng rng(3);
  for (int turn = 0; turn < 50; ++turn) {
    for (int i = 0; i < 30; ++i) {
      const auto bytes = static_cast<uint32_t>(1199 + rng.below(3));
      h.arrive(from, {record(media(h.label(1), TrafficClass::kVideoBase), rtp({.bytes = bytes}))});
    }
    h.run();
  }
  EXPECT_EQ(h.sent_to(1).size(), 1500u);
  uint64_t sent = 0;
  for (const SentRun& run : h.port.sent) sent += run.bytes.size();
  EXPECT_LE(h.count(CoreCounter::padded_bytes) * 100, sent * 3);
  EXPECT_GT(h.count(CoreCounter::padded_bytes), 0u);
  EXPECT_LE(h.port.sent.size(), 53u) << "after the first turn each turn is one run";
}

TEST(PacketPath, LeavesRoomForTheIpv6HeaderTowardsAnIpv6Peer) {
  PathHarness h;
  ASSERT_TRUE(h.path->open_mesh(*UdpAddress::parse("[2001:2::1]:7000")));
  Peer& from = h.link_up(0);
  Peer six(h.crypto, 1, 2, *UdpAddress::parse("[2001:2::9]:7000"));
  relay::CoreCommand c;
  c.kind = relay::CoreCommandKind::kSessionInstall;
  c.session = six.install;
  h.command(c);
  c.kind = relay::CoreCommandKind::kSessionActivate;
  c.slot = 2;
  h.command(c);
  h.upstream_flow(1, 0);
  h.output(1, PathHarness::to_link(1));
  h.run();
  h.port.sent.clear();
  h.arrive(from, {record(media(h.label(1)), rtp({.bytes = 1500 - 48 - 36}))});
  h.arrive(from, {record(media(h.label(1)), rtp({.bytes = 1500 - 48 - 36 + 1}))});
  h.run();
  ASSERT_EQ(h.port.sent.size(), 1u);
  EXPECT_EQ(h.port.sent[0].bytes.size(), 1452u);
  EXPECT_EQ(h.port.sent[0].endpoint, 1u) << "the IPv6 endpoint";
  EXPECT_EQ(h.drops(DropReason::too_big), 1u);
}

TEST(PacketPath, HoldsAudioForCompanyOnlyWhenToldAndOnlyThatLong) {
  relay::NodeConfig config = small_config();
  config.bundle_wait = core::from_us(250);
  PathHarness h(config);
  Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(1, 0);
  h.upstream_flow(2, 0, TrafficClass::kVideoBase);
  h.output(1, PathHarness::to_link(1));
  h.output(2, PathHarness::to_link(1));
  h.run();
  h.arrive(from, {record(media(h.label(1)), rtp({}))});
  h.arrive(from, {record(media(h.label(2), TrafficClass::kVideoBase), rtp({.bytes = 900}))});
  h.run();
  EXPECT_EQ(h.sent_to(1).size(), 1u) << "video does not wait";
  EXPECT_EQ(h.path->conservation().held, 1u);
  EXPECT_EQ(h.path->next_due(), h.now + core::from_us(250));
  h.arrive(from, {record(media(h.label(1)), rtp({}))});
  h.run(core::from_us(100));
  EXPECT_EQ(h.path->conservation().held, 2u);
  h.run(core::from_us(149));
  EXPECT_EQ(h.sent_to(1).size(), 1u);
  h.run(core::from_us(1));
  EXPECT_EQ(h.sent_to(1).size(), 3u);
  ASSERT_EQ(h.port.sent.size(), 2u) << "both audio records in one datagram";
  EXPECT_EQ(h.path->conservation().held, 0u);
  // A control segment takes waiting audio with it, at once.
  h.arrive(from, {record(media(h.label(1)), rtp({}))});
  h.run();
  relay::Frame frame;
  frame.link = 1;
  frame.session_index = h.peers[1]->install.receive_index;
  frame.length = 20;
  h.rings.frames_in.try_push(frame);
  h.run();
  EXPECT_EQ(h.path->conservation().held, 0u);
}

// ---- a full port

TEST(PacketPath, ARefusingPortLosesTheLeastImportantRunsAndVideoFlowsAskForAKeyframe) {
  PathHarness h;
  Peer& from = h.link_up(0);
  h.link_up(1);
  const TrafficClass kClasses[] = {TrafficClass::kRest, TrafficClass::kVideoBase, TrafficClass::kAudio};
  const UdpAddress tap = UdpAddress::v4(198, 18, 0, 99, 5000);
  for (uint16_t i = 0; i < 3; ++i) {
    h.upstream_flow(1 + i, 0, kClasses[i]);
    h.egress(i, UdpAddress::v4(198, 18, 0, 99, static_cast<uint16_t>(5000 + i)));
    h.output(1 + i, PathHarness::to_egress(i));
  }
  relay::Frame frame;
  frame.link = 1;
  frame.session_index = h.peers[1]->install.receive_index;
  frame.length = 20;
  h.run();
  h.port.sent.clear();
  h.rings.frames_in.try_push(frame);
  for (uint16_t i = 0; i < 3; ++i) {
    h.arrive(from, {record(media(h.label(1 + i), kClasses[i]), rtp({.timestamp = 1000, .ssrc = 70u + i}))});
  }
  h.port.accept_runs = 2;
  h.run();
  ASSERT_EQ(h.port.sent.size(), 2u);
  EXPECT_EQ(h.port.sent[0].to, peer_address(1)) << "control";
  EXPECT_EQ(h.port.sent[1].to.port, tap.port + 2) << "audio";
  EXPECT_EQ(h.drops(DropReason::tx_full), 2u);
  EXPECT_EQ(h.path->next_due(), h.now) << "the requests go out at once";
  h.port.accept_runs = UINT64_MAX;
  h.arrive(from, {record(media(h.label(2), TrafficClass::kVideoBase), rtp({.timestamp = 1000, .ssrc = 71}))});
  h.run();
  EXPECT_EQ(h.drops(DropReason::rest_of_frame), 1u);
  EXPECT_EQ(h.count(CoreCounter::keyframe_requests), 2u) << "one per video flow";
  for (const ReadRecord& r : h.sent_to(0)) EXPECT_EQ(r.header.kind, relay::RecordKind::kFeedback);
  EXPECT_EQ(h.sent_to(0).size(), 2u);
}

TEST(PacketPath, LeavesTheLastBuffersToMoreImportantClasses) {
  struct Row {
    TrafficClass traffic_class;
    uint64_t buffers;  // of 32
  };
  for (const Row row :
       {Row{TrafficClass::kRest, 24}, Row{TrafficClass::kVideoBase, 28}, Row{TrafficClass::kAudio, 30}}) {
    PathHarness h;
    Peer& from = h.link_up(0);
    h.link_up(1);
    h.upstream_flow(1, 0, row.traffic_class);
    h.output(1, PathHarness::to_link(1));
    h.run();
    h.port.keep_buffers = true;
    for (uint32_t i = 0; i < 40; ++i) {
      h.arrive(from, {record(media(h.label(1), row.traffic_class), rtp({.timestamp = i}))});
      h.run();
    }
    EXPECT_EQ(h.count(CoreCounter::media_to_links), row.buffers);
    EXPECT_EQ(h.drops(DropReason::no_buffer), 40 - row.buffers);
    relay::Frame frame;
    frame.link = 1;
    frame.session_index = h.peers[1]->install.receive_index;
    frame.length = 20;
    h.rings.frames_in.try_push(frame);
    h.run();
    EXPECT_EQ(h.drops(DropReason::no_buffer), 40 - row.buffers) << "control still goes";
  }
}
}  // namespace
}  // namespace trunkline::tests
