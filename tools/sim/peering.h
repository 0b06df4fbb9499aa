// Peering: who has a link with whom in a mesh that is too large for all to know all.
//
// The idea: a circulant graph. Node i has links to i + s and i - s (modulo n) for each s of a set of offsets,
// so every node looks like every other, and one set of offsets is all there is to find. With 30 links a node,
// 300 nodes are near the most for which every pair can be within two links (a tree of that degree and depth
// has 901 nodes, the largest circulant graphs known about 340); their offsets are given, smaller meshes find
// theirs in a moment. Where two links cannot be enough, the offsets are what the search found, and largest
// distance and share say so.
//
// Pure: the same n and degree give the same graph.
#pragma once

#include <cstdint>
#include <vector>

namespace trunkline::sim {

class Peering {
 public:
  // At most `degree` links a node. Contract: nodes >= 2, degree >= 2.
  Peering(uint32_t nodes, uint32_t degree);

  const std::vector<uint32_t>& peers(uint32_t node) const { return peers_[node]; }
  uint32_t degree() const { return static_cast<uint32_t>(peers_[0].size()); }
  // Found by looking, from node 0, of which all others are copies: how many links the farthest node is away,
  // and which part of all other nodes is at most two away.
  uint32_t diameter() const { return diameter_; }
  double within_two() const { return within_two_; }

 private:
  void measure();

  std::vector<std::vector<uint32_t>> peers_;
  uint32_t diameter_ = 0;
  double within_two_ = 0;
};

}  // namespace trunkline::sim
