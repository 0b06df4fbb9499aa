// What peers answer to our requests, and the subscription that one of them becomes.
//
// The first OK wins; whoever else was asked is released at once, answered or not. The flow is opened then,
// its waiters get their outputs, and, if the peer says that media is flowing, the outcome is held back until
// it arrives: OK is a promise that has been seen kept.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr Nanos kMediaStart = core::from_ms(150);        // or two round trips, if that is longer
constexpr Nanos kKeyframeInterval = core::from_ms(200);  // or one round trip

}  // namespace

uint32_t MeshState::find_ask_by_id(const Link& l, uint64_t id) const {
  const auto a = static_cast<uint32_t>(id & 0xffffff);
  return a < asks.capacity() && asks[a].id == id && asks[a].link == l.id ? a : kNil;
}

void MeshState::on_answer(Link& l, const Answer& m) {
  counters.add(MeshCounter::answers_received);
  const uint32_t a = find_ask_by_id(l, m.request_id);
  const bool ok = m.outcome == Outcome::ok && !m.pending;
  if (a == kNil || asks[a].track == kNil) {
    // Its Release is under way, or was sent before this answer could be read: in order, so it undoes it.
    if (ok) counters.add(MeshCounter::answers_late);
    return;
  }
  Ask& asked = asks[a];
  const uint32_t t = asked.track;
  Track& track = tracks[t];
  mark(t);
  if (m.pending) {
    if (asked.state == AskState::kWaiting) asked.until = now + core::from_us(m.next_by_us);
    return;
  }
  switch (asked.state) {
    case AskState::kNegative:
      return;
    case AskState::kOk: {
      // Asked again because the session is new. The same publication as before goes on without a gap.
      if (ok && m.feedback_label == asked.feedback_label && m.generation == asked.generation) return;
      if (!ok) unlink_ask(a);
      track.winner_over = true;
      track.ended = ok || m.outcome == Outcome::not_here ? Outcome::gone : m.outcome;
      return;
    }
    case AskState::kWaiting:
    case AskState::kBusy:
      break;
  }
  if (!ok) return negative_answer(a, m);
  if (track.winner != kNil) {
    List<&Ask::of_track>::remove(asks, track.asks, a);
    asked.track = kNil;
    release_ask(a);
    return free_ask_if_done(a);
  }
  asked.state = AskState::kOk;
  asked.incarnation = l.incarnation;
  asked.feedback_label = m.feedback_label;
  asked.feedback_core = m.core;
  asked.flowing = m.flowing;
  asked.generation = m.generation;
  track.winner = a;
  track.winner_over = false;
  track.descriptor_bytes = static_cast<uint16_t>(std::min<size_t>(m.descriptor.size(), kMaxDescriptorBytes));
  std::copy_n(m.descriptor.begin(), track.descriptor_bytes, received_descriptor[t].begin());
}

void MeshState::negative_answer(uint32_t a, const Answer& m) {
  Ask& asked = asks[a];
  const Track& track = tracks[asked.track];
  if (m.outcome == Outcome::busy) {
    // Half as much again at most, so that those who were refused together do not come back together.
    const uint64_t wait_us = m.retry_after_us + rng.below(m.retry_after_us / 2 + uint64_t{1});
    const Nanos again = now + core::from_us(static_cast<int64_t>(wait_us));
    if (again < track.search_deadline) {
      asked.state = AskState::kBusy;
      asked.until = again;
      return;
    }
  }
  asked.state = AskState::kNegative;
  asked.outcome = m.outcome;
  unlink_ask(a);
  const uint32_t loc = find_location(asked.track, asked.link);
  // The newest publisher knows. So does a node that only a hint names, once every peer has announced all it
  // has: whoever else had the track would have said so.
  const bool knows = asked.named || (loc != kNil && locations[loc].hint && all_views_complete());
  asked.authoritative = m.authoritative && knows;
  const bool absent = m.outcome == Outcome::not_here || m.outcome == Outcome::gone;
  if (absent && loc != kNil && locations[loc].hint) drop_location(loc);
}

void MeshState::on_ended(Link& l, const Ended& m) {
  const uint32_t a = find_ask_by_id(l, m.request_id);
  if (a == kNil || asks[a].track == kNil || asks[a].state != AskState::kOk || asks[a].label != m.label)
    return;
  Ask& asked = asks[a];
  Track& track = tracks[asked.track];
  unlink_ask(a);
  mark(asked.track);
  if (track.phase == Phase::kSearching) {  // said yes and no in one breath
    asked.state = AskState::kNegative;
    asked.outcome = m.reason;
    track.winner = kNil;
    return;
  }
  track.winner_over = true;
  track.ended = m.reason;
}

// ---- the subscription

void MeshState::accept(uint32_t t) {
  Track& track = tracks[t];
  drop_asks(t, track.winner);
  const Ask& asked = asks[track.winner];
  const Link& l = links[asked.link];
  const uint32_t loc = find_location(t, asked.link);
  CoreCommand c;
  c.kind = CoreCommandKind::kFlowOpen;
  c.open.flow = track.flow.id;
  c.open.label = track.flow.label;
  c.open.source = FlowSource::kUpstream;
  c.open.traffic_class = loc == kNil ? TrafficClass::kRest : locations[loc].traffic_class;
  c.open.link = asked.link;
  c.open.queue = kNoQueue;
  c.open.upstream_label = asked.feedback_label;
  c.open.upstream_core = asked.feedback_core;
  c.open.keyframe_interval = std::max(kKeyframeInterval, l.rtt.smoothed());
  command(track.flow.core, c);
  ++fed;
  track.generation = asked.generation;
  track.highest_generation = std::max(track.highest_generation, asked.generation);
  track.flowing = false;
  track.phase = asked.flowing ? Phase::kWatching : Phase::kEstablished;
  track.watch_until = now + std::max(kMediaStart, l.rtt.smoothed() * 2);
  track.settle_left = track.waiters.size;
}

void MeshState::first_media(uint32_t t) {
  Track& track = tracks[t];
  track.flowing = true;
  if (track.phase != Phase::kWatching) return;
  track.phase = Phase::kEstablished;
  track.settle_left = track.waiters.size;
  mark(t);
}

// The flow goes, and with it its outputs; the waiters notice when they are settled.
void MeshState::end_subscription(uint32_t t, Outcome reason) {
  Track& track = tracks[t];
  const uint32_t a = track.winner;
  List<&Ask::of_track>::remove(asks, track.asks, a);
  asks[a].track = kNil;
  release_ask(a);
  free_ask_if_done(a);
  close_flow(t);
  track.phase = Phase::kQuiet;
  track.ended = reason;
  track.settle_left = track.waiters.size;
}

void MeshState::close_flow(uint32_t t) {
  Track& track = tracks[t];
  CoreCommand c;
  c.kind = CoreCommandKind::kFlowClose;
  c.flow = track.flow.id;
  command(track.flow.core, c);
  labels.release(track.flow, now, true);
  track.flow = {};
  track.winner = kNil;
  track.winner_over = false;
  --fed;
}

// It said that media flows, and nothing came. The search goes on without it, and remembers.
void MeshState::stalled(uint32_t t) {
  Track& track = tracks[t];
  Ask& asked = asks[track.winner];
  asked.state = AskState::kNegative;
  asked.outcome = Outcome::stalled;
  release_ask(track.winner);
  close_flow(t);
  track.phase = Phase::kSearching;
  track.settle_left = track.waiters.size;
}

// ---- asks and their lists

// Tells the peer that it is not wanted any more, if it can know of it. What it was asked in an earlier
// session and not again in this one it forgets by itself.
void MeshState::release_ask(uint32_t a) {
  Ask& asked = asks[a];
  if (!asked.of_link.linked || asked.releasing) return;
  Link& l = links[asked.link];
  unlink_ask(a);
  if (asked.sent_session == 0 || asked.sent_session != l.session) return;
  List<&Ask::of_link>::push_back(asks, l.releases, a);
  asked.releasing = true;
}

void MeshState::unlink_ask(uint32_t a) {
  Ask& asked = asks[a];
  Link& l = links[asked.link];
  if (l.next_ask == a) l.next_ask = asked.of_link.next;
  if (l.news_from == a) l.news_from = asked.of_link.next;
  List<&Ask::of_link>::remove(asks, asked.releasing ? l.releases : l.asks, a);
  asked.releasing = false;
}

void MeshState::free_ask_if_done(uint32_t a) {
  if (!asks[a].of_track.linked && !asks[a].of_link.linked) asks.release(a);
}

}  // namespace trunkline::relay::mesh
