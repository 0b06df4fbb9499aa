// Medians, ratios pair by pair, and the JSON line.
#include "bench/figure.h"

#include <algorithm>
#include <cstdio>

namespace trunkline::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void print(const Figure& f) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(f.ours.size(), f.peers.size()); ++i) {
    if (f.peers[i] > 0) ratios.push_back(f.ours[i] / f.peers[i]);
  }
  const double ratio = median(ratios);
  std::sort(ratios.begin(), ratios.end());
  std::printf(
      "{\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"peer\":\"%s\",\"peer_value\":%.4g,\"ratio\":%.4g,"
      "\"goal\":%.4g,\"better\":\"%s\",\"met\":%s,\"runs\":%zu,\"ratio_min\":%.4g,\"ratio_max\":%.4g,"
      "\"note\":\"%s\"}\n",
      f.name.c_str(), median(f.ours), f.unit.c_str(), f.peer.c_str(), median(f.peers), ratio, f.goal,
      f.lower_is_better ? "lower" : "higher",
      (f.lower_is_better ? ratio <= f.goal : ratio >= f.goal) ? "true" : "false", ratios.size(),
      ratios.empty() ? 0 : ratios.front(), ratios.empty() ? 0 : ratios.back(), f.note.c_str());
  std::fflush(stdout);
}

}  // namespace trunkline::bench
