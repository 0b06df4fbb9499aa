// See builds.h.
#include "tools/sim/builds.h"

#include <algorithm>

#include "relay/mesh/mesh_node.h"
#include "tools/sim/network.h"

namespace trunkline::sim {

namespace {

// Enough for the workload, and little to set up: a run makes a dozen nodes.
relay::NodeLimits enough(uint32_t peers) {
  relay::NodeLimits limits;
  limits.max_peers = peers;
  limits.max_tracks = 64;
  limits.max_acquires = 256;
  limits.max_requests = 128;
  limits.max_flows_per_core = 128;
  limits.max_outputs_per_core = 1'024;
  limits.max_egress_per_core = 4;
  limits.control_window = kControlWindow;
  limits.queue_depth = 64;
  limits.command_depth = 64;
  // Twice what one step may write: the driver steps only while there is room for all of it.
  limits.core_ring_depth = 2 * relay::MeshNode::kMaxOutputs;
  limits.frame_ring_depth = 2 * relay::MeshNode::kMaxOutputs;
  limits.transmit_buffers = 8;
  return limits;
}

// Hardly any room, `few` from 1 on: each slab is too small for what the workload asks, by turns.
void shrink(relay::NodeLimits& limits, uint32_t few) {
  limits.max_acquires = 2 + few * 2;
  limits.max_tracks = 3 + few;
  limits.max_requests = 1 + few;
  limits.max_flows_per_core = 2 + few;
  limits.max_outputs_per_core = 2 + few * 2;
  limits.control_window = 2 + few / 4;
}

relay::WireProfile profile_of(uint8_t oldest, uint8_t newest) {
  relay::WireProfile profile;
  for (uint8_t number = oldest; number <= newest; ++number) {
    // A schema of its own for each: what counts is that two versions differ and one does not.
    profile.versions.push_back({number,
                                relay::production_profile().versions.front().schema + number - 1u,
                                {"track_namespace", "mtu", "suite"}});
  }
  return profile;
}

void set_wrong(relay::NodeConfig& config, const WrongSetting& wrong, bool here) {
  auto& wire = config.wire;
  const auto setting =
      std::find_if(wire.begin(), wire.end(), [&](const auto& s) { return s.name == wrong.name; });
  if (setting == wire.end()) return;
  if (wrong.kind == WrongSetting::Kind::kAccepted) setting->accepted.push_back(wrong.value);
  if (!here) return;
  if (wrong.kind == WrongSetting::Kind::kAbsent) {
    wire.erase(setting);
    return;
  }
  setting->current = wrong.value;
  if (wrong.kind == WrongSetting::Kind::kOther) setting->accepted = {wrong.value};
  if (wrong.name == "mtu") config.mtu = static_cast<uint32_t>(std::stoul(wrong.value));
}

std::string node_name(NodeIndex node) {
  return "sim-" + std::to_string(node + 1);
}

}  // namespace

const relay::WireProfile& sim_profile(uint8_t number) {
  static const relay::WireProfile kAll[kProfiles] = {profile_of(1, 1), profile_of(1, 2), profile_of(2, 3)};
  return kAll[number];
}

relay::PeerConfig peer_config(NodeIndex peer) {
  relay::PeerConfig p;
  p.id = node_id(peer);
  p.name = node_name(peer);
  p.address = node_address(peer);
  p.public_key.emplace();  // the model goes by the id
  return p;
}

relay::NodeConfig node_config(const Options& options, NodeIndex node, const Build& build) {
  relay::NodeConfig config;
  config.id = node_id(node);
  config.name = node_name(node);
  config.cluster = "lab-sim";
  config.region = region_name(options.nodes[node]);
  config.lab = true;
  config.profile = &sim_profile(build.profile);
  config.wire_version_min = config.profile->oldest();
  config.wire_version_max = config.profile->newest();
  config.listen = node_address(node);
  config.wire = {{"track_namespace", "sim", {"sim"}}, {"mtu", "1500", {"1500"}}, {"suite", "null", {"null"}}};
  if (options.wrong.where != WrongSetting::Where::kNowhere)
    set_wrong(config, options.wrong, build.wrong_here);
  config.limits = enough(std::max<uint32_t>(1, static_cast<uint32_t>(options.links.peers(node).size())));
  if (options.is_small(node)) shrink(config.limits, options.small[node]);
  config.rules = options.rules;
  config.link.rekey = options.rekey;
  config.full_mesh = options.links.full();
  config.host_queues = 2;
  for (const NodeIndex peer : options.links.peers(node)) {
    relay::PeerConfig& p = config.peers.emplace_back(peer_config(peer));
    const std::pair<NodeIndex, NodeIndex> pair{node, peer};
    p.serve = std::find(options.unserved.begin(), options.unserved.end(), pair) == options.unserved.end();
  }
  return config;
}

Meeting meeting(const WrongSetting& wrong, const Build& a, const Build& b) {
  if (a.profile + b.profile == 2 && a.profile != b.profile) return Meeting::kOtherVersion;  // N-1 and N+1
  const bool differ = wrong.where != WrongSetting::Where::kNowhere && a.wrong_here != b.wrong_here;
  if (differ && wrong.kind == WrongSetting::Kind::kOther) return Meeting::kOtherSetting;
  return Meeting::kUp;
}

bool must_not_start(const WrongSetting& wrong, const Build& build) {
  return build.wrong_here && wrong.kind == WrongSetting::Kind::kAbsent;
}

}  // namespace trunkline::sim
