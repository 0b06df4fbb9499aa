// One figure: what a bench measured of us and of a peer in the same run, and the line that `tools/dev
// figures` prints.
#pragma once

#include <string>
#include <vector>

namespace trunkline::bench {

// This thread on that core from here on.
void pin(int cpu);

// The middle value; the mean of the two middle ones for an even count. 0 for none.
double median(std::vector<double> values);

struct Figure {
  std::string name;
  std::string unit;
  std::string peer;
  double goal = 0;  // on the ratio; 0: there is none, the figure is there to be seen
  bool lower_is_better = true;
  std::vector<double> ours{};   // one value per repetition, interleaved with:
  std::vector<double> peers{};  // none: the goal is on the value itself
  std::string note{};           // conditions that belong to the figure: port, added latency, ...
};

// {"name","value","unit","peer","peer_value","ratio","goal","runs",...} on one line of stdout. `ratio` is the
// median of the ratios of neighbouring repetitions, which holds when the machine's speed drifts; value and
// peer_value are medians.
void print(const Figure& figure);

}  // namespace trunkline::bench
