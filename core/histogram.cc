// Histogram: the slow half, which reads.
#include "core/histogram.h"

#include <algorithm>
#include <cmath>

namespace trunkline::core {

void Histogram::merge(const Histogram& other) noexcept {
  // The count is summed from the buckets as read, so that it agrees with them while `other` is written.
  uint64_t total = 0;
  for (uint32_t i = 0; i < kBuckets; ++i) {
    const uint64_t n = other.counts_[i].value();
    if (n == 0) continue;
    counts_[i].add(n);
    total += n;
  }
  if (total == 0) return;
  sum_.add(other.sum_.value());
  min_from_top_.set(std::max(min_from_top_.value(), other.min_from_top_.value()));
  max_.set(std::max(max_.value(), other.max_.value()));
  count_.add(total);
}

void Histogram::clear() noexcept {
  count_.set(0);
  for (Counter& bucket : counts_) bucket.set(0);
  sum_.set(0);
  min_from_top_.set(0);
  max_.set(0);
}

double Histogram::mean() const noexcept {
  const uint64_t n = count();
  return n == 0 ? 0.0 : static_cast<double>(sum_.value()) / static_cast<double>(n);
}

int64_t Histogram::percentile(double percent) const noexcept {
  // Ranked within the buckets' own total: count_ may be ahead of or behind what this pass sees.
  uint64_t total = 0;
  for (const Counter& bucket : counts_) total += bucket.value();
  if (total == 0) return 0;
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  const auto exact = static_cast<uint64_t>(std::ceil(share * static_cast<double>(total)));
  const uint64_t rank = std::clamp<uint64_t>(exact, 1, total);
  // The two ends are known exactly, except that a reader may see a bucket before it sees the first end move.
  const int64_t smallest = min();
  const int64_t largest = max();
  const bool ends_known = smallest <= largest;
  if (ends_known && rank == total) return largest;
  if (ends_known && rank == 1) return smallest;
  uint64_t seen = 0;
  for (uint32_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i].value();
    if (seen < rank) continue;
    const int64_t middle = lowest_of(i) + (highest_of(i) - lowest_of(i)) / 2;
    // The bucket's middle may lie outside of all that was recorded.
    return ends_known ? std::clamp(middle, smallest, largest) : middle;
  }
  return largest;
}

}  // namespace trunkline::core
