// Shrinking: from a seed that breaks a promise to the little that is needed to break it.
//
// The idea: what a seed decided is a list of faults, a set of tracks, phases and rates. Each can be made less
// without changing how the rest is drawn, because every concern draws from a stream of its own. So: take
// faults out by bisection (delta debugging, Zeller and Hildebrandt 2002), then shorten the phases, then thin
// out tracks and acquires, then take nodes away, and keep what still breaks the same promise. What is left is
// a recipe: the seed and what differs from what it drew. A recipe is a file of a few lines that reproduces
// the run exactly.
//
// Cost: some hundred runs of one seed, a few seconds; the most is given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/sim/faults.h"
#include "tools/sim/options.h"
#include "tools/sim/report.h"
#include "tools/sim/world.h"

namespace trunkline::sim {

// A seed, and what was taken from it.
struct Recipe {
  uint64_t seed = 0;
  bool all_faults = true;
  std::vector<uint32_t> faults;  // otherwise: positions in the seed's schedule that are kept
  uint32_t nodes = 0;            // 0: as drawn; else only the first so many
  uint32_t tracks = 0;           // 0: as drawn
  int64_t thinner = 1;           // acquires and changes come so many times more seldom
  int64_t rekey_ms = 0;          // 0: as drawn
  bool sealed = false;           // for real
  bool alone = false;            // without the stranger that was drawn
  int64_t faults_ms = 0;         // 0: as drawn; the other phases are promises themselves and stay as they are
  relay::Rules rules;            // all on, but for runs of a variant

  Options options() const;
  std::vector<FaultEvent> schedule() const;
};

// As lines `key value`; and back. Nothing: `text` is no recipe; `why` says which line.
std::string to_text(const Recipe& recipe);
std::optional<Recipe> parse_recipe(const std::string& text, std::string& why);

RunResult run_recipe(const Recipe& recipe, std::FILE* trace = nullptr);

// "S1" of "S1: acquire ...".
std::string promise_of(const std::vector<Violation>& violations);

struct Shrunk {
  Recipe recipe;
  RunResult run;
  size_t faults_before = 0, faults_after = 0;
  uint32_t runs = 0;
};
// Contract: `recipe` breaks a promise.
Shrunk shrink(const Recipe& recipe, uint32_t most_runs = 400);

// At most `lines` of the run's trace: the faults, and what the nodes said last.
std::string short_trace(const Recipe& recipe, uint32_t lines = 40);

}  // namespace trunkline::sim
