// Two data cores of one node, each a thread on a CPU of its own with a device of its own: what the second one
// adds, and what it costs when every datagram arrives on the core that does not own it.
//
// Rates are of wall-clock time and of what was appended to datagrams for peers: what a core could not hand
// over does not count. Memory, devices and paths live through all repetitions; the threads are made for each.
#include <rte_lcore.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

#include "bench/path/contest.h"
#include "bench/path/contestants.h"
#include "bench/path/relay_core.h"
#include "core/atomic.h"
#include "io/thread.h"
#include "relay/topology.h"

namespace trunkline::bench {
namespace {

constexpr double kSeconds = 0.5, kWarmUp = 0.1, kPatience = 10;

// The data cores of a node, one load each.
class RelayNode {
 public:
  explicit RelayNode(const std::vector<LoadShape>& loads)
      : config_(relay_config(loads[0], 1)), rings_(config_, pages_) {
    for (uint8_t k = 0; k < loads.size(); ++k) {
      cores_.push_back(std::make_unique<RelayCore>(config_, core::CoreId{k}, *rings_.cores[k], loads[k], 1));
    }
  }

  // What core k receives in the measurements that follow.
  void arrive(uint32_t k, Arrivals what) { arrivals_[k] = what; }

  // Packets per second that all of them relayed.
  double rate(double seconds) {
    for (uint32_t k = 0; k < cores_.size(); ++k) {
      cores_[k]->enter();
      cores_[k]->introduce(io::monotonic_now());
      cores_[k]->load().arrive(arrivals_[k]);
      cores_[k]->leave();
    }
    stop_.store_relaxed(false);
    std::vector<std::thread> threads;
    for (uint32_t k = 0; k < cores_.size(); ++k) threads.emplace_back([this, k] { run(k); });
    sleep_for(kWarmUp);
    const uint64_t dropped = sum(&RelayCore::dropped), before = sum(&RelayCore::relayed);
    const core::Nanos begin = io::monotonic_now();
    sleep_for(seconds);
    // Longer where something else has the CPUs.
    for (double more = 0; sum(&RelayCore::relayed) == before && more < kPatience; more += seconds)
      sleep_for(seconds);
    const uint64_t relayed = sum(&RelayCore::relayed) - before;
    const auto took = static_cast<double>((io::monotonic_now() - begin).ns) * 1e-9;
    const uint64_t lost = sum(&RelayCore::dropped) - dropped;
    stop_.store_relaxed(true);
    for (std::thread& thread : threads) thread.join();
    if (relayed == 0) give_up("the cores relay nothing");
    drop_share_ = static_cast<double>(lost) / static_cast<double>(lost + relayed);
    return static_cast<double>(relayed) / took;
  }
  // Of what arrived during the last rate().
  double drop_share() const { return drop_share_; }
  // Nothing may be dropped for any other reason.
  void check(relay::DropReason allowed = relay::kNoDrop) const {
    for (const auto& core : cores_) core->check_drops(allowed);
  }

 private:
  static void sleep_for(double seconds) { usleep(static_cast<useconds_t>(seconds * 1e6)); }
  uint64_t sum(uint64_t (RelayCore::*count)() const) const {
    return std::accumulate(cores_.begin(), cores_.end(), uint64_t{0},
                           [&](uint64_t all, const auto& core) { return all + (*core.*count)(); });
  }
  // The thread of a data core, as relay/data_core.h runs one that never sleeps.
  void run(uint32_t k) {
    pin(static_cast<int>(k));
    cores_[k]->enter();
    while (!stop_.load_relaxed()) cores_[k]->run(io::monotonic_now());
    cores_[k]->leave();
  }

  io::MmapPageSource pages_;
  relay::NodeConfig config_;
  relay::NodeRings rings_;
  std::vector<std::unique_ptr<RelayCore>> cores_;
  std::array<Arrivals, core::kMaxCores> arrivals_{};
  core::Atomic<bool> stop_{false};
  double drop_share_ = 0;
};

// Packets per second of a contestant on each of the first CPUs. What each has moved is written at its end.
double swap_rate(std::span<const std::unique_ptr<Contestant>> all, double seconds) {
  core::Atomic<bool> stop{false};
  std::vector<double> rates(all.size());
  std::vector<std::thread> threads;
  for (uint32_t k = 0; k < all.size(); ++k) {
    threads.emplace_back([&, k] {
      pin(static_cast<int>(k));
      if (rte_thread_register() != 0) give_up("DPDK has no room for a thread");
      uint64_t moved = 0;
      const core::Nanos begin = io::monotonic_now();
      while (!stop.load_relaxed()) moved += all[k]->turn();
      rates[k] = static_cast<double>(moved) * 1e9 / static_cast<double>((io::monotonic_now() - begin).ns);
      rte_thread_unregister();
    });
  }
  usleep(static_cast<useconds_t>((kWarmUp + seconds) * 1e6));
  stop.store_relaxed(true);
  for (std::thread& thread : threads) thread.join();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

constexpr LoadShape kAudio{.payload = 172, .labels = 4'096};

LoadShape of_core(uint8_t owner) {
  LoadShape shape = kAudio;
  shape.owner = core::CoreId{owner};
  shape.cores = 2;
  return shape;
}

std::string text(const char* format, double value) {
  std::array<char, 256> line;
  std::snprintf(line.data(), line.size(), format, value);
  return line.data();
}

void two_cores(const PathOptions& options) {
  Figure figure{
      .name = "path.cores2",
      .unit = "packets/s",
      .peer = "one data core",
      .goal = 1.9,
      .lower_is_better = false,
      .note = "172 bytes; a net_null device, lanes and a CPU for each core; the clock is read each turn"};
  if (!options.wants(figure.name)) return;
  RelayNode one({kAudio}), two({of_core(0), of_core(1)});
  contest(
      options, figure,
      [&] {
        const double rate = two.rate(options.seconds(kSeconds));
        two.check();
        return rate;
      },
      [&] { return one.rate(options.seconds(kSeconds)); });
}

// How far two CPUs of this machine go with work that shares nothing but the memory behind them.
void two_swaps(const PathOptions& options) {
  const Figure figure{.name = "path.cores2.swap",
                      .unit = "packets/s",
                      .peer = "one core",
                      .lower_is_better = false,
                      .note =
                          "5tswap of 172 bytes, a net_null device and a CPU each: what path.cores2 could "
                          "reach on this machine"};
  if (!options.wants(figure.name)) return;
  std::vector<std::unique_ptr<Contestant>> swaps;
  for (int i = 0; i < 2; ++i) swaps.push_back(make_swap(kAudio));
  const std::span<const std::unique_ptr<Contestant>> all(swaps);
  contest(
      options, figure, [&] { return swap_rate(all, options.seconds(kSeconds)); },
      [&] { return swap_rate(all.first(1), options.seconds(kSeconds)); });
}

// Core 0 receives all; the datagrams' session indexes name core 1, which opens, relays and transmits them.
// For the peer they name core 0, and core 1's thread turns as well and finds nothing.
void handed_over(const PathOptions& options) {
  Figure figure{.name = "path.handover",
                .unit = "packets/s",
                .peer = "the same two threads, core 0 relays what it receives",
                .goal = 0.6,
                .lower_is_better = false};
  if (!options.wants(figure.name)) return;
  RelayNode wrong({of_core(1), of_core(1)}), right({of_core(0), of_core(1)});
  wrong.arrive(1, Arrivals::kNothing);
  right.arrive(1, Arrivals::kNothing);
  std::vector<double> shares;
  for (int run = 0; run < options.repeat; ++run) {
    figure.peers.push_back(right.rate(options.seconds(kSeconds)));
    right.check();
    figure.ours.push_back(wrong.rate(options.seconds(kSeconds)));
    wrong.check(relay::DropReason::handover_full);
    shares.push_back(wrong.drop_share());
  }
  figure.note = text(
      "172 bytes; counted is what core 1 appended to datagrams for peers; core 0 offers as much as it can, "
      "of "
      "which %.0f %% found no buffer that core 1 had given back",
      100 * median(shares));
  print(figure);
}

}  // namespace

void cores_figures(const PathOptions& options) {
  two_cores(options);
  two_swaps(options);
  handed_over(options);
}

}  // namespace trunkline::bench
