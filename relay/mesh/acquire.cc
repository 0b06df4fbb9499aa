// Acquires of this node's host: each is a waiter with its own deadline, attached to whatever feeds the track,
// and ends exactly once.
//
// settle() is the whole of it: it compares one waiter with the state of its track and does what is missing.
// It may be called at any time, any number of times; whoever changes a track only sees to it that all its
// waiters are shown the new state (search.cc, visit).
#include <algorithm>
#include <cstdio>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

void MeshState::count_outcome(Outcome outcome, Nanos elapsed) {
  outcome_counts[static_cast<uint32_t>(outcome)].add();
  acquire_times[outcome_index(outcome)].record(elapsed.ns);
}

// It never got a record.
void MeshState::refuse_acquire(const HostCommand& c, Outcome outcome, const char* text) {
  HostEvent e;
  e.kind = HostEventKind::kOutcome;
  e.queue = c.queue;
  e.handle = c.handle;
  e.track = c.track;
  e.outcome = outcome;
  e.elapsed = now - c.submitted;
  std::snprintf(e.text.data(), e.text.size(), "%s", text);
  count_outcome(outcome, e.elapsed);
  event(e);
}

void MeshState::on_acquire(const HostCommand& c) {
  counters.add(MeshCounter::acquires);
  if (!may(Role::kAcquire)) {
    counters.add(MeshCounter::host_unauthorized);
    return refuse_acquire(c, Outcome::unauthorized, lack_text({config.id, Role::kAcquire}).data());
  }
  const core::TrackId key = handle_key(kWaiterHandle, c.queue, c.handle);
  if (handle_table.find(key)) {
    return refuse_acquire(c, Outcome::internal, "this queue already has an acquisition with this handle");
  }
  const uint32_t w = waiters.allocate();
  if (w == kNil) {
    return refuse_acquire(c, Outcome::local_limit, "no room for another acquire (limits.max_acquires)");
  }
  const uint32_t t = get_track(c.track);
  if (t == kNil || handle_table.insert(key, w) == core::BoundedTable<>::Insert::kFull) {
    waiters.release(w);
    if (t != kNil) free_track_if_idle(t);
    return refuse_acquire(c, Outcome::local_limit, "no room for another track (limits.max_tracks)");
  }
  Track& track = tracks[t];
  Waiter& waiter = waiters[w];
  waiter.track = t;
  waiter.queue = c.queue;
  waiter.handle = c.handle;
  waiter.submitted = c.submitted;
  waiter.deadline = c.submitted + (c.deadline.ns > 0 ? c.deadline : config.acquire.deadline);
  const Nanos rendezvous = c.rendezvous.ns < 0 ? config.acquire.rendezvous : c.rendezvous;
  waiter.rendezvous_until = std::min(waiter.deadline, c.submitted + rendezvous);
  waiter.egress = c.egress;
  waiter.to = c.to;
  if (!config.rules.own_deadlines && !track.waiters.empty()) {
    waiter.deadline = std::max(waiter.deadline, waiters[track.waiters.first].deadline);
  }
  List<&Waiter::of_track>::push_back(waiters, track.waiters, w);
  ++track.pending;
  track.search_deadline = std::max(track.search_deadline, waiter.deadline);
  track.joined = now;
  // Whoever waits for an announcement waits on; the newcomer wants to hear how things stand.
  if (track.phase == Phase::kRendezvous) track.news = true;
  if (config.rules.deadlines) arm_waiter(w, waiter.deadline);
  mark(t);
  settle(w);
}

void MeshState::on_release(const HostCommand& c) {
  const auto found = handle_table.find(handle_key(kWaiterHandle, c.queue, c.handle));
  if (!found) return;  // ended before the host's word arrived
  mark(waiters[*found].track);
  if (!waiters[*found].told) return finish(*found, {Outcome::cancelled, false, kNoLink});
  detach(*found);
  end_acquisition(*found, Outcome::cancelled);
}

void MeshState::waiter_timer(uint32_t w) {
  Waiter& waiter = waiters[w];
  if (waiter.track == kNil || waiter.told) return;
  Track& track = tracks[waiter.track];
  if (now >= waiter.deadline) {
    mark(waiter.track);
    settle(w);  // what has come in this very instant counts
    if (waiter.track == kNil || waiter.told) return;
    return finish(w, verdict_at_deadline(waiter.track));
  }
  // It waited for an announcement, and none came.
  if (track.phase == Phase::kRendezvous && now >= waiter.rendezvous_until) {
    mark(waiter.track);
    return finish(w, track.verdict);
  }
  arm_waiter(w, waiter.deadline);
}

// ---- one waiter, as its track stands

bool MeshState::source_lives(const Waiter& waiter) const {
  const Track& track = tracks[waiter.track];
  switch (waiter.fed_by) {
    case FedBy::kNobody:
      return false;
    case FedBy::kLocal:
      return source_publication(track) != nullptr && publications[track.publication].flow == waiter.flow;
    case FedBy::kPeer:
      return track.feed_state != FeedState::kNone && track.flow == waiter.flow;
  }
  return false;
}

void MeshState::settle(uint32_t w) {
  Waiter& waiter = waiters[w];
  const Track& track = tracks[waiter.track];
  if (waiter.fed_by != FedBy::kNobody && !source_lives(waiter)) {
    const Outcome reason = track.ended;
    detach(w);
    if (waiter.told) return end_acquisition(w, reason);
  }
  if (waiter.told) return;
  if (waiter.fed_by == FedBy::kNobody) {
    switch (attach(w)) {
      case Attached::kYes:
        break;
      case Attached::kRefused:
        return;
      case Attached::kNothingThere:
        if (track.phase != Phase::kConcluding) return;
        if (now < waiter.rendezvous_until) {
          if (config.rules.deadlines) arm_waiter(w, waiter.rendezvous_until);
          return;
        }
        return finish(w, track.verdict);
    }
  }
  if (waiter.fed_by == FedBy::kLocal || track.feed_state == FeedState::kEstablished) tell_ok(w);
}

void MeshState::attach_output(uint32_t w, CoreCommandKind kind) {
  const Waiter& waiter = waiters[w];
  CoreCommand c;
  c.kind = kind;
  c.change.flow = waiter.flow.id;
  c.change.output.kind = waiter.egress ? OutputKind::kEgress : OutputKind::kQueue;
  c.change.output.target = waiter.egress ? waiter.egress_index : waiter.queue;
  c.change.output.handle = waiter.handle;
  command(waiter.flow.core, c);
}

MeshState::Attached MeshState::attach(uint32_t w) {
  Waiter& waiter = waiters[w];
  Track& track = tracks[waiter.track];
  const Publication* publication = source_publication(track);
  // What has fallen silent is not handed out; its old subscribers keep it.
  const bool from_peer = track.feed_state != FeedState::kNone && !wants_replacement(track);
  if (publication == nullptr && !from_peer) return Attached::kNothingThere;
  const Flow flow = publication != nullptr ? publication->flow : track.flow;
  const uint32_t c = flow.core.value;
  if (outputs_used[c] == config.limits.max_outputs_per_core || (waiter.egress && free_egress[c].empty())) {
    finish(w, {Outcome::local_limit, false, kNoLink});
    return Attached::kRefused;
  }
  ++outputs_used[c];
  waiter.flow = flow;
  waiter.fed_by = publication != nullptr ? FedBy::kLocal : FedBy::kPeer;
  if (waiter.fed_by == FedBy::kPeer) ++track.fed_waiters;
  if (waiter.egress) {
    waiter.egress_index = free_egress[c].back();
    free_egress[c].pop_back();
    CoreCommand open;
    open.kind = CoreCommandKind::kEgressOpen;
    open.egress = {waiter.egress_index, waiter.to};
    command(flow.core, open);
  }
  attach_output(w, CoreCommandKind::kOutputAdd);
  return Attached::kYes;
}

// A flow that was closed took its outputs with it. A local flow lives on when a newer publication elsewhere
// takes its subscribers.
void MeshState::detach(uint32_t w) {
  Waiter& waiter = waiters[w];
  if (waiter.fed_by == FedBy::kNobody) return;
  const Track& track = tracks[waiter.track];
  const bool local = waiter.fed_by == FedBy::kLocal;
  const Flow& flow = !local                      ? track.flow
                     : track.publication == kNil ? Flow{}
                                                 : publications[track.publication].flow;
  if (flow == waiter.flow) attach_output(w, CoreCommandKind::kOutputRemove);
  if (waiter.egress_index != kNoEgress) {
    CoreCommand close;
    close.kind = CoreCommandKind::kEgressClose;
    close.egress.egress = waiter.egress_index;
    command(waiter.flow.core, close);
    free_egress[waiter.flow.core.value].push_back(waiter.egress_index);
    waiter.egress_index = kNoEgress;
  }
  --outputs_used[waiter.flow.core.value];
  if (waiter.fed_by == FedBy::kPeer) --tracks[waiter.track].fed_waiters;
  waiter.fed_by = FedBy::kNobody;
  waiter.flow = {};
}

// ---- what the host is told

HostEvent MeshState::waiter_event(uint32_t w, HostEventKind kind) const {
  const Waiter& waiter = waiters[w];
  const Track& track = tracks[waiter.track];
  HostEvent e;
  e.kind = kind;
  e.queue = waiter.queue;
  e.handle = waiter.handle;
  e.track = track.id;
  e.attempts = track.asked;
  e.elapsed = now - waiter.submitted;
  e.core = waiter.flow.core;
  e.flow = waiter.flow.id;
  return e;
}

void MeshState::tell_ok(uint32_t w) {
  Waiter& waiter = waiters[w];
  Track& track = tracks[waiter.track];
  HostEvent e = waiter_event(w, HostEventKind::kOutcome);
  const uint8_t* descriptor = received_descriptor[waiter.track].data();
  e.descriptor_bytes = track.descriptor_bytes;
  e.flowing = track.media;
  e.generation = track.generation;
  if (waiter.fed_by == FedBy::kLocal) {
    const Publication& publication = publications[track.publication];
    e.local = true;
    e.node = config.id;
    e.flowing = publication.flowing;
    e.generation = publication.generation;
    e.descriptor_bytes = publication.descriptor_bytes;
    descriptor = published_descriptor[track.publication].data();
  } else {
    e.node = links[asks[track.feed].link].node;
  }
  std::copy_n(descriptor, e.descriptor_bytes, e.descriptor.begin());
  waiter.told = true;
  --track.pending;
  wheel.cancel(w);
  if (now > waiter.deadline + kMeshTick) counters.add(MeshCounter::acquires_overdue);
  count_outcome(Outcome::ok, e.elapsed);
  event(e);
}

// What is published here is not denied here: a peer announced a newer publication, and nobody has it to give.
Verdict MeshState::seen_from_here(uint32_t t, const Verdict& verdict) const {
  const bool absent = verdict.outcome == Outcome::not_here || verdict.outcome == Outcome::gone;
  const uint32_t p = tracks[t].publication;
  if (!absent || p == kNil || publications[p].state != PublicationState::kLive) return verdict;
  std::array<uint32_t, kMaxLocations> order;
  const uint32_t n = candidates(t, order);
  return {Outcome::moved, false, n > 0 ? locations[order[0]].link : verdict.link};
}

void MeshState::finish(uint32_t w, const Verdict& found) {
  Waiter& waiter = waiters[w];
  Track& track = tracks[waiter.track];
  const Verdict verdict = seen_from_here(waiter.track, found);
  HostEvent e = waiter_event(w, HostEventKind::kOutcome);
  e.outcome = verdict.outcome;
  e.authoritative = verdict.authoritative;
  e.generation = track.highest_generation;
  if (verdict.link != kNoLink) e.node = links[verdict.link].node;
  describe(verdict, e);
  detach(w);
  --track.pending;
  if (now > waiter.deadline + kMeshTick) counters.add(MeshCounter::acquires_overdue);
  count_outcome(verdict.outcome, e.elapsed);
  event(e);
  forget_waiter(w);
}

void MeshState::end_acquisition(uint32_t w, Outcome reason) {
  HostEvent e = waiter_event(w, HostEventKind::kEnded);
  e.outcome = reason;
  if (reason == Outcome::moved) e.node = tracks[waiters[w].track].ended_by;
  std::snprintf(e.text.data(), e.text.size(), "%s", outcome_text(reason));
  event(e);
  forget_waiter(w);
}

// A data core could not open the tap that a waiter's packets were to leave by: nobody may believe that they
// do. Rare, and bounded by the slab; the event names the tap by its address.
void MeshState::egress_failed(const CoreEvent& e) {
  log(LogLevel::kWarn, "an egress tap cannot be opened: %s", e.text.data());
  for (uint32_t w = 0; w < waiters.capacity() && room(); ++w) {
    const Waiter& waiter = waiters[w];
    if (waiter.egress_index == kNoEgress || waiter.to != e.address || waiter.flow.core != e.core) continue;
    const uint32_t t = waiter.track;
    if (waiter.told) {
      detach(w);
      end_acquisition(w, Outcome::internal);
    } else {
      finish(w, {Outcome::internal, false, kNoLink});
    }
    mark(t);
  }
}

void MeshState::forget_waiter(uint32_t w) {
  Waiter& waiter = waiters[w];
  wheel.cancel(w);
  handle_table.erase(handle_key(kWaiterHandle, waiter.queue, waiter.handle));
  List<&Waiter::of_track>::remove(waiters, tracks[waiter.track].waiters, w);
  waiters.release(w);
}

void MeshState::describe(const Verdict& verdict, HostEvent& e) const {
  const auto node = static_cast<unsigned long long>(e.node.value);
  switch (verdict.outcome) {
    case Outcome::config_mismatch:
    case Outcome::unsupported:
      if (verdict.link != kNoLink && links[verdict.link].text[0] != 0) {
        e.text = links[verdict.link].text;
        return;
      }
      break;
    case Outcome::not_here:
      if (!verdict.authoritative) {
        const auto refused =
            std::find_if(links.begin(), links.end(), [](const Link& l) { return l.incompatible; });
        if (refused == links.end()) {
          std::snprintf(e.text.data(), e.text.size(), "no node that could be asked has the track");
        } else {
          std::snprintf(e.text.data(), e.text.size(),
                        "no node that could be asked has the track; node %llu could not: %.100s",
                        static_cast<unsigned long long>(refused->node.value), refused->text.data());
        }
        return;
      }
      break;
    case Outcome::unauthorized:
      if (verdict.link == kNoLink || links[verdict.link].role_text[0] == 0) break;
      std::snprintf(e.text.data(), e.text.size(), "%s", links[verdict.link].role_text.data());
      return;
    case Outcome::moved:
      if (verdict.link == kNoLink || may(links[verdict.link], Role::kRelay)) break;
      std::snprintf(e.text.data(), e.text.size(), "node %llu knows who has it, and may not relay it: %s",
                    node, lack_text({e.node, Role::kRelay}).data());
      return;
    case Outcome::no_reply:
      std::snprintf(e.text.data(), e.text.size(), "node %llu was asked and has not answered", node);
      return;
    case Outcome::link_down:
      if (node == 0) break;
      std::snprintf(e.text.data(), e.text.size(), "the link to node %llu is down", node);
      return;
    default:
      break;
  }
  std::snprintf(e.text.data(), e.text.size(), "%s", outcome_text(verdict.outcome));
}

}  // namespace trunkline::relay::mesh
