// replay/loop (T2): seconds without connectivity, a false "isolated", a data centre that took itself offline,
// and then relays that waited for each other in a circle, for 77 minutes: one waited for a track from another
// that did not have it either (status.livekit.io/incidents/bn1hhrmsy3w1; also
// github.com/openmoq/moqx/issues/695).
//
//   isolated   a node loses all links for 3 s. Without no_self_fencing it takes its own publications away
//   hints      three nodes are each told that the next one has a track, and none has it. Without loop_check
//              each waits for the next, until its deadline
//   carriers   a track goes from node to node to node; then its publisher dies, and the first of them looks
//              for another source. Without loop_check it takes the last one, which is fed by itself. (Of a
//              track whose media flows the watchdog would notice; muted, nothing does)
#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::LinkState;
using relay::Outcome;

constexpr Nanos kMinute = core::from_s(60);

ScenarioRow isolated(const Variant& variant) {
  Replay replay(variant);
  constexpr uint32_t kTracks = 10;
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kTokyo, t);
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kTokyo, t);        // subscribers of the same region,
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kWashington1, t);  // and of another
  replay.run_for(core::from_s(1));
  replay.reset_gaps();
  replay.cut_off(kTokyo, true);
  replay.run_for(core::from_s(3));
  replay.cut_off(kTokyo, false);
  replay.run_for(kMinute);
  const Nanos here = replay.longest_gap(kTokyo), away = replay.longest_gap(kWashington1);
  return replay.row(
      "a region loses its connectivity for 3 s; its media has subscribers there and elsewhere",
      text("of %u acquisitions %u are fed a minute later; longest gap in media: %.2f s within "
           "the region, %.2f s outside",
           replay.asked(), replay.fed(), ms(here) * 1e-3, ms(away) * 1e-3),
      replay.fed() == replay.asked() && here == Replay::kPacketEvery && away < core::from_ms(3'500),
      replay.fed() == 0 && here >= kMinute && away >= kMinute);
}

// ---- a ring of waits

ScenarioRow ring_of_hints(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kTracks = 20;
  constexpr NodeIndex kRing[] = {kWashington1, kLondon1, kTokyo};
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) {
    for (uint32_t i = 0; i < 3; ++i) fleet.hint(kRing[i], Replay::id_of(t), kRing[(i + 1) % 3]);
  }
  for (uint32_t t = 0; t < kTracks; ++t) {
    for (const NodeIndex node : kRing) replay.acquire(node, t);
  }
  replay.run_for(core::from_s(3));
  const uint32_t absent = replay.count(Outcome::not_here) + replay.count(Outcome::loop);
  // Whom the hint names, then all the others at once.
  const Nanos bound = replay.largest_round_trip() * 2 + core::from_ms(4);
  return replay.row(
      "each of three nodes is told that the next one has a track that none has",
      text("of %u acquires %u ended NOT_HERE or LOOP, the longest after %.1f ms (two round trips: "
           "%.1f); %u waited for their whole deadline",
           replay.asked(), absent, ms(replay.longest()), ms(bound) - 4, replay.asked() - absent),
      absent == replay.asked() && replay.longest() <= bound,
      absent == 0 && replay.longest() >= Replay::kDeadline);
}

// ---- a ring of carriers

// Who feeds `track` on a node; 0: no peer.
core::NodeId fed_by(const Fleet& fleet, NodeIndex node, uint32_t track) {
  struct Feeds final : relay::MeshNode::Inspector {
    explicit Feeds(const core::TrackId& id) : id_(id) {}
    void feed(const relay::MeshNode::FeedView& view) override {
      if (view.track == id_) from = view.from;
    }
    core::TrackId id_;
    core::NodeId from{};
  } feeds(Replay::id_of(track));
  fleet.node(node).mesh().inspect(feeds);
  return feeds.from;
}

ScenarioRow ring_of_carriers(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr NodeIndex kOrigin = kLondon2, kFirst = kWashington1, kSecond = kLondon1, kLast = kTokyo;
  constexpr NodeIndex kRing[] = {kFirst, kSecond, kLast};
  const auto cut = [&](NodeIndex a, NodeIndex b, bool on) {
    fleet.network.cut(a, b, on);
    fleet.network.cut(b, a, on);
  };
  // The only way of the media is origin, first, second, last; the fifth node is not there.
  cut(kOrigin, kSecond, true);
  cut(kOrigin, kLast, true);
  cut(kFirst, kLast, true);
  for (const NodeIndex node : {kOrigin, kFirst, kSecond, kLast}) fleet.start(node);
  replay.run_until(Replay::kWarmUp);
  replay.publish(kOrigin, 0, 1, true);
  replay.run_for(core::from_ms(500));
  for (const NodeIndex node : kRing) {
    replay.acquire(node, 0);
    replay.run_for(core::from_s(1));
  }
  const uint32_t fed = replay.fed();
  cut(kFirst, kLast, false);
  replay.run_for(core::from_s(3));
  fleet.crash(kOrigin);
  const Nanos told = replay.run_until([&] { return replay.fed() == 0; }, kMinute);
  const bool ring = fed_by(fleet, kFirst, 0) == node_id(kLast) &&
                    fed_by(fleet, kLast, 0) == node_id(kSecond) &&
                    fed_by(fleet, kSecond, 0) == node_id(kFirst);
  const std::string after =
      told == core::kNever
          ? text("60 s after its publisher died %u of %u still believe to be fed%s", replay.fed(),
                 replay.asked(), ring ? ": 1 by 5, 5 by 3, 3 by 1" : "")
          : text("all were told that it is over, the last %.1f s after its publisher died", ms(told) * 1e-3);
  return replay.row("a muted track that three nodes carry one after the other loses its publisher",
                    text("%u of %u acquires ended OK; ", fed, replay.asked()) + after,
                    fed == 3 && told <= core::from_s(12), fed == 3 && told == core::kNever && ring);
}

}  // namespace

std::vector<Part> replay_loop() {
  return {{isolated, "no_self_fencing"}, {ring_of_hints, "loop_check"}, {ring_of_carriers, "loop_check"}};
}

}  // namespace trunkline::sim
