// LinkAuditor: what each end of a link says, held against what the wire and the other node truly do.
//
//   L1  a peer whose packets have ceased to come is not called up: 150 ms after the last could have come. The
//       end whose own packets are lost learns it from the other, one way later
//   L4  peers that may not work together never call their link up, and each names what differs within 3 s of
//       all being well between them, from any state (as a link that may come up does: L3)
//
// The idea: levels, not events. At each look every pair is held against what has been true for long enough:
// since when nothing passes (Network::cut_since), since when both nodes run on time. Nothing is scheduled, so
// nothing is forgotten when faults overlap.
//
// One thread; owned by the MeshAuditor.
#pragma once

#include <string>
#include <vector>

#include "relay/config.h"
#include "relay/mesh/mesh_node.h"
#include "tools/sim/auditor.h"
#include "tools/sim/network.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

// Why two nodes so configured may not work together: the setting that differs, or "wire version"; empty: they
// may. Written from the promise (each side's current value is in the other's accepted set), not from the
// relay's code.
std::string differing_setting(const relay::NodeConfig& a, const relay::NodeConfig& b);

// When each end must have noticed, counted from the instant at which the wire ceased to carry.
struct NoticeBounds {
  Nanos deaf;  // the end that no longer hears
  Nanos mute;  // the end that is no longer heard
};
// A link that has just come up, or whose peer has just come back as a new incarnation, is given this long for
// its first word, before the bounds count: the longest round trip where none was measured, twice, for the
// peer to say that it hears.
inline constexpr Nanos kFirstWord = core::from_s(2);
// `there`: one way in the direction that died; `back`: the other. `extra`: what faults may delay more.
NoticeBounds notice_bounds(Nanos there, Nanos back, Nanos extra);

inline constexpr Nanos kNamed = core::from_s(3);

class LinkAuditor {
 public:
  LinkAuditor(const Options& options, size_t nodes, Auditor& auditor, const Network& network, Report& report);

  void started(NodeIndex node, const relay::MeshNode& mesh, const relay::NodeConfig& config, Nanos now);
  void stopped(NodeIndex node);
  void still(NodeIndex node, Nanos from, Nanos until);
  void late_by(NodeIndex node, Nanos most);
  void look(Nanos now);

  bool up(NodeIndex node, NodeIndex peer) const { return state(node, peer) == relay::LinkState::kUp; }
  // Since when that node has said so; kNever: it does not.
  Nanos up_since(NodeIndex node, NodeIndex peer) const {
    return up(node, peer) ? nodes_[node].since[peer] : core::kNever;
  }
  // Since when both run on time and the wire between them is whole; kNever: it is not so.
  Nanos well_since(NodeIndex a, NodeIndex b) const {
    // One of them may have gone and come back since the last look.
    return std::max({well_[a * nodes_.size() + b], nodes_[a].on_time_since, nodes_[b].on_time_since});
  }

 private:
  struct Node {
    void know(size_t peers);  // none of them yet

    const relay::MeshNode* mesh = nullptr;
    const relay::NodeConfig* config = nullptr;
    Nanos gone_since{};     // when mesh is nullptr
    Nanos on_time_since{};  // started, or went on
    Nanos still_from{-1}, still_until{-1};
    Nanos late_by{};
    uint64_t news = UINT64_MAX;            // counters of its links when they were last read
    std::vector<relay::LinkState> states;  // by peer's index
    std::vector<Nanos> since;              // of these
    std::vector<uint64_t> incarnations;    // of the peers, as they are known here
    std::vector<Nanos> begun;              // a session with another of these, or a link
    std::vector<bool> named;               // INCOMPATIBLE, and the text names the setting
    std::vector<uint32_t> downs;           // times the link went down in this life
    bool was_up = false;
    bool stood = false;  // still, at the last look
  };

  relay::LinkState state(NodeIndex node, NodeIndex peer) const;
  void read(NodeIndex node, Nanos now);
  void judge_pair(NodeIndex node, NodeIndex peer, Nanos now);
  Nanos wire_extra() const;
  bool feigned(const Node& node, Nanos now) const;
  void judge_incompatible(NodeIndex node, NodeIndex peer, const std::string& setting, Nanos now);
  void woke(NodeIndex node);
  void notice(NodeIndex node);
  bool on_time(const Node& node, Nanos now) const { return node.mesh != nullptr && node.still_until < now; }
  std::string name(NodeIndex node, NodeIndex peer) const;

  const Options& options_;
  Auditor& auditor_;
  const Network& network_;
  Report& report_;
  std::vector<Node> nodes_;
  std::vector<Nanos> well_;
  std::vector<std::string> differs_;  // by pair; computed when a node starts
};

}  // namespace trunkline::sim
