// See relay/feedback.h. take() reads top to bottom; the rest is what it asks.
#include "relay/feedback.h"

#include <algorithm>

#include "relay/rtcp.h"

namespace trunkline::relay {

Feedback::Feedback(FlowTable& flows, SessionTable& sessions, LaneWriter& lanes, EdgeWriter& edge,
                   HostOutputs& hosts, Accounting& accounting)
    : flows_(flows),
      sessions_(sessions),
      lanes_(lanes),
      edge_(edge),
      hosts_(hosts),
      accounting_(accounting),
      nacks_(kNackSlots) {}

void Feedback::take(FlowId id, std::span<const uint8_t> rtcp, Nanos now) noexcept {
  accounting_.count(CoreCounter::feedback_in);
  const std::optional<RtcpView> compound = RtcpView::parse(rtcp);
  if (!compound) return accounting_.drop(DropReason::bad_rtcp);

  const Flow& flow = flows_.at(id);
  const Nanos interval = nack_interval(flow);
  Wish wish;
  for (const RtcpPacket packet : *compound) {
    const RtcpKind kind = packet.kind();
    if (kind != RtcpKind::kPli && kind != RtcpKind::kFir && kind != RtcpKind::kNack) continue;
    wish.sender_ssrc = packet.sender_ssrc().value_or(0);
    wish.media_ssrc = packet.media_ssrc().value_or(0);
    if (kind == RtcpKind::kNack) {
      packet.for_each_nack([&](uint16_t sequence) {
        if (wish.nacks == kMaxNacks) return;
        if (nack_is_new(flow, sequence, interval, now)) {
          wish.sequences[wish.nacks++] = sequence;
        } else {
          wish.merged = true;
        }
      });
      continue;
    }
    // RFC 5104 section 4.3.1.2: FIR names its target in the entry; upstream it goes on as a PLI.
    if (kind == RtcpKind::kFir) wish.media_ssrc = load_u32(packet.body(), 8);
    if (keyframe_allowed(flows_.detail(id), now)) {
      wish.keyframe = true;
    } else {
      wish.merged = true;
    }
  }
  if (!wish.keyframe && wish.nacks == 0) {
    return accounting_.drop(wish.merged ? DropReason::feedback_merged : DropReason::feedback_ended);
  }
  switch (send(id, wish, false, now)) {
    case Sent::kYes:
      return;
    case Sent::kNoUpstream:
      return accounting_.drop(DropReason::no_upstream);
    case Sent::kNoRoom:
      return accounting_.drop(DropReason::no_buffer);
  }
}

void Feedback::request_keyframe(FlowId id, uint32_t media_ssrc, Nanos now) noexcept {
  FlowDetail& detail = flows_.detail(id);
  if (!keyframe_allowed(detail, now)) {
    detail.keyframe_waits = true;
    detail.keyframe_ssrc = media_ssrc;
    return;
  }
  Wish wish;
  wish.keyframe = true;
  wish.media_ssrc = media_ssrc;
  if (send(id, wish, true, now) != Sent::kYes) accounting_.count(CoreCounter::own_records_lost);
}

void Feedback::retry(FlowId id, Nanos now) noexcept {
  FlowDetail& detail = flows_.detail(id);
  if (!detail.keyframe_waits || !keyframe_allowed(detail, now)) return;
  detail.keyframe_waits = false;
  request_keyframe(id, detail.keyframe_ssrc, now);
}

bool Feedback::keyframe_allowed(const FlowDetail& detail, Nanos now) const noexcept {
  const Nanos interval =
      detail.keyframe_interval.ns > 0 ? detail.keyframe_interval : kDefaultKeyframeInterval;
  return !detail.keyframe_asked || now - detail.keyframe_sent >= interval;
}

Nanos Feedback::nack_interval(const Flow& flow) noexcept {
  if (flow.source == FlowSource::kLocal) return kLeastNackInterval;
  const Session* session = sessions_.active(flow.peer);
  if (session == nullptr) return kLeastNackInterval;
  return std::max(kLeastNackInterval, core::from_us(session->rtt_us));
}

bool Feedback::nack_is_new(const Flow& flow, uint16_t sequence, Nanos interval, Nanos now) noexcept {
  const uint64_t key = (uint64_t{flow.label.value} << 32) | (uint64_t{sequence} << 1) | 1;
  // Fibonacci hashing (Knuth, TAOCP 6.4): neighbouring sequence numbers spread over the table.
  NackSlot& slot = nacks_[(key * 0x9e3779b97f4a7c15u) >> 52];
  static_assert(kNackSlots == 1u << (64 - 52));
  if (slot.key == key && now - slot.sent < interval) return false;
  slot = {key, now};
  return true;
}

Feedback::Sent Feedback::send(FlowId id, const Wish& wish, bool own, Nanos now) noexcept {
  std::array<uint8_t, kPliLength + nack_length_bound(kMaxNacks)> rtcp;
  std::size_t length = 0;
  if (wish.keyframe) length += build_pli(rtcp, wish.sender_ssrc, wish.media_ssrc);
  if (wish.nacks > 0) {
    length += build_nack(std::span(rtcp).subspan(length), wish.sender_ssrc, wish.media_ssrc,
                         {wish.sequences.data(), wish.nacks});
  }
  const Sent sent = deliver(id, std::span(rtcp).first(length), own, now);
  if (sent != Sent::kYes) return sent;
  if (wish.keyframe) {
    FlowDetail& detail = flows_.detail(id);
    detail.keyframe_asked = true;
    detail.keyframe_sent = now;
    accounting_.count(CoreCounter::keyframe_requests);
  }
  accounting_.count(CoreCounter::nacks_upstream, wish.nacks);
  accounting_.count(CoreCounter::feedback_upstream);
  return sent;
}

Feedback::Sent Feedback::deliver(FlowId id, std::span<const uint8_t> rtcp, bool own, Nanos now) noexcept {
  const Flow& flow = flows_.at(id);
  const FlowDetail& detail = flows_.detail(id);
  if (flow.source == FlowSource::kUpstream) {
    if (sessions_.active(flow.peer) == nullptr) return Sent::kNoUpstream;
    // One lost request costs a picture, so feedback travels as control.
    RecordHeader header;
    header.label = detail.upstream_label;
    header.kind = RecordKind::kFeedback;
    header.traffic_class = TrafficClass::kControl;
    header.length = static_cast<uint16_t>(rtcp.size());
    LaneWriter::Stream& stream =
        lanes_.stream(flow.peer, detail.upstream_core, LaneWriter::StreamKind::kSmall);
    if (lanes_.append(stream, header, rtcp.data(), now) != kNoDrop) return Sent::kNoRoom;
    own ? ++stream.own : ++stream.units;
    return Sent::kYes;
  }
  if (detail.has_tap) {
    // RFC 5761: RTCP goes to where the RTP comes from.
    if (detail.tap_source.family == 0) return Sent::kNoUpstream;
    edge_.begin({.kind = OutputKind::kNone, .endpoint = detail.tap_endpoint, .to = detail.tap_source}, now);
    const DropReason refused =
        edge_.append(rtcp.data(), static_cast<uint32_t>(rtcp.size()), TrafficClass::kControl, own, now);
    return refused == kNoDrop ? Sent::kYes : Sent::kNoRoom;
  }
  if (flow.peer == kNoQueue) return Sent::kNoUpstream;
  HostPacket* slot = hosts_.try_slot(flow.peer);
  if (slot == nullptr) return Sent::kNoRoom;
  slot->handle = flow.handle;
  slot->time = now;
  slot->flow = id;
  slot->length = static_cast<uint16_t>(rtcp.size());
  slot->kind = HostPacketKind::kFeedback;
  slot->traffic_class = static_cast<uint8_t>(TrafficClass::kControl);
  slot->keyframe = slot->frame_end = false;
  slot->layer = 0;
  std::memcpy(slot->bytes, rtcp.data(), rtcp.size());
  if (!own) accounting_.forwarded(1);
  return Sent::kYes;
}

}  // namespace trunkline::relay
