// MeshAuditor: the judge of what no single host can see: who feeds whom, who waits for whom, what each link
// says of itself, on all nodes at one instant.
//
//   S3   a track reaches a node by one feed, and a node feeds a track to another once
//   S4   nobody waits in a circle, no media flows in one, and no way is longer than the hop limit
//   S9   a feed that is as well as ever is not given up for another: not for a lie, not for silence of others
//   S12  no slab holds more than was configured, and no step writes more than its bound
//   links: auditor_links.h
//
// The idea: nodes are read through MeshNode::inspect(), as values, and judged by functions over these values,
// which tests feed with false ones. A look at all nodes costs some microseconds, so it is taken each kLook of
// virtual time, and at once when the relations among nodes that relay could have changed.
//
// One thread; owned by the fleet, which tells it when a node starts, has run, stands still, ends.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "relay/mesh/mesh_node.h"
#include "relay/packet_path.h"
#include "tools/sim/auditor.h"
#include "tools/sim/auditor_links.h"
#include "tools/sim/network.h"

namespace trunkline::sim {

// The most nodes on the way of media, publisher first: what a path in ANSWER has room for (docs/protocol.md).
inline constexpr uint32_t kLongestPath = 8;

// That way; one node more than it may be, so that a longer one is seen. In place: a look copies hundreds.
class Way {
 public:
  Way() = default;
  Way(std::initializer_list<core::NodeId> nodes) : Way(std::span(nodes.begin(), nodes.size())) {}
  explicit Way(std::span<const core::NodeId> nodes)
      : length_(static_cast<uint8_t>(std::min(nodes.size(), nodes_.size()))) {
    std::copy_n(nodes.begin(), length_, nodes_.begin());
  }
  size_t size() const { return length_; }
  const core::NodeId* begin() const { return nodes_.data(); }
  const core::NodeId* end() const { return nodes_.data() + length_; }

 private:
  std::array<core::NodeId, kLongestPath + 1> nodes_{};
  uint8_t length_ = 0;
};

// What stands between one node and its peers, as inspect() tells it.
struct Relations {
  struct Wait {
    core::TrackId track{};
    core::NodeId on{};
    uint8_t hop_limit = 0;
    bool pending = false;
  };
  struct Feed {
    core::TrackId track{};
    core::NodeId from{};
    uint64_t generation = 0;
    bool established = false;
    Way path{};
  };
  struct Serve {
    core::TrackId track{};
    core::NodeId to{};
    bool waiting = false;
  };
  std::vector<Wait> waits;
  std::vector<Feed> feeds;
  std::vector<Serve> serves;
};

// Each returns what is wrong, in a sentence; empty: nothing. relations[i] are node i + 1's.
std::string judge_single_feed(std::span<const Relations> relations);  // S3
std::string judge_waits(std::span<const Relations> relations);        // S4: the wait-for graph
// S4: the forwarding graph. `publishes`: who has a track of its own, in truth.
using Published = std::function<bool(NodeIndex node, const core::TrackId& track)>;
std::string judge_feeds(std::span<const Relations> relations, const Published& publishes);

class MeshAuditor final : public Evidence {
 public:
  static constexpr Nanos kLook = core::from_ms(20);
  // Nodes that change whom they are fed by at the same moment may close a circle without a publisher. Each
  // learns so from the path that comes with the feed, which travels once around; then one of them lets go.
  static constexpr Nanos kCircleEnds = core::from_s(1);
  // Larger meshes are run for what they cost; a look at all pairs of nodes would be most of it.
  static constexpr size_t kMostNodes = 64;

  // All outlive it.
  MeshAuditor(const Options& options, Auditor& auditor, const Network& network, Report& report);
  MeshAuditor(const MeshAuditor&) = delete;
  MeshAuditor& operator=(const MeshAuditor&) = delete;

  // ---- what the fleet does
  void started(NodeIndex node, const relay::MeshNode& mesh, const relay::PacketPath& path,
               const relay::NodeConfig& config, Nanos now);
  void stopped(NodeIndex node);
  void still(NodeIndex node, Nanos from, Nanos until) { links_.still(node, from, until); }
  void late_by(NodeIndex node, Nanos most) { links_.late_by(node, most); }
  // The node has run: everything it did at this instant is done.
  void ran(NodeIndex) {}
  // Before each event.
  void look(Nanos now) {
    if (now >= next_look_) look_around(now);
  }
  void finish();

  // ---- Evidence
  bool well(NodeIndex a, NodeIndex b, Nanos since) const override {
    return a == b || links_.well_since(a, b) <= since;
  }
  bool link_up(NodeIndex node, NodeIndex peer) const override { return links_.up(node, peer); }
  bool drains(NodeIndex node) const override {
    return nodes_[node].mesh != nullptr && nodes_[node].mesh->draining().on;
  }
  bool are_peers(NodeIndex a, NodeIndex b) const override { return options_.links.linked(a, b); }

 private:
  struct Node {
    const relay::MeshNode* mesh = nullptr;
    const relay::PacketPath* path = nullptr;
    const relay::NodeConfig* config = nullptr;
    uint32_t lives = 0;
  };

  void look_around(Nanos now);
  void judge_limits(NodeIndex node, Nanos now);
  bool way_is_well(NodeIndex node, const Relations::Feed& feed, Nanos since) const;
  bool let_go(NodeIndex node, const core::TrackId& track, Nanos since) const;
  void judge_switches(Nanos since, Nanos now);
  void notice();
  void notice_hops(NodeIndex node);
  void collect(const Node& node);

  const Options& options_;
  Auditor& auditor_;
  Report& report_;
  std::vector<Node> nodes_;
  std::vector<Relations> relations_, before_;
  struct Switch {
    NodeIndex node;
    core::TrackId track;
    Nanos when;
  };
  std::vector<Switch> switches_;  // feeds that ended or changed hands, of the last second
  LinkAuditor links_;
  Nanos circle_since_ = core::kNever;
  Nanos next_look_{};  // kNever: the mesh is too large
};

}  // namespace trunkline::sim
