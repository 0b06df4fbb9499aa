// The scenarios that there are, and how their tables look.
#include "tools/sim/scenario.h"

namespace trunkline::sim {

namespace {

struct Scenario {
  const char* name;
  const char* about;
  std::vector<ScenarioRow> (*run)();
};

constexpr Scenario kScenarios[] = {
    {"replay/2023-11-02",
     "locations name servers that lack the track, and a new protocol's setting is absent or wrong",
     replay_2023_11_02},
};

}  // namespace

void list_scenarios(std::FILE* out) {
  std::fprintf(out, "scenarios:\n");
  for (const Scenario& scenario : kScenarios)
    std::fprintf(out, "  %-20s %s\n", scenario.name, scenario.about);
}

int run_scenario(const std::string& name, std::FILE* out) {
  for (const Scenario& scenario : kScenarios) {
    if (name != scenario.name) continue;
    std::fprintf(out, "%s: %s\n", scenario.name, scenario.about);
    bool all = true;
    std::string situation;
    for (const ScenarioRow& row : scenario.run()) {
      if (row.situation != situation) {
        situation = row.situation;
        std::fprintf(out, "\n%s\n", situation.c_str());
      }
      const bool ours = row.variant == "ours";
      const char* verdict =
          ours ? (row.as_stated ? "passes" : "FAILS: a defect")
               : (row.as_stated ? "fails, as it must" : "DOES NOT FAIL: the test does not bite");
      std::fprintf(out, "  %-26s %-18s %s\n", row.variant.c_str(), verdict, row.happened.c_str());
      all = all && row.as_stated;
    }
    std::fprintf(out, "\n%s\n",
                 all ? "ours passes, and every naive variant fails in the stated way"
                     : "NOT AS IT MUST BE: see the rows above");
    return all ? 0 : 1;
  }
  std::fprintf(out, "no scenario is called '%s'\n", name.c_str());
  list_scenarios(out);
  return 2;
}

}  // namespace trunkline::sim
