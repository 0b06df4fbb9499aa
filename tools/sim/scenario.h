// Scenarios: real outages, replayed. Each situation is run with a variant of ours that lacks one named rule,
// and must fail as the outage did, so that the test is known to bite; and then with ours, which must pass.
// docs/incidents.md tells them as a table.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace trunkline::sim {

struct Variant;

// What one variant did in one situation.
struct ScenarioRow {
  std::string situation;
  std::string variant;            // "ours", or "minus negative_answers", ...
  std::string happened;           // one sentence, with figures
  bool as_stated = false;         // ours: kept its promise. Naive: failed in the way that is claimed for it
  const char* verdict = nullptr;  // of one that is as stated, if not the usual words
};

// One situation, and the rule without which it must go wrong.
struct Part {
  ScenarioRow (*situation)(const Variant&);
  const char* rule;
};

std::vector<Part> replay_2022_11_16();  // replay_versions.cc
std::vector<Part> replay_rollback();
std::vector<Part> replay_jitsi();
std::vector<Part> replay_2023_02_13();  // replay_truth.cc
std::vector<Part> replay_zombie();
std::vector<Part> replay_2026_06_02();
std::vector<Part> replay_2023_11_02();  // replay_2023_11_02.cc
std::vector<Part> replay_2024_02_05();  // replay_links.cc
std::vector<Part> replay_2026_06_18();
std::vector<Part> replay_clocks();
std::vector<Part> replay_loop();      // replay_loop.cc
std::vector<Part> replay_relay_v2();  // replay_stuck.cc
std::vector<Part> replay_2026_05();
// T11: all of these, with the nodes in one region and a virtual WAN between them. replay_wan.cc
std::vector<ScenarioRow> replay_wan(const std::vector<Part>& all);

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
