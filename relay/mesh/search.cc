// The life of a search: one per track, however many wait for it, and how it ends.
//
// visit() brings a track's records into step with each other: feed, waiters, peers that wait, search. It is
// called for every track that something happened to, and does nothing that need not be done. Whom a search
// asks, and in what order, is candidates.cc; what they answer, answers.cc.
//
// A search may also go on behind a feed: when the link that feeds a track has fallen silent, or says that
// media flows and none comes. Its success gives the flow another source; its failure changes nothing.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

// How long a negative verdict is remembered: two round trips of who said it, within design's bounds.
constexpr Nanos kShortestMemory = core::from_ms(50);
constexpr Nanos kLongestMemory = core::from_ms(250);
// Between searches behind a feed: the next one may find what the last one did not.
constexpr Nanos kReplaceAgain = core::from_ms(500);

// How much a verdict tells: the greatest of what peers said is what the host hears.
int information(const Verdict& verdict) {
  if (verdict.authoritative) return 100;
  switch (verdict.outcome) {
    case Outcome::local_limit:
      return 90;
    case Outcome::config_mismatch:
    case Outcome::unsupported:
      return 80;
    case Outcome::stalled:
      return 75;
    case Outcome::link_down:
      return 70;
    case Outcome::unauthorized:
      return 65;
    case Outcome::busy:
      return 60;
    case Outcome::draining:
      return 55;
    case Outcome::deadline:
      return 50;
    case Outcome::gone:
      return 20;
    case Outcome::not_here:
      return 10;
    case Outcome::loop:  // it asks itself, or is fed by whoever asks: it has no more than that
      return 5;
    default:
      return 40;
  }
}

}  // namespace

// ---- what a track needs

bool MeshState::suspect(const Track& track) const {
  if (track.feed_state == FeedState::kNone) return false;
  const Link& l = links[asks[track.feed].link];
  return !l.alive && now - l.heard >= config.link.down_after;
}

bool MeshState::wants_replacement(const Track& track) const {
  return track.feed_state == FeedState::kEstablished &&
         (suspect(track) || track.idle_while_flowing || track.doubted);
}

// Nobody has anything better than what is published here.
bool MeshState::seeks_replacement(const Track& track) const {
  return wants_replacement(track) && source_publication(track) == nullptr;
}

bool MeshState::wants_search(const Track& track) const {
  const bool waited_for = track.pending > 0 || track.waiting_serves > 0;
  if (track.feed_state == FeedState::kNone) return waited_for;
  // Behind a feed: now for those who cannot use it as it is, now and then for those who have it.
  return seeks_replacement(track) && (waited_for || now >= track.replace_at);
}

void MeshState::visit(uint32_t t) {
  Track& track = tracks[t];
  if (track.feed_state != FeedState::kNone) {
    if (links[asks[track.feed].link].lease_over) over(track.feed, Outcome::link_down, {});
    if (track.feed_over) end_feed(t, track.ended);
  }
  if (track.phase == Phase::kSearching && track.winner != kNil) accept(t);
  const bool has_source = source_publication(track) != nullptr;
  const bool feed_is_fine = track.feed_state != FeedState::kNone && !wants_replacement(track);
  if (track.phase != Phase::kQuiet && (has_source || feed_is_fine)) {
    end_search(t);
    track.settle_left = track.waiters.size;
  }
  settle_all(t);
  if (track.settle_left > 0) return mark(t);

  settle_serves(t);
  const bool unwanted = track.fed_waiters == 0 && track.fed_serves == 0 && track.waiting_serves == 0;
  if (track.feed_state != FeedState::kNone && unwanted) end_feed(t, Outcome::cancelled);
  if (track.phase == Phase::kConcluding) track.phase = Phase::kRendezvous;
  if (track.phase == Phase::kRendezvous && (track.pending == 0 || track.news)) track.phase = Phase::kQuiet;
  if (track.phase == Phase::kSearching && !wanted(track)) end_search(t);
  if (track.phase == Phase::kQuiet && wants_search(track)) start_search(t);
  if (track.phase == Phase::kSearching) advance(t);
  arm_search(t);
  free_track_if_idle(t);
}

bool MeshState::wanted(const Track& track) const {
  return track.pending > 0 || track.waiting_serves > 0 || wants_replacement(track);
}

// Shows the waiters the present state, oldest first, each once.
void MeshState::settle_all(uint32_t t) {
  Track& track = tracks[t];
  while (track.settle_left > 0 && room()) {
    if (track.waiters.empty()) {
      track.settle_left = 0;
      return;
    }
    const uint32_t w = track.waiters.first;
    List<&Waiter::of_track>::move_to_back(waiters, track.waiters, w);
    --track.settle_left;
    spend();
    settle(w);
  }
}

// ---- begin, go on

void MeshState::start_search(uint32_t t) {
  Track& track = tracks[t];
  track.news = false;
  track.asked = 0;
  if (source_publication(track) != nullptr) {
    track.settle_left = track.waiters.size;
    return mark(t);
  }
  if (track.feed_state == FeedState::kNone && remembers_no(track)) {  // it was said a moment ago
    counters.add(MeshCounter::negatives_cached);
    return conclude(t, track.verdict);
  }
  track.phase = Phase::kSearching;
  track.search_began = now;
  track.redirects = 0;
  track.relays = 0;
  track.winner = kNil;
  if (track.feed_state != FeedState::kNone) {
    track.search_deadline = std::max(track.search_deadline, now + config.acquire.deadline);
  }
  attempt_logs[t].begin(track.id);
}

bool MeshState::remembers_no(const Track& track) const {
  return track.negative_until > now && track.negative_version == track.version;
}

// One timer per track, for whatever comes first.
void MeshState::arm_search(uint32_t t) {
  const Track& track = tracks[t];
  Nanos at = core::kNever;
  if (track.watch_until.ns != 0) at = track.watch_until;
  if (track.phase == Phase::kSearching && config.rules.deadlines) {
    if (track.search_deadline > now) at = std::min(at, track.search_deadline);
    for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
      const Ask& asked = asks[a];
      if (!asked.open()) continue;
      if (asked.until > now) at = std::min(at, asked.until);
      if (asked.hop_limit > 0 && asked.alone_until > now) at = std::min(at, asked.alone_until);
    }
  }
  if (track.phase == Phase::kQuiet && seeks_replacement(track)) at = std::min(at, track.replace_at);
  if (track.negative_until > now) at = std::min(at, track.negative_until);
  if (at == core::kNever) {
    wheel.cancel(waiters.capacity() + t);
  } else {
    arm_track(t, std::max(at, now));
  }
}

void MeshState::track_timer(uint32_t t) {
  Track& track = tracks[t];
  if (track.watch_until.ns != 0 && now >= track.watch_until) watched_in_vain(t);
  // Nobody's budget lasts any longer; who waits here has a timer of its own.
  const bool behind_feed = track.pending == 0 && track.waiting_serves == 0;
  if (track.phase == Phase::kSearching && now >= track.search_deadline && behind_feed) {
    conclude(t, verdict_of(t));
  }
  mark(t);
}

// ---- how it ends

Verdict MeshState::unreachable(const Link& l) const {
  return {l.incompatible ? l.incompatible_outcome : Outcome::link_down, false, l.id};
}

// It names a node that cannot be asked from here.
bool MeshState::leads_elsewhere(const Ask& asked) const {
  if (asked.moved_to == config.id) return false;
  const Link* there = find_link(asked.moved_to);
  return there == nullptr || !there->can_ask();
}

// It was asked, and does not have it.
bool MeshState::has_denied(uint32_t t, LinkId link) const {
  const uint32_t a = find_ask(t, link);
  return a != kNil && asks[a].state == AskState::kNegative &&
         (asks[a].outcome == Outcome::not_here || asks[a].outcome == Outcome::gone);
}

// If the search ended now.
Verdict MeshState::verdict_of(uint32_t t) const {
  const Track& track = tracks[t];
  Verdict best;
  const auto consider = [&best](const Verdict& verdict) {
    if (information(verdict) > information(best) || best.link == kNoLink) best = verdict;
  };
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  // Nobody's no is the last word while somebody says that he has the track, and cannot be asked, or will not
  // give it.
  const bool certain = std::none_of(order.begin(), order.begin() + n, [&](uint32_t loc) {
    return !locations[loc].hint && !has_denied(t, locations[loc].link);
  });
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (links[asked.link].incompatible) consider(unreachable(links[asked.link]));
    if (asked.state == AskState::kBusy) consider({Outcome::busy, false, asked.link});
    if (asked.state != AskState::kNegative) continue;
    // Where it was sent it has been, or is: that peer knows no better than one without the track.
    const bool followed = asked.outcome == Outcome::moved && !leads_elsewhere(asked);
    consider({followed ? Outcome::not_here : asked.outcome, asked.authoritative && certain, asked.link});
  }
  for (uint32_t i = 0; i < n; ++i) {
    const Link& l = links[locations[order[i]].link];
    if (locations[order[i]].told) continue;  // whoever told it may have asked there for us
    if (!l.can_ask() && find_ask(t, l.id) == kNil) consider(unreachable(l));
  }
  if (wants_replacement(track)) {
    const Link& l = links[asks[track.feed].link];
    consider(suspect(track) ? unreachable(l) : Verdict{Outcome::stalled, false, l.id});
  }
  if (best.link != kNoLink) return best;
  // Nobody was asked and nobody is named. A peer that was refused might have had it: its setting is the news.
  for (const Link& l : links) {
    if (l.incompatible) return unreachable(l);
  }
  return best;
}

Verdict MeshState::verdict_at_deadline(uint32_t t) const {
  const Track& track = tracks[t];
  if (track.feed_state == FeedState::kWatching) return {Outcome::stalled, false, asks[track.feed].link};
  if (track.phase != Phase::kSearching) return track.verdict;
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (asked.state != AskState::kWaiting && asked.state != AskState::kOk) continue;
    if (links[asked.link].incompatible) continue;
    // Never sent: the link went down, or its window stayed full.
    if (asked.sent_session == 0 && !links[asked.link].can_ask()) return unreachable(links[asked.link]);
    return {asked.was_busy ? Outcome::busy : Outcome::no_reply, false, asked.link};
  }
  return verdict_of(t);
}

// The verdict is told to all who wait; those who wait for an announcement wait on (settle).
void MeshState::conclude(uint32_t t, const Verdict& verdict) {
  Track& track = tracks[t];
  const bool cached = remembers_no(track), for_anybody = holds_for_anybody(t);
  believe_denials(t);
  end_search(t);
  track.replace_at = now + kReplaceAgain;
  track.doubted = false;
  if (track.pending == 0 && track.waiting_serves == 0) return mark(t);
  track.verdict = verdict;
  track.phase = Phase::kConcluding;
  track.settle_left = track.waiters.size;
  const bool absent = verdict.outcome == Outcome::not_here || verdict.outcome == Outcome::gone;
  if (absent && !cached && for_anybody) {
    const Nanos rtt = verdict.link == kNoLink ? Nanos{} : links[verdict.link].rtt.smoothed();
    track.negative_until = now + std::clamp(rtt * 2, kShortestMemory, kLongestMemory);
    track.negative_version = track.version;
  }
  mark(t);
}

// Nobody said no only because the question, a peer's, had passed there.
bool MeshState::holds_for_anybody(uint32_t t) const {
  uint32_t a = tracks[t].asks.first;
  while (a != kNil && !asks[a].looped_for_peer()) a = asks[a].of_track.next;
  return a == kNil;
}

// Who announced the track and denies it has withdrawn it since, and had no room, or no link, to say so.
void MeshState::believe_denials(uint32_t t) {
  for (uint32_t a = tracks[t].asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (asked.state != AskState::kNegative || !asked.authoritative) continue;
    const uint32_t loc = find_location(t, asked.link);
    if (loc != kNil && !locations[loc].hint) drop_location(loc);
  }
}

void MeshState::end_search(uint32_t t) {
  Track& track = tracks[t];
  const bool rest = drop_asks(t, kNil);
  track.winner = kNil;
  track.phase = Phase::kQuiet;
  // What peers told is the search's own; what they announced stays.
  for (uint32_t loc = track.locations.first, next = kNil; loc != kNil; loc = next) {
    next = locations[loc].of_track.next;
    if (locations[loc].told) drop_location(loc);
  }
  if (track.feed_state != FeedState::kNone) return;  // the flow is in use
  if (track.flow.open()) labels.release(track.flow, now, rest);
  track.flow = {};
}

bool MeshState::drop_asks(uint32_t t, uint32_t except) {
  Track& track = tracks[t];
  bool rest = false;
  uint32_t next = kNil;
  for (uint32_t a = track.asks.first; a != kNil; a = next) {
    next = asks[a].of_track.next;
    if (a == except) continue;
    if (asks[a].sent_session != 0 && asks[a].state != AskState::kNegative) rest = true;
    drop_ask(t, a);
  }
  return rest;
}

}  // namespace trunkline::relay::mesh
