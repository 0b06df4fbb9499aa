// Nodes that one peer, or one crowd, brings to a stop: replay/relay-v2, replay/2026-05 (T8).
//
//   relay-v2  a new relay protocol connected to its peers synchronously, under a lock: one slow peer, and a
//             node served nobody (status.livekit.io/incidents/j39rcj3vstqd)
//   2026-05   a burst on a cold relay got it stuck for minutes (status.livekit.io/incidents/2sjw9ph24lb2)
#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::Outcome;

constexpr Nanos kMinute = core::from_s(60);

// ---- relay-v2

ScenarioRow slow_peer(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kTracks = 100;
  replay.start();
  for (uint32_t t = 0; t < kTracks / 2; ++t) replay.publish(kWashington1, t);
  replay.run_for(core::from_ms(500));
  fleet.stand_still(kTokyo, fleet.now() + kMinute);
  replay.run_for(core::from_s(1));  // its links are down, and all try to connect
  for (uint32_t t = 0; t < kTracks; ++t) {
    replay.acquire(kLondon1, t / 2);
    replay.run_for(core::from_ms(100));
  }
  replay.run_for(core::from_s(30));
  const uint32_t ok = replay.count(Outcome::ok);
  uint32_t late = 0;
  for (const uint64_t handle : replay.handles()) {
    const Acquisition& a = fleet.auditor.acquisition(handle);
    const bool over = a.state != Acquisition::State::kAsked;
    late += !over || a.ended - a.submitted > a.deadline + relay::kMeshTick ? 1 : 0;
  }
  // The answer, the first packet behind it, and what is left of the packet's interval.
  const Nanos bound = replay.round_trip(kLondon1, kWashington1) * 3 / 2 + Replay::kPacketEvery;
  return replay.row("one of five nodes stands still; two others have business with each other",
                    text("of %u acquires %u ended OK, %u later than their deadline; the longest took %.1f ms",
                         replay.asked(), ok, late, ms(replay.longest())),
                    ok == replay.asked() && replay.longest() <= bound,
                    ok < replay.asked() * 3 / 4 && replay.longest() >= Replay::kDeadline);
}

// ---- 2026-05

ScenarioRow cold_relay(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kBurst = 10'000, kAsked = 500, kLive = 100;  // acquires; tracks
  constexpr Nanos kPatience = core::from_s(30);
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    relay::NodeLimits& limits = fleet.config(node).limits;
    limits = relay::NodeLimits{};
    limits.max_peers = 4;
    limits.queue_depth = 4'096;
  }
  fleet.config(kLondon2).rules.negative_answers = false;  // in every variant: not all peers answer
  replay.start();
  for (uint32_t t = 0; t < kLive; ++t) replay.publish(static_cast<NodeIndex>(t % 4), t);
  // Half of what the crowd wants exists; of the rest a node that does not answer is said to have it.
  for (uint32_t t = 0; t < kAsked; t += 2) replay.publish(static_cast<NodeIndex>(t % 4), 1'000 + t, 1, true);
  replay.run_for(core::from_ms(500));
  for (uint32_t t = 0; t < kLive; ++t) replay.acquire(kTokyo, t);
  replay.run_for(core::from_s(1));
  for (uint32_t t = 1; t < kAsked; t += 2) fleet.hint(kTokyo, Replay::id_of(1'000 + t), kLondon2);
  replay.reset_gaps();
  // A recorder asked first for each, and has time; then come those who have a second.
  for (uint32_t t = 0; t < kAsked; ++t) replay.acquire(kTokyo, 1'000 + t, kPatience);
  replay.begin_group();
  for (uint32_t n = 0; n < kBurst; ++n) {
    replay.acquire(kTokyo, 1'000 + n % kAsked);
    if (n % 100 == 0) replay.run_for(core::from_ms(1));
  }
  replay.run_for(core::from_s(40));
  const uint32_t ok = replay.count(Outcome::ok), silent = replay.count(Outcome::no_reply);
  const uint32_t waiting = replay.unresolved();
  const Nanos gap = replay.longest_gap(kTokyo);
  return replay.row(
      "10 000 acquires within 100 ms on a node that relays 100 live tracks",
      text("%u ended OK, %u NO_REPLY (a silent node is said to have the track), %u otherwise; the "
           "longest took %.0f ms of %.0f; %u still wait 40 s later; longest gap in the live "
           "media: %.0f ms",
           ok, silent, replay.asked() - ok - silent - waiting, ms(replay.longest()), ms(Replay::kDeadline),
           waiting, ms(gap)),
      ok == kBurst / 2 && ok + silent == kBurst && replay.longest() <= Replay::kDeadline + relay::kMeshTick &&
          gap == Replay::kPacketEvery,
      ok == kBurst / 2 && (waiting == kBurst / 2 || replay.longest() > kPatience - Replay::kDeadline));
}

}  // namespace

std::vector<Part> replay_relay_v2() {
  return {{slow_peer, "never_blocks"}};
}
std::vector<Part> replay_2026_05() {
  return {{cold_relay, "own_deadlines"}};
}

}  // namespace trunkline::sim
