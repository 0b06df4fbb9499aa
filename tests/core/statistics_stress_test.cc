// Counter and Histogram, written by one thread and read by another meanwhile.
#include <gtest/gtest.h>

#include <thread>

#include "core/counters.h"
#include "core/histogram.h"

namespace trunkline::core {
namespace {

TEST(StatisticsStress, ReadersSeeCountersGrowAndHistogramsStaySane) {
  constexpr uint64_t kRecords = 300'000;
  Counter counter;
  Histogram histogram;
  Atomic<uint32_t> done(0);
  std::thread writer([&] {
    for (uint64_t i = 0; i < kRecords; ++i) {
      counter.add();
      histogram.record(static_cast<int64_t>(1000 + i % 1000));
    }
    done.store_release(1);  // D1 -> E1: the totals are final
  });
  uint64_t last_counter = 0;
  uint64_t last_count = 0;
  uint64_t reads = 0;
  while (done.load_acquire() == 0) {  // E1
    const uint64_t now = counter.value();
    EXPECT_GE(now, last_counter);
    last_counter = now;
    Histogram copy;
    copy.merge(histogram);
    EXPECT_GE(copy.count(), last_count);
    last_count = copy.count();
    if (copy.count() > 0) {
      EXPECT_GE(copy.percentile(50), 990);
      EXPECT_LE(copy.percentile(99), 2010);
    }
    ++reads;
  }
  writer.join();
  EXPECT_EQ(counter.value(), kRecords);
  EXPECT_EQ(histogram.count(), kRecords);
  EXPECT_NEAR(histogram.mean(), 1499.5, 1e-6);
  EXPECT_GT(reads, 0u);
}

}  // namespace
}  // namespace trunkline::core
