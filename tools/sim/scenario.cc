// The scenarios that there are, and how their tables look.
#include "tools/sim/scenario.h"

#include "tools/sim/replay.h"

namespace trunkline::sim {

namespace {

struct Scenario {
  const char* name;
  const char* about;
  std::vector<Part> (*parts)();   // nullptr: T11, which is made of all the others
  const char* same_as = nullptr;  // another name of that one
};

constexpr Scenario kScenarios[] = {
    {"replay/2022-11-16", "nodes of two releases without a version in common, in one region",
     replay_2022_11_16},
    {"replay/2023-02-13", "the directory is dead, or lies", replay_2023_02_13},
    {"replay/2023-11-02",
     "locations name servers that lack the track, and a new protocol's setting is absent or wrong",
     replay_2023_11_02},
    {"replay/2024-02-05", "servers restart together and believe each other unreachable", replay_2024_02_05},
    {"replay/loop", "a region thinks itself isolated, and nodes wait for each other in a circle",
     replay_loop},
    {"replay/relay-v2", "connecting to one slow peer holds up everybody", replay_relay_v2},
    {"replay/2026-05", "a burst of acquires on a cold relay", replay_2026_05},
    {"replay/2026-06-02", "a gray node: up, healthy by its own word, and no media", replay_2026_06_02},
    {"replay/2026-06-18", "a region stays isolated long after a short loss", replay_2026_06_18},
    {"replay/jitsi", "a flag that must be in sync on all nodes is not", replay_jitsi},
    {"replay/T1", "wrong setting on some nodes, or on all", replay_2023_11_02, "replay/2023-11-02"},
    {"replay/T2", "a ring of nodes that ask each other", replay_loop, "replay/loop"},
    {"replay/T3", "a peer accepts and never answers", replay_2023_11_02, "replay/2023-11-02"},
    {"replay/T4", "a peer answers OK and sends nothing", replay_2026_06_02, "replay/2026-06-02"},
    {"replay/T5", "wall clocks that are ten seconds off", replay_clocks},
    {"replay/T6", "the directory restarts, or is lost", replay_2023_02_13, "replay/2023-02-13"},
    {"replay/T7", "an origin that lost its tracks goes on saying that it has them", replay_zombie},
    {"replay/T8", "a burst on a cold relay", replay_2026_05, "replay/2026-05"},
    {"replay/T9", "a short loss, then recovery", replay_2026_06_18, "replay/2026-06-18"},
    {"replay/T10", "a rollback while nodes of the bad release drain", replay_rollback},
    {"replay/T11", "all of them in one region, with a virtual WAN", nullptr},
};

// The naive variants first: a test that does not bite proves nothing.
std::vector<ScenarioRow> play(const std::vector<Part>& parts) {
  std::vector<ScenarioRow> rows;
  for (size_t i = 0; i < parts.size(); ++i) {
    rows.push_back(parts[i].situation(minus(parts[i].rule)));
    // Two rules may be taken away from one situation, one after the other.
    const bool again = i + 1 < parts.size() && parts[i + 1].situation == parts[i].situation;
    if (!again) rows.push_back(parts[i].situation(Variant{}));
  }
  return rows;
}

std::vector<ScenarioRow> play(const Scenario& scenario) {
  if (scenario.parts != nullptr) return play(scenario.parts());
  std::vector<Part> all;
  for (const Scenario& other : kScenarios) {
    if (other.parts == nullptr || other.same_as != nullptr) continue;
    for (const Part& part : other.parts()) all.push_back(part);
  }
  return replay_wan(all);
}

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
    const char* verdict = ours ? "FAILS: a defect" : "DOES NOT FAIL: the test does not bite";
    if (row.as_stated) verdict = row.verdict != nullptr ? row.verdict : ours ? "passes" : "fails, as it must";
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
  return scenario == nullptr ? std::vector<ScenarioRow>{} : play(*scenario);
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
  const std::vector<ScenarioRow> rows = play(*scenario);
  const uint32_t wrong = print(*scenario, rows, out);
  return conclude(static_cast<uint32_t>(rows.size()), wrong, out);
}

int run_scenarios(std::FILE* out) {
  uint32_t rows = 0, wrong = 0;
  for (const Scenario& scenario : kScenarios) {
    if (scenario.same_as != nullptr) continue;
    const std::vector<ScenarioRow> own = play(scenario);
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
