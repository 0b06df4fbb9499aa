// replay/2023-11-02. On that day a hotfix changed a media cloud's internal RPC without the configuration that
// it needed, everywhere within nine minutes, and servers were "left stuck waiting to acquire tracks from
// media servers that did not have the track" (status.livekit.io/incidents/sn55wn181s9q).
//
// What that takes is rebuilt in four situations. Each is run with ours and with the variant that lacks the
// one rule which is the answer to it; the variant must fail in the way that is stated beside it:
//
//   stale locations    every location names a live node that lacks the track. Ours: NOT_HERE, one round trip
//   to each
//                      node that has to be asked. Without negative_answers: all wait for their whole deadline
//   a silent owner     the named node is of a build that does not answer for what it lacks. Ours: NO_REPLY at
//   the
//                      deadline. Without deadlines: still waiting a minute later
//   setting absent     no node has the setting that the wire version requires. Ours: none starts, and each
//   names it.
//                      Without required_settings: all run, half-configured
//   setting wrong      two of five nodes have another value. Ours: links refused at both ends, with both
//   values,
//                      within a round trip and a second, and acquires end at once, naming it. Without
//                      required_settings: links come up, and tracks that exist are denied
#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::Outcome;

constexpr uint32_t kTracks = 20;
constexpr Nanos kMinute = core::from_s(60);

// ---- stale locations

ScenarioRow stale_locations(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    for (uint32_t t = 0; t < kTracks; ++t) {
      const auto named = static_cast<NodeIndex>((node + 1 + t % 4) % fleet.size());
      fleet.config(node).locations.push_back({Replay::id_of(t), node_id(named)});
    }
  }
  replay.start();
  Nanos bound{};
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(node, t);
    // First whom the location names, then all the others at once.
    bound = std::max(bound, replay.largest_round_trip() * 2 + core::from_ms(4));
  }
  fleet.run_until(fleet.now() + core::from_s(3));
  const uint32_t absent = replay.count(Outcome::not_here), silent = replay.count(Outcome::no_reply);
  return replay.row(
      "stale locations: each names a live node that lacks the track",
      text("of %u acquires %u ended NOT_HERE, %u NO_REPLY; the longest took %.1f ms (two round trips: %.1f)",
           replay.asked(), absent, silent, ms(replay.longest()), ms(bound) - 4),
      absent == replay.asked() && replay.longest() <= bound,
      silent == replay.asked() && replay.longest() >= Replay::kDeadline);
}

// ---- a silent owner

ScenarioRow silent_owner(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  for (NodeIndex node = 1; node < fleet.size(); ++node) fleet.config(node).rules.negative_answers = false;
  for (uint32_t t = 0; t < kTracks; ++t) fleet.config(0).locations.push_back({Replay::id_of(t), node_id(2)});
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(0, t);
  fleet.run_until(fleet.now() + kMinute);
  const uint32_t waiting = replay.unresolved(), silent = replay.count(Outcome::no_reply);
  return replay.row("a silent owner: nobody answers for a track that it lacks",
                    text("of %u acquires with a deadline of %.0f ms %u ended NO_REPLY (the longest after "
                         "%.1f ms); %u still wait after 60 s",
                         replay.asked(), ms(Replay::kDeadline), silent, ms(replay.longest()), waiting),
                    silent == replay.asked() && waiting == 0,
                    waiting == replay.asked() && fleet.auditor.failed());
}

// ---- the setting is absent, everywhere

ScenarioRow setting_absent(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  uint32_t started = 0, named = 0;
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    std::erase_if(fleet.config(node).wire,
                  [](const auto& setting) { return setting.name == "track_namespace"; });
    // What a node does before anything else: it validates, and does not start when that fails.
    const core::Result<void> valid = relay::validate(fleet.config(node));
    if (valid) {
      fleet.start(node);
      ++started;
    } else if (valid.error().text.find("wire.track_namespace") != std::string::npos) {
      ++named;
    }
  }
  fleet.run_until(Replay::kWarmUp);
  uint32_t links = 0;
  for (NodeIndex node = 0; node < fleet.size() && started == fleet.size(); ++node) {
    for (relay::LinkId l = 0; l < fleet.node(node).mesh().link_count(); ++l) {
      links += fleet.node(node).mesh().link(l).state == relay::LinkState::kUp ? 1 : 0;
    }
  }
  return replay.row("the required setting is absent on all nodes",
                    text("%u of %u nodes started, %u refused and named wire.track_namespace; %u link ends up",
                         started, uint32_t{fleet.size()}, named, links),
                    started == 0 && named == fleet.size(), started == fleet.size() && links == 20u);
}

// ---- the setting is wrong, on some

// Ends of links between nodes 1-3 and 4-5 that are INCOMPATIBLE with the setting and both values named.
uint32_t refused_ends(const Fleet& fleet) {
  uint32_t ends = 0;
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    const relay::MeshNode& mesh = fleet.node(node).mesh();
    for (relay::LinkId l = 0; l < mesh.link_count(); ++l) {
      const relay::LinkStatus status = mesh.link(l);
      const std::string said = status.text.data();
      const bool names = said.find("track_namespace") != std::string::npos &&
                         said.find("'sim'") != std::string::npos && said.find("'sim-2'") != std::string::npos;
      ends += status.state == relay::LinkState::kIncompatible && names ? 1 : 0;
    }
  }
  return ends;
}

ScenarioRow setting_wrong(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr NodeIndex kOthers = 3;  // nodes 4 and 5 have the new value
  constexpr uint32_t kEnds = 2 * 3 * 2;
  for (NodeIndex node = kOthers; node < fleet.size(); ++node) {
    fleet.config(node).wire[0] = {"track_namespace", "sim-2", {"sim-2"}};
  }
  for (NodeIndex node = 0; node < kOthers; ++node) {
    for (uint32_t t = 0; t < kTracks; ++t)
      fleet.config(node).locations.push_back({Replay::id_of(t), node_id(kOthers)});
  }
  for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.start(node);
  fleet.run_until(replay.largest_round_trip() + core::from_s(1));
  const uint32_t refused = refused_ends(fleet);
  replay.run_until(Replay::kWarmUp);
  replay.publish(kWashington2, kTracks);  // what the first three have with each other goes on
  replay.run_for(core::from_s(1));
  replay.acquire(kWashington1, kTracks);
  replay.run_for(core::from_s(1));
  replay.reset_gaps();
  // The same tracks by name; their ids depend on the setting.
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kOthers, t, Replay::id_of(t, "sim-2"), 1);
  replay.run_for(core::from_s(1));
  replay.begin_group();
  for (NodeIndex node = 0; node < kOthers; ++node) {
    for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(node, t);
  }
  replay.run_for(core::from_s(3));
  const Nanos gap = replay.longest_gap(kWashington1);
  const uint32_t named = replay.count(Outcome::config_mismatch), denied = replay.count(Outcome::not_here);
  return replay.row(
      "the setting is wrong on two of five nodes",
      text("%u of %u link ends refused, setting and values named, after 1 s + 1 RTT; of %u acquires of "
           "tracks that exist there %u ended CONFIG_MISMATCH, %u NOT_HERE; the longest took %.1f ms; longest "
           "gap in the other nodes' media: %.0f ms",
           refused, kEnds, replay.asked(), named, denied, ms(replay.longest()), ms(gap)),
      refused == kEnds && named == replay.asked() && replay.longest() < Replay::kDeadline &&
          gap == Replay::kPacketEvery,
      refused == 0 && denied == replay.asked());
}

}  // namespace

std::vector<Part> replay_2023_11_02() {
  return {{stale_locations, "negative_answers"},
          {silent_owner, "deadlines"},
          {setting_absent, "required_settings"},
          {setting_wrong, "required_settings"}};
}

}  // namespace trunkline::sim
