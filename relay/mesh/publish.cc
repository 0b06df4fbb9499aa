// Publications of this node: a flow on a data core, a generation, and what peers are told about it.
//
// All publications hang in one list in the order of their last change, and each link has a cursor into it
// (pump.cc): announcing is walking on. What was unpublished stays in it as a tombstone, so that its
// withdrawal is told and a late request is answered GONE rather than NOT_HERE.
#include <algorithm>
#include <cstdio>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr Nanos kTombstone = core::from_s(10);  // longer than any deadline in sensible use
constexpr Nanos kTombstoneMore = core::from_s(1);
constexpr Nanos kTooBigInterval = core::from_s(1);

}  // namespace

Publication* MeshState::live_publication(const Track& t) {
  if (t.publication == kNil || publications[t.publication].state != PublicationState::kLive) return nullptr;
  return &publications[t.publication];
}

void MeshState::publish_failed(const HostCommand& c, const char* text, Outcome outcome) {
  HostEvent e;
  e.kind = HostEventKind::kPublishFailed;
  e.queue = c.queue;
  e.handle = c.handle;
  e.track = c.track;
  e.outcome = outcome;
  e.elapsed = now - c.submitted;
  std::snprintf(e.text.data(), e.text.size(), "%s", text);
  event(e);
}

void MeshState::on_publish(const HostCommand& c) {
  char text[160];
  if (!may(Role::kPublish)) {
    counters.add(MeshCounter::host_unauthorized);
    return publish_failed(c, lack_text({config.id, Role::kPublish}).data(), Outcome::unauthorized);
  }
  const core::TrackId key = handle_key(kPublicationHandle, c.queue, c.handle);
  if (handle_table.find(key))
    return publish_failed(c, "this queue already has a publication with this handle");
  const uint32_t t = get_track(c.track);
  if (t == kNil) return publish_failed(c, "no room for another track (limits.max_tracks)");
  Track& track = tracks[t];
  if (track.publication != kNil && publications[track.publication].state != PublicationState::kGone) {
    const Publication& other = publications[track.publication];
    std::snprintf(text, sizeof text, "already published by this node (queue %u, handle %llu)",
                  unsigned{other.queue}, static_cast<unsigned long long>(other.handle));
    return publish_failed(c, text);
  }
  uint64_t highest = track.highest_generation;
  if (track.publication != kNil) highest = std::max(highest, publications[track.publication].generation);
  if (c.generation != 0 && c.generation < highest) {
    std::snprintf(text, sizeof text, "generation %llu is stale: generation %llu of this track is known",
                  static_cast<unsigned long long>(c.generation), static_cast<unsigned long long>(highest));
    free_track_if_idle(t);
    return publish_failed(c, text);
  }
  const bool buries = track.publication != kNil && !changes_told();
  if (track.publication != kNil) forget_publication(track.publication);
  if (publications.full() && !gone.empty()) {
    leave_untold(false);
    forget_publication(gone.first);
  }
  const uint32_t p = publications.allocate();
  const Flow flow = p == kNil ? Flow{} : labels.allocate(now, {Labels::Owner::kPublication, p});
  if (!flow.open() || handle_table.insert(key, p) == core::BoundedTable<>::Insert::kFull) {
    if (flow.open()) labels.release(flow, now, false);
    if (p != kNil) publications.release(p);
    if (buries) leave_untold(true);
    free_track_if_idle(t);
    return publish_failed(c, "no room for another flow (limits.max_flows_per_core)");
  }
  Publication& publication = publications[p];
  track.publication = p;
  publication.track = t;
  publication.buries = buries;
  publication.queue = c.queue;
  publication.handle = c.handle;
  publication.generation = c.generation != 0 ? c.generation : highest + 1;
  publication.traffic_class = c.traffic_class;
  publication.flow = flow;
  publication.descriptor_bytes =
      static_cast<uint16_t>(std::min<uint32_t>(c.descriptor_bytes, kMaxDescriptorBytes));
  std::copy_n(c.descriptor.begin(), publication.descriptor_bytes, published_descriptor[p].begin());

  CoreCommand open;
  open.kind = CoreCommandKind::kFlowOpen;
  open.open.flow = flow.id;
  open.open.label = flow.label;
  open.open.source = FlowSource::kLocal;
  open.open.traffic_class = c.traffic_class;
  open.open.queue = c.ingest ? kNoQueue : c.queue;
  open.open.handle = c.handle;
  command(flow.core, open);
  if (!c.ingest) return go_live(p);
  CoreCommand tap;
  tap.kind = CoreCommandKind::kIngestOpen;
  tap.ingest = c.tap;
  tap.ingest.flow = flow.id;
  command(flow.core, tap);
}

void MeshState::on_tap(uint32_t p, const CoreEvent& e) {
  Publication& publication = publications[p];
  if (publication.state != PublicationState::kOpening) return;
  if (e.kind == CoreEventKind::kTapReady) {
    publication.address = e.address;
    return go_live(p);
  }
  HostCommand c;
  c.queue = publication.queue;
  c.handle = publication.handle;
  c.track = tracks[publication.track].id;
  c.submitted = now;
  close_publication(p);
  forget_publication(p);
  publish_failed(c, e.text.data());
}

void MeshState::go_live(uint32_t p) {
  Publication& publication = publications[p];
  Track& track = tracks[publication.track];
  publication.state = PublicationState::kLive;
  track.highest_generation = std::max(track.highest_generation, publication.generation);
  ++track.version;
  // What a peer feeds is of an older generation.
  if (track.feed_state != FeedState::kNone && publication.generation > track.generation) {
    supersede(publication.track, publication.generation, config.id);
  }
  changed(p);
  HostEvent e;
  e.kind = HostEventKind::kPublished;
  e.queue = publication.queue;
  e.handle = publication.handle;
  e.track = track.id;
  e.generation = publication.generation;
  e.core = publication.flow.core;
  e.flow = publication.flow.id;
  e.address = publication.address;
  event(e);
  track.settle_left = track.waiters.size;
  mark(publication.track);
}

void MeshState::on_unpublish(const HostCommand& c) {
  const auto found = handle_table.find(handle_key(kPublicationHandle, c.queue, c.handle));
  if (found) end_publication(*found);  // else it ended before the host's word arrived
}

// The host hears kUnpublished; a tombstone stays.
void MeshState::end_publication(uint32_t p) {
  Publication& publication = publications[p];
  HostEvent e;
  e.kind = HostEventKind::kUnpublished;
  e.queue = publication.queue;
  e.handle = publication.handle;
  e.track = tracks[publication.track].id;
  e.generation = publication.generation;
  const bool was_live = publication.state == PublicationState::kLive;
  close_publication(p);
  if (was_live) {
    publication.state = PublicationState::kGone;
    List<&Publication::gone>::push_back(publications, gone, p);
    changed(p);
    arm_publication(p, now + kTombstone);
  } else {
    forget_publication(p);
  }
  event(e);
}

// Ends the flow. The data core forgets its outputs with it; downstream peers are told, local waiters settle.
void MeshState::close_publication(uint32_t p) {
  Publication& publication = publications[p];
  Track& track = tracks[publication.track];
  handle_table.erase(handle_key(kPublicationHandle, publication.queue, publication.handle));
  end_serves(publication.track, false, Outcome::gone, publication.generation);
  CoreCommand close;
  close.kind = CoreCommandKind::kFlowClose;
  close.flow = publication.flow.id;
  command(publication.flow.core, close);
  labels.release(publication.flow, now, true);
  publication.flow = {};
  publication.flowing = false;
  ++track.version;
  track.ended = Outcome::gone;
  track.settle_left = track.waiters.size;
  mark(publication.track);
}

bool MeshState::changes_told() const {
  return std::none_of(links.begin(), links.end(), [](const Link& l) { return l.next_change != kNil; });
}

// An end is forgotten before these peers, or (long ago) all have heard of it: only a new stream will say what
// is left.
void MeshState::leave_untold(bool all) {
  for (Link& l : links) l.untold = l.untold || (l.active >= 0 && (all || l.next_change != kNil));
}

void MeshState::forget_publication(uint32_t p) {
  Publication& publication = publications[p];
  const uint32_t t = publication.track;
  // It never was there, and took the place of one whose end not everybody had heard of.
  if (publication.state == PublicationState::kOpening && publication.buries) leave_untold(true);
  for (Link& l : links) {
    if (l.next_change == p) l.next_change = publication.changes.next;
  }
  List<&Publication::changes>::remove(publications, changes, p);
  List<&Publication::gone>::remove(publications, gone, p);
  wheel.cancel(waiters.capacity() + tracks.capacity() + p);
  tracks[t].highest_generation = std::max(tracks[t].highest_generation, publication.generation);
  tracks[t].publication = kNil;
  publications.release(p);
  mark(t);
}

void MeshState::publication_timer(uint32_t p) {
  // A peer that is up and has not yet been told of the end: soon.
  for (const Link& l : links) {
    if (l.alive && l.next_change != kNil) return arm_publication(p, now + kTombstoneMore);
  }
  leave_untold(false);
  forget_publication(p);
}

// To the end of the list of changes: every link will come by.
void MeshState::changed(uint32_t p) {
  for (Link& l : links) {
    if (l.next_change == p) l.next_change = publications[p].changes.next;
  }
  List<&Publication::changes>::remove(publications, changes, p);
  List<&Publication::changes>::push_back(publications, changes, p);
  for (Link& l : links) {
    if (l.next_change == kNil) l.next_change = p;
  }
}

void MeshState::on_too_big(uint32_t p, const CoreEvent& e) {
  Publication& publication = publications[p];
  if (publication.state != PublicationState::kLive) return;
  if (publication.too_big_at.ns != 0 && now - publication.too_big_at < kTooBigInterval) return;
  publication.too_big_at = now;
  HostEvent told;
  told.kind = HostEventKind::kTooBig;
  told.queue = publication.queue;
  told.handle = publication.handle;
  told.track = tracks[publication.track].id;
  told.size = e.size;
  told.size_max = e.size_max;
  std::snprintf(told.text.data(), told.text.size(),
                "a packet of %u bytes does not fit the path; the largest that does has %u", e.size,
                e.size_max);
  event(told);
}

}  // namespace trunkline::relay::mesh
