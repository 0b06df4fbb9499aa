// See testpmd.h. The words are those of testpmd's user guide, 22.11.
#include "bench/path/testpmd.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "bench/path/relay_core.h"

namespace trunkline::bench {
namespace {

constexpr const char* kProgram = "dpdk-testpmd";
constexpr const char* kPrompt = "testpmd> ";
constexpr double kPatience = 20;  // seconds, for its start and its answers
constexpr unsigned kMemoryMib = 512;

bool enough_huge_pages() {
  FILE* const file = std::fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
  unsigned free = 0;
  if (file == nullptr) return false;
  if (std::fscanf(file, "%u", &free) != 1) free = 0;
  std::fclose(file);
  return free >= kMemoryMib / 2;
}

std::vector<std::string> words(const TestpmdOptions& options, bool huge) {
  // Its commands are read by the main core on CPU 1; core 1 forwards on CPU 0.
  // Into a pipe it would keep what it says until it ends: stdbuf makes it say it line by line.
  std::vector<std::string> all = {"stdbuf",  "-oL",      kProgram,        "--lcores",
                                  "0@1,1@0", "--no-pci", "--no-telemetry"};
  if (huge) {
    all.push_back("--in-memory");
  } else {
    all.insert(all.end(), {"--no-huge", "-m", std::to_string(kMemoryMib), "--no-shconf"});
  }
  for (const std::string& device : options.devices) all.push_back("--vdev=" + device);
  all.insert(all.end(), {"--", "--interactive", "--nb-cores=1", "--total-num-mbufs=16384",
                         "--forward-mode=" + options.mode});
  if (!huge) all.push_back("--no-mlockall");
  all.insert(all.end(), options.more.begin(), options.more.end());
  return all;
}

// "TX-packets: 52550784" of the sums that it prints last.
uint64_t sent_packets(const std::string& said) {
  const size_t sums = said.find("Accumulated forward statistics");
  const size_t at = sums == std::string::npos ? sums : said.find("TX-packets:", sums);
  unsigned long long packets = 0;
  if (at == std::string::npos || std::sscanf(said.c_str() + at, "TX-packets: %llu", &packets) != 1) return 0;
  return packets;
}

}  // namespace

std::string Testpmd::missing() {
  return is_installed(kProgram) ? "" : "there is no dpdk-testpmd (apt-get install dpdk-dev)";
}

Testpmd::Testpmd(const TestpmdOptions& options)
    : huge_(enough_huge_pages()), child_(words(options, huge_), options.prepare) {}

bool Testpmd::ready() {
  return child_.wait_for(kPrompt, kPatience);
}

Testpmd::Run Testpmd::forward(double seconds) {
  using Clock = std::chrono::steady_clock;
  Run run;
  child_.forget();
  const Clock::time_point begin = Clock::now();
  const uint64_t before = child_.workers_cpu_ns();
  child_.tell("start");
  usleep(static_cast<useconds_t>(seconds * 1e6));
  child_.tell("stop");
  if (!child_.wait_for("Done.", kPatience)) give_up("testpmd does not stop: " + child_.said());
  run.cpu_ns = child_.workers_cpu_ns() - before;
  run.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  run.packets = sent_packets(child_.said());
  if (run.packets == 0) give_up("testpmd forwards nothing: " + child_.said());
  return run;
}

}  // namespace trunkline::bench
