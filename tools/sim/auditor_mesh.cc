// See auditor_mesh.h.
#include "tools/sim/auditor_mesh.h"

#include <algorithm>

namespace trunkline::sim {

namespace {

std::string name(core::NodeId node) {
  return "node " + std::to_string(node.value);
}

// Copies what inspect() shows.
class Copy final : public relay::MeshNode::Inspector {
 public:
  explicit Copy(Relations& to) : to_(to) {
    to.waits.clear();
    to.feeds.clear();
    to.serves.clear();
  }
  void wait(const relay::MeshNode::WaitView& v) override {
    to_.waits.push_back({v.track, v.on, v.hop_limit, v.pending});
  }
  void feed(const relay::MeshNode::FeedView& v) override {
    to_.feeds.push_back({v.track, v.from, v.generation, v.established, Way(v.path)});
  }
  void serve(const relay::MeshNode::ServeView& v) override {
    to_.serves.push_back({v.track, v.to, v.waiting});
  }

 private:
  Relations& to_;
};

// Follows `next` from every node; the way back to where it began, as "1 -> 2 -> 1"; empty: there is none.
// `next` appends the nodes that a node depends on for the track.
template <class Next>
std::string circle(std::span<const Relations> relations, const core::TrackId& track, NodeIndex start,
                   Next&& next) {
  // At most a few nodes take part: depth first, without a memory of its own but the path.
  std::vector<NodeIndex> path{start};
  std::vector<std::vector<NodeIndex>> left{next(start, track)};
  std::vector<bool> seen(relations.size());
  while (!left.empty()) {
    if (left.back().empty()) {
      left.pop_back();
      path.pop_back();
      continue;
    }
    const NodeIndex to = left.back().back();
    left.back().pop_back();
    if (to == start) {
      std::string text;
      for (const NodeIndex node : path) text += std::to_string(node + 1) + " -> ";
      return text + std::to_string(start + 1);
    }
    if (to >= relations.size() || seen[to]) continue;
    seen[to] = true;
    path.push_back(to);
    left.push_back(next(to, track));
  }
  return {};
}

}  // namespace

// ---- S3

std::string judge_single_feed(std::span<const Relations> relations) {
  for (size_t i = 0; i < relations.size(); ++i) {
    const std::string here = "S3: " + name(node_id(static_cast<NodeIndex>(i)));
    const auto& feeds = relations[i].feeds;
    for (size_t f = 0; f < feeds.size(); ++f) {
      for (size_t g = f + 1; g < feeds.size(); ++g) {
        if (feeds[f].track == feeds[g].track) {
          return here + " is fed track " + feeds[f].track.hex() + " by " + name(feeds[f].from) + " and by " +
                 name(feeds[g].from);
        }
      }
    }
    const auto& serves = relations[i].serves;
    for (size_t s = 0; s < serves.size(); ++s) {
      // Those to one node stand together.
      for (size_t t = s + 1; t < serves.size() && serves[t].to == serves[s].to; ++t) {
        if (serves[s].track == serves[t].track && !serves[s].waiting && !serves[t].waiting) {
          return here + " serves track " + serves[s].track.hex() + " twice to " + name(serves[s].to);
        }
      }
    }
  }
  return {};
}

// ---- S4

// Node a waits for node b when a's request may be passed on, and b holds it until others have answered.
std::string judge_waits(std::span<const Relations> relations) {
  const auto held = [&](NodeIndex by, const core::TrackId& track, core::NodeId of) {
    const auto& serves = relations[by].serves;
    return std::any_of(serves.begin(), serves.end(), [&](const Relations::Serve& s) {
      return s.waiting && s.track == track && s.to == of;
    });
  };
  const auto next = [&](NodeIndex from, const core::TrackId& track) {
    std::vector<NodeIndex> to;
    for (const Relations::Wait& wait : relations[from].waits) {
      const auto on = static_cast<NodeIndex>(wait.on.value - 1);
      if (!(wait.track == track) || on >= relations.size()) continue;
      if ((wait.hop_limit > 0 || wait.pending) && held(on, track, node_id(from))) to.push_back(on);
    }
    return to;
  };
  for (NodeIndex i = 0; i < relations.size(); ++i) {
    for (const Relations::Wait& wait : relations[i].waits) {
      if (wait.hop_limit == 0 && !wait.pending) continue;
      const std::string way = circle(relations, wait.track, i, next);
      if (!way.empty())
        return "S4: nodes wait for each other in a circle: " + way + ", track " + wait.track.hex();
    }
  }
  return {};
}

// Media comes to node a from node b when a says that b feeds it, b says that it serves a, and b does not
// publish the track itself. What one of them believes alone is a message on its way.
std::string judge_feeds(std::span<const Relations> relations, const Published& publishes) {
  const auto next = [&](NodeIndex at, const core::TrackId& track) {
    std::vector<NodeIndex> to;
    for (const Relations::Feed& feed : relations[at].feeds) {
      const auto from = static_cast<NodeIndex>(feed.from.value - 1);
      if (!(feed.track == track) || from >= relations.size() || publishes(from, track)) continue;
      const auto& serves = relations[from].serves;
      const auto serves_it = [&](const Relations::Serve& s) {
        return s.track == track && s.to == node_id(at) && !s.waiting;
      };
      if (std::any_of(serves.begin(), serves.end(), serves_it)) to.push_back(from);
    }
    return to;
  };
  for (NodeIndex i = 0; i < relations.size(); ++i) {
    for (const Relations::Feed& feed : relations[i].feeds) {
      // Most are fed by a publisher, whom nobody feeds: nothing to follow.
      const auto from = static_cast<NodeIndex>(feed.from.value - 1);
      const auto same = [&](const Relations::Feed& f) { return f.track == feed.track; };
      const bool relayed = from < relations.size() &&
                           std::any_of(relations[from].feeds.begin(), relations[from].feeds.end(), same);
      const std::string way = !relayed ? std::string{} : circle(relations, feed.track, i, next);
      if (!way.empty()) return "S4: media flows in a circle: " + way + ", track " + feed.track.hex();
      if (feed.path.size() > kLongestPath) {
        return "S4: " + name(node_id(i)) + " is fed track " + feed.track.hex() + " over " +
               std::to_string(feed.path.size()) + " nodes";
      }
      if (std::find(feed.path.begin(), feed.path.end(), node_id(i)) != feed.path.end()) {
        return "S4: " + name(node_id(i)) + " is fed track " + feed.track.hex() + " by a way that contains it";
      }
    }
  }
  return {};
}

// ---- the looks

MeshAuditor::MeshAuditor(const Options& options, Auditor& auditor, const Network& network, Report& report)
    : options_(options),
      auditor_(auditor),
      report_(report),
      nodes_(options.nodes.size()),
      relations_(nodes_.size()),
      before_(nodes_.size()),
      links_(options, nodes_.size() <= kMostNodes ? nodes_.size() : 0, auditor, network, report),
      next_look_(nodes_.size() <= kMostNodes ? Nanos{} : core::kNever) {
  nodes_.size() <= kMostNodes ? auditor.use(*this) : auditor.wires_are_unknown();
}

void MeshAuditor::started(NodeIndex node, const relay::MeshNode& mesh, const relay::PacketPath& path,
                          const relay::NodeConfig& config, Nanos now) {
  nodes_[node].mesh = &mesh;
  nodes_[node].path = &path;
  nodes_[node].config = &config;
  if (++nodes_[node].lives > 1) report_.marks.hit(Mark::reborn);
  if (nodes_.size() <= kMostNodes) links_.started(node, mesh, config, now);
}

void MeshAuditor::collect(const Node& node) {
  report_.marks.collect(node.mesh->counters());
  report_.marks.collect(node.path->drops());
}

void MeshAuditor::stopped(NodeIndex node) {
  collect(nodes_[node]);
  nodes_[node].mesh = nullptr;
  nodes_[node].path = nullptr;
  relations_[node] = {};
  if (nodes_.size() <= kMostNodes) links_.stopped(node);
}

void MeshAuditor::finish() {
  for (Node& node : nodes_) {
    if (node.mesh != nullptr) collect(node);
    node.mesh = nullptr;
  }
}

void MeshAuditor::look_around(Nanos now) {
  const Nanos last_look = next_look_ - kLook;
  next_look_ = now + kLook;
  links_.look(now);
  std::swap(before_, relations_);
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    Copy copy(relations_[i]);
    if (nodes_[i].mesh == nullptr) continue;
    nodes_[i].mesh->inspect(copy);
    judge_limits(i, now);
  }
  const auto publishes = [this](NodeIndex node, const core::TrackId& track) {
    return auditor_.publishes(node, track);
  };
  for (const std::string& wrong : {judge_single_feed(relations_), judge_waits(relations_)}) {
    if (!wrong.empty()) auditor_.violate(now, wrong);
  }
  const std::string circle = judge_feeds(relations_, publishes);
  if (circle.empty()) circle_since_ = core::kNever;
  if (!circle.empty() && circle_since_ == core::kNever) circle_since_ = now;
  if (!circle.empty() && now - circle_since_ >= kCircleEnds) auditor_.violate(now, circle);
  judge_switches(last_look, now);
  notice();
}

// S12
void MeshAuditor::judge_limits(NodeIndex index, Nanos now) {
  const Node& node = nodes_[index];
  const relay::MeshNode::Usage u = node.mesh->usage();
  const relay::NodeLimits& l = node.config->limits;
  const auto most = [&](const char* what, uint32_t used, uint32_t limit) {
    if (used <= limit) return;
    auditor_.violate(now, "S12: " + name(node_id(index)) + " has " + std::to_string(used) + " " + what +
                              " of " + std::to_string(limit));
  };
  most("tracks", u.tracks, l.max_tracks);
  most("acquires", u.acquires, l.max_acquires);
  most("publications", u.publications, l.max_tracks);
  // Requests of peers; and two of its own for each track, and one for each peer that is to be released.
  most("requests", u.requests,
       l.max_requests + 2 * l.max_tracks + static_cast<uint32_t>(node.config->peers.size()));
  most("labels", u.labels, l.max_flows_per_core * node.config->data_cores);
}

// Whether each link over which the feed came has been well since then, and each node on the way has had it
// throughout, from the same peer. What a node upstream has lost those behind it learn from it, and need not
// wait for it to find something else; perhaps they find it for both.
bool MeshAuditor::way_is_well(NodeIndex node, const Relations::Feed& feed, Nanos since) const {
  const Relations::Feed* at = &feed;
  for (size_t hop = 0; hop < nodes_.size(); ++hop) {
    const auto from = static_cast<NodeIndex>(at->from.value - 1);
    const Nanos well = links_.well_since(node, from);
    if (well == core::kNever || well > since) return false;
    // It takes the link a while to come up after that, and until then another way is sought.
    if (links_.up_since(node, from) > since || links_.up_since(from, node) > since) return false;
    if (std::any_of(switches_.begin(), switches_.end(), [&](const Switch& s) {
          return s.node == from && s.track == feed.track && s.when > since;
        })) {
      return false;
    }
    const auto& feeds = before_[from].feeds;
    const auto next = std::find_if(feeds.begin(), feeds.end(),
                                   [&](const Relations::Feed& f) { return f.track == feed.track; });
    if (next == feeds.end()) return true;
    at = &*next;
    node = from;
  }
  return true;
}

// Whether there was a moment since the last look at which nobody wanted the track at this node: the feed
// ended with the last who did, and another began with the next, who may be sent elsewhere. A feed that ended
// under those who wanted it is no such moment's doing: their acquisitions ended too, and that is judged
// (S10).
bool MeshAuditor::let_go(NodeIndex node, const core::TrackId& track, Nanos since) const {
  const auto& serves = relations_[node].serves;
  const bool kept = std::any_of(serves.begin(), serves.end(), [&](const Relations::Serve& s) {
    const auto& before = before_[node].serves;
    return s.track == track && !s.waiting &&
           std::any_of(before.begin(), before.end(), [&](const Relations::Serve& b) {
             return b.track == track && b.to == s.to && !b.waiting;
           });
  });
  return !kept && !auditor_.wanted_throughout(node, track, since);
}

// S9: a feed changes hands only for a reason that the wire or the owner gave. `since`: the last look.
void MeshAuditor::judge_switches(Nanos since, Nanos now) {
  constexpr Nanos kLong = core::from_s(1);  // what went wrong earlier has had its effect
  std::erase_if(switches_, [&](const Switch& s) { return s.when + kLong < now; });
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    for (const Relations::Feed& was : before_[i].feeds) {
      if (!was.established) continue;
      const auto& feeds = relations_[i].feeds;
      const auto is = std::find_if(feeds.begin(), feeds.end(),
                                   [&](const Relations::Feed& f) { return f.track == was.track; });
      if (is != feeds.end() && (is->from == was.from || is->generation > was.generation)) continue;
      switches_.push_back({i, was.track, now});
      if (is == feeds.end()) continue;
      // No packet goes on from there: it may be shortened for whoever needs it, or comes no more.
      if (was.path.size() >= relay::kPublishedTtl) continue;
      const auto from = static_cast<NodeIndex>(was.from.value - 1);
      if (from >= nodes_.size() || nodes_[from].mesh == nullptr) continue;
      const auto& serves = relations_[from].serves;
      const bool still_served = std::any_of(serves.begin(), serves.end(), [&](const Relations::Serve& s) {
        return s.to == node_id(i) && s.track == was.track && !s.waiting;
      });
      if (!still_served || !way_is_well(i, was, now - kLong)) continue;
      if (auditor_.changed_hands(was.track, now - kLong) || let_go(i, was.track, since)) continue;
      auditor_.violate(now, "S9: " + name(node_id(i)) + " gave up " + name(was.from) + " for " +
                                name(is->from) + " as the source of track " + was.track.hex() +
                                ", and nothing was wrong");
    }
  }
}

}  // namespace trunkline::sim
