// The list of checks, in the order in which an operator would want to repair them, and two ways to print it.
#include "tools/doctor/doctor_command.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/dpdk_plugin.h"
#include "io/system_probe.h"
#include "tools/allocator.h"
#include "trunkline/trunkline.h"

namespace trunkline::tools {
namespace {

enum class Need {
  kMust,    // without it a node does not start
  kBetter,  // without it a node works, with `effect`
};

struct Check {
  const char* name;
  io::Feature feature;
  Need need;
  const char* effect;  // of its absence
};

std::vector<Check> examine(const std::string& interface) {
  return {
      {"udp socket", io::probe_udp_socket(), Need::kMust, "no node can start"},
      {"udp gso", io::probe_udp_gso(), Need::kBetter,
       "each datagram costs its own trip through the kernel (4 to 8 times dearer)"},
      {"udp gro", io::probe_udp_gro(), Need::kBetter, "datagrams arrive one by one (2 times dearer)"},
      {"receive buffer", io::probe_receive_buffer(), Need::kBetter,
       "bursts above the socket buffer are lost"},
      {"io_uring", io::probe_io_uring(), Need::kBetter,
       "port = \"auto\" uses mmsg, which costs about the same"},
      {"io_uring buffer ring", io::probe_uring_buffer_ring(), Need::kBetter, "port = \"auto\" uses mmsg"},
      {"io_uring multishot recvmsg", io::probe_uring_multishot_recvmsg(), Need::kBetter,
       "port = \"auto\" uses mmsg"},
      {"io_uring defer taskrun", io::probe_uring_defer_taskrun(), Need::kBetter,
       "completions interrupt the data core"},
      {"dpdk", io::probe_dpdk(), Need::kBetter, "port = \"dpdk\" is not to be had; the socket ports are"},
      {"af_xdp", io::probe_af_xdp(interface), Need::kBetter,
       "dpdk.interface is not to be had; other devices and the socket ports are"},
      {"huge pages", io::probe_huge_pages(), Need::kBetter,
       "packet memory on ordinary pages: more TLB misses"},
      {"memlock", io::probe_memlock(), Need::kBetter, "io_uring may not get its rings registered"},
      {"cores", io::probe_cores(), Need::kBetter, "data, mesh and service threads share what there is"},
      {"isolation", io::probe_isolation(), Need::kBetter,
       "other work interrupts data cores: longer tails, nothing lost"},
      {"clock", io::probe_clock(), Need::kBetter, "reading the clock is a system call"},
      {"allocator", allocator_in_use(), Need::kBetter,
       "control-plane allocation by the C library: slower, more fragmented"},
  };
}

const char* grade(const Check& c) {
  return c.feature.present ? "PASS" : c.need == Need::kMust ? "FAIL" : "WARN";
}

void print_human(const Check& c) {
  std::printf("%s  %-27s %s\n", grade(c), c.name, c.feature.detail.c_str());
  if (c.feature.present) return;
  std::printf("      effect: %s\n", c.effect);
  if (!c.feature.remedy.empty()) std::printf("      repair: %s\n", c.feature.remedy.c_str());
}

void print_json(const Check& c) {
  const nlohmann::json line = {{"check", c.name},
                               {"grade", grade(c)},
                               {"detail", c.feature.detail},
                               {"effect", c.feature.present ? "" : c.effect},
                               {"repair", c.feature.remedy}};
  std::printf("%s\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

}  // namespace

int run_doctor(const DoctorCommand& command) {
  int failed = 0, warned = 0, total = 0;
  for (const Check& c : examine(command.interface)) {
    ++total;
    failed += !c.feature.present && c.need == Need::kMust;
    warned += !c.feature.present && c.need == Need::kBetter;
    command.json ? print_json(c) : print_human(c);
  }
  if (!command.json) {
    std::printf("\n%d checks, %d to repair, %d worth repairing. ", total, failed, warned);
    std::printf(failed == 0 ? "A node runs here.\nNext: trunkline demo\n" : "A node would not start here.\n");
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace trunkline::tools
