// Workload: what the simulated SFUs ask of their nodes. Tracks come, move to another node with a higher
// generation, and go; subscribers acquire what is there, what never was, and what will only come; they
// cancel, release, and ask in bursts; each publication sends a packet now and then.
//
// Three actors (acquire, change, media) are events that schedule themselves again; everything is drawn from
// the stream "workload". Nothing here looks at a node's state: the truth is the auditor's, the rest is what a
// host was told.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/rng.h"
#include "tools/sim/auditor.h"
#include "tools/sim/demand.h"
#include "tools/sim/event_queue.h"
#include "tools/sim/fleet.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

class Workload {
 public:
  // All outlive the workload.
  Workload(Fleet& fleet, const Options& options, Report& report);

  void begin();                               // warm-up: first tracks, actors
  void stop_changes() { changing_ = false; }  // from heal on: tracks stay where they are
  void check_liveness();                      // asks for everything everywhere, with what the truth demands
  void wind_down();                           // releases and unpublishes all there is
  void on_event(const Event& event);          // kWorkload, kMedia
  // Whoever lost what it had without asking for that asks again, as an SFU would.
  void renew();
  void crashed(NodeIndex node);  // its publications are gone
  const core::TrackId& track_id(uint32_t track) const { return tracks_[track].id; }
  // Who published it last and no longer does.
  std::optional<NodeIndex> former_node(uint32_t track) const { return tracks_[track].former; }

 private:
  struct Track {
    core::TrackId id{};
    uint64_t generation = 0;       // the highest given
    bool automatic = false;        // its generations are chosen by the nodes (given as 0)
    bool absent = false;           // never published
    std::vector<uint64_t> live{};  // handles of publications, the newest last
    std::optional<NodeIndex> former{};
    std::vector<TrackTruth::Loss> lost{};
    std::vector<TrackTruth::LossBetween> lost_between{};
  };
  // What is to happen later: kWorkload events with arg >= kLater.
  struct Later {
    enum class What : uint8_t { kRelease, kPublish, kUnpublish, kRenew } what = What::kRelease;
    uint64_t handle = 0;
    uint32_t track = 0;
  };
  static constexpr uint32_t kAcquireActor = 0, kChangeActor = 1, kLater = 2;

  void later(Nanos at, const Later& what);
  void do_later(Later what);
  void act_acquire();
  void act_change();
  void again(uint32_t actor, Nanos mean);
  bool publish(uint32_t track, NodeIndex node);
  void unpublish(uint64_t handle);
  // The node is yet to be touched: many may be asked at once. UINT64_MAX: its host cannot act.
  uint64_t acquire(NodeIndex node, uint32_t track, Nanos deadline, Nanos rendezvous, const Demand& demand);
  void release(uint64_t handle);
  void acquire_again(uint64_t handle);
  TrackTruth truth(uint32_t track) const;
  bool is_live(uint64_t handle) const;
  void send_media(uint64_t handle);
  bool published_on(const Track& track, NodeIndex node) const;
  Nanos some_deadline();
  NodeIndex some_node();
  uint32_t some_live_track(bool& found);

  Fleet& fleet_;
  const Options& options_;
  Report& report_;
  core::Rng rng_;
  std::vector<Track> tracks_;
  std::vector<Later> later_;
  bool changing_ = true;
  bool asking_ = true;
  bool over_ = false;
  // What replaced an acquisition that ended by itself; kUnwanted: nothing may.
  static constexpr uint64_t kUnwanted = UINT64_MAX;
  std::unordered_map<uint64_t, uint64_t> successor_;
};

}  // namespace trunkline::sim
