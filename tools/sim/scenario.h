// Scenarios: real outages, replayed. Each first fails on naive variants (ours, with one named rule taken
// away), so that it is known to bite, and then passes on ours.
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

// replay/2023-11-02; see replay_2023_11_02.cc.
std::vector<ScenarioRow> replay_2023_11_02();

// Names, one per line, with what each is about.
void list_scenarios(std::FILE* out);
// Prints its table to `out`. 0: ours passed, and every naive variant failed in the stated way; 1: not so; 2:
// there is no such scenario.
int run_scenario(const std::string& name, std::FILE* out);

}  // namespace trunkline::sim
