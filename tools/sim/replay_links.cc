// Links that were lost and must come back: replay/2026-06-18 (T9), replay/2024-02-05, and T5.
//
//   2026-06-18  a short burst of packet loss; two defects together left a region isolated long after the
//               network had cleared (status.livekit.io/incidents/pg8h9qtm88mw)
//   2024-02-05  servers restarted together, and an edge case made some believe that others were unreachable:
//               one data centre could not subscribe to its neighbour's tracks
//               (status.livekit.io/incidents/nmlm7nsb6mv9)
//   T5          wall clocks that are wrong by ten seconds, in either direction
//
// The naive variants have a state that nothing leads out of. Ours has none: every link that is not up owns a
// timer, and evidence from the data path outweighs whatever was believed.
#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::LinkState;
using relay::Outcome;

constexpr Nanos kMinute = core::from_s(60);
constexpr uint32_t kLinkEnds = 20;  // five nodes, each with four peers
constexpr uint32_t kTracks = 10;

NodeIndex home_of(uint32_t track) {
  return static_cast<NodeIndex>(track % 5);
}

// Each node has two tracks, and each track a subscriber on the next node.
void spread_tracks(Replay& replay) {
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(home_of(t), t);
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kTracks; ++t) {
    replay.acquire(static_cast<NodeIndex>((home_of(t) + 1) % 5), t);
  }
  replay.run_for(core::from_s(1));
}

ScenarioRow short_loss(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  replay.start();
  spread_tracks(replay);
  replay.cut_off(kTokyo, true);
  replay.run_for(core::from_s(2));
  replay.cut_off(kTokyo, false);
  const Nanos back = replay.run_until([&] { return replay.link_ends(LinkState::kUp) == kLinkEnds; }, kMinute);
  const uint32_t up = replay.link_ends(LinkState::kUp);
  // A probe of each end, and the way there and back: the second probe says that the first was heard.
  const Nanos bound = fleet.config(kTokyo).link.probe * 2 + replay.largest_round_trip();
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) {
    // What it is fed already came back by itself: sessions outlive a link that is down.
    if (home_of(t) != kTokyo && home_of(t) + 1 != kTokyo) replay.acquire(kTokyo, t);
  }
  replay.run_for(core::from_s(2));
  const uint32_t ok = replay.count(Outcome::ok);
  const std::string when =
      back == core::kNever ? text("60 s later %u of %u link ends are still down", kLinkEnds - up, kLinkEnds)
                           : text(
                                 "all %u link ends up %.1f ms later (two probes and a "
                                 "round trip: %.1f)",
                                 kLinkEnds, ms(back), ms(bound));
  return replay.row("the region of one node is cut off for 2 s, then all is well",
                    when + text("; of %u new acquires there %u ended OK", replay.asked(), ok),
                    back <= bound && ok == replay.asked(), back == core::kNever && ok == 0);
}

// Three of five, 100 ms apart: each one's first word to the next is lost on a node that is not there yet, and
// the next one's word meets a node that waits for its own to be answered.
ScenarioRow restart_together(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr NodeIndex kRestarted = 3;
  constexpr uint32_t kLive = 100, kNew = 200;  // tracks
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kLondon2, kLive + t);
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kTokyo, kLive + t);
  replay.run_for(core::from_s(1));
  replay.reset_gaps();
  for (NodeIndex node = 0; node < kRestarted; ++node) fleet.crash(node);
  replay.run_for(core::from_ms(500));
  for (NodeIndex node = 0; node < kRestarted; ++node) {
    fleet.start(node);
    replay.run_for(core::from_ms(100));
  }
  const Nanos back =
      replay.run_until([&] { return replay.link_ends(LinkState::kUp) == kLinkEnds; }, kMinute * 4);
  const uint32_t up = replay.link_ends(LinkState::kUp);
  for (NodeIndex node = 0; node < kRestarted; ++node) replay.publish(node, kNew + node);
  replay.run_for(core::from_s(1));
  replay.begin_group();
  for (NodeIndex node = 0; node < kRestarted; ++node) {
    for (NodeIndex on = 0; on < kRestarted; ++on) {
      if (on != node) replay.acquire(on, kNew + node);
    }
  }
  replay.run_for(core::from_s(2));
  const uint32_t ok = replay.count(Outcome::ok);
  const std::string when =
      back == core::kNever
          ? text("4 minutes later %u of %u link ends are still down", kLinkEnds - up, kLinkEnds)
          : text("all %u link ends up %.0f ms after the last start", kLinkEnds, ms(back));
  return replay.row(
      "three of five nodes restart, 100 ms apart, while media flows between the others",
      when +
          text("; of %u acquires among the three %u ended OK, the longest after %.0f ms; the others' longest "
               "gap in media: %.0f ms",
               replay.asked(), ok, ms(replay.longest()), ms(replay.longest_gap(kTokyo))),
      back < core::from_s(3) && ok == replay.asked() && replay.longest_gap(kTokyo) == Replay::kPacketEvery,
      // Whoever still has a way to both may ask for them: that is all that saves them.
      back == core::kNever && up == kLinkEnds - kRestarted * (kRestarted - 1));
}

ScenarioRow clock_set_back(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  fleet.set_clock(kWashington2, core::from_s(10));
  fleet.set_clock(kLondon1, core::from_s(-10));
  replay.start();
  const uint32_t at_first = replay.link_ends(LinkState::kUp);
  spread_tracks(replay);
  fleet.set_clock(kWashington2, core::from_s(-10));
  fleet.crash(kWashington2);
  fleet.start(kWashington2);
  replay.run_for(core::from_ms(200));
  const Nanos back = replay.run_until([&] { return replay.link_ends(LinkState::kUp) == kLinkEnds; }, kMinute);
  const uint32_t up = replay.link_ends(LinkState::kUp);
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) {
    if (home_of(t) != kWashington2) replay.acquire(kWashington2, t);
  }
  replay.run_for(core::from_s(2));
  const uint32_t ok = replay.count(Outcome::ok);
  return replay.row(
      "one node's clock is 10 s ahead and one's 10 s behind; the first restarts 10 s behind",
      text("%u of %u link ends up with the wrong clocks, %u %s after the restart; of %u "
           "acquires there %u ended OK",
           at_first, kLinkEnds, up, back == core::kNever ? "60 s" : "within a second", replay.asked(), ok),
      at_first == kLinkEnds && back < core::from_s(1) && ok == replay.asked(),
      back == core::kNever && ok == 0);
}

}  // namespace

std::vector<Part> replay_2026_06_18() {
  return {{short_loss, "retry_links"}};
}
std::vector<Part> replay_2024_02_05() {
  return {{restart_together, "retry_links"}};
}
std::vector<Part> replay_clocks() {
  return {{clock_set_back, "clock_set_back"}};
}

}  // namespace trunkline::sim
