// See relay/lane_writer.h. append() is inline there; what follows runs once per datagram (make_room,
// close_datagram) or once per run (end_run, seal).
#include "relay/lane_writer.h"

#include <algorithm>

namespace trunkline::relay {
namespace {

// The design's bound on padding: 3 %, compared without a division.
constexpr bool worth_padding(uint32_t length, uint32_t target) noexcept {
  return length <= target && (target - length) * 100 <= target * 3;
}

}  // namespace

LaneWriter::LaneWriter(const NodeConfig& config, CoreId core, SessionTable& sessions,
                       Transmitter& transmitter, Accounting& accounting)
    : core_(core),
      bundle_wait_(config.bundle_wait),
      mtu_(config.mtu),
      sessions_(sessions),
      transmitter_(transmitter),
      accounting_(accounting),
      streams_(size_t{sessions.links()} * kStreamsPerLink),
      active_(size_t{sessions.links()} * kStreamsPerLink, Contents::kUnwritten) {}

void LaneWriter::set_endpoint(uint16_t family, uint16_t endpoint) noexcept {
  endpoints_[family == 6 ? 1 : 0] = endpoint;
}

LaneWriter::Stream& LaneWriter::stream(LinkId link, CoreId remote, StreamKind kind) noexcept {
  Stream& s = streams_[index(link, remote.value, kind)];
  if (s.buffer == nullptr) {
    s.link = link;
    s.remote_core = remote.value;
    s.kind = kind;
    const Session* session = sessions_.active(link);
    const uint32_t ip_udp = session->peer_address.family == 6 ? kIpv6UdpBytes : kIpv4UdpBytes;
    s.max_plain = static_cast<uint16_t>(std::min(mtu_ - ip_udp, io::kMaxRunBytes) - kTagBytes);
  }
  return s;
}

DropReason LaneWriter::make_room(Stream& s, uint32_t need, TrafficClass traffic_class, Nanos now) noexcept {
  const uint32_t plain = kHeaderBytes + need;
  if (plain > s.max_plain) return DropReason::too_big;
  if (s.open != 0) close_datagram(s, now);
  if (s.segments != 0) {
    const uint32_t sealed = plain + kTagBytes;
    const bool too_long = sealed > s.segment;
    if (too_long && worth_padding(s.segment, sealed)) s.hint = static_cast<uint16_t>(sealed);
    if (too_long || s.segments == transmitter_.lane_segments() || s.closed + s.segment > io::kMaxRunBytes) {
      end_run(s, now);
    }
  }
  if (s.buffer == nullptr) {
    s.buffer = transmitter_.try_alloc_lane(traffic_class, now);
    if (s.buffer == nullptr) return DropReason::no_buffer;
    s.since = now;
    if (!s.listed) {
      s.listed = true;
      active_[active_count_++] = static_cast<uint32_t>(index(s.link, s.remote_core, s.kind));
    }
  }
  s.open = kHeaderBytes;
  s.limit = s.segment != 0 ? static_cast<uint16_t>(s.segment - kTagBytes) : s.max_plain;
  return kNoDrop;
}

void LaneWriter::close_datagram(Stream& s, Nanos now) noexcept {
  const uint32_t sealed = s.open + kTagBytes;
  uint32_t target = s.segment;
  if (s.segments == 0) {
    const bool hinted = s.hint > sealed && worth_padding(sealed, s.hint) && s.hint <= s.max_plain + kTagBytes;
    target = hinted ? s.hint : sealed;
    s.segment = static_cast<uint16_t>(target);
  }
  if (sealed == target) {
    s.reached = true;
  } else if (worth_padding(sealed, target)) {
    std::memset(s.buffer->data + s.closed + s.open, 0, target - sealed);
    accounting_.count(CoreCounter::padded_bytes, target - sealed);
  }
  const bool last = sealed != target && !worth_padding(sealed, target);
  s.closed += last ? sealed : target;
  ++s.segments;
  s.open = 0;
  s.limit = 0;
  if (last) end_run(s, now);
}

void LaneWriter::end_run(Stream& s, Nanos now) noexcept {
  Session* session = sessions_.active(s.link);
  const uint16_t endpoint =
      session == nullptr ? kNoEndpoint : endpoints_[session->peer_address.family == 6 ? 1 : 0];
  if (endpoint == kNoEndpoint) {
    accounting_.drop(DropReason::link_gone, s.units);
    accounting_.count(CoreCounter::own_records_lost, s.own);
    transmitter_.release(s.buffer);
  } else {
    seal(s, *session);
    core::Packet run;
    run.data = s.buffer->data;
    run.buffer = s.buffer;
    run.length = s.closed;
    run.segment_size = s.segments > 1 ? s.segment : uint16_t{0};
    run.traffic_class = static_cast<uint8_t>(s.traffic_class);
    run.owner_port = endpoint;
    run.owner_core = core_.value;
    run.address = session->address_of(CoreId{s.remote_core});
    if (transmitter_.sends_received()) io::mark_frame(run);
    transmitter_.queue(run,
                       {.kind = OutputKind::kLink,
                        .target = s.link,
                        .remote_core = s.remote_core,
                        .notes = s.notes,
                        .units = s.units,
                        .own = s.own},
                       now);
  }
  if (!s.reached) s.hint = 0;  // sizes went down again
  s.buffer = nullptr;
  s.closed = 0;
  s.segment = 0;
  s.segments = 0;
  s.notes = 0;
  s.traffic_class = TrafficClass::kRest;
  s.reached = false;
  s.units = 0;
  s.own = 0;
}

bool LaneWriter::begin_forwarding(LinkId link, CoreId remote, Forwarding& to, Nanos now) noexcept {
  to.link = kNoLink;
  to.count = 0;
  Session* session = sessions_.active(link);
  if (session == nullptr) return false;
  const uint16_t endpoint = endpoints_[session->peer_address.family == 6 ? 1 : 0];
  if (endpoint == kNoEndpoint) return false;
  Stream& s = stream(link, remote, StreamKind::kVideo);
  if (s.buffer != nullptr) {  // what came before leaves before
    if (s.open != 0) close_datagram(s, now);
    if (s.buffer != nullptr) end_run(s, now);
  }
  to.link = link;
  to.remote_core = remote.value;
  to.lane = &session->lanes[remote.value];
  to.crypto = session->crypto;
  uint8_t header[kHeaderBytes];
  encode_header(header, {.lane = core_.value});
  to.header = load_be64(header);
  to.max_plain = s.max_plain;
  to.info = {.kind = OutputKind::kLink,
             .target = link,
             .remote_core = remote.value,
             .inline_note = true,
             .units = 1};
  to.packet = {};
  to.packet.owner_port = endpoint;
  to.packet.owner_core = core_.value;
  to.packet.address = session->address_of(remote);
  io::mark_frame(to.packet);
  return true;
}

// Tight: what is the same for all of them lies in variables of its own, for whatever is stored into a frame
// could, as far as the compiler knows, change anything else.
void LaneWriter::seal_forwarded(Forwarding& to) noexcept {
  if (to.count == 0) return;
  const uint32_t count = to.count, peer_index = to.lane->peer_index;
  const core::Packet model = to.packet;
  const Transmitter::Slots slots = transmitter_.begin(count);
  uint64_t header = to.header | to.lane->send_counter;
  std::array<SealJob, io::kMaxRunSegments> jobs;
  std::array<uint32_t, 4> per_class{};
  for (uint32_t i = 0; i < count; ++i) {
    const Forwarding::Waiting waiting = to.waiting[i];
    uint8_t* const datagram = waiting.datagram;
    const uint8_t* const rtp = waiting.record + kRecordHeaderBytes;
    const RecordWord word = waiting.next;
    const uint32_t plain = kHeaderBytes + kRecordHeaderBytes + word.length();
    const TrafficClass traffic_class = word.traffic_class();
    ++per_class[static_cast<uint32_t>(traffic_class)];
    core::Packet& packet = slots.packets[i];
    packet = model;
    packet.data = datagram;
    packet.buffer = waiting.frame;
    packet.length = plain + kTagBytes;
    packet.traffic_class = static_cast<uint8_t>(traffic_class);
    slots.infos[i] = to.info;
    slots.infos[i].note = {waiting.flow, load_be32(rtp + 8), load_be32(rtp + 4), !word.frame_end()};
    store_be64(datagram, header++);
    store_be32(datagram + 8, peer_index);
    word.store(waiting.record);
    jobs[i] = {datagram, plain, waiting.record};
  }
  transmitter_.end(count, per_class);
  to.lane->send_counter += count;
  to.crypto->seal(core_, CoreId{to.remote_core}, std::span(jobs.data(), count));
  accounting_.count(CoreCounter::datagrams_sealed, count);
  forwarded_ -= count;
  to.count = 0;
}

void LaneWriter::seal(Stream& s, Session& session) noexcept {
  const StageScope stage(accounting_.clock, Stage::seal);
  DatagramHeader header;
  header.version = kWireVersion;
  header.type = DatagramType::kData;
  header.lane = core_.value;
  header.session_index = session.lanes[s.remote_core].peer_index;
  uint64_t& counter = session.lanes[s.remote_core].send_counter;
  std::array<SealJob, io::kMaxRunSegments> jobs;
  uint32_t count = 0;
  for (uint32_t at = 0; at < s.closed; at += s.segment) {
    header.counter = counter++;
    encode_header(s.buffer->data + at, header);
    jobs[count++] = {s.buffer->data + at, std::min<uint32_t>(s.segment, s.closed - at) - kTagBytes};
  }
  session.crypto->seal(core_, CoreId{s.remote_core}, std::span(jobs.data(), count));
  accounting_.count(CoreCounter::datagrams_sealed, count);
}

void LaneWriter::note(Stream& s, const FrameNote& frame) noexcept {
  FrameNote* notes = transmitter_.notes(s.buffer);
  if (s.notes > 0 && notes[s.notes - 1].flow == frame.flow) {
    notes[s.notes - 1] = frame;
  } else if (s.notes < Transmitter::max_notes(s.buffer)) {
    notes[s.notes++] = frame;
  }
}

bool LaneWriter::append_own(LinkId link, CoreId remote, const RecordHeader& header, const uint8_t* payload,
                            Nanos now) noexcept {
  if (sessions_.active(link) != nullptr) {
    Stream& s = stream(link, remote, StreamKind::kSmall);
    if (append(s, header, payload, now) == kNoDrop) {
      ++s.own;
      return true;
    }
  }
  accounting_.count(CoreCounter::own_records_lost);
  return false;
}

bool LaneWriter::may_wait(const Stream& s, Nanos now) const noexcept {
  return s.kind == StreamKind::kSmall && s.traffic_class != TrafficClass::kControl &&
         now - s.since < bundle_wait_;
}

void LaneWriter::finish(Nanos now) noexcept {
  const StageScope stage(accounting_.clock, Stage::seal);
  next_due_ = core::kNever;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < active_count_; ++i) {
    Stream& s = streams_[active_[i]];
    if (s.buffer != nullptr && may_wait(s, now)) {
      next_due_ = std::min(next_due_, s.since + bundle_wait_);
      active_[kept++] = active_[i];
      continue;
    }
    if (s.open != 0) close_datagram(s, now);
    if (s.buffer != nullptr) end_run(s, now);
    s.listed = false;
  }
  active_count_ = kept;
}

void LaneWriter::finish_link(LinkId link, Nanos now) noexcept {
  for (uint32_t i = 0; i < active_count_; ++i) {
    Stream& s = streams_[active_[i]];
    if (s.link != link) continue;
    if (s.open != 0) close_datagram(s, now);
    if (s.buffer != nullptr) end_run(s, now);
  }
}

uint64_t LaneWriter::units_held() const noexcept {
  uint64_t units = 0;
  for (uint32_t i = 0; i < active_count_; ++i) units += streams_[active_[i]].units;
  return units;
}

}  // namespace trunkline::relay
