// Batch: many seeds, on one or more threads, with one report.
//
// The idea: a seed is one thread's work from its beginning to its end, so worlds share nothing and need no
// lock; threads take chunks of seeds from a counter. What is printed afterwards does not depend on how many
// threads there were: reports add up, hashes are combined in the order of the seeds, and of the seeds with
// violations the lowest is the one that is reported (every lower one has been run).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/sim/report.h"

namespace trunkline::sim {

struct BatchOptions {
  uint64_t first_seed = 1;
  uint64_t seeds = 1;
  uint32_t jobs = 1;
  bool keep_going = false;  // beyond the first seed with a violation
  bool sealed = false;      // nodes seal for real
};

struct SeedResult {
  uint64_t seed = 0;
  uint64_t hash = 0;
  std::vector<Violation> violations;
};

struct BatchResult {
  Report report;
  uint64_t hash = 0;               // of all traces, in the order of their seeds
  std::vector<SeedResult> failed;  // lowest first; without keep_going at most one
  uint64_t ran = 0;                // seeds, when it ended early
};

// `progress` is called by the calling thread a few times a second with the number of seeds done.
// `each`, if any, is called after every seed, by the thread that ran it.
BatchResult run_batch(const BatchOptions& options, const std::function<void(uint64_t)>& progress = {},
                      const std::function<void(const SeedResult&)>& each = {});

// The hash of one seed's trace, combined into that of those before it.
constexpr uint64_t combine_hashes(uint64_t before, uint64_t next) {
  return before * 0x100000001b3u ^ next;
}

}  // namespace trunkline::sim
