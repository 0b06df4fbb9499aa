// See fleet.h.
#include "tools/sim/fleet.h"

#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

// Incarnations are Unix milliseconds of a node's start (core/ids.h); this is the first one's, 1 January 2024.
constexpr uint64_t kFirstIncarnation = 1'704'067'200'000;

// So few nodes stay in the second-level cache, and nothing need be fetched ahead.
constexpr size_t kNodesInCache = 16;

}  // namespace

const char* event_kind_name(EventKind kind) {
  constexpr const char* kNames[] = {"deliver", "wake", "workload", "media", "fault", "phase"};
  return kNames[static_cast<size_t>(kind)];
}

Fleet::Fleet(const Options& options, Report& report, std::FILE* trace_to)
    : options_(options),
      report_(report),
      lateness_(stream(options.seed, "fault.lateness")),
      slots_(options.nodes.size()),
      events(stream(options.seed, "order")),
      trace(trace_to),
      auditor(static_cast<uint32_t>(options.nodes.size()), report),
      key_auditor([this](std::string text) { auditor.violate(now(), std::move(text)); }),
      network(options_, events, trace),
      mesh_auditor(options_, auditor, network, report),
      stranger_(options_),
      keys_(options_.sealed ? std::make_unique<ClusterKeys>(options_) : nullptr) {
  report.begin_seed(options_.faults);
  if (options_.has(Fault::stranger)) network.watched_by(stranger_);
  if (options_.sealed) {
    key_auditor.note_kinds();
    network.sealed_under(key_auditor);
  }
  for (NodeIndex node = 0; node < size(); ++node) {
    rebuild(node, options_.builds[node]);
    if (options_.is_small(node)) auditor.may_refuse(node);
  }
}

// ---- time

Event Fleet::next() {
  let_stranger_act(events.next().time);
  const Event event = events.pop();
  ++handled_;
  while (event.time >= kCheckpoint * static_cast<int64_t>(checkpoints_.size()))
    checkpoints_.push_back(trace.hash());
  mesh_auditor.look(event.time);
  trace.fold(static_cast<uint64_t>(event.time.ns));
  trace.fold(static_cast<uint64_t>(event.kind) << 48 | uint64_t{event.node} << 32 | event.arg);
  if (slots_.size() > kNodesInCache) prefetch();
  if (event.kind == EventKind::kDeliver) {
    if (SimNode* node = slots_[event.node].node.get(); node != nullptr) {
      node->deliver(network.arrival(event.arg));
      touch(event.node);
    }
    network.taken(event.arg);
  } else if (event.kind == EventKind::kWake) {
    wake(event.node);
  }
  return event;
}

void Fleet::let_stranger_act(Nanos until) {
  while (stranger_.next_due() < until) {
    Stranger::Forgery forgery = stranger_.take();
    if (options_.muted) forgery.mute();
    Slot& slot = slots_[forgery.to];
    const bool late = free_at(slot) > forgery.due || slot.late_by.ns > 0 || slot.timers_by.ns > 0;
    if (slot.node == nullptr || late || slot.node->next_due() <= forgery.due || slot.node->waiting())
      continue;
    if (trace.printing() && !options_.muted) {
      trace.line(forgery.due, "a stranger -> " + std::to_string(forgery.to + 1) + " " +
                                  std::to_string(forgery.bytes.size()) +
                                  " bytes: " + mark_text(forgery.mark));
    }
    if (!forgery.bytes.empty()) slot.node->deliver({forgery.from, node_address(forgery.to), forgery.bytes});
    slot.node->run_aside(forgery.due);
    report_.marks.hit(forgery.mark);
  }
}

// What the next event touches, and where that of the one after it is found.
void Fleet::prefetch() const {
  const auto runs = [this](const Event* event) -> const SimNode* {
    if (event == nullptr || event->kind == EventKind::kWorkload || event->kind >= EventKind::kFault)
      return nullptr;
    return slots_[event->node].node.get();
  };
  const Event* soon = events.peek(0);
  if (const SimNode* node = runs(soon); node != nullptr) {
    const bool delivery = soon->kind == EventKind::kDeliver;
    if (delivery) network.prefetch(soon->arg);
    node->prefetch(delivery ? network.session_slot(soon->arg) : 0);
  }
  if (const SimNode* node = runs(events.peek(1)); node != nullptr) node->prefetch_self();
}

void Fleet::run_until(Nanos time) {
  // A marker, so that time stands exactly there afterwards.
  events.push(time, EventKind::kPhase, 0);
  while (next().kind != EventKind::kPhase) auditor.check(now());
}

void Fleet::touch(NodeIndex node) {
  Slot& slot = slots_[node];
  if (slot.node == nullptr) return;
  if (free_at(slot) > now()) return plan_wake(node);
  run(node);
}

void Fleet::run(NodeIndex node) {
  Slot& slot = slots_[node];
  slot.node->run(now());
  mesh_auditor.ran(node);
  if (slot.late_by.ns > 0) slot.busy_until = now() + Nanos{between(lateness_, 0, slot.late_by.ns)};
  plan_wake(node);
}

// One kWake event per node counts. An earlier one than needed stays: it is cheaper to look again when it
// comes than to push another for each heartbeat that moved a deadline.
void Fleet::plan_wake(NodeIndex node) {
  Slot& slot = slots_[node];
  const Nanos free = free_at(slot);
  const bool has_input = free > now() && slot.node->waiting();  // otherwise run() has taken all there was
  Nanos due = has_input ? free : std::max({slot.node->next_due(), free, now()});
  if (due == core::kNever || slot.wake_at <= due) return;
  if (slot.timers_by.ns > 0 && !has_input) due += Nanos{between(lateness_, 0, slot.timers_by.ns)};
  if (slot.wake_at <= due) return;
  slot.wake_at = due;
  events.push(due, EventKind::kWake, node);
}

void Fleet::wake(NodeIndex node) {
  Slot& slot = slots_[node];
  if (slot.wake_at != now()) return;  // replaced by an earlier one, or of a former life
  slot.wake_at = core::kNever;
  if (slot.node == nullptr) return;
  if (free_at(slot) > now() || (slot.node->next_due() > now() && !slot.node->waiting()))
    return plan_wake(node);
  run(node);
}

// ---- lives of nodes

void Fleet::rebuild(NodeIndex node, const Build& build) {
  TL_CHECK(slots_[node].node == nullptr);
  slots_[node].build = build;
  slots_[node].config = node_config(options_, node, build);
  if (keys_ != nullptr) keys_->put_into(slots_[node].config);
}

void Fleet::start(NodeIndex node) {
  Slot& slot = slots_[node];
  const uint64_t last = slot.incarnation;
  slot.incarnation = kFirstIncarnation + static_cast<uint64_t>((now() + slot.clock).ms());
  if (slot.incarnation == last) ++slot.incarnation;  // no process ends and starts within a millisecond
  slot.copy = false;
  make(node);
}

void Fleet::restore(NodeIndex node) {
  slots_[node].restored = now();
  slots_[node].copy = true;
  make(node);
}

void Fleet::make(NodeIndex node) {
  Slot& slot = slots_[node];
  const auto unix_s = static_cast<uint64_t>(
      (core::from_ms(static_cast<int64_t>(kFirstIncarnation)) + now() + slot.clock).ns / 1'000'000'000);
  auto crypto = keys_ != nullptr ? keys_->make(slot.config, slot.incarnation, unix_s, now()) : nullptr;
  // What meshes too large for looks are run for is what they cost.
  KeyAuditor* const judge = slots_.size() <= MeshAuditor::kMostNodes ? &key_auditor : nullptr;
  slot.node = std::make_unique<SimNode>(node, options_.seed, slot.config, slot.incarnation, std::move(crypto),
                                        network, auditor, judge, trace);
  slot.hints.clear();
  auditor.started(node, slot.incarnation);
  mesh_auditor.started(node, slot.node->mesh(), slot.node->path(), slot.config, now());
  run(node);
}

void Fleet::crash(NodeIndex node) {
  Slot& slot = slots_[node];
  if (slot.node == nullptr) return;
  slot.node->check_conservation(now());
  slot.node->count_drops(report_);
  mesh_auditor.stopped(node);
  slot.node.reset();
  slot.wake_at = core::kNever;
  slot.still_until = slot.busy_until = Nanos{};
  auditor.stopped(node, now());
  tell_lateness(node);
}

void Fleet::stand_still(NodeIndex node, Nanos until) {
  Slot& slot = slots_[node];
  if (slot.node == nullptr || slot.still_until >= until) return;
  if (slot.still_until < now()) slot.still_from = now();  // else it goes on standing still
  slot.still_until = until;
  auditor.still(node, slot.still_from, slot.still_until);
  mesh_auditor.still(node, slot.still_from, slot.still_until);
  plan_wake(node);
}

void Fleet::run_late(NodeIndex node, Nanos at_most) {
  slots_[node].late_by = at_most;
  if (at_most.ns > 0) tell_lateness(node);
}

void Fleet::delay_timers(NodeIndex node, Nanos at_most) {
  slots_[node].timers_by = at_most;
  if (at_most.ns > 0) tell_lateness(node);
}

// What fell due while it was late may still come late: the larger one counts until somebody says otherwise.
void Fleet::tell_lateness(NodeIndex node) {
  auditor.late_by(node, slots_[node].late_by + slots_[node].timers_by);
  mesh_auditor.late_by(node, slots_[node].late_by + slots_[node].timers_by);
}

// ---- hosts

SimNode* Fleet::acting(NodeIndex node) {
  const Slot& slot = slots_[node];
  return slot.still_until > now() ? nullptr : slot.node.get();
}

void Fleet::hint(NodeIndex node, const core::TrackId& track, NodeIndex named) {
  SimNode* target = acting(node);
  if (target == nullptr) return;
  slots_[node].hints.push_back({track, named});
  target->hint(track, node_id(named), now());
  touch(node);
}

void Fleet::drain(NodeIndex node, bool on, NodeIndex successor) {
  SimNode* target = acting(node);
  if (target == nullptr) return;
  target->drain(on, on ? node_id(successor) : core::NodeId{}, now());
  touch(node);
}

Nanos Fleet::round_trip(NodeIndex a, NodeIndex b) const {
  const Region from = options_.nodes[a], to = options_.nodes[b];
  return one_way_delay(from, to) + one_way_delay(to, from);
}

Nanos Fleet::largest_round_trip(NodeIndex node) const {
  Nanos largest{};
  for (const NodeIndex peer : options_.links.peers(node)) largest = std::max(largest, round_trip(node, peer));
  return largest;
}

std::optional<Meeting> Fleet::meeting(NodeIndex a, NodeIndex b) const {
  if (!options_.links.linked(a, b) || !is_up(a) || !is_up(b)) return std::nullopt;
  if (network.is_cut(a, b) || network.is_cut(b, a)) return std::nullopt;
  return sim::meeting(options_.wrong, slots_[a].build, slots_[b].build);
}

void Fleet::collect() {
  ++report_.seeds;
  report_.events += handled_;
  report_.simulated += now() * static_cast<int64_t>(slots_.size());
  for (uint32_t i = 0; i < kFaults; ++i) report_.faults[i] += options_.has(static_cast<Fault>(i)) ? 1 : 0;
  for (const Slot& slot : slots_) {
    if (slot.node == nullptr) continue;
    slot.node->check_conservation(now());
    slot.node->count_drops(report_);
  }
  mesh_auditor.finish();
  const io::WireModel::Counters wire = network.totals();
  report_.datagrams_sent += network.sent();
  report_.datagrams_lost += wire.lost;
  report_.datagrams_duplicated += wire.duplicated;
  report_.datagrams_corrupted += wire.corrupted;
  report_.keys.add(key_auditor.totals());
}

}  // namespace trunkline::sim
