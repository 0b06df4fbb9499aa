// What core's mechanisms cost, one thread unless the name says otherwise. Times are per item where items are
// reported (items_per_second), else per call.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "core/bounded_table.h"
#include "core/hash.h"
#include "core/histogram.h"
#include "core/packet_pool.h"
#include "core/packet_return.h"
#include "core/rng.h"
#include "core/spsc_ring.h"
#include "core/timer_wheel.h"
#include "core/wake_word.h"

namespace trunkline::core {
namespace {

void BM_SpscRing_PushPop(benchmark::State& state) {
  const auto burst = static_cast<uint32_t>(state.range(0));
  SpscRing<void*> ring(1024);
  std::array<void*, 256> items{};
  for (auto _ : state) {
    ring.push_burst(std::span(items).first(burst));
    ring.pop_burst(std::span(items).first(burst));
    benchmark::DoNotOptimize(items);
  }
  state.SetItemsProcessed(state.iterations() * burst);
}
BENCHMARK(BM_SpscRing_PushPop)->ArgName("burst")->RangeMultiplier(2)->Range(1, 64);

// Two threads: the figure that compares with other rings. One iteration moves 1 << 20 pointers.
void BM_SpscRing_TwoThreads(benchmark::State& state) {
  constexpr uint64_t kItems = 1 << 20;
  const auto burst = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    SpscRing<void*> ring(1024);
    std::thread producer([&] {
      std::array<void*, 256> items{};
      for (uint64_t sent = 0; sent < kItems;) sent += ring.push_burst(std::span(items).first(burst));
    });
    std::array<void*, 256> items{};
    for (uint64_t got = 0; got < kItems;) got += ring.pop_burst(std::span(items).first(burst));
    producer.join();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kItems));
}
BENCHMARK(BM_SpscRing_TwoThreads)->ArgName("burst")->RangeMultiplier(2)->Range(1, 64)->UseRealTime();

void BM_WakeWord_ShouldWake(benchmark::State& state) {
  WakeWord<> word;
  for (auto _ : state) benchmark::DoNotOptimize(word.should_wake());
}
BENCHMARK(BM_WakeWord_ShouldWake);

void BM_KeyedHash16(benchmark::State& state) {
  std::array<uint8_t, 16> bytes{};
  uint64_t hash = 0;
  for (auto _ : state) {
    bytes[0] = static_cast<uint8_t>(hash);
    hash = keyed_hash16({1, 2}, bytes.data());
    benchmark::DoNotOptimize(hash);
  }
}
BENCHMARK(BM_KeyedHash16);

TrackId random_id(Rng& rng) {
  TrackId id;
  for (uint8_t& b : id.bytes) b = static_cast<uint8_t>(rng.next());
  return id;
}

// A table filled to its capacity, and ids to ask for in random order: present ones, or strangers.
struct Filled {
  BoundedTable<> table;
  std::vector<TrackId> ids;

  Filled(uint32_t keys, bool hits) : table(keys, {1, 2}) {
    Rng rng(1);
    for (uint32_t i = 0; i < keys; ++i) {
      ids.push_back(random_id(rng));
      table.insert(ids.back(), i);
    }
    if (!hits) {
      for (TrackId& id : ids) id = random_id(rng);
    }
    for (size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[rng.below(i)]);
  }
};

void BM_BoundedTable_Find(benchmark::State& state) {
  const Filled filled(static_cast<uint32_t>(state.range(0)), state.range(1) != 0);
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(filled.table.find(filled.ids[next]));
    if (++next == filled.ids.size()) next = 0;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_BoundedTable_Find)->ArgNames({"keys", "hit"})->ArgsProduct({{10'000, 1'000'000}, {1, 0}});

void BM_BoundedTable_FindBurst(benchmark::State& state) {
  const Filled filled(static_cast<uint32_t>(state.range(0)), state.range(1) != 0);
  std::array<uint32_t, 32> out;
  size_t next = 0;
  for (auto _ : state) {
    filled.table.find_burst(std::span(filled.ids).subspan(next, out.size()), out);
    benchmark::DoNotOptimize(out);
    next += out.size();
    if (next + out.size() > filled.ids.size()) next = 0;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(out.size()));
}
BENCHMARK(BM_BoundedTable_FindBurst)->ArgNames({"keys", "hit"})->ArgsProduct({{10'000, 1'000'000}, {1, 0}});

void BM_BoundedTable_EraseInsert(benchmark::State& state) {
  Filled filled(static_cast<uint32_t>(state.range(0)), true);
  size_t next = 0;
  for (auto _ : state) {
    filled.table.erase(filled.ids[next]);
    filled.table.insert(filled.ids[next], 1);
    if (++next == filled.ids.size()) next = 0;
  }
}
BENCHMARK(BM_BoundedTable_EraseInsert)->ArgName("keys")->Arg(10'000);

// The life of a deadline that is nearly always met: armed, then cancelled.
void BM_TimerWheel_ArmCancel(benchmark::State& state) {
  constexpr uint32_t kTimers = 4096;
  TimerWheel wheel(kTimers, from_ms(1), {});
  Rng rng(1);
  std::vector<Nanos> deadlines;
  for (uint32_t i = 0; i < kTimers; ++i)
    deadlines.push_back(from_us(static_cast<int64_t>(rng.below(1'000'000))));
  uint32_t id = 0;
  for (auto _ : state) {
    wheel.arm(id, deadlines[id]);
    wheel.cancel((id + kTimers / 2) % kTimers);
    id = (id + 1) % kTimers;
  }
}
BENCHMARK(BM_TimerWheel_ArmCancel);

void BM_TimerWheel_Arm(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  Rng rng(1);
  std::vector<Nanos> deadlines;
  for (uint32_t i = 0; i < timers; ++i)
    deadlines.push_back(from_us(static_cast<int64_t>(rng.below(1'000'000))));
  while (state.KeepRunningBatch(timers)) {
    state.PauseTiming();
    TimerWheel wheel(timers, from_ms(1), {});
    state.ResumeTiming();
    for (uint32_t id = 0; id < timers; ++id) wheel.arm(id, deadlines[id]);
  }
}
BENCHMARK(BM_TimerWheel_Arm)->ArgName("timers")->Arg(4096)->Arg(1'000'000);

// A deadline that moves on with each sign of life, of one timer after the other.
void BM_TimerWheel_Rearm(benchmark::State& state) {
  const auto timers = static_cast<uint32_t>(state.range(0));
  TimerWheel wheel(timers, from_ms(1), {});
  for (uint32_t id = 0; id < timers; ++id) wheel.arm(id, from_ms(500));
  uint32_t id = 0;
  int64_t round = 1;
  for (auto _ : state) {
    wheel.arm(id, from_ms(500 + round));
    if (++id == timers) {
      id = 0;
      ++round;
    }
  }
}
BENCHMARK(BM_TimerWheel_Rearm)->ArgName("timers")->Arg(4096)->Arg(1'000'000);

// Deadlines up to one second away that all fire; per timer, armed and fired.
void BM_TimerWheel_ArmExpire(benchmark::State& state) {
  constexpr uint32_t kTimers = 4096;
  TimerWheel wheel(kTimers, from_ms(1), {});
  Rng rng(1);
  Nanos now{};
  std::array<uint32_t, 64> out;
  for (uint32_t id = 0; id < kTimers; ++id)
    wheel.arm(id, from_us(static_cast<int64_t>(rng.below(1'000'000))));
  int64_t fired = 0;
  for (auto _ : state) {
    now += from_ms(1);
    for (uint32_t n = wheel.expire(now, out); n > 0; n = wheel.expire(now, out)) {
      fired += n;
      for (uint32_t i = 0; i < n; ++i) {
        wheel.arm(out[i], now + from_us(static_cast<int64_t>(1 + rng.below(1'000'000))));
      }
    }
  }
  state.SetItemsProcessed(fired);
}
BENCHMARK(BM_TimerWheel_ArmExpire);

void BM_TimerWheel_Construct(benchmark::State& state) {
  for (auto _ : state) {
    TimerWheel wheel(256, from_ms(1), {});
    benchmark::DoNotOptimize(wheel.armed_count());
  }
}
BENCHMARK(BM_TimerWheel_Construct);

void BM_Histogram_Record(benchmark::State& state) {
  Histogram histogram;
  Rng rng(1);
  std::array<int64_t, 1024> values;
  for (int64_t& value : values) value = static_cast<int64_t>(rng.below(1'000'000));
  size_t next = 0;
  for (auto _ : state) {
    histogram.record(values[next]);
    next = (next + 1) % values.size();
  }
  benchmark::DoNotOptimize(histogram.count());
}
BENCHMARK(BM_Histogram_Record);

void BM_PacketPool_AllocRelease(benchmark::State& state) {
  const auto burst = static_cast<uint32_t>(state.range(0));
  HeapPageSource pages;
  PacketPool pool(1024, 2048, pages);
  std::array<Buffer*, 64> buffers{};
  for (auto _ : state) {
    const uint32_t n = pool.alloc_burst(std::span(buffers).first(burst));
    benchmark::DoNotOptimize(buffers);
    pool.release_burst(std::span(buffers).first(n));
  }
  state.SetItemsProcessed(state.iterations() * burst);
}
BENCHMARK(BM_PacketPool_AllocRelease)->ArgName("burst")->RangeMultiplier(2)->Range(1, 64);

// Lent, given back and collected on one thread: what the work itself costs on both sides.
void BM_PacketReturn_RoundTrip(benchmark::State& state) {
  const auto burst = static_cast<uint32_t>(state.range(0));
  HeapPageSource pages;
  PacketPool pool(1024, 2048, pages);
  PacketReturn<> home(pool, 256);
  std::array<Buffer*, 32> buffers{};
  for (auto _ : state) {
    const uint32_t n = pool.alloc_burst(std::span(buffers).first(burst));
    home.lend_burst(std::span(buffers).first(n));
    benchmark::DoNotOptimize(buffers);
    for (uint32_t i = 0; i < n; ++i) home.give_back(buffers[i]);
    home.flush();
    while (home.collect() > 0) {
    }
  }
  state.SetItemsProcessed(state.iterations() * burst);
}
BENCHMARK(BM_PacketReturn_RoundTrip)->ArgName("burst")->Arg(1)->Arg(8)->Arg(32);

// Two threads: handed over by ring, returned by ring. One iteration moves 1 << 20 buffers.
void BM_PacketReturn_TwoThreads(benchmark::State& state) {
  constexpr uint64_t kItems = 1 << 20;
  constexpr uint32_t kOut = 1024;
  const auto burst = static_cast<uint32_t>(state.range(0));
  HeapPageSource pages;
  PacketPool pool(2 * kOut, 2048, pages);
  for (auto _ : state) {
    SpscRing<Buffer*> there(kOut);
    PacketReturn<> home(pool, kOut);
    std::thread borrower([&] {
      std::array<Buffer*, 32> buffers{};
      for (uint64_t given = 0; given < kItems;) {
        const uint32_t got = there.pop_burst(std::span(buffers).first(burst));
        for (uint32_t i = 0; i < got; ++i) home.give_back(buffers[i]);
        home.flush();
        given += got;
      }
    });
    std::array<Buffer*, 32> buffers{};
    for (uint64_t sent = 0; sent < kItems;) {
      if (home.credit() < burst) {
        while (home.collect() > 0) {
        }
        continue;
      }
      const uint32_t n = pool.alloc_burst(std::span(buffers).first(burst));
      home.lend_burst(std::span(buffers).first(n));
      sent += there.push_burst(std::span(buffers).first(n));  // there is room for all that is out
    }
    borrower.join();
    while (home.collect() > 0) {
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kItems));
}
BENCHMARK(BM_PacketReturn_TwoThreads)->ArgName("burst")->Arg(1)->Arg(8)->Arg(32)->UseRealTime();

}  // namespace
}  // namespace trunkline::core

BENCHMARK_MAIN();
