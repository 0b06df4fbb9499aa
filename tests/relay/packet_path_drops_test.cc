// Every way in which the packet path drops: a table with a row for each DropReason. Each row sends what is
// wrong, and nothing but its own reason may be counted; what is right beside it must still go through.
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using relay::RecordHeader;
using relay::RecordKind;
using H = PathHarness;

const UdpAddress kStranger = UdpAddress::v4(203, 0, 113, 9, 999);
const UdpAddress kPlayer = UdpAddress::v4(198, 18, 0, 99, 5004);
constexpr FlowId kFlow = 3;

RecordHeader of_kind(RecordKind kind, Label label = {}) {
  RecordHeader header;
  header.kind = kind;
  header.label = label;
  header.ttl = 3;
  return header;
}

// A link 0 that sends, a link 1 that receives flow 3.
Peer& relayed(H& h, TrafficClass traffic_class = TrafficClass::kAudio) {
  Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(kFlow, 0, traffic_class);
  h.output(kFlow, H::to_link(1));
  return from;
}
void raw(H& h, ByteVector bytes) {
  h.port.put(0, peer_address(0), std::move(bytes));
}
ByteVector good(H& h, Peer& from) {
  return from.seal(record(media(h.label(kFlow)), rtp({})));
}
ByteVector with_header(relay::DatagramHeader header, std::size_t bytes = 100) {
  ByteVector out(bytes);
  header.version = header.version == 0 ? relay::kWireVersion : header.version;
  relay::encode_header(out.data(), header);
  return out;
}
// Video packets of one frame each on flow 3, from a publisher on host queue 0.
void published(H& h, TrafficClass traffic_class = TrafficClass::kRest) {
  h.local_flow(kFlow, traffic_class);
}
void tapped(H& h, relay::IngestOpen open = {}) {
  h.local_flow(kFlow, TrafficClass::kRest, relay::kNoQueue);
  open.flow = kFlow;
  open.listen = UdpAddress::v4(198, 18, 0, 1, 6000);
  h.ingest(open);
  h.output(kFlow, H::to_queue(1));
  h.run();
}
constexpr uint16_t kTapEndpoint = 1;  // the second one opened

struct Row {
  DropReason reason;
  const char* name;
  uint64_t drops;      // of that reason
  uint64_t forwarded;  // units that get through all the same
  std::function<void(H&)> scenario;
};

const Row kRows[] = {
    // ---- datagrams
    {DropReason::short_datagram, "a byte less than header and tag, and nothing at all", 2, 0,
     [](H& h) {
       raw(h, ByteVector(27));
       raw(h, ByteVector());
     }},
    {DropReason::bad_version, "versions 0 and 2", 2, 1,
     [](H& h) {
       Peer& from = relayed(h);
       raw(h, ByteVector(100));
       raw(h, with_header({.version = 2}));
       raw(h, good(h, from));
     }},
    {DropReason::bad_type, "type 4", 1, 0,
     [](H& h) { raw(h, with_header({.type = static_cast<relay::DatagramType>(4)})); }},
    {DropReason::no_session, "a free slot, a slot beyond the table, and the right slot with a wrong index", 3,
     0,
     [](H& h) {
       Peer& from = relayed(h);
       raw(h, with_header({.session_index = relay::SessionIndex::make(CoreId{0}, 9, 1)}));
       raw(h, with_header({.session_index = relay::SessionIndex::make(CoreId{0}, 4000, 1)}));
       raw(h, with_header({.session_index = from.install.receive_index ^ 1}));
     }},
    {DropReason::wrong_core, "an index of core 3", 1, 0,
     [](H& h) { raw(h, with_header({.session_index = relay::SessionIndex::make(CoreId{3}, 0, 1)})); }},
    {DropReason::handover_full, "one more for core 1 than buffers may be lent to it", 1, 16,
     [](H& h) {
       h.config.data_cores = 2;
       h.config.limits.handover_buffers = 16;
       h.handover = std::make_unique<relay::Handover>(h.config, CoreId{0}, h.pages);
       h.rings.handover = h.handover.get();
       for (int i = 0; i < 17; ++i)
         raw(h, with_header({.session_index = relay::SessionIndex::make(CoreId{1}, 0, 1)}));
     }},
    {DropReason::bad_lane, "lane 1 of a peer with one core", 1, 0,
     [](H& h) {
       Peer& from = relayed(h);
       from.lane = 1;
       raw(h, good(h, from));
     }},
    {DropReason::not_authentic, "a bit changed in the payload, then the tag", 2, 1,
     [](H& h) {
       Peer& from = relayed(h);
       ByteVector one = good(h, from), two = good(h, from);
       one[40] ^= 1;
       two.back() ^= 1;
       raw(h, one);
       raw(h, two);
       raw(h, good(h, from));
     }},
    {DropReason::replayed, "the same datagram again in the same burst, and again later", 2, 1,
     [](H& h) {
       Peer& from = relayed(h);
       const ByteVector one = good(h, from);
       raw(h, one);
       raw(h, one);
       h.run();
       raw(h, one);
     }},
    {DropReason::too_old, "a counter more than the window behind", 1, 1,
     [](H& h) {
       Peer& from = relayed(h);
       from.counter = 100'000;
       raw(h, good(h, from));
       h.run();
       raw(h, from.seal_as(record(media(h.label(kFlow)), rtp({})), 100'000 - 8192));
     }},
    {DropReason::handshake_full, "one handshake more than the ring to the mesh thread holds", 1, 16,
     [](H& h) {
       for (int i = 0; i < 17; ++i) raw(h, with_header({.type = relay::DatagramType::kHandshake1}));
     }},
    // ---- records
    {DropReason::bad_record, "a record past the end, padding that is not zero, a heartbeat cut short", 4, 1,
     [](H& h) {
       Peer& from = relayed(h);
       ByteVector past = record(media(h.label(kFlow)), rtp({}));
       past[7] = 0xff;
       raw(h, from.seal(past));
       ByteVector padded = record(media(h.label(kFlow)), rtp({}));
       padded.insert(padded.end(), {0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
       raw(h, from.seal(padded));  // its first record is delivered
       raw(h, from.seal({0, 0, 1}));
       raw(h, from.seal(record(of_kind(RecordKind::kHeartbeat), ByteVector(31))));
     }},
    {DropReason::unknown_kind, "kind 9 between two good records", 1, 2,
     [](H& h) {
       Peer& from = relayed(h);
       const ByteVector one = record(media(h.label(kFlow)), rtp({}));
       h.arrive(from, {one, record(of_kind(static_cast<RecordKind>(9)), ByteVector(5)), one});
     }},
    {DropReason::control_full, "a control segment more than the ring to the mesh thread holds", 1, 16,
     [](H& h) {
       Peer& from = relayed(h);
       for (int i = 0; i < 17; ++i) h.arrive(from, {record(of_kind(RecordKind::kControl), ByteVector(9))});
     }},
    {DropReason::no_route, "a label of no flow, and one beyond the table", 2, 0,
     [](H& h) {
       Peer& from = relayed(h);
       h.arrive(from, {record(media(h.label(kFlow + 1)), rtp({}))});
       h.arrive(from, {record(media(Label{0xffffffff}), rtp({}))});
     }},
    {DropReason::stale_label, "a label of the generation before, and a packet of an earlier publication", 2,
     0,
     [](H& h) {
       Peer& from = relayed(h);
       h.local_flow(5);
       h.arrive(from, {record(media(h.label(kFlow, 0)), rtp({}))});
       h.publish(5, rtp({}), 901);
     }},
    {DropReason::foreign_label, "media and feedback of a flow that this link has nothing to do with", 2, 0,
     [](H& h) {
       relayed(h);
       Peer& other = h.link_up(2);
       h.arrive(other, {record(media(h.label(kFlow)), rtp({})),
                        record(of_kind(RecordKind::kFeedback, h.label(kFlow)), pli(1))});
     }},
    {DropReason::wrong_direction, "feedback from the source's link, media from an output's link", 2, 0,
     [](H& h) {
       Peer& from = relayed(h);
       h.arrive(from, {record(of_kind(RecordKind::kFeedback, h.label(kFlow)), pli(1))});
       h.arrive(*h.peers[1], {record(media(h.label(kFlow)), rtp({}))});
     }},
    {DropReason::ttl_expired, "no hop left for the link, but enough for the local queue", 1, 1,
     [](H& h) {
       Peer& from = relayed(h);
       h.output(kFlow, H::to_queue(0));
       RecordHeader last_hop = media(h.label(kFlow));
       last_hop.ttl = 0;
       h.arrive(from, {record(last_hop, rtp({}))});
     }},
    {DropReason::no_output, "a flow without outputs, and an egress tap that was closed", 2, 0,
     [](H& h) {
       Peer& from = h.link_up(0);
       h.upstream_flow(kFlow, 0);
       h.upstream_flow(kFlow + 1, 0);
       h.output(kFlow + 1, H::to_egress(2));
       h.arrive(from, {record(media(h.label(kFlow)), rtp({})), record(media(h.label(kFlow + 1)), rtp({}))});
     }},
    // ---- edges
    {DropReason::not_rtp, "STUN, DTLS, one byte, from a host and from a tap", 4, 0,
     [](H& h) {
       tapped(h);
       h.local_flow(5);
       h.publish(5, {0x00, 0x01, 0, 0});
       h.port.put(kTapEndpoint, kPlayer, {0x16, 0xfe, 0xfd});
       h.port.put(kTapEndpoint, kPlayer, {0x80});
       h.port.put(kTapEndpoint, kPlayer, {});
     }},
    {DropReason::bad_rtp, "a CSRC list past the end", 1, 0,
     [](H& h) {
       tapped(h);
       ByteVector bad = rtp({.bytes = 20});
       bad[0] = 0x8f;
       h.port.put(kTapEndpoint, kPlayer, bad);
     }},
    {DropReason::bad_rtcp, "a length past the end, from a publisher and from a subscriber", 2, 0,
     [](H& h) {
       tapped(h);
       ByteVector bad = sender_report(1);
       bad[3] = 60;
       h.port.put(kTapEndpoint, kPlayer, bad);
       h.host_packet(1, relay::HostPacketKind::kFeedback, kFlow, 500, bad);
     }},
    {DropReason::unknown_source, "another SSRC, an unknown subscriber, an endpoint whose tap was closed", 3,
     0,
     [](H& h) {
       tapped(h, {.ssrc = 42});
       h.egress(1, kPlayer);
       h.run();
       h.port.put(kTapEndpoint, kPlayer, rtp({.ssrc = 43}));
       h.port.put(kTapEndpoint + 1, kStranger, pli(42));
       h.run();
       relay::CoreCommand close;
       close.kind = relay::CoreCommandKind::kFlowClose;
       close.flow = kFlow;
       h.command(close);
       h.port.put(kTapEndpoint, kPlayer, rtp({.ssrc = 42}));
     }},
    {DropReason::too_big, "a byte more than fits the MTU: 1500 - 28 - 36 = 1436", 1, 1,
     [](H& h) {
       h.link_up(1);
       published(h);
       h.output(kFlow, H::to_link(1));
       h.publish(kFlow, rtp({.bytes = 1437}));
       h.publish(kFlow, rtp({.bytes = 1436}));
     }},
    {DropReason::feedback_ended, "receiver reports of a subscriber and of a publisher", 2, 0,
     [](H& h) {
       tapped(h);
       h.host_packet(1, relay::HostPacketKind::kFeedback, kFlow, 500, receiver_report(1));
       h.port.put(kTapEndpoint, kPlayer, receiver_report(1));
     }},
    {DropReason::feedback_merged, "a second keyframe request within 200 ms", 1, 1,
     [](H& h) {
       published(h);
       h.output(kFlow, H::to_queue(1));
       h.host_packet(1, relay::HostPacketKind::kFeedback, kFlow, 500, pli(7));
       h.host_packet(1, relay::HostPacketKind::kFeedback, kFlow, 500, pli(7));
     }},
    {DropReason::no_upstream, "a tap that has not sent yet, and a link without a session", 2, 0,
     [](H& h) {
       tapped(h);
       h.upstream_flow(8, 4);
       h.output(8, H::to_queue(1));
       h.host_packet(1, relay::HostPacketKind::kFeedback, kFlow, 500, pli(7));
       h.host_packet(1, relay::HostPacketKind::kFeedback, 8, 500, pli(7));
     }},
    // ---- outputs
    {DropReason::queue_full, "66 audio packets into a queue of 64, and a queue that does not exist", 3, 64,
     [](H& h) {
       Peer& from = h.link_up(0);
       h.upstream_flow(kFlow, 0);
       h.upstream_flow(kFlow + 1, 0);
       h.output(kFlow, H::to_queue(1));
       h.output(kFlow + 1, H::to_queue(9));
       for (int i = 0; i < 66; ++i) h.arrive(from, {record(media(h.label(kFlow)), rtp({}))});
       h.arrive(from, {record(media(h.label(kFlow + 1)), rtp({}))});
     }},
    {DropReason::no_buffer, "audio when a busy port keeps all buffers that audio may have", 1, 30,
     [](H& h) {
       Peer& from = relayed(h);
       h.port.keep_buffers = true;
       // 32 buffers, of which audio leaves 32 / 16 to control.
       for (int i = 0; i < 31; ++i) {
         h.arrive(from, {record(media(h.label(kFlow)), rtp({}))});
         h.run();
       }
     }},
    {DropReason::tx_full, "three records in the one run that the port does not take", 3, 0,
     [](H& h) {
       Peer& from = relayed(h);
       const ByteVector one = record(media(h.label(kFlow)), rtp({}));
       h.run();
       h.port.accept_runs = 0;
       h.arrive(from, {one, one, one});
     }},
    {DropReason::link_gone, "no session (any more): media, a control frame, a handshake without its family",
     3, 0,
     [](H& h) {
       Peer& from = h.link_up(0);
       h.upstream_flow(kFlow, 0);
       h.output(kFlow, H::to_link(1));
       h.arrive(from, {record(media(h.label(kFlow)), rtp({}))});
       relay::Frame frame;
       frame.link = 1;
       frame.length = 10;
       h.rings.frames_in.try_push(frame);
       frame.kind = relay::FrameKind::kHandshake;
       frame.address = *UdpAddress::parse("[2001:2::1]:7000");
       h.rings.frames_in.try_push(frame);
     }},
};

std::string drops_of(const PathHarness& h) {
  std::string text;
  for (uint32_t i = 0; i < static_cast<uint32_t>(DropReason::kCount); ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (h.drops(reason) == 0) continue;
    text += std::string(relay::drop_reason_name(reason)) + "=" + std::to_string(h.drops(reason)) + " ";
  }
  return text;
}

TEST(PacketPathDrops, EachReasonIsCountedAloneAndWhatIsRightStillGoesThrough) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(relay::drop_reason_name(row.reason)) + ": " + row.name);
    PathHarness h;
    row.scenario(h);
    for (int i = 0; i < 4; ++i) h.run();
    EXPECT_EQ(h.drops(row.reason), row.drops) << drops_of(h);
    EXPECT_EQ(h.path->drops().total(), row.drops) << drops_of(h);
    EXPECT_EQ(h.path->conservation().forwarded, row.forwarded);
    EXPECT_EQ(h.path->conservation().held, 0u);
  }
}

// The one reason that needs a history: the rest of a frame of which a packet was lost.
TEST(PacketPathDrops, TheRestOfABrokenFrameIsDroppedTheNextFrameIsNotAndOneKeyframeIsAskedFor) {
  PathHarness h;
  Peer& from = h.link_up(0);
  h.upstream_flow(kFlow, 0, TrafficClass::kVideoBase);
  h.output(kFlow, H::to_queue(1));
  // 65 packets of one frame into a queue of 64 slots, then two more of the frame, then a new frame.
  const auto packet = [&](uint32_t timestamp, bool last) {
    RecordHeader header = media(h.label(kFlow), TrafficClass::kVideoBase);
    header.frame_end = last;
    return record(header, rtp({.timestamp = timestamp, .ssrc = 77}));
  };
  for (int i = 0; i < 65; ++i) h.arrive(from, {packet(1000, false)});
  h.run();
  h.run();
  h.run();
  EXPECT_EQ(h.drops(DropReason::queue_full), 1u);
  EXPECT_EQ(h.delivered(1).size(), 64u);
  h.arrive(from, {packet(1000, false), packet(1000, true), packet(2000, true)});
  h.run();
  EXPECT_EQ(h.drops(DropReason::rest_of_frame), 2u);
  EXPECT_EQ(h.delivered(1).size(), 1u) << "the next frame";
  uint32_t asked = 0;
  for (const ReadRecord& r : h.sent_to(0)) asked += r.header.kind == RecordKind::kFeedback;
  EXPECT_EQ(asked, 1u);
  EXPECT_EQ(h.count(CoreCounter::keyframe_requests), 1u);
}

// The other one: what a track's new source repeats of what its old source has delivered.
TEST(PacketPathDrops, ANewSourceIsHeardTheOldOneIsNotAndNothingIsDeliveredTwice) {
  PathHarness h;
  Peer& old_source = h.link_up(0);
  Peer& new_source = h.link_up(1);
  h.upstream_flow(kFlow, 0);
  h.output(kFlow, H::to_queue(1));
  const auto packet = [&](uint16_t sequence, uint32_t ssrc = 77) {
    return record(media(h.label(kFlow)), rtp({.sequence = sequence, .ssrc = ssrc}));
  };
  h.arrive(old_source, {packet(65'534), packet(65'535), packet(0)});
  h.run();
  EXPECT_EQ(h.delivered(1).size(), 3u);
  relay::CoreCommand c;
  c.kind = relay::CoreCommandKind::kFlowRedirect;
  c.redirect = {.flow = kFlow, .link = 1, .upstream_label = Label{0xdef}};
  h.command(c);
  h.arrive(old_source, {packet(1)});
  h.arrive(new_source, {packet(65'535), packet(0), packet(1), packet(2), packet(9, 78)});
  h.run();
  EXPECT_EQ(h.drops(DropReason::foreign_label), 1u);
  EXPECT_EQ(h.drops(DropReason::repeated), 2u);
  EXPECT_EQ(h.delivered(1).size(), 3u);
  // Its stay is limited: sequence numbers come round.
  h.now += core::from_s(5);
  h.arrive(new_source, {packet(0)});
  h.run();
  EXPECT_EQ(h.drops(DropReason::repeated), 2u);
  EXPECT_EQ(h.delivered(1).size(), 1u);
}

// Of a core that has opened nothing yet, and of one whose session has gone: no first word, with no index, may
// pass for that of the lane in hand.
TEST(PacketPathDrops, NoDatagramIsOfTheLaneThatThereIsNot) {
  PathHarness h;
  uint64_t sent = 0;
  const auto stranger = [&](uint8_t first, uint8_t second, uint32_t index) {
    ByteVector bytes(relay::kHeaderBytes + relay::kTagBytes);
    bytes[0] = first;
    bytes[1] = second;
    relay::store_be32(&bytes[8], index);
    h.port.put(0, peer_address(3), bytes);
    h.run();
    ++sent;
  };
  const auto all_words = [&](uint32_t index) {
    for (unsigned first = 0; first < 256; ++first) {
      for (const unsigned second : {0u, 1u, 255u})
        stranger(static_cast<uint8_t>(first), static_cast<uint8_t>(second), index);
    }
  };
  all_words(0);
  Peer& peer = h.link_up(0);
  h.arrive(peer, {});
  h.run();
  EXPECT_EQ(h.count(CoreCounter::datagrams_opened), 1u);
  relay::CoreCommand remove;
  remove.kind = relay::CoreCommandKind::kSessionRemove;
  remove.slot = peer.install.slot;
  h.command(remove);
  h.run();
  all_words(peer.install.receive_index);
  EXPECT_EQ(h.count(CoreCounter::datagrams_opened), 1u);
  // Versions other than 1; and of version 1 what is neither a handshake nor data.
  EXPECT_EQ(h.drops(DropReason::bad_version), sent / 8 * 7);
  EXPECT_EQ(h.drops(DropReason::not_authentic) + h.drops(DropReason::replayed), 0u) << "nothing is found";
}

TEST(PacketPathDrops, EveryReasonHasARow) {
  for (uint32_t i = 0; i < static_cast<uint32_t>(DropReason::kCount); ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (reason == DropReason::rest_of_frame || reason == DropReason::repeated) continue;  // tests above
    const bool found =
        std::any_of(std::begin(kRows), std::end(kRows), [&](const Row& row) { return row.reason == reason; });
    EXPECT_TRUE(found) << relay::drop_reason_name(reason);
  }
}

}  // namespace
}  // namespace trunkline::tests
