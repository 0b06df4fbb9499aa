// Faults: what goes wrong, when, and when it is over. The whole schedule is drawn before the run begins, so
// that it can be printed, and so that a shrinking search can take single faults out of it.
#pragma once

#include <string>
#include <vector>

#include "tools/sim/auditor.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

enum class FaultStep : uint8_t {
  kImpair,     // the path a -> b misbehaves until the end of the phase
  kCut,        // the path a -> b is cut
  kMend,       //   and works again
  kGray,       // the path a -> b loses what `gray` says
  kClear,      //   and no longer
  kPause,      // node a stands still until `until`
  kResume,     //   and goes on
  kCrash,      // node a is gone
  kRollOut,    // node a is stopped, and gets the profile of `build`
  kConfigure,  // node a is stopped, and gets the configuration of `build`
  kRestart,    // node a, which is down, starts
  kRestore,    // node a, which is down, starts as it last did: a snapshot of that moment
  kClock,      // node a's wall clock is `by` off from now on; it is read at the next start
  kSlow,       // node a runs late until the end of the phase
  kTimers,     // node a's timers are late until the end of the phase
  kLie,        // node a is told that node b has track `track`
  kStale,      // node a is told that track `track` is where it was before
  kDrain,      // node a takes no new requests; b takes over
  kUndrain,    //   and takes them again
};

// What a gray path loses; everything else passes.
enum class Gray : uint8_t {
  kMedia,        // media records
  kControl,      // control records
  kAllButAlive,  // all data but heartbeats and probes: it looks alive
  kAlive,        // heartbeats and probes: it looks dead
  kHandshake,    // handshakes: what is up stays up, what goes down stays down
  kLarge,        // datagrams above `size` bytes, as a router does whose "too big" is filtered away
};

struct FaultEvent {
  Nanos time{};
  FaultStep step = FaultStep::kImpair;
  NodeIndex a = 0;
  NodeIndex b = 0;
  uint32_t track = 0;
  Nanos until{};
  Nanos by{};
  Gray gray = Gray::kMedia;
  uint32_t size = 0;
  Build build{};
};

// In order of time; all that begins also ends before the fault phase does, but for what the permanent phase
// begins with.
std::vector<FaultEvent> draw_faults(const Options& options);
std::string describe(const FaultEvent& event);

}  // namespace trunkline::sim
