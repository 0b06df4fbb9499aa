// What the figures of core share: options, cores, clocks, and the line in which ours and a peer take turns.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/figure.h"

namespace trunkline::bench {

struct CoreOptions {
  int repeat = 5;
  double scale = 1;  // of how much is done in a repetition: less for a smoke test
  std::vector<std::string> only;

  bool wants(const std::string& name) const {
    if (only.empty()) return true;
    for (const std::string& prefix : only) {
      if (name.rfind(prefix, 0) == 0) return true;
    }
    return false;
  }
  // Whether any figure may be wanted whose name begins so: what it needs is made once for all of them.
  bool wants_of(const std::string& group) const {
    if (wants(group)) return true;
    for (const std::string& prefix : only) {
      if (prefix.rfind(group, 0) == 0) return true;
    }
    return false;
  }
  uint64_t scaled(double n) const { return static_cast<uint64_t>(n * scale) + 1; }
};

inline double now_ns() {
  return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// Ours and the peer, if there is one, in turns, as often as asked; then the line.
inline void contest(const CoreOptions& options, Figure figure, const std::function<double()>& ours,
                    const std::function<double()>& peer = nullptr) {
  if (!options.wants(figure.name)) return;
  for (int i = 0; i < options.repeat; ++i) {
    figure.ours.push_back(ours());
    if (peer) figure.peers.push_back(peer());
  }
  print(figure);
}

void ring_figures(const CoreOptions& options);
void table_figures(const CoreOptions& options);
void time_figures(const CoreOptions& options);    // timers, histogram
void memory_figures(const CoreOptions& options);  // pools, pages, allocators

// What things cost as work grows, for a plot: a line `structure,operation,size,order,ns` for each point.
void ring_curve(const CoreOptions& options);  // ns per item; size: items in a burst
void table_curve(const CoreOptions& options);
void timer_curve(const CoreOptions& options);

}  // namespace trunkline::bench
