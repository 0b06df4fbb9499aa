// SpscRing between two threads. Every element carries a stamp and a checksum of it: a lost, repeated,
// reordered or half-written element cannot pass.
#include "core/spsc_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "core/rng.h"

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

constexpr uint64_t kElements = 150'000;  // well under a second, also under ThreadSanitizer
constexpr uint32_t kBurst = 32;

// Both sides run to the end whatever they see and return how often the ring broke its word: a side that gave
// up would leave the other spinning.
uint64_t produce(SpscRing<Stamped>& ring, uint64_t seed) {
  Rng rng(seed);
  std::array<Stamped, kBurst> burst;
  uint64_t broken = 0;
  for (uint64_t next = 0; next < kElements;) {
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(1 + rng.below(kBurst), kElements - next));
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
        const std::span<Stamped> slots = ring.claim(n);
        for (Stamped& slot : slots) slot = Stamped::make(next + done++);
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

uint64_t consume(SpscRing<Stamped>& ring, uint64_t seed) {
  Rng rng(seed);
  std::array<Stamped, kBurst> burst;
  uint64_t broken = 0;
  uint64_t expected = 0;
  const auto check = [&](const Stamped& s) { broken += s.stamp != expected++ || s.checksum != s.sum(); };
  while (expected < kElements) {
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
        const std::span<Stamped> items = ring.peek(n);
        got = static_cast<uint32_t>(items.size());
        broken += got == 0 && promised > 0;
        for (const Stamped& item : items) check(item);
        ring.release(got);
        break;
      }
    }
    if (got == 0) std::this_thread::yield();
  }
  return broken;
}

TEST(SpscRingStress, DeliversEachElementOnceInOrderAndWhole) {
  for (uint32_t capacity : {1u, 8u, 256u}) {
    SCOPED_TRACE(capacity);
    SpscRing<Stamped> ring(capacity);
    uint64_t broken_at_producer = 0;
    std::thread producer([&] { broken_at_producer = produce(ring, capacity); });
    EXPECT_EQ(consume(ring, capacity + 1), 0u);
    producer.join();
    EXPECT_EQ(broken_at_producer, 0u);
    EXPECT_EQ(ring.size_approx(), 0u);
  }
}

// The outcome of size_approx on a third thread means little, but it is never nonsense.
TEST(SpscRingStress, SizeStaysBetweenZeroAndCapacityForAnOnlooker) {
  SpscRing<uint64_t> ring(16);
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
