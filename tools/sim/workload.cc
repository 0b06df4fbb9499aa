// See workload.h.
#include "tools/sim/workload.h"

#include <algorithm>

#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

core::TrackId make_track_id(uint64_t seed, uint32_t track) {
  core::TrackId id;
  for (uint32_t half = 0; half < 2; ++half) {
    const uint64_t word = stream_seed(seed, "track", uint64_t{track} * 2 + half);
    std::memcpy(id.bytes.data() + size_t{half} * 8, &word, sizeof word);
  }
  return id;
}

}  // namespace

Workload::Workload(Fleet& fleet, const Options& options, Report& report)
    : fleet_(fleet), options_(options), report_(report), rng_(stream(options.seed, "workload")) {
  for (uint32_t t = 0; t < options.tracks; ++t) {
    Track track;
    track.id = make_track_id(options.seed, t);
    track.automatic = t % 4 == 1;
    track.absent = t % 5 == 4;
    tracks_.push_back(track);
  }
}

// ---- actors

void Workload::begin() {
  for (uint32_t t = 0; t < tracks_.size(); ++t) {
    if (!tracks_[t].absent && rng_.chance(0.7)) publish(t, some_node());
  }
  again(kAcquireActor, options_.acquire_every);
  again(kChangeActor, options_.change_every);
}

void Workload::again(uint32_t actor, Nanos mean) {
  fleet_.events.push(fleet_.now() + Nanos{between(rng_, 1, 2 * mean.ns)}, EventKind::kWorkload, 0, actor);
}

void Workload::on_event(const Event& event) {
  if (event.kind == EventKind::kMedia) return send_media(Auditor::publication_handle(event.arg));
  if (event.arg >= kLater) return do_later(later_[event.arg - kLater]);
  if (event.arg == kAcquireActor) {
    if (!asking_) return;
    act_acquire();
    again(kAcquireActor, options_.acquire_every);
  } else if (changing_) {
    act_change();
    again(kChangeActor, options_.change_every);
  }
}

void Workload::later(Nanos at, const Later& what) {
  later_.push_back(what);
  fleet_.events.push(at, EventKind::kWorkload, 0, kLater + static_cast<uint32_t>(later_.size() - 1));
}

void Workload::do_later(Later what) {
  switch (what.what) {
    case Later::What::kRelease:
      return release(what.handle);
    case Later::What::kRenew:
      return acquire_again(what.handle);
    case Later::What::kUnpublish:
      return unpublish(what.handle);
    case Later::What::kPublish:
      if (changing_ && tracks_[what.track].live.empty()) publish(what.track, some_node());
  }
}

void Workload::act_acquire() {
  const NodeIndex node = some_node();
  const uint64_t kind = rng_.below(100);
  bool live = false;
  uint32_t track = some_live_track(live);
  if (kind >= 72 || !live) track = static_cast<uint32_t>(rng_.below(tracks_.size()));
  const Nanos deadline = some_deadline();
  uint64_t count = 1;
  Nanos rendezvous{0};
  if (kind < 10) {  // many subscribers want the same at once
    count = 2 + rng_.below(20);
  } else if (kind >= 85 && !tracks_[track].absent) {  // before it is published
    rendezvous = Nanos{between(rng_, 1, deadline.ns)};
    const Nanos until = Nanos{between(rng_, 1, deadline.ns)};
    if (tracks_[track].live.empty()) later(fleet_.now() + until, {Later::What::kPublish, 0, track});
  }
  for (; count > 0; --count) {
    const Nanos own = count == 1 ? deadline : some_deadline();
    const uint64_t handle = acquire(node, track, own, rendezvous, {});
    if (handle == UINT64_MAX) break;
    // One in eight is given up before its deadline; the others are kept for a while after it.
    const bool cancel = rng_.chance(0.125);
    const Nanos hold =
        cancel ? Nanos{between(rng_, 0, own.ns)} : own + core::from_ms(between(rng_, 1, 2'500));
    later(fleet_.now() + hold, {Later::What::kRelease, handle, 0});
  }
  fleet_.touch(node);
}

void Workload::act_change() {
  const auto t = static_cast<uint32_t>(rng_.below(tracks_.size()));
  const uint64_t kind = rng_.below(100);
  const NodeIndex node = some_node();
  const Nanos overlap = core::from_ms(between(rng_, 0, 300));
  Track& track = tracks_[t];
  if (track.absent) return;
  if (track.live.empty()) {
    publish(t, node);
    return;
  }
  const uint64_t old = track.live.back();
  if (kind < 35) {
    unpublish(old);
  } else if (kind < 55) {  // the same node publishes it anew
    const NodeIndex same = fleet_.auditor.publication(old).node;
    unpublish(old);
    publish(t, same);
  } else if (!published_on(tracks_[t], node) && publish(t, node)) {  // it moves
    later(fleet_.now() + overlap, {Later::What::kUnpublish, old, 0});
  }
}

// ---- what hosts do

bool Workload::publish(uint32_t t, NodeIndex node) {
  SimNode* target = fleet_.acting(node);
  const auto queue = static_cast<uint16_t>(t % 2);
  if (target == nullptr || published_on(tracks_[t], node) || !target->room(queue)) return false;
  Track& track = tracks_[t];
  Publication p;
  p.node = node;
  // Always the same queue of a node: its commands are taken in order, so an unpublish comes before the next
  // publish.
  p.queue = queue;
  p.track = t;
  p.id = track.id;
  p.generation = track.automatic ? 0 : ++track.generation;
  p.incarnation = fleet_.node(node).mesh().incarnation();
  p.from = fleet_.now();
  const uint64_t handle = fleet_.auditor.publish(p);
  track.live.push_back(handle);
  TL_CHECK(target->publish(handle, p, fleet_.now()));
  const Nanos first = Nanos{between(rng_, 1, options_.media_every.ns)};
  fleet_.events.push(fleet_.now() + first, EventKind::kMedia, node, static_cast<uint32_t>(handle >> 1));
  fleet_.touch(node);
  return true;
}

void Workload::unpublish(uint64_t handle) {
  const Publication p = fleet_.auditor.publication(handle);
  if (p.closed || p.until != core::kNever) return;
  SimNode* target = fleet_.acting(p.node);
  if (target == nullptr) return;
  auto& live = tracks_[p.track].live;
  live.erase(std::remove(live.begin(), live.end(), handle), live.end());
  tracks_[p.track].former = p.node;
  fleet_.auditor.unpublish(handle, fleet_.now());
  TL_CHECK(target->unpublish(handle, p, fleet_.now()));
  fleet_.touch(p.node);
}

uint64_t Workload::acquire(NodeIndex node, uint32_t track, Nanos deadline, Nanos rendezvous,
                           const Demand& demand) {
  SimNode* target = fleet_.acting(node);
  const auto queue = static_cast<uint16_t>(rng_.below(2));
  if (target == nullptr || !target->room(queue)) return UINT64_MAX;
  Acquisition a;
  a.node = node;
  a.queue = queue;
  a.track = track;
  a.id = tracks_[track].id;
  a.submitted = fleet_.now();
  a.deadline = deadline;
  a.expect = demand.expect;
  a.expect_within = demand.within;
  a.also = demand.also;
  const uint64_t handle = fleet_.auditor.acquire(a);
  TL_CHECK(target->acquire(handle, a, rendezvous, fleet_.now()));
  return handle;
}

void Workload::release(uint64_t handle) {
  if (const auto [next, first] = successor_.try_emplace(handle, kUnwanted);
      !first && next->second != kUnwanted)
    return release(next->second);
  const Acquisition a = fleet_.auditor.acquisition(handle);
  const bool open = a.state == Acquisition::State::kAsked || a.state == Acquisition::State::kOk;
  if (!open || a.released) return;
  SimNode* target = fleet_.acting(a.node);
  if (target == nullptr) return later(fleet_.now() + core::from_ms(100), {Later::What::kRelease, handle, 0});
  fleet_.auditor.release(handle, fleet_.now());
  TL_CHECK(target->release(handle, a, fleet_.now()));
  fleet_.touch(a.node);
}

void Workload::renew() {
  if (!fleet_.auditor.has_ended()) return;
  for (const uint64_t handle : fleet_.auditor.take_ended()) {
    if (!over_) later(fleet_.now() + core::from_ms(between(rng_, 1, 100)), {Later::What::kRenew, handle, 0});
  }
}

// With a small rendezvous: what ended is often published elsewhere a moment later.
void Workload::acquire_again(uint64_t handle) {
  const Acquisition before = fleet_.auditor.acquisition(handle);
  if (over_ || successor_.contains(handle)) return;
  const Nanos deadline = std::max(before.deadline, core::from_ms(300));
  const uint64_t next = acquire(before.node, before.track, deadline, core::from_ms(200), {});
  if (next == UINT64_MAX) return;
  successor_[handle] = next;
  fleet_.touch(before.node);
}

void Workload::send_media(uint64_t handle) {
  Publication& p = fleet_.auditor.publication(handle);
  if (p.closed || p.until != core::kNever) return;
  SimNode* target = fleet_.acting(p.node);
  if (target != nullptr && p.confirmed && target->send(handle, p, p.sent)) {
    ++p.sent;
    ++report_.packets_sent;
    fleet_.touch(p.node);
  }
  fleet_.events.push(fleet_.now() + options_.media_every, EventKind::kMedia, p.node,
                     static_cast<uint32_t>(handle >> 1));
}

void Workload::crashed(NodeIndex node) {
  for (Track& track : tracks_) {
    auto& live = track.live;
    if (published_on(track, node)) {
      track.former = node;
      track.lost.push_back({node, fleet_.now()});
    }
    for (const uint64_t handle : live) {
      const NodeIndex publisher = fleet_.auditor.publication(handle).node;
      if (publisher != node) track.lost_between.push_back({node, publisher, fleet_.now()});
    }
    live.erase(std::remove_if(live.begin(), live.end(),
                              [&](uint64_t h) { return fleet_.auditor.publication(h).node == node; }),
               live.end());
  }
  // What it withdrew shortly before some may not have heard of, and never will.
  constexpr Nanos kShortly = core::from_s(10);
  for (size_t i = 0; i < fleet_.auditor.publication_count(); ++i) {
    const Publication& p = fleet_.auditor.publication(Auditor::publication_handle(i));
    const bool ended = p.confirmed && p.until != core::kNever && p.until + kShortly > fleet_.now();
    if (p.node == node && ended) tracks_[p.track].lost.push_back({node, fleet_.now()});
  }
}

// ---- phases

// Every node asks for every track.
void Workload::check_liveness() {
  asking_ = false;
  constexpr Nanos kDeadline = core::from_ms(1'500);
  const Demands demands(fleet_, options_);
  for (NodeIndex node = 0; node < options_.nodes.size(); ++node) {
    for (uint32_t t = 0; t < tracks_.size(); ++t)
      acquire(node, t, kDeadline, Nanos{0}, demands.of(node, truth(t), kDeadline));
    fleet_.touch(node);
  }
}

TrackTruth Workload::truth(uint32_t track) const {
  TrackTruth truth{tracks_[track].id, {}, tracks_[track].lost, tracks_[track].lost_between};
  for (const uint64_t handle : tracks_[track].live) {
    const NodeIndex publisher = fleet_.auditor.publication(handle).node;
    if (is_live(handle) && fleet_.is_up(publisher)) truth.publishers.push_back(publisher);
  }
  return truth;
}

bool Workload::is_live(uint64_t handle) const {
  const Publication& p = fleet_.auditor.publication(handle);
  return !p.closed && p.until == core::kNever;
}

void Workload::wind_down() {
  over_ = true;
  Auditor& auditor = fleet_.auditor;
  for (size_t i = 0; i < auditor.acquisition_count(); ++i) release(Auditor::acquisition_handle(i));
  for (size_t i = 0; i < auditor.publication_count(); ++i) unpublish(Auditor::publication_handle(i));
}

// ---- draws

Nanos Workload::some_deadline() {
  // From 50 ms to 3.2 s; each doubling is equally likely.
  const int64_t low = int64_t{50'000'000} << rng_.below(6);
  return Nanos{between(rng_, low, 2 * low)};
}

NodeIndex Workload::some_node() {
  return static_cast<NodeIndex>(rng_.below(options_.nodes.size()));
}

uint32_t Workload::some_live_track(bool& found) {
  const auto start = static_cast<uint32_t>(rng_.below(tracks_.size()));
  for (uint32_t i = 0; i < tracks_.size(); ++i) {
    const auto t = static_cast<uint32_t>((start + i) % tracks_.size());
    if (tracks_[t].live.empty()) continue;
    found = true;
    return t;
  }
  return start;
}

bool Workload::published_on(const Track& track, NodeIndex node) const {
  const auto& live = track.live;
  return std::any_of(live.begin(), live.end(),
                     [&](uint64_t handle) { return fleet_.auditor.publication(handle).node == node; });
}

}  // namespace trunkline::sim
