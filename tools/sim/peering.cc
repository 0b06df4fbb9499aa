// How the offsets are found: start with random ones, replace one at a time, keep what covers no less.
#include "tools/sim/peering.h"

#include <algorithm>

#include "core/rng.h"

namespace trunkline::sim {

namespace {

using Offsets = std::vector<uint32_t>;

// Fifteen offsets for 300 nodes, every pair within two links. Found by annealing (200 000 steps a start, the
// 26th start); measure() checks it each time.
constexpr uint32_t kNodes300 = 300;
constexpr uint32_t kOffsets300[] = {7, 21, 33, 35, 38, 49, 57, 63, 67, 76, 77, 86, 91, 129, 138};

// How many nodes are within two links of node 0, itself included.
uint32_t covered(const Offsets& offsets, uint32_t nodes, std::vector<uint8_t>& seen) {
  std::fill(seen.begin(), seen.end(), uint8_t{0});
  seen[0] = 1;
  for (const uint32_t a : offsets) {
    seen[a] = seen[nodes - a] = 1;
    for (const uint32_t b : offsets) {
      for (const uint32_t at : {(a + b) % nodes, (a + nodes - b) % nodes})
        seen[at] = seen[(nodes - at) % nodes] = 1;
    }
  }
  return static_cast<uint32_t>(std::count(seen.begin(), seen.end(), uint8_t{1}));
}

Offsets search(uint32_t nodes, uint32_t count) {
  constexpr uint32_t kSteps = 20'000;  // a fifth of a second for a thousand nodes
  core::Rng rng(nodes);
  const auto some = [&] { return 1 + static_cast<uint32_t>(rng.below((nodes - 1) / 2)); };
  Offsets offsets(count);
  for (uint32_t& offset : offsets) offset = some();
  std::vector<uint8_t> seen(nodes);
  uint32_t best = covered(offsets, nodes, seen);
  for (uint32_t step = 0; step < kSteps && best < nodes; ++step) {
    uint32_t& offset = offsets[rng.below(count)];
    const uint32_t before = offset;
    offset = some();
    const uint32_t now = covered(offsets, nodes, seen);
    if (now < best) {
      offset = before;
    } else {
      best = now;
    }
  }
  return offsets;
}

Offsets offsets_for(uint32_t nodes, uint32_t degree) {
  if (nodes <= degree + 1) {  // everybody with everybody
    Offsets all;
    for (uint32_t offset = 1; offset <= nodes / 2; ++offset) all.push_back(offset);
    return all;
  }
  if (nodes == kNodes300 && degree >= 2 * std::size(kOffsets300)) {
    return {std::begin(kOffsets300), std::end(kOffsets300)};
  }
  return search(nodes, degree / 2);
}

}  // namespace

Peering::Peering(uint32_t nodes, uint32_t degree) : peers_(nodes) {
  for (const uint32_t offset : offsets_for(nodes, degree)) {
    for (uint32_t node = 0; node < nodes; ++node) {
      peers_[node].push_back((node + offset) % nodes);
      peers_[node].push_back((node + nodes - offset) % nodes);
    }
  }
  for (auto& peers : peers_) {
    std::sort(peers.begin(), peers.end());
    peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  }
  measure();
}

// Breadth first.
void Peering::measure() {
  constexpr uint32_t kFar = UINT32_MAX;
  std::vector<uint32_t> distance(peers_.size(), kFar);
  std::vector<uint32_t> order{0};
  distance[0] = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    for (const uint32_t peer : peers_[order[i]]) {
      if (distance[peer] != kFar) continue;
      distance[peer] = distance[order[i]] + 1;
      order.push_back(peer);
    }
  }
  diameter_ = *std::max_element(distance.begin(), distance.end());
  const auto near = std::count_if(distance.begin(), distance.end(), [](uint32_t d) { return d <= 2; });
  within_two_ = static_cast<double>(near - 1) / static_cast<double>(peers_.size() - 1);
}

}  // namespace trunkline::sim
