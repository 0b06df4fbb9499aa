// SpscRing: how two threads of Trunkline talk. One producer, one consumer, a fixed number of slots.
//
// The idea: two free-running counters, each written by one side only. Each side keeps a copy of the other's
// counter as it last saw it and looks again only when that copy says "full" or "empty", so that in steady
// state a burst costs one shared cache line each way, and one release store, however many items it carries.
// Items may be copied in and out, or produced and consumed in place (claim/commit, peek/release).
//
// Threads: every function names its side; a side is one thread at a time. Wait-free: each call is O(items
// copied) and has no other loop. Memory: one allocation, in the constructor; nothing later.
//
// Invariants
//   I1  0 <= tail - head <= capacity                 (free-running 64-bit counters: they never wrap)
//   I2  slots in [head, tail) belong to the consumer, all others to the producer
//   I3  head_seen_ <= head and tail_seen_ <= tail    (a stale copy only makes a side more careful)
// Edges
//   R1 -> A1  the producer's slot writes happen before the consumer reads them
//   R2 -> A2  the consumer's slot reads happen before the producer reuses the slots
//
// Slots are plain T, and those of a plain type are not written before they are used: a ring costs the memory
// that its busiest moment needed, and making one costs nothing. A checker that wants to see their accesses
// instantiates the ring with an instrumented T beside its instrumented Sync.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"

namespace trunkline::core {

template <class T, class Sync = StdSync>
class SpscRing {
  static_assert(std::is_nothrow_copy_assignable_v<T> && std::is_nothrow_default_constructible_v<T>);

 public:
  // Contract: `capacity` is a power of two. All of it is usable.
  explicit SpscRing(uint32_t capacity) : mask_(capacity - 1) {
    TL_CHECK(std::has_single_bit(capacity));
    slots_ = make_slots(capacity);
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // ---- producer ----

  // False when the ring is full: nothing happened, the item is still the caller's.
  bool try_push(const T& item) noexcept {
    const uint64_t tail = tail_.load_relaxed();  // own counter: only we write it
    if (free_at(tail, 1) == 0) return false;
    slots_[tail & mask_] = item;
    tail_.store_release(tail + 1);  // R1
    return true;
  }

  // Copies the first items, as many as fit; returns how many.
  uint32_t push_burst(std::span<const T> items) noexcept {
    const uint64_t tail = tail_.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = clamp(items.size());
    const uint32_t count = std::min(wanted, free_at(tail, wanted));
    if (count == 0) return 0;
    const uint32_t first = std::min(count, until_end(tail));
    std::copy_n(items.data(), first, &slots_[tail & mask_]);
    std::copy_n(items.data() + first, count - first, &slots_[0]);
    tail_.store_release(tail + count);  // R1
    return count;
  }

  // Up to `n` free slots that lie side by side, to be filled in place; shorter at the end of the array or
  // when there is less room, empty when full. They hold whatever their last use left. Nothing is visible to
  // the consumer before commit(); to claim again before that returns the same slots.
  std::span<T> claim(uint32_t n) noexcept {
    const uint64_t tail = tail_.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = std::min(n, until_end(tail));
    return {&slots_[tail & mask_], std::min(wanted, free_at(tail, wanted))};
  }

  // Hands the first `n` claimed slots to the consumer. Contract: n is at most the size of the last claim.
  void commit(uint32_t n) noexcept {
    const uint64_t tail = tail_.load_relaxed();  // own counter: only we write it
    TL_CHECK(tail + n - head_seen_ <= capacity());
    tail_.store_release(tail + n);  // R1
  }

  // For the producer an exact lower bound: that many pushes will succeed, more if the consumer moves on.
  // Relaxed is enough: no slot is touched on the strength of it (a push looks for itself, at A2).
  uint32_t free_approx() const noexcept {
    return capacity() - static_cast<uint32_t>(tail_.load_relaxed() - head_.load_relaxed());
  }

  // ---- consumer ----

  // False when the ring is empty: `out` is untouched.
  bool try_pop(T& out) noexcept {
    const uint64_t head = head_.load_relaxed();  // own counter: only we write it
    if (used_at(head, 1) == 0) return false;
    out = slots_[head & mask_];
    head_.store_release(head + 1);  // R2
    return true;
  }

  // Copies out the oldest items, as many as there are and fit; returns how many.
  uint32_t pop_burst(std::span<T> out) noexcept {
    const uint64_t head = head_.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = clamp(out.size());
    const uint32_t count = std::min(wanted, used_at(head, wanted));
    if (count == 0) return 0;
    const uint32_t first = std::min(count, until_end(head));
    std::copy_n(&slots_[head & mask_], first, out.data());
    std::copy_n(&slots_[0], count - first, out.data() + first);
    head_.store_release(head + count);  // R2
    return count;
  }

  // Up to `n` of the oldest items, in place, side by side; shorter at the end of the array, empty when there
  // are none. They stay in the ring until release().
  std::span<T> peek(uint32_t n) noexcept {
    const uint64_t head = head_.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = std::min(n, until_end(head));
    return {&slots_[head & mask_], std::min(wanted, used_at(head, wanted))};
  }

  // Gives the `n` oldest slots back to the producer. Contract: n is at most the size of the last peek.
  void release(uint32_t n) noexcept {
    const uint64_t head = head_.load_relaxed();  // own counter: only we write it
    TL_CHECK(head + n <= tail_seen_);
    head_.store_release(head + n);  // R2
  }

  // ---- any thread ----

  // How many items are inside: for the consumer an exact lower bound, for others a figure between 0 and
  // capacity that was recently true. Head first, with acquire: the consumer had seen a tail of at least that
  // head before it wrote it (A1 before R2), so the difference cannot be negative.
  uint32_t size_approx() const noexcept {
    const uint64_t head = head_.load_acquire();  // pairs with R2, only to order the next load
    const uint64_t tail = tail_.load_relaxed();  // a count, no slot is read on the strength of it
    return static_cast<uint32_t>(std::min<uint64_t>(tail - head, capacity()));
  }
  uint32_t capacity() const noexcept { return mask_ + 1; }
  // Somebody will look into it soon.
  void prefetch() const noexcept {
    prefetch_line(this);
    prefetch_line(&tail_);
    prefetch_line(&head_);
  }

 private:
  using Word = typename Sync::template Atomic<uint64_t>;

  static uint32_t clamp(size_t n) noexcept { return static_cast<uint32_t>(std::min<size_t>(n, UINT32_MAX)); }
  uint32_t until_end(uint64_t at) const noexcept { return capacity() - static_cast<uint32_t>(at & mask_); }

  // Producer: free slots, looking at the consumer's counter only if the copy shows fewer than `wanted`.
  uint32_t free_at(uint64_t tail, uint32_t wanted) noexcept {
    uint32_t free = capacity() - static_cast<uint32_t>(tail - head_seen_);
    if (free < wanted) {
      head_seen_ = head_.load_acquire();  // A2
      free = capacity() - static_cast<uint32_t>(tail - head_seen_);
    }
    return free;
  }
  // Consumer: items present, looking at the producer's counter only if the copy shows fewer than `wanted`.
  uint32_t used_at(uint64_t head, uint32_t wanted) noexcept {
    uint32_t used = static_cast<uint32_t>(tail_seen_ - head);
    if (used < wanted) {
      tail_seen_ = tail_.load_acquire();  // A1
      used = static_cast<uint32_t>(tail_seen_ - head);
    }
    return used;
  }

  // Read by both, written by none after construction.
  struct FreeSlots {
    uint32_t made;  // by constructor: those of a plain T are not
    void operator()(T* slots) const noexcept {
      std::destroy_n(slots, made);
      ::operator delete (slots, std::align_val_t{kAlign});
    }
  };
  using Slots = std::unique_ptr<T[], FreeSlots>;
  static constexpr size_t kAlign = std::max(alignof(T), kCacheLine);
  // Memory from operator new holds objects of such a type as soon as they are assigned to (implicit-lifetime
  // types, C++20 [intro.object]).
  static constexpr bool kPlain = std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>;
  static Slots make_slots(uint32_t capacity) {
    auto* slots = static_cast<T*>(::operator new (capacity * sizeof(T), std::align_val_t{kAlign}));
    if constexpr (!kPlain) std::uninitialized_value_construct_n(slots, capacity);
    return Slots(slots, {kPlain ? 0 : capacity});
  }

  Slots slots_;
  const uint32_t mask_;
  // Written by the producer.
  alignas(kSharingDistance) Word tail_{0};
  uint64_t head_seen_ = 0;
  // Written by the consumer.
  alignas(kSharingDistance) Word head_{0};
  uint64_t tail_seen_ = 0;
};

static_assert(sizeof(SpscRing<uint64_t>) == 3 * kSharingDistance, "one line pair each: shared, tail, head");

}  // namespace trunkline::core
