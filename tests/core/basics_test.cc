// The small value types of core: time, ids, results, the generator.
#include <gtest/gtest.h>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/ids.h"
#include "core/result.h"
#include "core/rng.h"
#include "core/time.h"

namespace trunkline::core {
namespace {

TEST(Nanos, ConvertsBetweenUnits) {
  EXPECT_EQ(from_ms(3).us(), 3'000);
  EXPECT_EQ((from_s(1) - from_us(1)).ns, 999'999'000);
  EXPECT_LT(from_s(1'000'000), kNever);
}

TEST(Label, KeepsIndexAndGenerationApart) {
  const Label label = Label::make(Label::kMaxIndex, 5);
  EXPECT_EQ(label.index(), Label::kMaxIndex);
  EXPECT_EQ(label.generation(), 5u);
  EXPECT_EQ(Label::make(7, Label::kMaxGeneration + 1).generation(), 0u) << "the generation wraps";
}

TEST(Epoch, OrdersByGenerationThenIncarnationThenNode) {
  EXPECT_LT((Epoch{1, 9, {9}}), (Epoch{2, 0, {0}}));
  EXPECT_LT((Epoch{2, 1, {9}}), (Epoch{2, 2, {0}}));
  EXPECT_LT((Epoch{2, 2, {1}}), (Epoch{2, 2, {2}}));
}

TEST(Result, HoldsAValueOrAnError) {
  Result<int> good = 7;
  Result<int> bad = Error{3, "what, where, what to do"};
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 7);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, 3);
  EXPECT_TRUE(Result<void>{});
  EXPECT_FALSE((Result<void>{Error{1, "x"}}));
}

TEST(Rng, RepeatsForTheSameSeedAndStaysInBounds) {
  Rng a(42), b(42), c(43);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t x = a.next();
    EXPECT_EQ(x, b.next());
    differs |= x != c.next();
    EXPECT_LT(a.below(10), 10u);
    b.below(10);
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace trunkline::core
