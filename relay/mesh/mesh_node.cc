// The face of the mesh state machine; everything behind it is MeshState (relay/mesh/mesh_state.h).
#include <algorithm>

#include "relay/mesh/mesh_node.h"

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay {

struct MeshNode::Impl : mesh::MeshState {
  using mesh::MeshState::MeshState;
};

MeshNode::MeshNode(const NodeConfig& config, uint64_t incarnation, std::span<const uint16_t> core_ports,
                   core::Rng& rng, Crypto& crypto)
    : impl_(std::make_unique<Impl>(config, incarnation, core_ports, rng, crypto)) {}
MeshNode::~MeshNode() = default;

void MeshNode::step(Nanos now, const MeshInput& input, MeshSink& sink) {
  impl_->step(now, input, sink);
}
Nanos MeshNode::next_deadline() const {
  return impl_->next_deadline();
}

uint64_t MeshNode::incarnation() const {
  return impl_->incarnation;
}
const MeshCounters& MeshNode::counters() const {
  return impl_->counters;
}
uint64_t MeshNode::outcomes(Outcome outcome) const {
  const auto number = static_cast<uint32_t>(outcome);
  return number < kOutcomeNumbers ? impl_->outcome_counts[number].value() : 0;
}
const core::Histogram& MeshNode::acquire_time(Outcome outcome) const {
  return impl_->acquire_times[mesh::outcome_index(outcome)];
}

uint32_t MeshNode::link_count() const {
  return static_cast<uint32_t>(impl_->links.size());
}
LinkStatus MeshNode::link(LinkId link) const {
  TL_CHECK(link < impl_->links.size());
  const mesh::Link& l = impl_->links[link];
  LinkStatus status;
  status.node = l.node;
  status.state = l.shown;
  status.incarnation = l.incarnation;
  status.rtt_us = l.rtt.known() ? static_cast<uint32_t>(l.rtt.smoothed().us()) : 0;
  status.rtt_p99_us = static_cast<uint32_t>(l.rtt.p99().us());
  status.since = l.since;
  status.ejected = l.health.ejected();
  status.probe_at = l.health.probe_at();
  if (l.incompatible) status.text = l.text;
  return status;
}

MeshNode::Draining MeshNode::draining() const {
  return impl_->draining;
}

MeshNode::Usage MeshNode::usage() const {
  const Impl& m = *impl_;
  Usage usage;
  usage.tracks = m.tracks.in_use();
  usage.acquires = m.waiters.in_use();
  usage.requests = m.asks.in_use() + m.serves.in_use();
  usage.publications = m.publications.in_use();
  usage.subscriptions_up = m.fed;
  usage.subscriptions_down = m.served;
  usage.labels = m.labels.in_use();
  usage.timers = m.wheel.armed_count();
  return usage;
}

void MeshNode::explain(Nanos now, const core::TrackId& track, Explanation& out) const {
  impl_->explain(now, track, out);
}
const FlightRecorder& MeshNode::flights() const {
  return impl_->flights;
}

bool MeshNode::all_told() const {
  const mesh::Links& links = impl_->links;
  return std::all_of(links.begin(), links.end(), [](const mesh::Link& l) {
    const bool said = l.next_change == mesh::kNil && l.serve_work.empty() && l.releases.empty();
    return !l.alive || (said && l.stream.append_position() == l.stream.acked_position());
  });
}

void MeshNode::inspect(Inspector& inspector) const {
  const Impl& m = *impl_;
  for (const mesh::Link& l : m.links) {
    for (uint32_t a = l.asks.first; a != mesh::kNil; a = m.asks[a].of_link.next) {
      const mesh::Ask& ask = m.asks[a];
      if (ask.track == mesh::kNil) continue;
      const mesh::Track& track = m.tracks[ask.track];
      if (ask.state == mesh::AskState::kWaiting && ask.sent_session != 0) {
        inspector.wait({ask.track_id, l.node, ask.hop_limit, ask.pending});
      } else if (track.feed == a) {
        const bool established = track.feed_state == mesh::FeedState::kEstablished;
        inspector.feed({ask.track_id, l.node, track.generation, established, track.feed_path()});
      }
    }
    for (uint32_t s = l.serves.first; s != mesh::kNil; s = m.serves[s].of_link.next) {
      inspector.serve({m.serves[s].track_id, l.node, m.serves[s].state == mesh::ServeState::kWaiting});
    }
  }
}

}  // namespace trunkline::relay
