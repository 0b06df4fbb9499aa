// Asks mimalloc itself whose memory malloc returned, instead of trusting the link line.
#include "tools/allocator.h"

#include <mimalloc.h>

#include <cstdlib>
#include <memory>

namespace trunkline::tools {

io::Feature allocator_in_use() {
  // Asks the allocator itself: does malloc hand out mimalloc's memory?
  const std::unique_ptr<void, decltype(&std::free)> probe(std::malloc(64), &std::free);
  const int version = mi_version();
  const std::string name = "mimalloc " + std::to_string(version / 100) + "." +
                           std::to_string(version / 10 % 10) + "." + std::to_string(version % 10);
  if (mi_is_in_heap_region(probe.get())) return {true, name + " serves this executable", ""};
  return {false, name + " is linked, but malloc is the C library's",
          "build with dynamic linking and -Wl,--no-as-needed, or preload: LD_PRELOAD=libmimalloc.so.2"};
}

}  // namespace trunkline::tools
