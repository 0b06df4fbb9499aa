// See relay/liveness.h.
#include "relay/liveness.h"

namespace trunkline::relay {
namespace {

constexpr uint64_t micros(Nanos t) noexcept {
  return static_cast<uint64_t>(t.us());
}
constexpr uint32_t clamp_us(int64_t us) noexcept {
  return static_cast<uint32_t>(std::clamp<int64_t>(us, 0, 0xfffffffe));
}
// An echo older than this is a defect of the peer, not a round trip (RFC 6298 stops at 60 s too).
constexpr int64_t kMaxRttUs = 60'000'000;

}  // namespace

Liveness::Liveness(const NodeConfig& config, CoreId core, SessionTable& sessions, LaneWriter& lanes,
                   core::SpscRing<CoreEvent>& events, EvidenceBoard& board, Accounting& accounting)
    : core_(core),
      default_interval_(config.link.beat()),
      silence_(config.link.heartbeat * 11 / 10),
      rekey_datagrams_(config.link.rekey_datagrams),
      down_after_(config.link.down_after),
      sessions_(sessions),
      lanes_(lanes),
      events_(events),
      board_(board),
      accounting_(accounting),
      intervals_(sessions.links()),
      due_(sessions.links()),
      lanes_of_(size_t{sessions.links()} * core::kMaxCores),
      reports_(sessions.slots(), Contents::kUnwritten) {}

bool Liveness::set_pace(const LinkPace& pace) noexcept {
  if (pace.link >= due_.size() || pace.heartbeat_interval.ns <= 0) return false;
  intervals_[pace.link] = pace.heartbeat_interval;
  restart(pace.link);
  return true;
}

void Liveness::lane_used(LinkId link, uint8_t remote_core) noexcept {
  if (link >= due_.size() || lane(link, remote_core).uses++ > 0) return;
  if (core_.value == 0 && remote_core == 0) return;  // beats anyway
  lane(link, remote_core).next = {};
  due_[link] = heartbeats_at_ = {};
}

void Liveness::lane_unused(LinkId link, uint8_t remote_core) noexcept {
  if (link < due_.size() && lane(link, remote_core).uses > 0) --lane(link, remote_core).uses;
}

void Liveness::restart(LinkId link) noexcept {
  if (link >= due_.size()) return;
  for (uint8_t remote = 0; remote < core::kMaxCores; ++remote) lane(link, remote).next = {};
  due_[link] = heartbeats_at_ = {};
}

void Liveness::forget(uint32_t slot) noexcept {
  for (uint32_t i = 0; i < report_count_; ++i) {
    if (reports_[i] == slot) reports_[i--] = reports_[--report_count_];
  }
  board_.write(slot, {});
}

bool Liveness::take_heartbeat(Session& session, uint8_t lane, const uint8_t* payload, uint32_t length,
                              Nanos now) noexcept {
  if (length < kHeartbeatBytes) return false;
  const Heartbeat beat = decode_heartbeat(payload);
  accounting_.count(CoreCounter::heartbeats_received);
  SessionLane& heard = session.lanes[lane];
  if (beat.sent_us <= heard.newest_sent_us) return true;  // overtaken on the way: a newer one has said more
  heard.newest_sent_us = beat.sent_us;
  heard.newest_arrival = now;
  session.peer_heard_age_us = beat.heard_age_us;
  const bool deaf = core::from_us(beat.heard_age_us) >= down_after_;
  if (deaf || session.peer_is_deaf) session.pressing = true;
  session.peer_is_deaf = deaf;
  if (!deaf) session.heard_by_peer = now;
  if (beat.echo_us == 0) return true;
  // All three are 64-bit values from the wire: unsigned, so that nonsense wraps and is refused.
  const uint64_t rtt = micros(now) - beat.echo_us - beat.echo_hold_us;
  if (rtt > kMaxRttUs) return true;
  const auto sample = static_cast<uint32_t>(std::max<uint64_t>(rtt, 1));
  session.rtt_sample_us = sample;
  session.sampled = now;
  session.rtt_us = session.rtt_us == 0 ? sample : session.rtt_us - session.rtt_us / 8 + sample / 8;
  return true;
}

void Liveness::send_due(Nanos now) noexcept {
  if (now < heartbeats_at_) return;
  heartbeats_at_ = core::kNever;
  constexpr uint32_t kAhead = 3;  // links that are fetched while one is written
  for (uint32_t link = 0; link < due_.size(); ++link) {
    sessions_.prefetch_link(static_cast<LinkId>(link + kAhead));
    lanes_.prefetch(static_cast<LinkId>(link + kAhead));
    if (due_[link] <= now) due_[link] = beat(static_cast<LinkId>(link), now);
    heartbeats_at_ = std::min(heartbeats_at_, due_[link]);
  }
}

// Sends what is due on one link; returns when the next is. kNever: it has no session to send with.
Nanos Liveness::beat(LinkId link, Nanos now) noexcept {
  Session* session = sessions_.active(link);
  if (session == nullptr) return core::kNever;
  if (first_beat_.ns == 0) first_beat_ = now;
  const Nanos interval = intervals_[link].ns > 0 ? intervals_[link] : default_interval_;
  Nanos earliest = core::kNever;
  for (uint8_t remote = 0; remote < session->peer_cores; ++remote) {
    Lane& l = lane(link, remote);
    const bool in_use = l.uses > 0 || (core_.value == 0 && remote == 0);
    if (!in_use) continue;
    if (session->lanes[remote].send_counter >= rekey_datagrams_ && !session->worn) report_worn(*session);
    if (now >= l.next) {
      send(link, remote, *session, now);
      l.next = beat_after(now, interval);
    }
    earliest = std::min(earliest, l.next);
  }
  return earliest;
}

// Level-triggered: what does not fit into the ring is said with the next heartbeat.
void Liveness::report_worn(Session& session) noexcept {
  const std::span<CoreEvent> slot = events_.claim(1);
  if (slot.empty()) return accounting_.count(CoreCounter::events_retried);
  slot[0] = {};
  slot[0].kind = CoreEventKind::kKeysWorn;
  slot[0].core = core_;
  slot[0].slot = session.slot;
  slot[0].link = session.link;
  events_.commit(1);
  session.worn = true;
}

void Liveness::send(LinkId link, uint8_t remote_core, Session& session, Nanos now) noexcept {
  const SessionLane& heard = session.lanes[remote_core];
  Heartbeat beat;
  beat.sent_us = std::max<uint64_t>(micros(now), 1);  // 0 means none
  beat.received = heard.heard;
  if (heard.newest_sent_us != 0) {
    beat.echo_us = heard.newest_sent_us;
    beat.echo_hold_us = clamp_us((now - heard.newest_arrival).us());
  }
  const Nanos last_heard = sessions_.last_heard(session);
  if (last_heard.ns != 0) beat.heard_age_us = clamp_us((now - last_heard).us());
  std::array<uint8_t, kHeartbeatBytes> payload;
  encode_heartbeat(payload.data(), beat);
  RecordHeader header;
  header.kind = RecordKind::kHeartbeat;
  header.traffic_class = TrafficClass::kControl;
  header.length = kHeartbeatBytes;
  if (lanes_.append_own(link, CoreId{remote_core}, header, payload.data(), now)) {
    accounting_.count(CoreCounter::heartbeats_sent);
  }
}

void Liveness::report_due(Nanos now) noexcept {
  if (now < reports_at_) return;
  reports_at_ = core::kNever;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < report_count_; ++i) {
    Session& session = sessions_.at(reports_[i]);
    if (report(session, now)) continue;
    reports_[kept++] = reports_[i];
    reports_at_ = std::min(reports_at_, report_at(session));
  }
  report_count_ = kept;
}

// True when there is nothing left to say.
bool Liveness::report(Session& session, Nanos now) noexcept {
  board_.write(session.slot,
               {session.last_heard, session.heard_by_peer, session.sampled, session.rtt_sample_us});
  if (!session.pressing) {
    session.report_due = false;
    return true;
  }
  if (now < report_at(session)) return false;
  const std::span<CoreEvent> slot = events_.claim(1);
  if (slot.empty()) {
    accounting_.count(CoreCounter::events_retried);
    return false;
  }
  // In place, and only what evidence is made of: it is by far the most frequent event.
  CoreEvent& event = slot[0];
  event.kind = CoreEventKind::kEvidence;
  event.core = core_;
  event.slot = session.slot;
  event.receive_index = session.receive_index;
  event.link = session.link;
  event.heard = session.last_heard;
  event.rtt_us = !session.reported || session.sampled > session.last_report ? session.rtt_sample_us : 0;
  event.peer_heard_age_us = session.peer_heard_age_us;
  events_.commit(1);
  session.report_due = false;
  session.pressing = false;
  session.reported = true;
  session.last_report = now;
  return true;
}

}  // namespace trunkline::relay
