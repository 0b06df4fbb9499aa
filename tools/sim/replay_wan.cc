// T11: all incidents in one region, with a virtual WAN between the nodes.
//
// A canary in a single region saw nothing on 2 November 2023: there, every answer comes within half a
// millisecond, and a timer that is too short for another continent never fires. Here the nodes stand in one
// region, and before each port is the product's own impaired wire ([[lab.impair]]) with the delays of three.
// What was found between regions must be found there too: the same naive variants fail, and ours passes.
#include <algorithm>

#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

using relay::Outcome;

ScenarioRow answers_from_afar(const Variant& variant) {
  Replay replay(variant);
  Fleet& fleet = replay.fleet;
  constexpr uint32_t kTracks = 20;
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(static_cast<NodeIndex>(t % 5), t, 1, true);
  replay.run_for(core::from_s(1));
  for (uint32_t t = 0; t < kTracks; ++t) {
    for (NodeIndex node = 0; node < fleet.size(); ++node) {
      const bool abroad = node / 2 != t % 5 / 2;  // nodes 1 and 2, 3 and 4, 5: a region each
      if (abroad) replay.acquire(node, t);
    }
  }
  replay.run_for(core::from_s(3));
  const uint32_t ok = replay.count(Outcome::ok);
  const bool fine =
      ok == replay.asked() && replay.longest() <= replay.largest_round_trip() + relay::kMeshTick;
  return replay.row(
      "all nodes in one region; all ask for each other's tracks",
      text("of %u acquires of tracks that exist %u ended OK, %u NO_REPLY; the longest took %.1f ms",
           replay.asked(), ok, replay.count(Outcome::no_reply), ms(replay.longest())),
      fine, ok == 0);
}

// Rows of many situations, counted.
struct Tally {
  uint32_t rows = 0, as_stated = 0;
  std::string first_other;
  void add(const ScenarioRow& row) {
    ++rows;
    as_stated += row.as_stated ? 1 : 0;
    if (!row.as_stated && first_other.empty())
      first_other = "; first not: " + row.variant + ": " + row.situation + ": " + row.happened;
  }
};

}  // namespace

std::vector<ScenarioRow> replay_wan(const std::vector<Part>& all) {
  ScenarioRow flat = answers_from_afar(minus("rtt_timers", Ground::kOneRegion));
  flat.variant += ", no WAN";
  // It is as stated when nothing is seen: that is what is wrong with such a canary.
  flat.as_stated = flat.happened.find(" 0 NO_REPLY") != std::string::npos;
  flat.verdict = "nothing is seen";
  Variant ours;
  ours.ground = Ground::kVirtualWan;
  Tally naive, kept;
  ScenarioRow (*last)(const Variant&) = nullptr;
  for (const Part& part : all) {
    naive.add(part.situation(minus(part.rule, Ground::kVirtualWan)));
    if (part.situation != last) kept.add(part.situation(ours));
    last = part.situation;
  }
  const char* const everything = "every situation of every other scenario, in one region with a virtual WAN";
  return {flat, answers_from_afar(minus("rtt_timers", Ground::kVirtualWan)), answers_from_afar(ours),
          ScenarioRow{everything, "minus each rule",
                      text("%u of %u variants fail as they do between regions", naive.as_stated, naive.rows) +
                          naive.first_other,
                      naive.as_stated == naive.rows},
          ScenarioRow{everything, "ours",
                      text("%u of %u situations pass", kept.as_stated, kept.rows) + kept.first_other,
                      kept.as_stated == kept.rows}};
}

}  // namespace trunkline::sim
