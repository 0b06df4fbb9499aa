// What the figures of the path share: options, and the line in which ours and a peer take turns.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/figure.h"

namespace trunkline::bench {

struct PathOptions {
  int repeat = 7;
  double scale = 1;  // of how much is done in a repetition: less for a smoke test
  std::vector<std::string> only;

  bool wants(const std::string& name) const {
    if (only.empty()) return true;
    return std::any_of(only.begin(), only.end(), [&](const std::string& prefix) {
      return name.compare(0, prefix.size(), prefix) == 0;
    });
  }
  uint64_t scaled(double n) const { return static_cast<uint64_t>(n * scale) + 1; }
  // Of a measurement that takes time rather than packets; long enough to be one at every scale.
  double seconds(double full) const { return std::max(0.02, full * scale); }
};

// Ours and the peer in turns, as often as asked; then the line.
inline void contest(const PathOptions& options, Figure figure, const std::function<double()>& ours,
                    const std::function<double()>& peer) {
  for (int run = 0; run < options.repeat; ++run) {
    figure.peers.push_back(peer());
    figure.ours.push_back(ours());
  }
  print(figure);
}

// Each prints the figures of its file, those that are wanted. DPDK runs already.
void ingress_figures(const PathOptions& options);  // plain RTP to its flow
void cores_figures(const PathOptions& options);    // two data cores; hand-over
void testpmd_figures(const PathOptions& options);  // is our 5tswap what DPDK's is?
void afxdp_figures(const PathOptions& options);    // a relay on AF_XDP, in namespaces of its own

}  // namespace trunkline::bench
