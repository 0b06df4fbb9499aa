// The shortest way through a data core: a video packet that came alone in its datagram and goes to links
// only. For the last of them it leaves in the frame that it came in, with new headers over the old ones; the
// others get a copy in a frame of their own, because each link seals with keys of its own. There is no Record
// in between: this is what most video packets of a relay between servers are.
//
// Only for the front of what was opened together, up to the first datagram that must go the long way, and
// only while nothing waits on that way: so a track keeps its order. What is done here is what split(),
// locate() and to_link() do, in their order and with their counters.
#include <bit>

#include "relay/packet_path.h"

namespace trunkline::relay {

namespace {

constexpr uint32_t kRtpHeaderBytes = 12;  // RFC 3550 section 5.1

// A record's header where it lies (relay/wire.h), read bit by bit only as far as the short way needs it.
struct RecordInPlace {
  uint8_t* at;

  Label label() const noexcept { return Label{load_be32(at)}; }
  uint32_t length() const noexcept { return load_be16(at + 6); }
  bool is_video() const noexcept {  // media, and class 0 or 1: video base or the rest
    static_assert(static_cast<uint8_t>(RecordKind::kMedia) == 1);
    static_assert(has_frames(TrafficClass{0}) && has_frames(TrafficClass{1}) && !has_frames(TrafficClass{2}));
    return (at[4] & 0xf8) == 0x10;
  }
  TrafficClass traffic_class() const noexcept { return static_cast<TrafficClass>((at[4] >> 2) & 3); }
  bool frame_end() const noexcept { return (at[4] & 1) != 0; }
  bool may_go_on() const noexcept { return at[5] >= 0x10; }  // a hop is left
  const uint8_t* rtp() const noexcept { return at + kRecordHeaderBytes; }
  bool is_rtcp() const noexcept { return at[kRecordHeaderBytes + 1] - 192u <= 31u; }  // RFC 5761 section 4
  FrameNote note(FlowId flow) const noexcept {
    return {flow, load_be32(rtp() + 8), load_be32(rtp() + 4), !frame_end()};
  }
  // One hop less, and the label by which the next node knows it.
  void send_on(uint32_t next_label) noexcept {
    store_be32(at, next_label);
    at[5] = static_cast<uint8_t>(at[5] - 0x10);
  }
};

}  // namespace

// Where packets for this output go; nullptr: the link has no session. What was begun for another link in the
// same place is sealed.
LaneWriter::Forwarding* PacketPath::forwarding_to(const OutputSlot& output) noexcept {
  const uint32_t place = output.target % kForwardings;
  LaneWriter::Forwarding& to = forwardings_[place];
  const bool begun = (forwardings_begun_ >> place & 1) != 0;
  if (begun && to.is_to(output) && to.count < to.jobs.size()) return &to;
  if (begun) lanes_.seal_forwarded(to);
  forwardings_begun_ |= 1u << place;
  return lanes_.begin_forwarding(output.target, CoreId{output.remote_core}, to, now_) ? &to : nullptr;
}

void PacketPath::seal_all_forwarded() noexcept {
  for (uint32_t left = forwardings_begun_; left != 0; left &= left - 1)
    lanes_.seal_forwarded(forwardings_[static_cast<size_t>(std::countr_zero(left))]);
  forwardings_begun_ = 0;
}

// All video of this flow goes the short way.
inline bool PacketPath::goes_straight(const Flow& flow, LinkId from) const noexcept {
  if (flow.source != FlowSource::kUpstream || flow.peer != from || !flow.started || flow.resuming)
    return false;
  // For each output its packet, and what waits in the lane that it goes by: nothing unsealed is sent early.
  if (flow.output_count == 0 || 2u * flow.output_count > transmitter_.room()) return false;
  return now_ - flow.last_packet < kFlowIdleAfter;
}

// And `plain` bytes of a datagram fit this output's link. nullptr: the long way judges it.
inline LaneWriter::Forwarding* PacketPath::straight_to(const OutputSlot& output, uint32_t plain) noexcept {
  if (output.kind != OutputKind::kLink || output.broken) return nullptr;
  LaneWriter::Forwarding* const to = forwarding_to(output);
  return to != nullptr && plain <= to->max_plain ? to : nullptr;
}

// To the last output, or the only one: in the frame that it came in.
inline void PacketPath::forward_frame(LaneWriter::Forwarding& to, FlowId id, uint32_t label,
                                      core::Packet& packet, uint32_t length) noexcept {
  RecordInPlace record{packet.data + kHeaderBytes};
  record.send_on(label);
  lanes_.forward(to, packet.buffer, record.at, length, record.traffic_class(), record.note(id));
  packet.buffer = nullptr;  // the transmitter's from here on
}

// To one output of several: a copy.
void PacketPath::forward_copy(LaneWriter::Forwarding& to, FlowId id, OutputSlot& output,
                              const core::Packet& packet, uint32_t length) noexcept {
  const RecordInPlace record{packet.data + kHeaderBytes};
  core::Buffer* const frame = transmitter_.try_stocked_frame(record.traffic_class());
  if (frame == nullptr) {
    Record one{};
    one.payload = record.rtp();
    one.length = static_cast<uint16_t>(length);
    one.traffic_class = record.traffic_class();
    one.frame_end = record.frame_end();
    seal_all_forwarded();  // a keyframe request may send what is queued
    return lost(id, output, one, DropReason::no_buffer);
  }
  RecordInPlace copy{frame->data + kHeaderBytes};
  std::memcpy(copy.at, record.at, kRecordHeaderBytes + length);
  copy.send_on(output.label);
  lanes_.forward(to, frame, copy.at, length, record.traffic_class(), record.note(id));
  accounting_.count(CoreCounter::media_to_links);
}

bool PacketPath::all_straight(Flow& flow, uint32_t plain) noexcept {
  bool straight = true;
  flows_.for_each_output(flow, [&](OutputSlot& output, uint64_t) {
    straight = straight_to(output, plain) != nullptr;
    return straight;
  });
  return straight;
}

// Contract: all_straight(), so that each output has its lane.
void PacketPath::fan_out_straight(Flow& flow, FlowId id, core::Packet& packet, uint32_t length) noexcept {
  uint32_t left = flow.output_count;
  flows_.for_each_output(flow, [&](OutputSlot& output, uint64_t) {
    if (--left == 0) {
      forward_frame(*forwarding_to(output), id, output.label, packet, length);
    } else {
      forward_copy(*forwarding_to(output), id, output, packet, length);
    }
    return true;
  });
}

// Returns how many of the opened datagrams, from the front, are done with.
uint32_t PacketPath::send_straight_on(Session& session) noexcept {
  if (!transmitter_.sends_received() || record_count_ != 0 || transmitter_.room() < open_count_) return 0;
  const StageScope stage(accounting_.clock, Stage::fan_out);
  const std::span<const OpenJob> jobs(open_jobs_.data(), open_count_);
  for (const OpenJob& job : jobs)
    flows_.prefetch(RecordInPlace{job.data + kHeaderBytes}.label());  // whatever it says
  LaneReplayWindow& window = sessions_.window(session, opening_lane_);
  uint32_t done = 0, taken = 0;
  uint64_t units = 0, bytes = 0;
  for (; done < open_count_; ++done) {
    const OpenJob& job = jobs[done];
    const RecordInPlace in_place{job.data + kHeaderBytes};
    const uint32_t length = in_place.length();
    if (!job.authentic || open_frames_[done] == 0 || length + kLoneRecordOverhead != job.length) break;
    if (length < kRtpHeaderBytes || !in_place.is_video() || !in_place.may_go_on() || in_place.is_rtcp())
      break;
    const FlowId id = flows_.flow_of(in_place.label());
    Flow& flow = flows_.at(id);
    if (flow.label != in_place.label() || !goes_straight(flow, session.link)) break;
    const uint32_t plain = job.length - kTagBytes;
    LaneWriter::Forwarding* const only = straight_to(flow.first, plain);
    if (only == nullptr || (flow.output_count > 1 && !all_straight(flow, plain))) break;
    // From here on it is ours.
    if (window.commit(open_counters_[done]) != LaneReplayWindow::Verdict::kNew) {
      refuse(DropReason::replayed);
      continue;
    }
    FlowTable::note_newest(flow, load_be32(in_place.rtp() + 8), load_be16(in_place.rtp() + 2));
    ++flow.packets;
    flow.bytes += length;
    flow.last_packet = now_;
    units += flow.output_count;
    bytes += length;
    ++taken;
    core::Packet& packet = received_[open_frames_[done] - 1u];
    if (flow.output_count == 1) {
      forward_frame(*only, id, flow.first.label, packet, length);
    } else {
      fan_out_straight(flow, id, packet, length);
    }
  }
  seal_all_forwarded();
  if (taken == 0) return done;
  liveness_.heard(session, opening_lane_, now_, taken);
  accounting_.received(units);
  accounting_.count(CoreCounter::datagrams_opened, taken);
  accounting_.count(CoreCounter::records_in, taken);
  accounting_.count(CoreCounter::media_in, taken);
  accounting_.count(CoreCounter::media_bytes_in, bytes);
  accounting_.count(CoreCounter::media_to_links, taken);
  accounting_.count(CoreCounter::media_in_place, taken);
  return done;
}

}  // namespace trunkline::relay
