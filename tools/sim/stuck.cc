// What the runs have in common, the seeds, and the lines that are printed. See stuck.h.
#include "tools/sim/stuck.h"

#include <time.h>

#include <algorithm>
#include <cmath>

#include "tools/sim/scale.h"
#include "tools/sim/world.h"

namespace trunkline::sim {

namespace {

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

// In virtual time there is nobody to compare with: the peer is null.
void print(const StuckFigure& f, std::FILE* out) {
  const std::string goal = f.goal ? text("%.4g", *f.goal) : "null";
  const char* met = !f.goal ? "null" : f.met() ? "true" : "false";
  std::fprintf(
      out,
      "{\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"peer\":null,\"peer_value\":null,\"ratio\":null,"
      "\"goal\":%s,\"better\":\"lower\",\"met\":%s,\"runs\":%zu,\"note\":\"%s\"}\n",
      f.name.c_str(), f.value(), f.unit.c_str(), goal.c_str(), met, f.values.size(), escaped(f.note).c_str());
  std::fflush(out);
}

}  // namespace

double StuckFigure::value() const {
  if (values.empty()) return std::nan("");
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  constexpr double kShare[] = {1, 0.5, 0.99, 0.999};
  const double rank = std::ceil(kShare[static_cast<size_t>(of)] * static_cast<double>(sorted.size()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

void StuckTally::add(Replay& run, const char* name) {
  Auditor& auditor = run.fleet.auditor;
  for (size_t i = 0; i < auditor.acquisition_count(); ++i) {
    const Acquisition& a = auditor.acquisition(Auditor::acquisition_handle(i));
    if (a.state == Acquisition::State::kWithNode) continue;
    ++acquires;
    const bool over = a.state != Acquisition::State::kAsked;
    const Nanos last = a.submitted + a.deadline + relay::kMeshTick;
    overdue += (over ? a.ended : run.fleet.now()) > last ? 1 : 0;
  }
  for (const Violation& v : auditor.violations()) {
    broken.push_back(text("%s, at %.1f ms: ", name, ms(v.time)) + v.text);
  }
}

Options ten_regions() {
  std::vector<Region> regions;
  for (uint32_t r = 0; r < kRegions; ++r) regions.push_back(static_cast<Region>(r));
  return plain_options(1, std::move(regions));
}

void make_room(Replay& run) {
  for (NodeIndex node = 0; node < run.fleet.size(); ++node) {
    relay::NodeLimits& limits = run.fleet.config(node).limits;
    const uint32_t peers = limits.max_peers;
    limits = relay::NodeLimits{};
    limits.max_peers = peers;
    limits.max_tracks = limits.max_acquires = limits.max_requests = 4'096;
  }
}

relay::LinkStatus link_of(const Replay& run, NodeIndex node, NodeIndex peer) {
  const relay::MeshNode& mesh = run.fleet.node(node).mesh();
  relay::LinkId l = 0;
  while (mesh.link(l).node != node_id(peer)) ++l;
  return mesh.link(l);
}

uint64_t counter(const Replay& run, NodeIndex node, relay::MeshCounter which) {
  return run.fleet.node(node).mesh().counters().value(which);
}

uint64_t counter(const Replay& run, relay::MeshCounter which) {
  uint64_t sum = 0;
  for (NodeIndex node = 0; node < run.fleet.size(); ++node) {
    if (run.fleet.is_up(node)) sum += counter(run, node, which);
  }
  return sum;
}

// ---- seeds

StuckFigures stuck_seeds(uint64_t first_seed, uint64_t seeds, StuckTally& tally) {
  StuckFigure cost{"stuck.seed_ms", "CPU-ms", 10.0, {}, StuckFigure::Of::kMedian};
  Report report;
  uint64_t others = 0, first_other = 0;
  for (uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    const double begin = cpu_ms();
    World world(draw_options(seed), report);
    world.run();
    cost.values.push_back(cpu_ms() - begin);
    for (const Violation& v : world.violations()) {
      const bool overdue = v.text.starts_with("S1") && (v.text.find("has not ended") != std::string::npos ||
                                                        v.text.find("too late") != std::string::npos);
      tally.overdue += overdue ? 1 : 0;
      if (!overdue && others++ == 0) first_other = seed;
    }
  }
  tally.acquires += report.asked;
  cost.note = text("median of default seeds: 5 to 8 nodes, 20 s of virtual time; %llu other violations",
                   static_cast<unsigned long long>(others));
  if (others > 0) cost.note += text(", first in seed %llu", static_cast<unsigned long long>(first_other));
  return {cost};
}

// ---- all

int run_stuck_figures(const StuckOptions& options, std::FILE* out) {
  StuckTally tally;
  constexpr StuckFigures (*kAll[])(StuckTally&) = {
      stuck_absent,     stuck_healthy, stuck_mismatch, stuck_hung,     stuck_down,    stuck_failover,
      stuck_false_down, stuck_heal,    stuck_gray,     stuck_gray_cap, stuck_restart, stuck_storm};
  for (const auto& measure : kAll) {
    for (const StuckFigure& figure : measure(tally)) print(figure, out);
  }
  for (const StuckFigure& figure : stuck_seeds(options.first_seed, options.seeds, tally)) print(figure, out);
  StuckFigure overdue{"stuck.overdue", "acquires", 0.0, {static_cast<double>(tally.overdue)}};
  overdue.note =
      text("of %llu acquires: the runs above, and %llu default seeds from %llu",
           static_cast<unsigned long long>(tally.acquires), static_cast<unsigned long long>(options.seeds),
           static_cast<unsigned long long>(options.first_seed));
  print(overdue, out);
  if (options.large) {
    const ScaleResult run = run_scale(ScaleOptions{}, nullptr);
    print({"stuck.scale300_s", "s", 30.0, {run.run_s}, StuckFigure::Of::kMost, "300 nodes, 60 s"}, out);
  }
  for (const std::string& what : tally.broken) std::fprintf(stderr, "BROKEN: %s\n", what.c_str());
  return tally.overdue == 0 && tally.broken.empty() ? 0 : 1;
}

}  // namespace trunkline::sim
