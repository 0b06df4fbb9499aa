// SpscRing: how two threads of Trunkline talk. One producer, one consumer, a fixed number of slots.
//
// The idea: two free-running counters, each written by one side only. Each side keeps a copy of the other's
// counter as it last saw it and looks again only when that copy says "full" or "empty", so that in steady
// state a burst costs one shared cache line each way, and one release store, however many items it carries.
// Items may be copied in and out, or produced and consumed in place (claim/commit, peek/release).
//
// Threads: every function names its side; a side is one thread at a time. Wait-free: each call is O(items
// copied) and has no other loop. Memory: one block, laid out as ring_block.h says, without a pointer in it:
// the constructor allocates it; or the caller hands in memory that several processes may have mapped, each
// with a ring of its own over it.
//
// Invariants
//   I1  0 <= tail - head <= capacity                 (free-running 64-bit counters: they never wrap)
//   I2  slots in [head, tail) belong to the consumer, all others to the producer
//   I3  head_seen <= head and tail_seen <= tail      (a stale copy only makes a side more careful)
// Edges
//   R1 -> A1  the producer's slot writes happen before the consumer reads them
//   R2 -> A2  the consumer's slot reads happen before the producer reuses the slots
//
// Slots are plain T, and those of a plain type are not written before they are used: a ring costs the memory
// that its busiest moment needed, and making one costs nothing. A checker that wants to see their accesses
// instantiates the ring with an instrumented T beside its instrumented Sync.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/result.h"
#include "core/ring_block.h"

namespace trunkline::core {

template <class T, class Sync = StdSync>
class SpscRing : public RingHandle<T, Sync, RingKind::kItems> {
  static_assert(std::is_nothrow_copy_assignable_v<T> && std::is_nothrow_default_constructible_v<T>);
  using Handle = RingHandle<T, Sync, RingKind::kItems>;
  using Handle::block_, Handle::mask_, Handle::slots, Handle::clamp, Handle::until_end, Handle::free_at;
  using typename Handle::Blocks;

 public:
  // A ring in memory of its own. Contract: `capacity` is a power of two. All of it is usable.
  explicit SpscRing(uint32_t capacity) : SpscRing(Blocks::make(capacity)) {}
  // An empty ring in the caller's memory: at least bytes_for(capacity) bytes, aligned to kSharingDistance,
  // which outlive it.
  static Result<SpscRing> format(std::span<std::byte> memory, uint32_t capacity) {
    return over(Blocks::format(memory, capacity));
  }
  // The ring that somebody formatted in this memory, here or in another process, with all that is in it. An
  // error when there is none, or one of another kind.
  static Result<SpscRing> attach(std::span<std::byte> memory) { return over(Blocks::open(memory)); }
  SpscRing(SpscRing&&) noexcept = default;  // before threads meet in it
  SpscRing& operator=(SpscRing&&) = delete;

  // ---- producer ----

  // False when the ring is full: nothing happened, the item is still the caller's.
  bool try_push(const T& item) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    const uint32_t free = free_at(tail, 1);
    if (free == 0) return false;
    prefetch_ahead(tail, 1, free);
    slots()[tail & mask_] = item;
    block_->tail.store_release(tail + 1);  // R1
    return true;
  }

  // Copies the first items, as many as fit; returns how many.
  uint32_t push_burst(std::span<const T> items) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = clamp(items.size());
    const uint32_t free = free_at(tail, wanted);
    const uint32_t count = std::min(wanted, free);
    if (count == 0) return 0;
    prefetch_ahead(tail, count, free);
    const uint32_t first = std::min(count, until_end(tail));
    copy(items.data(), first, &slots()[tail & mask_]);
    copy(items.data() + first, count - first, &slots()[0]);
    block_->tail.store_release(tail + count);  // R1
    return count;
  }

  // Up to `n` free slots that lie side by side, to be filled in place; shorter at the end of the array or
  // when there is less room, empty when full. They hold whatever their last use left. Nothing is visible to
  // the consumer before commit(); to claim again before that returns the same slots.
  std::span<T> claim(uint32_t n) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = std::min(n, until_end(tail));
    return {&slots()[tail & mask_], std::min(wanted, free_at(tail, wanted))};
  }

  // Hands the first `n` claimed slots to the consumer. Contract: n is at most the size of the last claim.
  void commit(uint32_t n) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    TL_CHECK(tail + n - block_->head_seen <= Handle::capacity());
    block_->tail.store_release(tail + n);  // R1
  }

  // ---- consumer ----

  // False when the ring is empty: `out` is untouched.
  bool try_pop(T& out) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    if (used_at(head, 1) == 0) return false;
    out = slots()[head & mask_];
    block_->head.store_release(head + 1);  // R2
    return true;
  }

  // Copies out the oldest items, as many as there are and fit; returns how many.
  uint32_t pop_burst(std::span<T> out) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = clamp(out.size());
    const uint32_t count = std::min(wanted, used_at(head, wanted));
    if (count == 0) return 0;
    const uint32_t first = std::min(count, until_end(head));
    copy(&slots()[head & mask_], first, out.data());
    copy(&slots()[0], count - first, out.data() + first);
    block_->head.store_release(head + count);  // R2
    return count;
  }

  // Up to `n` of the oldest items, in place, side by side; shorter at the end of the array, empty when there
  // are none. They stay in the ring until release().
  std::span<T> peek(uint32_t n) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = std::min(n, until_end(head));
    return {&slots()[head & mask_], std::min(wanted, used_at(head, wanted))};
  }

  // Gives the `n` oldest slots back to the producer. Contract: n is at most the size of the last peek.
  void release(uint32_t n) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    TL_CHECK(head + n <= block_->tail_seen);
    block_->head.store_release(head + n);  // R2
  }

  // ---- any thread ----

  // How many items are inside: for the consumer an exact lower bound, for others a figure between 0 and
  // capacity that was recently true. Head first, with acquire: the consumer had seen a tail of at least that
  // head before it wrote it (A1 before R2), so the difference cannot be negative.
  uint32_t size_approx() const noexcept {
    const uint64_t head = block_->head.load_acquire();  // pairs with R2, only to order the next load
    const uint64_t tail = block_->tail.load_relaxed();  // a count, no slot is read on the strength of it
    return static_cast<uint32_t>(std::min<uint64_t>(tail - head, Handle::capacity()));
  }
  // Somebody will look into it soon.
  void prefetch() const noexcept {
    prefetch_line(&block_->tail);
    prefetch_line(&block_->head);
  }

 private:
  explicit SpscRing(typename Blocks::Pointer block) noexcept : Handle(std::move(block)) {}
  static Result<SpscRing> over(Result<typename Blocks::Pointer> block) {
    static_assert(std::is_trivially_copyable_v<T>, "other processes know nothing of constructors");
    if (!block) return block.error();
    return SpscRing(std::move(block).value());
  }

  // Consumer: items present, looking at the producer's counter only if the copy shows fewer than `wanted`.
  uint32_t used_at(uint64_t head, uint32_t wanted) noexcept {
    uint32_t used = static_cast<uint32_t>(block_->tail_seen - head);
    if (used < wanted) {
      block_->tail_seen = block_->tail.load_acquire();  // A1
      used = static_cast<uint32_t>(block_->tail_seen - head);
    }
    return used;
  }

  // Small plain items go a line at a time, without a call: a burst is a few lines, and memmove's way to find
  // out how to copy them costs as much as the copy.
  static constexpr uint32_t kPerLine = sizeof(T) < kCacheLine ? kCacheLine / sizeof(T) : 1;
  static constexpr bool kSmall = Blocks::kPlain && kPerLine > 1 && sizeof(T) * kPerLine == kCacheLine;
  static void copy(const T* from, uint32_t count, T* to) noexcept {
    if constexpr (kSmall) {
      for (; count >= kPerLine; count -= kPerLine, from += kPerLine, to += kPerLine) {
        std::memcpy(to, from, kCacheLine);
      }
      for (; count > 0; --count) *to++ = *from++;
    } else {
      std::copy_n(from, count, to);
    }
  }

  // Producer: slots that will be written soon were last read by the consumer, whose copies of their lines
  // must go before they can be. That is asked for early, a line for each that is begun now, as long as these
  // slots are known to be free: a line that the consumer is still to read would be taken from it for nothing.
  static constexpr uint32_t kLinesAhead = 8;
  void prefetch_ahead(uint64_t tail, uint32_t count, uint32_t free) const noexcept {
    if constexpr (kSmall) {
      constexpr uint32_t kAhead = kLinesAhead * kPerLine;
      if (free < count + kAhead) return;
      const uint64_t begin = (tail + kPerLine - 1) / kPerLine * kPerLine;
      for (uint64_t at = begin; at < tail + count; at += kPerLine) {
        prefetch_line_to_write(&slots()[(at + kAhead) & mask_]);
      }
    }
  }
};

static_assert(sizeof(SpscRing<uint64_t>) == kCacheLine, "both sides read it, whatever lies beside it");

}  // namespace trunkline::core
