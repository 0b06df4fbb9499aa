// The ranges from which a seed draws. They are wider than a public network and narrower than a dead one: at
// least half of all acquires are to end OK over many seeds, or the runs would prove little.
#include "tools/sim/options.h"

#include <algorithm>
#include <cstdio>

#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

constexpr const char* kFaultNames[kFaults] = {
#define X(name, text) #name,
    TRUNKLINE_SIM_FAULTS(X)
#undef X
};
constexpr const char* kFaultTexts[kFaults] = {
#define X(name, text) text,
    TRUNKLINE_SIM_FAULTS(X)
#undef X
};

double part(core::Rng& rng, double low, double high) {
  return low + rng.unit() * (high - low);
}

// One seed in eight has hardly a fault, so that what happens in a calm mesh is seen too. The mean is above
// the quarter of all seeds that each class is to have (Report::kFaultFloor), by four deviations of a count
// over 2 000 seeds: the rarest of 27 classes is to reach it too.
uint32_t draw_classes(core::Rng& rng) {
  constexpr double kChances[] = {0.04, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.55};
  const double chance = kChances[rng.below(std::size(kChances))];
  uint32_t faults = 0;
  constexpr auto kStranger = static_cast<uint32_t>(Fault::stranger);
  for (uint32_t i = 0; i < kStranger; ++i) faults |= rng.chance(chance) ? 1u << i : 0u;
  return faults;
}

// The newest class and what came with it have streams of their own: the seeds of old recipes draw the rest as
// they always did.
void draw_keys(Options& o) {
  core::Rng rng = stream(o.seed, "keys");
  if (rng.chance(0.3)) o.faults |= 1u << static_cast<uint32_t>(Fault::stranger);
  if (rng.chance(0.4)) o.rekey = core::from_ms(between(rng, 1'000, 5'000));
}

// Each class has a stream of its own, so that leaving one out does not change the others.
void draw_path_faults(Options& o) {
  PathFaults& p = o.path;
  const auto rng_of = [&](Fault fault) { return stream(o.seed, fault_name(fault)); };
  if (o.has(Fault::loss)) {
    core::Rng rng = rng_of(Fault::loss);
    p.loss = part(rng, 0.002, 0.08);
  }
  if (o.has(Fault::burst_loss)) {
    core::Rng rng = rng_of(Fault::burst_loss);
    p.burst_enter = part(rng, 0.0005, 0.01);
    p.burst_leave = part(rng, 0.05, 0.3);
  }
  if (o.has(Fault::jitter)) {
    core::Rng rng = rng_of(Fault::jitter);
    p.jitter = core::from_us(between(rng, 200, 30'000));
  }
  if (o.has(Fault::duplicate)) {
    core::Rng rng = rng_of(Fault::duplicate);
    p.duplicate = part(rng, 0.005, 0.1);
  }
  if (o.has(Fault::reorder)) {
    core::Rng rng = rng_of(Fault::reorder);
    p.reorder = part(rng, 0.005, 0.1);
    p.reorder_by = core::from_us(between(rng, 500, 40'000));
  }
  if (o.has(Fault::corrupt)) {
    core::Rng rng = rng_of(Fault::corrupt);
    p.corrupt = part(rng, 0.001, 0.03);
  }
  if (o.has(Fault::replay)) {
    core::Rng rng = rng_of(Fault::replay);
    p.replay = part(rng, 0.002, 0.05);
    p.replay_by = core::from_ms(between(rng, 1'000, 5'000));
  }
  if (o.has(Fault::bandwidth)) {
    core::Rng rng = rng_of(Fault::bandwidth);
    // From a few tracks' worth to plenty; the queue holds 20 ms to a second of it.
    p.rate_bps = static_cast<uint64_t>(between(rng, 60'000, 1'500'000));
    const auto wait_ms = static_cast<uint64_t>(between(rng, 20, 1'000));
    p.queue_bytes = static_cast<uint32_t>(std::max<uint64_t>(3'000, p.rate_bps / 8 * wait_ms / 1'000));
  }
}

// Which nodes of it: one, a region's, all but one, all.
std::vector<uint8_t> draw_place(core::Rng& rng, WrongSetting::Where where, const std::vector<Region>& nodes) {
  const size_t one = rng.below(nodes.size());
  std::vector<uint8_t> in(nodes.size(), 0);
  for (size_t i = 0; i < nodes.size(); ++i) {
    switch (where) {
      case WrongSetting::Where::kNowhere:
        break;
      case WrongSetting::Where::kNode:
        in[i] = i == one ? 1 : 0;
        break;
      case WrongSetting::Where::kRegion:
        in[i] = nodes[i] == nodes[one] ? 1 : 0;
        break;
      case WrongSetting::Where::kAllButOne:
        in[i] = i != one ? 1 : 0;
        break;
      case WrongSetting::Where::kAll:
        in[i] = 1;
        break;
    }
  }
  return in;
}

void draw_setting(Options& o) {
  core::Rng rng = stream(o.seed, "setting");
  WrongSetting& w = o.wrong;
  w.kind = static_cast<WrongSetting::Kind>(rng.below(3));
  w.where = static_cast<WrongSetting::Where>(1 + rng.below(4));
  const bool mtu = rng.chance(0.3);
  w.name = mtu ? "mtu" : "track_namespace";
  w.value = mtu ? "1400" : "sim-2";
  w.nodes = draw_place(rng, w.where, o.nodes);
  w.from_start = rng.chance(0.5);
  w.repaired = rng.chance(0.5);
  // A mesh of which no node ever starts shows that once, and nothing else for the rest of the seed.
  if (w.kind == WrongSetting::Kind::kAbsent && w.where >= WrongSetting::Where::kAllButOne) w.repaired = true;
  for (size_t i = 0; i < o.nodes.size(); ++i) o.builds[i].wrong_here = w.from_start && w.nodes[i] != 0;
}

// One to a third of the nodes.
void draw_limits(Options& o) {
  core::Rng rng = stream(o.seed, "limits");
  const auto most = static_cast<int64_t>(std::max<size_t>(1, o.nodes.size() / 3));
  for (int64_t left = between(rng, 1, most); left > 0; --left) {
    o.small[rng.below(o.nodes.size())] = static_cast<uint8_t>(between(rng, 1, 8));
  }
}

void draw_unserved(Options& o) {
  core::Rng rng = stream(o.seed, "unserved");
  for (int64_t left = between(rng, 1, 4); left > 0; --left) {
    const auto a = static_cast<NodeIndex>(rng.below(o.nodes.size()));
    const auto& peers = o.links.peers(a);
    o.unserved.emplace_back(a, peers[rng.below(peers.size())]);
  }
}

Topology draw_topology(core::Rng& rng) {
  constexpr Topology kPartial[] = {Topology::kRing, Topology::kHubs, Topology::kHubs, Topology::kChain};
  const Topology partial = kPartial[rng.below(std::size(kPartial))];
  return rng.chance(0.7) ? Topology::kFull : partial;
}

}  // namespace

const char* fault_name(Fault fault) {
  return kFaultNames[static_cast<uint32_t>(fault)];
}
const char* fault_text(Fault fault) {
  return kFaultTexts[static_cast<uint32_t>(fault)];
}

Options plain_options(uint64_t seed, std::vector<Region> nodes) {
  Options o;
  o.seed = seed;
  o.links = LinkSet(Topology::kFull, nodes);
  o.builds.resize(nodes.size());
  o.small.resize(nodes.size());
  o.nodes = std::move(nodes);
  o.acquire_every = core::from_ms(50);
  o.change_every = core::from_ms(500);
  o.media_every = core::from_ms(100);
  return o;
}

Options draw_options(uint64_t seed) {
  core::Rng rng = stream(seed, "options");
  // Five to eight nodes, small meshes more often: a full mesh of eight has nearly three times the links of
  // five.
  constexpr uint32_t kSizes[] = {5, 5, 5, 5, 6, 6, 7, 8};
  Options o = plain_options(seed, draw_regions(rng, kSizes[rng.below(std::size(kSizes))]));
  o.topology = draw_topology(rng);
  o.links = LinkSet(o.topology, o.nodes);
  o.faults = draw_classes(rng);
  draw_keys(o);
  draw_path_faults(o);
  const Nanos slow_by = core::from_us(between(rng, 100, 20'000));
  const Nanos timer_by = core::from_us(between(rng, 200, 15'000));
  if (o.has(Fault::slow)) o.slow_by = slow_by;
  if (o.has(Fault::late_timer)) o.timer_by = timer_by;
  o.tracks = static_cast<uint32_t>(between(rng, 5, 12));
  o.acquire_every = core::from_ms(between(rng, 50, 160));
  o.change_every = core::from_ms(between(rng, 250, 1'000));
  o.media_every = core::from_ms(between(rng, 60, 120));
  if (rng.chance(0.05)) o.phases.drain = Phases::kForgetting;
  const auto profile = static_cast<uint8_t>(rng.below(3));
  if (o.has(Fault::version)) std::fill(o.builds.begin(), o.builds.end(), Build{profile, false});
  if (o.has(Fault::setting)) draw_setting(o);
  if (o.has(Fault::limits)) draw_limits(o);
  if (o.has(Fault::unserved)) draw_unserved(o);
  if (o.has(Fault::permanent)) {
    o.phases.permanent = core::from_ms(4'000);
    o.phases.faults -= o.phases.permanent;
    if (rng.chance(0.05)) o.phases.permanent = Phases::kLeases;
  }
  return o;
}

// ---- as text

namespace {

std::string describe_nodes(const Options& o) {
  std::string out = "nodes";
  for (NodeIndex i = 0; i < o.nodes.size(); ++i) {
    out += " " + std::to_string(i + 1) + "=" + region_name(o.nodes[i]);
    constexpr const char* kProfiles[] = {"", "(N)", "(N+1)"};
    out += kProfiles[o.builds[i].profile];
    if (o.builds[i].wrong_here) out += "(wrong)";
    if (o.is_small(i)) out += "(small " + std::to_string(o.small[i]) + ")";
  }
  out += std::string("\ntopology ") + topology_name(o.topology);
  for (const auto& [a, b] : o.unserved)
    out += ", " + std::to_string(a + 1) + " does not serve " + std::to_string(b + 1);
  return out;
}

std::string describe_setting(const WrongSetting& w) {
  if (w.where == WrongSetting::Where::kNowhere) return "";
  constexpr const char* kKinds[] = {"another value of", "another, accepted value of", "without"};
  constexpr const char* kPlaces[] = {"nowhere", "one node", "one region", "all but one", "all"};
  std::string out = std::string("\nsetting: ") + kPlaces[static_cast<size_t>(w.where)] + " (";
  for (size_t i = 0; i < w.nodes.size(); ++i) out += w.nodes[i] != 0 ? " " + std::to_string(i + 1) : "";
  out += std::string(" ) ") + kKinds[static_cast<size_t>(w.kind)] + " wire." + w.name;
  out += w.from_start ? ", from the start" : ", during the faults";
  return out + (w.repaired ? ", repaired" : ", never repaired");
}

}  // namespace

std::string describe(const Options& o) {
  char line[512];
  std::string out = describe_nodes(o) + describe_setting(o.wrong) + "\nfaults";
  for (uint32_t i = 0; i < kFaults; ++i) {
    if (o.has(static_cast<Fault>(i))) out += std::string(" ") + kFaultNames[i];
  }
  const auto ms = [](Nanos time) { return static_cast<double>(time.ns) * 1e-6; };
  const PathFaults& p = o.path;
  std::snprintf(line, sizeof line,
                "\npaths loss %.4f, bursts enter %.4f leave %.4f, jitter %.3f ms, duplicate %.4f, reorder "
                "%.4f by %.3f ms, corrupt %.4f, replay %.4f by %.0f ms, rate %llu bit/s queue %u bytes"
                "\nnodes slow by %.3f ms, timers late by %.3f ms; keys replaced after %.0f ms%s",
                p.loss, p.burst_enter, p.burst_leave, ms(p.jitter), p.duplicate, p.reorder, ms(p.reorder_by),
                p.corrupt, p.replay, ms(p.replay_by), static_cast<unsigned long long>(p.rate_bps),
                p.queue_bytes, ms(o.slow_by), ms(o.timer_by), ms(o.rekey),
                o.sealed ? ", sealed for real" : "");
  out += line;
  std::snprintf(line, sizeof line,
                "\nphases ms: warm-up %.0f, faults %.0f, heal %.0f, liveness %.0f, permanent %.0f, drain %.0f"
                "\nworkload %u tracks, acquire each %.0f ms, change each %.0f ms, media each %.0f ms\n",
                ms(o.phases.warm_up), ms(o.phases.faults), ms(o.phases.heal), ms(o.phases.liveness),
                ms(o.phases.permanent), ms(o.phases.drain), o.tracks, ms(o.acquire_every), ms(o.change_every),
                ms(o.media_every));
  return out + line;
}

}  // namespace trunkline::sim
