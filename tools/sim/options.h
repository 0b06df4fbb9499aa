// Options: everything that one seed decided before its run began.
//
// The idea (swarm testing, Groce et al. 2012): each seed leaves out a random half of the fault classes and
// draws the strength of the others, because a run with every fault at once hides what a run with two of them
// finds. The expanded options are printed with a failure: a seed alone means nothing once the drawing code
// has changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/time.h"
#include "relay/config.h"
#include "tools/sim/regions.h"

namespace trunkline::sim {

using core::Nanos;

// clang-format off
#define TRUNKLINE_SIM_FAULTS(X)                                                              \
  X(loss,       "each datagram of an impaired path is lost with a probability")              \
  X(burst_loss, "paths fall into bursts of loss (Gilbert, Elliott)")                         \
  X(jitter,     "datagrams are delayed beyond the path's own delay")                         \
  X(duplicate,  "datagrams arrive twice")                                                    \
  X(reorder,    "datagrams are overtaken by later ones")                                     \
  X(corrupt,    "one bit of a datagram is flipped")                                          \
  X(one_way,    "a path is cut in one direction only")                                       \
  X(partition,  "a set of nodes is cut off from the others, in both directions")             \
  X(pause,      "a node stands still and goes on, up to two seconds later")                  \
  X(crash,      "a node loses all it knew and starts again, with a new incarnation")         \
  X(slow,       "a node runs late, each time it has something to do")                        \
  X(location,   "locations name nodes that never had the track, or no longer have it")
// clang-format on

enum class Fault : uint8_t {
#define X(name, text) name,
  TRUNKLINE_SIM_FAULTS(X)
#undef X
      kCount
};
inline constexpr uint32_t kFaults = static_cast<uint32_t>(Fault::kCount);
const char* fault_name(Fault fault);
const char* fault_text(Fault fault);

// How the paths between regions misbehave while the fault phase lasts.
struct PathFaults {
  double loss = 0;
  double burst_enter = 0, burst_leave = 1;  // per datagram
  Nanos jitter{};                           // the most
  double duplicate = 0;
  double reorder = 0;
  Nanos reorder_by{};
  double corrupt = 0;
};

// The phases, in order. Each has a length, and its promises are judged by other rules.
struct Phases {
  // A drain at least this long outlives all that nodes remember of tracks they no longer have (ten seconds,
  // and what a slow control stream adds), so that even that can be seen to go.
  static constexpr Nanos kForgetting = core::from_ms(12'500);

  Nanos warm_up = core::from_ms(1'000);   // links come up, first tracks are published
  Nanos faults = core::from_ms(3'500);    // safety: whatever happens, no promise is broken
  Nanos heal = core::from_ms(3'000);      // all faults end; at its end every link is up
  Nanos liveness = core::from_ms(1'600);  // what is asked now must be answered as it should be
  Nanos drain = core::from_ms(1'000);     // everything is released, and nothing may be left

  Nanos total() const { return warm_up + faults + heal + liveness + drain; }
};

struct Options {
  uint64_t seed = 0;
  std::vector<Region> nodes;  // one node in each of these, ids from 1
  Phases phases;
  uint32_t faults = 0;  // bit per Fault
  PathFaults path;
  Nanos slow_by{};  // Fault::slow: how late, at most

  uint32_t tracks = 12;
  Nanos acquire_every{};  // mean distance of two acquires, over all nodes
  Nanos change_every{};   // mean distance of two publishes, moves or unpublishes
  Nanos media_every{};    // distance of two packets of one track
  relay::Rules rules;     // all on, but in the naive variants of a scenario

  bool has(Fault fault) const { return (faults >> static_cast<uint32_t>(fault) & 1) != 0; }
};

Options draw_options(uint64_t seed);
// A few lines for a person: every value that the seed decided.
std::string describe(const Options& options);

}  // namespace trunkline::sim
