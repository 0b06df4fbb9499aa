// Faults: what goes wrong, when, and when it is over. The whole schedule is drawn before the run begins, so
// that it can be printed, and so that a shrinking search can take single faults out of it.
#pragma once

#include <string>
#include <vector>

#include "tools/sim/auditor.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

enum class FaultStep : uint8_t {
  kImpair,   // the path a -> b misbehaves until the end of the phase
  kCut,      // the path a -> b is cut
  kMend,     //   and works again
  kPause,    // node a stands still
  kResume,   //   and goes on
  kCrash,    // node a is gone
  kRestart,  //   and starts again
  kSlow,     // node a runs late until the end of the phase
  kLie,      // node a is told that node b has track `track`
};

struct FaultEvent {
  Nanos time{};
  FaultStep step = FaultStep::kImpair;
  NodeIndex a = 0;
  NodeIndex b = 0;
  uint32_t track = 0;
  Nanos until{};  // kPause: when it goes on
};

// In order of time; all that begins also ends before the phase does.
std::vector<FaultEvent> draw_faults(const Options& options);
std::string describe(const FaultEvent& event);

}  // namespace trunkline::sim
