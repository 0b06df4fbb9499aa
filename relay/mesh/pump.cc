// The control stream of a link: what comes out of it, and what goes in when there is room.
//
// Nothing is queued as bytes. What has to be said is a list of records, and a message is written only when
// the stream takes it: so nothing overflows, and what changed meanwhile is said as it is, not as it was.
// Answers go first (somebody waits for them), then requests, then what ends things, then announcements.
//
// A new session begins all over: requests that are still wanted are asked again under the same id,
// publications are announced again, and SnapshotEnd closes the view. The receiver then drops what the view
// did not contain. So no message of a lost stream needs to be remembered by itself.
#include <algorithm>
#include <variant>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr uint64_t kAtOnce = 8;                    // segments under way up to which nothing waits for company
constexpr Nanos kBudgetMargin = core::from_ms(2);  // for the answer to be dealt with here, in time

}  // namespace

// ---- from the peer

void MeshState::on_control(const Frame& frame) {
  counters.add(MeshCounter::control_received);
  const uint32_t slot = SessionIndex::slot(frame.session_index);
  const uint8_t core = SessionIndex::core(frame.session_index);
  if (slot / 2 >= links.size() || core >= cores || frame.length > kMaxFrameBytes) {
    counters.add(MeshCounter::control_rejected);
    return;
  }
  Link& l = links[slot / 2];
  const auto parity = static_cast<int8_t>(slot & 1);
  // A session that is not proven yet is proven by its confirm or by evidence, which says when it was heard; a
  // frame does not, and may be of the slot's last holder. The peer repeats it.
  if (parity != l.active || l.sessions[slot & 1].receive_index[core] != frame.session_index) return;
  const auto deliver = [this, &l](std::span<const uint8_t> bytes) { on_messages(l, bytes); };
  switch (l.stream.receive(now, std::span(frame.bytes).first(frame.length), deliver)) {
    case ControlStream::Received::kAccepted:
    case ControlStream::Received::kOutOfWindow:
      break;
    case ControlStream::Received::kDuplicate:
      counters.add(MeshCounter::control_duplicates);
      break;
    case ControlStream::Received::kRejected:
      counters.add(MeshCounter::control_rejected);
      break;
  }
}

// Messages only mark records: one segment may hold a hundred of them, and a step's outputs are bounded.
void MeshState::on_messages(Link& l, std::span<const uint8_t> bytes) {
  MessageReader reader(bytes);
  for (auto item = reader.next(); item != MessageReader::Item::kEnd; item = reader.next()) {
    if (item == MessageReader::Item::kMalformed) counters.add(MeshCounter::control_rejected);
    if (item == MessageReader::Item::kMessage) on_message(l, reader.message());
  }
}

void MeshState::on_message(Link& l, const Message& message) {
  if (const auto* announce = std::get_if<Announce>(&message)) return on_announce(l, *announce);
  if (const auto* withdraw = std::get_if<Withdraw>(&message)) return on_withdraw(l, *withdraw);
  if (std::holds_alternative<SnapshotEnd>(message)) {
    l.view_valid = l.view;
    l.view_complete = true;
    return;
  }
  if (const auto* acquire = std::get_if<Acquire>(&message)) return on_acquire_request(l, *acquire);
  if (const auto* answer = std::get_if<Answer>(&message)) return on_answer(l, *answer);
  if (const auto* release = std::get_if<Release>(&message)) return on_release_request(l, *release);
  if (const auto* ended = std::get_if<Ended>(&message)) return on_ended(l, *ended);
}

// Takes out what the peer's last complete view does not contain, and lets those look again whom a change of
// the link's state concerns.
void MeshState::sweep(Link& l) {
  while (room() && !l.locations.empty() && locations[l.locations.first].view < l.view_valid) {
    spend();
    drop_location(l.locations.first);
  }
  while (room() && !l.serves.empty() && serves[l.serves.first].view < l.view_valid) {
    spend();
    set_serve(l.serves.first, ServeState::kRemove);
  }
  for (; room() && l.news_from != kNil; l.news_from = asks[l.news_from].of_link.next) {
    spend();
    if (asks[l.news_from].track != kNil) mark(asks[l.news_from].track);
  }
  // A link that came up: those who wait for a track that it is said to have.
  const auto look = [this](uint32_t& cursor) {
    for (; room() && cursor != kNil; cursor = locations[cursor].of_link.next) {
      spend();
      Track& track = tracks[locations[cursor].track];
      if (track.pending == 0) continue;
      track.news = true;
      mark(locations[cursor].track);
    }
  };
  look(l.news_location);
  look(l.news_hint);
}

bool MeshState::has_work(const Link& l) const {
  if (l.news_from != kNil || l.news_location != kNil || l.news_hint != kNil) return true;
  if (!l.locations.empty() && locations[l.locations.first].view < l.view_valid) return true;
  if (!l.serves.empty() && serves[l.serves.first].view < l.view_valid) return true;
  if (link_deadline(l) <= now) return true;
  return flush_deadline(l) <= now;
}

// ---- to the peer

template <class M>
bool MeshState::append(Link& l, const M& message) {
  std::array<uint8_t, kMaxMessageBytes> bytes;
  const size_t length = encode(message, bytes);
  TL_CHECK(length > 0);             // our own values are inside the bounds of the schema
  if (l.foreign) bytes[0] |= 0x80;  // each speaks its own version: to the other it is an unknown type
  return l.stream.try_append(std::span(bytes).first(length));
}
template bool MeshState::append(Link&, const Answer&);
template bool MeshState::append(Link&, const Ended&);

void MeshState::pump(Link& l) {
  if (!l.alive && !pump_removals(l)) more = true;
  if (l.active < 0) return;
  const bool told_all = pump_messages(l);
  if (!told_all && !room()) more = true;
  if (flush_deadline(l) > now) return;
  l.flushed_at = now;
  const auto emit = [this, &l](std::span<const uint8_t> bytes) {
    outputs_left -= outputs_left > 0 ? 1 : 0;
    sink->control(l.id, l.sessions[static_cast<size_t>(l.active)].receive_index[0], bytes);
  };
  const ControlStream::Flushed flushed =
      l.stream.flush(now, std::max(l.rtt.smoothed() * 2, ControlStream::kMinTimeout), emit, outputs_left);
  counters.add(MeshCounter::control_segments_sent, flushed.segments);
  counters.add(MeshCounter::control_repeats, flushed.repeats);
}

// A message alone in its segment is fine while there are few. In a burst (hundreds of acquires, each a step
// of its own) it would use up the window, and the rest would wait for a whole round trip; so the more is
// under way, the longer a segment may fill: not at all, a tick, at last such that half a window lasts a round
// trip.
Nanos MeshState::flush_deadline(const Link& l) const {
  if (l.active < 0) return core::kNever;
  const Nanos due = l.stream.next_deadline();
  if (due > now) return due;
  const uint64_t under_way = l.stream.append_position() - l.stream.acked_position();
  if (under_way <= kAtOnce) return due;
  Nanos wait = kMeshTick;
  if (under_way > config.limits.control_window / 2) {
    wait = std::max(wait, l.rtt.smoothed() * 2 / config.limits.control_window);
  }
  return std::max(due, l.flushed_at + wait);
}

bool MeshState::pump_messages(Link& l) {
  // While the peer is down its window stays as it is: what is said then may be out of date when it hears it.
  if (!l.alive) return true;
  return pump_serves(l) && pump_asks(l) && pump_releases(l) && pump_changes(l);
}

// Outputs to a peer that is down are taken away all the same. False: there was no room for all.
bool MeshState::pump_removals(Link& l) {
  while (!l.serve_work.empty() && serves[l.serve_work.first].state == ServeState::kRemove) {
    if (!room()) return false;
    spend();
    pump_serve(l, l.serve_work.first);
  }
  // Without a session there is nobody to tell: the next one starts from what is wanted then.
  while (l.active < 0 && !l.serve_work.empty()) {
    if (!room()) return false;
    spend();
    const uint32_t s = l.serve_work.first;
    if (serves[s].state != ServeState::kRemove) set_serve(s, ServeState::kRemove);
    pump_serve(l, s);
  }
  while (l.active < 0 && !l.releases.empty()) {
    if (!room()) return false;
    spend();
    const uint32_t a = l.releases.first;
    unlink_ask(a);
    free_ask_if_done(a);
  }
  return true;
}

bool MeshState::pump_serves(Link& l) {
  while (l.busy_count > 0) {
    Answer answer;
    answer.request_id = l.busy[l.busy_count - 1u];
    answer.outcome = Outcome::busy;
    answer.retry_after_us = kBusyRetryUs;
    if (!append(l, answer)) return false;
    counters.add(MeshCounter::answers_sent);
    --l.busy_count;
  }
  while (!l.serve_work.empty()) {
    if (!room()) return false;
    spend();
    if (!pump_serve(l, l.serve_work.first)) return false;
  }
  return true;
}

bool MeshState::pump_asks(Link& l) {
  while (l.next_ask != kNil) {
    if (!room()) return false;
    spend();
    Ask& ask = asks[l.next_ask];
    const bool died = ask.incarnation != l.incarnation;
    const std::span<const core::NodeId> path(ask.path.data(), ask.path_length);
    if (ask.state == AskState::kOk && (died || !may_feed(l, path))) {
      // What fed this track died with the peer's old incarnation, or with the rights of its old certificate.
      const uint32_t a = l.next_ask;
      l.next_ask = ask.of_link.next;
      if (!died) refuse_feed(l, path);
      over(a, died ? Outcome::link_down : Outcome::unauthorized, {});
      continue;
    }
    const Serve* const serve = asks_for(tracks[ask.track], l.node);
    if (!append(l, request(l, ask, serve))) return false;
    counters.add(MeshCounter::requests_sent);
    ask.sent_session = l.session;
    ask.passed = has_passed(serve, l.node);
    ask.asked_until = std::min(ask.asked_until, tracks[ask.track].search_deadline);
    l.next_ask = ask.of_link.next;
    if (ask.state == AskState::kOk) continue;
    // Its time begins now.
    ask.queued = false;
    ask.until = now + attempt_time(tracks[ask.track], l);
    attempt_logs[ask.track].asked(ask.track_id, l.node, ask.hop_limit, now);
    arm_search(ask.track);
  }
  return true;
}

// `serve`: on whose behalf; nullptr: this node's own.
Acquire MeshState::request(const Link& l, const Ask& ask, const Serve* serve) const {
  Acquire m;
  m.request_id = ask.id;
  m.track = ask.track_id;
  m.label = ask.label;
  m.owner_core = ask.core;
  m.hop_limit = ask.hop_limit;
  m.believed_generation = believed_generation(ask);
  // The request and its answer are both on their way for half a round trip.
  const Nanos left = tracks[ask.track].search_deadline - now - l.rtt.smoothed() - kBudgetMargin;
  m.budget_us = static_cast<uint32_t>(std::clamp<int64_t>(left.us(), 1, UINT32_MAX));
  // Whoever waits for us has passed these nodes already.
  if (serve != nullptr) {
    m.path = serve->path;
    m.path_length = std::min<uint8_t>(serve->path_length, kMaxPath - 1);
  }
  m.path[m.path_length++] = config.id;
  return m;
}

bool MeshState::has_passed(const Serve* serve, core::NodeId node) {
  return serve != nullptr && passes(serve->request_path(), node);
}

// The peer on whose behalf that node is asked: one whose question has not passed there, if there is one.
// nullptr: this node's own acquires, which come first. A node that may not ask for itself asks for those whom
// it serves, also when none of them waits.
const Serve* MeshState::asks_for(const Track& track, core::NodeId node) const {
  if (track.pending > 0 && may(Role::kAcquire)) return nullptr;
  const Serve* waits = nullptr;
  const Serve* fed_by_us = nullptr;
  for (uint32_t s = track.serves.first; s != kNil; s = serves[s].of_track.next) {
    fed_by_us = &serves[s];
    if (serves[s].state != ServeState::kWaiting) continue;
    if (!has_passed(&serves[s], node)) return &serves[s];
    if (waits == nullptr) waits = &serves[s];
  }
  if (waits != nullptr) return waits;
  return may(Role::kAcquire) ? nullptr : fed_by_us;
}

bool MeshState::pump_releases(Link& l) {
  while (!l.releases.empty()) {
    if (!room()) return false;
    spend();
    const uint32_t a = l.releases.first;
    // Of an earlier session: the peer forgets it when it has seen our view of this one.
    if (asks[a].sent_session == l.session) {
      Release m;
      m.request_id = asks[a].id;
      m.label = asks[a].label;
      m.track = asks[a].track_id;
      if (!append(l, m)) return false;
    }
    unlink_ask(a);
    free_ask_if_done(a);
  }
  return true;
}

bool MeshState::pump_changes(Link& l) {
  while (l.next_change != kNil) {
    if (!room()) return false;
    spend();
    const Publication& p = publications[l.next_change];
    bool told = true;
    if (p.state == PublicationState::kLive) {
      Announce m;
      m.track = tracks[p.track].id;
      m.generation = p.generation;
      m.flowing = p.flowing;
      m.traffic_class = p.traffic_class;
      told = append(l, m);
    } else if (!l.snapshot_due) {  // a snapshot need not say what is not there
      Withdraw m;
      m.track = tracks[p.track].id;
      m.generation = p.generation;
      told = append(l, m);
    }
    if (!told) return false;
    counters.add(MeshCounter::announcements_sent);
    l.next_change = p.changes.next;
  }
  if (l.snapshot_due) {
    if (!append(l, SnapshotEnd{})) return false;
    l.snapshot_due = false;
  }
  return true;
}

}  // namespace trunkline::relay::mesh
