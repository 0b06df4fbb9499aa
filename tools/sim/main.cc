// trunkline-sim: thousands of short lives of a small mesh, in virtual time, looking for one broken promise.
//
//   trunkline-sim [--seeds N] [--first-seed S] [--verbose]     runs N seeds; exit code 1 at the first
//   violation trunkline-sim --trace SEED                                 one seed, with everything that
//   happens as text trunkline-sim --scenario NAME                              a replay of a real outage
//   (--list names them)
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include "tools/sim/report.h"
#include "tools/sim/scale.h"
#include "tools/sim/scenario.h"
#include "tools/sim/world.h"

namespace trunkline::sim {

namespace {

struct Arguments {
  uint64_t seeds = 200;
  uint64_t first_seed = 1;
  uint64_t trace = 0;
  std::string scenario;
  bool scenarios = false;
  ScaleOptions scale;
  bool list = false;
  bool verbose = false;
  bool keep_going = false;
};

void print_failure(const Options& options, const std::vector<Violation>& violations, uint64_t hash) {
  std::printf("\nVIOLATION with seed %llu\n\n%s\n", static_cast<unsigned long long>(options.seed),
              describe(options).c_str());
  for (const Violation& v : violations) {
    std::printf("at %.6f s: %s\n", static_cast<double>(v.time.ns) * 1e-9, v.text.c_str());
  }
  std::printf("\ntrace hash %016llx\nto see it happen: tools/dev sim --trace %llu\n",
              static_cast<unsigned long long>(hash), static_cast<unsigned long long>(options.seed));
}

int run_trace(const Arguments& arguments) {
  const Options options = draw_options(arguments.trace);
  std::printf("seed %llu\n%s\n", static_cast<unsigned long long>(options.seed), describe(options).c_str());
  Report report;
  World world(options, report, stdout);
  world.run();
  if (!world.violations().empty()) {
    print_failure(options, world.violations(), world.trace_hash());
    return 1;
  }
  report.print(stdout);
  std::printf("\ntrace hash %016llx, 0 violations\n", static_cast<unsigned long long>(world.trace_hash()));
  return 0;
}

int run_seeds(const Arguments& arguments) {
  using Clock = std::chrono::steady_clock;
  Report report;
  uint64_t hashes = 0, failed = 0;
  const Clock::time_point begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  double said = 0;
  for (uint64_t i = 0; i < arguments.seeds; ++i) {
    const Options options = draw_options(arguments.first_seed + i);
    World world(options, report);
    world.run();
    hashes = hashes * 0x100000001b3u ^ world.trace_hash();
    if (arguments.verbose) {
      std::printf("seed %llu hash %016llx\n", static_cast<unsigned long long>(options.seed),
                  static_cast<unsigned long long>(world.trace_hash()));
    }
    if (!world.violations().empty()) {
      if (!arguments.keep_going) {
        print_failure(options, world.violations(), world.trace_hash());
        return 1;
      }
      ++failed;
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(options.seed),
                  world.violations().front().text.c_str());
    }
    if (seconds() - said >= 5) {
      said = seconds();
      std::printf("%llu of %llu seeds, %.0f per second, 0 violations\n",
                  static_cast<unsigned long long>(i + 1), static_cast<unsigned long long>(arguments.seeds),
                  static_cast<double>(i + 1) / said);
      std::fflush(stdout);
    }
  }
  const double took = seconds();
  report.print(stdout);
  std::printf(
      "\n%llu seeds from %llu in %.1f s: %.0f seeds/s, %.2f M events/s, %.1f simulated node-hours; "
      "hash of all traces %016llx\n%llu seeds with violations; %.1f %% of acquires that were not cancelled "
      "ended OK\n",
      static_cast<unsigned long long>(report.seeds), static_cast<unsigned long long>(arguments.first_seed),
      took, static_cast<double>(report.seeds) / took, static_cast<double>(report.events) / took * 1e-6,
      static_cast<double>(report.simulated.ns) / 3.6e12, static_cast<unsigned long long>(hashes),
      static_cast<unsigned long long>(failed), 100 * report.share_ok());
  return failed == 0 ? 0 : 1;
}

int run_command(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{
      "Trunkline's simulator: the production state machine and packet path in virtual time, under faults."};
  app.add_option("--seeds", arguments.seeds, "how many seeds to run")->capture_default_str();
  app.add_option("--first-seed", arguments.first_seed, "the first of them")->capture_default_str();
  CLI::Option* trace = app.add_option("--trace", arguments.trace, "run one seed and print what happens");
  app.add_option("--scenario", arguments.scenario, "run a named scenario");
  app.add_flag("--scenarios", arguments.scenarios, "run all scenarios and print one table");
  CLI::Option* scale = app.add_option("--scale", arguments.scale.nodes, "run one large mesh of so many nodes")
                           ->check(CLI::Range(2u, 4'000u));
  app.add_option("--links", arguments.scale.links, "links a node, at most")
      ->needs(scale)
      ->check(CLI::Range(2u, 64u))
      ->capture_default_str();
  app.add_option("--tracks", arguments.scale.tracks, "published, in all")
      ->needs(scale)
      ->capture_default_str();
  app.add_option("--seconds", arguments.scale.seconds, "of virtual time")
      ->needs(scale)
      ->capture_default_str();
  app.add_flag("--list", arguments.list, "list the scenarios and the classes of faults");
  app.add_flag("--keep-going", arguments.keep_going,
               "count seeds with violations instead of stopping at the first");
  app.add_flag("--verbose", arguments.verbose, "print each seed's trace hash");
  CLI11_PARSE(app, argc, argv);
  if (arguments.list) {
    list_scenarios(stdout);
    std::printf("\nclasses of faults, of which each seed draws some:\n");
    for (uint32_t i = 0; i < kFaults; ++i) {
      std::printf("  %-12s %s\n", fault_name(static_cast<Fault>(i)), fault_text(static_cast<Fault>(i)));
    }
    return 0;
  }
  if (arguments.scenarios) return run_scenarios(stdout);
  if (scale->count() > 0) {
    arguments.scale.seed = arguments.first_seed;
    return run_scale(arguments.scale, stdout).violations == 0 ? 0 : 1;
  }
  if (!arguments.scenario.empty()) return run_scenario(arguments.scenario, stdout);
  return trace->count() > 0 ? run_trace(arguments) : run_seeds(arguments);
}

}  // namespace

int simulate(int argc, char** argv) {
  return run_command(argc, argv);
}

}  // namespace trunkline::sim

int main(int argc, char** argv) {
  return trunkline::sim::simulate(argc, argv);
}
