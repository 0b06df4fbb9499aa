// Runs the programs that come by one of core's classes and stops at the first finding: what `tools/dev model`
// builds against headers with a check taken out. Exit code 0: nothing was found.
#include <cstdio>
#include <cstring>

#include "tests/model/programs.h"

int main(int count, char** names) {
  using trunkline::model::NamedProgram;
  for (const NamedProgram& program : trunkline::model::programs()) {
    bool wanted = count == 1;
    for (int i = 1; i < count; ++i) wanted = wanted || program.name.find(names[i]) != std::string::npos;
    if (!wanted) continue;
    const auto all = trunkline::model::explore(program.program);
    if (!all.finding.empty()) {
      std::printf("%s: %s\n", program.name.c_str(), all.finding.c_str());
      return 1;
    }
    // Nothing to be found is also what is left when no execution comes to its end.
    if (all.complete == 0) {
      std::printf("%s: no execution comes to its end\n", program.name.c_str());
      return 1;
    }
  }
  return 0;
}
