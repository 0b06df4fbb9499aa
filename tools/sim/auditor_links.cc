// See auditor_links.h.
#include "tools/sim/auditor_links.h"

#include <algorithm>

#include "relay/liveness.h"

namespace trunkline::sim {

using relay::LinkState;

namespace {

bool accepts(const relay::WireSetting& setting, const std::string& value) {
  return std::find(setting.accepted.begin(), setting.accepted.end(), value) != setting.accepted.end();
}

}  // namespace

std::string differing_setting(const relay::NodeConfig& a, const relay::NodeConfig& b) {
  if (a.wire_version_max < b.wire_version_min || b.wire_version_max < a.wire_version_min)
    return "wire version";
  if (a.cluster != b.cluster) return "cluster";
  for (const relay::WireSetting& mine : a.wire) {
    // What one of them lacks, its wire versions do not have, and the version that they choose does not
    // compare.
    const relay::WireSetting* theirs = b.find_setting(mine.name);
    if (theirs != nullptr && (!accepts(*theirs, mine.current) || !accepts(mine, theirs->current)))
      return mine.name;
  }
  return {};
}

// The deaf end counts 150 ms from the last packet that came. The mute end is told so by the other's next
// heartbeat, which goes out each 10 ms by then, and may be told 5 ms later by its data core
// (relay/liveness.h). Where a session has just begun, which nobody outside can see, it has 2.4 heartbeats of
// patience for the first good news; how soon it is without that, tests/sim/stuck_test.cc asks.
NoticeBounds notice_bounds(Nanos there, Nanos back, Nanos extra) {
  const relay::LinkTiming timing;
  const Nanos deaf = there + extra + timing.down_after + relay::kMeshTick;
  // It may have begun with what was still on its way, and then waits a round trip for its first word.
  const Nanos begun = (there + back) * 2 + extra * 4;
  const Nanos mute = std::max(deaf + back + extra, begun) + timing.heartbeat * 12 / 5 + timing.probe +
                     relay::Liveness::kEvidenceInterval;
  return {deaf, mute};
}

LinkAuditor::LinkAuditor(const Options& options, size_t nodes, Auditor& auditor, const Network& network,
                         Report& report)
    : options_(options),
      auditor_(auditor),
      network_(network),
      report_(report),
      nodes_(nodes),
      well_(nodes_.size() * nodes_.size()),
      differs_(nodes_.size() * nodes_.size()) {
  for (Node& node : nodes_) node.know(nodes_.size());
}

void LinkAuditor::Node::know(size_t peers) {
  states.resize(peers, LinkState::kConnecting);
  since.resize(peers);
  incarnations.resize(peers);
  begun.resize(peers);
  named.resize(peers);
  downs.resize(peers);
}

void LinkAuditor::started(NodeIndex index, const relay::MeshNode& mesh, const relay::NodeConfig& config,
                          Nanos now) {
  Node& node = nodes_[index];
  const Nanos late_by = node.late_by;  // that belongs to the machine, not to the process
  node = {};
  node.late_by = late_by;
  node.know(nodes_.size());
  node.mesh = &mesh;
  node.config = &config;
  node.on_time_since = now;
  for (const Node& peer : nodes_) {
    if (peer.mesh != nullptr && peer.states[index] == LinkState::kUp && now.ns > 0)
      report_.marks.hit(Mark::reborn_unnoticed);
  }
  for (NodeIndex peer = 0; peer < nodes_.size(); ++peer) {
    const relay::NodeConfig* other = nodes_[peer].config;
    if (other == nullptr || peer == index) continue;
    const std::string differs = differing_setting(config, *other);
    differs_[index * nodes_.size() + peer] = differs_[peer * nodes_.size() + index] = differs;
  }
}

void LinkAuditor::stopped(NodeIndex index) {
  nodes_[index].mesh = nullptr;
  nodes_[index].gone_since = core::kNever;  // set at the next look
}

void LinkAuditor::still(NodeIndex node, Nanos from, Nanos until) {
  if (nodes_.empty()) return;
  nodes_[node].still_from = from;
  nodes_[node].still_until = std::max(nodes_[node].still_until, until);
}

void LinkAuditor::late_by(NodeIndex node, Nanos most) {
  if (nodes_.empty()) return;
  nodes_[node].late_by = std::max(nodes_[node].late_by, most);
}

LinkState LinkAuditor::state(NodeIndex node, NodeIndex peer) const {
  return nodes_[node].states[peer];
}

std::string LinkAuditor::name(NodeIndex node, NodeIndex peer) const {
  return "node " + std::to_string(node + 1) + " says that its link to node " + std::to_string(peer + 1);
}

// A status holds a text of 192 bytes: read only when a counter says that some link has changed.
void LinkAuditor::read(NodeIndex index, Nanos now) {
  Node& node = nodes_[index];
  using C = relay::MeshCounter;
  const relay::MeshCounters& c = node.mesh->counters();
  const uint64_t news = c.value(C::links_up) + c.value(C::links_down) + c.value(C::handshakes_refused) +
                        c.value(C::peers_reborn);
  if (news == node.news) return;
  node.news = news;
  for (relay::LinkId l = 0; l < node.mesh->link_count(); ++l) {
    const relay::LinkStatus status = node.mesh->link(l);
    const auto peer = static_cast<NodeIndex>(status.node.value - 1);
    if (peer >= nodes_.size()) continue;
    const bool was_up = node.states[peer] == LinkState::kUp;
    if (status.state == LinkState::kUp && node.downs[peer] > 0 && !was_up)
      report_.marks.hit(Mark::link_again);
    if (was_up && status.state != LinkState::kUp && ++node.downs[peer] == 4)
      report_.marks.hit(Mark::link_flapped);
    node.states[peer] = status.state;
    node.since[peer] = status.since;
    const bool reborn = status.incarnation != node.incarnations[peer];
    node.incarnations[peer] = status.incarnation;
    node.begun[peer] = reborn ? now : std::max(node.begun[peer], status.since);
    const std::string& setting = differs_[index * nodes_.size() + peer];
    node.named[peer] = status.state == LinkState::kIncompatible && !setting.empty() &&
                       std::string(status.text.data()).find(setting) != std::string::npos;
  }
}

void LinkAuditor::look(Nanos now) {
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (node.mesh == nullptr) {
      if (node.gone_since == core::kNever) node.gone_since = now;
      node.on_time_since = core::kNever;
      continue;
    }
    if (node.still_until >= now) {
      node.on_time_since = node.still_until;
      node.stood = true;
    } else if (node.stood) {
      node.stood = false;
      woke(i);
    }
    read(i, now);
  }
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    for (const NodeIndex peer : options_.links.peers(i)) judge_pair(i, peer, now);
    if (nodes_[i].mesh != nullptr) notice(i);
  }
}

void LinkAuditor::judge_pair(NodeIndex index, NodeIndex peer, Nanos now) {
  const Node& node = nodes_[index];
  const Node& other = nodes_[peer];
  Nanos& well = well_[index * nodes_.size() + peer];
  const bool carries =
      network_.cut_since(index, peer) == core::kNever && network_.cut_since(peer, index) == core::kNever;
  const bool whole = carries && !network_.impaired(index, peer) && !network_.impaired(peer, index);
  const bool both =
      on_time(node, now) && on_time(other, now) && node.late_by.ns == 0 && other.late_by.ns == 0;
  if (!whole || !both) {
    well = core::kNever;
  } else {
    // A node may have gone and come back since the last look.
    well = std::max({well == core::kNever ? now : well, node.on_time_since, other.on_time_since});
  }
  if (!on_time(node, now)) return;
  const std::string& setting = differs_[index * nodes_.size() + peer];
  if (!setting.empty()) return judge_incompatible(index, peer, setting, now);
  if (node.states[peer] != LinkState::kUp) return;
  if (carries && on_time(other, now)) return;  // there is nothing to notice
  if (feigned(node, now)) return;
  const Nanos extra = wire_extra() + node.late_by * 2 + other.late_by;
  const Nanos there = network_.delay(peer, index), back = network_.delay(index, peer);
  const auto silent_since = [&](Nanos since, Nanos bound, const char* why) {
    const Nanos from = std::max({since, node.on_time_since, node.begun[peer] + kFirstWord});
    if (since == core::kNever || now <= from + bound) return;
    auditor_.violate(now, "L1: " + name(index, peer) + " is up, " + std::to_string((now - since).ms()) +
                              " ms after " + why);
  };
  silent_since(network_.cut_since(peer, index), notice_bounds(there, back, extra).deaf,
               "the way from there was cut");
  if (on_time(other, now)) {
    // It learns so from the other's packets: they must get through, and the other must have run.
    const Nanos mute_since = network_.cut_since(index, peer) == core::kNever
                                 ? core::kNever
                                 : std::max({network_.cut_since(index, peer), other.on_time_since,
                                             network_.whole_since(peer, index)});
    const bool told = network_.cut_since(peer, index) == core::kNever && !network_.impaired(peer, index);
    // What makes the other end believe that it hears this one keeps it from saying otherwise.
    if (told && !feigned(other, now))
      silent_since(mute_since, notice_bounds(back, there, extra).mute, "the way to there was cut");
  } else {
    const Nanos since = other.mesh == nullptr ? other.gone_since : other.still_from;
    silent_since(since, notice_bounds(there, back, extra).deaf, "that node stopped");
  }
}

// What the wire may add to a way, at most.
Nanos LinkAuditor::wire_extra() const {
  const PathFaults& path = options_.path;
  const Nanos extra = path.jitter + path.reorder_by;
  if (path.rate_bps == 0) return extra;
  return extra + Nanos{static_cast<int64_t>(uint64_t{path.queue_bytes} * 8'000'000'000 / path.rate_bps)};
}

// Whether copies that the wire kept can be as good as new to that node, so that a silence is feigned away: of
// what a restored snapshot said in its former life, with keys that it uses again; or of what came while the
// node stood still, for which its socket had no room.
bool LinkAuditor::feigned(const Node& node, Nanos now) const {
  if (!options_.has(Fault::replay)) return false;
  // The last of them, and the silence after it.
  const Nanos noticed = relay::LinkTiming{}.down_after + node.late_by * 2 + relay::kMeshTick;
  const bool missed_much =
      node.still_until.ns > 0 && now < node.still_until + options_.path.replay_by + noticed;
  return options_.has(Fault::clone) || missed_much;
}

void LinkAuditor::judge_incompatible(NodeIndex index, NodeIndex peer, const std::string& setting, Nanos now) {
  const Node& node = nodes_[index];
  // A session of a former life ends when its silence is noticed.
  const Nanos there = network_.delay(peer, index);
  const Nanos known =
      std::max({node.on_time_since, nodes_[peer].on_time_since, node.begun[peer] + kFirstWord}) +
      notice_bounds(there, there, wire_extra()).deaf + node.late_by;
  const bool noticed = now > known && !feigned(node, now);
  if (node.states[peer] == LinkState::kUp && nodes_[peer].mesh != nullptr && noticed) {
    return auditor_.violate(now, "L4: " + name(index, peer) + " is up, and they differ in " + setting);
  }
  const Nanos well = well_since(index, peer);
  if (well == core::kNever || now <= well + kNamed || node.named[peer]) return;
  auditor_.violate(now, "L4: " + name(index, peer) + " is " + relay::link_state_name(node.states[peer]) +
                            " and does not name " + setting +
                            ", three seconds after all was well between them");
}

void LinkAuditor::woke(NodeIndex index) {
  const bool missed = std::all_of(nodes_.begin(), nodes_.end(), [&](const Node& peer) {
    return &peer == &nodes_[index] || peer.mesh == nullptr || peer.states[index] != LinkState::kUp;
  });
  if (missed) report_.marks.hit(Mark::woke_a_stranger);
}

// Situations.
void LinkAuditor::notice(NodeIndex index) {
  Node& node = nodes_[index];
  Marks& marks = report_.marks;
  bool any = false;
  for (NodeIndex peer = 0; peer < nodes_.size(); ++peer) {
    if (peer == index) continue;
    any = any || up(index, peer);
    const bool there = nodes_[peer].mesh != nullptr;
    if (up(index, peer) && there && !up(peer, index)) marks.hit(Mark::half_open);
  }
  if (node.was_up && !any) marks.hit(Mark::isolated);
  node.was_up = any;
}

}  // namespace trunkline::sim
