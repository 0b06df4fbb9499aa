// Nodes of different builds and settings side by side: replay/jitsi.
//
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
      up == kLinkEnds && ok == kTracks && replay.without_media() == kTracks);
}

}  // namespace

std::vector<ScenarioRow> replay_jitsi() {
  return play(flags_out_of_sync, "required_settings");
}

}  // namespace trunkline::sim
