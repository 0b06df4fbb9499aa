// DPDK's own forwarder, `dpdk-testpmd`, as its guide says to run it: interactive, one forwarding core on CPU
// 0, bursts of 32, buffers and caches as it chooses them. It counts for itself: packets from its forwarding
// statistics between `start` and `stop`; CPU time from the scheduler's of its threads over the same span. The
// thread that reads commands does not count: it turns in a loop until the others have stopped.
//
// It is on the same kind of pages as this process: reserved ones of 2 MiB if enough are free, else ordinary
// ones.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/path/child_program.h"

namespace trunkline::bench {

struct TestpmdOptions {
  std::vector<std::string> devices;  // each a --vdev
  std::string mode;                  // "io", "5tswap"
  std::vector<std::string> more{};   // arguments of the application
  std::function<bool()> prepare{};   // see ChildProgram
};

class Testpmd {
 public:
  struct Run {
    uint64_t packets = 0;  // sent
    uint64_t cpu_ns = 0;
    double seconds = 0;
    double cpu_ns_per_packet() const { return static_cast<double>(cpu_ns) / static_cast<double>(packets); }
  };

  // Why there can be none here; empty: it is installed.
  static std::string missing();

  explicit Testpmd(const TestpmdOptions& options);
  // It is up and waits for commands. Otherwise said() has its reason.
  bool ready();
  std::string said() const { return child_.said(); }
  // "2 MiB pages" | "ordinary pages"
  const char* pages() const { return huge_ ? "2 MiB pages" : "ordinary pages"; }

  // Forwards for so long. Ends the process when it does not answer, or forwards nothing.
  Run forward(double seconds);

 private:
  bool huge_;
  ChildProgram child_;
};

}  // namespace trunkline::bench
