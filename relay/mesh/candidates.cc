// Whom a search asks, and in what order.
//
//   1  whom the locations name, the newest epoch first, one after the other: a second attempt fits
//   2  everybody else, at once, nearest first
//   3  of those who said MOVED to a node that cannot be asked from here, the nearest: it is to ask for us
//   4  whoever said yes and was ejected for its outcomes: it is asked with everybody, its yes waits
//
// advance() is a function of what is known now. It keeps no position: who was asked and what they said stands
// in the asks, and each call goes through them from the start (at most 4 + 32).
//
// Nobody who may have to wait for others is waited for by somebody whom it may wait for: a request with hop
// limit h only ever waits for requests with smaller limits, so no ring of nodes can wait for itself.
#include <algorithm>
#include <utility>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr uint32_t kMaxEveryone = 32;      // peers asked at once
constexpr uint32_t kMaxRequests = 8;       // per search, of named candidates and repetitions
constexpr uint8_t kMaxTries = 2;           // attempts with one named candidate before everybody is asked
constexpr uint8_t kMaxRelays = 3;          // peers asked to ask for us, per search
constexpr uint8_t kHopLimit = 2;           // how many more nodes a peer may ask for us, one after the other
constexpr Nanos kRound = core::from_s(1);  // how long a no stands for those who join a search
constexpr Nanos kShortestAttempt = core::from_ms(15);
constexpr Nanos kAttemptSlack = core::from_ms(10);

}  // namespace

void MeshState::advance(uint32_t t) {
  forget_old_answers(t);
  blame_the_silent(t);
  ask_for_longer(t);
  ask_for_others(t);
  if (ask_named(t)) return;
  Track& track = tracks[t];
  if (track.phase != Phase::kSearching) return;  // it ended on the way
  if (denied_by_all_named(t)) return conclude(t, verdict_of(t));
  ask_everyone(t);
  if (track.phase != Phase::kSearching || ask_relay(t)) return;
  // Wait as long as somebody may still say yes. One whose link went down after it was asked may come back. A
  // yes that is held back waits for first answers only, not for those who were busy and are asked again.
  bool waiting = false, in_time = false;
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    // Whom we refuse, or who refuses us, does not answer.
    if (std::as_const(links)[asked.link].incompatible) continue;
    waiting = waiting || asked.open();
    in_time = in_time || (asked.state == AskState::kWaiting && !asked.was_busy && !overdue(asked));
  }
  if (in_time || take_reserve(t) || waiting || track.phase != Phase::kSearching) return;
  if (forget_stalls(t)) return mark(t);  // visited again, it asks them
  conclude(t, verdict_of(t));
}

// A search lasts as long as others join it. What was answered to those who began it may not be so any more.
void MeshState::forget_old_answers(uint32_t t) {
  Track& track = tracks[t];
  if (track.joined - track.search_began < kRound) return;
  track.search_began = now;
  track.redirects = track.relays = 0;
  track.asked = 0;
  for (uint32_t a = track.asks.first, next = kNil; a != kNil; a = next) {
    next = asks[a].of_track.next;
    if (asks[a].state == AskState::kNegative) drop_ask(t, a);
  }
}

// Whose media did not come said yes to those who waited then. It is asked once more before those who came
// later are denied the track: it may have lost what it was fed by shortly before its yes, which it notices
// after a second, and have another way now. Last of all, because this yes may be as empty as the first, and
// would release all others. True: there is one to be asked.
bool MeshState::forget_stalls(uint32_t t) {
  Track& track = tracks[t];
  bool any = false;
  for (uint32_t a = track.asks.first, next = kNil; a != kNil; a = next) {
    next = asks[a].of_track.next;
    const Ask& asked = asks[a];
    if (asked.state != AskState::kNegative || asked.outcome != Outcome::stalled) continue;
    const Link& l = std::as_const(links)[asked.link];
    const bool in_time = now + l.rtt.smoothed() < track.search_deadline;
    if (track.joined <= asked.promised_at || !l.can_ask() || !in_time) continue;
    if (!may_repeat()) return any;
    drop_ask(t, a);
    any = true;
  }
  return any;
}

// Who ran out of the budget of somebody with less time than those who wait now is asked again. It may be the
// answer to an early copy of a request that was repeated with more time since.
void MeshState::ask_for_longer(uint32_t t) {
  const Track& track = tracks[t];
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (asked.state != AskState::kNegative || asked.outcome != Outcome::deadline) continue;
    if (asked.asked_until < track.search_deadline && !ask_anew(a)) return;
  }
}

// Whom a peer's question had passed already refuses it for that peer's sake. Whoever else waits here has not
// come that way, and that node is asked again for them.
void MeshState::ask_for_others(uint32_t t) {
  const Track& track = tracks[t];
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const core::NodeId node = std::as_const(links)[asks[a].link].node;
    if (!asks[a].looped_for_peer() || has_passed(asks_for(track, node), node)) continue;
    if (!ask_anew(a)) return;
  }
}

// Who said no is asked once more, if there is time, and to ask no further than those who wait now allow.
// False: nobody may be asked again so soon.
bool MeshState::ask_anew(uint32_t a) {
  Ask& asked = asks[a];
  const Track& track = tracks[asked.track];
  const Link& l = std::as_const(links)[asked.link];
  const uint8_t hops = asked.hop_limit == 0 ? uint8_t{0} : relay_hops(track);
  const bool allowed = asked.hop_limit == 0 || hops > 0;
  if (!allowed || !l.can_ask() || now + l.rtt.smoothed() >= track.search_deadline) return true;
  if (!may_repeat()) return false;
  if (hops > 0) put_off_serves(asked.track, hops);
  rename_ask(a);
  asked.hop_limit = hops;
  ask_again(a);
  return true;
}

bool MeshState::overdue(const Ask& asked) const {
  return config.rules.deadlines && now >= asked.until;
}

// An attempt whose time is over speaks against the peer, once.
void MeshState::blame_the_silent(uint32_t t) {
  for (uint32_t a = tracks[t].asks.first; a != kNil; a = asks[a].of_track.next) {
    Ask& asked = asks[a];
    if (asked.state != AskState::kWaiting || asked.queued || asked.blamed || !overdue(asked)) continue;
    asked.blamed = true;
    Link& l = links[asked.link];
    if (l.alive && l.health.silent()) eject(l, "its answers do not come");
  }
}

// A peer that is up and of no use. Never more than a third of all: then the fault is rather here.
void MeshState::eject(Link& l, const char* why) {
  if (!config.rules.ejection) return;
  if (!l.health.ejected()) {
    uint32_t ejected = 0;
    for (const Link& other : links) ejected += other.health.ejected() ? 1 : 0;
    if ((ejected + 1) * 3 > links.size()) return counters.add(MeshCounter::ejections_capped);
    counters.add(MeshCounter::peers_ejected);
    log(LogLevel::kWarn, "node %llu is asked last from now on: %s",
        static_cast<unsigned long long>(l.node.value), why);
  }
  l.health.eject(now);
}

void MeshState::returned(Link& l) {
  counters.add(MeshCounter::peers_returned);
  log(LogLevel::kInfo, "node %llu is asked like the others again",
      static_cast<unsigned long long>(l.node.value));
}

// Ejected peers are not asked first, but with everybody; half open, one search may try.
bool MeshState::shunned(const Link& l) const {
  return l.health.ejected() && !l.health.may_probe(now);
}

bool MeshState::feeds(const Track& track, LinkId link) const {
  return track.feed_state != FeedState::kNone && asks[track.feed].link == link;
}

bool MeshState::all_views_complete() const {
  for (const Link& l : links) {
    if (!l.can_ask() || !l.view_complete) return false;
  }
  return true;
}

// Nobody is named any more, and one who was has said no with authority: there is nobody left to know better.
// Only where every node is a peer: elsewhere a peer of a peer may have it.
bool MeshState::denied_by_all_named(uint32_t t) const {
  if (!config.full_mesh || !all_views_complete()) return false;
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
    if (feeds(track, l.id)) continue;
    const uint32_t a = find_ask(t, location.link);
    if (a == kNil) {
      if (!l.can_ask() || track.asked >= kMaxRequests || shunned(l)) continue;
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
      retry_busy(a);
      later = later || !location.hint;  // who is only said to have it is not worth waiting for alone
      continue;
    }
    if (asked.state == AskState::kOk || !l.can_ask()) continue;
    if (!overdue(asked)) return true;
    if (asked.queued) continue;  // the stream is full: others may be faster
    const bool worth_it = asked.tries + 1 < kMaxTries && track.asked < kMaxRequests;
    if (worth_it && (silent == kNil || asked.until < asks[silent].until)) silent = a;
  }
  if (silent == kNil || !may_repeat()) return later;
  ++asks[silent].tries;
  ask_again(silent);
  return true;
}

// Everybody who is there and has not been asked, the nearest first.
void MeshState::ask_everyone(uint32_t t) {
  Track& track = tracks[t];
  while (track.asks.size < kMaxEveryone && config.rules.peer_locations) {
    Link* nearest = nullptr;
    for (Link& l : links) {
      if (!l.can_ask() || feeds(track, l.id) || find_ask(t, l.id) != kNil) continue;
      if (!may(l, Role::kPublish) && !may(l, Role::kRelay)) continue;  // it has nothing to give
      if (nearest == nullptr || l.rtt.smoothed() < nearest->rtt.smoothed()) nearest = &l;
    }
    if (nearest == nullptr || !ask(t, *nearest, false)) break;
  }
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    if (asks[a].state == AskState::kBusy) retry_busy(a);
  }
}

// It asked to be asked later, and now it is.
void MeshState::retry_busy(uint32_t a) {
  Ask& asked = asks[a];
  if (now < asked.until || !links[asked.link].can_ask()) return;
  if (may_repeat()) return ask_again(a);
  asked.until = now + kShortestAttempt;
}

// How many more nodes a peer that we ask may ask: fewer than whoever waits for us allowed us. Our own waiters
// come first: peers that may not wait for so long a search try again.
uint8_t MeshState::relay_hops(const Track& track) const {
  uint8_t hops = kHopLimit;
  if (track.pending > 0) return hops;
  for (uint32_t s = track.serves.first; s != kNil; s = serves[s].of_track.next) {
    if (serves[s].state != ServeState::kWaiting) continue;
    hops = std::min(hops, static_cast<uint8_t>(serves[s].hop_limit - 1));
  }
  return hops;
}

// Peers that may not wait for somebody who asks so many more nodes.
void MeshState::put_off_serves(uint32_t t, uint8_t hops) {
  for (uint32_t s = tracks[t].serves.first, next = kNil; s != kNil; s = next) {
    next = serves[s].of_track.next;
    if (serves[s].state == ServeState::kWaiting && serves[s].hop_limit <= hops) deny(s, {Outcome::busy});
  }
}

// Whether that peer said that it is where we have no way to, and may ask there for us.
bool MeshState::could_relay(const Track& track, const Ask& asked) const {
  const bool moved = asked.state == AskState::kNegative && asked.outcome == Outcome::moved;
  const Link& l = links[asked.link];
  if (!moved || asked.hop_limit > 0 || !l.can_ask() || !may(l, Role::kRelay)) return false;
  const Link* there = find_link(asked.moved_to);
  return leads_elsewhere(asked) || (there != nullptr && feeds(track, there->id));
}

// Who knows of an announcement before who was only told so, and the nearest first.
bool MeshState::better_relay(const Ask& asked, const Ask& than) const {
  const bool knows = asked.moved_generation != 0, other_knows = than.moved_generation != 0;
  if (knows != other_knows) return knows;
  return links[asked.link].rtt.smoothed() < links[than.link].rtt.smoothed();
}

// Somebody knows where it is, and we have no way there: the best of them is to ask for us. The next one is
// asked as well if that takes long, and at once if it knows more. True: one asks, and has time left.
bool MeshState::ask_relay(uint32_t t) {
  Track& track = tracks[t];
  const uint8_t hops = relay_hops(track);
  if (hops == 0) return false;
  uint32_t best = kNil;
  bool waiting = false, alone = false, one_knows = false;
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    const Ask& asked = asks[a];
    if (asked.hop_limit > 0 && asked.open() && !overdue(asked)) {
      waiting = true;
      alone = alone || now < asked.alone_until;
      one_knows = one_knows || asked.moved_generation != 0;
    } else if (could_relay(track, asked) && (best == kNil || better_relay(asked, asks[best]))) {
      best = a;
    }
  }
  if (best == kNil || track.relays >= kMaxRelays) return waiting;
  if (alone && (one_knows || asks[best].moved_generation == 0)) return waiting;
  put_off_serves(t, hops);
  ++track.relays;
  counters.add(MeshCounter::relays_asked);
  rename_ask(best);
  asks[best].hop_limit = hops;
  asks[best].tries = 0;
  asks[best].blamed = false;
  asks[best].alone_until = now + (track.search_deadline - now) / kMaxRelays;
  ask_again(best);
  return true;
}

// Nobody better says yes: then one whom its outcomes speak against. True: there is one.
bool MeshState::take_reserve(uint32_t t) {
  const uint32_t reserve = find_reserve(t);
  if (reserve == kNil) return false;
  tracks[t].winner = reserve;
  mark(t);
  return true;
}

uint32_t MeshState::find_reserve(uint32_t t) const {
  uint32_t a = tracks[t].asks.first;
  while (a != kNil && asks[a].state != AskState::kOk) a = asks[a].of_track.next;
  return a;
}

// ---- one request

Nanos MeshState::attempt_time(const Track& track, const Link& l) const {
  const Nanos left = track.search_deadline - now;
  if (!config.rules.rtt_timers) return std::min(left, kShortestAttempt);
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
  rename_ask(a);
  asked.track = t;
  asked.track_id = track.id;
  asked.link = l.id;
  asked.named = named;
  asked.probe = l.health.may_probe(now);
  if (asked.probe) l.health.probe(now);
  if (!config.rules.loop_check) asked.hop_limit = UINT8_MAX;  // whoever is asked may ask anybody
  asked.label = track.flow.label;
  asked.core = track.flow.core;
  List<&Ask::of_track>::push_back(asks, track.asks, a);
  retry_budget.first();
  queue_ask(a);
  ++track.asked;
  return true;
}

// A request of its own: what was answered to the former one may still be under way, a second time.
void MeshState::rename_ask(uint32_t a) {
  asks[a].id = (++ask_serial << 24) | a;
  asks[a].asked_until = core::kNever;
}

void MeshState::ask_again(uint32_t a) {
  Ask& asked = asks[a];
  unlink_ask(a);
  asked.state = AskState::kWaiting;
  asked.pending = false;
  queue_ask(a);
  ++tracks[asked.track].asked;
}

bool MeshState::may_repeat() {
  if (config.rules.retry_budget && !retry_budget.take(now)) {
    counters.add(MeshCounter::retries_refused);
    return false;
  }
  counters.add(MeshCounter::retries);
  return true;
}

// Among those that wait for room in the stream, the most urgent first. The attempt's time begins when it is
// sent (pump_asks); until then it has half of what is left.
void MeshState::queue_ask(uint32_t a) {
  Ask& asked = asks[a];
  Link& l = links[asked.link];
  const Nanos deadline = tracks[asked.track].search_deadline;
  asked.queued = true;
  asked.until = now + (deadline - now) / 2;
  const auto later = [&](const Ask& other) {
    return other.track != kNil && tracks[other.track].search_deadline > deadline;
  };
  const bool waits = l.next_ask != kNil;
  const uint32_t before = waits ? List<&Ask::of_link>::place(asks, l.asks, l.next_ask, later) : kNil;
  List<&Ask::of_link>::insert_before(asks, l.asks, a, before);
  if (l.next_ask == before) l.next_ask = a;
}

uint32_t MeshState::find_ask(uint32_t t, LinkId link) const {
  uint32_t a = tracks[t].asks.first;
  while (a != kNil && asks[a].link != link) a = asks[a].of_track.next;
  return a;
}

// The generation that a request names: what a peer said that it is, or the newest that is announced. Who has
// an older one is not to pretend that it is this.
uint64_t MeshState::believed_generation(const Ask& asked) const {
  if (!config.rules.epochs) return 0;
  if (asked.state == AskState::kOk) return asked.generation;
  return std::max(asked.believed, newest_announced(asked.track));
}

}  // namespace trunkline::relay::mesh
