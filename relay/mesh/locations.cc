// Who has a track: what peers announce, what configuration and host hint at. A track's record, and when it
// goes.
//
// A location is stamped with the view of its link in which it was last said. When the peer's snapshot is
// complete, or the peer turns out to be another incarnation, all older stamps are dead at once; they are
// taken out of the lists a few per step (sweep), and nobody goes by them meanwhile.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

uint32_t MeshState::find_track(const core::TrackId& id) const {
  return track_table.find(id).value_or(kNil);
}

uint32_t MeshState::get_track(const core::TrackId& id) {
  if (const uint32_t found = find_track(id); found != kNil) return found;
  const uint32_t t = tracks.allocate();
  if (t != kNil && track_table.insert(id, t) == core::BoundedTable<>::Insert::kFull) {
    tracks.release(t);
    counters.add(MeshCounter::table_full);
    return kNil;
  }
  if (t == kNil) {
    counters.add(MeshCounter::table_full);
    return kNil;
  }
  tracks[t].id = id;
  return t;
}

void MeshState::free_track_if_idle(uint32_t t) {
  Track& track = tracks[t];
  if (!track.locations.empty() || track.publication != kNil || !track.waiters.empty() ||
      !track.asks.empty() || !track.serves.empty() || track.flow.open() || track.dirty.linked ||
      track.negative_until > now) {
    return;
  }
  wheel.cancel(waiters.capacity() + t);
  track_table.erase(track.id);
  tracks.release(t);
}

void MeshState::mark(uint32_t t) {
  if (!tracks[t].dirty.linked) List<&Track::dirty>::push_back(tracks, dirty, t);
}

uint32_t MeshState::find_location(uint32_t t, LinkId link) const {
  uint32_t loc = tracks[t].locations.first;
  while (loc != kNil && locations[loc].link != link) loc = locations[loc].of_track.next;
  return loc;
}

// Out of its link's list, and out of the way of whoever walks that list.
void MeshState::unlink_location(uint32_t loc) {
  const Location& location = locations[loc];
  Link& l = links[location.link];
  uint32_t& cursor = location.hint ? l.news_hint : l.news_location;
  if (cursor == loc) cursor = location.of_link.next;
  List<&Location::of_link>::remove(locations, location.hint ? l.hints : l.locations, loc);
}

void MeshState::drop_location(uint32_t loc) {
  Location& location = locations[loc];
  const uint32_t t = location.track;
  ++tracks[t].version;
  unlink_location(loc);
  List<&Location::of_track>::remove(locations, tracks[t].locations, loc);
  locations.release(loc);
  mark(t);  // a search that counted on it goes on, and an idle record goes
}

void MeshState::on_announce(Link& l, const Announce& m) {
  counters.add(MeshCounter::announcements_received);
  if (!config.rules.peer_locations) return;
  if (!may(l, Role::kPublish)) return missed_role(l, Role::kPublish, MeshCounter::announcements_unauthorized);
  const uint32_t t = get_track(m.track);
  if (t == kNil) return;
  Track& track = tracks[t];
  uint32_t loc = find_location(t, l.id);
  if (loc == kNil && track.locations.size == kMaxLocations) {
    std::array<uint32_t, kMaxLocations> order;
    const uint32_t n = candidates(t, order);
    const uint32_t least = n > 0 ? order[n - 1] : track.locations.first;
    if (n == kMaxLocations && locations[least].generation > m.generation) return;
    drop_location(least);
  }
  if (loc == kNil) {
    loc = locations.allocate();
    if (loc == kNil) {
      counters.add(MeshCounter::table_full);
      free_track_if_idle(t);
      return;
    }
    List<&Location::of_track>::push_back(locations, track.locations, loc);
  } else {
    unlink_location(loc);
  }
  List<&Location::of_link>::push_back(locations, l.locations, loc);
  Location& location = locations[loc];
  const bool news = location.generation != m.generation || location.incarnation != l.incarnation;
  location.track = t;
  location.link = l.id;
  location.hint = location.told = false;
  location.traffic_class = m.traffic_class;
  location.generation = m.generation;
  location.incarnation = l.incarnation;
  location.view = l.view;
  track.highest_generation = std::max(track.highest_generation, m.generation);
  if (!news) return;
  ++track.version;
  // Who said no before it had the track may say yes now.
  if (const uint32_t a = find_ask(t, l.id); a != kNil && asks[a].state == AskState::kNegative) {
    drop_ask(t, a);
  }
  supersede(t, m.generation, l.node);
  track.news = true;
  mark(t);
}

// A newer publication exists elsewhere: what is older here is not forwarded any more, and its subscribers
// are told who has the track now.
void MeshState::supersede(uint32_t t, uint64_t generation, core::NodeId node) {
  Track& track = tracks[t];
  if (!config.rules.epochs) return;
  if (track.feed_state != FeedState::kNone && generation > track.generation && !track.feed_over) {
    counters.add(MeshCounter::feeds_superseded);
    track.feed_over = true;
    track.ended = Outcome::moved;
    track.ended_by = node;
  }
  const Publication* publication = live_publication(track);
  if (publication == nullptr || generation <= publication->generation) return;
  counters.add(MeshCounter::feeds_superseded);
  track.ended = Outcome::moved;
  track.ended_by = node;
  track.settle_left = track.waiters.size;
  for (uint32_t s = track.serves.first, next = kNil; s != kNil; s = next) {
    next = serves[s].of_track.next;
    if (!serves[s].carried && serves[s].state != ServeState::kWaiting) move_serve(s, generation);
  }
}

// The publication that is served and acquired here: live, and nobody announces a newer one.
const Publication* MeshState::source_publication(const Track& track) const {
  if (track.publication == kNil) return nullptr;
  const Publication& publication = publications[track.publication];
  if (publication.state != PublicationState::kLive) return nullptr;
  const bool superseded = config.rules.epochs && newest_announced(track) > publication.generation;
  return superseded ? nullptr : &publication;
}

// The newest generation that a peer says it has; 0: none does.
uint64_t MeshState::newest_announced(const Track& track) const {
  uint64_t newest = 0;
  for (uint32_t loc = track.locations.first; loc != kNil; loc = locations[loc].of_track.next) {
    const Location& location = locations[loc];
    const bool dead = location.view < links[location.link].view_valid;
    if (!location.hint && !dead) newest = std::max(newest, location.generation);
  }
  return newest;
}

void MeshState::on_withdraw(Link& l, const Withdraw& m) {
  counters.add(MeshCounter::announcements_received);
  const uint32_t t = find_track(m.track);
  if (t == kNil) return;
  const uint32_t loc = find_location(t, l.id);
  if (loc == kNil || locations[loc].hint || locations[loc].generation > m.generation) return;
  drop_location(loc);
}

// A peer said so in its answer: a candidate for as long as the search lasts. False: no room, or known.
bool MeshState::tell_location(uint32_t t, LinkId link, uint64_t generation) {
  if (find_location(t, link) != kNil) return true;
  if (tracks[t].locations.size == kMaxLocations) return false;
  const uint32_t loc = locations.allocate();
  if (loc == kNil) return false;
  Location& location = locations[loc];
  location.track = t;
  location.link = link;
  location.hint = location.told = true;
  location.generation = generation;
  List<&Location::of_link>::push_back(locations, links[link].hints, loc);
  List<&Location::of_track>::push_back(locations, tracks[t].locations, loc);
  return true;
}

void MeshState::hint(const core::TrackId& id, core::NodeId node) {
  Link* l = find_link(node);
  if (l == nullptr) return;  // not a peer: nobody to ask
  const uint32_t t = get_track(id);
  if (t == kNil) return;
  if (find_location(t, l->id) != kNil || tracks[t].locations.size == kMaxLocations) return;
  const uint32_t loc = locations.allocate();
  if (loc == kNil) {
    counters.add(MeshCounter::table_full);
    return free_track_if_idle(t);
  }
  Location& location = locations[loc];
  location.track = t;
  location.link = l->id;
  location.hint = true;
  // It never dies with a view: it goes when the node says that it is wrong.
  List<&Location::of_link>::push_back(locations, l->hints, loc);
  List<&Location::of_track>::push_back(locations, tracks[t].locations, loc);
  ++tracks[t].version;
  tracks[t].news = true;
  mark(t);
}

uint32_t MeshState::candidates(uint32_t t, std::span<uint32_t> out) const {
  uint32_t n = 0;
  for (uint32_t loc = tracks[t].locations.first; loc != kNil && n < out.size();
       loc = locations[loc].of_track.next) {
    const Location& location = locations[loc];
    if (!location.hint && location.view < links[location.link].view_valid) continue;  // dead
    out[n++] = loc;
  }
  const auto before = [this](uint32_t a, uint32_t b) {
    if (!config.rules.epochs) return true;  // the last word wins, however old what it says
    const Location &x = locations[a], &y = locations[b];
    const core::Epoch ex{x.generation, x.incarnation, links[x.link].node};
    const core::Epoch ey{y.generation, y.incarnation, links[y.link].node};
    if (x.hint && y.hint) return links[x.link].rtt.smoothed() < links[y.link].rtt.smoothed();
    return ex > ey;
  };
  // At most kMaxLocations; insertion keeps equal ones in order of arrival.
  for (uint32_t i = 1; i < n; ++i) {
    for (uint32_t j = i; j > 0 && before(out[j], out[j - 1]); --j) std::swap(out[j], out[j - 1]);
  }
  return n;
}

}  // namespace trunkline::relay::mesh
