// Builds: what a simulated node is made of and configured with, and whether two of them should get on.
//
// Nodes of builds N-1, N and N+1 are the same code with other wire profiles: {1}, {1, 2} and {2, 3}. So the
// builds beside each other have a version in common, and N-1 and N+1 have none.
#pragma once

#include <string>

#include "relay/config.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

inline constexpr uint8_t kProfiles = 3;
inline constexpr uint32_t kControlWindow = 32;  // of a node that is not small
const relay::WireProfile& sim_profile(uint8_t number);

// A node's configuration: small limits (smaller still where the options say so), its peers, and its build.
// How every other node knows `peer`.
relay::PeerConfig peer_config(NodeIndex peer);
relay::NodeConfig node_config(const Options& options, NodeIndex node, const Build& build);

// What a link between two of these builds must come to: the simulator's own judgement, made from what was
// drawn and not from what the nodes say.
enum class Meeting : uint8_t { kUp, kOtherVersion, kOtherSetting };
Meeting meeting(const WrongSetting& wrong, const Build& a, const Build& b);
// A node of this build must not start: it lacks a setting that its wire versions require.
bool must_not_start(const WrongSetting& wrong, const Build& build);

}  // namespace trunkline::sim
