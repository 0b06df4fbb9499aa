// Nodes of different builds and settings side by side: replay/2022-11-16, T10, replay/jitsi.
//
//   2022-11-16  one half of a release went everywhere, the other to one region only; a request that the media
//               nodes did not know made them crash (status.livekit.io/incidents/zc88dpz05q3c)
//   T10         a bad release is rolled back, and old nodes that still drain go on running it
//               (May 2024: status.livekit.io/incidents/j39rcj3vstqd). A floor under the versions of a
//               cluster, signed and spread at run time, comes later; here each node that was rolled back
//               refuses them
//   jitsi  the documentation of another media server says that a flag of its bridges and a flag of its focus
//          "MUST be in sync (otherwise bridges will crash because they won't know how to deal with octo
//          channels)" (jitsi/jicofo, jicofo-common/src/main/resources/reference.conf). Here the flag is
//          wire.mtu: who has it at 9000 bundles packets into datagrams that the others cannot receive
#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::LinkState;
using relay::Outcome;

constexpr uint32_t kLinkEnds = 20;  // five nodes, each with four peers

// Builds of the simulator (builds.h): N-1 speaks wire version 1, N+1 speaks 2 and 3.
Build build_of(uint8_t profile) {
  Build build;
  build.profile = profile;
  return build;
}
constexpr uint8_t kOlder = 0, kNewer = 2;

// Links on which the other's versions are named, with both values.
uint32_t named_versions(const Fleet& fleet, NodeIndex node) {
  uint32_t named = 0;
  const relay::MeshNode& mesh = fleet.node(node).mesh();
  for (relay::LinkId l = 0; l < mesh.link_count(); ++l) {
    const std::string said = mesh.link(l).text.data();
    named += said.find("wire version") != std::string::npos && said.find("'1'") != std::string::npos &&
                     said.find("'2 to 3'") != std::string::npos
                 ? 1
                 : 0;
  }
  return named;
}

// ---- 2022-11-16

ScenarioRow half_a_release(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kTracks = 20, kOwn = 100;
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    replay.rebuild(node, build_of(node == kWashington1 ? kNewer : kOlder));
    for (uint32_t t = 0; t < kTracks && node == kWashington1; ++t)
      fleet.config(node).locations.push_back({Replay::id_of(t), node_id(kWashington2)});
  }
  for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.start(node);
  replay.run_until(replay.largest_round_trip() + core::from_s(1));
  const uint32_t named = named_versions(fleet, kWashington1);
  replay.run_until(Replay::kWarmUp);
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kWashington2, t);
  replay.publish(kLondon1, kOwn);
  replay.run_for(core::from_ms(500));
  replay.acquire(kWashington2, kOwn);
  replay.run_for(core::from_s(1));
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kWashington1, t);
  replay.run_for(core::from_s(3));
  const uint32_t refused = replay.count(Outcome::unsupported);
  const Nanos gap = replay.longest_gap(kWashington2);
  return replay.row(
      "one node has a release that the others have not, and asks them for their tracks",
      text("%u of its 4 links name both versions; of %u acquires %u ended UNSUPPORTED; the longest "
           "took %.1f ms; longest gap in the others' media: %.0f ms",
           named, replay.asked(), refused, ms(replay.longest()), ms(gap)),
      named == 4 && refused == kTracks && replay.longest() <= relay::kMeshTick && gap == Replay::kPacketEvery,
      named == 0 && refused == 0 && replay.longest() >= Replay::kDeadline);
}

// ---- T10

ScenarioRow rollback(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kTracks = 20, kMoved = 100;
  constexpr NodeIndex kDraining = kLondon2, kAlso = kTokyo;
  for (NodeIndex node = 0; node < fleet.size(); ++node) replay.rebuild(node, build_of(kNewer));
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kDraining, t);
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kAlso, t);  // a room that is on the old nodes
  replay.run_for(core::from_s(1));
  replay.reset_gaps();
  fleet.drain(kDraining, true, kWashington1);
  fleet.drain(kAlso, true, kWashington1);
  for (const NodeIndex node : {kWashington1, kWashington2, kLondon1}) {
    fleet.crash(node);
    replay.rebuild(node, build_of(kOlder));
    for (uint32_t t = 0; t < kTracks; ++t)
      fleet.config(node).locations.push_back({Replay::id_of(t), node_id(kDraining)});
    fleet.start(node);
    replay.run_for(core::from_ms(500));
  }
  replay.run_for(core::from_s(2));
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kWashington1, kMoved + t);
  replay.run_for(core::from_ms(500));
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) {
    replay.acquire(kWashington2, kMoved + t);
    replay.acquire(kLondon1, t);
  }
  replay.run_for(core::from_s(3));
  const uint32_t ok = replay.count(Outcome::ok), refused = replay.count(Outcome::unsupported);
  const Nanos gap = replay.longest_gap(kAlso);
  return replay.row(
      "a release is rolled back on three of five nodes; the other two still run it, and drain",
      text("of %u acquires on the rolled-back nodes %u ended OK among themselves, %u of tracks on "
           "the draining ones ended UNSUPPORTED, %u waited for their whole deadline; longest gap "
           "in the media between the draining ones: %.0f ms",
           replay.asked(), ok, refused, replay.asked() - ok - refused, ms(gap)),
      ok == kTracks && refused == kTracks && gap == Replay::kPacketEvery &&
          replay.longest() <= replay.largest_round_trip(),
      ok == kTracks && refused == 0 && replay.longest() >= Replay::kDeadline);
}

// ---- jitsi

ScenarioRow flags_out_of_sync(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kTracks = 32, kRefused = 2 * 2 * 3;  // per region; link ends
  for (const NodeIndex node : {kWashington1, kWashington2}) {
    fleet.config(node).mtu = 9'000;
    fleet.config(node).wire[1] = {"mtu", "9000", {"9000"}};
  }
  // The focus says where each track is.
  for (uint32_t t = 0; t < kTracks; ++t)
    fleet.config(kTokyo).locations.push_back({Replay::id_of(t), node_id(kWashington1)});
  replay.start();
  const uint32_t up = replay.link_ends(LinkState::kUp), refused = replay.link_ends(LinkState::kIncompatible);
  std::vector<uint64_t> cameras;  // they are switched on when all who look are there
  for (uint32_t t = 0; t < kTracks; ++t) {
    cameras.push_back(replay.publish(kWashington1, t, 1, true));
    cameras.push_back(replay.publish(kLondon1, kTracks + t, 1, true));
  }
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kLondon2, kTracks + t);
  replay.run_for(core::from_s(2));
  const uint32_t same = replay.fed();
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kTokyo, t);
  replay.run_for(core::from_s(2));
  for (const uint64_t camera : cameras) replay.begin_media(camera);
  replay.run_for(core::from_s(10));
  const uint32_t ok = replay.fed(), named = replay.count(Outcome::config_mismatch);
  return replay.row(
      "a flag that must be the same on all nodes is set on two of five",
      text("%u of %u link ends up, %u refused; of %u acquires from one side of the other %u ended "
           "CONFIG_MISMATCH (the longest took %.0f ms), %u OK, of which %u have no media 10 s "
           "later; of %u within one side %u OK",
           up, kLinkEnds, refused, replay.asked(), named, ms(replay.longest()), ok, replay.without_media(),
           kTracks, same),
      refused == kRefused && up == kLinkEnds - kRefused && same == kTracks && named == kTracks &&
          replay.longest() < Replay::kDeadline,
      up == kLinkEnds && ok == kTracks && replay.without_media() >= kTracks / 2);
}

}  // namespace

std::vector<Part> replay_2022_11_16() {
  return {{half_a_release, "versions"}};
}
std::vector<Part> replay_rollback() {
  return {{rollback, "versions"}};
}
std::vector<Part> replay_jitsi() {
  return {{flags_out_of_sync, "required_settings"}};
}

}  // namespace trunkline::sim
