// Timers and the histogram.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "bench/core/contest.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/histogram.h"
#include "core/rng.h"
#include "core/timer_wheel.h"
#include "io/page_source.h"

#ifdef HAVE_DPDK
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_timer.h>
#endif

namespace trunkline::bench {

namespace {

using core::Nanos;

enum class Order { kSlab, kRandom };
const char* text(Order order) {
  return order == Order::kSlab ? "slab" : "random";
}

// In which order, and to when, timers are moved: all of them, again and again; each to a moment of its own
// within the 100 s after `from_ms`.
struct Moves {
  std::vector<uint32_t> ids;
  std::vector<int64_t> ms;
  Moves(uint32_t timers, uint32_t moves, Order order, int64_t from_ms = 0) {
    core::Rng rng(11);
    std::vector<uint32_t> all(timers);
    std::iota(all.begin(), all.end(), 0u);
    for (uint32_t i = timers; order == Order::kRandom && i > 1; --i) std::swap(all[i - 1], all[rng.below(i)]);
    ids.reserve(moves);
    ms.reserve(moves);
    for (uint32_t i = 0; i < moves; ++i) {
      ids.push_back(all[i % timers]);
      ms.push_back(from_ms + static_cast<int64_t>(1 + rng.below(100'000)));
    }
  }
};

// On 2 MiB pages, as the peer's.
struct OurTimers {
  io::MmapPageSource pages;
  core::TimerWheel wheel;
  explicit OurTimers(uint32_t n) : wheel(n, core::from_ms(1), Nanos{0}, pages) {}
  void arm(uint32_t id, int64_t ms) { wheel.arm(id, core::from_ms(ms)); }
  void cancel(uint32_t id) { wheel.cancel(id); }
};

#ifdef HAVE_DPDK
struct RteTimers {
  uint32_t count;
  rte_timer* timers = static_cast<rte_timer*>(rte_zmalloc("timers", count * sizeof(rte_timer), 64));
  uint64_t per_ms = rte_get_timer_hz() / 1000;
  explicit RteTimers(uint32_t n) : count(n) {
    TL_CHECK(timers != nullptr);
    rte_timer_subsystem_init();
    for (uint32_t i = 0; i < count; ++i) rte_timer_init(&timers[i]);
  }
  ~RteTimers() {
    for (uint32_t i = 0; i < count; ++i) rte_timer_stop(&timers[i]);
    rte_free(timers);
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

// What a timer costs at least when its line is in no cache: lines spread over far more than a cache holds, in
// random order, each read and written, and none waiting for another.
struct Lines {
  static constexpr uint32_t kCount = 1 << 23;  // 512 MiB
  io::MmapPageSource pages;
  std::span<uint8_t> bytes = pages.take(size_t{kCount} * core::kCacheLine);
  std::vector<uint32_t> at;
  explicit Lines(uint32_t touches) {
    core::Rng rng(7);
    for (uint32_t i = 0; i < touches; ++i) at.push_back(static_cast<uint32_t>(rng.below(kCount)));
    std::memset(bytes.data(), 1, bytes.size());
  }
  double touch_ns() {
    const double begin = now_ns();
    for (const uint32_t line : at) ++bytes[size_t{line} * core::kCacheLine];
    return (now_ns() - begin) / static_cast<double>(at.size());
  }
};

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
std::unique_ptr<Timers> armed(uint32_t n, Order order = Order::kSlab, int64_t from_ms = 0) {
  auto timers = std::make_unique<Timers>(n);
  rearm_ns(*timers, Moves(n, n, order, from_ms));
  return timers;
}

// Drives a wheel until all have fired, as a core does: woken at next_deadline(), it takes what is due 32 at a
// time. Calls slice(ns) after each expire() if asked to; per timer.
template <class Slice = std::nullptr_t>
double expire_ns(OurTimers& timers, Slice slice = nullptr) {
  std::array<uint32_t, 32> due;
  uint32_t fired = 0;
  const double begin = now_ns();
  while (timers.wheel.armed_count() > 0) {
    const Nanos now = timers.wheel.next_deadline();
    if constexpr (std::is_null_pointer_v<Slice>) {
      fired += timers.wheel.expire(now, due);
    } else {
      const double before = now_ns();
      fired += timers.wheel.expire(now, due);
      slice(now_ns() - before);
    }
  }
  TL_CHECK(fired == timers.wheel.max_timers());
  return (now_ns() - begin) / fired;
}

constexpr uint32_t kMany = 1'000'000;

// A wheel put off and called off for long has most of its timers where they need not be moved again. So each
// repetition begins with one in which each timer is where its deadline says.
void timers_against_rte([[maybe_unused]] const CoreOptions& options) {
#ifdef HAVE_DPDK
  if (!options.wants("timer.rearm.1m") && !options.wants("timer.arm_cancel.1m")) return;
  const auto count = static_cast<uint32_t>(options.scaled(1e6));
  const Moves random(kMany, count, Order::kRandom), fewer(kMany, count / 10 + 1, Order::kRandom);
  const auto rte = armed<RteTimers>(kMany);
  contest(
      options, {"timer.rearm.1m", "ns", "rte_timer_reset", 0.033},
      [&] { return rearm_ns(*armed<OurTimers>(kMany), random); }, [&] { return rearm_ns(*rte, fewer); });
  contest(
      options, {"timer.arm_cancel.1m", "ns", "rte_timer_reset and rte_timer_stop", 0.033},
      [&] { return arm_cancel_ns(*armed<OurTimers>(kMany), random); },
      [&] { return arm_cancel_ns(*rte, fewer); });
#endif
}

void timers_against_memory(const CoreOptions& options) {
  const auto count = static_cast<uint32_t>(options.scaled(1e6));
  if (options.wants("timer.scale")) {
    const auto many = armed<OurTimers>(kMany), few = armed<OurTimers>(1'000);
    const Moves in_order(kMany, count, Order::kSlab), few_in_order(1'000, count, Order::kSlab);
    contest(
        options, {"timer.scale", "ns", "the same wheel with 1 000 timers", 1.3},
        [&] { return arm_cancel_ns(*many, in_order); }, [&] { return arm_cancel_ns(*few, few_in_order); });
  }
  const bool random = options.wants("timer.scale.random");
  if (!random && !options.wants("timer.put_off.1m") && !options.wants("timer.bring_forward.1m")) return;
  Lines lines(count);
  const char* peer = "one random line of DRAM, read and written";
  const auto one_line = [&] { return lines.touch_ns(); };
  const Moves moves(kMany, std::min(count, kMany), Order::kRandom);
  const Moves later(kMany, std::min(count, kMany), Order::kRandom, 100'000);
  // Half of these are brought forward, and nobody can foresee which: a branch missed waits for its line.
  contest(
      options, {"timer.scale.random", "ns", peer, 3},
      [&] { return arm_cancel_ns(*armed<OurTimers>(kMany), moves); }, one_line);
  contest(
      options, {"timer.put_off.1m", "ns", peer, 1.3},
      [&] { return rearm_ns(*armed<OurTimers>(kMany), later); }, one_line);
  contest(
      options, {"timer.bring_forward.1m", "ns", peer, 3},
      [&] { return rearm_ns(*armed<OurTimers>(kMany, Order::kSlab, 100'000), moves); }, one_line);
}

// What was armed in random order, so that a slot's timers lie anywhere; each is met at up to three levels.
void timers_that_fire(const CoreOptions& options) {
  if (options.wants("timer.expire.1m")) {
    Lines lines(kMany);
    contest(
        options, {"timer.expire.1m", "ns", "one random line of DRAM, read and written", 3},
        [] { return expire_ns(*armed<OurTimers>(kMany, Order::kRandom)); }, [&] { return lines.touch_ns(); });
  }
  if (!options.wants("timer.slice")) return;
  // The same calls do the same work: the least that each took in 5 runs leaves out the machine's interrupts.
  Figure figure{"timer.slice", "ns", "the median slice", 0};
  double longest = 0;
  for (int i = 0; i < options.repeat; ++i) {
    std::vector<double> least;
    for (int run = 0; run < 5; ++run) {
      size_t at = 0;
      const auto timers = armed<OurTimers>(kMany, Order::kRandom);
      expire_ns(*timers, [&](double ns) {
        if (at == least.size()) least.push_back(ns);
        least[at] = std::min(least[at], ns);
        ++at;
      });
    }
    std::sort(least.begin(), least.end());
    figure.ours.push_back(least[least.size() - 1 - least.size() / 10'000]);
    figure.peers.push_back(least[least.size() / 2]);
    longest = std::max(longest, least.back());
  }
  figure.goal = 30;  // 64 lines of DRAM looked at, against some ten timers of a usual tick, in the cache
  figure.note = "p99.99 of the calls of expire(), each the least of 5 runs; the longest took " +
                std::to_string(std::lround(longest)) + " ns";
  print(figure);
}

void histogram(const CoreOptions& options) {
  if (!options.wants("histogram.record")) return;
  auto histogram = std::make_unique<core::Histogram>();
  const Moves values(kMany, 1 << 16, Order::kRandom);
  const uint64_t records = options.scaled(2e7);
  contest(options, {"histogram.record", "ns", "", 3}, [&] {
    const double begin = now_ns();
    for (uint64_t i = 0; i < records; ++i) histogram->record(values.ms[i & 0xffff]);
    return (now_ns() - begin) / static_cast<double>(records);
  });
}

// The median of the repetitions, as a line of CSV. Each on timers that are armed for it.
template <class Cost>
void point(const CoreOptions& options, const char* operation, uint32_t n, Order order, Cost&& cost) {
  std::vector<double> ns;
  for (int i = 0; i < options.repeat; ++i) ns.push_back(cost());
  std::printf("wheel,%s,%u,%s,%.3g\n", operation, n, text(order), median(ns));
  std::fflush(stdout);
}

}  // namespace

void timer_curve(const CoreOptions& options) {
  for (const double full : {1e4, 1e5, 1e6, 1e7}) {
    const auto n = static_cast<uint32_t>(options.scaled(full) - 1);
    for (const Order order : {Order::kSlab, Order::kRandom}) {
      const Moves moves(n, n, order), later(n, n, order, 100'000);
      point(options, "arm_cancel", n, order, [&] { return arm_cancel_ns(*armed<OurTimers>(n), moves); });
      point(options, "put_off", n, order, [&] { return rearm_ns(*armed<OurTimers>(n), later); });
      point(options, "bring_forward", n, order,
            [&] { return rearm_ns(*armed<OurTimers>(n, Order::kSlab, 100'000), moves); });
      point(options, "expire", n, order, [&] { return expire_ns(*armed<OurTimers>(n, order)); });
    }
  }
}

void time_figures(const CoreOptions& options) {
  timers_against_rte(options);
  timers_against_memory(options);
  timers_that_fire(options);
  histogram(options);
}

}  // namespace trunkline::bench
