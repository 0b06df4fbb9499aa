// Who has a track: what peers announce, what configuration and host hint at. A track's record, and when it
// goes.
//
// A location is stamped with the view of its link in which it was last said. When the peer's snapshot is
// complete, or the peer turns out to be another incarnation, all older stamps are dead at once; they are
// taken out of the lists a few per step (sweep), and nobody goes by them meanwhile.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr uint32_t kMaxLocations = 4;  // per track: the publisher, the one before, and two hints

}  // namespace

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
      !track.asks.empty() || track.flow.open() || track.dirty.linked || track.negative_until > now) {
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
  unlink_location(loc);
  List<&Location::of_track>::remove(locations, tracks[t].locations, loc);
  locations.release(loc);
  mark(t);  // a search that counted on it goes on, and an idle record goes
}

void MeshState::on_announce(Link& l, const Announce& m) {
  counters.add(MeshCounter::announcements_received);
  if (!config.rules.peer_locations) return;
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
  location.hint = false;
  location.traffic_class = m.traffic_class;
  location.generation = m.generation;
  location.incarnation = l.incarnation;
  location.view = l.view;
  track.highest_generation = std::max(track.highest_generation, m.generation);
  if (!news) return;
  track.negative_until = Nanos{0};
  // Who said no before it had the track may say yes now.
  if (const uint32_t a = find_ask(t, l.id); a != kNil && asks[a].state == AskState::kNegative) {
    List<&Ask::of_track>::remove(asks, track.asks, a);
    free_ask_if_done(a);
  }
  track.news = true;
  mark(t);
}

void MeshState::on_withdraw(Link& l, const Withdraw& m) {
  counters.add(MeshCounter::announcements_received);
  const uint32_t t = find_track(m.track);
  if (t == kNil) return;
  const uint32_t loc = find_location(t, l.id);
  if (loc == kNil || locations[loc].hint || locations[loc].generation > m.generation) return;
  drop_location(loc);
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
  tracks[t].negative_until = Nanos{0};
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
