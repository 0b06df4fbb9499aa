// LineRing: a ring in which a hand-over costs one cache line. One producer, one consumer; each slot is a line
// that holds an item of up to 56 bytes and a sequence number, so the line that says that there is an item is
// the line that has it. SpscRing needs two (its counter, then the slot) and packs small items densely: it is
// the better one where bursts are long, this one where one item at a time must be over there soon.
//
// The idea: positions count from 0 for ever. A slot carries the position of its item plus 1; the consumer
// waits for exactly that number in the slot that comes next, and looks at nothing else that the producer
// writes. The producer learns of free slots from the consumer's counter, of which it keeps a copy and looks
// again only when that copy says "full". A burst is published line by line, so that its first items are on
// their way while the last are written. A Packet (64 bytes) does not fit beside a number: it goes by
// SpscRing.
//
// Threads: every function names its side; a side is one thread at a time. Wait-free: each call is O(items)
// and has no other loop. Memory: one block, laid out as ring_block.h says; within a slot the sequence is at
// offset 0 and the item behind it, at 8 or at its alignment. Made by the constructor, or over memory of the
// caller's. All lines are written when it is made.
//
// Invariants
//   I1  0 <= p - head <= capacity, where p is the position that the producer writes next
//   I2  slots of positions in [head, p) belong to the consumer, all others to the producer
//   I3  a slot's sequence is q + 1 only if the item of position q is whole in it
//   I4  head_seen <= head, and tail_seen <= p        (a stale copy only makes a side more careful)
// Edges
//   R1 -> A1  the producer's writes of an item happen before the consumer reads it
//   R2 -> A2  the consumer's reads of a slot happen before the producer writes it again
//   R3 -> A3  the sequences of all items that are counted are there for whoever read the count: the consumer
//             finds as many as it was told
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/result.h"
#include "core/ring_block.h"

namespace trunkline::core {

// An item, and the number that says that it is there.
template <class T, class Sync>
struct alignas(kCacheLine) LineSlot {
  static constexpr bool kChecked = !std::is_same_v<Sync, StdSync>;  // items of a checker are larger
  static_assert(kChecked || std::is_trivially_copyable_v<T>);
  static_assert(std::is_nothrow_copy_assignable_v<T> && std::is_nothrow_default_constructible_v<T>);

  typename Sync::template Atomic<uint64_t> sequence{0};
  T item{};
};
static_assert(sizeof(LineSlot<std::array<uint64_t, 7>, StdSync>) == kCacheLine);

template <class T, class Sync = StdSync>
class LineRing : public RingHandle<LineSlot<T, Sync>, Sync, RingKind::kLines> {
  using Slot = LineSlot<T, Sync>;
  static_assert(Slot::kChecked || sizeof(Slot) == kCacheLine, "an item of at most 56 bytes");
  using Handle = RingHandle<Slot, Sync, RingKind::kLines>;
  using Handle::block_, Handle::mask_, Handle::slots, Handle::clamp, Handle::until_end, Handle::free_at;
  using typename Handle::Blocks;

 public:
  // Items that lie one to a line.
  class Lines {
   public:
    uint32_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    T& operator[](uint32_t i) const noexcept { return first_[i].item; }

   private:
    friend class LineRing;
    Lines(Slot* first, uint32_t size) noexcept : first_(first), size_(size) {}
    Slot* first_;
    uint32_t size_;
  };

  // A ring in memory of its own. Contract: `capacity` is a power of two. All of it is usable.
  explicit LineRing(uint32_t capacity) : LineRing(Blocks::make(capacity)) {}
  // An empty ring in the caller's memory: at least bytes_for(capacity) bytes, aligned to kSharingDistance,
  // which outlive it.
  static Result<LineRing> format(std::span<std::byte> memory, uint32_t capacity) {
    return over(Blocks::format(memory, capacity));
  }
  // The ring that somebody formatted in this memory, here or in another process, with all that is in it. An
  // error when there is none, or one of another kind.
  static Result<LineRing> attach(std::span<std::byte> memory) { return over(Blocks::open(memory)); }
  LineRing(LineRing&&) noexcept = default;  // before threads meet in it
  LineRing& operator=(LineRing&&) = delete;

  // ---- producer ----

  // False when the ring is full: nothing happened, the item is still the caller's.
  bool try_push(const T& item) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    if (free_at(tail, 1) == 0) return false;
    slot(tail).item = item;
    publish(tail);
    count(tail + 1);
    return true;
  }

  // Copies the first items, as many as fit; returns how many.
  uint32_t push_burst(std::span<const T> items) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = clamp(items.size());
    const uint32_t fit = std::min(wanted, free_at(tail, wanted));
    for (uint32_t i = 0; i < fit; ++i) {
      slot(tail + i).item = items[i];
      publish(tail + i);
    }
    count(tail + fit);
    return fit;
  }

  // Up to `n` free slots, to be filled in place; fewer at the end of the array or when there is less room,
  // none when full. They hold whatever their last use left. Nothing is visible to the consumer before
  // commit(); to claim again before that returns the same slots.
  Lines claim(uint32_t n) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    const uint32_t wanted = std::min(n, until_end(tail));
    return {&slot(tail), std::min(wanted, free_at(tail, wanted))};
  }

  // Hands the first `n` claimed slots to the consumer. Contract: n is at most the size of the last claim.
  void commit(uint32_t n) noexcept {
    const uint64_t tail = block_->tail.load_relaxed();  // own counter: only we write it
    TL_CHECK(tail + n - block_->head_seen <= Handle::capacity());
    for (uint32_t i = 0; i < n; ++i) publish(tail + i);
    count(tail + n);
  }

  // ---- consumer ----

  // False when the ring is empty: `out` is untouched.
  bool try_pop(T& out) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    if (used_at(head, 1) == 0) return false;
    out = slot(head).item;
    block_->head.store_release(head + 1);  // R2
    return true;
  }

  // Copies out the oldest items, as many as there are and fit; returns how many.
  uint32_t pop_burst(std::span<T> out) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    const uint32_t count = used_at(head, clamp(out.size()));
    if (count == 0) return 0;
    for (uint32_t i = 0; i < count; ++i) out[i] = slot(head + i).item;
    block_->head.store_release(head + count);  // R2
    return count;
  }

  // Up to `n` of the oldest items, in place; fewer at the end of the array, none when there are none. They
  // stay in the ring until release().
  Lines peek(uint32_t n) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    return {&slot(head), used_at(head, std::min(n, until_end(head)))};
  }

  // Gives the `n` oldest slots back to the producer. Contract: n is at most the size of the last peek.
  void release(uint32_t n) noexcept {
    const uint64_t head = block_->head.load_relaxed();  // own counter: only we write it
    TL_CHECK(head + n <= block_->tail_seen);
    block_->head.store_release(head + n);  // R2
  }

  // ---- any thread ----

  // How many items are inside: for the consumer an exact lower bound, for others a figure between 0 and
  // capacity that was recently true. The consumer may have taken what the producer has not counted yet.
  uint32_t size_approx() const noexcept {
    const uint64_t head = block_->head.load_relaxed();  // a count, no slot is touched on the strength of it
    const uint64_t tail = block_->tail.load_acquire();  // A3
    return tail < head ? 0 : static_cast<uint32_t>(std::min<uint64_t>(tail - head, Handle::capacity()));
  }

 private:
  explicit LineRing(typename Blocks::Pointer block) noexcept : Handle(std::move(block)) {}
  static Result<LineRing> over(Result<typename Blocks::Pointer> block) {
    static_assert(std::is_trivially_copyable_v<T>, "other processes know nothing of constructors");
    if (!block) return block.error();
    return LineRing(std::move(block).value());
  }

  Slot& slot(uint64_t position) const noexcept { return slots()[position & mask_]; }

  // Producer: the item of that position is whole.
  void publish(uint64_t position) noexcept { slot(position).sequence.store_release(position + 1); }  // R1
  // Producer: all items before that position are published. Only size_approx() looks.
  void count(uint64_t tail) noexcept { block_->tail.store_release(tail); }  // R3

  // Consumer: how many of the `wanted` oldest items are there. None beyond capacity: that slot's sequence is
  // one of this lap.
  uint32_t used_at(uint64_t head, uint32_t wanted) noexcept {
    auto used = static_cast<uint32_t>(block_->tail_seen - head);
    while (used < wanted && slot(head + used).sequence.load_acquire() == head + used + 1) ++used;  // A1
    block_->tail_seen = head + used;
    return std::min(used, wanted);
  }
};

static_assert(sizeof(LineRing<uint64_t>) == kCacheLine, "both sides read it, whatever lies beside it");

}  // namespace trunkline::core
