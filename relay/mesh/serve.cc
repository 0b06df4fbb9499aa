// Requests of peers. A track that is published here, or that a peer feeds to us, gets one more output; for
// everything else there is an answer that says no, or who has it, at once: a peer that is not answered has to
// wait for its deadline. Only a request that allows it is passed on; the peer is told so (PENDING), and again
// as long as it lasts, and in the end what came of it.
//
// A serve is the record of one request. What it needs done (an output added, an answer sent) waits in its
// link's list, the most urgent first, because one datagram may hold many requests, and a step's outputs are
// bounded. What has no budget left when its turn comes costs no work.
#include <algorithm>
#include <utility>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

void MeshState::on_acquire_request(Link& l, const Acquire& m) {
  counters.add(MeshCounter::requests_received);
  if (m.owner_core.value >= l.cores) {
    counters.add(MeshCounter::control_rejected);
    return;
  }
  if (const Role role = role_to_ask(l, m); !may(l, role)) {
    missed_role(l, role, MeshCounter::requests_unauthorized);
    return answer_negative(l, m, {Outcome::unauthorized, 0, {}, false, {l.node, role}});
  }
  const uint32_t t = find_track(m.track);
  const uint32_t s = t == kNil ? kNil : find_serve(t, l.id);
  if (s != kNil && serves[s].id == m.request_id && serves[s].label == m.label) {
    return repeat_serve(l, s, m);
  }
  if (s != kNil) set_serve(s, ServeState::kRemove);
  // A repetition that was under way when what it had been given ended. What is here by now, and what would be
  // found by asking further, is another publication, and its packets would be there before the word of it.
  // Whoever asked hears of the end, and asks anew.
  if (has_ended(l, {m.request_id, m.track})) {
    const uint64_t here = t == kNil ? 0 : generation_here(t);
    return answer_negative(l, m, {here != 0 ? Outcome::stale_epoch : Outcome::gone, here, {}, false});
  }
  answer_request(l, m, t);
}

// In this session: the peer has been told, or will be as soon as the stream takes it.
bool MeshState::has_ended(const Link& l, const Link::EndedRequest& request) {
  return std::find(l.ended.begin(), l.ended.end(), request) != l.ended.end();
}

void MeshState::remember_ended(Link& l, const Serve& serve) {
  const Link::EndedRequest request{serve.id, serve.track_id};
  if (!has_ended(l, request)) l.ended[l.ended_next++ % l.ended.size()] = request;
}

// Of what could be served now; 0: nothing.
uint64_t MeshState::generation_here(uint32_t t) const {
  const Track& track = tracks[t];
  if (const Publication* publication = source_publication(track)) return publication->generation;
  return track.feed_state == FeedState::kEstablished ? track.generation : 0;
}

// The same answer once more.
void MeshState::repeat_serve(Link& l, uint32_t s, const Acquire& m) {
  counters.add(MeshCounter::requests_repeated);
  Serve& serve = serves[s];
  List<&Serve::of_link>::move_to_back(serves, l.serves, s);
  serve.view = l.view;
  serve.deadline = now + core::from_us(m.budget_us);
  if (serve.state != ServeState::kWaiting) return set_serve(s, ServeState::kAdd);
  serve.hop_limit = std::min(serve.hop_limit, m.hop_limit);
  serve.believed = m.believed_generation;
  serve.renew_at = now;
  queue_serve(s);
}

void MeshState::answer_request(Link& l, const Acquire& m, uint32_t t) {
  if (!config.peers[l.id].serve) return answer_negative(l, m, {Outcome::unauthorized});
  if (config.rules.loop_check && passes(m.nodes(), config.id)) {
    counters.add(MeshCounter::requests_looped);
    return answer_negative(l, m, {Outcome::loop});
  }
  if (draining.on) return answer_negative(l, m, {Outcome::draining, 0, draining.successor});
  if (t == kNil) return answer_negative(l, m, {Outcome::not_here});
  const Track& track = tracks[t];
  if (const Publication* publication = source_publication(track); publication != nullptr) {
    if (const auto other = other_epoch(m.believed_generation, publication->generation))
      return answer_negative(l, m, *other);
    return add_serve(new_serve(l, m, t));
  }
  if (!may(Role::kRelay)) return decline_relaying(l, m, t);
  // Packets would not get there from here: they have no hop left.
  if (too_far(track)) {
    if (m.hop_limit == 0 || !may_be_nearer(t, l, m) || !pass_on(l, m, t))
      answer_negative(l, m, denial(t, l, m));
    return;
  }
  // Fed by a peer: whoever feeds us, or feeds them, is not to be fed by us.
  if (track.feed_state == FeedState::kEstablished && !wants_replacement(track) && !feeds(track, l.id)) {
    if (const auto other = other_epoch(m.believed_generation, track.generation))
      return answer_negative(l, m, *other);
    if (!loops_back(track, l.node)) return add_serve(new_serve(l, m, t));
    // What is here came through them. Where else it is they may ask us to ask.
    if (m.hop_limit == 0) {
      counters.add(MeshCounter::requests_looped);
      return answer_negative(l, m, denial(t, l, m));
    }
  }
  if (m.hop_limit == 0 || !pass_on(l, m, t)) answer_negative(l, m, denial(t, l, m));
}

// This node's certificate does not make it a relay: what a peer feeds to it stays here, and it asks for
// nobody.
void MeshState::decline_relaying(Link& l, const Acquire& m, uint32_t t) {
  const bool asked_further = m.hop_limit > 0;
  const bool fed_here = tracks[t].feed_state != FeedState::kNone;
  counters.add(MeshCounter::relaying_unauthorized, asked_further || fed_here ? 1 : 0);
  const Lack lack{config.id, Role::kRelay};
  answer_negative(l, m, asked_further ? Denial{Outcome::unauthorized, 0, {}, false, lack} : denial(t, l, m));
}

// It is asked for with another generation than the one that is here. Not one packet of that may go out:
// whoever is fed already under this request took another one for good.
std::optional<MeshState::Denial> MeshState::other_epoch(uint64_t believed, uint64_t generation) {
  if (believed == 0 || believed == generation) return std::nullopt;
  const bool behind = believed < generation;
  return Denial{behind ? Outcome::stale_epoch : Outcome::future_epoch, generation};
}

// What feeds us has come through that node.
bool MeshState::loops_back(const Track& track, core::NodeId node) const {
  return config.rules.loop_check && passes(track.feed_path(), node);
}

// What feeds us has come over as many links as a packet may cross.
bool MeshState::too_far(const Track& track) const {
  return config.rules.loop_check && track.feed_state != FeedState::kNone &&
         track.feed_path().size() >= kPublishedTtl;
}

// It may be had over fewer links than what feeds us has come over: that hangs on whoever asks, or somebody
// else is named who can be asked.
bool MeshState::may_be_nearer(uint32_t t, const Link& l, const Acquire& m) const {
  const Track& track = tracks[t];
  if (loops_back(track, l.node)) return true;
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  return std::any_of(order.begin(), order.begin() + n, [&](uint32_t loc) {
    const Link& there = links[locations[loc].link];
    return !locations[loc].hint && there.can_ask() && there.id != l.id && !feeds(track, there.id) &&
           !passes(m.nodes(), there.node);
  });
}

// Who is not served hears who has it, if we know; else that it was here; else that it is not.
MeshState::Denial MeshState::denial(uint32_t t, const Link& l, const Acquire& m) const {
  const Track& track = tracks[t];
  const Publication* tombstone = track.publication == kNil ? nullptr : &publications[track.publication];
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  for (uint32_t i = 0; i < n; ++i) {
    const Location& location = locations[order[i]];
    // A hint is worth telling only where it may be the one way to learn of a place.
    if (location.hint && (location.told || config.full_mesh)) continue;
    // Nor is a place that cannot be reached from here: whoever can knows it from its own links.
    const Link& there = std::as_const(links)[location.link];
    if (!there.can_ask() || there.id == l.id || passes(m.nodes(), there.node)) continue;
    return {Outcome::moved, location.generation, there.node};
  }
  if (tombstone != nullptr && tombstone->state == PublicationState::kGone) {
    return {Outcome::gone, tombstone->generation};
  }
  // It would come back to them; but nothing does over a link that is down.
  if (!suspect(track) && (feeds(track, l.id) || loops_back(track, l.node))) return {Outcome::loop};
  // An older publication is still here, or a feed that is too long to be passed on: it is somewhere.
  const bool published = tombstone != nullptr && tombstone->state == PublicationState::kLive;
  return {Outcome::not_here, 0, {}, !published && track.feed_state == FeedState::kNone};
}

// Asks further for a peer, in a search of its own or in one that is under way. False: there is nobody to ask.
bool MeshState::pass_on(Link& l, const Acquire& m, uint32_t t) {
  Track& track = tracks[t];
  // Nobody may wait for a request that may itself have to wait as long: see candidates.cc.
  for (uint32_t a = track.asks.first; a != kNil; a = asks[a].of_track.next) {
    if (!asks[a].open() || asks[a].hop_limit < m.hop_limit || !config.rules.loop_check) continue;
    // Two that ask each other: one of them has to do without the other, and at once.
    if (asks[a].link == l.id && config.id < l.node) {
      counters.add(MeshCounter::requests_looped);
      answer_negative(l, m, {Outcome::loop});
    } else {
      busy(l, m.request_id);
    }
    return true;
  }
  Nanos nearest = core::kNever;
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  for (uint32_t i = 0; i < n; ++i) {
    const Link& there = links[locations[order[i]].link];
    if (there.id != l.id && there.can_ask()) nearest = std::min(nearest, there.rtt.smoothed());
  }
  const bool under_way = track.phase == Phase::kSearching || track.feed_state == FeedState::kWatching;
  if (nearest == core::kNever && !under_way) return false;
  const Nanos budget = core::from_us(m.budget_us);
  if (nearest != core::kNever && budget < nearest) {
    answer_negative(l, m, {Outcome::deadline});
    return true;
  }
  const uint32_t s = new_serve(l, m, t);
  if (s == kNil) return true;
  counters.add(MeshCounter::requests_relayed);
  // Who feeds us, or them, has lost its own feed: what we have is of no use, and another way may be. So may a
  // shorter one.
  if (loops_back(track, l.node) || too_far(track)) track.doubted = true;
  track.search_deadline = std::max(track.search_deadline, serves[s].deadline);
  track.joined = now;
  serves[s].renew_at = now;
  set_serve(s, ServeState::kWaiting);
  mark(t);
  return true;
}

// Answered BUSY from a small list; beyond that the peer's next attempt gets an answer.
void MeshState::busy(Link& l, uint64_t request_id) {
  if (l.busy_count < l.busy.size()) l.busy[l.busy_count++] = request_id;
}

uint32_t MeshState::new_serve(Link& l, const Acquire& m, uint32_t t) {
  const uint32_t s = serves.allocate();
  if (s == kNil) {
    busy(l, m.request_id);
    return kNil;
  }
  Serve& serve = serves[s];
  serve.link = l.id;
  serve.id = m.request_id;
  serve.track_id = m.track;
  serve.label = m.label;
  serve.core = m.owner_core;
  serve.hop_limit = m.hop_limit;
  serve.believed = m.believed_generation;
  serve.deadline = now + core::from_us(m.budget_us);
  serve.path = m.path;
  serve.path_length = m.path_length;
  if (t == kNil) return s;
  serve.track = t;
  serve.view = l.view;
  List<&Serve::of_track>::push_back(serves, tracks[t].serves, s);
  List<&Serve::of_link>::push_back(serves, l.serves, s);
  return s;
}

// At most one per link.
uint32_t MeshState::find_serve(uint32_t t, LinkId link) const {
  uint32_t s = tracks[t].serves.first;
  const auto over = [](const Serve& serve) {
    return serve.state == ServeState::kRemove || serve.state == ServeState::kEnded ||
           serve.state == ServeState::kNegative;
  };
  while (s != kNil && (serves[s].link != link || over(serves[s]))) s = serves[s].of_track.next;
  return s;
}

void MeshState::answer_negative(Link& l, const Acquire& m, const Denial& denial) {
  if (!config.rules.negative_answers) return;
  const uint32_t s = new_serve(l, m, kNil);
  if (s == kNil) return;
  Serve& serve = serves[s];
  serve.outcome = denial.outcome;
  const bool absent = denial.outcome == Outcome::not_here || denial.outcome == Outcome::gone;
  serve.authoritative = absent && denial.certain;
  serve.generation = denial.generation;
  serve.node = denial.node;
  serve.lack = denial.lack;
  set_serve(s, ServeState::kNegative);
}

void MeshState::on_release_request(Link& l, const Release& m) {
  const uint32_t t = find_track(m.track);
  const uint32_t s = t == kNil ? kNil : find_serve(t, l.id);
  if (s == kNil || serves[s].id != m.request_id) return;
  // Who feeds us asks no longer where else it is: it has found it, or will say that the feed is over.
  if (serves[s].state == ServeState::kWaiting && feeds(tracks[t], l.id)) tracks[t].doubted = false;
  set_serve(s, ServeState::kRemove);
  mark(t);
}

// ---- as the track stands

// From the publication, or from the feed. kNil: there was no record for it.
void MeshState::add_serve(uint32_t s) {
  if (s == kNil) return;
  Serve& serve = serves[s];
  const Track& track = tracks[serve.track];
  const Publication* publication = source_publication(track);
  serve.flow = publication != nullptr ? publication->flow : track.flow;
  serve.carried = publication == nullptr;
  set_serve(s, ServeState::kAdd);
  if (serve.carried) ++tracks[serve.track].fed_serves;
}

// Shows the peers that wait the present state: at most one per link.
void MeshState::settle_serves(uint32_t t) {
  const Track& track = tracks[t];
  const bool published = source_publication(track) != nullptr;
  const bool fed_well = track.feed_state == FeedState::kEstablished && !wants_replacement(track);
  for (uint32_t s = track.serves.first, next = kNil; s != kNil && track.waiting_serves > 0; s = next) {
    next = serves[s].of_track.next;
    if (serves[s].state != ServeState::kWaiting) continue;
    const auto other =
        published || fed_well ? other_epoch(serves[s].believed, generation_here(t)) : std::nullopt;
    if (other) {
      deny(s, *other);
    } else if (published) {
      add_serve(s);
    } else if (fed_well && loops_back(track, links[serves[s].link].node)) {
      deny(s, {Outcome::loop});
    } else if (fed_well && too_far(track)) {
      deny(s, {Outcome::not_here});
    } else if (fed_well) {
      add_serve(s);
    } else if (track.phase == Phase::kConcluding) {
      deny(s, passed_on(track.verdict));
    }
  }
}

// What we found, as our answer. What is known only here is not an answer: for the asker it is that we could
// not say within its budget.
MeshState::Denial MeshState::passed_on(const Verdict& verdict) const {
  switch (verdict.outcome) {
    case Outcome::not_here:
    case Outcome::gone:
    case Outcome::busy:
    case Outcome::loop:
      return {verdict.outcome};
    case Outcome::local_limit:
      return {Outcome::busy};
    default:
      return {Outcome::deadline};
  }
}

// A peer that waited, or is served, is told no.
void MeshState::deny(uint32_t s, const Denial& denial) {
  Serve& serve = serves[s];
  serve.outcome = denial.outcome;
  serve.authoritative = false;
  serve.generation = denial.generation;
  serve.node = denial.node;
  set_serve(s, ServeState::kNegative);
  unhook_serve(s);
}

// Out of its track's list: the track no longer concerns it.
void MeshState::unhook_serve(uint32_t s) {
  Serve& serve = serves[s];
  if (serve.track == kNil) return;
  Track& track = tracks[serve.track];
  if (serve.carried) --track.fed_serves;
  serve.carried = false;
  List<&Serve::of_track>::remove(serves, track.serves, s);
  mark(serve.track);
  serve.track = kNil;
}

// The flow that `carried` serves are on, or the publication's, is closed: the data core forgets its outputs.
void MeshState::end_serves(uint32_t t, bool carried, Outcome reason, uint64_t generation) {
  for (uint32_t s = tracks[t].serves.first, next = kNil; s != kNil; s = next) {
    next = serves[s].of_track.next;
    Serve& serve = serves[s];
    if (serve.state == ServeState::kWaiting || serve.carried != carried) continue;
    if (serve.has_output) {
      serve.has_output = false;
      --outputs_used[serve.flow.core.value];
      --served;
    }
    if (serve.state == ServeState::kAdd || serve.state == ServeState::kServed) {
      serve.outcome = reason;
      serve.generation = generation;
      set_serve(s, serve.told_ok ? ServeState::kEnded : ServeState::kNegative);
    }
    unhook_serve(s);
  }
}

// The publication that it is served from is no longer the newest.
void MeshState::move_serve(uint32_t s, uint64_t generation) {
  Serve& serve = serves[s];
  if (serve.state != ServeState::kAdd && serve.state != ServeState::kServed) return;
  serve.outcome = Outcome::moved;
  serve.generation = generation;
  serve.node = tracks[serve.track].ended_by;
  // It stays in the track's list until its output is gone.
  set_serve(s, serve.told_ok ? ServeState::kEnded : ServeState::kNegative);
}

// What OK said is no longer how it is (flowing, path): it is said again.
void MeshState::tell_serves(uint32_t t) {
  for (uint32_t s = tracks[t].serves.first; s != kNil; s = serves[s].of_track.next) {
    if (serves[s].state == ServeState::kServed) set_serve(s, ServeState::kAdd);
  }
}

void MeshState::set_serve(uint32_t s, ServeState state) {
  Serve& serve = serves[s];
  Link& l = links[serve.link];
  if (serve.track != kNil) {
    Track& track = tracks[serve.track];
    if (serve.state == ServeState::kWaiting) --track.waiting_serves;
    if (state == ServeState::kWaiting) ++track.waiting_serves;
  }
  if (state != ServeState::kWaiting) wheel.cancel(serve_timer(s));
  if (state == ServeState::kEnded) remember_ended(l, serve);
  serve.state = state;
  if (state != ServeState::kAdd && state != ServeState::kWaiting) {
    List<&Serve::of_link>::remove(serves, l.serves, s);
  }
  if (state != ServeState::kRemove) return queue_serve(s);
  // It needs nothing of the stream: not even a link that is up.
  List<&Serve::queue>::remove(serves, l.serve_work, s);
  List<&Serve::queue>::insert_before(serves, l.serve_work, s, l.serve_work.first);
}

// The most urgent first.
void MeshState::queue_serve(uint32_t s) {
  Serve& serve = serves[s];
  if (serve.queue.linked) return;
  ListHead& work = links[serve.link].serve_work;
  const auto later = [&](const Serve& other) { return other.deadline > serve.deadline; };
  const uint32_t before = List<&Serve::queue>::place(serves, work, kNil, later);
  List<&Serve::queue>::insert_before(serves, work, s, before);
}

void MeshState::serve_due(uint32_t s) {
  Serve& serve = serves[s];
  if (serve.state != ServeState::kWaiting) return;
  if (now >= serve.deadline && config.rules.deadlines) return deny(s, {Outcome::deadline});
  serve.renew_at = now;
  queue_serve(s);
}

void MeshState::forget_serve(uint32_t s) {
  Serve& serve = serves[s];
  Link& l = links[serve.link];
  wheel.cancel(serve_timer(s));
  List<&Serve::queue>::remove(serves, l.serve_work, s);
  List<&Serve::of_link>::remove(serves, l.serves, s);
  unhook_serve(s);
  serves.release(s);
}

}  // namespace trunkline::relay::mesh
