// Histogram: exact for small values, within 1 % for the rest, and honest at its edges.
#include "core/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

// Nearest rank, as the header promises.
int64_t exact_percentile(const std::vector<int64_t>& sorted, double percent) {
  const auto rank = static_cast<size_t>(std::ceil(percent / 100.0 * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

TEST(Histogram, IsAllZeroWhenNew) {
  Histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min(), 0);
  EXPECT_EQ(h.max(), 0);
  EXPECT_EQ(h.mean(), 0.0);
  EXPECT_EQ(h.percentile(50), 0);
  h.for_each_bucket([](int64_t, int64_t, uint64_t) { FAIL() << "a bucket in an empty histogram"; });
}

TEST(Histogram, FitsItsStatedMemory) {
  EXPECT_EQ(sizeof(Histogram), 16u * 1024 + 32);
}

TEST(Histogram, IsExactBelow128) {
  Histogram h;
  for (int64_t v = 0; v < 128; ++v) h.record(v);
  for (int64_t v = 1; v <= 128; ++v) {
    EXPECT_EQ(h.percentile(static_cast<double>(v) / 1.28 - 0.01), v - 1);
  }
  EXPECT_EQ(h.min(), 0);
  EXPECT_EQ(h.max(), 127);
  EXPECT_EQ(h.mean(), 63.5);
}

TEST(Histogram, IsWithinOnePercentFrom100NanosecondsTo60Seconds) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    Histogram h;
    std::vector<int64_t> values;
    for (int i = 0; i < 5000; ++i) {
      values.push_back(static_cast<int64_t>(100.0 * std::pow(6e8, rng.unit())));  // 100 ns .. 60 s
      h.record(values.back());
    }
    std::sort(values.begin(), values.end());
    for (double percent : {0.0, 0.1, 1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
      const auto exact = static_cast<double>(exact_percentile(values, percent));
      EXPECT_NEAR(static_cast<double>(h.percentile(percent)), exact, exact * 0.01) << percent;
    }
    EXPECT_EQ(h.percentile(0), values.front());
    EXPECT_EQ(h.percentile(100), values.back());
    EXPECT_EQ(h.min(), values.front());
    EXPECT_EQ(h.max(), values.back());
  }
}

TEST(Histogram, EveryValueLiesInTheBucketItIsCountedIn) {
  Rng rng(9);
  for (int i = 0; i < 2000; ++i) {
    Histogram h;
    const auto value = static_cast<int64_t>(rng.below(uint64_t{1} << (1 + rng.below(37))));
    h.record(value);
    uint32_t buckets = 0;
    h.for_each_bucket([&](int64_t lowest, int64_t highest, uint64_t n) {
      ++buckets;
      EXPECT_LE(lowest, value);
      EXPECT_GE(highest, value);
      EXPECT_LE(highest - lowest, value / 64) << "wider than 1/64 of the value";
      EXPECT_EQ(n, 1u);
    });
    ASSERT_EQ(buckets, 1u);
  }
}

TEST(Histogram, BucketsLeaveNoGapAndDoNotOverlap) {
  Histogram h;
  for (int shift = 0; shift < 37; ++shift) {
    for (int64_t i = 0; i < 64; ++i) h.record((int64_t{1} << shift) + ((i << shift) >> 6));
  }
  int64_t last = 0;
  h.for_each_bucket([&](int64_t lowest, int64_t highest, uint64_t) {
    EXPECT_EQ(lowest, last + 1);
    EXPECT_GE(highest, lowest);
    last = highest;
  });
  EXPECT_EQ(last, Histogram::kMaxTracked);
}

TEST(Histogram, ClampsWhatIsOutOfRangeAndStillKnowsTheExtremes) {
  Histogram h;
  h.record(-5);
  h.record(Histogram::kMaxTracked + 10);
  h.record(INT64_MAX);
  EXPECT_EQ(h.count(), 3u);
  EXPECT_EQ(h.min(), 0);
  EXPECT_EQ(h.max(), INT64_MAX);
  EXPECT_NEAR(static_cast<double>(h.percentile(60)), static_cast<double>(Histogram::kMaxTracked), 2e9);
}

TEST(Histogram, RecordsManyAtOnce) {
  Histogram h;
  h.record_n(10, 99);
  h.record_n(1000, 1);
  h.record_n(77, 0);
  EXPECT_EQ(h.count(), 100u);
  EXPECT_EQ(h.percentile(99), 10);
  EXPECT_EQ(h.percentile(99.5), 1000);
  EXPECT_NEAR(h.mean(), 19.9, 1e-9);
}

TEST(Histogram, MergedEqualsRecordedTogether) {
  Rng rng(4);
  Histogram parts[3];
  Histogram whole;
  for (int i = 0; i < 3000; ++i) {
    const auto value = static_cast<int64_t>(rng.below(uint64_t{1} << (5 + rng.below(30))));
    parts[rng.below(2)].record(value);  // the third stays empty
    whole.record(value);
  }
  Histogram sum;
  for (const Histogram& part : parts) sum.merge(part);
  EXPECT_EQ(sum.count(), whole.count());
  EXPECT_EQ(sum.min(), whole.min());
  EXPECT_EQ(sum.max(), whole.max());
  EXPECT_EQ(sum.mean(), whole.mean());
  for (double percent = 0; percent <= 100; percent += 0.5) {
    EXPECT_EQ(sum.percentile(percent), whole.percentile(percent));
  }
}

TEST(Histogram, ForgetsEverythingWhenCleared) {
  Histogram h;
  h.record(12345);
  h.clear();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.percentile(50), 0);
  h.record(7);
  EXPECT_EQ(h.min(), 7);
  EXPECT_EQ(h.max(), 7);
}

}  // namespace
}  // namespace trunkline::core
