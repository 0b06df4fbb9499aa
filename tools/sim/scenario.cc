// The scenarios that there are, and how their tables look.
#include "tools/sim/scenario.h"

namespace trunkline::sim {

namespace {

struct Scenario {
  const char* name;
  const char* about;
  std::vector<ScenarioRow> (*run)();
  const char* same_as = nullptr;  // another name of that one
};

constexpr Scenario kScenarios[] = {
    {"replay/2023-11-02",
     "locations name servers that lack the track, and a new protocol's setting is absent or wrong",
     replay_2023_11_02},
    {"replay/2024-02-05", "servers restart together and believe each other unreachable", replay_2024_02_05},
    {"replay/loop", "a region that thinks itself isolated takes itself offline", replay_loop},
    {"replay/relay-v2", "connecting to one slow peer holds up everybody", replay_relay_v2},
    {"replay/2026-05", "a burst of acquires on a cold relay", replay_2026_05},
    {"replay/2026-06-18", "a region stays isolated long after a short loss", replay_2026_06_18},
    {"replay/jitsi", "a flag that must be in sync on all nodes is not", replay_jitsi},
    {"replay/T1", "wrong setting on some nodes, or on all", replay_2023_11_02, "replay/2023-11-02"},
    {"replay/T3", "a peer accepts and never answers", replay_2023_11_02, "replay/2023-11-02"},
    {"replay/T5", "wall clocks that are ten seconds off", replay_clocks},
    {"replay/T8", "a burst on a cold relay", replay_2026_05, "replay/2026-05"},
    {"replay/T9", "a short loss, then recovery", replay_2026_06_18, "replay/2026-06-18"},
};

const Scenario* find(const std::string& name) {
  for (const Scenario& scenario : kScenarios) {
    if (name == scenario.name) return &scenario;
  }
  return nullptr;
}

// Returns how many rows are not as they must be.
uint32_t print(const Scenario& scenario, const std::vector<ScenarioRow>& rows, std::FILE* out) {
  std::fprintf(out, "%s: %s\n", scenario.name, scenario.about);
  uint32_t wrong = 0;
  std::string situation;
  for (const ScenarioRow& row : rows) {
    if (row.situation != situation) {
      situation = row.situation;
      std::fprintf(out, "\n  %s\n", situation.c_str());
    }
    const bool ours = row.variant == "ours";
    const char* verdict =
        ours ? (row.as_stated ? "passes" : "FAILS: a defect")
             : (row.as_stated ? "fails, as it must" : "DOES NOT FAIL: the test does not bite");
    std::fprintf(out, "    %-24s %-18s %s\n", row.variant.c_str(), verdict, row.happened.c_str());
    wrong += row.as_stated ? 0 : 1;
  }
  std::fprintf(out, "\n");
  return wrong;
}

int conclude(uint32_t rows, uint32_t wrong, std::FILE* out) {
  if (wrong == 0) {
    std::fprintf(out, "%u rows: ours passes, and every naive variant fails in the stated way\n", rows);
  } else {
    std::fprintf(out, "NOT AS IT MUST BE: %u of %u rows, see above\n", wrong, rows);
  }
  return wrong == 0 ? 0 : 1;
}

}  // namespace

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const Scenario& scenario : kScenarios) names.emplace_back(scenario.name);
  return names;
}

std::vector<ScenarioRow> scenario_rows(const std::string& name) {
  const Scenario* const scenario = find(name);
  return scenario == nullptr ? std::vector<ScenarioRow>{} : scenario->run();
}

void list_scenarios(std::FILE* out) {
  std::fprintf(out, "scenarios:\n");
  for (const Scenario& scenario : kScenarios) {
    std::fprintf(out, "  %-20s %s", scenario.name, scenario.about);
    std::fprintf(out, scenario.same_as == nullptr ? "\n" : " (%s)\n", scenario.same_as);
  }
}

int run_scenario(const std::string& name, std::FILE* out) {
  const Scenario* const scenario = find(name);
  if (scenario == nullptr) {
    std::fprintf(out, "no scenario is called '%s'\n", name.c_str());
    list_scenarios(out);
    return 2;
  }
  const std::vector<ScenarioRow> rows = scenario->run();
  const uint32_t wrong = print(*scenario, rows, out);
  return conclude(static_cast<uint32_t>(rows.size()), wrong, out);
}

int run_scenarios(std::FILE* out) {
  uint32_t rows = 0, wrong = 0;
  for (const Scenario& scenario : kScenarios) {
    if (scenario.same_as != nullptr) continue;
    const std::vector<ScenarioRow> own = scenario.run();
    wrong += print(scenario, own, out);
    rows += static_cast<uint32_t>(own.size());
    std::fflush(out);
  }
  for (const Scenario& scenario : kScenarios) {
    if (scenario.same_as == nullptr) continue;
    std::fprintf(out, "%s: %s: see %s\n", scenario.name, scenario.about, scenario.same_as);
  }
  std::fprintf(out, "\n");
  return conclude(rows, wrong, out);
}

}  // namespace trunkline::sim
