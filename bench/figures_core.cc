// `tools/dev figures core`: the mechanisms of core beside what one would pick instead. Peers that are not
// installed (DPDK, Boost, moodycamel, Abseil; all in Debian) are left out.
//
// usage: figures_core [--repeat N] [--scale S] [name prefix]...
//        figures_core curve [--repeat N] [--scale S]               costs as work grows: CSV
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/core/contest.h"

#ifdef HAVE_DPDK
#include <rte_eal.h>
#endif

namespace {

#ifdef HAVE_DPDK
// For its hash tables, timers and pools: 2 MiB pages where there are any.
bool start_dpdk() {
  const char* huge[] = {"figures_core", "--in-memory", "--no-pci",      "--log-level=3",
                        "-l",           "0",           "--no-telemetry"};
  const char* ordinary[] = {"figures_core", "--no-huge",     "-m", "3000", "--no-shconf",
                            "--no-pci",     "--log-level=3", "-l", "0",    "--no-telemetry"};
  int pages = 0;
  if (FILE* file = std::fopen("/proc/sys/vm/nr_hugepages", "r"); file != nullptr) {
    if (std::fscanf(file, "%d", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  if (pages >= 1024) return rte_eal_init(sizeof huge / sizeof *huge, const_cast<char**>(huge)) >= 0;
  return rte_eal_init(sizeof ordinary / sizeof *ordinary, const_cast<char**>(ordinary)) >= 0;
}

// Rings need no more than their headers.
bool needs_dpdk(const trunkline::bench::CoreOptions& options) {
  return options.wants_of("table.") || options.wants_of("timer.") || options.wants_of("pool.");
}
#endif

}  // namespace

int main(int count, char** words) {
  trunkline::bench::CoreOptions options;
  const bool curve = count > 1 && std::strcmp(words[1], "curve") == 0;
  for (int i = curve ? 2 : 1; i < count; ++i) {
    if (std::strcmp(words[i], "--repeat") == 0 && i + 1 < count) {
      options.repeat = std::atoi(words[++i]);
    } else if (std::strcmp(words[i], "--scale") == 0 && i + 1 < count) {
      options.scale = std::atof(words[++i]);
    } else if (words[i][0] == '-') {
      std::fprintf(stderr, "usage: figures_core [curve] [--repeat N] [--scale S] [name prefix]...\n");
      return 2;
    } else {
      options.only.push_back(words[i]);
    }
  }
#ifdef HAVE_DPDK
  if (needs_dpdk(options) && !start_dpdk()) {
    std::fprintf(stderr,
                 "figures_core: DPDK does not start; it needs 1024 huge pages of 2 MiB, or 3 GB of memory\n");
    return 1;
  }
#endif
  if (curve) {
    std::printf("structure,operation,size,order,ns\n");
    trunkline::bench::ring_curve(options);
    trunkline::bench::table_curve(options);
    trunkline::bench::timer_curve(options);
    return 0;
  }
  trunkline::bench::ring_figures(options);
  trunkline::bench::table_figures(options);
  trunkline::bench::time_figures(options);
  trunkline::bench::memory_figures(options);
  return 0;
}
