// Fleet: the nodes of a simulation, the network between them, and the virtual time in which they live. The
// kernel of the simulator; what happens to the fleet is decided by others (World: random faults; scenario.cc:
// a script).
//
// A node runs when something arrived, when its host asked something, or when the time that it named itself
// has come: never "every microsecond". A node that stands still is not run, a slow one is run late; both find
// what came meanwhile in their inbox, as a socket would have kept it.
//
// One thread.
#pragma once

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "tools/sim/auditor.h"
#include "tools/sim/auditor_keys.h"
#include "tools/sim/auditor_mesh.h"
#include "tools/sim/builds.h"
#include "tools/sim/cluster_keys.h"
#include "tools/sim/event_queue.h"
#include "tools/sim/network.h"
#include "tools/sim/node.h"
#include "tools/sim/options.h"
#include "tools/sim/report.h"
#include "tools/sim/stranger.h"
#include "tools/sim/trace.h"

namespace trunkline::sim {

class Fleet {
 public:
  // All are down. `trace`: where to print what happens; nullptr: nowhere. `report` outlives the fleet.
  Fleet(const Options& options, Report& report, std::FILE* trace);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // ---- lives of nodes
  NodeIndex size() const { return static_cast<NodeIndex>(slots_.size()); }
  // What a node is started with; may be changed while it is down.
  relay::NodeConfig& config(NodeIndex node) { return slots_[node].config; }
  // Whether its configuration is valid is the caller's to ask.
  void start(NodeIndex node);
  // Its wall clock is wrong by so much from its next start on: incarnations are read from it.
  void set_clock(NodeIndex node, Nanos ahead) { slots_[node].clock = ahead; }
  void crash(NodeIndex node);
  // Contract: it is down. It comes back with the incarnation and the random numbers of its last start, as a
  // virtual machine does that is restored from a snapshot.
  void restore(NodeIndex node);
  // When it was last; before its first time: a moment that nothing comes before.
  Nanos restored(NodeIndex node) const { return slots_[node].restored; }
  // Whether it was restored when it last came up: it uses random numbers for a second time.
  bool is_copy(NodeIndex node) const { return slots_[node].copy; }
  // Contract: it is down. What it is started with next.
  void rebuild(NodeIndex node, const Build& build);
  const Build& build(NodeIndex node) const { return slots_[node].build; }
  void stand_still(NodeIndex node, Nanos until);
  void run_late(NodeIndex node, Nanos at_most);      // 0: on time again
  void delay_timers(NodeIndex node, Nanos at_most);  // the same, but what arrives is handled at once
  bool is_up(NodeIndex node) const { return slots_[node].node != nullptr; }
  bool any_down() const {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.node == nullptr; });
  }
  // Contract: it is up.
  const SimNode& node(NodeIndex node) const { return *slots_[node].node; }

  // ---- hosts
  // The node, if its host can act now; nullptr: it is down or stands still.
  SimNode* acting(NodeIndex node);
  // The node got something to do.
  void touch(NodeIndex node);
  void hint(NodeIndex node, const core::TrackId& track, NodeIndex named);
  void drain(NodeIndex node, bool on, NodeIndex successor);
  // What it was told in this life.
  struct Hint {
    core::TrackId track{};
    NodeIndex named = 0;
  };
  const std::vector<Hint>& hints(NodeIndex node) const { return slots_[node].hints; }

  // ---- time
  Nanos now() const { return events.now(); }
  // The next event, folded into the trace; deliveries and wakes are handled, others are the caller's.
  Event next();
  // The trace's hash each kCheckpoint: where two runs that should be one part ways.
  static constexpr Nanos kCheckpoint = core::from_ms(10);
  const std::vector<uint64_t>& checkpoints() const { return checkpoints_; }
  // All events up to `time`, for those who push none of their own.
  void run_until(Nanos time);

  // What the link between two nodes must come to; nothing: they have none, or a node or path is broken.
  std::optional<Meeting> meeting(NodeIndex a, NodeIndex b) const;
  // There and back, to the peer furthest from this one; between two.
  Nanos largest_round_trip(NodeIndex node) const;
  Nanos round_trip(NodeIndex a, NodeIndex b) const;
  // Adds what nodes and network counted to the report.
  void collect();

 private:
  struct alignas(core::kCacheLine) Slot {
    // What each event of the node looks at comes first.
    std::unique_ptr<SimNode> node;  // nullptr: down
    Nanos still_until{};
    Nanos busy_until{};            // when a slow node can act again
    Nanos late_by{};               //   and its largest delay
    Nanos timers_by{};             // how late its timers may be
    Nanos wake_at = core::kNever;  // of the kWake event that counts
    Nanos still_from{};
    Nanos clock{};  // wall clock minus true time
    Nanos restored{-1};
    bool copy = false;
    uint64_t incarnation = 0;
    relay::NodeConfig config{};
    Build build{};
    std::vector<Hint> hints{};
  };

  static Nanos free_at(const Slot& slot) { return std::max(slot.still_until, slot.busy_until); }
  void make(NodeIndex node);
  // What a stranger made of what it saw comes before the next event, where it can make no difference.
  void let_stranger_act(Nanos until);
  void tell_lateness(NodeIndex node);
  void run(NodeIndex node);
  void prefetch() const;
  void plan_wake(NodeIndex node);
  void wake(NodeIndex node);

  const Options options_;
  Report& report_;
  core::Rng lateness_;
  std::vector<Slot> slots_;
  uint64_t handled_ = 0;
  std::vector<uint64_t> checkpoints_;

 public:
  EventQueue events;
  Trace trace;
  Auditor auditor;
  KeyAuditor key_auditor;
  Network network;
  MeshAuditor mesh_auditor;

 private:
  Stranger stranger_;
  std::unique_ptr<ClusterKeys> keys_;  // where nodes seal for real
};

}  // namespace trunkline::sim
