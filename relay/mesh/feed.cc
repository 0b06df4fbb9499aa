// The feed of a track: the request that was accepted, and the flow that its media comes in on.
//
// The flow is opened when the OK is accepted, its waiters get their outputs, and, if the peer says that media
// is flowing, the outcome is held back until it arrives: OK is a promise that has been seen kept. Later, too,
// media that is said to flow must come; a track that is muted is said to be, and nobody is blamed.
//
// A feed that has fallen silent keeps its flow. When a search behind it finds another source the flow is
// redirected: same label, same outputs. Whatever the old source still sends is a foreign label's from then
// on, and what the new one repeats is dropped by its RTP sequence number: nobody gets a packet twice.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr Nanos kMediaStart = core::from_ms(150);        // or two round trips, if that is longer
constexpr Nanos kKeyframeInterval = core::from_ms(200);  // or one round trip

}  // namespace

Nanos MeshState::media_time(const Link& l) const {
  return std::max(kMediaStart, l.rtt.smoothed() * 2);
}

void MeshState::accept(uint32_t t) {
  Track& track = tracks[t];
  const uint32_t a = track.winner;
  drop_asks(t, a);
  List<&Ask::of_track>::remove(asks, track.asks, a);
  if (track.feed_state == FeedState::kNone) {
    counters.add(MeshCounter::feeds_opened);
    open_flow(t, asks[a]);
    ++fed;
    begin_feed(t, a);
    return end_search(t);
  }
  counters.add(MeshCounter::feeds_replaced);
  end_search(t);
  let_go(track.feed);
  begin_feed(t, a);
  redirect_flow(t);
  tell_serves(t);
}

void MeshState::begin_feed(uint32_t t, uint32_t a) {
  Track& track = tracks[t];
  Ask& asked = asks[a];
  asked.promised_at = now;
  track.feed = a;
  track.feed_over = false;
  track.media = false;
  track.idle_while_flowing = track.doubted = false;
  track.generation = asked.generation;
  track.highest_generation = std::max(track.highest_generation, asked.generation);
  track.path = asked.path;
  track.path_length = asked.path_length;
  const bool is_watched = asked.flowing && config.rules.media_watchdog;
  track.feed_state = is_watched ? FeedState::kWatching : FeedState::kEstablished;
  track.watch_until = is_watched ? now + media_time(links[asked.link]) : Nanos{};
  track.settle_left = track.waiters.size;
}

void MeshState::open_flow(uint32_t t, const Ask& asked) {
  const Track& track = tracks[t];
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
  c.open.keyframe_interval = std::max(kKeyframeInterval, links[asked.link].rtt.smoothed());
  command(track.flow.core, c);
}

void MeshState::redirect_flow(uint32_t t) {
  const Track& track = tracks[t];
  const Ask& asked = asks[track.feed];
  CoreCommand c;
  c.kind = CoreCommandKind::kFlowRedirect;
  c.redirect.flow = track.flow.id;
  c.redirect.link = asked.link;
  c.redirect.upstream_label = asked.feedback_label;
  c.redirect.upstream_core = asked.feedback_core;
  c.redirect.keyframe_interval = std::max(kKeyframeInterval, links[asked.link].rtt.smoothed());
  command(track.flow.core, c);
}

// An ask that is in no search any more: the peer is told, and the record goes when it has been.
void MeshState::let_go(uint32_t a) {
  asks[a].track = kNil;
  release_ask(a);
  free_ask_if_done(a);
}

// The flow goes, and with it its outputs; waiters notice when they are settled, peers are told.
void MeshState::end_feed(uint32_t t, Outcome reason) {
  Track& track = tracks[t];
  end_search(t);  // what was sought behind it shares its flow
  let_go(track.feed);
  CoreCommand c;
  c.kind = CoreCommandKind::kFlowClose;
  c.flow = track.flow.id;
  command(track.flow.core, c);
  end_serves(t, true, reason, track.generation);
  labels.release(track.flow, now, true);
  track.flow = {};
  track.feed = kNil;
  track.feed_state = FeedState::kNone;
  track.feed_over = false;
  track.media = false;
  track.idle_while_flowing = track.doubted = false;
  track.watch_until = Nanos{};
  track.path_length = 0;
  track.ended = reason;
  track.settle_left = track.waiters.size;
  --fed;
}

// ---- media comes, and stops

void MeshState::media_started(uint32_t t) {
  Track& track = tracks[t];
  if (track.feed_state == FeedState::kNone) return;
  track.media = true;
  track.idle_while_flowing = track.doubted = false;
  track.watch_until = Nanos{};
  if (Link& l = links[asks[track.feed].link]; l.health.media_came()) returned(l);
  if (track.feed_state == FeedState::kWatching) track.feed_state = FeedState::kEstablished;
  if (track.pending > 0) track.settle_left = track.waiters.size;
  tell_serves(t);
  mark(t);
}

// Nothing for a second. If it was muted, the peer's word of it is under way.
void MeshState::media_stopped(uint32_t t) {
  Track& track = tracks[t];
  if (track.feed_state == FeedState::kNone) return;
  track.media = false;
  tell_serves(t);
  watch(t);
  mark(t);
}

void MeshState::watch(uint32_t t) {
  Track& track = tracks[t];
  const Ask& asked = asks[track.feed];
  if (!config.rules.media_watchdog || !asked.flowing || track.media) return;
  if (track.watch_until.ns == 0) track.watch_until = now + media_time(links[asked.link]);
}

// The peer told more about what it sends.
void MeshState::feed_changed(uint32_t t, bool relabelled) {
  Track& track = tracks[t];
  const Ask& asked = asks[track.feed];
  if (relabelled) redirect_flow(t);
  // Who feeds us has found another way: doubt and silence were the former one's.
  const bool same_way =
      track.path_length == asked.path_length &&
      std::equal(track.path.begin(), track.path.begin() + track.path_length, asked.path.begin());
  if (!same_way) track.doubted = track.idle_while_flowing = false;
  track.path = asked.path;
  track.path_length = asked.path_length;
  if (!asked.flowing) {
    track.idle_while_flowing = false;
    // Muted before the first packet came: there is nothing to wait for.
    if (track.feed_state == FeedState::kWatching) {
      track.feed_state = FeedState::kEstablished;
      track.settle_left = track.waiters.size;
    }
    track.watch_until = Nanos{};
  }
  watch(t);
  tell_serves(t);
  mark(t);
}

// It said that media flows, and nothing came.
void MeshState::watched_in_vain(uint32_t t) {
  Track& track = tracks[t];
  track.watch_until = Nanos{};
  if (track.feed_state == FeedState::kNone || track.media || !asks[track.feed].flowing) return;
  Link& l = links[asks[track.feed].link];
  counters.add(MeshCounter::stalls);
  // A link that is down explains it, here or further up; then the peer is not to blame.
  const bool direct = track.feed_state == FeedState::kWatching || track.path_length <= 1;
  if (l.alive && direct && l.health.stalled()) eject(l, "media that it said was flowing did not come");
  if (track.feed_state == FeedState::kEstablished) {
    track.idle_while_flowing = true;
    track.replace_at = now;
    return;
  }
  stalled(t);
}

// Before anybody was told OK. The search goes on without this peer, and remembers.
void MeshState::stalled(uint32_t t) {
  const core::NodeId node = links[asks[tracks[t].feed].link].node;
  const LinkId link = asks[tracks[t].feed].link;
  const Nanos promised_at = asks[tracks[t].feed].promised_at;
  attempt_logs[t].answered(tracks[t].id, node, Outcome::stalled, now);
  end_feed(t, Outcome::stalled);
  Track& track = tracks[t];
  track.phase = Phase::kSearching;
  const uint32_t a = asks.allocate();
  if (a == kNil) return conclude(t, {Outcome::stalled, false, link});
  Ask& memory = asks[a];
  memory.track = t;
  memory.track_id = track.id;
  memory.link = link;
  memory.state = AskState::kNegative;
  memory.outcome = Outcome::stalled;
  memory.promised_at = promised_at;
  List<&Ask::of_track>::push_back(asks, track.asks, a);
}

// ---- asks and their lists

void MeshState::drop_ask(uint32_t t, uint32_t a) {
  List<&Ask::of_track>::remove(asks, tracks[t].asks, a);
  let_go(a);
}

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
  if (asks[a].track == kNil && !asks[a].of_track.linked && !asks[a].of_link.linked) asks.release(a);
}

}  // namespace trunkline::relay::mesh
