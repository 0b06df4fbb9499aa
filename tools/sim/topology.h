// Topology: who is peered with whom.
//
// Most seeds are a full mesh, as small deployments are. The others leave links out, so that a track has to be
// reached over nodes in between. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/rng.h"
#include "tools/sim/regions.h"

namespace trunkline::sim {

using NodeIndex = uint16_t;  // position in Options::nodes; the NodeId is one more

enum class Topology : uint8_t {
  kFull,   // every two nodes
  kRing,   // each with the next, and the last with the first
  kHubs,   // the first node of each region with those of the others; the rest with their region's
  kChain,  // each with the next
};
const char* topology_name(Topology topology);

class LinkSet {
 public:
  LinkSet() = default;
  explicit LinkSet(size_t nodes) : peers_(nodes) {}  // none yet
  LinkSet(Topology topology, const std::vector<Region>& nodes);

  NodeIndex size() const { return static_cast<NodeIndex>(peers_.size()); }
  // Ascending, without the node itself; b is among a's peers exactly if a is among b's.
  const std::vector<NodeIndex>& peers(NodeIndex node) const { return peers_[node]; }
  bool linked(NodeIndex a, NodeIndex b) const;
  void link(NodeIndex a, NodeIndex b);
  bool full() const;  // every two nodes
  // How many links the shortest way has; 0: the same node; UINT32_MAX: there is none.
  uint32_t hops(NodeIndex from, NodeIndex to) const;

 private:
  std::vector<std::vector<NodeIndex>> peers_;
};

// So many nodes, in two different regions at least: regions repeat, as a region has several nodes. At most
// kRegions nodes.
std::vector<Region> draw_regions(core::Rng& rng, uint32_t nodes);

}  // namespace trunkline::sim
