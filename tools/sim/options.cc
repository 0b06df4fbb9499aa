// The ranges from which a seed draws. They are wider than a public network and narrower than a dead one: at
// least half of all acquires are to end OK over many seeds, or the runs would prove little.
#include "tools/sim/options.h"

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

void draw_path_faults(core::Rng& rng, Options& o) {
  PathFaults& p = o.path;
  // Drawn whether the class is in or out, so that leaving one out does not change the others.
  const double loss = part(rng, 0.002, 0.08);
  const double enter = part(rng, 0.0005, 0.01);
  const double leave = part(rng, 0.05, 0.3);
  const Nanos jitter = core::from_us(between(rng, 200, 30'000));
  const double duplicate = part(rng, 0.005, 0.1);
  const double reorder = part(rng, 0.005, 0.1);
  const Nanos reorder_by = core::from_us(between(rng, 500, 40'000));
  const double corrupt = part(rng, 0.001, 0.03);
  if (o.has(Fault::loss)) p.loss = loss;
  if (o.has(Fault::burst_loss)) {
    p.burst_enter = enter;
    p.burst_leave = leave;
  }
  if (o.has(Fault::jitter)) p.jitter = jitter;
  if (o.has(Fault::duplicate)) p.duplicate = duplicate;
  if (o.has(Fault::reorder)) {
    p.reorder = reorder;
    p.reorder_by = reorder_by;
  }
  if (o.has(Fault::corrupt)) p.corrupt = corrupt;
}

}  // namespace

const char* fault_name(Fault fault) {
  return kFaultNames[static_cast<uint32_t>(fault)];
}
const char* fault_text(Fault fault) {
  return kFaultTexts[static_cast<uint32_t>(fault)];
}

Options draw_options(uint64_t seed) {
  core::Rng rng = stream(seed, "options");
  Options o;
  o.seed = seed;
  o.nodes = {Region::kWashington, Region::kWashington, Region::kLondon, Region::kLondon, Region::kTokyo};
  o.faults = static_cast<uint32_t>(rng.next()) & ((1u << kFaults) - 1);
  draw_path_faults(rng, o);
  const Nanos slow_by = core::from_us(between(rng, 100, 20'000));
  if (o.has(Fault::slow)) o.slow_by = slow_by;
  o.tracks = static_cast<uint32_t>(between(rng, 5, 12));
  o.acquire_every = core::from_ms(between(rng, 25, 80));
  o.change_every = core::from_ms(between(rng, 150, 700));
  if (rng.chance(0.05)) o.phases.drain = Phases::kForgetting;
  o.media_every = core::from_ms(between(rng, 60, 120));
  return o;
}

std::string describe(const Options& o) {
  char line[512];
  std::string out = "nodes ";
  for (size_t i = 0; i < o.nodes.size(); ++i) {
    out += std::to_string(i + 1) + "=" + region_name(o.nodes[i]) + " ";
  }
  out += "\nfaults";
  for (uint32_t i = 0; i < kFaults; ++i) {
    if (o.has(static_cast<Fault>(i))) out += std::string(" ") + kFaultNames[i];
  }
  const PathFaults& p = o.path;
  std::snprintf(
      line, sizeof line,
      "\npaths loss %.4f, bursts enter %.4f leave %.4f, jitter %.3f ms, duplicate %.4f, reorder %.4f by "
      "%.3f ms, corrupt %.4f; slow by %.3f ms",
      p.loss, p.burst_enter, p.burst_leave, static_cast<double>(p.jitter.ns) * 1e-6, p.duplicate, p.reorder,
      static_cast<double>(p.reorder_by.ns) * 1e-6, p.corrupt, static_cast<double>(o.slow_by.ns) * 1e-6);
  out += line;
  std::snprintf(line, sizeof line,
                "\nphases ms: warm-up %lld, faults %lld, heal %lld, liveness %lld, drain %lld"
                "\nworkload %u tracks, acquire each %lld ms, change each %lld ms, media each %lld ms\n",
                static_cast<long long>(o.phases.warm_up.ms()), static_cast<long long>(o.phases.faults.ms()),
                static_cast<long long>(o.phases.heal.ms()), static_cast<long long>(o.phases.liveness.ms()),
                static_cast<long long>(o.phases.drain.ms()), o.tracks,
                static_cast<long long>(o.acquire_every.ms()), static_cast<long long>(o.change_every.ms()),
                static_cast<long long>(o.media_every.ms()));
  return out + line;
}

}  // namespace trunkline::sim
