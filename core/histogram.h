// Histogram: how values are distributed, within 1 %, at the price of an increment.
//
// The idea (HdrHistogram, Tene): each power of two is cut into 64 equal buckets, so a bucket is at most 1/64
// as wide as the values in it, and its middle is off by less than 0.8 %. Values below 128 are exact, so it
// serves for counts (packets per burst) as well as for nanoseconds.
//
// Threads: one writer; any thread may read or merge from it meanwhile and sees each bucket as it recently was
// (relaxed single-writer words, see core/counters.h). Cost of record(): a bit scan and three increments, 2
// ns. Memory: 16 KiB and 32 bytes, inside the object; no allocation.
#pragma once

#include <bit>
#include <cstdint>

#include "core/counters.h"

namespace trunkline::core {

class Histogram {
 public:
  // Larger values count as this one (137 s in nanoseconds; a minute was asked for), negative ones as 0.
  // max() and mean() still know the value itself.
  static constexpr int64_t kMaxTracked = (int64_t{1} << 37) - 1;

  // Buckets come in rows of 64: one row for the values below 64, and one for each power of two from there.
  static constexpr uint32_t kSubBuckets = 64;
  static constexpr uint32_t kRows = 32;

  Histogram() = default;
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  // ---- writer ----
  void record(int64_t value) noexcept { record_n(value, 1); }
  void record_n(int64_t value, uint64_t n) noexcept {
    if (n == 0) return;
    if (value < 0) value = 0;
    counts_[bucket_of(value)].add(n);
    sum_.add(static_cast<uint64_t>(value) * n);
    // Both are kept so that zero means "nothing yet": the smallest as its distance from the top.
    const uint64_t from_top = static_cast<uint64_t>(INT64_MAX) - static_cast<uint64_t>(value);
    if (from_top >= min_from_top_.value()) min_from_top_.set(from_top);
    if (static_cast<uint64_t>(value) > max_.value()) max_.set(static_cast<uint64_t>(value));
    count_.add(n);
  }
  // Adds everything `other` holds; `other` may be in use by its own writer.
  void merge(const Histogram& other) noexcept;
  void clear() noexcept;

  // ---- any thread ----
  uint64_t count() const noexcept { return count_.value(); }
  // 0 when nothing was recorded, as are the next three.
  int64_t min() const noexcept {
    return count() == 0 ? 0 : INT64_MAX - static_cast<int64_t>(min_from_top_.value());
  }
  int64_t max() const noexcept { return static_cast<int64_t>(max_.value()); }
  double mean() const noexcept;
  // The smallest value such that at least `percent` of all values are not above it (nearest rank), within
  // 0.8 %; percent is clamped to 0 .. 100. A pass over the buckets: about a microsecond.
  int64_t percentile(double percent) const noexcept;

  // Calls fn(int64_t lowest, int64_t highest, uint64_t count) for each bucket that is not empty, in order.
  template <class Fn>
  void for_each_bucket(Fn&& fn) const {
    for (uint32_t i = 0; i < kBuckets; ++i) {
      const uint64_t n = counts_[i].value();
      if (n != 0) fn(lowest_of(i), highest_of(i), n);
    }
  }

 private:
  static constexpr uint32_t kSubBits = 6;
  static constexpr uint32_t kSub = 1u << kSubBits;  // buckets per power of two
  static constexpr uint32_t kBuckets = (37 - kSubBits + 1) * kSub;
  static_assert(kSub == kSubBuckets && kBuckets == kRows * kSubBuckets);
  static_assert(kBuckets * sizeof(Counter) == 16 * 1024);

  static uint32_t bucket_of(int64_t value) noexcept {
    const uint64_t v = static_cast<uint64_t>(value < kMaxTracked ? value : kMaxTracked);
    // Below 2 * kSub a bucket is one value wide; above, shift until 64 .. 127 is left.
    const auto width = static_cast<uint32_t>(std::bit_width(v | kSub));
    const uint32_t shift = width - kSubBits - 1;
    return shift * kSub + static_cast<uint32_t>(v >> shift);
  }
  static int64_t lowest_of(uint32_t bucket) noexcept {
    if (bucket < kSub) return bucket;
    const uint32_t shift = bucket / kSub - 1;
    return static_cast<int64_t>(uint64_t{kSub + bucket % kSub} << shift);
  }
  static int64_t highest_of(uint32_t bucket) noexcept {
    return bucket + 1 == kBuckets ? kMaxTracked : lowest_of(bucket + 1) - 1;
  }

  Counter counts_[kBuckets];
  Counter count_;
  Counter sum_;
  Counter min_from_top_;
  Counter max_;
};

}  // namespace trunkline::core
