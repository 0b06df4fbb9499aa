// The packet path on a port with frames: what leaves in the frame that it came in, what is copied, and that
// the one and the other keep a track's order, and the books.
#include <gtest/gtest.h>

#include "tests/support/frame_port.h"
#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

constexpr auto kVideo = TrafficClass::kVideoBase;

class PacketPathFrames : public testing::Test {
 protected:
  PacketPathFrames() : from(path.link_up(0)) {
    path.link_up(1);
    path.link_up(2);
    for (FlowId flow = 0; flow < 3; ++flow) path.upstream_flow(flow, 0, kVideo);
    path.output(0, PathHarness::to_link(1, 0x5000));
    path.output(1, PathHarness::to_link(2, 0x6000));
    path.output(2, PathHarness::to_link(1, 0x7000));
    path.output(2, PathHarness::to_link(2, 0x7001));
    for (FlowId flow = 0; flow < 3; ++flow) arrive(flow, 1);  // a flow's first packet is judged the long way
    path.run();
    path.port.sent.clear();
    in_place = path.count(CoreCounter::media_in_place);
    dropped = path.path->drops().total();
  }
  ByteVector packet(uint16_t sequence, TrafficClass traffic_class = kVideo, FlowId flow = 0, bool end = true,
                    uint32_t bytes = 700) {
    relay::RecordHeader header = media(path.label(flow), traffic_class);
    header.frame_end = end;
    return record(header,
                  rtp({.sequence = sequence, .timestamp = 90u * sequence, .marker = end, .bytes = bytes}));
  }
  void arrive(FlowId flow, uint16_t sequence) { path.arrive(from, {packet(sequence, kVideo, flow)}); }
  uint64_t left_in_place() const { return path.count(CoreCounter::media_in_place) - in_place; }
  uint64_t lost() const { return path.path->drops().total() - dropped; }

  PathHarnessOn<FramePort> path;
  Peer& from;
  uint64_t in_place = 0, dropped = 0;
};

TEST_F(PacketPathFrames, VideoThatCameAloneLeavesInItsFrame) {
  for (uint16_t n = 2; n < 34; ++n) arrive(n % 2, n);
  path.run();
  EXPECT_EQ(left_in_place(), 32u);
  for (const LinkId link : {LinkId{1}, LinkId{2}}) {
    const std::vector<ReadRecord> got = path.sent_to(link);
    ASSERT_EQ(got.size(), 16u);
    for (uint16_t i = 0; i < 16; ++i) {
      EXPECT_EQ(got[i].header.label.value, link == 1 ? 0x5000u : 0x6000u);
      EXPECT_EQ(got[i].header.ttl, 2) << "a hop less";
      EXPECT_TRUE(got[i].header.frame_end);
      const auto sequence = static_cast<uint16_t>(2 + 2 * i + (link == 1 ? 0 : 1));
      EXPECT_EQ(got[i].payload,
                rtp({.sequence = sequence, .timestamp = 90u * sequence, .marker = true, .bytes = 700}));
    }
  }
  EXPECT_EQ(lost(), 0u);
}

TEST_F(PacketPathFrames, SmallPacketsAreCopiedAndShareADatagram) {
  path.upstream_flow(3, 0, TrafficClass::kAudio);
  path.output(3, PathHarness::to_link(1, 0x8000));
  path.run();
  for (uint16_t n = 1; n <= 5; ++n) path.arrive(from, {packet(n, TrafficClass::kAudio, 3, false, 100)});
  path.run();
  EXPECT_EQ(left_in_place(), 0u);
  ASSERT_EQ(path.port.sent.size(), 1u);
  EXPECT_EQ(path.sent_to(1).size(), 5u);
}

TEST_F(PacketPathFrames, ATrackKeepsItsOrderWhicheverWayItsPacketsGo) {
  arrive(0, 2);
  path.arrive(from, {packet(3), packet(4)});  // two in a datagram: copied
  arrive(0, 5);
  path.run();
  arrive(0, 6);
  path.run();
  const std::vector<ReadRecord> got = path.sent_to(1);
  ASSERT_EQ(got.size(), 5u);
  for (uint16_t i = 0; i < 5; ++i) EXPECT_EQ(relay::load_be16(&got[i].payload[2]), 2 + i);
  EXPECT_GE(left_in_place(), 2u);
  EXPECT_EQ(lost(), 0u);
}

TEST_F(PacketPathFrames, SeveralOutputsAreSealedIntoAFrameForEach) {
  for (uint16_t n = 2; n < 6; ++n) arrive(2, n);
  path.run();
  EXPECT_EQ(left_in_place(), 0u);
  for (const LinkId link : {LinkId{1}, LinkId{2}}) {
    const std::vector<ReadRecord> got = path.sent_to(link);
    ASSERT_EQ(got.size(), 4u);
    for (uint16_t i = 0; i < 4; ++i) {
      const auto sequence = static_cast<uint16_t>(2 + i);
      EXPECT_EQ(got[i].header.label.value, 0x7000u + link - 1);
      EXPECT_EQ(got[i].header.ttl, 2) << "a hop less, however many outputs";
      EXPECT_EQ(got[i].payload,
                rtp({.sequence = sequence, .timestamp = 90u * sequence, .marker = true, .bytes = 700}));
    }
  }
  EXPECT_EQ(lost(), 0u);
}

TEST_F(PacketPathFrames, OnePeerGetsAPacketTwiceUnderTwoLabels) {
  path.output(2, PathHarness::to_link(1, 0x7002));
  path.run();
  for (uint16_t n = 2; n < 6; ++n) arrive(2, n);
  path.run();
  const std::vector<ReadRecord> got = path.sent_to(1);
  ASSERT_EQ(got.size(), 8u);
  for (const uint32_t label : {0x7000u, 0x7002u}) {
    uint16_t sequence = 2;
    for (const ReadRecord& record : got) {
      if (record.header.label.value != label) continue;
      EXPECT_EQ(relay::load_be16(&record.payload[2]), sequence++);
    }
    EXPECT_EQ(sequence, 6) << "all four, in order";
  }
  EXPECT_EQ(path.sent_to(2).size(), 4u);
  EXPECT_EQ(lost(), 0u);
}

TEST_F(PacketPathFrames, RefusesWhatWasSeenWhatIsForgedAndWhatHasNoHopLeft) {
  const ByteVector once = from.seal(packet(2));
  path.port.put(0, from.install.peer_address, once);
  path.port.put(0, from.install.peer_address, once);  // in the same burst
  path.run();
  EXPECT_EQ(path.drops(DropReason::replayed), 1u);
  path.port.put(0, from.install.peer_address, once);
  path.run();
  EXPECT_EQ(path.drops(DropReason::replayed), 2u);
  ByteVector forged = from.seal(packet(3));
  forged.back() = static_cast<uint8_t>(forged.back() ^ 1);
  path.port.put(0, from.install.peer_address, forged);
  relay::RecordHeader header = media(path.label(0), kVideo);
  header.ttl = 0;
  path.arrive(from, {record(header, rtp({.sequence = 4}))});
  header = media(path.label(0, 2), kVideo);  // of a generation that is gone
  path.arrive(from, {record(header, rtp({.sequence = 5}))});
  arrive(0, 6);
  path.run();
  EXPECT_EQ(path.drops(DropReason::not_authentic), 1u);
  EXPECT_EQ(path.drops(DropReason::ttl_expired), 1u);
  EXPECT_EQ(path.drops(DropReason::stale_label), 1u);
  EXPECT_EQ(path.sent_to(1).size(), 2u) << "the first and the last";
}

TEST_F(PacketPathFrames, WhenThePortRefusesTheRestOfTheFrameIsDroppedAndAKeyframeAskedFor) {
  path.port.accept_runs = 0;
  path.arrive(from, {packet(2, kVideo, 0, false)});
  path.run();
  EXPECT_EQ(path.drops(DropReason::tx_full), 1u);
  path.port.accept_runs = UINT64_MAX;
  relay::RecordHeader header = media(path.label(0), kVideo);
  header.frame_end = true;  // the same frame's last packet
  path.arrive(from, {record(header, rtp({.sequence = 3, .timestamp = 180, .marker = true}))});
  arrive(0, 4);
  path.run();
  EXPECT_EQ(path.drops(DropReason::rest_of_frame), 1u);
  ASSERT_EQ(path.sent_to(1).size(), 1u) << "the next frame";
  EXPECT_EQ(path.count(CoreCounter::keyframe_requests), 1u);
}

TEST_F(PacketPathFrames, WithoutAFreeFrameCopiesAreDroppedCountedAndForwardingGoesOn) {
  path.port.leave(4);
  arrive(2, 2);  // two outputs: one gets no frame, the other the one that it came in
  arrive(0, 3);
  path.run();
  EXPECT_GE(path.drops(DropReason::no_buffer) + path.sent_to(1).size(), 2u);
  EXPECT_EQ(path.sent_to(2).size(), 1u);
  path.port.give_all();
  path.port.sent.clear();
  arrive(0, 4);
  path.run();
  EXPECT_EQ(path.sent_to(1).size(), 1u);
}

}  // namespace
}  // namespace trunkline::tests
