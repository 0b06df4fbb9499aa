// Counter and CounterSet, with the list pattern that their header documents.
#include "core/counters.h"

#include <gtest/gtest.h>

#include <string_view>

namespace trunkline::core {
namespace {

#define TEST_FRUITS(X) X(kApple, "apple") X(kPear, "pear") X(kPlum, "plum")
enum class Fruit : uint32_t {
#define X(name, text) name,
  TEST_FRUITS(X)
#undef X
      kCount
};
constexpr std::string_view kFruitText[] = {
#define X(name, text) text,
    TEST_FRUITS(X)
#undef X
};

TEST(Counter, AddsAndSets) {
  Counter counter;
  EXPECT_EQ(counter.value(), 0u);
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.value(), 42u);
  counter.set(7);
  EXPECT_EQ(counter.value(), 7u);
}

TEST(CounterSet, KeepsOneCounterPerName) {
  CounterSet<Fruit, static_cast<size_t>(Fruit::kCount)> set;
  static_assert(sizeof(set) == 3 * sizeof(Counter));
  EXPECT_EQ(set.size(), std::size(kFruitText));
  set.add(Fruit::kPear);
  set.add(Fruit::kPlum, 10);
  EXPECT_EQ(set.value(Fruit::kApple), 0u);
  EXPECT_EQ(set.value(Fruit::kPear), 1u);
  EXPECT_EQ(set.value(Fruit::kPlum), 10u);
  EXPECT_EQ(set.total(), 11u);
  EXPECT_EQ(kFruitText[static_cast<size_t>(Fruit::kPlum)], "plum");
}

}  // namespace
}  // namespace trunkline::core
