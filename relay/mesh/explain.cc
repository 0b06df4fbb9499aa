// What the mesh knows about one track, collected for whoever asks why it does (not) flow; and what it writes
// into the flight recorder. Reading only: nothing here changes a record, and nothing judges (relay/explain.cc
// does).
#include <algorithm>
#include <cstdio>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

// ---- the flight recorder

// At the one terminal outcome. What the event does not say stands in the waiter, which is still there unless
// it never got a record.
void MeshState::record_flight(const HostEvent& e) {
  Flight flight;
  flight.track = e.track;
  flight.handle = e.handle;
  flight.queue = e.queue;
  flight.submitted = now - e.elapsed;
  flight.elapsed = e.elapsed;
  flight.outcome = e.outcome;
  flight.node = e.node;
  flight.generation = e.generation;
  flight.authoritative = e.authoritative;
  flight.flowing = e.flowing;
  flight.local = e.local;
  const auto waiter = handle_table.find(handle_key(kWaiterHandle, e.queue, e.handle));
  if (waiter && tracks[waiters[*waiter].track].id == e.track)
    flight.deadline = waiters[*waiter].deadline - waiters[*waiter].submitted;
  if (const uint32_t t = find_track(e.track); t != kNil) flight.set_attempts(attempt_logs[t]);
  flights.record(flight);
}

// ---- an explanation

void MeshState::explain(Nanos at, const core::TrackId& id, Explanation& e) const {
  e = Explanation{};
  e.track = id;
  e.now = std::max(now, at);
  e.self = config.id;
  e.draining = draining;
  e.flight_count = flights.copy(UINT64_MAX, id, e.flight);
  const uint32_t t = find_track(id);
  if (t != kNil) explain_track(t, e);
  explain_peers(t, e);
}

void MeshState::explain_track(uint32_t t, Explanation& e) const {
  const Track& track = tracks[t];
  e.attempts = attempt_logs[t];
  if (track.publication != kNil) {
    const Publication& p = publications[track.publication];
    e.published = p.state == PublicationState::kLive      ? PublishedHere::kLive
                  : p.state == PublicationState::kOpening ? PublishedHere::kOpening
                                                          : PublishedHere::kGone;
    e.generation = p.generation;
    e.publisher_sends = p.flowing;
    e.tap = p.address;
  }
  e.asking_for = track.waiting_serves;
  for (uint32_t s = track.serves.first; s != kNil; s = serves[s].of_track.next)
    e.served += serves[s].has_output ? 1 : 0;
  e.waiters = track.waiters.size;
  e.waiting = track.pending;
  e.deadline = track.search_deadline;
  for (uint32_t w = track.waiters.first; w != kNil; w = waiters[w].of_track.next)
    e.fed += waiters[w].fed_by != FedBy::kNobody ? 1 : 0;
  // A feed says more than a search that goes on behind it.
  const bool fed_now = track.feed_state != FeedState::kNone;
  if (fed_now) {
    const bool watching = track.feed_state == FeedState::kWatching;
    e.search = watching ? SearchState::kWatching : SearchState::kEstablished;
  } else if (track.phase == Phase::kSearching) {
    e.search = SearchState::kSearching;
  } else {
    e.search = track.phase == Phase::kRendezvous ? SearchState::kRendezvous : SearchState::kQuiet;
  }
  if (fed_now) {
    const Ask& feed = asks[track.feed];
    e.feed = links[feed.link].node;
    e.said_flowing = feed.flowing;
    e.replacing = track.phase == Phase::kSearching;
    e.path_length = track.path_length;
    std::copy_n(track.path.begin(), std::min<size_t>(track.path_length, e.path.size()), e.path.begin());
    e.generation = track.generation;
  }
  const bool here = e.published == PublishedHere::kLive;
  const Flow flow = here ? publications[track.publication].flow : fed_now ? track.flow : Flow{};
  if (!flow.open()) return;
  e.flow.open = true;
  e.flow.core = flow.core;
  e.flow.flow = flow.id;
  e.flow.label = flow.label;
}

PeerView MeshState::view_of(const Link& l, uint32_t t) const {
  PeerView view;
  view.link.node = l.node;
  view.link.state = l.shown;
  view.link.incarnation = l.incarnation;
  view.link.rtt_us = l.rtt.known() ? static_cast<uint32_t>(l.rtt.smoothed().us()) : 0;
  view.link.rtt_p99_us = static_cast<uint32_t>(l.rtt.p99().us());
  view.link.since = l.since;
  view.link.ejected = l.health.ejected();
  view.link.probe_at = l.health.probe_at();
  if (l.incompatible) view.link.text = l.text;
  std::snprintf(view.name.data(), view.name.size(), "%s", config.peers[l.id].name.c_str());
  if (l.active >= 0) view.heard = l.heard;
  view.deaf = l.deaf;
  view.role_text = l.role_text;
  const uint32_t loc = t == kNil ? kNil : find_location(t, l.id);
  if (loc == kNil) return view;
  const Location& location = locations[loc];
  view.located = location.hint || location.view >= l.view_valid;
  view.hint = location.hint;
  view.told = location.told;
  view.generation = location.generation;
  view.incarnation = location.incarnation;
  return view;
}

// Those that matter first: named, feeding, asked, unreachable, the rest; of each kind in the order of the
// configuration, the named ones by their epoch.
void MeshState::explain_peers(uint32_t t, Explanation& e) const {
  std::array<uint8_t, kPeersExplained> ranks;
  const auto rank_of = [&](const PeerView& view) -> uint8_t {
    if (view.located) return view.hint ? 1 : 0;
    if (view.link.node == e.feed) return 2;
    for (const Attempt& attempt : e.attempts.of(e.track)) {
      if (attempt.node == view.link.node) return 3;
    }
    if (e.flight_count > 0 && e.flight[0].node == view.link.node) return 3;
    return view.link.state == LinkState::kUp ? 5 : 4;
  };
  const auto newer = [](const PeerView& a, const PeerView& b) {
    return core::Epoch{a.generation, a.incarnation, a.link.node} >
           core::Epoch{b.generation, b.incarnation, b.link.node};
  };
  for (const Link& l : links) {
    const PeerView view = view_of(l, t);
    ++e.peers;
    e.peers_up += view.link.state == LinkState::kUp ? 1 : 0;
    e.peers_refused += view.link.state == LinkState::kIncompatible ? 1 : 0;
    const uint8_t rank = rank_of(view);
    uint32_t at = e.peer_count;
    while (at > 0 &&
           (rank < ranks[at - 1] || (rank == 0 && ranks[at - 1] == 0 && newer(view, e.peer[at - 1]))))
      --at;
    if (at == kPeersExplained) continue;
    if (e.peer_count < kPeersExplained) ++e.peer_count;
    for (uint32_t i = e.peer_count - 1; i > at; --i) {
      e.peer[i] = e.peer[i - 1];
      ranks[i] = ranks[i - 1];
    }
    e.peer[at] = view;
    ranks[at] = rank;
  }
}

}  // namespace trunkline::relay::mesh
