// Medians, ratios pair by pair, and the JSON line.
#include "bench/figure.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace trunkline::bench {

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  sched_setaffinity(0, sizeof set, &set);
}

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
  // Without a peer the value is what the goal is on.
  const bool alone = f.peers.empty();
  const double ratio = alone ? median(f.ours) : median(ratios);
  std::sort(ratios.begin(), ratios.end());
  const auto number = [alone](double value) {
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), "%.4g", value);
    return alone ? std::string("null") : std::string(text.data());
  };
  std::string goal = "null";
  const char* met = "null";
  if (f.goal != 0) {
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), "%.4g", f.goal);
    goal = text.data();
    met = (f.lower_is_better ? ratio <= f.goal : ratio >= f.goal) ? "true" : "false";
  }
  std::printf(
      "{\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"peer\":%s,\"peer_value\":%s,\"ratio\":%s,"
      "\"goal\":%s,\"better\":\"%s\",\"met\":%s,\"runs\":%zu,\"ratio_min\":%s,\"ratio_max\":%s,"
      "\"note\":\"%s\"}\n",
      f.name.c_str(), median(f.ours), f.unit.c_str(), alone ? "null" : ("\"" + f.peer + "\"").c_str(),
      number(median(f.peers)).c_str(), number(ratio).c_str(), goal.c_str(),
      f.lower_is_better ? "lower" : "higher", met, f.ours.size(),
      number(ratios.empty() ? 0 : ratios.front()).c_str(), number(ratios.empty() ? 0 : ratios.back()).c_str(),
      f.note.c_str());
  std::fflush(stdout);
}

}  // namespace trunkline::bench
