// trunkline-sim: thousands of short lives of a small mesh, in virtual time, looking for one broken promise.
//
//   [--seeds N] [--first-seed S] [--jobs J]   runs N seeds. At a broken promise: prints the seed and what it
//                                             decided, shrinks the run, writes a file that reproduces it,
//                                             exit code 1
//   --sealed                                  the same, or one seed, with the real cryptography: slower
//   --trace SEED                              one seed, with everything that happens as text
//   --replay FILE                             what a shrunk run wrote, in the same way
//   --hash N                                  one number that stands for N seeds, whatever the compiler and
//                                             the optimisation
//   --figures [--long]                        the figures "never stuck" (stuck.h)
//   --scenario NAME                           a replay of a real outage (--list names them)
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "tools/sim/batch.h"
#include "tools/sim/report.h"
#include "tools/sim/scale.h"
#include "tools/sim/scenario.h"
#include "tools/sim/shrink.h"
#include "tools/sim/stuck.h"
#include "tools/sim/world.h"

namespace trunkline::sim {

namespace {

struct Arguments {
  BatchOptions batch;
  uint64_t trace = 0;
  uint64_t hash = 0;
  std::string replay;
  std::string save;
  std::string scenario;
  bool scenarios = false;
  bool figures = false;
  bool long_figures = false;
  ScaleOptions scale;
  bool list = false;
  bool verbose = false;
  bool json = false;
  bool no_shrink = false;
};

unsigned long long full(uint64_t n) {
  return n;
}

void print_violations(const std::vector<Violation>& violations) {
  for (const Violation& v : violations) {
    std::printf("at %.6f s: %s\n", static_cast<double>(v.time.ns) * 1e-9, v.text.c_str());
  }
}

// The seed and its options, then the least that still breaks the promise.
void print_failure(const Arguments& arguments, const SeedResult& failed) {
  std::printf("\nVIOLATION with seed %llu\n\n%s\n", full(failed.seed),
              describe(draw_options(failed.seed)).c_str());
  print_violations(failed.violations);
  std::printf("\ntrace hash %016llx\nto see it happen: tools/dev sim%s --trace %llu\n", full(failed.hash),
              arguments.batch.sealed ? " --sealed" : "", full(failed.seed));
  if (arguments.no_shrink) return;
  std::fflush(stdout);
  Recipe whole;
  whole.seed = failed.seed;
  whole.sealed = arguments.batch.sealed;
  const Shrunk shrunk = shrink(whole);
  const std::string file =
      arguments.save.empty() ? "sim-seed-" + std::to_string(failed.seed) + ".txt" : arguments.save;
  std::ofstream(file) << to_text(shrunk.recipe);
  std::printf("\nshrunk in %u runs from %zu faults to %zu:\n\n%s\n", shrunk.runs, shrunk.faults_before,
              shrunk.faults_after, to_text(shrunk.recipe).c_str());
  std::printf("%s\nto see this: tools/dev sim --replay %s\n", short_trace(shrunk.recipe).c_str(),
              file.c_str());
}

int run_one(const Recipe& recipe) {
  std::printf("seed %llu\n%s\n", full(recipe.seed), describe(recipe.options()).c_str());
  const RunResult run = run_recipe(recipe, stdout);
  print_violations(run.violations);
  std::printf("\ntrace hash %016llx, %zu violations\n", full(run.hash), run.violations.size());
  return run.violations.empty() ? 0 : 1;
}

int run_replay(const std::string& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  std::string why = "the file cannot be read";
  const std::optional<Recipe> recipe = in ? parse_recipe(text.str(), why) : std::nullopt;
  if (recipe) return run_one(*recipe);
  std::fprintf(stderr, "trunkline-sim: %s: %s\n", file.c_str(), why.c_str());
  return 2;
}

int run_hash(const Arguments& arguments) {
  BatchOptions options = arguments.batch;
  options.seeds = arguments.hash;
  options.keep_going = true;
  std::printf("%016llx\n", full(run_batch(options).hash));
  return 0;
}

void print_summary(const Arguments& arguments, const BatchResult& result, double took) {
  const Report& report = result.report;
  std::printf(
      "\n%llu seeds from %llu in %.1f s with %u thread%s: %.0f seeds/s, %.2f M events/s, %.1f simulated "
      "node-hours; hash of all traces %016llx\n",
      full(report.seeds), full(arguments.batch.first_seed), took, arguments.batch.jobs,
      arguments.batch.jobs == 1 ? "" : "s", static_cast<double>(report.seeds) / took,
      static_cast<double>(report.events) / took * 1e-6, static_cast<double>(report.simulated.ns) / 3.6e12,
      full(result.hash));
  std::printf("%zu seeds with violations; %.1f %% of acquires that were not cancelled ended OK\n",
              result.failed.size(), 100 * report.share_ok());
}

int run_seeds(const Arguments& arguments) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  double said = 0;
  const auto progress = [&](uint64_t done) {
    if (arguments.json || seconds() - said < 5) return;
    said = seconds();
    std::printf("%llu of %llu seeds, %.0f per second\n", full(done), full(arguments.batch.seeds),
                static_cast<double>(done) / said);
    std::fflush(stdout);
  };
  const auto each = [&](const SeedResult& result) {
    if (arguments.verbose) std::printf("seed %llu hash %016llx\n", full(result.seed), full(result.hash));
  };
  const BatchResult result = run_batch(arguments.batch, progress, each);
  if (!result.failed.empty() && !arguments.batch.keep_going) {
    print_failure(arguments, result.failed.front());
    return 1;
  }
  if (arguments.json) {
    result.report.print_json(stdout);
  } else {
    result.report.print(stdout);
    print_summary(arguments, result, seconds());
  }
  for (const SeedResult& failed : result.failed) {
    std::printf("seed %llu: %s\n", full(failed.seed), failed.violations.front().text.c_str());
  }
  std::vector<std::string> missing;
  if (result.report.seeds >= Report::kEnoughSeeds) missing = result.report.shortfalls();
  for (const std::string& what : missing) std::printf("NOT ENOUGH: %s\n", what.c_str());
  return result.failed.empty() && missing.empty() ? 0 : 1;
}

int run_command(int argc, char** argv) {
  Arguments arguments;
  arguments.batch.seeds = 200;
  CLI::App app{
      "Trunkline's simulator: the production state machine and packet path in virtual time, under faults."};
  app.add_option("--seeds", arguments.batch.seeds, "how many seeds to run")->capture_default_str();
  app.add_option("--first-seed", arguments.batch.first_seed, "the first of them")->capture_default_str();
  app.add_option("--jobs", arguments.batch.jobs, "threads; a seed is one thread's, the report is the same")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  CLI::Option* trace = app.add_option("--trace", arguments.trace, "run one seed and print what happens");
  app.add_option("--hash", arguments.hash, "print one hash over so many seeds, and nothing else");
  app.add_option("--replay", arguments.replay, "run what a shrunk failure wrote, and print what happens");
  app.add_option("--save", arguments.save, "where to write a shrunk failure (default: sim-seed-SEED.txt)");
  app.add_option("--scenario", arguments.scenario, "run a named scenario");
  app.add_flag("--scenarios", arguments.scenarios, "run all scenarios and print one table");
  CLI::Option* figures = app.add_flag("--figures", arguments.figures,
                                      "measure the figures \"never stuck\", a JSON object per line");
  app.add_flag("--long", arguments.long_figures, "with the large mesh, which takes minutes")->needs(figures);
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
  app.add_flag("--keep-going", arguments.batch.keep_going,
               "count seeds with violations instead of stopping at the first");
  app.add_flag("--sealed", arguments.batch.sealed, "seal for real instead of with the model; slower");
  app.add_flag("--no-shrink", arguments.no_shrink, "print a failure as it is");
  app.add_flag("--json", arguments.json, "the report as one JSON object");
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
  if (arguments.figures) {
    return run_stuck_figures({arguments.batch.first_seed, arguments.batch.seeds, arguments.long_figures},
                             stdout);
  }
  if (arguments.scenarios) return run_scenarios(stdout);
  if (scale->count() > 0) {
    arguments.scale.seed = arguments.batch.first_seed;
    return run_scale(arguments.scale, stdout).violations == 0 ? 0 : 1;
  }
  if (!arguments.scenario.empty()) return run_scenario(arguments.scenario, stdout);
  if (!arguments.replay.empty()) return run_replay(arguments.replay);
  if (arguments.hash > 0) return run_hash(arguments);
  if (trace->count() == 0) return run_seeds(arguments);
  Recipe recipe;
  recipe.seed = arguments.trace;
  recipe.sealed = arguments.batch.sealed;
  return run_one(recipe);
}

}  // namespace

int simulate(int argc, char** argv) {
  return run_command(argc, argv);
}

}  // namespace trunkline::sim

int main(int argc, char** argv) {
  return trunkline::sim::simulate(argc, argv);
}
