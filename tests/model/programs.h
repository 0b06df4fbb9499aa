// The programs that the explorer runs: the classes of core in which threads meet, at bounds small enough to
// try everything.
#pragma once

#include <string>
#include <vector>

#include "tests/model/explorer.h"

namespace trunkline::model {

struct NamedProgram {
  std::string name;
  Program program;
};

std::vector<NamedProgram> ring_programs();
std::vector<NamedProgram> return_programs();
std::vector<NamedProgram> table_programs();
std::vector<NamedProgram> location_programs();
std::vector<NamedProgram> wake_programs();

// All of them.
std::vector<NamedProgram> programs();

}  // namespace trunkline::model
