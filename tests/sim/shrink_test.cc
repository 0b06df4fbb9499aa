// A planted failure becomes a short one: the product without one of its rules breaks a promise, and what is
// left of the seed after shrinking still breaks the same one, from a file, with a trace that a person can
// read.
#include "tools/sim/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tools/sim/batch.h"
#include "tools/sim/world.h"

namespace trunkline::sim {
namespace {

// The lowest seed in which acquires that never end are seen.
Recipe planted() {
  Recipe recipe;
  recipe.rules.deadlines = false;
  for (recipe.seed = 1; recipe.seed < 50; ++recipe.seed) {
    if (promise_of(run_recipe(recipe).violations) == "S1" && recipe.schedule().size() > 10) break;
  }
  return recipe;
}

TEST(Shrinking, LeavesAFewFaultsOfManyAndTheSamePromise) {
  const Recipe whole = planted();
  ASSERT_LT(whole.seed, 50u);
  const Shrunk shrunk = shrink(whole);
  EXPECT_LE(shrunk.runs, 400u);
  EXPECT_EQ(promise_of(shrunk.run.violations), "S1");
  EXPECT_LT(shrunk.faults_after, shrunk.faults_before / 2);
  // What was written is what was run.
  std::string why;
  const auto again = parse_recipe(to_text(shrunk.recipe), why);
  ASSERT_TRUE(again.has_value()) << why;
  const RunResult run = run_recipe(*again);
  EXPECT_EQ(run.hash, shrunk.run.hash);
  ASSERT_FALSE(run.violations.empty());
  EXPECT_EQ(run.violations.front().text, shrunk.run.violations.front().text);
  // The same recipe with all rules is well: what was planted is what was found.
  Recipe whole_product = *again;
  whole_product.rules = {};
  EXPECT_TRUE(run_recipe(whole_product).violations.empty());
  const std::string trace = short_trace(*again);
  EXPECT_LE(std::count(trace.begin(), trace.end(), '\n'), 40) << trace;
  EXPECT_NE(trace.find("S1: "), std::string::npos) << trace;
}

// What broke a promise once, as short as it was found: each failed before it was mended.
TEST(Found, WhatWasFoundStaysMended) {
  uint32_t replayed = 0;
  for (const auto& file : std::filesystem::directory_iterator(TRUNKLINE_SOURCE_DIR "/tests/sim/found")) {
    SCOPED_TRACE(file.path().filename().string());
    std::ifstream in(file.path());
    std::string why;
    const auto recipe = parse_recipe({std::istreambuf_iterator<char>(in), {}}, why);
    ASSERT_TRUE(recipe.has_value()) << why;
    const RunResult run = run_recipe(*recipe);
    EXPECT_TRUE(run.violations.empty()) << run.violations.front().text;
    ++replayed;
  }
  EXPECT_GE(replayed, 3u);
}

TEST(Shrinking, ARecipeOfAWholeSeedIsThatSeed) {
  for (uint64_t seed = 80; seed < 90; ++seed) {
    Report report;
    World world(draw_options(seed), report);
    world.run();
    Recipe recipe;
    recipe.seed = seed;
    EXPECT_EQ(run_recipe(recipe).hash, world.trace_hash()) << "seed " << seed;
  }
}

TEST(Shrinking, ARecipeIsReadAsItWasWritten) {
  Recipe r;
  r.seed = 77;
  r.all_faults = false;
  r.faults = {1, 4, 9};
  r.nodes = 3;
  r.tracks = 2;
  r.thinner = 4;
  r.faults_ms = 250;
  r.rules.epochs = false;
  std::string why;
  const auto read = parse_recipe(to_text(r), why);
  ASSERT_TRUE(read.has_value()) << why;
  EXPECT_EQ(to_text(*read), to_text(r));
  EXPECT_FALSE(read->rules.epochs);
}

TEST(Shrinking, SaysWhichLineIsNoRecipe) {
  std::string why;
  EXPECT_FALSE(parse_recipe("seed 1\nmagic 2\n", why).has_value());
  EXPECT_NE(why.find("magic"), std::string::npos);
  EXPECT_FALSE(parse_recipe("seed 1\nwithout gravity\n", why).has_value());
  EXPECT_NE(why.find("gravity"), std::string::npos);
  EXPECT_FALSE(parse_recipe("nodes 3\n", why).has_value());
  EXPECT_EQ(why, "no seed");
}

TEST(Batch, GivesTheSameReportWhateverTheNumberOfThreads) {
  BatchOptions options;
  options.seeds = 40;
  options.first_seed = 300;
  options.keep_going = true;
  const BatchResult one = run_batch(options);
  options.jobs = 3;
  const BatchResult three = run_batch(options);
  EXPECT_EQ(one.hash, three.hash);
  EXPECT_EQ(one.ran, 40u);
  EXPECT_EQ(three.report.asked, one.report.asked);
  EXPECT_EQ(three.report.outcomes.total(), one.report.outcomes.total());
  EXPECT_EQ(three.report.drops, one.report.drops);
  for (uint32_t i = 0; i < kMarks; ++i) {
    EXPECT_EQ(three.report.marks.count(static_cast<Mark>(i)), one.report.marks.count(static_cast<Mark>(i)));
  }
}

TEST(Report, NamesWhatABatchHasNotMet) {
  Report report;
  report.seeds = 4;
  report.faults.fill(1);
  report.faults[1] = 0;
  for (uint32_t i = 1; i < kMarks; ++i) report.marks.hit(static_cast<Mark>(i));
#define X(name, number, text, what) \
  if (relay::Outcome::name != relay::Outcome::stalled) report.count_outcome(relay::Outcome::name, Nanos{1});
  TRUNKLINE_OUTCOMES(X)
#undef X
  const std::vector<std::string> missing = report.shortfalls();
  ASSERT_EQ(missing.size(), 4u);
  EXPECT_EQ(missing[0], "fewer than half of all acquires ended OK");
  EXPECT_EQ(missing[1], "no acquire ended STALLED");
  EXPECT_NE(missing[2].find(fault_name(static_cast<Fault>(1))), std::string::npos);
  EXPECT_NE(missing[3].find(mark_name(static_cast<Mark>(0))), std::string::npos);
}

}  // namespace
}  // namespace trunkline::sim
