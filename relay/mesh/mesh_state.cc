// The step: one input, then as much of the waiting work as fits. Order of the work: timers (a deadline comes
// before anything that might take longer), what peers no longer say, tracks, and last the control streams, so
// that what this step decided leaves in this step.
#include "relay/mesh/mesh_state.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace trunkline::relay::mesh {

namespace {

core::HashKey draw_key(core::Rng& rng) {
  const uint64_t k0 = rng.next();
  return {k0, rng.next()};
}

constexpr Outcome kOutcomes[] = {
#define X(name, number, label, text) Outcome::name,
    TRUNKLINE_OUTCOMES(X)
#undef X
};

}  // namespace

uint32_t outcome_index(Outcome outcome) {
  const auto* at = std::find(std::begin(kOutcomes), std::end(kOutcomes), outcome);
  // A number that is none counts as a defect.
  if (at == std::end(kOutcomes))
    at = std::find(std::begin(kOutcomes), std::end(kOutcomes), Outcome::internal);
  return static_cast<uint32_t>(at - std::begin(kOutcomes));
}

// Handles share one table with a key of the same shape as a track's.
core::TrackId handle_key(uint8_t kind, uint16_t queue, uint64_t handle) {
  core::TrackId key;
  key.bytes[0] = kind;
  std::memcpy(&key.bytes[2], &queue, sizeof queue);
  std::memcpy(&key.bytes[8], &handle, sizeof handle);
  return key;
}

MeshState::MeshState(const NodeConfig& node_config, uint64_t own_incarnation,
                     std::span<const uint16_t> core_ports, core::Rng& random, Crypto& crypto_suite)
    : config(node_config),
      rng(random),
      crypto(crypto_suite),
      incarnation(own_incarnation),
      started_as(own_incarnation),
      ports(core_ports.begin(), core_ports.end()),
      cores(static_cast<uint32_t>(core_ports.size())),
      tracks(config.limits.max_tracks),
      // Most tracks have one place; two each, on average, are room for those that move.
      locations(2 * config.limits.max_tracks),
      publications(config.limits.max_tracks),
      waiters(config.limits.max_acquires),
      // One per track, as many again for those who ask everyone, and what still has to be released.
      asks(2 * config.limits.max_tracks + static_cast<uint32_t>(config.peers.size())),
      serves(config.limits.max_requests),
      labels(cores, config.limits.max_flows_per_core),
      track_table(config.limits.max_tracks, draw_key(random)),
      handle_table(config.limits.max_acquires + config.limits.max_tracks, draw_key(random)),
      wheel(config.limits.max_acquires + 2 * config.limits.max_tracks + config.limits.max_requests, kMeshTick,
            Nanos{0}),
      published_descriptor(std::make_unique_for_overwrite<Descriptor[]>(config.limits.max_tracks)),
      received_descriptor(std::make_unique_for_overwrite<Descriptor[]>(config.limits.max_tracks)),
      attempt_logs(config.limits.max_tracks),
      ask_serial(random.next() >> 24),
      acquire_times(std::make_unique<core::Histogram[]>(std::size(kOutcomes))) {
  TL_CHECK(cores >= 1 && cores <= core::kMaxCores);
  TL_CHECK(asks.capacity() <= 1u << 24);
  links.reserve(config.peers.size());
  for (const PeerConfig& peer : config.peers) {
    Link& l = links.emplace_back(config.limits.control_window);
    l.id = static_cast<LinkId>(links.size() - 1);
    l.node = peer.id;
    l.configured = peer.address;
    l.handshake = crypto.make_handshake();
    l.key = peer.public_key;
    if (l.key) l.handshake->expect({peer.id, *l.key});
  }
  stranger = crypto.make_handshake();
  for (uint32_t c = 0; c < cores; ++c) {
    auto& free = free_egress[c];
    free.reserve(config.limits.max_egress_per_core);
    for (uint32_t i = config.limits.max_egress_per_core; i > 0; --i) {
      free.push_back(static_cast<uint16_t>(i - 1));
    }
  }
  for (const LocationHint& known : config.locations) hint(known.track, known.node);
}

void MeshState::step(Nanos at, const MeshInput& input, MeshSink& to) {
  now = std::max(now, at);
  sink = &to;
  outputs_left = MeshNode::kMaxOutputs;
  units_left = kUnits;
  more = false;
  switch (input.kind) {
    case MeshInput::Kind::kTick:
      break;
    case MeshInput::Kind::kFrame:
      if (input.frame->kind == FrameKind::kControl) {
        on_control(*input.frame);
      } else {
        on_handshake(*input.frame);
      }
      break;
    case MeshInput::Kind::kCoreEvent:
      on_core_event(*input.core_event);
      break;
    case MeshInput::Kind::kHostCommand:
      switch (input.host->kind) {
        case HostCommandKind::kPublish:
          on_publish(*input.host);
          break;
        case HostCommandKind::kUnpublish:
          on_unpublish(*input.host);
          break;
        case HostCommandKind::kAcquire:
          on_acquire(*input.host);
          break;
        case HostCommandKind::kRelease:
          on_release(*input.host);
          break;
        case HostCommandKind::kHint:
          hint(input.host->track, input.host->node);
          break;
        case HostCommandKind::kDrain:
          on_drain(*input.host);
          break;
      }
      break;
  }
  work();
  sink = nullptr;
}

void MeshState::work() {
  const auto n = static_cast<uint32_t>(links.size());
  expire_timers();
  listen_to_due();
  for (uint32_t i = 0; i < n && room(); ++i) {
    if (!links.touched(i)) continue;
    if (link_deadline(links[i]) <= now) link_timer(links[i]);
    sweep(links[i]);
  }
  while (!dirty.empty() && room()) {
    const uint32_t t = List<&Track::dirty>::pop_front(tracks, dirty);
    spend();
    visit(t);
  }
  // Round robin: the next step begins with the one behind the last for which this one had room, so that a
  // peer with much to hear does not keep the others waiting.
  uint32_t at = pump_from;
  for (uint32_t i = 0; i < n && room(); ++i, at = at + 1 == n ? 0 : at + 1) {
    if (links.touched(at)) pump(links[at]);
  }
  pump_from = at;
  plan();
}

// What is left, and when to come back for it.
void MeshState::plan() {
  const Nanos timers = wheel.next_deadline();
  more = more || !dirty.empty() || timers <= now;
  links_due = core::kNever;
  for (uint32_t i = 0; i < links.size(); ++i) {
    if (links.touched(i)) {
      const Link& l = links[i];
      more = more || has_work(l);
      links.set_due(i, quiet_deadline(l), std::min(other_deadline(l), flush_deadline(l)));
    }
    links_due = std::min(links_due, links.due(i));
  }
  if (!more) links.untouch_all();  // otherwise the next step goes on with them
  next_step = more ? now : std::min(timers, links_due);
}

void MeshState::expire_timers() {
  std::array<uint32_t, 16> due;
  while (room()) {
    const uint32_t n = wheel.expire(now, due);
    for (uint32_t i = 0; i < n; ++i) {
      spend();
      if (outputs_left < kReserve) {
        wheel.arm(due[i], now);  // fires again in the next step, at the same instant
        continue;
      }
      const uint32_t track_timers = waiters.capacity(), publication_timers = track_timers + tracks.capacity();
      if (due[i] < track_timers) {
        waiter_timer(due[i]);
      } else if (due[i] < publication_timers) {
        track_timer(due[i] - track_timers);
      } else if (due[i] < serve_timer(0)) {
        publication_timer(due[i] - publication_timers);
      } else {
        serve_due(due[i] - serve_timer(0));
      }
    }
    if (n < due.size()) break;
  }
}

void MeshState::on_core_event(const CoreEvent& e) {
  if (e.kind == CoreEventKind::kEvidence) {
    on_evidence(e);
    return;
  }
  if (e.kind == CoreEventKind::kKeysWorn) {
    Link* const l = e.slot / 2 < links.size() ? &links[e.slot / 2] : nullptr;
    if (l != nullptr && l->active == static_cast<int8_t>(e.slot & 1))
      l->rekey_at = std::min(l->rekey_at, now);
    return;
  }
  if (e.kind == CoreEventKind::kTapFailed && e.label == Label{}) return egress_failed(e);
  const Labels::Holder holder = labels.holder(e.core, e.label);
  if (holder.owner == Labels::Owner::kTrack) {
    if (e.kind == CoreEventKind::kFlowStarted) media_started(holder.index);
    if (e.kind == CoreEventKind::kFlowIdle) media_stopped(holder.index);
    return;
  }
  if (holder.owner != Labels::Owner::kPublication) return;  // let go of meanwhile
  switch (e.kind) {
    case CoreEventKind::kFlowStarted:
      publications[holder.index].flowing = true;
      tell_serves(publications[holder.index].track);
      break;
    case CoreEventKind::kFlowIdle:
      publications[holder.index].flowing = false;
      tell_serves(publications[holder.index].track);
      break;
    case CoreEventKind::kTapReady:
    case CoreEventKind::kTapFailed:
      on_tap(holder.index, e);
      break;
    case CoreEventKind::kTooBig:
      on_too_big(holder.index, e);
      break;
    case CoreEventKind::kEvidence:
    case CoreEventKind::kKeysWorn:
    case CoreEventKind::kFlowFacts:  // the driver's
      break;
  }
}

// What is served goes on; only who asks anew hears of it.
void MeshState::on_drain(const HostCommand& c) {
  if (draining.on == c.on && draining.successor == c.node) return;
  draining = {c.on, c.on ? c.node : core::NodeId{}};
  if (!c.on) return log(LogLevel::kInfo, "not draining any more: peers are served again");
  if (c.node.value == 0) return log(LogLevel::kInfo, "draining: new requests of peers are refused");
  log(LogLevel::kInfo, "draining: new requests of peers are referred to node %llu",
      static_cast<unsigned long long>(c.node.value));
}

void MeshState::command(CoreId core, const CoreCommand& c) {
  TL_DCHECK(outputs_left > 0);
  outputs_left -= outputs_left > 0 ? 1 : 0;
  sink->command(core, c);
}

void MeshState::command_all(const CoreCommand& c) {
  for (uint32_t k = 0; k < cores; ++k) command(CoreId{static_cast<uint8_t>(k)}, c);
}

void MeshState::event(const HostEvent& e) {
  TL_DCHECK(outputs_left > 0);
  outputs_left -= outputs_left > 0 ? 1 : 0;
  if (e.kind == HostEventKind::kOutcome) record_flight(e);
  sink->event(e);
}

// Once a second for each peer, so that none fills the log.
bool MeshState::may_log(Link& l) {
  constexpr Nanos kEach = core::from_s(1);
  if (now < l.log_at) return false;
  l.log_at = now + kEach;
  return true;
}

void MeshState::log(LogLevel level, const char* format, ...) {
  char line[320];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length <= 0) return;
  sink->log(level, {line, std::min(static_cast<size_t>(length), sizeof line - 1)});
}

}  // namespace trunkline::relay::mesh
