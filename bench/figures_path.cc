// `tools/dev figures path`: the relay step on devices of one's own beside what DPDK's parts would do.
//
// Peer and relay take turns within one run; each value is CPU cycles per packet by the TSC, so ratios do not
// depend on its rate. The devices are net_null with copy=0: what they cost is a floor that both stand on.
//
// usage: figures_path [--repeat N] [--scale S] [name prefix]...
#include <rte_lcore.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bench/figure.h"
#include "bench/path/afxdp.h"
#include "bench/path/contest.h"
#include "bench/path/contestants.h"
#include "io/dpdk_plugin.h"
#include "relay/stage_clock.h"

namespace trunkline::bench {
namespace {

constexpr double kPackets = 2e6;  // in a repetition
constexpr uint32_t kHot = 4'096;
constexpr uint32_t kMany = 1'000'000;
constexpr uint32_t kFan = 16;

using Make = std::function<std::unique_ptr<Contestant>()>;

// Alternates between the two, each on its warmed-up device. `more` is added to what the peer's packets cost.
void step(const PathOptions& options, const Figure& figure, const Make& ours, const Make& peers,
          const std::function<double()>& more = nullptr) {
  if (!options.wants(figure.name)) return;
  const uint64_t packets = options.scaled(kPackets);
  const std::unique_ptr<Contestant> us = ours(), them = peers();
  cycles_per_packet(*us, packets / 4);
  cycles_per_packet(*them, packets / 4);
  contest(
      options, figure,
      [&] {
        const double cycles = cycles_per_packet(*us, packets);
        us->check();
        return cycles;
      },
      [&] { return cycles_per_packet(*them, packets) + (more ? more() : 0); });
}

void step_figures(const PathOptions& options) {
  for (const uint32_t payload : {172u, 1200u}) {
    const LoadShape shape{.payload = payload, .labels = kHot};
    step(
        options,
        {.name = "path.step." + std::to_string(payload),
         .unit = "cycles/packet",
         .peer = "5tswap",
         .goal = 1.0},
        [&] { return make_relay(shape, 1); }, [&] { return make_swap(shape); });
  }
  const LoadShape many{.payload = 172, .labels = kMany, .shuffled = true};
  step(
      options,
      {.name = "path.step.1m",
       .unit = "cycles/packet",
       .peer = "5tswap and a random line of DRAM",
       .goal = 1.1},
      [&] { return make_relay(many, 1); }, [&] { return make_swap(many); },
      [] { return cycles_per_random_line(200'000); });
  step(
      options,
      {.name = "path.step.stock",
       .unit = "cycles/packet",
       .peer = "rte_hash, stamp, rte_pktmbuf_clone",
       .goal = 0.4},
      [&] { return make_relay(many, 1); }, [&] { return make_stock(many, 1); });
}

// From which size on a packet had better leave in the frame that it came in than be copied beside others.
void copy_figures(const PathOptions& options) {
  for (const uint32_t payload : {60u, 172u, 350u, 560u, 1170u}) {
    LoadShape copied{.payload = payload, .traffic_class = relay::TrafficClass::kAudio, .labels = kHot};
    LoadShape in_place = copied;
    in_place.traffic_class = relay::TrafficClass::kVideoBase;
    step(
        options,
        {.name = "path.copy." + std::to_string(payload),
         .unit = "cycles/packet",
         .peer = "the same packet in its own frame",
         .note = std::to_string(1464 / (payload + 8)) + " to a datagram"},
        [&] { return make_relay(copied, 1); }, [&] { return make_relay(in_place, 1); });
  }
}

// What the stage clock costs on one relay: short slices with it and without, by turns, so that a machine that
// slows down slows both. Of each slice's turns one in 64 is timed inside.
void telemetry_figure(const PathOptions& options) {
  Figure figure{.name = "path.telemetry",
                .unit = "cycles/packet",
                .peer = "the same relay, its stage clock off",
                .goal = 1.02,
                .note = "172 bytes; one burst in " + std::to_string(relay::StageClock::kEvery) + " timed"};
  if (!options.wants(figure.name)) return;
  constexpr uint64_t kSlice = uint64_t{16} * relay::StageClock::kEvery * 32;  // packets
  const uint64_t slices = options.scaled(kPackets / double{kSlice});
  const std::unique_ptr<Contestant> relay = make_relay({.payload = 172, .labels = kHot}, 1);
  cycles_per_packet(*relay, kSlice);
  for (int run = 0; run < options.repeat; ++run) {
    std::vector<double> on, off;
    for (uint64_t slice = 0; slice < slices; ++slice) {
      relay->time_stages(false);
      off.push_back(cycles_per_packet(*relay, kSlice));
      relay->time_stages(true);
      on.push_back(cycles_per_packet(*relay, kSlice));
    }
    figure.peers.push_back(median(off));
    figure.ours.push_back(median(on));
  }
  relay->check();
  print(figure);
}

// What one more output costs, at 16 of them: the difference between 16 and 1, by 15.
void fan_out_figures(const PathOptions& options) {
  const LoadShape shape{.payload = 1200, .labels = kHot};
  struct Peer {
    const char* name;
    const char* peer;
    double goal;
    std::unique_ptr<Contestant> (*make)(const LoadShape&, uint32_t);
  };
  for (const Peer& peer : {Peer{"path.fanout.clone", "rte_pktmbuf_clone", 0.33, make_cloner},
                           Peer{"path.fanout.copy", "rte_pktmbuf_copy", 0.125, make_copier}}) {
    if (!options.wants(peer.name)) continue;
    const uint64_t packets = options.scaled(kPackets / kFan);
    Figure figure{.name = peer.name, .unit = "cycles/output", .peer = peer.peer, .goal = peer.goal};
    const auto cost = [&](auto make) {
      double one = 0, all = 0;
      {
        const std::unique_ptr<Contestant> single = make(shape, 1);
        cycles_per_packet(*single, packets);
        one = cycles_per_packet(*single, packets);
      }
      const std::unique_ptr<Contestant> fan = make(shape, kFan);
      cycles_per_packet(*fan, packets / 4);
      all = cycles_per_packet(*fan, packets);
      fan->check();
      return (all - one) / (kFan - 1);
    };
    for (int run = 0; run < options.repeat; ++run) {
      figure.peers.push_back(cost(peer.make));
      figure.ours.push_back(cost(make_relay));
    }
    print(figure);
  }
}

int run(int count, char** words) {
  if (count == 3 && std::strcmp(words[1], kAfxdpRelay) == 0) return run_afxdp_relay(std::atof(words[2]));
  PathOptions options;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--repeat") == 0 && i + 1 < count) {
      options.repeat = std::atoi(words[++i]);
    } else if (std::strcmp(words[i], "--scale") == 0 && i + 1 < count) {
      options.scale = std::atof(words[++i]);
    } else if (words[i][0] == '-') {
      std::fprintf(stderr, "usage: figures_path [--repeat N] [--scale S] [name prefix]...\n");
      return 2;
    } else {
      options.only.push_back(words[i]);
    }
  }
  if (const io::Feature dpdk = io::probe_dpdk(); !dpdk.present) {
    std::fprintf(stderr, "figures_path: skipped: %s (%s)\n", dpdk.detail.c_str(), dpdk.remedy.c_str());
    return 0;
  }
  pin(0);
  // Starts DPDK, as a node does; devices come and go.
  io::DeviceOptions first;
  first.device = "net_null_first";
  first.addresses = {{core::UdpAddress::v4(198, 18, 0, 1, 0), 24}};
  first.memory_mib = 512;
  if (auto started = io::open_device(first); !started) {
    std::fprintf(stderr, "figures_path: %s\n", started.error().text.c_str());
    return 1;
  }
  // DPDK keeps caches of free buffers for the threads that it knows: ours and the peers' run on a known one.
  if (rte_thread_register() != 0) {
    std::fprintf(stderr, "figures_path: DPDK has no room for this thread\n");
    return 1;
  }
  step_figures(options);
  fan_out_figures(options);
  copy_figures(options);
  telemetry_figure(options);
  ingress_figures(options);
  cores_figures(options);
  testpmd_figures(options);
  afxdp_figures(options);
  return 0;
}

}  // namespace
}  // namespace trunkline::bench

int main(int count, char** words) {
  return trunkline::bench::run(count, words);
}
