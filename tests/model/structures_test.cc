// The production classes under every interleaving: nothing is found.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/model/programs.h"

namespace trunkline::model {
namespace {

TEST(Model, NothingIsFoundInAnyInterleaving) {
  std::printf("%-62s %10s %10s %10s %8s\n", "program", "executions", "complete", "states", "seconds");
  for (const NamedProgram& program : programs()) {
    const Exploration all = explore(program.program);
    std::printf("%-62s %10lu %10lu %10lu %8.2f\n", program.name.c_str(),
                static_cast<unsigned long>(all.executions), static_cast<unsigned long>(all.complete),
                static_cast<unsigned long>(all.states), all.seconds);
    EXPECT_TRUE(all.finding.empty()) << program.name << ": " << all.finding << "\n" << all.trace;
    EXPECT_TRUE(all.exhausted) << program.name;
    EXPECT_GT(all.complete, 0u) << program.name;
  }
}

}  // namespace
}  // namespace trunkline::model
