// A datagram's way from the port to its records, and from there the short way on.
//
//   open_received, open_datagram, turn_to_lane   whose it is; new as far as one can tell unopened
//   open_batch                                   those of one lane together: authentic, new
//   split                                        record by record
//   forward_alone, append_straight               the short way, below
//
// The short way is that of a media packet of a flow that has been flowing, and goes to links only. There is
// no Record in between, and nothing is looked at twice: almost all packets of a relay between servers take
// it.
//
//   small records   are appended to what leaves for each link, to share a datagram
//   video           the same; but where the port has frames, a packet that came alone leaves in the frame
//   that
//                   it came in, with new headers over the old ones. For several links it is sealed out of
//                   that frame into one for each, because each link seals with its own keys
//
// What is done on it is what locate() and to_link() do, with their counters. Whatever asks for more is left
// to them (relay/packet_path.cc); and once something waits there, so is all that comes after it: so a track
// keeps its order.
#include <algorithm>
#include <bit>
#include <utility>

#include "relay/packet_path.h"

namespace trunkline::relay {

void PacketPath::open_received(uint32_t count) noexcept {
  const StageScope stage(accounting_.clock, Stage::open);
  if (count == 0) return;
  const bool in_frames = transmitter_.sends_received();
  uint16_t port = received_[0].owner_port;
  const Endpoint* endpoint = &taps_.endpoint(port);
  for (uint32_t i = 0; i < count; ++i) {
    if (i + 1 < count) __builtin_prefetch(received_[i + 1].data);
    const core::Packet& packet = received_[i];
    if (packet.owner_port != port) {  // most came to the same
      port = packet.owner_port;
      endpoint = &taps_.endpoint(port);
    }
    switch (endpoint->use) {
      case EndpointUse::kMesh:
        if (in_frames) {
          open_datagram(packet, packet.data, packet.length, static_cast<uint8_t>(i + 1));
        } else {
          open(packet, 0);
        }
        break;
      case EndpointUse::kIngest:
        take_published(packet, endpoint->flow);
        break;
      case EndpointUse::kEgress:
        take_from_subscriber(packet);
        break;
      case EndpointUse::kNone:
        accounting_.received(packet.datagrams());
        accounting_.drop(DropReason::unknown_source, packet.datagrams());
        break;
    }
  }
  open_batch();
  relay_batch();
}

namespace {

bool all_zero(const uint8_t* from, const uint8_t* to) noexcept {
  return std::all_of(from, to, [](uint8_t byte) { return byte == 0; });
}

bool is_rtcp(const uint8_t* rtp) noexcept {
  return rtp[1] - 192u <= 31u;  // RFC 5761 section 4
}

}  // namespace

// ---- open: authenticated, decrypted, split into records. Datagrams of one session and lane are opened
// together

void PacketPath::open(const core::Packet& packet, uint8_t frame) noexcept {
  for_each_datagram(packet,
                    [&](uint8_t* data, uint32_t length) { open_datagram(packet, data, length, frame); });
}

// Most are of the session and lane that the one before was of, and say so in their first twelve bytes.
inline void PacketPath::open_datagram(const core::Packet& packet, uint8_t* data, uint32_t length,
                                      uint8_t frame) noexcept {
  if (length < kHeaderBytes + kTagBytes) return refuse(DropReason::short_datagram);
  const uint64_t word = load_be64(data);
  const bool same_lane = (word ^ opening_word_) <= kMaxCounter && load_be32(data + 8) == opening_index_;
  if (!same_lane && !turn_to_lane(packet, data, length)) return;
  const uint64_t counter = word & kMaxCounter;
  const auto verdict = opening_window_->check(counter);
  if (verdict != LaneReplayWindow::Verdict::kNew) [[unlikely]] {
    const bool seen = verdict == LaneReplayWindow::Verdict::kSeen;
    return refuse(seen ? DropReason::replayed : DropReason::too_old);
  }
  if (open_count_ == open_jobs_.size()) open_batch();
  open_jobs_[open_count_] = {data, length, false};
  open_counters_[open_count_] = counter;
  open_frames_[open_count_] = frame;
  ++open_count_;
}

// What waits of another lane is opened, and this datagram's lane takes its place. False: it is not to be
// opened here, and was counted or went elsewhere.
bool PacketPath::turn_to_lane(const core::Packet& packet, uint8_t* data, uint32_t length) noexcept {
  const DatagramHeader header = decode_header(data);
  if (header.version != kWireVersion) return refuse(DropReason::bad_version), false;
  if (header.type != DatagramType::kData) {
    is_handshake(header.type) ? take_handshake(packet, {data, length}) : refuse(DropReason::bad_type);
    return false;
  }
  const CoreId owner{SessionIndex::core(header.session_index)};
  if (owner != core_) return hand_over(packet, {data, length}, owner), false;
  Session* session = sessions_.find(header.session_index);
  if (session == nullptr) return refuse(DropReason::no_session), false;
  if (header.lane >= session->peer_cores) return refuse(DropReason::bad_lane), false;
  if (session != opening_ || header.lane != opening_lane_) open_batch();
  opening_ = session;
  opening_window_ = &sessions_.window(*session, header.lane);
  opening_word_ = load_be64(data) & ~kMaxCounter;
  opening_index_ = header.session_index;
  opening_lane_ = header.lane;
  return true;
}

void PacketPath::open_batch() noexcept {
  if (open_count_ == 0) return;
  Session& session = *opening_;
  const std::span<OpenJob> jobs(open_jobs_.data(), open_count_);
  session.crypto->open(CoreId{opening_lane_}, core_, jobs);
  const StageScope stage(accounting_.clock, Stage::fan_out);
  const uint32_t alone = transmitter_.sends_received() ? forward_alone(session, jobs) : 0;
  uint32_t opened = straight_.packets, records = straight_.packets;
  if (alone < jobs.size()) prefetch_flows(jobs.subspan(alone));
  for (uint32_t i = alone; i < open_count_; ++i) {
    const OpenJob& job = jobs[i];
    if (!job.authentic) {
      refuse(DropReason::not_authentic);
      continue;
    }
    // Only now may it move the window; a twin in the same batch is found here.
    if (opening_window_->commit(open_counters_[i]) != LaneReplayWindow::Verdict::kNew) {
      refuse(DropReason::replayed);
      continue;
    }
    ++opened;
    records +=
        split(session, {job.data + kHeaderBytes, job.length - kHeaderBytes - kTagBytes}, open_frames_[i]);
  }
  finish_straight();
  if (opened != 0) liveness_.heard(session, opening_lane_, now_, opened);
  accounting_.received(records);
  accounting_.count(CoreCounter::records_in, records);
  accounting_.count(CoreCounter::datagrams_opened, opened);
  open_count_ = 0;
}

// Their flows' lines are on their way before the first is read. Whatever the records say, authentic or not;
// bounded, for each turn goes on by a record's header at least.
inline void PacketPath::prefetch_flows(std::span<const OpenJob> jobs) const noexcept {
  for (const OpenJob& job : jobs) {
    const uint8_t* const end = job.data + job.length - kTagBytes;
    for (const uint8_t* at = job.data + kHeaderBytes; at + kRecordHeaderBytes <= end;) {
      const RecordWord header = RecordWord::load(at);
      if (header.kind() == RecordKind::kPadding) break;
      flows_.prefetch(header.label());
      at += kRecordHeaderBytes + header.length();
    }
  }
}

// Returns how many records there were.
inline uint32_t PacketPath::split(Session& session, std::span<uint8_t> records, uint8_t frame) noexcept {
  uint8_t* at = records.data();
  uint8_t* const end = at + records.size();
  uint32_t count = 0;
  while (at < end) {  // each turn consumes at least a record header
    const auto left = static_cast<uint32_t>(end - at);
    const RecordWord header = left >= kRecordHeaderBytes ? RecordWord::load(at) : RecordWord{0};
    if (header.kind() == RecordKind::kPadding) {  // or too short to be anything else
      if (!all_zero(at, end)) refuse(DropReason::bad_record);
      break;
    }
    if (header.length() > left - kRecordHeaderBytes) {
      refuse(DropReason::bad_record);
      break;
    }
    uint8_t* const record = at;
    at += kRecordHeaderBytes + header.length();
    ++count;
    const uint8_t alone_in = count == 1 && at == end ? frame : uint8_t{0};
    if (record_count_ == 0 && append_straight(session, record, header)) continue;
    take_record(session, record, alone_in);
  }
  return count;
}

// One that does not take the short way, whose loop is to have the registers for itself.
[[gnu::noinline]] void PacketPath::take_record(Session& session, const uint8_t* at,
                                               uint8_t alone_in) noexcept {
  const RecordHeader header = decode_record(at);
  const uint8_t* const payload = at + kRecordHeaderBytes;
  if (header.kind != RecordKind::kMedia && header.kind != RecordKind::kFeedback) {
    seal_all_forwarded();  // an answer to it may send what is queued
    return take_link_record(session, opening_lane_, header, payload);
  }
  Record& record = next_record();
  record.payload = payload;
  record.label = header.label;
  record.length = header.length;
  record.link = session.link;
  record.kind = header.kind;
  record.traffic_class = header.traffic_class;
  record.ttl = header.ttl;
  record.layer = header.layer;
  record.keyframe = header.keyframe;
  record.frame_end = header.frame_end;
  record.alone_in = alone_in;
  ++record_count_;
}

// ---- the short way

namespace {

// With an RTP header, and a hop left; RTCP goes the long way.
inline bool is_rtp_to_send_on(RecordWord header, const uint8_t* rtp) noexcept {
  return header.ttl() != 0 && header.length() >= kRtpHeaderBytes && !is_rtcp(rtp);
}

inline bool is_lone_video(const OpenJob& job) noexcept {
  const uint8_t* const record = job.data + kHeaderBytes;
  const RecordWord header = RecordWord::load(record);
  return job.authentic && header.length() + kLoneRecordOverhead == job.length && header.is_video() &&
         is_rtp_to_send_on(header, record + kRecordHeaderBytes);
}

}  // namespace

inline bool PacketPath::flows_on(const Flow& flow, Label label, LinkId from) const noexcept {
  return flow.flows(label, from) && now_ - flow.last_packet < kFlowIdleAfter;
}

[[gnu::always_inline]] inline void PacketPath::note_straight(Flow& flow, const uint8_t* record) noexcept {
  const uint8_t* const rtp = record + kRecordHeaderBytes;
  const uint32_t length = RecordWord::load(record).length();
  FlowTable::note_newest(flow, load_be32(rtp + 8), load_be16(rtp + 2));
  ++flow.packets;
  flow.bytes += length;
  flow.last_packet = now_;
  ++straight_.packets;
  straight_.bytes += length;
  straight_.outputs += flow.output_count;
}

// Video that came alone in its datagram, up to the first datagram that holds anything else. Returns how many
// datagrams are done with. First the flows' lines are sent for; then, lane by lane, what may go is judged,
// and goes: loops with little in hand each.
uint32_t PacketPath::forward_alone(const Session& session, std::span<const OpenJob> jobs) noexcept {
  if (record_count_ != 0) return 0;
  const auto count = static_cast<uint32_t>(jobs.size());
  Flows flows;
  for (uint32_t i = 0; i < count; ++i) {  // whatever they say, authentic or not
    flows[i] = &flows_.at(flows_.flow_of(RecordWord::load(jobs[i].data + kHeaderBytes).label()));
    __builtin_prefetch(flows[i], 1);
  }
  for (uint32_t i = 0; i < count;) {
    Flow& flow = *flows[i];
    LaneWriter::Forwarding* const to = forwarding_to(flow.first);
    if (to == nullptr) return i;
    if (const uint32_t end = judge_alone(session, *to, jobs, flows, i); end != i) {
      take_alone(*to, jobs, flows, i, end);
      i = end;
    } else if (flow.output_count > 1 && fan_out_alone(session, flow, i)) {
      ++i;
    } else {
      return i;
    }
  }
  return count;
}

// Up to which datagram, `first` the first, each is a video packet alone in a frame, of a flow whose one
// output is `to`.
uint32_t PacketPath::judge_alone(const Session& session, const LaneWriter::Forwarding& to,
                                 std::span<const OpenJob> jobs, const Flows& flows, uint32_t first) noexcept {
  // For each its packet; and what waits in the lane has left it already: nothing unsealed is sent early.
  const uint32_t room = transmitter_.room() - lanes_.forwarded();
  const auto end = static_cast<uint32_t>(std::min<size_t>(jobs.size(), first + room));
  const uint32_t where = flows[first]->first.where();
  const LinkId link = session.link;
  const uint32_t longest = to.max_plain + kTagBytes;
  for (uint32_t i = first; i < end; ++i) {
    const OpenJob& job = jobs[i];
    if (open_frames_[i] == 0 || job.length > longest || !is_lone_video(job)) return i;
    const Flow& flow = *flows[i];
    if (!flows_on(flow, RecordWord::load(job.data + kHeaderBytes).label(), link)) return i;
    if (flow.output_count != 1 || flow.first.where() != where || flow.first.broken) return i;
  }
  return end;
}

// Those that were judged so.
void PacketPath::take_alone(LaneWriter::Forwarding& to, std::span<const OpenJob> jobs, const Flows& flows,
                            uint32_t first, uint32_t end) noexcept {
  for (uint32_t i = first; i < end; ++i) {
    if (opening_window_->commit(open_counters_[i]) != LaneReplayWindow::Verdict::kNew) [[unlikely]] {
      refuse(DropReason::replayed);
      continue;
    }
    uint8_t* const record = jobs[i].data + kHeaderBytes;
    Flow& flow = *flows[i];
    note_straight(flow, record);
    core::Packet& packet = received_[open_frames_[i] - 1u];
    const RecordWord next = RecordWord::load(record).sent_on(flow.first.label);
    lanes_.forward(to, to.in_place(record, packet.buffer, next, flows_.id_of(flow)));
    packet.buffer = nullptr;  // the lane's from here on
    ++straight_.in_place;
  }
}

// The same for one of several outputs. False: nothing was done, and the long way judges it.
bool PacketPath::fan_out_alone(const Session& session, Flow& flow, uint32_t at) noexcept {
  const OpenJob& job = open_jobs_[at];
  uint8_t* const record = job.data + kHeaderBytes;
  if (open_frames_[at] == 0 || !is_lone_video(job)) return false;
  if (!flows_on(flow, RecordWord::load(record).label(), session.link)) return false;
  // For each output its packet, and what waits in the lane that it goes by.
  if (lanes_.forwarded() + 2u * flow.output_count > transmitter_.room()) return false;
  if (!all_straight(flow, job.length - kTagBytes)) return false;
  if (opening_window_->commit(open_counters_[at]) != LaneReplayWindow::Verdict::kNew) {
    refuse(DropReason::replayed);
    return true;
  }
  note_straight(flow, record);
  fan_out_straight(flow, record, received_[open_frames_[at] - 1u]);
  return true;
}

// Each output is sealed out of the frame that the packet came in into one of its own; when there is none, the
// last output gets what it came in. Contract: all_straight(), so that each has its lane.
void PacketPath::fan_out_straight(Flow& flow, uint8_t* record, core::Packet& packet) noexcept {
  const RecordWord header = RecordWord::load(record);
  const FlowId id = flows_.id_of(flow);
  uint32_t left = flow.output_count;
  flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t&) {
    --left;
    const RecordWord next = header.sent_on(output.label);
    core::Buffer* const frame = transmitter_.try_stocked_frame(header.traffic_class());
    if (frame == nullptr) {
      seal_all_forwarded();  // all that is still to be read; and a keyframe request may send what is queued
      if (left != 0) return lost_straight(id, output, record, DropReason::no_buffer), true;
    }
    LaneWriter::Forwarding& to = *forwarding_to(output);
    if (frame == nullptr) {
      lanes_.forward(to, to.in_place(record, std::exchange(packet.buffer, nullptr), next, id));
      ++straight_.in_place;
      return true;
    }
    // Twice to the same peer, under two labels: one after the other.
    if (to.count != 0 && to.waiting[to.count - 1].record == record) lanes_.seal_forwarded(to);
    lanes_.forward(to, {record, frame->data, frame, next, id});
    return true;
  });
}

bool PacketPath::all_straight(Flow& flow, uint32_t plain) noexcept {
  bool straight = true;
  flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t&) {
    const LaneWriter::Forwarding* const to = output.broken ? nullptr : forwarding_to(output);
    straight = to != nullptr && plain <= to->max_plain;
    return straight;
  });
  return straight;
}

// Where packets for this output go; nullptr: the long way judges them. What was begun for another link in the
// same place is sealed. There is room for one of each datagram that is opened together.
inline LaneWriter::Forwarding* PacketPath::forwarding_to(const OutputSlot& output) noexcept {
  if (output.kind != OutputKind::kLink) return nullptr;
  const uint32_t place = output.target % kForwardings;
  LaneWriter::Forwarding& to = forwardings_[place];
  const bool begun = (forwardings_begun_ >> place & 1) != 0 && to.is_to(output);
  return begun || begin_forwarding(output) ? &to : nullptr;
}

bool PacketPath::begin_forwarding(const OutputSlot& output) noexcept {
  const uint32_t place = output.target % kForwardings;
  LaneWriter::Forwarding& to = forwardings_[place];
  if ((forwardings_begun_ >> place & 1) != 0) lanes_.seal_forwarded(to);
  forwardings_begun_ |= 1u << place;
  return lanes_.begin_forwarding(output.target, CoreId{output.remote_core}, to, now_);
}

void PacketPath::seal_all_forwarded() noexcept {
  for (uint32_t left = forwardings_begun_; left != 0; left &= left - 1)
    lanes_.seal_forwarded(forwardings_[static_cast<size_t>(std::countr_zero(left))]);
  forwardings_begun_ = 0;
}

// A record that shares its datagram, into what leaves for each of its links. False: nothing was done, and the
// long way judges it.
inline bool PacketPath::append_straight(const Session& session, const uint8_t* record,
                                        RecordWord header) noexcept {
  const uint8_t* const rtp = record + kRecordHeaderBytes;
  if (header.kind() != RecordKind::kMedia || !is_rtp_to_send_on(header, rtp)) return false;
  Flow& flow = flows_.at(flows_.flow_of(header.label()));
  if (!flows_on(flow, header.label(), session.link)) return false;
  if (!append_to_all(flow, record, header)) return false;
  note_straight(flow, record);
  return true;
}

inline bool PacketPath::append_to_all(Flow& flow, const uint8_t* record, RecordWord header) noexcept {
  const uint32_t plain = kHeaderBytes + kRecordHeaderBytes + header.length();
  const LaneWriter::StreamKind kind = LaneWriter::stream_of(header.traffic_class());
  if (flow.output_count == 1) [[likely]] {
    LaneWriter::Stream* const stream = stream_to(flow.first, kind, plain);
    if (stream == nullptr) return false;
    append_to(*stream, flows_.id_of(flow), flow.first, record, header);
    return true;
  }
  bool straight = true;
  flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t&) {
    straight = stream_to(output, kind, plain) != nullptr;
    return straight;
  });
  if (!straight) return false;
  flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t&) {
    append_to(*stream_to(output, kind, plain), flows_.id_of(flow), output, record, header);
    return true;
  });
  return true;
}

inline void PacketPath::append_to(LaneWriter::Stream& stream, FlowId id, OutputSlot& output,
                                  const uint8_t* record, RecordWord header) noexcept {
  const RecordWord next = header.sent_on(output.label);
  const uint8_t* const rtp = record + kRecordHeaderBytes;
  if (!lanes_.try_append(stream, next, rtp)) [[unlikely]] {
    seal_all_forwarded();  // to make room may send what is queued
    const DropReason refused = lanes_.append(stream, next, rtp, now_);
    if (refused != kNoDrop) return lost_straight(id, output, record, refused);
  }
  LaneWriter::add_units(stream, 1);
  if (has_frames(header.traffic_class()))
    lanes_.note(stream, {id, load_be32(rtp + 8), load_be32(rtp + 4), !header.frame_end()});
}

// The stream in which `plain` bytes of a datagram go to this output; nullptr: the long way judges it.
inline LaneWriter::Stream* PacketPath::stream_to(const OutputSlot& output, LaneWriter::StreamKind kind,
                                                 uint32_t plain) noexcept {
  if (output.broken) return nullptr;
  if (output.where() != appending_.where || kind != appending_.kind) {
    if (output.kind != OutputKind::kLink || sessions_.active(output.target) == nullptr) return nullptr;
    appending_ = {output.where(), kind, &lanes_.stream(output.target, CoreId{output.remote_core}, kind)};
  }
  return plain <= appending_.stream->max_plain ? appending_.stream : nullptr;
}

// Contract: nothing waits unsealed.
[[gnu::noinline]] void PacketPath::lost_straight(FlowId id, OutputSlot& output, const uint8_t* at,
                                                 DropReason reason) noexcept {
  const RecordHeader header = decode_record(at);
  Record record{};
  record.payload = at + kRecordHeaderBytes;
  record.length = header.length;
  record.traffic_class = header.traffic_class;
  record.frame_end = header.frame_end;
  ++straight_.lost;
  lost(id, output, record, reason);
}

void PacketPath::finish_straight() noexcept {
  seal_all_forwarded();
  if (straight_.packets == 0) return;
  accounting_.received(straight_.outputs - straight_.packets);  // the first of each is counted as a record
  accounting_.count(CoreCounter::media_in, straight_.packets);
  accounting_.count(CoreCounter::media_bytes_in, straight_.bytes);
  accounting_.count(CoreCounter::media_to_links, straight_.outputs - straight_.lost);
  accounting_.count(CoreCounter::media_in_place, straight_.in_place);
  straight_ = {};
}

}  // namespace trunkline::relay
