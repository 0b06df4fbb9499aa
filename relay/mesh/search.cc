// The search for a track: one per track, however many wait for it.
//
// visit() brings a track's records into step with each other: subscription, waiters, search. It is called for
// every track that something happened to, and does nothing that need not be done.
//
// advance() is the search itself, a function of what is known now: whom the locations name, in the order of
// their epochs, one after the other; then everybody else, at once. It keeps no position: who was asked and
// what they said stands in the asks, and each call goes through them from the start (at most 4 + 32).
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr uint32_t kMaxLocations = 4;
constexpr uint32_t kMaxEveryone = 32;  // peers asked at once
constexpr uint32_t kMaxRequests = 8;   // per search, of named candidates and repetitions
constexpr Nanos kShortestAttempt = core::from_ms(15);
constexpr Nanos kAttemptSlack = core::from_ms(10);
constexpr Nanos kNegativeCache = core::from_ms(250);

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
    case Outcome::not_here:
      return 10;
    case Outcome::gone:
      return 20;
    default:
      return 40;
  }
}

}  // namespace

void MeshState::visit(uint32_t t) {
  Track& track = tracks[t];
  const bool fed_now = track.phase == Phase::kWatching || track.phase == Phase::kEstablished;
  if (fed_now && track.winner_over) {
    end_subscription(t, track.ended);
  } else if (track.phase == Phase::kSearching && track.winner != kNil) {
    accept(t);
  } else if (!fed_now && track.phase != Phase::kQuiet && live_publication(track) != nullptr) {
    end_search(t);  // it is here
    track.settle_left = track.waiters.size;
  }
  settle_all(t);
  if (track.settle_left > 0) return mark(t);

  if ((track.phase == Phase::kWatching || track.phase == Phase::kEstablished) && track.fed_waiters == 0) {
    track.ended = Outcome::cancelled;
    end_subscription(t, Outcome::cancelled);
  }
  if (track.phase == Phase::kConcluding) track.phase = Phase::kRendezvous;
  if (track.phase == Phase::kRendezvous && (track.pending == 0 || track.news)) track.phase = Phase::kQuiet;
  if (track.phase == Phase::kSearching && track.pending == 0) end_search(t);
  if (track.phase == Phase::kQuiet && track.pending > 0) start_search(t);
  if (track.phase == Phase::kSearching) advance(t);
  arm_search(t);
  free_track_if_idle(t);
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

void MeshState::start_search(uint32_t t) {
  Track& track = tracks[t];
  track.news = false;
  track.asked = 0;
  if (live_publication(track) != nullptr) {
    track.settle_left = track.waiters.size;
    return mark(t);
  }
  if (track.negative_until > now) return conclude(t, track.verdict);  // it was said a moment ago
  track.phase = Phase::kSearching;
  track.everyone = false;
  track.winner = kNil;
  track.winner_over = false;
}

void MeshState::advance(uint32_t t) {
  if (ask_named(t)) return;
  Track& track = tracks[t];
  if (track.phase != Phase::kSearching) return;  // it ended on the way
  if (denied_by_all_named(t)) return conclude(t, verdict_of(t));
  ask_everyone(t);
  if (track.phase != Phase::kSearching) return;
  // Wait as long as somebody may still say yes. One whose link went down after it was asked may come back.
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    if (asks[a].state == AskState::kWaiting || asks[a].state == AskState::kBusy) return;
  }
  conclude(t, verdict_of(t));
}

bool MeshState::all_views_complete() const {
  for (const Link& l : links) {
    if (l.can_ask() && !l.view_complete) return false;
  }
  return true;
}

// Nobody is named any more, and one who was has said no with authority: there is nobody left to know better.
bool MeshState::denied_by_all_named(uint32_t t) const {
  std::array<uint32_t, kMaxLocations> order;
  return candidates(t, order) == 0 && verdict_of(t).authoritative;
}

// Asks the next candidate that is named, if its turn has come. True: there is one to wait for.
bool MeshState::ask_named(uint32_t t) {
  Track& track = tracks[t];
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  uint32_t silent = kNil;  // asked, its time is over, and it could be asked again
  bool later = false;      // one is busy, and will be asked again
  for (uint32_t i = 0; i < n; ++i) {
    const Location& location = locations[order[i]];
    Link& l = links[location.link];
    const uint32_t a = find_ask(t, location.link);
    if (a == kNil) {
      if (!l.can_ask() || track.asked >= kMaxRequests) continue;
      if (ask(t, l, !location.hint)) return true;
      if (track.phase != Phase::kSearching) return false;
      continue;
    }
    Ask& asked = asks[a];
    if (asked.state == AskState::kNegative) {
      // The word of the newest publisher ends the search, unless another claims to be as new.
      const bool newest = i == 0 && !location.hint;
      const bool alone = n == 1 || locations[order[1]].generation < location.generation;
      if (newest && alone && asked.authoritative) {
        conclude(t, {asked.outcome, true, asked.link});
        return false;
      }
      continue;
    }
    if (asked.state == AskState::kBusy) {
      if (now >= asked.until && l.can_ask()) ask_again(a);
      later = true;
      continue;
    }
    if (!l.can_ask()) continue;
    if (!config.rules.deadlines || now < asked.until) return true;
    if (silent == kNil || asked.until < asks[silent].until) silent = a;
  }
  if (silent == kNil) return later;
  if (track.asked < kMaxRequests) ask_again(silent);
  return true;
}

// Everybody who is there and has not been asked, the nearest first.
void MeshState::ask_everyone(uint32_t t) {
  Track& track = tracks[t];
  track.everyone = true;
  while (track.asks.size < kMaxEveryone) {
    Link* nearest = nullptr;
    for (Link& l : links) {
      if (!l.can_ask() || find_ask(t, l.id) != kNil) continue;
      if (nearest == nullptr || l.rtt.smoothed() < nearest->rtt.smoothed()) nearest = &l;
    }
    if (nearest == nullptr || !ask(t, *nearest, false)) break;
  }
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    if (asks[a].state == AskState::kBusy && now >= asks[a].until && links[asks[a].link].can_ask())
      ask_again(a);
  }
}

Nanos MeshState::attempt_time(const Track& t, const Link& l) const {
  const Nanos left = t.search_deadline - now;
  const Nanos fair = std::min(l.rtt.p99() * 2 + kAttemptSlack, left / 2);
  return std::min(left, std::max(kShortestAttempt, fair));
}

// False: it could not be asked; if nobody can be, the search has ended.
bool MeshState::ask(uint32_t t, Link& l, bool named) {
  Track& track = tracks[t];
  if (!track.flow.open()) track.flow = labels.allocate(now, {Labels::Owner::kTrack, t});
  const uint32_t a = track.flow.open() ? asks.allocate() : kNil;
  if (a == kNil) {
    if (!track.flow.open()) counters.add(MeshCounter::labels_resting);
    if (track.asks.empty()) conclude(t, {Outcome::local_limit, false, kNoLink});
    return false;
  }
  Ask& asked = asks[a];
  asked.id = (++ask_serial << 24) | a;
  asked.track = t;
  asked.track_id = track.id;
  asked.link = l.id;
  asked.named = named;
  asked.label = track.flow.label;
  asked.core = track.flow.core;
  asked.until = now + attempt_time(track, l);
  List<&Ask::of_track>::push_back(asks, track.asks, a);
  queue_ask(a);
  ++track.asked;
  return true;
}

void MeshState::ask_again(uint32_t a) {
  Ask& asked = asks[a];
  Track& track = tracks[asked.track];
  unlink_ask(a);
  asked.state = AskState::kWaiting;
  asked.until = now + attempt_time(track, links[asked.link]);
  queue_ask(a);
  ++track.asked;
}

void MeshState::queue_ask(uint32_t a) {
  Link& l = links[asks[a].link];
  List<&Ask::of_link>::push_back(asks, l.asks, a);
  if (l.next_ask == kNil) l.next_ask = a;
}

uint32_t MeshState::find_ask(uint32_t t, LinkId link) const {
  uint32_t a = tracks[t].asks.first;
  while (a != kNil && asks[a].link != link) a = asks[a].of_track.next;
  return a;
}

// ---- how it ends

Verdict MeshState::unreachable(const Link& l) const {
  return {l.incompatible ? l.incompatible_outcome : Outcome::link_down, false, l.id};
}

// If the search ended now.
Verdict MeshState::verdict_of(uint32_t t) const {
  const Track& track = tracks[t];
  Verdict best;
  const auto consider = [&best](const Verdict& verdict) {
    if (information(verdict) > information(best) || best.link == kNoLink) best = verdict;
  };
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (asked.state == AskState::kBusy) consider({Outcome::busy, false, asked.link});
    if (asked.state == AskState::kNegative) consider({asked.outcome, asked.authoritative, asked.link});
  }
  const bool heard_no = best.link != kNoLink;
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  for (uint32_t i = 0; i < n; ++i) {
    const Link& l = links[locations[order[i]].link];
    if (!l.can_ask() && find_ask(t, l.id) == kNil) consider(unreachable(l));
  }
  if (best.link != kNoLink || heard_no) return best;
  // Nobody was asked and nobody is named. A peer that was refused might have had it: its setting is the news.
  for (const Link& l : links) {
    if (l.incompatible) return unreachable(l);
  }
  return best;
}

Verdict MeshState::verdict_at_deadline(uint32_t t) const {
  const Track& track = tracks[t];
  if (track.phase == Phase::kWatching) return {Outcome::stalled, false, asks[track.winner].link};
  if (track.phase != Phase::kSearching) return track.verdict;
  const Verdict said = verdict_of(t);
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (asked.state != AskState::kWaiting && asked.state != AskState::kOk) continue;
    // Never sent: the link went down, or its window stayed full.
    if (asked.sent_session == 0 && !links[asked.link].can_ask()) return unreachable(links[asked.link]);
    return {Outcome::no_reply, false, asked.link};
  }
  return said;
}

// The verdict is told to all who wait; those who wait for an announcement wait on (settle).
void MeshState::conclude(uint32_t t, const Verdict& verdict) {
  Track& track = tracks[t];
  const bool cached = track.negative_until > now;
  end_search(t);
  track.verdict = verdict;
  track.phase = Phase::kConcluding;
  track.settle_left = track.waiters.size;
  const bool absent = verdict.outcome == Outcome::not_here || verdict.outcome == Outcome::gone;
  if (absent && !cached) track.negative_until = now + kNegativeCache;
  mark(t);
}

void MeshState::end_search(uint32_t t) {
  Track& track = tracks[t];
  const bool rest = drop_asks(t, kNil);
  if (track.flow.open()) labels.release(track.flow, now, rest);
  track.flow = {};
  track.winner = kNil;
  track.phase = Phase::kQuiet;
}

bool MeshState::drop_asks(uint32_t t, uint32_t except) {
  Track& track = tracks[t];
  bool rest = false;
  uint32_t next = kNil;
  for (uint32_t a = track.asks.first; a != kNil; a = next) {
    next = asks[a].of_track.next;
    if (a == except) continue;
    Ask& asked = asks[a];
    if (asked.sent_session != 0 && asked.state != AskState::kNegative) rest = true;
    List<&Ask::of_track>::remove(asks, track.asks, a);
    asked.track = kNil;
    release_ask(a);
    free_ask_if_done(a);
  }
  return rest;
}

// One timer per track, for whatever comes first.
void MeshState::arm_search(uint32_t t) {
  const Track& track = tracks[t];
  Nanos at = core::kNever;
  if (track.phase == Phase::kWatching) at = track.watch_until;
  if (track.phase == Phase::kSearching && config.rules.deadlines) {
    for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
      const Ask& asked = asks[a];
      const bool waiting = asked.state == AskState::kWaiting || asked.state == AskState::kBusy;
      if (waiting && asked.until > now) at = std::min(at, asked.until);
    }
  }
  if (track.negative_until > now) at = std::min(at, track.negative_until);
  if (at == core::kNever) {
    wheel.cancel(waiters.capacity() + t);
  } else {
    arm_track(t, at);
  }
}

void MeshState::track_timer(uint32_t t) {
  const Track& track = tracks[t];
  if (track.phase == Phase::kWatching && now >= track.watch_until) stalled(t);
  mark(t);
}

}  // namespace trunkline::relay::mesh
