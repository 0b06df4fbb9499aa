// Options: everything that one seed decided before its run began.
//
// The idea (swarm testing, Groce et al. 2012): each seed leaves out a random part of the fault classes, from
// half of them to all, and draws the strength of the others, because a run with every fault at once hides
// what a run with two of them finds. The expanded options are printed with a failure: a seed alone means
// nothing once the drawing code has changed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/time.h"
#include "relay/config.h"
#include "tools/sim/regions.h"
#include "tools/sim/topology.h"

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
  X(location,   "locations name nodes that never had the track")                             \
  X(replay,     "a datagram arrives a second time, seconds later")                           \
  X(bandwidth,  "paths carry so many bits a second, with a finite queue in front")           \
  X(gray,       "a path loses one kind of datagram and carries the others")                  \
  X(swizzle,    "paths are cut one by one, and mended one by one in another order")          \
  X(clock,      "a node restarts with a wall clock that is hours off")                       \
  X(clone,      "a node comes back as it was: same incarnation, same random numbers")        \
  X(late_timer, "what a node does by the clock, and not by what arrives, comes late")        \
  X(stale,      "locations name nodes that had the track, and no longer have it")            \
  X(split,      "half of the nodes are told one location of a track, half another")          \
  X(limits,     "some nodes have hardly any room: LOCAL_LIMIT and BUSY")                     \
  X(drain,      "nodes leave: they take no new requests for a while")                        \
  X(unserved,   "nodes are configured not to serve some of their peers")                     \
  X(version,    "builds are rolled out and back, node by node: N-1, N, N+1")                 \
  X(setting,    "a wire-relevant setting is wrong or absent: one node, a region, all but one, all") \
  X(permanent,  "some nodes or paths never come back: the rest must do without them")       \
  X(stranger,   "somebody without keys sends what it made of datagrams that it saw")
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
  double replay = 0;
  Nanos replay_by{};  // at most
  uint64_t rate_bps = 0;
  uint32_t queue_bytes = 0;
};

// The phases, in order: 20 s of virtual time. Each has a length, and its promises are judged by other rules.
struct Phases {
  // A drain at least this long outlives all that nodes remember of tracks they no longer have and of peers
  // that are gone (ten seconds, and what a slow control stream adds), so that even that can be seen to go.
  static constexpr Nanos kForgetting = core::from_ms(12'500);
  // A permanent phase that outlives the leases of both ends of a path that works in one direction.
  static constexpr Nanos kLeases = core::from_s(24);

  Nanos warm_up = core::from_ms(1'000);   // links come up, first tracks are published
  Nanos faults = core::from_ms(12'000);   // safety: whatever happens, no promise is broken
  Nanos heal = core::from_ms(3'000);      // all faults end; at its end every link is as it should be
  Nanos liveness = core::from_ms(2'000);  // what is asked now must be answered as it should be
  Nanos permanent{};                      // some things break for good; the rest is asked again
  Nanos drain = core::from_ms(2'000);     // everything is released, and nothing may be left

  Nanos total() const { return warm_up + faults + heal + liveness + permanent + drain; }
};

// What is wrong with a wire-relevant setting, and where.
struct WrongSetting {
  enum class Kind : uint8_t { kOther, kAccepted, kAbsent } kind = Kind::kOther;
  enum class Where : uint8_t { kNowhere, kNode, kRegion, kAllButOne, kAll } where = Where::kNowhere;
  std::string name;              // "track_namespace", ...
  std::string value;             // kOther, kAccepted (where everybody accepts both: a legitimate change)
  std::vector<uint8_t> nodes{};  // 1: here
  bool from_start = false;       // else it comes with a restart during the fault phase
  bool repaired = false;         // before the fault phase is over
};

// What a node was built and configured from, at one time.
struct Build {
  uint8_t profile = 0;      // of sim_profile(): 0 is N-1, which speaks version 1 alone; 1 is N, 2 is N+1
  bool wrong_here = false;  // it has the wrong setting
  bool operator==(const Build&) const = default;
};

struct Options {
  uint64_t seed = 0;
  std::vector<Region> nodes;  // one node in each of these, ids from 1
  Topology topology = Topology::kFull;
  LinkSet links;  // among them
  Phases phases;
  uint32_t faults = 0;  // bit per Fault
  PathFaults path;
  Nanos slow_by{};                          // Fault::slow: how late, at most
  Nanos timer_by{};                         // Fault::late_timer: the same
  Nanos rekey = relay::LinkTiming{}.rekey;  // how old keys become
  bool sealed = false;                      // nodes seal for real; otherwise the model does it
  bool muted = false;                       // Fault::stranger: what it sends says nothing (S7)

  std::vector<Build> builds;   // what each node starts with
  WrongSetting wrong;          // Fault::setting
  std::vector<uint8_t> small;  // Fault::limits, by node: how many of everything; 0: enough
  std::vector<std::pair<NodeIndex, NodeIndex>> unserved;  // Fault::unserved: .first does not serve .second

  uint32_t tracks = 12;
  Nanos acquire_every{};  // mean distance of two acquires, over all nodes
  Nanos change_every{};   // mean distance of two publishes, moves or unpublishes
  Nanos media_every{};    // distance of two packets of one track
  relay::Rules rules;     // all on, but in the naive variants of a scenario

  bool has(Fault fault) const { return (faults >> static_cast<uint32_t>(fault) & 1) != 0; }
  bool is_small(NodeIndex node) const { return small[node] != 0; }
};

// Nodes in full mesh, of one build, with enough of everything, and no faults: what scenarios start from.
Options plain_options(uint64_t seed, std::vector<Region> nodes);
Options draw_options(uint64_t seed);
// A few lines for a person: every value that the seed decided.
std::string describe(const Options& options);

}  // namespace trunkline::sim
