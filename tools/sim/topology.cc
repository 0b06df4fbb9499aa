// See topology.h.
#include "tools/sim/topology.h"

#include <algorithm>

namespace trunkline::sim {

const char* topology_name(Topology topology) {
  constexpr const char* kNames[] = {"full mesh", "ring", "hub per region", "chain"};
  return kNames[static_cast<size_t>(topology)];
}

LinkSet::LinkSet(Topology topology, const std::vector<Region>& nodes) : peers_(nodes.size()) {
  const auto hub = [&](NodeIndex node) {
    const auto first = std::find(nodes.begin(), nodes.end(), nodes[node]);
    return static_cast<NodeIndex>(first - nodes.begin());
  };
  const auto next = [&](NodeIndex a, NodeIndex b) { return b == a + 1; };
  for (NodeIndex a = 0; a < size(); ++a) {
    for (auto b = static_cast<NodeIndex>(a + 1); b < size(); ++b) {
      bool peered = false;
      switch (topology) {
        case Topology::kFull:
          peered = true;
          break;
        case Topology::kRing:
          peered = next(a, b) || (a == 0 && b + 1 == size());
          break;
        case Topology::kHubs:
          peered = hub(b) == a || (hub(a) == a && hub(b) == b);
          break;
        case Topology::kChain:
          peered = next(a, b);
          break;
      }
      if (peered) link(a, b);
    }
  }
}

bool LinkSet::linked(NodeIndex a, NodeIndex b) const {
  return std::binary_search(peers_[a].begin(), peers_[a].end(), b);
}

bool LinkSet::full() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [this](const auto& peers) { return peers.size() + 1 == peers_.size(); });
}

void LinkSet::link(NodeIndex a, NodeIndex b) {
  if (a == b || linked(a, b)) return;
  const auto add = [](std::vector<NodeIndex>& to, NodeIndex node) {
    to.insert(std::upper_bound(to.begin(), to.end(), node), node);
  };
  add(peers_[a], b);
  add(peers_[b], a);
}

uint32_t LinkSet::hops(NodeIndex from, NodeIndex to) const {
  std::vector<uint32_t> distance(size(), UINT32_MAX);
  std::vector<NodeIndex> queue{from};
  distance[from] = 0;
  for (size_t at = 0; at < queue.size() && distance[to] == UINT32_MAX; ++at) {
    for (const NodeIndex peer : peers_[queue[at]]) {
      if (distance[peer] != UINT32_MAX) continue;
      distance[peer] = distance[queue[at]] + 1;
      queue.push_back(peer);
    }
  }
  return distance[to];
}

std::vector<Region> draw_regions(core::Rng& rng, uint32_t nodes) {
  // So many different regions; every one of them has a node.
  const auto different = static_cast<uint32_t>(2 + rng.below(nodes - 1));
  std::vector<Region> all;
  for (uint32_t r = 0; r < kRegions; ++r) all.push_back(static_cast<Region>(r));
  std::vector<Region> drawn;
  for (uint32_t i = 0; i < nodes; ++i) {
    if (i < different) {
      std::swap(all[i], all[i + rng.below(kRegions - i)]);
      drawn.push_back(all[i]);
    } else {
      drawn.push_back(all[rng.below(different)]);
    }
  }
  return drawn;
}

}  // namespace trunkline::sim
