// What peers answer to our requests.
//
// The first OK wins; whoever else was asked is released at once, answered or not. A late answer is as good as
// an early one: an attempt whose time is over was only the sign to try the next candidate as well.
//
// What may be believed: an OK of a generation older than one that is announced is refused (a zombie's), and
// so is media whose path contains this node, and behind a feed every other publication. MOVED and the like
// are followed at most twice per search.
#include <algorithm>
#include <utility>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr uint8_t kMaxRedirects = 2;                // answers that send us elsewhere, per search
constexpr uint8_t kMaxLater = 2;                    // FUTURE_EPOCHs of one peer
constexpr uint8_t kMaxBusyRelay = 4;                // BUSYs of one peer that is to ask further
constexpr Nanos kBehind = core::from_ms(20);        // how long a peer that is behind gets to catch up
constexpr Nanos kPendingSlack = core::from_ms(10);  // beyond next_by and what round trips vary

// Nodes that cannot hear of each other may each publish a track with the same generation: a publication is
// told from another by both, its generation and where its media begins.
core::NodeId publisher(std::span<const core::NodeId> path) {
  return path.empty() ? core::NodeId{} : path.front();
}

}  // namespace

uint32_t MeshState::find_ask_by_id(const Link& l, uint64_t id) const {
  const auto a = static_cast<uint32_t>(id & 0xffffff);
  return a < asks.capacity() && asks[a].id == id && asks[a].link == l.id ? a : kNil;
}

void MeshState::on_answer(Link& l, const Answer& m) {
  counters.add(MeshCounter::answers_received);
  if (l.health.answered()) returned(l);
  const uint32_t a = find_ask_by_id(l, m.request_id);
  const bool ok = m.outcome == Outcome::ok && !m.pending;
  if (a == kNil || asks[a].track == kNil) {
    // Its Release is under way, or was sent before this answer could be read: in order, so it undoes it.
    if (ok) counters.add(MeshCounter::answers_late);
    return;
  }
  Ask& asked = asks[a];
  const uint32_t t = asked.track;
  mark(t);
  if (m.pending) return pending_answer(a, m);
  if (!config.rules.rtt_timers && asked.state == AskState::kWaiting && overdue(asked)) return;
  switch (asked.state) {
    case AskState::kNegative:
      return;
    case AskState::kOk:
      return ok_again(a, m);
    case AskState::kWaiting:
    case AskState::kBusy:
      break;
  }
  attempt_logs[t].answered(asked.track_id, l.node, m.outcome, now);
  if (!ok) return negative_answer(a, m);
  if (const Outcome refused = fence(t, l, m); refused != Outcome::ok) {
    if (refused == Outcome::unauthorized) {
      refuse_feed(l, m.nodes());
      attempt_logs[t].answered(asked.track_id, l.node, refused, now);
    } else {
      counters.add(MeshCounter::answers_fenced);
    }
    refuse_answer(a, refused);
    if (refused == Outcome::moved) over(tracks[t].feed, refused, l.node);
    return;
  }
  // The yes of a peer that was ejected waits for a better one (take_reserve).
  const bool reserve = l.health.ejected() && !asked.probe;
  if (tracks[t].winner != kNil || (reserve && find_reserve(t) != kNil)) return drop_ask(t, a);
  asked.state = AskState::kOk;
  asked.queued = false;
  asked.incarnation = l.incarnation;
  asked.generation = m.generation;
  take_details(asked, m);
  Track& track = tracks[t];
  if (!reserve) track.winner = a;
  track.descriptor_bytes = static_cast<uint16_t>(std::min<size_t>(m.descriptor.size(), kMaxDescriptorBytes));
  std::copy_n(m.descriptor.begin(), track.descriptor_bytes, received_descriptor[t].begin());
}

void MeshState::take_details(Ask& asked, const Answer& m) {
  asked.feedback_label = m.feedback_label;
  asked.feedback_core = m.core;
  asked.flowing = m.flowing;
  asked.path = m.path;
  asked.path_length = m.path_length;
}

// Asking further: the attempt is measured anew, the deadline stays. Who does not renew it is silent.
void MeshState::pending_answer(uint32_t a, const Answer& m) {
  counters.add(MeshCounter::pendings_received);
  Ask& asked = asks[a];
  if (asked.state != AskState::kWaiting) return;
  const RoundTrip& rtt = links[asked.link].rtt;
  asked.pending = true;
  asked.until = now + core::from_us(m.next_by_us) + (rtt.p99() - rtt.smoothed()) + kPendingSlack;
  attempt_logs[asked.track].pending(asked.track_id, links[asked.link].node);
}

// What is wrong with the way that the media takes: the peer may not offer it, it comes through this node, or
// over more links than a packet may cross, so that nothing can arrive. OK: nothing is.
Outcome MeshState::refused_path(const Link& l, const Answer& m) const {
  if (!may_feed(l, m.nodes())) return Outcome::unauthorized;
  if (!config.rules.loop_check) return Outcome::ok;
  if (passes(m.nodes(), config.id)) return Outcome::loop;
  return m.nodes().size() > kPublishedTtl ? Outcome::not_here : Outcome::ok;
}

// Why this OK cannot be taken; OK: it can.
Outcome MeshState::fence(uint32_t t, const Link& l, const Answer& m) const {
  if (const Outcome refused = refused_path(l, m); refused != Outcome::ok) return refused;
  if (config.rules.epochs && m.generation < newest_announced(t)) return Outcome::stale_epoch;
  const Track& track = tracks[t];
  if (track.feed_state == FeedState::kNone) return Outcome::ok;
  // Behind a feed only the same publication will do: the hosts know its descriptor, and what they got of it
  // may be newer. What feeds them is of no use and another is to be had: they are told who has it, and
  // acquire that.
  if (m.generation < track.generation) return Outcome::stale_epoch;
  const bool same = m.generation == track.generation && publisher(m.nodes()) == publisher(track.feed_path());
  return same ? Outcome::ok : Outcome::moved;
}

// An OK that is not wanted: for the search it is a no, and the peer is told.
void MeshState::refuse_answer(uint32_t a, Outcome outcome) {
  Ask& asked = asks[a];
  asked.state = AskState::kNegative;
  asked.outcome = outcome;
  release_ask(a);
}

// The answer to a request that was asked again in a new session, or news about what is being sent. The same
// publication as before goes on without a gap.
void MeshState::ok_again(uint32_t a, const Answer& m) {
  Ask& asked = asks[a];
  Track& track = tracks[asked.track];
  const bool ok = m.outcome == Outcome::ok;
  Link& l = links[asked.link];
  const Outcome refused = ok ? refused_path(l, m) : Outcome::ok;
  const bool same = ok && m.generation == asked.generation &&
                    publisher(m.nodes()) == publisher({asked.path.data(), asked.path_length});
  // A way that became too long carries nothing, and may be short again in a moment: whoever has the track
  // keeps it while another way is sought, as long as the next node's path has room for this
  // one.
  const bool too_long = same && refused == Outcome::not_here;
  const bool kept = too_long && a == track.feed && track.feed_state == FeedState::kEstablished &&
                    m.nodes().size() + 1 < kMaxPath;
  if (!same || (refused != Outcome::ok && !kept)) {
    if (!ok) unlink_ask(a);  // it does not know of us: nothing to release
    const bool looped = refused == Outcome::loop;
    if (looped) counters.add(MeshCounter::feeds_looped);
    if (refused == Outcome::unauthorized) {
      refuse_feed(l, m.nodes());
      return over(a, refused, {});
    }
    if (too_long) return over(a, Outcome::stalled, {});
    const bool is_gone = ok || m.outcome == Outcome::not_here || m.outcome == Outcome::stale_epoch;
    return over(a, looped ? Outcome::loop : is_gone ? Outcome::gone : m.outcome, m.node);
  }
  const bool relabelled = m.feedback_label != asked.feedback_label || m.core != asked.feedback_core;
  take_details(asked, m);
  if (a != track.feed) return;
  feed_changed(asked.track, relabelled);
  if (!kept) return;
  track.idle_while_flowing = true;
  track.replace_at = now;
}

// What answered OK does so no longer.
void MeshState::over(uint32_t a, Outcome reason, core::NodeId moved_to) {
  Ask& asked = asks[a];
  Track& track = tracks[asked.track];
  mark(asked.track);
  if (a == track.feed) {
    track.feed_over = true;
    track.ended = reason;
    track.ended_by = moved_to;
    return;
  }
  // Said yes and no in one breath, or before it was its turn.
  if (a == track.winner) track.winner = kNil;
  refuse_answer(a, reason);
}

void MeshState::on_ended(Link& l, const Ended& m) {
  const uint32_t a = find_ask_by_id(l, m.request_id);
  if (a == kNil || asks[a].track == kNil || asks[a].state != AskState::kOk || asks[a].label != m.label)
    return;
  unlink_ask(a);
  over(a, m.reason, {});
}

// ---- no

void MeshState::negative_answer(uint32_t a, const Answer& m) {
  Ask& asked = asks[a];
  Track& track = tracks[asked.track];
  asked.pending = false;
  asked.queued = false;
  // Two that ask each other to ask further refuse each other for as long as neither gives up.
  const bool in_vain = asked.hop_limit > 0 && config.rules.loop_check && ++asked.tries > kMaxBusyRelay;
  if (m.outcome == Outcome::busy && !in_vain) {
    asked.was_busy = true;
    // Half as much again at most, so that those who were refused together do not come back together.
    const uint64_t wait_us = m.retry_after_us + rng.below(m.retry_after_us / 2 + uint64_t{1});
    if (later(a, core::from_us(static_cast<int64_t>(wait_us)))) return;
  }
  // It has not yet heard what we have: the same request again, soon.
  if (m.outcome == Outcome::future_epoch && asked.tries < kMaxLater && later(a, kBehind)) {
    ++asked.tries;
    return;
  }
  const uint32_t loc = find_location(asked.track, asked.link);
  if (m.outcome == Outcome::stale_epoch && m.generation != 0 && track.redirects < kMaxRedirects) {
    // We had not yet heard what it has: once more, with what it says.
    ++track.redirects;
    counters.add(MeshCounter::redirects_followed);
    asked.believed = m.generation;
    rename_ask(a);
    return ask_again(a);
  }
  asked.state = AskState::kNegative;
  asked.outcome = m.outcome;
  unlink_ask(a);
  if (m.outcome == Outcome::unauthorized) {
    RoleText& text = links[asked.link].role_text;
    text = {};
    std::copy_n(m.text.begin(), std::min(m.text.size(), text.size() - 1), text.begin());
  }
  // The newest publisher knows. So does a node that only a hint names, once every peer has announced all it
  // has: whoever else had the track would have said so, and nobody has.
  const bool hinted = loc != kNil && locations[loc].hint;
  const bool alone = config.full_mesh && newest_announced(track) == 0 && all_views_complete();
  asked.authoritative = m.authoritative && asked.hop_limit == 0 && (asked.named || (hinted && alone));
  if (m.outcome == Outcome::moved || m.outcome == Outcome::draining) follow(a, m);
  const bool could_relay = m.outcome == Outcome::moved && leads_elsewhere(asked);
  if (could_relay && !may(links[asked.link], Role::kRelay)) counters.add(MeshCounter::relays_unauthorized);
  const bool elsewhere = m.outcome == Outcome::not_here || m.outcome == Outcome::gone ||
                         (m.outcome == Outcome::moved && asked.hop_limit == 0);
  if (elsewhere && hinted) drop_location(loc);
}

// It is to be asked again after a while. False: its answer would come after the deadline.
bool MeshState::later(uint32_t a, Nanos wait) {
  Ask& asked = asks[a];
  const Nanos back = std::as_const(links)[asked.link].rtt.smoothed();
  if (now + wait + back >= tracks[asked.track].search_deadline) return false;
  asked.state = AskState::kBusy;
  asked.until = now + wait;
  return true;
}

// Somebody else has it, or takes over: a candidate of this search.
void MeshState::follow(uint32_t a, const Answer& m) {
  Ask& asked = asks[a];
  Track& track = tracks[asked.track];
  if (m.node == config.id || m.node.value == 0) return;
  asked.moved_to = m.node;
  asked.moved_generation = m.generation;
  const Link* l = find_link(m.node);
  if (l == nullptr || track.redirects >= kMaxRedirects || find_ask(asked.track, l->id) != kNil) return;
  if (!tell_location(asked.track, l->id, m.generation)) return;
  ++track.redirects;
  counters.add(MeshCounter::redirects_followed);
}

}  // namespace trunkline::relay::mesh
