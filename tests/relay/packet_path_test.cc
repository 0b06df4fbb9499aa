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

}  // namespace
}  // namespace trunkline::tests
