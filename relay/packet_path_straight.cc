// The shortest way through a data core: a video packet that came alone in its datagram and goes to one link
// leaves in the frame that it came in, with new headers over the old ones. Nothing is copied, and there is no
// Record in between: this is what most video packets of a relay between servers are.
//
// Only for the front of what was opened together, up to the first datagram that must go the long way, and
// only while nothing waits on that way: so a track keeps its order. What is done here is what split(),
// locate() and to_link() do, in their order and with their counters.
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
  // One hop less, and the label by which the next node knows it.
  void send_on(uint32_t next_label) noexcept {
    store_be32(at, next_label);
    at[5] = static_cast<uint8_t>(at[5] - 0x10);
  }
};

}  // namespace

// All video of this flow goes the same short way; otherwise the long way judges it.
inline bool PacketPath::goes_straight(const Flow& flow, LinkId from) const noexcept {
  if (flow.source != FlowSource::kUpstream || flow.peer != from || !flow.started || flow.resuming)
    return false;
  if (flow.output_count != 1 || flow.first.kind != OutputKind::kLink || flow.first.broken) return false;
  return now_ - flow.last_packet < kFlowIdleAfter;
}

// Returns how many of the opened datagrams, from the front, are done with.
uint32_t PacketPath::send_straight_on(Session& session) noexcept {
  if (!transmitter_.sends_received() || record_count_ != 0 || transmitter_.room() < open_count_) return 0;
  const std::span<const OpenJob> jobs(open_jobs_.data(), open_count_);
  for (const OpenJob& job : jobs)
    flows_.prefetch(RecordInPlace{job.data + kHeaderBytes}.label());  // whatever it says
  LaneReplayWindow& window = sessions_.window(session, opening_lane_);
  LaneWriter::Forwarding to;
  uint32_t done = 0, sent = 0;
  uint64_t bytes = 0;
  for (; done < open_count_; ++done) {
    const OpenJob& job = jobs[done];
    RecordInPlace record{job.data + kHeaderBytes};
    const uint32_t length = record.length();
    if (!job.authentic || open_frames_[done] == 0 || length + kLoneRecordOverhead != job.length) break;
    if (length < kRtpHeaderBytes || !record.is_video() || !record.may_go_on() || record.is_rtcp()) break;
    const FlowId id = flows_.flow_of(record.label());
    Flow& flow = flows_.at(id);
    if (flow.label != record.label() || !goes_straight(flow, session.link)) break;
    if (!to.is_to(flow.first)) {
      lanes_.seal_forwarded(to);
      if (!lanes_.begin_forwarding(flow.first.target, CoreId{flow.first.remote_core}, to, now_)) break;
    }
    if (length + kHeaderBytes + kRecordHeaderBytes > to.max_plain) break;
    // From here on it is ours.
    if (window.commit(open_counters_[done]) != LaneReplayWindow::Verdict::kNew) {
      refuse(DropReason::replayed);
      continue;
    }
    const uint32_t ssrc = load_be32(record.rtp() + 8);
    FlowTable::note_newest(flow, ssrc, load_be16(record.rtp() + 2));
    ++flow.packets;
    flow.bytes += length;
    flow.last_packet = now_;
    record.send_on(flow.first.label);
    core::Packet& packet = received_[open_frames_[done] - 1u];
    lanes_.forward(to, packet.buffer, record.at, length, record.traffic_class(),
                   {id, ssrc, load_be32(record.rtp() + 4), !record.frame_end()});
    packet.buffer = nullptr;  // the transmitter's from here on
    bytes += length;
    ++sent;
  }
  lanes_.seal_forwarded(to);
  if (sent == 0) return done;
  liveness_.heard(session, opening_lane_, now_, sent);
  accounting_.received(sent);
  accounting_.count(CoreCounter::datagrams_opened, sent);
  accounting_.count(CoreCounter::records_in, sent);
  accounting_.count(CoreCounter::media_in, sent);
  accounting_.count(CoreCounter::media_bytes_in, bytes);
  accounting_.count(CoreCounter::media_to_links, sent);
  accounting_.count(CoreCounter::media_in_place, sent);
  return done;
}

}  // namespace trunkline::relay
