// The explorer's negative control: every access of core that is ordered is made weaker by one step, one at a
// time, and something must be found each time. What is not found either needs no such order, or is not
// explored.
#pragma once

#include <string>
#include <vector>

#include "tests/model/programs.h"

namespace trunkline::model {

struct Weakening {
  Site site;
  Order weaker;
  std::string text;  // "acquire -> relaxed"
};

struct Caught {
  std::string program;  // empty: by none
  std::string finding;
  uint64_t executions = 0;  // of that program, until then
};

// The accesses of core that the programs come by, and who comes by which.
class Orders {
 public:
  explicit Orders(std::vector<NamedProgram> programs);

  const std::vector<Site>& sites() const { return sites_; }
  // Each ordered access, one step weaker; a read-modify-write has two such steps.
  std::vector<Weakening> weakenings() const;
  // Runs the programs that come by it, in a process of their own: a contract that breaks ends that.
  Caught judge(const Weakening& weakening) const;

 private:
  std::vector<NamedProgram> programs_;
  std::vector<Site> sites_;
  std::vector<std::vector<size_t>> users_;  // by site: the programs
};

std::string name_of(Order order);

}  // namespace trunkline::model
