// Feedback on its way to the publisher: by link, to a host queue, to a tap; throttled and merged.
#include <gtest/gtest.h>

#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using H = PathHarness;
using relay::HostPacketKind;
using relay::RecordKind;

constexpr FlowId kFlow = 3;
const UdpAddress kEncoder = UdpAddress::v4(198, 18, 0, 50, 6001);
const UdpAddress kPlayer = UdpAddress::v4(198, 18, 0, 99, 5004);

std::vector<ReadRecord> feedback_to(H& h, LinkId link) {
  std::vector<ReadRecord> out;
  for (ReadRecord& r : h.sent_to(link)) {
    if (r.header.kind == RecordKind::kFeedback) out.push_back(std::move(r));
  }
  return out;
}
void ask(H& h, const ByteVector& rtcp) {
  h.host_packet(1, HostPacketKind::kFeedback, kFlow, 500, rtcp);
}

TEST(PacketPathFeedback, APliGoesUpstreamAsAFeedbackRecordOnTheUpstreamLabelAndCore) {
  H h;
  h.link_up(0, 2);
  h.open_flow({.flow = kFlow,
               .source = relay::FlowSource::kUpstream,
               .link = 0,
               .upstream_label = Label{0xabcd},
               .upstream_core = CoreId{1},
               .keyframe_interval = core::from_ms(300)});
  h.output(kFlow, H::to_queue(1));
  ask(h, concat({receiver_report(5), pli(0x777, 0x55)}));
  h.run();
  const std::vector<ReadRecord> out = h.sent_to(0, 1);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].header.kind, RecordKind::kFeedback);
  EXPECT_EQ(out[0].header.label.value, 0xabcdu);
  EXPECT_EQ(out[0].header.traffic_class, TrafficClass::kControl);
  EXPECT_EQ(out[0].payload, pli(0x777, 0x55)) << "the report ended here";
}

TEST(PacketPathFeedback, AtMostOneKeyframeRequestPerIntervalWhoeverAsks) {
  H h;
  h.link_up(0);
  h.link_up(1);
  h.open_flow({.flow = kFlow,
               .source = relay::FlowSource::kUpstream,
               .link = 0,
               .upstream_label = Label{0xabcd},
               .keyframe_interval = core::from_ms(300)});
  h.output(kFlow, H::to_queue(1));
  h.output(kFlow, H::to_link(1));
  h.run();
  relay::RecordHeader from_below;
  from_below.kind = RecordKind::kFeedback;
  from_below.label = h.label(kFlow);
  for (int ms = 0; ms < 900; ms += 10) {
    ask(h, pli(1));
    h.arrive(*h.peers[1], {record(from_below, fir(1))});
    h.run();
    h.now += core::from_ms(10);
  }
  EXPECT_EQ(feedback_to(h, 0).size(), 3u) << "at 0, 300 and 600 ms";
  EXPECT_EQ(h.drops(DropReason::feedback_merged), 177u);
  for (const ReadRecord& r : feedback_to(h, 0))
    EXPECT_EQ(r.payload.size(), relay::kPliLength) << "FIR becomes PLI";
}

TEST(PacketPathFeedback, ANackIsSentOncePerSequenceNumberAndRoundTrip) {
  H h;
  h.link_up(0);
  h.upstream_flow(kFlow, 0);
  h.output(kFlow, H::to_queue(1));
  ask(h, nack(9, {100, 101, 102}));
  ask(h, nack(9, {101, 102, 103}));
  ask(h, nack(9, {101, 102}));
  h.run();
  std::vector<ReadRecord> out = feedback_to(h, 0);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].payload, nack(9, {100, 101, 102}));
  EXPECT_EQ(out[1].payload, nack(9, {103}));
  EXPECT_EQ(h.drops(DropReason::feedback_merged), 1u);
  EXPECT_EQ(h.count(CoreCounter::nacks_upstream), 4u);
  h.port.sent.clear();
  ask(h, nack(9, {101}));
  h.run(core::from_ms(10));
  EXPECT_EQ(feedback_to(h, 0).size(), 1u) << "lost again";
}

TEST(PacketPathFeedback, ReachesALocalPublisherOnItsQueueUnderItsHandle) {
  H h;
  h.local_flow(kFlow, TrafficClass::kRest, 0, 901);
  h.output(kFlow, H::to_queue(1));
  ask(h, concat({pli(4), nack(4, {7})}));
  h.run();
  const auto got = h.delivered(0);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].kind, HostPacketKind::kFeedback);
  EXPECT_EQ(got[0].handle, 901u);
  EXPECT_EQ(got[0].bytes, concat({pli(4), nack(4, {7})}));
}

TEST(PacketPathFeedback, ReachesATapAtTheAddressThatItsRtpComesFrom) {
  H h;
  h.local_flow(kFlow, TrafficClass::kVideoBase, relay::kNoQueue);
  h.ingest({.flow = kFlow, .listen = UdpAddress::v4(198, 18, 0, 1, 6000)});
  h.egress(0, kPlayer);
  h.output(kFlow, H::to_egress(0));
  h.run();
  h.port.put(1, kEncoder, rtp({.ssrc = 8}));
  h.run();
  ASSERT_EQ(h.port.sent.size(), 1u);
  EXPECT_EQ(h.port.sent[0].to, kPlayer);
  h.port.sent.clear();
  h.port.put(2, kPlayer, concat({receiver_report(1), pli(8, 1)}));
  h.run();
  ASSERT_EQ(h.port.sent.size(), 1u);
  EXPECT_EQ(h.port.sent[0].to, kEncoder);
  EXPECT_EQ(h.port.sent[0].endpoint, 1u) << "from the port that the RTP was sent to (RFC 5761)";
  EXPECT_EQ(h.port.sent[0].bytes, pli(8, 1));
}

TEST(PacketPathFeedback, TwoTapsToOneAddressAreToldApartByTheMediaSsrc) {
  H h;
  for (uint16_t i = 0; i < 2; ++i) {
    h.local_flow(kFlow + i, TrafficClass::kRest, 0, 900 + i);
    h.egress(i, kPlayer);
    h.output(kFlow + i, H::to_egress(i));
    h.publish(kFlow + i, rtp({.ssrc = 60u + i}), 900 + i);
  }
  h.run();
  h.port.put(1, kPlayer, pli(61));
  h.port.put(1, kPlayer, pli(60));
  h.run();
  const auto got = h.delivered(0);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].handle, 901u);
  EXPECT_EQ(got[1].handle, 900u);
}

TEST(PacketPathFeedback, AKeyframeRequestOfOursThatComesTooSoonIsSentWhenTheIntervalHasPassed) {
  H h;
  Peer& from = h.link_up(0);
  h.upstream_flow(kFlow, 0, TrafficClass::kVideoBase);
  h.output(kFlow, H::to_queue(1));
  ask(h, pli(5));
  h.run();
  for (uint32_t i = 0; i < 65; ++i) {
    h.arrive(from,
             {record(media(h.label(kFlow), TrafficClass::kVideoBase), rtp({.timestamp = i, .ssrc = 5}))});
  }
  for (int i = 0; i < 3; ++i) h.run();
  EXPECT_EQ(h.drops(DropReason::queue_full), 1u);
  EXPECT_EQ(h.count(CoreCounter::keyframe_requests), 1u);
  while (h.now < core::from_ms(1'500)) h.run(core::from_ms(10));
  EXPECT_EQ(h.count(CoreCounter::keyframe_requests), 2u);
}

TEST(PacketPathFeedback, APublishersReportsTravelWithItsMedia) {
  H h;
  h.link_up(1);
  h.local_flow(kFlow, TrafficClass::kVideoBase);
  h.output(kFlow, H::to_link(1));
  h.publish(kFlow, sender_report(8));
  h.publish(kFlow, rtp({.ssrc = 8, .marker = true}));
  h.run();
  const std::vector<ReadRecord> out = h.sent_to(1);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].payload, sender_report(8));
  EXPECT_FALSE(out[0].header.frame_end);
  EXPECT_TRUE(out[1].header.frame_end) << "the marker ends a frame of video";
  EXPECT_EQ(h.count(CoreCounter::rtcp_downstream), 1u);
}

TEST(PacketPathFeedback, ATapReadsKeyframesOfVp8AndH264WhenToldTo) {
  struct Row {
    bool vp8, h264;
    ByteVector payload;
    bool keyframe;
  };
  const Row kRows[] = {{true, false, {0x10, 0x00, 0, 0}, true},
                       {true, false, {0x10, 0x01, 0, 0}, false},
                       {false, true, {0x65, 0x88, 0, 0}, true},
                       {false, true, {0x41, 0x88, 0, 0}, false},
                       {false, false, {0x10, 0x00, 0, 0}, false}};
  for (const Row& row : kRows) {
    H h;
    h.link_up(1);
    h.local_flow(kFlow, TrafficClass::kVideoBase, relay::kNoQueue);
    h.ingest(
        {.flow = kFlow, .listen = UdpAddress::v4(198, 18, 0, 1, 6000), .vp8 = row.vp8, .h264 = row.h264});
    h.output(kFlow, H::to_link(1));
    h.run();
    ByteVector packet = rtp({.bytes = 12});
    packet.insert(packet.end(), row.payload.begin(), row.payload.end());
    h.port.put(1, kEncoder, packet);
    h.run();
    ASSERT_EQ(h.sent_to(1).size(), 1u);
    EXPECT_EQ(h.sent_to(1)[0].header.keyframe, row.keyframe);
  }
}

}  // namespace
}  // namespace trunkline::tests
