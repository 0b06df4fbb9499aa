// Counters that one thread writes and any thread reads.
//
// The idea: with a single writer an increment needs no locked instruction: it is a relaxed load and a relaxed
// store of the same word, as cheap as ++. A reader sees some recent value, each counter by itself; for sums
// that must add up exactly, ask the writer's thread.
//
// A named set follows one pattern, in which one list makes the enum, the texts and the counters:
//
//   #define TRUNKLINE_DROP_REASONS(X) X(kTooShort, "too_short") X(kNoRoute, "no_route")
//   enum class DropReason : uint32_t {
//   #define X(name, text) name,
//     TRUNKLINE_DROP_REASONS(X)
//   #undef X
//     kCount
//   };
//   inline constexpr std::string_view kDropReasonText[] = {
//   #define X(name, text) text,
//     TRUNKLINE_DROP_REASONS(X)
//   #undef X
//   };
//   core::CounterSet<DropReason, size_t(DropReason::kCount)> drops;
//   drops.add(DropReason::kNoRoute);
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/atomic.h"
#include "core/check.h"

namespace trunkline::core {

class Counter {
 public:
  // Writer only. Relaxed: the number is all there is to see, nothing else is published by it.
  void add(uint64_t n = 1) noexcept { value_.store_relaxed(value_.load_relaxed() + n); }
  // Writer only: for gauges and for copies of counters kept elsewhere.
  void set(uint64_t n) noexcept { value_.store_relaxed(n); }
  // Any thread.
  uint64_t value() const noexcept { return value_.load_relaxed(); }

 private:
  Atomic<uint64_t> value_;
};
static_assert(sizeof(Counter) == 8);

// One Counter for each of the first N values of Enum (which must count up from 0).
template <class Enum, size_t N>
class CounterSet {
 public:
  // Writer only.
  void add(Enum which, uint64_t n = 1) noexcept {
    TL_DCHECK(static_cast<size_t>(which) < N);
    counters_[static_cast<size_t>(which)].add(n);
  }
  // Any thread.
  uint64_t value(Enum which) const noexcept {
    TL_DCHECK(static_cast<size_t>(which) < N);
    return counters_[static_cast<size_t>(which)].value();
  }
  // Any thread: the sum over all. Exact when the writer asks.
  uint64_t total() const noexcept {
    uint64_t sum = 0;
    for (const Counter& counter : counters_) sum += counter.value();
    return sum;
  }
  static constexpr size_t size() noexcept { return N; }

 private:
  Counter counters_[N];
};

}  // namespace trunkline::core
