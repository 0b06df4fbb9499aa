// Atomic<T>: std::atomic with the order in the name of each operation. There is no default order and no
// operator, so an access whose ordering nobody thought about does not compile. Sequential consistency is not
// offered.
//
// StdSync is the policy that production code gives to every class in which threads meet (`template <class
// Sync>`); a checker gives another one and runs the same code under every interleaving.
#pragma once

#include <atomic>
#include <utility>

namespace trunkline::core {

template <class T>
class Atomic {
 public:
  constexpr Atomic() noexcept : value_(T{}) {}
  constexpr explicit Atomic(T value) noexcept : value_(value) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load_relaxed() const noexcept { return value_.load(std::memory_order_relaxed); }
  T load_acquire() const noexcept { return value_.load(std::memory_order_acquire); }
  void store_relaxed(T v) noexcept { value_.store(v, std::memory_order_relaxed); }
  void store_release(T v) noexcept { value_.store(v, std::memory_order_release); }
  // Read-modify-writes: only where a header argues why a plain store will not do.
  T exchange_relaxed(T v) noexcept { return value_.exchange(v, std::memory_order_relaxed); }
  T exchange_acquire(T v) noexcept { return value_.exchange(v, std::memory_order_acquire); }
  T exchange_release(T v) noexcept { return value_.exchange(v, std::memory_order_release); }
  T fetch_add_relaxed(T v) noexcept { return value_.fetch_add(v, std::memory_order_relaxed); }
  bool compare_exchange_acq_rel(T& expected, T desired) noexcept {
    return value_.compare_exchange_strong(expected, desired, std::memory_order_acq_rel,
                                          std::memory_order_acquire);
  }

 private:
  std::atomic<T> value_;
};

// Payload that one thread writes before a release and another reads after the matching acquire.
template <class T>
class PlainVar {
 public:
  const T& read() const noexcept { return value_; }
  T& write() noexcept { return value_; }

 private:
  T value_{};
};

struct StdSync {
  template <class T>
  using Atomic = core::Atomic<T>;
  template <class T>
  using Var = PlainVar<T>;
};

}  // namespace trunkline::core
