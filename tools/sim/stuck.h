// The figures "never stuck": how soon each thing must happen, measured in virtual time, one by one.
//
// The seeds (World) look for broken promises under everything at once; their bounds are wide, because faults
// overlap. Here each bound is measured alone: a small fleet, one thing that happens to it, and the time until
// it was noticed or mended, minus what light needs. The worst of many moments and of many pairs of regions
// counts. Deterministic: the same build prints the same, but for the one figure that is CPU time.
//
// `tools/dev figures stuck` prints them, one JSON object per line; tests/sim/stuck_test.cc holds them against
// their goals; docs/performance.md has the table.
//
// One thread. All together they cost some seconds.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "tools/sim/replay.h"

namespace trunkline::sim {

struct StuckFigure {
  std::string name;
  std::string unit;
  std::optional<double> goal;  // at most; nothing: for information
  std::vector<double> values;  // what was measured, each time
  enum class Of : uint8_t { kMost, kMedian, kP99, kP999 } of = Of::kMost;  // which of them is the figure
  std::string note{};

  double value() const;
  bool met() const { return !goal || value() <= *goal; }
};

// What all runs together must not do. Each figure's run adds to it.
struct StuckTally {
  uint64_t acquires = 0;
  uint64_t overdue = 0;             // did not end by their deadline + 1 ms
  std::vector<std::string> broken;  // what the auditor said, and outcomes that should not have been

  // Contract: `run` is at its end, and no acquire was asked on a node that stood still.
  void add(Replay& run, const char* name);
};

using StuckFigures = std::vector<StuckFigure>;
StuckFigures stuck_absent(StuckTally& tally);
StuckFigures stuck_healthy(StuckTally& tally);
StuckFigures stuck_mismatch(StuckTally& tally);
StuckFigures stuck_hung(StuckTally& tally);
StuckFigures stuck_down(StuckTally& tally);
StuckFigures stuck_false_down(StuckTally& tally);
StuckFigures stuck_heal(StuckTally& tally);
StuckFigures stuck_failover(StuckTally& tally);
StuckFigures stuck_gray(StuckTally& tally);
StuckFigures stuck_gray_cap(StuckTally& tally);
StuckFigures stuck_restart(StuckTally& tally);
StuckFigures stuck_storm(StuckTally& tally);
// Default seeds: CPU time of each, and what of them was overdue.
StuckFigures stuck_seeds(uint64_t first_seed, uint64_t seeds, StuckTally& tally);

// All ten regions, a node in each, in the order of the enumeration; with room for thousands of acquires.
Options ten_regions();
void make_room(Replay& run);
// The link of `node` to `peer`, as the node says. Contract: the node is up, and they are peers.
relay::LinkStatus link_of(const Replay& run, NodeIndex node, NodeIndex peer);
// Of one node, or of all that are up.
uint64_t counter(const Replay& run, NodeIndex node, relay::MeshCounter which);
uint64_t counter(const Replay& run, relay::MeshCounter which);

struct StuckOptions {
  uint64_t first_seed = 1;
  uint64_t seeds = 200;
  bool large = false;  // the large mesh too: minutes
};
// Prints all. Exit code: 1 if an acquire was overdue or a promise broken; a goal that is missed is printed as
// missed.
int run_stuck_figures(const StuckOptions& options, std::FILE* out);

}  // namespace trunkline::sim
