// Auditor: the omniscient judge. It knows what the hosts asked for and what is truly published where, sees
// every answer and every delivered packet, and says which promise was broken.
//
// The idea: it is written against the promises (docs/architecture.md) and the words of the host interface,
// not against the relay's code, and shares no state with the nodes: a mistake must be made twice, in two
// different ways, to go unseen. Its rules:
//
//   S1   every acquire ends exactly once, at or before its deadline + one tick. A node that stands still or
//        runs late cannot act: what falls due meanwhile must end when the node runs again
//   S2   a delivered packet belongs to the track that was acquired, to a publication that truly existed, is
//        unchanged, and comes once
//   S5   once a younger epoch was delivered, no older one is, while the younger lives and can be reached; and
//        what is delivered is of the generation that the host was told of
//   S10  what is fed goes on: it ends when the publisher ends, when a younger one appears, or when the wire
//        failed; and while all is well every packet that is sent arrives
//   T1   an answer tells the truth: OK names a node that has or had the track; an authoritative negative does
//        not name a node that had it all the time; "local" is said of the node's own tracks only
//   T2   what is asked in the liveness phase is answered as the truth demands, and soon (Expect)
//   E1   an acquisition that was released ends; at the end of a run nothing is open
//
// What no single host can see is judged in auditor_mesh.h (S3, S4, S9, S12) and auditor_links.h (L1, L4).
//
// Acquisitions and publications are numbered here; the numbers are the handles that the nodes are given,
// never used twice in a run, so that an answer for the wrong one is seen. One thread. O(1) per event, and
// O(log n) per acquire.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/ids.h"
#include "relay/mesh/mesh_node.h"
#include "tools/sim/media.h"
#include "tools/sim/report.h"

namespace trunkline::sim {

constexpr core::NodeId node_id(NodeIndex node) {
  return {uint64_t{node} + 1};
}

// What the truth demands of an acquire that is asked while all is well.
enum class Expect : uint8_t { kNothing, kOk, kNotHere };

struct Acquisition {
  NodeIndex node = 0;
  uint16_t queue = 0;
  uint32_t track = 0;
  core::TrackId id{};
  Nanos submitted{};
  Nanos deadline{};  // relative
  Expect expect = Expect::kNothing;
  Nanos expect_within{};  // from submitted; 0: by the deadline
  uint64_t also = 0;      // outcomes that are as good as the expected one: a bit per Outcome number
  enum class State : uint8_t { kAsked, kOk, kOver, kWithNode } state = State::kAsked;
  bool released = false;
  bool joined = false;  // others of its node waited for the same track when it was asked
  relay::Outcome outcome = relay::Outcome::ok;  // once it is no longer kAsked
  Nanos ended{};                                // when that was said
  Nanos until = core::kNever;  // its host wanted it until then: it was released, or said to be over
  std::string text{};          // what was said about it
  core::NodeId source{};       // OK: who said so
  uint64_t generation = 0;     // OK: of which the host was told
  // Which packets came: the newest publication's highest number, and a bit for each of the 64 below it.
  uint32_t publication = UINT32_MAX;
  uint32_t highest = 0;
  uint64_t seen = 0;
  Nanos last_packet{};  // when the last one came
  // While all is to be well (Auditor::begin_steady): the first packet that must come, and how many came
  // since.
  uint32_t steady_from = UINT32_MAX;
  uint32_t steady_came = 0;
};

// Which of two publications of a track counts: the greater (design: words).
struct Epoch {
  uint64_t generation = 0;
  uint64_t incarnation = 0;
  uint64_t node = 0;
  auto operator<=>(const Epoch&) const = default;
};

// What the auditor must know of wire and links to excuse an end; the fleet's auditors know (auditor_mesh.h).
class Evidence {
 public:
  virtual ~Evidence() = default;
  // Both nodes have run on time since `since`, and the wire between them was whole.
  virtual bool well(NodeIndex a, NodeIndex b, Nanos since) const = 0;
  // What `node` says of its link to `peer`.
  virtual bool link_up(NodeIndex node, NodeIndex peer) const = 0;
  // What only marks ask: is the node draining, and are the two configured as peers?
  virtual bool drains(NodeIndex) const { return false; }
  virtual bool are_peers(NodeIndex, NodeIndex) const { return true; }
};

struct Publication {
  NodeIndex node = 0;
  uint16_t queue = 0;
  uint32_t track = 0;
  core::TrackId id{};
  uint64_t generation = 0;   // once confirmed: the one that the node gave
  uint64_t incarnation = 0;  // of its node
  Nanos from{};
  Nanos until = core::kNever;  // when it was unpublished, or its node crashed
  bool confirmed = false;      // the node said kPublished
  bool closed = false;         // the node said kUnpublished, or is gone
  core::CoreId core{};
  relay::FlowId flow = 0;
  uint32_t sent = 0;             // packets
  uint64_t before = UINT64_MAX;  // the publication of this track before it; the auditor's
};

class Auditor {
 public:
  Auditor(uint32_t nodes, Report& report) : nodes_(nodes), report_(report) {}

  void use(const Evidence& evidence) { evidence_ = &evidence; }
  // Nobody sees how the wires are, in a mesh too large for looks: an end that is blamed on the way is
  // believed, one that is blamed on the publisher is not.
  void wires_are_unknown() { wires_known_ = false; }

  // ---- what the world does
  void started(NodeIndex node, uint64_t incarnation);
  void stopped(NodeIndex node, Nanos now);              // crashed: what was open there ends with it
  void still(NodeIndex node, Nanos from, Nanos until);  // paused
  void late_by(NodeIndex node, Nanos most);             // a slow node's largest delay; stays until changed
  void may_refuse(NodeIndex node);                      // it has so little room that it need not publish
  // How old the truth may be that an answer tells. Negative answers are remembered for up to 250 ms (design:
  // acquire), counted from their arrival; how long they were on their way depends on the wire.
  void answers_may_age(Nanos memory) { memory_ = memory; }
  uint64_t publish(const Publication& publication);  // returns the handle
  void unpublish(uint64_t handle, Nanos now);
  uint64_t acquire(const Acquisition& acquisition);  // returns the handle
  // Acquisitions that were OK and ended by themselves since this was last called: their hosts still want
  // them.
  bool has_ended() const { return !ended_.empty(); }
  std::vector<uint64_t> take_ended() { return std::exchange(ended_, {}); }
  void release(uint64_t handle, Nanos now);
  // From now on all is well, and stays so until end_steady(): what is fed gets every packet (S10), but for
  // those that were sent in the last `on_their_way`.
  void begin_steady();
  void end_steady(Nanos now, Nanos on_their_way, Nanos packets_every);

  // ---- what the nodes say
  void event(NodeIndex node, const relay::HostEvent& event, Nanos now);
  void packet(NodeIndex node, uint64_t handle, std::span<const uint8_t> bytes, Nanos now);

  // ---- judgement
  // After every event: has a deadline passed in silence? Reads one number when none is near.
  void check(Nanos now) {
    if (now > earliest_) check_due(now);
  }
  void finish(Nanos now);  // E1
  void violate(Nanos now, std::string text);
  bool failed() const { return !violations_.empty(); }
  const std::vector<Violation>& violations() const { return violations_; }

  // Has a publication of the track begun or ended since?
  bool publishes(NodeIndex node, const core::TrackId& track) const;
  bool changed_hands(const core::TrackId& track, Nanos since) const;
  // Whether the hosts of the node wanted the track at `since` and ever since, one or another of them.
  bool wanted_throughout(NodeIndex node, const core::TrackId& track, Nanos since) const;

  // ---- the truth, for the workload
  static constexpr bool is_publication(uint64_t handle) { return (handle & 1) != 0; }
  Publication& publication(uint64_t handle) { return publications_[handle >> 1]; }
  Acquisition& acquisition(uint64_t handle) { return acquisitions_[handle >> 1]; }
  size_t publication_count() const { return publications_.size(); }
  size_t acquisition_count() const { return acquisitions_.size(); }
  static uint64_t publication_handle(size_t index) { return index << 1 | 1; }
  static uint64_t acquisition_handle(size_t index) { return index << 1; }

 private:
  // What one node's hosts were told of one track.
  struct Told {
    uint32_t asking = 0;  // acquires that wait
    Nanos denied{-1};     // when one last ended with nothing
  };
  struct NodeTruth {
    Nanos still_from{-1}, still_until{-1};
    Nanos late_by{};
    bool may_refuse = false;
    uint64_t incarnation = 0;
    std::unordered_map<uint32_t, Told> told;  // by track
  };
  struct Due {
    Nanos at{};
    uint64_t handle = 0;
    bool operator>(const Due& o) const { return at != o.at ? at > o.at : handle > o.handle; }
  };

  Nanos last_moment(const Acquisition& acquisition) const;
  void check_due(Nanos now);
  void outcome(Acquisition& acquisition, uint64_t handle, const relay::HostEvent& event, Nanos now);
  void judge_truth(const Acquisition& acquisition, const relay::HostEvent& event, Nanos now);
  void judge_expectation(const Acquisition& acquisition, const relay::HostEvent& event, Nanos now);
  void published_event(NodeIndex node, const relay::HostEvent& event, Nanos now);
  // Newest first, until the test says true.
  template <class Test>
  bool any_of_track(uint32_t track, Test&& test) const {
    if (track >= newest_of_.size()) return false;
    for (uint64_t i = newest_of_[track]; i != UINT64_MAX; i = publications_[i].before) {
      if (test(publications_[i])) return true;
    }
    return false;
  }
  // auditor_media.cc
  void judge_epoch(const Acquisition& acquisition, uint64_t handle, uint32_t publication, Nanos now);
  void judge_told(const Acquisition& acquisition, uint64_t handle, uint32_t publication, Nanos now);
  void judge_end(const Acquisition& acquisition, const relay::HostEvent& event, Nanos now);
  bool source_is_well(const Acquisition& acquisition) const;
  // auditor_marks.cc
  void notice_outcome(const Acquisition& acquisition, const relay::HostEvent& event, Nanos now);
  void notice_published(const Publication& publication);

  Told& told(NodeIndex node, uint32_t track);
  Epoch epoch(const Publication& p) const { return {p.generation, p.incarnation, node_id(p.node).value}; }
  bool well(NodeIndex a, NodeIndex b, Nanos since) const {
    return a == b || evidence_ == nullptr || evidence_->well(a, b, since);
  }
  bool ever_published(uint32_t track, core::NodeId node) const;
  // Without a break from before `from` until `to`.
  bool published_throughout(uint32_t track, core::NodeId node, Nanos from, Nanos to) const;
  std::string name(const Acquisition& acquisition, uint64_t handle) const;

  std::vector<NodeTruth> nodes_;
  std::vector<Acquisition> acquisitions_;
  std::vector<Publication> publications_;
  std::vector<uint64_t> newest_of_;  // by track: its newest publication, UINT64_MAX: none
  std::vector<uint64_t> ended_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  Nanos earliest_ = core::kNever;  // due_.top().at
  Nanos memory_ = core::from_ms(300);
  std::vector<Violation> violations_;
  const Evidence* evidence_ = nullptr;  // nullptr: all is well
  bool wires_known_ = true;
  Report& report_;
};

}  // namespace trunkline::sim
