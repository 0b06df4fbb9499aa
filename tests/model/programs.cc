// See programs.h.
#include "tests/model/programs.h"

#include <iterator>
#include <utility>

namespace trunkline::model {

std::vector<NamedProgram> programs() {
  std::vector<NamedProgram> all;
  for (auto* of : {ring_programs, return_programs, table_programs, location_programs, wake_programs}) {
    std::vector<NamedProgram> more = of();
    all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return all;
}

}  // namespace trunkline::model
