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
#include <cstdarg>
#include <cstdio>

#include "tools/sim/fleet.h"
#include "tools/sim/scenario.h"

namespace trunkline::sim {

namespace {

using relay::Outcome;

constexpr uint64_t kSeed = 20'231'102;
constexpr Nanos kWarmUp = core::from_s(2);
constexpr Nanos kDeadline = core::from_ms(1'000);
constexpr uint32_t kTracks = 20;
constexpr Nanos kMinute = core::from_s(60);

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...) {
  char line[400];
  va_list values;
  va_start(values, format);
  std::vsnprintf(line, sizeof line, format, values);
  va_end(values);
  return line;
}
double ms(Nanos time) {
  return static_cast<double>(time.ns) * 1e-6;
}
std::string track_name(uint32_t track) {
  return "camera-" + std::to_string(track);
}

// A fleet with one of its rules taken away, and what the hosts on it do.
class Replay {
 public:
  explicit Replay(const relay::Rules& rules) : options_(draw(rules)), fleet(options_, report_, nullptr) {}

  void start() {
    for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.start(node);
    fleet.run_until(kWarmUp);
  }
  uint64_t publish(NodeIndex node, const core::TrackId& id) {
    Publication p;
    p.node = node;
    p.id = id;
    p.generation = 1;
    p.from = fleet.now();
    const uint64_t handle = fleet.auditor.publish(p);
    fleet.acting(node)->publish(handle, p, fleet.now());
    fleet.touch(node);
    return handle;
  }
  const Acquisition& acquire(NodeIndex node, const core::TrackId& id, uint32_t track) {
    Acquisition a;
    a.node = node;
    a.track = track;
    a.id = id;
    a.submitted = fleet.now();
    a.deadline = kDeadline;
    const uint64_t handle = fleet.auditor.acquire(a);
    handles_.push_back(handle);
    fleet.acting(node)->acquire(handle, a, Nanos{0}, fleet.now());
    fleet.touch(node);
    return fleet.auditor.acquisition(handle);
  }
  // What was acquired through this.
  template <class Each>
  void for_each_acquire(Each&& each) {
    for (const uint64_t handle : handles_) each(fleet.auditor.acquisition(handle));
  }
  uint32_t count(Outcome outcome) {
    uint32_t n = 0;
    for_each_acquire([&](const Acquisition& a) {
      n += a.state != Acquisition::State::kAsked && a.outcome == outcome ? 1 : 0;
    });
    return n;
  }
  uint32_t unresolved() {
    uint32_t n = 0;
    for_each_acquire([&](const Acquisition& a) { n += a.state == Acquisition::State::kAsked ? 1 : 0; });
    return n;
  }
  Nanos longest() {
    Nanos longest{};
    for_each_acquire([&](const Acquisition& a) {
      if (a.state != Acquisition::State::kAsked) longest = std::max(longest, a.ended - a.submitted);
    });
    return longest;
  }
  uint32_t asked() const { return static_cast<uint32_t>(handles_.size()); }

 private:
  static Options draw(const relay::Rules& rules) {
    Options options = draw_options(kSeed);
    options.faults = 0;
    options.rules = rules;
    return options;
  }

  Options options_;
  Report report_;
  std::vector<uint64_t> handles_;

 public:
  Fleet fleet;
};

core::TrackId id_of(uint32_t track, const char* track_namespace = "sim") {
  return relay::track_id(track_namespace, track_name(track));
}

// ---- stale locations

ScenarioRow stale_locations(const char* variant, const relay::Rules& rules) {
  Replay replay(rules);
  Fleet& fleet = replay.fleet;
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    for (uint32_t t = 0; t < kTracks; ++t) {
      const auto named = static_cast<NodeIndex>((node + 1 + t % 4) % fleet.size());
      fleet.config(node).locations.push_back({id_of(t), node_id(named)});
    }
  }
  replay.start();
  Nanos bound{};
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(node, id_of(t), t);
    // First whom the location names, then all the others at once.
    bound = std::max(bound, fleet.largest_round_trip(node) * 2 + core::from_ms(4));
  }
  fleet.run_until(fleet.now() + core::from_s(3));
  const uint32_t absent = replay.count(Outcome::not_here), silent = replay.count(Outcome::no_reply);
  ScenarioRow row{"stale locations: each names a live node that lacks the track", variant, "", false};
  row.happened =
      text("of %u acquires %u ended NOT_HERE, %u NO_REPLY; the longest took %.1f ms (two round trips: %.1f)",
           replay.asked(), absent, silent, ms(replay.longest()), ms(bound) - 4);
  if (rules.negative_answers) {
    row.as_stated = absent == replay.asked() && replay.longest() <= bound && !fleet.auditor.failed();
  } else {
    row.as_stated = silent == replay.asked() && replay.longest() >= kDeadline;
  }
  return row;
}

// ---- a silent owner

ScenarioRow silent_owner(const char* variant, const relay::Rules& rules) {
  Replay replay(rules);
  Fleet& fleet = replay.fleet;
  for (NodeIndex node = 1; node < fleet.size(); ++node) fleet.config(node).rules.negative_answers = false;
  for (uint32_t t = 0; t < kTracks; ++t) fleet.config(0).locations.push_back({id_of(t), node_id(2)});
  replay.start();
  for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(0, id_of(t), t);
  fleet.run_until(fleet.now() + kMinute);
  const uint32_t waiting = replay.unresolved(), silent = replay.count(Outcome::no_reply);
  ScenarioRow row{"a silent owner: nobody answers for a track that it lacks", variant, "", false};
  row.happened = text(
      "of %u acquires with a deadline of %.0f ms %u ended NO_REPLY (the longest after %.1f ms); "
      "%u still wait after 60 s",
      replay.asked(), ms(kDeadline), silent, ms(replay.longest()), waiting);
  if (rules.deadlines) {
    row.as_stated = silent == replay.asked() && waiting == 0 && !fleet.auditor.failed();
  } else {
    row.as_stated = waiting == replay.asked() && fleet.auditor.failed();
  }
  return row;
}

// ---- the setting is absent, everywhere

ScenarioRow setting_absent(const char* variant, const relay::Rules& rules) {
  Replay replay(rules);
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
  fleet.run_until(kWarmUp);
  uint32_t links = 0;
  for (NodeIndex node = 0; node < fleet.size() && started == fleet.size(); ++node) {
    for (relay::LinkId l = 0; l < fleet.node(node).mesh().link_count(); ++l) {
      links += fleet.node(node).mesh().link(l).state == relay::LinkState::kUp ? 1 : 0;
    }
  }
  ScenarioRow row{"the required setting is absent on all nodes", variant, "", false};
  row.happened = text("%u of %u nodes started, %u refused and named wire.track_namespace; %u link ends up",
                      started, uint32_t{fleet.size()}, named, links);
  row.as_stated = rules.required_settings ? started == 0 && named == fleet.size()
                                          : started == fleet.size() && links == 20u;
  return row;
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

ScenarioRow setting_wrong(const char* variant, const relay::Rules& rules) {
  Replay replay(rules);
  Fleet& fleet = replay.fleet;
  constexpr NodeIndex kOthers = 3;  // nodes 4 and 5 have the new value
  constexpr uint32_t kEnds = 2 * 3 * 2;
  for (NodeIndex node = kOthers; node < fleet.size(); ++node) {
    fleet.config(node).wire[0] = {"track_namespace", "sim-2", {"sim-2"}};
  }
  for (NodeIndex node = 0; node < kOthers; ++node) {
    for (uint32_t t = 0; t < kTracks; ++t)
      fleet.config(node).locations.push_back({id_of(t), node_id(kOthers)});
  }
  for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.start(node);
  fleet.run_until(fleet.largest_round_trip(fleet.size() - 1) + core::from_s(1));
  const uint32_t refused = refused_ends(fleet);
  fleet.run_until(kWarmUp);
  // The same tracks by name; their ids depend on the setting.
  for (uint32_t t = 0; t < kTracks; ++t) replay.publish(kOthers, id_of(t, "sim-2"));
  fleet.run_until(fleet.now() + core::from_s(1));
  for (NodeIndex node = 0; node < kOthers; ++node) {
    for (uint32_t t = 0; t < kTracks; ++t) replay.acquire(node, id_of(t), t);
  }
  fleet.run_until(fleet.now() + core::from_s(3));
  const uint32_t named = replay.count(Outcome::config_mismatch), denied = replay.count(Outcome::not_here);
  ScenarioRow row{"the setting is wrong on two of five nodes", variant, "", false};
  row.happened = text(
      "%u of %u link ends refused, setting and values named, after 1 s + 1 RTT; of %u acquires of "
      "tracks that exist there %u ended CONFIG_MISMATCH, %u NOT_HERE; the longest took %.1f ms",
      refused, kEnds, replay.asked(), named, denied, ms(replay.longest()));
  if (rules.required_settings) {
    row.as_stated = refused == kEnds && named == replay.asked() && replay.longest() < kDeadline &&
                    !fleet.auditor.failed();
  } else {
    row.as_stated = refused == 0 && denied == replay.asked();
  }
  return row;
}

}  // namespace

std::vector<ScenarioRow> replay_2023_11_02() {
  relay::Rules ours, no_negatives, no_deadlines, no_settings;
  no_negatives.negative_answers = false;
  no_deadlines.deadlines = false;
  no_settings.required_settings = false;
  return {
      stale_locations("ours", ours), stale_locations("minus negative_answers", no_negatives),
      silent_owner("ours", ours),    silent_owner("minus deadlines", no_deadlines),
      setting_absent("ours", ours),  setting_absent("minus required_settings", no_settings),
      setting_wrong("ours", ours),   setting_wrong("minus required_settings", no_settings),
  };
}

}  // namespace trunkline::sim
