// What is the one cause? Decided here, from the facts alone, in the order in which a packet's absence is
// explained: the track is published here; or a peer feeds it; or one is said to have it; or nobody is.
#include "relay/explain.h"

#include <algorithm>

#include "relay/explain_facts.h"

namespace trunkline::relay {

namespace {

struct CauseWords {
  const char* name;
  const char* text;
};
constexpr CauseWords kCauses[] = {
#define X(name, label, text) {label, text},
    TRUNKLINE_CAUSES(X)
#undef X
};
static_assert(std::size(kCauses) == static_cast<size_t>(Cause::kCount));

// A round trip, its echo and a bit: a peer that takes longer is not merely far away.
bool overdue(const Explanation& e, const Attempt& attempt) {
  const PeerView* peer = find_peer(e, attempt.node);
  const int64_t p99_us = peer != nullptr ? peer->link.rtt_p99_us : 0;
  return e.now - attempt.asked > std::max(core::from_ms(15), core::from_us(2 * p99_us) + core::from_ms(10));
}

Cause cause_of(Outcome answered) {
  switch (answered) {
    case Outcome::not_here:
    case Outcome::gone:
      return Cause::gone;
    case Outcome::draining:
      return Cause::draining;
    case Outcome::busy:
      return Cause::busy;
    case Outcome::unauthorized:
      return Cause::unauthorized;
    case Outcome::stale_epoch:
    case Outcome::future_epoch:
      return Cause::epoch;
    case Outcome::loop:
      return Cause::loop;
    case Outcome::stalled:
      return Cause::stalled;
    case Outcome::deadline:
      return Cause::upstream_late;
    case Outcome::local_limit:
      return Cause::local_limit;
    default:
      return Cause::failed;
  }
}

Reason unreachable(const PeerView& peer) {
  const bool refused = peer.link.state == LinkState::kIncompatible;
  return {refused ? Cause::refused : Cause::link_down, peer.link.node, Outcome::ok};
}

// Asked, and no answer yet.
Reason unanswered(const Explanation& e, const Attempt& attempt) {
  const PeerView* peer = find_peer(e, attempt.node);
  if (peer != nullptr && peer->link.state != LinkState::kUp) return unreachable(*peer);
  if (peer != nullptr && peer->link.ejected) return {Cause::ejected, attempt.node, Outcome::no_reply};
  if (is_wanted(e) && attempt.pending) return {Cause::pending, attempt.node, Outcome::ok};
  if (is_wanted(e) && !overdue(e, attempt)) return {Cause::asking, attempt.node, Outcome::ok};
  return {Cause::silent, attempt.node, Outcome::no_reply};
}

// `peer` is said to have the track: why does it not come from there?
Reason of_named(const Explanation& e, const PeerView& peer) {
  const core::NodeId node = peer.link.node;
  if (peer.link.state != LinkState::kUp) {
    // Another peer may be asking on our behalf.
    for (const Attempt& attempt : requests(e).attempts) {
      if (is_wanted(e) && attempt.pending && !attempt.answered)
        return {Cause::pending, attempt.node, Outcome::ok};
    }
    return unreachable(peer);
  }
  const Attempt* attempt = find_attempt(e, node);
  if (peer.link.ejected) {
    const bool answered = attempt != nullptr && attempt->answered;
    return {Cause::ejected, node, answered ? attempt->outcome : Outcome::no_reply};
  }
  const Reason idle{is_wanted(e) ? Cause::asking : Cause::not_wanted, node, Outcome::ok};
  if (attempt == nullptr) return idle;
  if (!attempt->answered) return unanswered(e, *attempt);
  if (attempt->outcome == Outcome::ok || attempt->outcome == Outcome::moved) return idle;
  // It has been announced since it said no.
  if (attempt->says_no() && !peer.hint) return idle;
  return {cause_of(attempt->outcome), node, attempt->outcome};
}

// Of those that the media comes through, the publisher first, whom this node has lost. A peer further up may
// be well linked to the next one; then packets come, or it says that the track is muted.
const PeerView* lost_on_the_way(const Explanation& e) {
  const auto lost = [&e](core::NodeId node) -> const PeerView* {
    const PeerView* peer = find_peer(e, node);
    return peer != nullptr && peer->link.state != LinkState::kUp ? peer : nullptr;
  };
  if (const PeerView* feed = lost(e.feed)) return feed;
  if (!e.said_flowing) return nullptr;
  for (uint32_t i = 0; i < std::min<uint32_t>(e.path_length, static_cast<uint32_t>(e.path.size())); ++i) {
    if (const PeerView* peer = lost(e.path[i])) return peer;
  }
  return nullptr;
}

// Nobody announces it: did somebody feed it whose link is down now?
const PeerView* lost_holder(const Explanation& e) {
  for (const Flight& flight : e.flights()) {
    const bool named = flight.outcome == Outcome::ok || flight.outcome == Outcome::link_down;
    const PeerView* peer = named && !flight.local ? find_peer(e, flight.node) : nullptr;
    if (peer != nullptr && peer->link.state != LinkState::kUp) return peer;
  }
  return nullptr;
}

// All who were asked have said no, or nobody was asked.
Reason of_absent(const Explanation& e) {
  const PeerView* holder = lost_holder(e);
  if (holder != nullptr) return unreachable(*holder);
  if (const PeerView* peer = find_refused(e)) return {Cause::refused, peer->link.node, Outcome::ok};
  if (e.peers_up == 0) return {Cause::isolated, {}, Outcome::ok};
  const Requests asked = requests(e);
  for (const Attempt& attempt : asked.attempts) {
    if (attempt.answered && (attempt.outcome == Outcome::gone || attempt.outcome == Outcome::ok))
      return {Cause::gone, attempt.node, attempt.outcome};
  }
  if (asked.peers == 0) {
    if (e.published == PublishedHere::kGone) return {Cause::gone, e.self, Outcome::gone};
    return {Cause::unknown, {}, Outcome::ok};
  }
  return {e.peers_up < e.peers ? Cause::partly_absent : Cause::absent, {}, Outcome::not_here};
}

Reason of_unnamed(const Explanation& e) {
  const Attempt* refusal = nullptr;
  const Attempt* open = nullptr;  // the one that is longest without an answer
  for (const Attempt& attempt : requests(e).attempts) {
    if (!attempt.answered && (open == nullptr || attempt.asked < open->asked)) open = &attempt;
    const bool yes = attempt.outcome == Outcome::ok || attempt.outcome == Outcome::moved;
    if (attempt.answered && !yes && !attempt.says_no()) refusal = &attempt;
  }
  if (open != nullptr && (is_wanted(e) || refusal == nullptr)) return unanswered(e, *open);
  if (refusal != nullptr) return {cause_of(refusal->outcome), refusal->node, refusal->outcome};
  if (e.flight_count > 0 && e.flight[0].outcome == Outcome::local_limit)
    return {Cause::local_limit, {}, Outcome::local_limit};
  if (e.search == SearchState::kSearching && requests(e).peers == 0 && e.peers_up > 0)
    return {Cause::asking, {}, Outcome::ok};
  return of_absent(e);
}

}  // namespace

const char* cause_name(Cause cause) noexcept {
  return cause < Cause::kCount ? kCauses[static_cast<size_t>(cause)].name : "?";
}
const char* cause_text(Cause cause) noexcept {
  return cause < Cause::kCount ? kCauses[static_cast<size_t>(cause)].text : "?";
}

Reason find_reason(const Explanation& e) {
  if (e.published == PublishedHere::kOpening) return {Cause::opening, e.self, Outcome::ok};
  if (e.published == PublishedHere::kLive)
    return {packets_arrive(e) ? Cause::flows_here : Cause::muted_here, e.self, Outcome::ok};
  if (e.search == SearchState::kWatching && !packets_arrive(e)) return {Cause::starting, e.feed, Outcome::ok};
  if (e.search == SearchState::kWatching || e.search == SearchState::kEstablished) {
    const PeerView* cut = lost_on_the_way(e);
    // Media may outlive its link. What came before the link went down does not show that it does.
    const bool proven = cut == nullptr || !e.flow.answered || e.now - e.flow.last_packet < kProvesFlowing;
    if (packets_arrive(e) && proven) return {Cause::flows, e.feed, Outcome::ok};
    if (cut != nullptr) return {Cause::feed_cut, cut->link.node, Outcome::ok};
    return {Cause::muted, e.feed, Outcome::ok};
  }
  // Refused before anybody was asked: by this node's own certificate.
  if (e.flight_count > 0 && e.flight[0].outcome == Outcome::unauthorized && e.flight[0].node.value == 0)
    return {Cause::unauthorized, e.self, Outcome::unauthorized};
  if (e.peers == 0) return {Cause::no_peers, {}, Outcome::ok};
  for (const PeerView& peer : e.shown_peers()) {
    if (peer.located) return of_named(e, peer);
  }
  return of_unnamed(e);
}

// ---- looking into the facts

Requests requests(const Explanation& e) {
  const std::span<const Attempt> present = e.attempts.of(e.track);
  if (!present.empty()) return {present, e.attempts.peers_asked(), e.attempts.peers_without()};
  if (e.flight_count == 0) return {};
  const Flight& last = e.flight[0];
  return {last.asked(), last.peers_asked, last.peers_without};
}

const PeerView* find_peer(const Explanation& e, core::NodeId node) {
  for (const PeerView& peer : e.shown_peers()) {
    if (peer.link.node == node) return &peer;
  }
  return nullptr;
}

const PeerView* find_refused(const Explanation& e) {
  for (const PeerView& peer : e.shown_peers()) {
    if (peer.link.state == LinkState::kIncompatible) return &peer;
  }
  return nullptr;
}

const Attempt* find_attempt(const Explanation& e, core::NodeId node) {
  for (const Attempt& attempt : requests(e).attempts) {
    if (attempt.node == node) return &attempt;
  }
  return nullptr;
}

Nanos last_answer(const Explanation& e) {
  Nanos last{-1};
  for (const Attempt& attempt : requests(e).attempts) {
    if (attempt.answered) last = std::max(last, attempt.asked + attempt.answered_after);
  }
  return last;
}

bool is_wanted(const Explanation& e) {
  return e.waiting > 0;
}

bool packets_arrive(const Explanation& e) {
  if (e.flow.answered) return e.flow.last_packet.ns >= 0 && e.now - e.flow.last_packet < kFlowing;
  return e.published == PublishedHere::kLive ? e.publisher_sends
                                             : e.search == SearchState::kEstablished && e.said_flowing;
}

}  // namespace trunkline::relay
