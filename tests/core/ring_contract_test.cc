// What both rings between two threads promise, on one thread: the contract, the wrap-around, and a std::deque
// as the model. What only one of them does is in its own test.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <deque>
#include <string>

#include "core/line_ring.h"
#include "core/rng.h"
#include "core/spsc_ring.h"

namespace trunkline::core {
namespace {

// As large as an item of a line can be.
struct Descriptor {
  uint64_t number = 0;
  std::array<uint64_t, 6> rest{};

  static Descriptor make(uint64_t number) {
    Descriptor d;
    d.number = number;
    for (uint64_t& word : d.rest) word = ~number;
    return d;
  }
  bool operator==(const Descriptor&) const = default;
};
static_assert(sizeof(Descriptor) == 56);

// Items of a word are copied a line at a time, those of a descriptor one by one.
struct Words {
  static constexpr const char* kName = "SpscRingOfWords";
  using Item = uint64_t;
  static Item make(uint64_t number) { return number; }
  template <class T>
  using Ring = SpscRing<T>;
};
struct Descriptors : Words {
  static constexpr const char* kName = "SpscRingOfDescriptors";
  using Item = Descriptor;
  static Item make(uint64_t number) { return Descriptor::make(number); }
};
struct Lines : Descriptors {
  static constexpr const char* kName = "LineRing";
  template <class T>
  using Ring = LineRing<T>;
};
struct Name {
  template <class Kind>
  static std::string GetName(int) {
    return Kind::kName;
  }
};
template <class Kind>
class RingContract : public testing::Test {};
template <class Kind>
using RingContractDeathTest = RingContract<Kind>;
using Kinds = testing::Types<Words, Descriptors, Lines>;
TYPED_TEST_SUITE(RingContract, Kinds, Name);
TYPED_TEST_SUITE(RingContractDeathTest, Kinds, Name);

TYPED_TEST(RingContract, RejectsPushWhenFull) {
  typename TypeParam::template Ring<int> ring(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.try_push(i));
  EXPECT_FALSE(ring.try_push(4));
  EXPECT_EQ(ring.size_approx(), 4u);
  EXPECT_EQ(ring.free_approx(), 0u);
  int out = -1;
  EXPECT_TRUE(ring.try_pop(out));
  EXPECT_EQ(out, 0);
  EXPECT_TRUE(ring.try_push(4));
}

TYPED_TEST(RingContract, RejectsPopWhenEmptyAndLeavesTheOutputAlone) {
  typename TypeParam::template Ring<int> ring(2);
  std::array<int, 2> out{42, 42};
  EXPECT_FALSE(ring.try_pop(out[0]));
  EXPECT_EQ(ring.pop_burst(out), 0u);
  EXPECT_EQ(out[0], 42);
  EXPECT_TRUE(ring.peek(8).empty());
}

TYPED_TEST(RingContract, OfOneSlotAlternates) {
  typename TypeParam::template Ring<int> ring(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(ring.try_push(i));
    EXPECT_FALSE(ring.try_push(99));
    int out = -1;
    EXPECT_TRUE(ring.try_pop(out));
    EXPECT_EQ(out, i);
    EXPECT_FALSE(ring.try_pop(out));
  }
}

TYPED_TEST(RingContract, TakesAsMuchOfABurstAsFits) {
  typename TypeParam::template Ring<int> ring(8);
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

TYPED_TEST(RingContract, ClaimStopsAtTheEndOfTheArrayAndShowsNothingBeforeCommit) {
  typename TypeParam::template Ring<int> ring(8);
  std::array<int, 6> filler{};
  ASSERT_EQ(ring.push_burst(filler), 6u);
  ASSERT_EQ(ring.pop_burst(filler), 6u);
  auto lines = ring.claim(5);
  ASSERT_EQ(lines.size(), 2u);  // 6 and 7; the rest begins at 0 again
  lines[0] = 10;
  lines[1] = 11;
  EXPECT_EQ(ring.size_approx(), 0u);
  EXPECT_TRUE(ring.peek(8).empty());
  ring.commit(2);
  lines = ring.claim(50);
  ASSERT_EQ(lines.size(), 6u);
  lines[0] = 12;
  ring.commit(1);
  EXPECT_EQ(ring.size_approx(), 3u);
  lines = ring.peek(8);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], 10);
  EXPECT_EQ(lines[1], 11);
  ring.release(2);
  lines = ring.peek(8);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], 12);
}

TYPED_TEST(RingContract, PeekedItemsStayUntilReleased) {
  typename TypeParam::template Ring<int> ring(4);
  for (int i = 0; i < 4; ++i) ring.try_push(i);
  EXPECT_EQ(ring.peek(3).size(), 3u);
  EXPECT_FALSE(ring.try_push(9));
  ring.release(1);
  EXPECT_EQ(ring.peek(1)[0], 1);
  EXPECT_TRUE(ring.try_push(9));
}

TYPED_TEST(RingContractDeathTest, EndsTheProcessOnABrokenContract) {
  EXPECT_DEATH(typename TypeParam::template Ring<int>(3), "contract broken");
  EXPECT_DEATH(
      {
        typename TypeParam::template Ring<int> ring(4);
        ring.commit(5);
      },
      "contract broken");
  EXPECT_DEATH(
      {
        typename TypeParam::template Ring<int> ring(4);
        ring.release(1);
      },
      "contract broken");
  EXPECT_DEATH(
      {
        typename TypeParam::template Ring<int> ring(4);
        ring.try_push(1);
        ring.release(1);  // which nobody has seen
      },
      "contract broken");
}

// One random operation on both; they must agree.
template <class Kind, class Item = typename Kind::Item>
void step(typename Kind::template Ring<Item>& ring, std::deque<Item>& model, Rng& rng, uint64_t& next) {
  std::array<Item, 24> buffer{};
  const auto n = static_cast<uint32_t>(rng.below(buffer.size() + 1));
  const auto free = static_cast<uint32_t>(ring.capacity() - model.size());
  const auto make = [&next] { return Kind::make(next++); };
  switch (rng.below(6)) {
    case 0:
      ASSERT_EQ(ring.try_push(Kind::make(next)), free > 0);
      if (free > 0) model.push_back(make());
      break;
    case 1: {
      for (uint32_t i = 0; i < n; ++i) buffer[i] = Kind::make(next + i);
      ASSERT_EQ(ring.push_burst(std::span(buffer).first(n)), std::min(n, free));
      for (uint32_t i = 0; i < std::min(n, free); ++i) model.push_back(make());
      break;
    }
    case 2: {
      const auto lines = ring.claim(n);
      ASSERT_LE(lines.size(), std::min(n, free));
      ASSERT_EQ(lines.empty(), std::min(n, free) == 0);
      const auto used = static_cast<uint32_t>(rng.below(lines.size() + 1));
      for (uint32_t i = 0; i < used; ++i) model.push_back(lines[i] = make());
      ring.commit(used);
      break;
    }
    case 3: {
      Item out{};
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
      const auto items = ring.peek(n);
      ASSERT_EQ(items.empty(), n == 0 || model.empty());
      ASSERT_LE(items.size(), std::min<size_t>(n, model.size()));
      for (uint32_t i = 0; i < items.size(); ++i) ASSERT_EQ(items[i], model[i]);
      const auto used = static_cast<uint32_t>(rng.below(items.size() + 1));
      for (uint32_t i = 0; i < used; ++i) model.pop_front();
      ring.release(used);
      break;
    }
  }
  ASSERT_EQ(ring.size_approx(), model.size());
  ASSERT_EQ(ring.free_approx(), ring.capacity() - model.size());
}

TYPED_TEST(RingContract, BehavesLikeADeque) {
  constexpr uint64_t kSeeds = 20;
  std::printf("seeds 1 to %lu\n", static_cast<unsigned long>(kSeeds));
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    typename TypeParam::template Ring<typename TypeParam::Item> ring(1u << rng.below(6));
    std::deque<typename TypeParam::Item> model;
    uint64_t next = 1;
    for (int i = 0; i < 5000 && !testing::Test::HasFatalFailure(); ++i)
      step<TypeParam>(ring, model, rng, next);
  }
}

}  // namespace
}  // namespace trunkline::core
