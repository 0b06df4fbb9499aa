// Scenarios: real outages, replayed. Each first fails on naive variants (ours, with one named rule taken
// away), so that it is known to bite, and then passes on ours. docs/incidents.md tells them as a table.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace trunkline::sim {

// What one variant did in one situation.
struct ScenarioRow {
  std::string situation;
  std::string variant;     // "ours", or "minus negative_answers", ...
  std::string happened;    // one sentence, with figures
  bool as_stated = false;  // ours: kept its promise. Naive: failed in the way that is claimed for it
};

// One per scenario, in the file that its comment names.
std::vector<ScenarioRow> replay_2023_11_02();  // replay_2023_11_02.cc
std::vector<ScenarioRow> replay_2024_02_05();  // replay_links.cc
std::vector<ScenarioRow> replay_2026_06_18();
std::vector<ScenarioRow> replay_clocks();
std::vector<ScenarioRow> replay_loop();  // replay_stuck.cc
std::vector<ScenarioRow> replay_relay_v2();
std::vector<ScenarioRow> replay_2026_05();
std::vector<ScenarioRow> replay_jitsi();  // replay_versions.cc

// All names that run_scenario() knows, those of the tests T1 to T11 that share another's scenario included.
std::vector<std::string> scenario_names();
// The rows of one; empty: there is no such scenario.
std::vector<ScenarioRow> scenario_rows(const std::string& name);

// Names, one per line, with what each is about.
void list_scenarios(std::FILE* out);
// Prints its table to `out`. 0: ours passed, and every naive variant failed in the stated way; 1: not so; 2:
// there is no such scenario.
int run_scenario(const std::string& name, std::FILE* out);
// All of them, as one table; each once, however many names it has.
int run_scenarios(std::FILE* out);

}  // namespace trunkline::sim
