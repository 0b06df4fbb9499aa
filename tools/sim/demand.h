// Demand: what the truth demands of an acquire that is asked while nothing changes, how soon, and what may be
// answered instead.
//
// The idea: a demand follows from the truth alone: who is up and meets whom, who publishes, who refuses whom,
// what was told to whom. It never looks into a node. So each excuse below is a fact of the simulated world,
// and holds only for the nodes, tracks and times that the fact concerns.
//
// Pure: it reads the fleet and the options. Once per node and track and phase.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tools/sim/fleet.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

struct Demand {
  Expect expect = Expect::kNothing;
  uint64_t also = 0;  // outcomes that are as good: a bit per number
  Nanos within{};     // 0: by the deadline
};

// What a demand needs to know about a track.
struct TrackTruth {
  struct Loss {
    NodeIndex node;
    Nanos when;
  };
  // Who went down while another published it: it may have passed it on.
  struct LossBetween {
    NodeIndex node;
    NodeIndex publisher;
    Nanos when;
  };
  core::TrackId id{};
  std::vector<NodeIndex> publishers{};  // now
  std::vector<Loss> lost{};             // who went down while it published it, or shortly after
  std::vector<LossBetween> lost_between{};
};

class Demands {
 public:
  // Both outlive this.
  Demands(const Fleet& fleet, const Options& options) : fleet_(fleet), options_(options) {}

  Demand of(NodeIndex node, const TrackTruth& track, Nanos deadline) const;

 private:
  bool meets(NodeIndex node, NodeIndex peer) const { return fleet_.meeting(node, peer) == Meeting::kUp; }
  bool serves(NodeIndex node, NodeIndex peer) const;
  // It asks and is not refused.
  bool may_have(NodeIndex node, NodeIndex from) const { return meets(node, from) && serves(from, node); }
  Nanos lies(NodeIndex node, const TrackTruth& track) const;
  Nanos direct(NodeIndex node, NodeIndex publisher, const TrackTruth& track) const;
  // How long it takes over one node in between; kNever: not promised.
  Nanos over_relay(NodeIndex node, NodeIndex publisher, const TrackTruth& track) const;
  bool sent_elsewhere(NodeIndex node, const TrackTruth& track) const;
  Nanos renewal(NodeIndex node) const;
  bool connected(NodeIndex node, NodeIndex to, std::span<const NodeIndex> gone = {}) const;
  Demand absent(NodeIndex node, const TrackTruth& track) const;
  uint64_t of_peers(NodeIndex node) const;
  uint64_t of_hints(NodeIndex node, const TrackTruth& track) const;
  bool recent(Nanos loss) const;
  bool lost_lately(const TrackTruth& track) const;
  bool lost_unnoticed(const TrackTruth& track) const;
  bool lost_on_the_way(NodeIndex node, const TrackTruth& track) const;
  uint64_t of_the_dead(NodeIndex node, const TrackTruth& track) const;
  uint64_t unreachable(NodeIndex node, NodeIndex peer) const;
  Nanos broken_for() const;

  const Fleet& fleet_;
  const Options& options_;
};

}  // namespace trunkline::sim
