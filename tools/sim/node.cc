// See node.h.
#include "tools/sim/node.h"

#include <algorithm>
#include <bit>

#include "relay/model_suite.h"
#include "relay/node_runtime.h"
#include "tools/sim/audited_crypto.h"
#include "tools/sim/media.h"
#include "tools/sim/streams.h"

namespace trunkline::sim {

using relay::HostCommand;
using relay::HostCommandKind;
using relay::HostEventKind;

namespace {

constexpr uint32_t kPacketBytes = 172;  // an Opus packet of 20 ms at 64 kbit/s, with its RTP header

constexpr uint16_t kPorts[1] = {4400};

std::unique_ptr<relay::Crypto> audited(std::unique_ptr<relay::Crypto> crypto, KeyAuditor* keys,
                                       const relay::NodeConfig& config) {
  if (keys == nullptr) return crypto;
  return std::make_unique<AuditedCrypto>(std::move(crypto), *keys, config);
}

}  // namespace

SimNode::SimNode(NodeIndex index, uint64_t seed, const relay::NodeConfig& config, uint64_t incarnation,
                 std::unique_ptr<relay::Crypto> crypto, Network& network, Auditor& auditor, KeyAuditor* keys,
                 Trace& trace)
    : index_(index),
      auditor_(auditor),
      trace_(trace),
      rng_(stream(seed, "node", incarnation * 1'000 + index)),
      crypto_(audited(
          crypto != nullptr ? std::move(crypto) : std::make_unique<relay::ModelCrypto>(rng_, node_id(index)),
          keys, config)),
      wired_(make_port(network, config)),
      rings_(config, pages_),
      mesh_(config, incarnation, kPorts, rng_, *crypto_),
      driver_(config, mesh_, rings_),
      path_(std::make_unique<relay::PacketPath>(config, core::CoreId{0}, *wired_, *crypto_, pages_,
                                                *rings_.cores[0])),
      queues_(config.host_queues) {
  TL_CHECK(path_->open_mesh(config.listen).has_value());
  for (auto& channel : rings_.channels) TL_CHECK(channel->open());
  mesh_due_ = driver_.next_deadline();
}

// As NodeRuntime does it: a virtual WAN is the product's own.
std::unique_ptr<io::Port> SimNode::make_port(Network& network, const relay::NodeConfig& config) {
  constexpr uint32_t kOnTheWay = 2'048;  // a few hundred datagrams per tick, for as long as a way is
  auto port = std::make_unique<io::SimPort>(network, pages_, core::UdpAddress{});
  port_ = port.get();
  if (config.impairments.empty()) return port;
  io::ImpairedOptions options;
  options.pages = &pages_;
  options.capacity = kOnTheWay;
  options.seed = config.impairment_seed;
  return std::make_unique<io::ImpairedPort>(std::move(port), relay::impaired_paths(config), options);
}

// ---- running

void SimNode::run(Nanos now) {
  if (!settle(now)) {
    auditor_.violate(now, "S12: node " + std::to_string(index_ + 1) + " never comes to rest at this instant");
  }
  // The bits by which a driver knows whom to wake.
  const uint64_t packets = path_->take_touched_queues();
  const relay::Touched touched = driver_.take_touched();
  for (uint64_t left = packets | touched.channels; left != 0; left &= left - 1) {
    const auto queue = static_cast<uint16_t>(std::countr_zero(left));
    take_packets(queue, now);
    take_events(queue, now);
  }
  if (touched.log) take_log(now);
  // What does not add up stays so: it need not be seen at once.
  constexpr uint32_t kEach = 16;
  if (++runs_ % kEach == 0) check_conservation(now);
}

void SimNode::run_aside(Nanos now) {
  const Nanos due = due_, mesh_due = mesh_due_;
  path_->run_once(now);
  run(now);
  due_ = std::min(due_, due);
  mesh_due_ = std::min(mesh_due_, mesh_due);
}

// The mesh thread and the data core by turns, until neither has anything to do at this instant. In production
// they run side by side; any order in which they may meet is an order in which events may arrive here.
bool SimNode::settle(Nanos now) {
  constexpr uint32_t kRounds = 4'096;
  Nanos path_due = path_->next_due();
  bool path_runs = path_due <= now || path_waiting();
  for (uint32_t round = 0; round < kRounds; ++round) {
    if (path_runs) path_->run_once(now);
    const bool mesh_runs = mesh_due_ <= now || (mesh_was_told() && driver_.has_input());
    if (mesh_runs) run_mesh(now);
    path_due = path_->next_due();
    path_runs = path_due <= now || path_waiting();
    if (path_runs || mesh_runs) continue;
    due_ = std::min(mesh_due_, path_due);
    return true;
  }
  return false;
}

void SimNode::run_mesh(Nanos now) {
  driver_.run_once(now);
  mesh_due_ = driver_.next_deadline();
  const auto has_commands = [](const auto& channel) { return channel->commands.size_approx() != 0; };
  commanded_ = std::any_of(rings_.channels.begin(), rings_.channels.end(), has_commands);
}

void SimNode::deliver(const Network::Arrival& arrival) {
  port_->deliver(arrival.from, arrival.to, arrival.bytes);
}

void SimNode::prefetch(uint32_t session_slot) const {
  path_->prefetch(session_slot);
  port_->prefetch();
}

void SimNode::prefetch_self() const {
  core::prefetch_between(this, &rings_);
  core::prefetch_between(&mesh_, &event_);
}

// What DataCore looks at before it sleeps.
bool SimNode::path_waiting() const {
  const relay::CoreRings& rings = *rings_.cores[0];
  if (port_->waiting() != 0 || rings.commands.size_approx() != 0 || rings.frames_in.size_approx() != 0)
    return true;
  const auto has_packets = [](const auto& queue) { return queue->to_core.size_approx() != 0; };
  return std::any_of(rings.queues.begin(), rings.queues.end(), has_packets);
}

// Most events are heartbeats, of which the mesh hears nothing. To see that without looking at what is its own
// spares a dozen cache lines; whether it can take what there is, is the driver's to say.
bool SimNode::mesh_was_told() const {
  const relay::CoreRings& rings = *rings_.cores[0];
  return commanded_ || rings.events.size_approx() != 0 || rings.frames_out.size_approx() != 0;
}

void SimNode::count_drops(Report& report) const {
  if (path_ == nullptr) return;
  for (size_t i = 0; i < report.drops.size(); ++i) {
    report.drops[i] += path_->drops().value(static_cast<relay::DropReason>(i));
  }
}

void SimNode::check_conservation(Nanos now) {
  if (path_ == nullptr) return;
  const relay::Conservation sum = path_->conservation();
  if (sum.holds()) return;
  auditor_.violate(now, "S11: node " + std::to_string(index_ + 1) + " received " +
                            std::to_string(sum.received) + " units, but forwarded " +
                            std::to_string(sum.forwarded) + ", dropped " + std::to_string(sum.dropped) +
                            " and holds " + std::to_string(sum.held));
  static_cast<void>(path_.release());
}

// ---- what comes for the host

void SimNode::take_packets(uint16_t queue, Nanos now) {
  relay::HostPacketRing& ring = rings_.cores[0]->queues[queue]->to_host;
  for (auto packets = ring.peek(ring.capacity()); !packets.empty(); packets = ring.peek(ring.capacity())) {
    for (const relay::HostPacket& packet : packets) {
      const auto found = queues_[queue].auditor_handle.find(packet.handle);
      trace_.fold(packet.handle ^ packet.length);
      if (found == queues_[queue].auditor_handle.end()) {
        auditor_.violate(
            now, "S2: node " + std::to_string(index_ + 1) + ": a packet for a handle nobody was given");
        continue;
      }
      if (packet.kind == relay::HostPacketKind::kFeedback) continue;  // a keyframe request of the path's own
      auditor_.packet(index_, found->second, {packet.bytes, packet.length}, now);
    }
    ring.release(static_cast<uint32_t>(packets.size()));
  }
}

void SimNode::take_log(Nanos now) {
  for (auto lines = rings_.log.peek(relay::kLogDepth); !lines.empty();
       lines = rings_.log.peek(relay::kLogDepth)) {
    for (const relay::LogLine& line : lines) {
      if (!trace_.printing()) break;
      trace_.line(
          now, "node " + std::to_string(index_ + 1) + " says: " + std::string(line.text.data(), line.length));
    }
    rings_.log.release(static_cast<uint32_t>(lines.size()));
  }
}

void SimNode::take_events(uint16_t queue, Nanos now) {
  relay::HostChannel& channel = *rings_.channels[queue];
  while (channel.take(event_)) {
    const uint64_t handle = event_.handle;
    const auto found = queues_[queue].auditor_handle.find(handle);
    event_.handle = found == queues_[queue].auditor_handle.end() ? UINT64_MAX - 1 : found->second;
    trace_.fold(event_.handle << 16 | static_cast<uint64_t>(event_.kind) << 8 |
                static_cast<uint64_t>(event_.outcome));
    if (trace_.printing()) {
      trace_.line(now, "node " + std::to_string(index_ + 1) + " event " +
                           std::to_string(static_cast<int>(event_.kind)) + " handle " +
                           std::to_string(event_.handle) + " " + relay::outcome_name(event_.outcome) +
                           " by node " + std::to_string(event_.node.value) + " " + event_.text.data());
    }
    auditor_.event(index_, event_, now);
    const bool first = event_.kind == HostEventKind::kPublished ||
                       (event_.kind == HostEventKind::kOutcome && event_.outcome == relay::Outcome::ok);
    if (first || event_.kind == HostEventKind::kTooBig) continue;
    if (relay::HandleTable::Entry* entry = channel.handles.find(handle)) channel.handles.free(entry);
  }
}

// ---- the host's calls

bool SimNode::command(HostCommand& command) {
  commanded_ = true;
  return rings_.channels[command.queue]->commands.try_push(command);
}

uint64_t SimNode::new_handle(uint16_t queue, uint64_t auditor_handle) {
  relay::HandleTable::Entry* entry =
      rings_.channels[queue]->handles.try_alloc(Auditor::is_publication(auditor_handle));
  TL_CHECK(entry != nullptr);  // the caller has asked room()
  queues_[queue].auditor_handle[entry->handle] = auditor_handle;
  queues_[queue].node_handle[auditor_handle] = entry->handle;
  return entry->handle;
}

bool SimNode::publish(uint64_t handle, const Publication& publication, Nanos now) {
  HostCommand c;
  c.kind = HostCommandKind::kPublish;
  c.queue = publication.queue;
  c.handle = new_handle(publication.queue, handle);
  c.track = publication.id;
  c.submitted = now;
  c.generation = publication.generation;
  c.traffic_class = relay::TrafficClass::kAudio;
  return command(c);
}

bool SimNode::unpublish(uint64_t handle, const Publication& publication, Nanos now) {
  HostCommand c;
  c.kind = HostCommandKind::kUnpublish;
  c.queue = publication.queue;
  c.handle = queues_[publication.queue].node_handle.at(handle);
  c.track = publication.id;
  c.submitted = now;
  return command(c);
}

bool SimNode::acquire(uint64_t handle, const Acquisition& acquisition, Nanos rendezvous, Nanos now) {
  HostCommand c;
  c.kind = HostCommandKind::kAcquire;
  c.queue = acquisition.queue;
  c.handle = new_handle(acquisition.queue, handle);
  c.track = acquisition.id;
  c.submitted = now;
  c.deadline = acquisition.deadline;
  c.rendezvous = rendezvous;
  return command(c);
}

bool SimNode::release(uint64_t handle, const Acquisition& acquisition, Nanos now) {
  HostCommand c;
  c.kind = HostCommandKind::kRelease;
  c.queue = acquisition.queue;
  c.handle = queues_[acquisition.queue].node_handle.at(handle);
  c.track = acquisition.id;
  c.submitted = now;
  return command(c);
}

bool SimNode::room(uint16_t queue) const {
  const relay::HandleTable& handles = rings_.channels[queue]->handles;
  return handles.in_use() < handles.size();
}

void SimNode::drain(bool on, core::NodeId successor, Nanos now) {
  HostCommand c;
  c.kind = HostCommandKind::kDrain;
  c.node = successor;
  c.on = on;
  c.submitted = now;
  static_cast<void>(command(c));
}

void SimNode::hint(const core::TrackId& track, core::NodeId node, Nanos now) {
  HostCommand c;
  c.kind = HostCommandKind::kHint;
  c.track = track;
  c.node = node;
  c.submitted = now;
  static_cast<void>(command(c));  // a hint that finds the ring full is a hint less
}

bool SimNode::send(uint64_t handle, const Publication& publication, uint32_t number) {
  auto slots = rings_.cores[publication.core.value]->queues[publication.queue]->to_core.claim(1);
  if (slots.empty()) return false;
  relay::HostPacket& packet = slots[0];
  packet.handle = queues_[publication.queue].node_handle.at(handle);
  packet.flow = publication.flow;
  packet.kind = relay::HostPacketKind::kMedia;
  packet.traffic_class = relay::kClassOfTrack;
  packet.keyframe = packet.frame_end = false;
  packet.layer = 0;
  packet.length = kPacketBytes;
  write_stamp({publication.id, static_cast<uint32_t>(handle >> 1), number}, {packet.bytes, kPacketBytes});
  rings_.cores[publication.core.value]->queues[publication.queue]->to_core.commit(1);
  return true;
}

std::string SimNode::leak(bool forgotten, uint32_t hints) const {
  const relay::MeshNode::Usage u = mesh_.usage();
  const auto names = [&](const char* what, uint32_t n) {
    return "S13: node " + std::to_string(index_ + 1) + " still has " + std::to_string(n) + " " + what;
  };
  if (u.acquires != 0) return names("acquires", u.acquires);
  if (u.requests != 0) return names("requests", u.requests);
  if (u.subscriptions_up != 0) return names("subscriptions to peers", u.subscriptions_up);
  if (u.subscriptions_down != 0) return names("subscriptions of peers", u.subscriptions_down);
  if (u.labels != 0) return names("labels", u.labels);
  if (path_->transmit_buffers_in_use() != 0)
    return names("transmit buffers", path_->transmit_buffers_in_use());
  if (port_->waiting() != 0) return names("datagrams", port_->waiting());
  if (!forgotten) return {};
  if (u.publications != 0) return names("publications", u.publications);
  if (u.timers != 0) return names("timers", u.timers);
  if (u.tracks > hints) return names("tracks", u.tracks);
  return {};
}

}  // namespace trunkline::sim
