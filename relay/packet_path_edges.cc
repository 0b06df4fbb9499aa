// Where PacketPath meets the others: frames of the mesh thread, packets of the SFU, plain RTP of taps,
// datagrams of other data cores, and the records that concern a link rather than a track. Each ends here, or
// becomes a Record for relay/packet_path.cc.
#include <algorithm>

#include "relay/packet_path.h"
#include "relay/rtp.h"

namespace trunkline::relay {

// ---- from the mesh thread: control segments and handshakes, at once, in their own class

uint32_t PacketPath::take_frames() noexcept {
  const std::span<Frame> frames = rings_.frames_in.peek(kFramesPerRun);
  for (const Frame& frame : frames) {
    accounting_.received(1);
    if (frame.kind == FrameKind::kHandshake) {
      send_handshake(frame);
      continue;
    }
    const Session* session = sessions_.active(frame.link);
    if (session == nullptr || session->receive_index != frame.session_index) {
      accounting_.drop(DropReason::link_gone);
      continue;
    }
    RecordHeader header;
    header.kind = RecordKind::kControl;
    header.traffic_class = TrafficClass::kControl;
    header.length = frame.length;
    LaneWriter::Stream& stream = lanes_.stream(frame.link, CoreId{0}, LaneWriter::StreamKind::kSmall);
    const DropReason refused = lanes_.append(stream, header, frame.bytes.data(), now_);
    refused == kNoDrop ? LaneWriter::add_units(stream, 1) : accounting_.drop(refused);
  }
  rings_.frames_in.release(static_cast<uint32_t>(frames.size()));
  return static_cast<uint32_t>(frames.size());
}

void PacketPath::send_handshake(const Frame& frame) noexcept {
  const uint16_t endpoint = mesh_endpoint(frame.address.family);
  if (endpoint == LaneWriter::kNoEndpoint) return accounting_.drop(DropReason::link_gone);
  edge_.begin({.endpoint = endpoint, .to = frame.address}, now_);
  const DropReason refused =
      edge_.append(frame.bytes.data(), frame.length, TrafficClass::kControl, false, now_);
  if (refused != kNoDrop) accounting_.drop(refused);
}

// ---- from the SFU

uint32_t PacketPath::take_host_packets() noexcept {
  uint32_t taken = 0;
  for (std::size_t q = 0; q < rings_.queues.size(); ++q) {
    HostPacketRing& ring = rings_.queues[q]->to_core;
    const std::span<HostPacket> packets = ring.peek(kHostPacketsPerRun);
    if (packets.empty()) continue;
    const StageScope stage(accounting_.clock, Stage::open);
    for (const HostPacket& packet : packets) take_host_packet(static_cast<uint16_t>(q), packet);
    relay_batch();  // the slots go back to the host now
    ring.release(static_cast<uint32_t>(packets.size()));
    taken += static_cast<uint32_t>(packets.size());
  }
  return taken;
}

void PacketPath::take_host_packet(uint16_t queue, const HostPacket& packet) noexcept {
  accounting_.received(1);
  if (packet.length > HostPacket::kMaxBytes) return accounting_.drop(DropReason::too_big);
  if (!flows_.is_open(packet.flow)) return accounting_.drop(DropReason::no_route);
  Flow& flow = flows_.at(packet.flow);
  Record& record = next_record();
  record.flow = packet.flow;
  record.link = kNoLink;
  record.ttl = kPublishedTtl;
  if (packet.kind == HostPacketKind::kFeedback) {
    bool acquired = false;  // by this very host, under this name
    flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t& handle) {
      acquired = output.kind == OutputKind::kQueue && output.target == queue && handle == packet.handle;
      return !acquired;
    });
    if (!acquired) return accounting_.drop(DropReason::stale_label);
    record.kind = RecordKind::kFeedback;
    record.payload = packet.bytes;
    record.length = packet.length;
    ++record_count_;
    return;
  }
  if (flow.source != FlowSource::kLocal || flow.peer != queue || flow.handle != packet.handle) {
    return accounting_.drop(DropReason::stale_label);
  }
  record.kind = RecordKind::kMedia;
  const DropReason refused =
      judge_published({packet.bytes, packet.length}, flow, flows_.detail(packet.flow), false, record);
  if (refused != kNoDrop) return accounting_.drop(refused);
  if (record_is_rtcp(record)) accounting_.count(CoreCounter::rtcp_downstream);
  if (packet.traffic_class != kClassOfTrack) {
    record.traffic_class = static_cast<TrafficClass>(std::min<uint8_t>(packet.traffic_class, 3));
  }
  record.keyframe = packet.keyframe;
  record.frame_end = record.frame_end || packet.frame_end;
  record.layer = packet.layer & 15;
  ++record_count_;
}

// ---- from the wire: taps

namespace {

// Plain RTP shows nothing but where it says it comes from: RFC 3550, section 9.
bool may_publish(const UdpAddress& from, UdpAddress source) noexcept {
  if (from.port == 0) source.port = 0;
  return from.family == 0 || from == source;
}

}  // namespace

void PacketPath::take_published(const core::Packet& packet, FlowId id) noexcept {
  const Flow& flow = flows_.at(id);
  FlowDetail& detail = flows_.detail(id);
  const bool heard = may_publish(detail.tap_from, packet.address);
  for_each_datagram(packet, [&](const uint8_t* data, uint32_t length) {
    accounting_.received(1);
    if (!heard) return accounting_.drop(DropReason::unknown_source);
    Record& record = next_record();
    const DropReason refused = judge_published({data, length}, flow, detail, true, record);
    if (refused != kNoDrop) return accounting_.drop(refused);
    if (record_is_rtcp(record)) accounting_.count(CoreCounter::rtcp_downstream);
    record.kind = RecordKind::kMedia;
    record.flow = id;
    record.link = kNoLink;
    record.ttl = kPublishedTtl;
    if (!(detail.tap_source == packet.address)) detail.tap_source = packet.address;
    ++record_count_;
  });
}

// What comes back to an egress tap's endpoint is RTCP of whoever it sends to (RFC 5761: one port for both).
void PacketPath::take_from_subscriber(const core::Packet& packet) noexcept {
  for_each_datagram(packet, [&](const uint8_t* data, uint32_t length) {
    accounting_.received(1);
    const EdgeKind kind = classify({data, length});
    if (kind == EdgeKind::kNeither) return accounting_.drop(DropReason::not_rtp);
    // RFC 4585 section 6.1: a feedback packet names the media's SSRC in its third word.
    const uint32_t media_ssrc = length >= 12 ? load_be32(data + 8) : 0;
    const Egress* tap = taps_.egress_from(packet.address, media_ssrc);
    if (tap == nullptr || kind != EdgeKind::kRtcp) return accounting_.drop(DropReason::unknown_source);
    if (!flows_.is_open(tap->flow)) return accounting_.drop(DropReason::no_route);
    Record& record = next_record();
    record.payload = data;
    record.length = static_cast<uint16_t>(length);
    record.kind = RecordKind::kFeedback;
    record.flow = tap->flow;
    record.link = kNoLink;
    ++record_count_;
  });
}

// ---- between data cores: a datagram goes to the core of its lane unopened, and is opened there as if it had
// arrived there

void PacketPath::hand_over(const core::Packet& packet, Bytes datagram, CoreId to) noexcept {
  Handover* const handover = rings_.handover;
  if (handover == nullptr || !handover->reaches(to)) return refuse(DropReason::wrong_core);
  if (!handover->try_give(to, packet, datagram)) return refuse(DropReason::handover_full);
  accounting_.received(1);
  accounting_.forwarded(1);
  accounting_.count(CoreCounter::handed_over);
  accounting_.count(CoreCounter::handed_over_bytes, datagram.size());
}

uint32_t PacketPath::take_over() noexcept {
  constexpr uint32_t kPrefetchedBytes = 4 * core::kCacheLine;
  rings_.handover->finish();  // what this run handed over is on its way before we work for ourselves
  uint32_t taken = 0;
  for (HandoverLane* const lane : rings_.handover->incoming()) {
    const std::span<core::Packet> packets = lane->peek();
    if (packets.empty()) continue;
    take_commands();  // as in receive()
    const StageScope stage(accounting_.clock, Stage::open);
    // All of an audio packet lies in the giver's cache; of a longer one, what is read comes first.
    for (const core::Packet& packet : packets)
      core::prefetch(packet.data, std::min(packet.length, kPrefetchedBytes));
    for (const core::Packet& packet : packets) open(packet, 0);
    open_batch();
    relay_batch();
    taken += static_cast<uint32_t>(packets.size());
    lane->give_back(packets);
  }
  accounting_.count(CoreCounter::taken_over, taken);
  return taken;
}

// ---- from the wire: what is the mesh thread's

void PacketPath::take_handshake(const core::Packet& packet, Bytes datagram) noexcept {
  const std::span<Frame> slot = rings_.frames_out.claim(1);
  if (slot.empty() || datagram.size() > kMaxFrameBytes) return refuse(DropReason::handshake_full);
  Frame& frame = slot[0];
  frame.kind = FrameKind::kHandshake;
  frame.address = packet.address;
  frame.length = static_cast<uint16_t>(datagram.size());
  std::memcpy(frame.bytes.data(), datagram.data(), datagram.size());
  rings_.frames_out.commit(1);
  accounting_.received(1);
  accounting_.forwarded(1);
}

// Records that concern the link itself.
void PacketPath::take_link_record(Session& session, uint8_t lane, const RecordHeader& header,
                                  const uint8_t* payload) noexcept {
  switch (header.kind) {
    case RecordKind::kControl: {
      const std::span<Frame> slot = rings_.frames_out.claim(1);
      if (slot.empty()) return accounting_.drop(DropReason::control_full);
      if (header.length > kMaxFrameBytes) return accounting_.drop(DropReason::bad_record);
      Frame& frame = slot[0];
      frame.kind = FrameKind::kControl;
      frame.link = session.link;
      frame.session_index = session.receive_index;
      frame.length = header.length;
      std::memcpy(frame.bytes.data(), payload, header.length);
      rings_.frames_out.commit(1);
      return accounting_.forwarded(1);
    }
    case RecordKind::kHeartbeat:
      if (!liveness_.take_heartbeat(session, lane, payload, header.length, now_)) {
        return accounting_.drop(DropReason::bad_record);
      }
      return accounting_.forwarded(1);
    case RecordKind::kPathProbe: {
      // The layer bits say the direction: 0 asks, 1 answers. An answer is larger than its question nowhere.
      if (header.layer == 0) {
        RecordHeader answer = header;
        answer.layer = 1;
        if (lanes_.append_own(session.link, CoreId{lane}, answer, payload, now_)) {
          accounting_.count(CoreCounter::probes_answered);
        }
      }
      return accounting_.forwarded(1);
    }
    default:
      return accounting_.drop(DropReason::unknown_kind);
  }
}

}  // namespace trunkline::relay
