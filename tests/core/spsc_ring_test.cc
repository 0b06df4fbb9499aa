// SpscRing on one thread: the contract, the wrap-around, and a std::deque as the model.
#include "core/spsc_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <vector>

#include "core/packet.h"
#include "core/rng.h"

namespace trunkline::core {
namespace {

TEST(SpscRing, RejectsPushWhenFull) {
  SpscRing<int> ring(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.try_push(i));
  EXPECT_FALSE(ring.try_push(4));
  EXPECT_EQ(ring.size_approx(), 4u);
  EXPECT_EQ(ring.free_approx(), 0u);
  int out = -1;
  EXPECT_TRUE(ring.try_pop(out));
  EXPECT_EQ(out, 0);
  EXPECT_TRUE(ring.try_push(4));
}

TEST(SpscRing, RejectsPopWhenEmptyAndLeavesTheOutputAlone) {
  SpscRing<int> ring(2);
  int out = 42;
  EXPECT_FALSE(ring.try_pop(out));
  EXPECT_EQ(out, 42);
  EXPECT_TRUE(ring.peek(8).empty());
}

TEST(SpscRing, OfOneSlotAlternates) {
  SpscRing<int> ring(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(ring.try_push(i));
    EXPECT_FALSE(ring.try_push(99));
    int out = -1;
    EXPECT_TRUE(ring.try_pop(out));
    EXPECT_EQ(out, i);
    EXPECT_FALSE(ring.try_pop(out));
  }
}

TEST(SpscRing, TakesAsMuchOfABurstAsFits) {
  SpscRing<int> ring(8);
  const std::array<int, 12> in{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  EXPECT_EQ(ring.push_burst(in), 8u);
  EXPECT_EQ(ring.push_burst(in), 0u);
  std::array<int, 12> out{};
  EXPECT_EQ(ring.pop_burst(std::span(out).first(5)), 5u);
  EXPECT_EQ(ring.pop_burst(out), 3u);
  EXPECT_EQ(out[0], 5);
  EXPECT_EQ(out[2], 7);
  EXPECT_EQ(ring.pop_burst(out), 0u);
}

TEST(SpscRing, ClaimStopsAtTheEndOfTheArrayAndShowsNothingBeforeCommit) {
  SpscRing<int> ring(8);
  std::array<int, 6> filler{};
  ASSERT_EQ(ring.push_burst(filler), 6u);
  ASSERT_EQ(ring.pop_burst(filler), 6u);
  std::span<int> slots = ring.claim(5);
  ASSERT_EQ(slots.size(), 2u);  // 6 and 7; the rest begins at 0 again
  slots[0] = 10;
  slots[1] = 11;
  EXPECT_EQ(ring.size_approx(), 0u);
  ring.commit(2);
  slots = ring.claim(50);
  ASSERT_EQ(slots.size(), 6u);
  slots[0] = 12;
  ring.commit(1);
  EXPECT_EQ(ring.size_approx(), 3u);
  std::span<int> items = ring.peek(8);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0], 10);
  EXPECT_EQ(items[1], 11);
  ring.release(2);
  items = ring.peek(8);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0], 12);
}

TEST(SpscRing, PeekedItemsStayUntilReleased) {
  SpscRing<int> ring(4);
  for (int i = 0; i < 4; ++i) ring.try_push(i);
  EXPECT_EQ(ring.peek(3).size(), 3u);
  EXPECT_FALSE(ring.try_push(9));
  ring.release(1);
  EXPECT_EQ(ring.peek(1)[0], 1);
  EXPECT_TRUE(ring.try_push(9));
}

TEST(SpscRing, CarriesPacketDescriptors) {
  SpscRing<Packet> ring(2);
  Packet packet;
  packet.length = 1200;
  packet.label = Label::make(7, 3);
  ASSERT_TRUE(ring.try_push(packet));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(ring.peek(1).data()) % kCacheLine, 0u);
  Packet out;
  ASSERT_TRUE(ring.try_pop(out));
  EXPECT_EQ(out.length, 1200u);
  EXPECT_EQ(out.label, Label::make(7, 3));
}

TEST(SpscRingDeathTest, EndsTheProcessOnABrokenContract) {
  EXPECT_DEATH(SpscRing<int>(3), "contract broken");
  EXPECT_DEATH(
      {
        SpscRing<int> ring(4);
        ring.commit(5);
      },
      "contract broken");
  EXPECT_DEATH(
      {
        SpscRing<int> ring(4);
        ring.release(1);
      },
      "contract broken");
}

// One random operation on both; they must agree.
void step(SpscRing<uint64_t>& ring, std::deque<uint64_t>& model, Rng& rng, uint64_t& next) {
  std::array<uint64_t, 24> buffer{};
  const auto n = static_cast<uint32_t>(rng.below(buffer.size() + 1));
  const auto free = static_cast<uint32_t>(ring.capacity() - model.size());
  switch (rng.below(6)) {
    case 0:
      ASSERT_EQ(ring.try_push(next), free > 0);
      if (free > 0) model.push_back(next++);
      break;
    case 1: {
      for (uint32_t i = 0; i < n; ++i) buffer[i] = next + i;
      ASSERT_EQ(ring.push_burst(std::span(buffer).first(n)), std::min(n, free));
      for (uint32_t i = 0; i < std::min(n, free); ++i) model.push_back(next++);
      break;
    }
    case 2: {
      const std::span<uint64_t> slots = ring.claim(n);
      ASSERT_LE(slots.size(), std::min(n, free));
      ASSERT_EQ(slots.empty(), std::min(n, free) == 0);
      const auto used = static_cast<uint32_t>(rng.below(slots.size() + 1));
      for (uint32_t i = 0; i < used; ++i) model.push_back(slots[i] = next++);
      ring.commit(used);
      break;
    }
    case 3: {
      uint64_t out = 0;
      ASSERT_EQ(ring.try_pop(out), !model.empty());
      if (model.empty()) break;
      ASSERT_EQ(out, model.front());
      model.pop_front();
      break;
    }
    case 4: {
      const uint32_t got = ring.pop_burst(std::span(buffer).first(n));
      ASSERT_EQ(got, std::min<size_t>(n, model.size()));
      for (uint32_t i = 0; i < got; ++i, model.pop_front()) ASSERT_EQ(buffer[i], model.front());
      break;
    }
    default: {
      const std::span<uint64_t> items = ring.peek(n);
      ASSERT_EQ(items.empty(), n == 0 || model.empty());
      ASSERT_LE(items.size(), std::min<size_t>(n, model.size()));
      for (size_t i = 0; i < items.size(); ++i) ASSERT_EQ(items[i], model[i]);
      const auto used = static_cast<uint32_t>(rng.below(items.size() + 1));
      for (uint32_t i = 0; i < used; ++i) model.pop_front();
      ring.release(used);
      break;
    }
  }
  ASSERT_EQ(ring.size_approx(), model.size());
  ASSERT_EQ(ring.free_approx(), ring.capacity() - model.size());
}

TEST(SpscRing, BehavesLikeADeque) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    SpscRing<uint64_t> ring(1u << rng.below(6));
    std::deque<uint64_t> model;
    uint64_t next = 1;
    for (int i = 0; i < 5000 && !testing::Test::HasFatalFailure(); ++i) step(ring, model, rng, next);
  }
}

}  // namespace
}  // namespace trunkline::core
