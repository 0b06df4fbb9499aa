// Who has it, and is it so? replay/2023-02-13 (T6), T7, and replay/2026-06-02 (T4).
//
//   2023-02-13  the one directory of a media cloud stopped, and with it everything, 23 minutes, twice in a
//   week
//               (status.livekit.io/incidents/6yhtc8t987q1). Here a directory is what gives hints; an engine
//               behind the same interface is to be put in its place when there is one
//   T7          an origin that lost a stream goes on saying that it has it
//               (github.com/OvenMediaLabs/OvenMediaEngine/issues/1865)
//   2026-06-02  a node accepted connections, reported itself healthy, and could not bring media up, 2 h 32
//   min
//               (status.livekit.io/incidents/2kzn387xggrw)
//
// What peers announce, newer epochs, and media that is seen to arrive decide; what somebody says of himself
// or of others is a hint.
#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::Outcome;

constexpr uint32_t kTracks = 20;

// ---- 2023-02-13

ScenarioRow directory_dead(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kNew = 100;
  replay.start();
  // It says where each track is, and then never again.
  for (uint32_t t = 0; t < kTracks; ++t) {
    replay.publish(kWashington1, t);
    for (NodeIndex node = 1; node < fleet.size(); ++node) {
      fleet.hint(node, Replay::id_of(t), kWashington1);
    }
  }
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(kLondon1, t);
  replay.run_for(core::from_s(1));
  const uint32_t before = replay.fed();
  replay.reset_gaps();
  // Of the tracks that come now it says nothing, but what a stale replica says of every other one: a lie.
  for (uint32_t t = 0; t < kTracks; ++t) {
    replay.publish(kWashington2, kNew + t);
    for (NodeIndex node = 0; node < fleet.size() && t % 2 == 0; ++node) {
      if (node != kLondon2) fleet.hint(node, Replay::id_of(kNew + t), kLondon2);
    }
  }
  replay.run_for(core::from_s(1));
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) {
    for (const NodeIndex node : {kWashington1, kLondon1, kTokyo}) replay.acquire(node, kNew + t);
  }
  replay.run_for(core::from_s(60));
  const uint32_t ok = replay.count(Outcome::ok), denied = replay.count(Outcome::not_here);
  const Nanos gap = replay.longest_gap(kLondon1);
  return replay.row(
      "the directory is dead, or lies, for a minute; tracks come, and media flows",
      text(
          "of %u acquires of tracks that came meanwhile %u ended OK (the longest took %.1f ms), %u NOT_HERE; "
          "longest gap in the media that flowed: %.0f ms",
          replay.asked(), ok, ms(replay.longest()), denied, ms(gap)),
      before == kTracks && ok == replay.asked() && gap == Replay::kPacketEvery &&
          replay.longest() <= replay.largest_round_trip() * 3 / 2 + Replay::kPacketEvery,
      before == kTracks && ok == 0 && denied == replay.asked());
}

// ---- T7

ScenarioRow zombie_origin(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr NodeIndex kZombie = kWashington2, kOrigin = kLondon2;
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kZombie, t, 1);
  replay.run_for(core::from_s(1));
  fleet.stand_still(kZombie, fleet.now() + core::from_s(15));
  replay.run_for(core::from_s(1));
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kOrigin, t, 2);  // its users came back elsewhere
  // It wakes, knows of nothing, announces what it had, and sends on.
  replay.run_for(core::from_s(17));
  replay.begin_group();
  for (uint32_t t = 0; t < kTracks; ++t) {
    for (const NodeIndex node : {kWashington1, kLondon1, kTokyo}) replay.acquire(node, t);
  }
  replay.run_for(core::from_s(5));
  uint32_t of_zombie = 0, of_origin = 0;
  for (const uint64_t handle : replay.handles()) {
    const Acquisition& a = fleet.auditor.acquisition(handle);
    if (a.publication == UINT32_MAX) continue;
    const bool old = fleet.auditor.publication(Auditor::publication_handle(a.publication)).node == kZombie;
    ++(old ? of_zombie : of_origin);
  }
  return replay.row(
      "a node stands still for 15 s, its tracks move elsewhere, and it wakes up",
      text("of %u acquires after that %u get the media of the new origin, %u that of the old one; "
           "the longest took %.1f ms",
           replay.asked(), of_origin, of_zombie, ms(replay.longest())),
      of_origin == replay.asked() && of_zombie == 0, of_zombie >= replay.asked() / 2);
}

// ---- 2026-06-02

ScenarioRow gray_node(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr NodeIndex kGray = kLondon2, kGood = kLondon1;
  constexpr uint32_t kWarm = 1'000, kAll = 60;
  replay.start();
  // Each track comes in at two nodes. The gray one's word is the newer one.
  for (uint32_t t = 0; t < kAll; ++t) {
    replay.publish(kGood, t, 1);
    replay.publish(kGray, t, 1);
  }
  replay.publish(kWashington2, kWarm);
  replay.run_for(core::from_s(1));
  replay.acquire(kWashington1, kWarm);
  replay.run_for(core::from_s(1));
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    if (node != kGray) fleet.network.gray(kGray, node, Gray::kMedia, 0);
  }
  replay.begin_group();
  for (uint32_t t = 0; t < kAll; ++t) {
    replay.acquire(kWashington1, t);
    replay.run_for(core::from_ms(100));
  }
  replay.run_for(core::from_s(2));
  // Those of the last three seconds: it was found out, if ever, in the first three. Now and then one of them
  // is its chance to come back, and takes as long as the first ones did.
  const Nanos bound = replay.round_trip(kWashington1, kGood) * 3 / 2 + Replay::kPacketEvery;
  uint32_t slow = 0;
  for (const uint64_t handle : replay.handles().subspan(kAll / 2)) {
    const Acquisition& a = fleet.auditor.acquisition(handle);
    slow += a.ended - a.submitted > bound ? 1 : 0;
  }
  const uint32_t ok = replay.count(Outcome::ok), dark = replay.without_media();
  return replay.row("a node accepts, answers OK, sends heartbeats, and no media; another has the same tracks",
                    text("of %u acquires within 6 s %u ended OK, %u without media; the longest took %.0f ms; "
                         "of the %u of the last 3 s %u took longer than with a good node alone (%.0f ms)",
                         replay.asked(), ok, dark, ms(replay.longest()), kAll / 2, slow, ms(bound)),
                    ok == kAll && dark == 0 && slow <= 2,
                    variant.rules.media_watchdog ? ok == kAll && slow == kAll / 2 : dark == kAll);
}

}  // namespace

std::vector<Part> replay_2023_02_13() {
  return {{directory_dead, "peer_locations"}};
}
std::vector<Part> replay_zombie() {
  return {{zombie_origin, "epochs"}};
}
std::vector<Part> replay_2026_06_02() {
  return {{gray_node, "media_watchdog"}, {gray_node, "ejection"}};
}

}  // namespace trunkline::sim
