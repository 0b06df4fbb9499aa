// World: one seed, from its options to its verdict: a fleet, a workload, a schedule of faults, and the
// phases.
//
//   warm-up    links come up, tracks are published
//   faults     safety: whatever happens, no promise is broken (auditor.h)
//   heal       all faults end; tracks and builds stay as they are; at the end every link is up (L3), or
//              INCOMPATIBLE where the two builds must not work together (L4)
//   liveness   every node asks for every track, and must be told the truth, and soon (L1)
//   permanent  some nodes or paths break for good; who can still reach each other asks again (L1)
//   drain      everything is released; at the end nothing is left (S13)
//
// A seed with a stranger (stranger.h) is run a second time without: what a datagram that is not authentic may
// change is nothing, and so the two must be one run (S7).
//
// One thread.
#pragma once

#include <cstdio>
#include <vector>

#include "tools/sim/faults.h"
#include "tools/sim/fleet.h"
#include "tools/sim/options.h"
#include "tools/sim/report.h"
#include "tools/sim/workload.h"

namespace trunkline::sim {

class World {
 public:
  // `trace`: where to print what happens; nullptr: nowhere.
  World(const Options& options, Report& report, std::FILE* trace = nullptr);
  // With a schedule of faults of the caller's: what is left of a seed's own while it is being shrunk.
  World(const Options& options, std::vector<FaultEvent> faults, Report& report, std::FILE* trace = nullptr);

  // Until the end, or until the first violation.
  void run();
  const std::vector<Violation>& violations() const { return fleet_.auditor.violations(); }
  uint64_t trace_hash() const { return fleet_.trace.hash(); }
  const std::vector<uint64_t>& checkpoints() const { return fleet_.checkpoints(); }
  Nanos now() const { return fleet_.now(); }

 private:
  enum class Phase : uint8_t { kWarmUp, kSafety, kHeal, kLiveness, kPermanent, kAsking, kDrain, kOver };

  void apply(const FaultEvent& fault);
  void apply_to_path(const FaultEvent& fault);
  void apply_to_life(const FaultEvent& fault);
  bool may_start(NodeIndex node);
  void start(NodeIndex node);
  void restore(NodeIndex node);
  void stop(NodeIndex node);
  void next_phase();
  void heal();
  void check_links();
  void check_link(NodeIndex node, const relay::LinkStatus& link);
  void check_leaks();

  const Options options_;
  Fleet fleet_;
  Workload workload_;
  std::vector<FaultEvent> faults_;
  Phase phase_ = Phase::kWarmUp;
};

// What one seed gave, once all that is judged of it is judged.
struct RunResult {
  std::vector<Violation> violations;
  uint64_t hash = 0;
  Nanos ended{};
};
// When a run without a stranger parted from the same with one, in a sentence; empty: they are one.
std::string parted(const World& with, const World& without);
RunResult run_world(const Options& options, const std::vector<FaultEvent>& faults, Report& report,
                    std::FILE* trace = nullptr);

}  // namespace trunkline::sim
