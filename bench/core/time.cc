// Timers, packet pools and the histogram.
#include <array>
#include <memory>
#include <vector>

#include "bench/core/contest.h"
#include "core/histogram.h"
#include "core/packet_pool.h"
#include "core/rng.h"
#include "core/timer_wheel.h"

#ifdef HAVE_DPDK
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_timer.h>
#endif

namespace trunkline::bench {

namespace {

using core::Nanos;

// In which order, and to when (within 100 s), timers are moved.
struct Moves {
  std::vector<uint32_t> ids;
  std::vector<int64_t> ms;
  Moves(uint32_t timers, uint32_t moves, bool in_order) {
    core::Rng rng(11);
    for (uint32_t i = 0; i < moves; ++i) {
      ids.push_back(in_order ? i % timers : static_cast<uint32_t>(rng.below(timers)));
      ms.push_back(static_cast<int64_t>(1 + rng.below(100'000)));
    }
  }
};

struct OurTimers {
  core::TimerWheel wheel;
  explicit OurTimers(uint32_t n) : wheel(n, core::from_ms(1), Nanos{0}) {}
  void arm(uint32_t id, int64_t ms) { wheel.arm(id, core::from_ms(ms)); }
  void cancel(uint32_t id) { wheel.cancel(id); }
};

#ifdef HAVE_DPDK
struct RteTimers {
  std::vector<rte_timer> timers;
  uint64_t per_ms = rte_get_timer_hz() / 1000;
  explicit RteTimers(uint32_t n) : timers(n) {
    rte_timer_subsystem_init();
    for (rte_timer& timer : timers) rte_timer_init(&timer);
  }
  ~RteTimers() {
    for (rte_timer& timer : timers) rte_timer_stop(&timer);
  }
  RteTimers(const RteTimers&) = delete;
  RteTimers& operator=(const RteTimers&) = delete;
  void arm(uint32_t id, int64_t ms) {
    rte_timer_reset(&timers[id], static_cast<uint64_t>(ms) * per_ms, SINGLE, rte_lcore_id(), fired, nullptr);
  }
  void cancel(uint32_t id) { rte_timer_stop(&timers[id]); }
  static void fired(rte_timer*, void*) {}
};
#endif

template <class Timers>
double rearm_ns(Timers& timers, const Moves& moves) {
  const double begin = now_ns();
  for (size_t i = 0; i < moves.ids.size(); ++i) timers.arm(moves.ids[i], moves.ms[i]);
  return (now_ns() - begin) / static_cast<double>(moves.ids.size());
}

template <class Timers>
double arm_cancel_ns(Timers& timers, const Moves& moves) {
  const double begin = now_ns();
  for (size_t i = 0; i < moves.ids.size(); ++i) {
    timers.arm(moves.ids[i], moves.ms[i]);
    timers.cancel(moves.ids[i]);
  }
  return (now_ns() - begin) / static_cast<double>(moves.ids.size());
}

// All of them armed, but for what is being measured.
template <class Timers>
std::unique_ptr<Timers> armed(uint32_t n) {
  auto timers = std::make_unique<Timers>(n);
  const Moves moves(n, n, true);
  for (uint32_t i = 0; i < n; ++i) timers->arm(moves.ids[i], moves.ms[i]);
  return timers;
}

void timers(const CoreOptions& options) {
  constexpr uint32_t kMany = 1'000'000;
  const auto count = static_cast<uint32_t>(options.scaled(1e6));
  const bool against_rte = options.wants("timer.rearm.1m") || options.wants("timer.arm_cancel.1m");
  if (!against_rte && !options.wants("timer.scale")) return;
  const auto ours = armed<OurTimers>(kMany);
#ifdef HAVE_DPDK
  if (against_rte) {
    const Moves random(kMany, count, false), fewer(kMany, count / 10 + 1, false);
    const auto rte = armed<RteTimers>(kMany);
    contest(
        options, {"timer.rearm.1m", "ns", "rte_timer_reset", 0.033}, [&] { return rearm_ns(*ours, random); },
        [&] { return rearm_ns(*rte, fewer); });
    contest(
        options, {"timer.arm_cancel.1m", "ns", "rte_timer_reset and rte_timer_stop", 0.033},
        [&] { return arm_cancel_ns(*ours, random); }, [&] { return arm_cancel_ns(*rte, fewer); });
  }
#endif
  const Moves in_order(kMany, count, true), few_in_order(1'000, count, true);
  const auto few = armed<OurTimers>(1'000);
  contest(
      options, {"timer.scale", "ns", "the same wheel with 1 000 timers", 1.3},
      [&] { return arm_cancel_ns(*ours, in_order); }, [&] { return arm_cancel_ns(*few, few_in_order); });
}

void pools([[maybe_unused]] const CoreOptions& options) {
#ifdef HAVE_DPDK
  if (!options.wants("pool.burst32")) return;
  constexpr uint32_t kBuffers = 8191, kBurst = 32, kBytes = 2048;
  core::HeapPageSource pages;
  core::PacketPool pool(kBuffers, kBytes, pages);
  rte_mempool* peer = rte_mempool_create("figure", kBuffers, kBytes, 256, 0, nullptr, nullptr, nullptr,
                                         nullptr, static_cast<int>(rte_socket_id()), 0);
  if (peer == nullptr) return;
  const uint64_t bursts = options.scaled(1e6);
  contest(
      options, {"pool.burst32", "ns", "rte_mempool with a cache of 256", 0.5},
      [&] {
        std::array<core::Buffer*, kBurst> burst;
        const double begin = now_ns();
        for (uint64_t i = 0; i < bursts; ++i) {
          pool.alloc_burst(burst);
          for (core::Buffer* buffer : burst) pool.release(buffer);
        }
        return (now_ns() - begin) / static_cast<double>(bursts * kBurst);
      },
      [&] {
        std::array<void*, kBurst> burst;
        const double begin = now_ns();
        for (uint64_t i = 0; i < bursts; ++i) {
          rte_mempool_get_bulk(peer, burst.data(), kBurst);
          rte_mempool_put_bulk(peer, burst.data(), kBurst);
        }
        return (now_ns() - begin) / static_cast<double>(bursts * kBurst);
      });
  rte_mempool_free(peer);
#endif
}

void histogram(const CoreOptions& options) {
  if (!options.wants("histogram.record")) return;
  auto histogram = std::make_unique<core::Histogram>();
  const Moves values(1'000'000, 1 << 16, false);
  const uint64_t records = options.scaled(2e7);
  contest(options, {"histogram.record", "ns", "", 3}, [&] {
    const double begin = now_ns();
    for (uint64_t i = 0; i < records; ++i) histogram->record(values.ms[i & 0xffff]);
    return (now_ns() - begin) / static_cast<double>(records);
  });
}

}  // namespace

void time_figures(const CoreOptions& options) {
  timers(options);
  pools(options);
  histogram(options);
}

}  // namespace trunkline::bench
