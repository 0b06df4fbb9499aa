// Is the peer of path.step what it says? Our 5tswap between two net_null devices, beside dpdk-testpmd doing
// the same: same frames, no callback on either side, CPU time by the scheduler's statistics of both.
#include <cstdio>
#include <memory>

#include "bench/path/contest.h"
#include "bench/path/contestants.h"
#include "bench/path/testpmd.h"
#include "bench/sockets/forwarders.h"

namespace trunkline::bench {
namespace {

constexpr LoadShape kAudio{.payload = 172};
constexpr double kPackets = 3e7, kSeconds = 0.8;  // about the same time

double cpu_ns_per_packet(Contestant& contestant, uint64_t packets) {
  const uint64_t before = thread_cpu_ns();
  uint64_t moved = 0;
  while (moved < packets) moved += contestant.turn();
  return static_cast<double>(thread_cpu_ns() - before) / static_cast<double>(moved);
}

}  // namespace

void testpmd_figures(const PathOptions& options) {
  Figure figure{
      .name = "path.step.testpmd", .unit = "CPU-ns/packet", .peer = "dpdk-testpmd, 5tswap", .goal = 1.1};
  if (!options.wants(figure.name)) return;
  if (const std::string missing = Testpmd::missing(); !missing.empty()) {
    std::fprintf(stderr, "figures_path: %s: skipped: %s\n", figure.name.c_str(), missing.c_str());
    return;
  }
  const std::string size = ",copy=0,size=" + std::to_string(DeviceLoad(kAudio).frame_bytes());
  Testpmd testpmd({.devices = {"net_null0" + size, "net_null1" + size}, .mode = "5tswap"});
  if (!testpmd.ready()) {
    std::fprintf(stderr, "figures_path: %s: skipped: testpmd does not start: %s\n", figure.name.c_str(),
                 testpmd.said().c_str());
    return;
  }
  const std::unique_ptr<Contestant> ours = make_bare_swap(kAudio);
  const uint64_t packets = options.scaled(kPackets);
  cpu_ns_per_packet(*ours, packets / 2);
  testpmd.forward(options.seconds(kSeconds) / 2);
  figure.note = std::string(
                    "ours is the 5tswap that path.step is compared with, which is fair when the two "
                    "are within 10 %; net_null x2, copy=0, ") +
                size.substr(size.find("size=")) + ", no callback; testpmd on " + testpmd.pages();
  contest(
      options, figure, [&] { return cpu_ns_per_packet(*ours, packets); },
      [&] { return testpmd.forward(options.seconds(kSeconds)).cpu_ns_per_packet(); });
}

}  // namespace trunkline::bench
