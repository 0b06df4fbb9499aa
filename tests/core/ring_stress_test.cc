// SpscRing and LineRing between two threads: on cores of their own, where the system puts them, and many
// pairs on one core. Every element carries a stamp and a checksum of it: a lost, repeated, reordered or
// half-written element cannot pass.
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/line_ring.h"
#include "core/rng.h"
#include "core/spsc_ring.h"

namespace trunkline::core {
namespace {

struct Stamped {
  uint64_t stamp = 0;
  uint64_t filler[5]{};
  uint64_t checksum = 0;

  static Stamped make(uint64_t stamp) {
    Stamped s;
    s.stamp = stamp;
    for (uint64_t& word : s.filler) word = stamp * 0x9e3779b97f4a7c15u;
    s.checksum = s.sum();
    return s;
  }
  uint64_t sum() const {
    uint64_t h = stamp;
    for (uint64_t word : filler) h = (h ^ word) * 0xff51afd7ed558ccdu;
    return h;
  }
};

constexpr uint32_t kBurst = 32;

// This thread on that core, if there is one, from here on.
void pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core % std::thread::hardware_concurrency(), &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Both sides run to the end whatever they see and return how often the ring broke its word: a side that gave
// up would leave the other spinning.
template <class Ring>
uint64_t produce(Ring& ring, uint64_t elements, uint64_t seed) {
  Rng rng(seed);
  std::array<Stamped, kBurst> burst;
  uint64_t broken = 0;
  for (uint64_t next = 0; next < elements;) {
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(1 + rng.below(kBurst), elements - next));
    const uint32_t promised = std::min(ring.free_approx(), n);
    uint32_t done = 0;
    switch (rng.below(3)) {
      case 0:
        done = ring.try_push(Stamped::make(next));
        broken += done < std::min(promised, 1u);
        break;
      case 1:
        for (uint32_t i = 0; i < n; ++i) burst[i] = Stamped::make(next + i);
        done = ring.push_burst(std::span(burst).first(n));
        broken += done < promised;
        break;
      default: {
        const auto slots = ring.claim(n);
        for (; done < slots.size(); ++done) slots[done] = Stamped::make(next + done);
        ring.commit(done);
        broken += done == 0 && promised > 0;
        break;
      }
    }
    next += done;
    if (done == 0) std::this_thread::yield();
  }
  return broken;
}

template <class Ring>
uint64_t consume(Ring& ring, uint64_t elements, uint64_t seed) {
  Rng rng(seed);
  std::array<Stamped, kBurst> burst;
  uint64_t broken = 0;
  uint64_t expected = 0;
  const auto check = [&](const Stamped& s) { broken += s.stamp != expected++ || s.checksum != s.sum(); };
  while (expected < elements) {
    const auto n = static_cast<uint32_t>(1 + rng.below(kBurst));
    const uint32_t promised = std::min(ring.size_approx(), n);
    uint32_t got = 0;
    switch (rng.below(3)) {
      case 0:
        got = ring.try_pop(burst[0]);
        broken += got < std::min(promised, 1u);
        if (got != 0) check(burst[0]);
        break;
      case 1:
        got = ring.pop_burst(std::span(burst).first(n));
        broken += got < promised;
        for (uint32_t i = 0; i < got; ++i) check(burst[i]);
        break;
      default: {
        const auto items = ring.peek(n);
        got = static_cast<uint32_t>(items.size());
        broken += got == 0 && promised > 0;
        for (uint32_t i = 0; i < got; ++i) check(items[i]);
        ring.release(got);
        break;
      }
    }
    if (got == 0) std::this_thread::yield();
  }
  return broken;
}

// A producer and a consumer; returns how often the ring broke its word to either.
template <class Ring>
uint64_t run_pair(uint32_t capacity, uint64_t elements, const std::function<void(unsigned)>& place) {
  auto ring = std::make_unique<Ring>(capacity);
  uint64_t broken_at_producer = 0;
  std::thread producer([&] {
    place(1);
    broken_at_producer = produce(*ring, elements, capacity);
  });
  uint64_t broken = 0;
  std::thread consumer([&] {
    place(0);
    broken = consume(*ring, elements, capacity + 1);
  });
  producer.join();
  consumer.join();
  return broken + broken_at_producer + ring->size_approx();
}

template <class Ring>
class RingStress : public testing::Test {};
using Rings = testing::Types<SpscRing<Stamped>, LineRing<Stamped>>;
TYPED_TEST_SUITE(RingStress, Rings);

// Well under a second each, also under ThreadSanitizer.
TYPED_TEST(RingStress, DeliversEachElementOnceInOrderAndWhole) {
  for (const uint32_t capacity : {1u, 8u, 256u}) {
    SCOPED_TRACE(capacity);  // from which the seeds are
    EXPECT_EQ(run_pair<TypeParam>(capacity, 100'000, [](unsigned) {}), 0u);
  }
}

TYPED_TEST(RingStress, DeliversBetweenTwoCores) {
  for (const uint32_t capacity : {1u, 2u, 64u}) {
    SCOPED_TRACE(capacity);
    EXPECT_EQ(run_pair<TypeParam>(capacity, 100'000, pin), 0u);
  }
}

// Eight threads on one core: each is stopped in the middle of what it does.
TYPED_TEST(RingStress, DeliversWhenThereAreMoreThreadsThanCores) {
  std::vector<uint64_t> broken(4);
  std::vector<std::thread> pairs;
  for (uint32_t i = 0; i < 4; ++i) {
    pairs.emplace_back(
        [&broken, i] { broken[i] = run_pair<TypeParam>(1u << (2 * i), 20'000, [](unsigned) { pin(0); }); });
  }
  for (std::thread& pair : pairs) pair.join();
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(broken[i], 0u) << "capacity " << (1u << (2 * i));
}

template <class Ring>
class RingOnlooker : public testing::Test {};
using NumberRings = testing::Types<SpscRing<uint64_t>, LineRing<uint64_t>>;
TYPED_TEST_SUITE(RingOnlooker, NumberRings);

// The outcome of size_approx on a third thread means little, but it is never nonsense.
TYPED_TEST(RingOnlooker, SeesASizeBetweenZeroAndCapacity) {
  TypeParam ring(16);
  Atomic<uint32_t> running(2);
  std::thread producer([&] {
    for (uint64_t i = 0; i < 100'000; ++i) ring.try_push(i);
    running.fetch_add_relaxed(UINT32_MAX);
  });
  std::thread consumer([&] {
    uint64_t out = 0;
    for (uint64_t i = 0; i < 100'000; ++i) ring.try_pop(out);
    running.fetch_add_relaxed(UINT32_MAX);
  });
  uint32_t largest = 0;
  while (running.load_relaxed() != 0) largest = std::max(largest, ring.size_approx());
  producer.join();
  consumer.join();
  EXPECT_LE(largest, 16u);
}

}  // namespace
}  // namespace trunkline::core
