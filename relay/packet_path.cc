// A packet's life, top to bottom. Stages stand in the order in which a packet meets them:
//
//   receive                                     a burst, by what its endpoint is for; edges (taps, the SFU,
//                                               the mesh thread, other data cores) are in
//                                               relay/packet_path_edges.cc
//   open_batch, split                           authenticated, new, taken apart into records; and the short
//                                               way, which most of a relay's packets take: on to their links
//                                               (relay/packet_path_open.cc)
//   locate, fan_out, deliver                    label -> flow -> outputs
//   to_queue, to_tap, to_link                   copied, once, into what leaves
//   (lanes, edge, transmitter).finish / flush   sealed and handed to the port
//
// Budget: 60 ns of our own for a 1200-byte packet (1 in, 1 out, the copy included), 25 ns for a 172-byte
// record in a bundle; bench/relay/path_bench.cc measures both. What a packet may touch: its record (half a
// line), its flow (one line), the stream it is appended to (one line). Virtual calls: per run of datagrams.
#include "relay/packet_path.h"

#include <algorithm>

namespace trunkline::relay {

// A node that is started again at once finds the address held by the io_uring of the one before it, for some
// milliseconds after that process has ended.
constexpr Nanos kAddressFree = core::from_ms(500);

PacketPath::PacketPath(const NodeConfig& config, CoreId core, io::Port& port, Crypto& crypto,
                       core::PageSource& pages, CoreRings& rings)
    : core_(core),
      port_(port),
      rings_(rings),
      transmitter_(config.limits.transmit_buffers, pages, port, accounting_),
      sessions_(config.limits.max_peers, core, crypto),
      flows_(config.limits, core, config.data_cores),
      taps_(config, port, flows_),
      hosts_(rings.queues),
      lanes_(config, core, sessions_, transmitter_, accounting_),
      edge_(core, transmitter_),
      feedback_(flows_, sessions_, lanes_, edge_, hosts_, accounting_),
      liveness_(config, core, sessions_, lanes_, rings.events, rings.evidence, accounting_),
      forwardings_(transmitter_.sends_received() ? kForwardings : 0) {}

PacketPath::~PacketPath() {
  TL_CHECK(conservation().holds());
}

core::Result<UdpAddress> PacketPath::open_mesh(const UdpAddress& listen) {
  const core::Result<uint16_t> endpoint = port_.open_endpoint({.bind = listen, .patience = kAddressFree});
  if (!endpoint) return endpoint.error();
  attach_mesh(*endpoint);
  return port_.endpoint_address(*endpoint);
}

core::Result<void> PacketPath::listen_for(const UdpAddress& other) {
  const core::Result<uint16_t> endpoint = port_.open_endpoint({.bind = other});
  if (!endpoint) return endpoint.error();
  taps_.use_for_mesh(*endpoint);
  return {};
}

void PacketPath::attach_mesh(uint16_t endpoint) noexcept {
  const uint16_t family = port_.endpoint_address(endpoint).family;
  mesh_endpoints_[family == 6 ? 1 : 0] = endpoint;
  lanes_.set_endpoint(family, endpoint);
  taps_.use_for_mesh(endpoint);
}

// One turn of the loop: everything that is there is taken, and everything that comes of it leaves.
uint32_t PacketPath::run_once(Nanos now) noexcept {
  now_ = now;
  unfinished_ = false;
  accounting_.clock.begin_run();
  port_.poll(now);

  uint32_t work = take_commands();  // sessions, flows, outputs as the mesh thread wants them
  work += take_frames();            // what it sends itself
  work += take_host_packets();      // published here
  work += receive();                // opened, located, copied to where they go; then given back
  if (rings_.handover != nullptr) work += take_over();  // the same with what other data cores received

  liveness_.send_due(now);
  look_after_flows();

  hosts_.finish();     // visible to the hosts
  lanes_.finish(now);  // sealed
  edge_.finish(now);
  work += transmitter_.flush(now);  // owned by the port, or a counted drop
  break_frames_of_lost_runs();

  liveness_.report_due(now);
  accounting_.clock.end_run(accounting_.counters.value(CoreCounter::media_in));
  return work;
}

Nanos PacketPath::next_due() const noexcept {
  if (unfinished_) return now_;
  Nanos due = std::min({lanes_.next_due(), liveness_.next_due(), port_.next_due()});
  if (flows_.high_water() > 0) due = std::min(due, flow_check_at_);
  return due;
}

Conservation PacketPath::conservation() const noexcept {
  return {.received = accounting_.counters.value(CoreCounter::units_received),
          .forwarded = accounting_.counters.value(CoreCounter::units_forwarded),
          .dropped = accounting_.drops.total(),
          .held = lanes_.units_held() + edge_.units_held() + transmitter_.units_queued()};
}

// ---- from the wire: a burst, by what its endpoint is for

uint32_t PacketPath::receive() noexcept {
  const StageScope stage(accounting_.clock, Stage::receive);
  const uint32_t count = port_.receive_burst(received_, now_);
  // Again: what the mesh thread said before these were sent is in force. They may be the answer to it, and
  // this thread may have lost its processor since it looked.
  if (count > 0) take_commands();
  open_received(count);
  // Nothing points into the received bytes any more but frames that were kept.
  if (count > 0) port_.give_back({received_.data(), count});
  return count;
}

// ---- locate: label -> flow. Two passes, so that the flows' lines are on their way before the first is read

void PacketPath::relay_batch() noexcept {
  if (record_count_ == 0) return;
  seal_all_forwarded();
  const Stage before = accounting_.clock.enter(Stage::locate);
  const uint32_t count = locate();
  accounting_.clock.enter(Stage::fan_out);
  fan_out(count);
  accounting_.clock.enter(before);
  record_count_ = 0;
}

uint32_t PacketPath::locate() noexcept {
  for (uint32_t i = 0; i < record_count_; ++i) flows_.prefetch(records_[i].label);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < record_count_; ++i) {
    Record& record = records_[i];
    const DropReason refused = record.link == kNoLink ? kNoDrop : find_flow(record);
    if (refused != kNoDrop) {
      accounting_.drop(refused);
      continue;
    }
    if (kept != i) records_[kept] = record;
    ++kept;
  }
  return kept;
}

DropReason PacketPath::find_flow(Record& record) noexcept {
  record.flow = flows_.flow_of(record.label);
  Flow& flow = flows_.at(record.flow);
  if (flow.label != record.label) {
    return flow.label.value == 0 ? DropReason::no_route : DropReason::stale_label;
  }
  const bool from_source = flow.source == FlowSource::kUpstream && flow.peer == record.link;
  if (from_source && record.kind == RecordKind::kMedia) {
    return flow.resuming && flows_.repeats(flow, record, now_) ? DropReason::repeated : kNoDrop;
  }
  if (from_source) return DropReason::wrong_direction;
  bool from_output = false;
  flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t&) {
    from_output = output.kind == OutputKind::kLink && output.target == record.link;
    return !from_output;
  });
  if (!from_output) return DropReason::foreign_label;
  return record.kind == RecordKind::kFeedback ? kNoDrop : DropReason::wrong_direction;
}

// Beyond this point every record has an open flow.

// ---- fan out: neighbours of one flow go together, output by output, so that an output is prepared once

void PacketPath::fan_out(uint32_t count) noexcept {
  for (uint32_t first = 0; first < count;) {
    const Record& head = records_[first];
    if (head.kind == RecordKind::kFeedback) {
      feedback_.take(head.flow, {head.payload, head.length}, now_);
      ++first;
      continue;
    }
    uint32_t end = first + 1;
    while (end < count && records_[end].flow == head.flow && records_[end].kind == RecordKind::kMedia) ++end;
    deliver(flows_.at(head.flow), head.flow, {&records_[first], end - first});
    first = end;
  }
}

void PacketPath::deliver(Flow& flow, FlowId id, Group group) noexcept {
  uint64_t bytes = 0;
  for (const Record& record : group) bytes += record.length;
  if (flow.start == FlowStart::kNone || now_ - flow.last_packet >= kFlowIdleAfter) report_started(id);
  flow.packets += group.size();
  flow.bytes += bytes;
  flow.last_packet = now_;
  if (flow.source == FlowSource::kUpstream) FlowTable::note_newest(flow, group);
  accounting_.count(CoreCounter::media_in, group.size());
  accounting_.count(CoreCounter::media_bytes_in, bytes);

  if (flow.output_count == 0) return accounting_.drop(DropReason::no_output, group.size());
  accounting_.received((flow.output_count - 1u) * group.size());
  // What a record lies in is needed by nobody after the last output.
  uint32_t left = transmitter_.sends_received() ? flow.output_count : 0u;
  flows_.for_each_output(flow, [&](OutputSlot& output, const uint64_t& handle) {
    switch (output.kind) {
      case OutputKind::kLink:
        left == 1 ? to_link<true>(id, output, group) : to_link<false>(id, output, group);
        break;
      case OutputKind::kQueue:
        to_queue(id, output, handle, group);
        break;
      default:
        to_tap(id, output, group);
        break;
    }
    if (left != 0) --left;
    return true;
  });
}

void PacketPath::to_queue(FlowId id, OutputSlot& output, uint64_t handle, Group group) noexcept {
  for (const Record& record : group) {
    if (in_broken_frame(output, record)) continue;
    if (record.length > HostPacket::kMaxBytes) {
      accounting_.drop(DropReason::too_big);
      report_too_big(id, record.length, HostPacket::kMaxBytes);
      continue;
    }
    HostPacket* slot = hosts_.try_slot(output.target);
    if (slot == nullptr) {
      lost(id, output, record, DropReason::queue_full);
      continue;
    }
    slot->handle = handle;
    slot->time = now_;
    slot->flow = id;
    slot->length = record.length;
    slot->kind = HostPacketKind::kMedia;
    slot->traffic_class = static_cast<uint8_t>(record.traffic_class);
    slot->keyframe = record.keyframe;
    slot->frame_end = record.frame_end;
    slot->layer = record.layer;
    std::memcpy(slot->bytes, record.payload, record.length);
    accounting_.forwarded(1);
    accounting_.count(CoreCounter::media_to_queues);
  }
}

void PacketPath::to_tap(FlowId id, OutputSlot& output, Group group) noexcept {
  Egress* tap = taps_.egress(output.target);
  if (tap == nullptr) return accounting_.drop(DropReason::no_output, group.size());
  tap->last_ssrc = record_ssrc(group.back());
  const EdgeWriter::Destination destination{
      .kind = OutputKind::kEgress, .target = output.target, .endpoint = tap->endpoint, .to = tap->to};
  edge_.begin(destination, now_);
  for (const Record& record : group) {
    if (in_broken_frame(output, record)) continue;
    const DropReason refused = edge_.append(record.payload, record.length, record.traffic_class, false, now_);
    if (refused != kNoDrop) {
      lost(id, output, record, refused);
      edge_.begin(destination, now_);  // a keyframe request may have gone to a publisher's tap meanwhile
      continue;
    }
    if (has_frames(record.traffic_class)) {
      edge_.note({id, record_ssrc(record), record_timestamp(record), !record.frame_end});
    }
    accounting_.count(CoreCounter::media_to_taps);
  }
}

// kInPlace: a record that came alone may leave in its frame.
template <bool kInPlace>
void PacketPath::to_link(FlowId id, OutputSlot& output, Group group) noexcept {
  if (sessions_.active(output.target) == nullptr) {
    return accounting_.drop(DropReason::link_gone, group.size());
  }
  // One stream per group: a track that mixes audio and video classes would lose its order, and makes no
  // sense.
  const TrafficClass traffic_class = group.front().traffic_class;
  LaneWriter::Stream& stream =
      lanes_.stream(output.target, CoreId{output.remote_core}, LaneWriter::stream_of(traffic_class));
  RecordHeader header;
  header.label.value = output.label;
  header.kind = RecordKind::kMedia;
  uint32_t appended = 0;
  for (const Record& record : group) {
    if (in_broken_frame(output, record)) continue;
    if (record.ttl == 0) {
      accounting_.drop(DropReason::ttl_expired);
      continue;
    }
    header.traffic_class = record.traffic_class;
    header.keyframe = record.keyframe;
    header.frame_end = record.frame_end;
    header.ttl = static_cast<uint8_t>(record.ttl - 1);
    header.layer = record.layer;
    header.length = record.length;
    // Small records are copied, to share a datagram.
    const bool forwards = kInPlace && record.alone_in != 0 && record.length >= kRtpHeaderBytes &&
                          stream.kind == LaneWriter::StreamKind::kVideo;
    const DropReason refused =
        forwards ? forward(id, output, record) : lanes_.append(stream, header, record.payload, now_);
    if (refused == DropReason::too_big) {
      accounting_.drop(refused);
      report_too_big(id, record.length, LaneWriter::max_payload(stream));
      continue;
    }
    if (refused != kNoDrop) {
      lost(id, output, record, refused);
      continue;
    }
    ++appended;
    if (forwards) continue;
    LaneWriter::add_units(stream, 1);
    if (has_frames(record.traffic_class)) {
      lanes_.note(stream, {id, record_ssrc(record), record_timestamp(record), !record.frame_end});
    }
  }
  accounting_.count(CoreCounter::media_to_links, appended);
}

// As it is, with new headers over the old ones.
DropReason PacketPath::forward(FlowId id, const OutputSlot& output, const Record& record) noexcept {
  LaneWriter::Forwarding to;
  if (!lanes_.begin_forwarding(output.target, CoreId{output.remote_core}, to, now_))
    return DropReason::link_gone;
  if (kHeaderBytes + kRecordHeaderBytes + record.length > to.max_plain) return DropReason::too_big;
  if (transmitter_.room() == 0) transmitter_.flush(now_);
  core::Packet& packet = received_[record.alone_in - 1u];
  uint8_t* const at = packet.data + (record.payload - packet.data) - kRecordHeaderBytes;
  lanes_.forward(to, to.in_place(at, packet.buffer, RecordWord::load(at).sent_on(output.label), id));
  lanes_.seal_forwarded(to);
  packet.buffer = nullptr;  // the transmitter's from here on
  accounting_.count(CoreCounter::media_in_place);
  return kNoDrop;
}

// ---- half a frame is worth nothing: after one lost packet its rest is not sent, and a key frame is asked
// for

bool PacketPath::in_broken_frame(OutputSlot& output, const Record& record) noexcept {
  if (!output.broken || record_is_rtcp(record)) return false;
  if (record_timestamp(record) != output.broken_timestamp) {
    output.broken = false;  // the next frame
    return false;
  }
  if (record.frame_end) output.broken = false;
  accounting_.drop(DropReason::rest_of_frame);
  return true;
}

void PacketPath::lost(FlowId id, OutputSlot& output, const Record& record, DropReason reason) noexcept {
  accounting_.drop(reason);
  if (!has_frames(record.traffic_class) || record_is_rtcp(record)) return;
  output.broken = !record.frame_end;
  output.broken_timestamp = record_timestamp(record);
  feedback_.request_keyframe(id, record_ssrc(record), now_);
}

}  // namespace trunkline::relay
