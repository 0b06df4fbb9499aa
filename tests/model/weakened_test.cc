// Each memory order of core's lock-free classes is needed: without it something is found.
#include "tests/model/weakened.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace trunkline::model {
namespace {

TEST(Orders, EachIsNeeded) {
  const Orders orders(programs());
  const std::vector<Weakening> weakenings = orders.weakenings();
  size_t caught = 0;
  std::printf("%-28s %-10s %-22s %-44s %s\n", "where", "access", "weakened", "found by", "what");
  for (const Weakening& weakening : weakenings) {
    const Caught by = orders.judge(weakening);
    const std::string& file = weakening.site.file;
    const std::string where = file.substr(file.rfind('/') + 1) + ":" + std::to_string(weakening.site.line);
    std::printf("%-28s %-10s %-22s %-44s %s\n", where.c_str(), name_of(weakening.site.access),
                weakening.text.c_str(), by.program.empty() ? "nothing" : by.program.c_str(),
                by.finding.c_str());
    std::fflush(stdout);
    caught += by.program.empty() ? 0 : 1;
    EXPECT_FALSE(by.program.empty()) << where << ": " << weakening.text;
  }
  std::printf("%zu accesses, %zu weakened, %zu found\n", orders.sites().size(), weakenings.size(), caught);
}

}  // namespace
}  // namespace trunkline::model
