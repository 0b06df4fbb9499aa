// RingBlock: the memory of a ring, as two processes see it. A ring is one block: a header that says what the
// block is, the line of each side, and the slots behind them. The block holds positions and no address, so it
// works wherever it is mapped; this layout is what will lie in shared memory, and changes only with kVersion.
//
//   offset  bytes  what                                                    written by
//        0      8  magic "TLRING\r\n"                                      who formats
//        8      4  version of this layout, 1                               who formats
//       12      4  kind: 1 items side by side, 2 a line per item           who formats
//       16      4  bytes per slot                                          who formats
//       20      4  capacity in slots, a power of two                       who formats
//       24      8  offset of the first slot, 384                           who formats
//      128      8  tail: how many items were ever put in                   producer
//      136      8  the head that the producer saw last; nobody else looks  producer
//      256      8  head: how many items were ever taken out                consumer
//      264      8  the tail that the consumer saw last; nobody else looks  consumer
//      384         the slots                                               producer
//
// All numbers are of the machine's byte order: the block never leaves the machine. What lies between them is
// zero. What a side remembers lies in its own line, which it has at hand anyway; so a process that takes the
// place of a side goes on where the other stopped, if that was between two calls.
//
// Threads: format and open are control path, before two threads meet. Whoever may write the block is trusted
// with it: open refuses what is no ring, or not this one, and does not guard against a peer that lies later.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <type_traits>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/result.h"

namespace trunkline::core {

enum class RingKind : uint32_t { kItems = 1, kLines = 2 };

struct RingHeader {
  static constexpr uint64_t kMagic = 0x0a0d'474e'4952'4c54;  // "TLRING\r\n", least significant byte first
  static constexpr uint32_t kVersion = 1;

  uint64_t magic = 0;
  uint32_t version = 0;
  RingKind kind{};
  uint32_t slot_bytes = 0;
  uint32_t capacity = 0;
  uint64_t slots_at = 0;
};
static_assert(std::is_trivially_copyable_v<RingHeader> && sizeof(RingHeader) == 32);
static_assert(offsetof(RingHeader, version) == 8 && offsetof(RingHeader, kind) == 12 &&
              offsetof(RingHeader, slot_bytes) == 16 && offsetof(RingHeader, capacity) == 20 &&
              offsetof(RingHeader, slots_at) == 24);

template <class Sync>
struct RingBlock {
  using Word = typename Sync::template Atomic<uint64_t>;

  RingHeader header;
  alignas(kSharingDistance) Word tail{0};
  uint64_t head_seen = 0;
  alignas(kSharingDistance) Word head{0};
  uint64_t tail_seen = 0;
};
static_assert(std::is_standard_layout_v<RingBlock<StdSync>> && sizeof(RingBlock<StdSync>) == 384 &&
              std::is_trivially_destructible_v<RingBlock<StdSync>>);
static_assert(offsetof(RingBlock<StdSync>, tail) == 128 && offsetof(RingBlock<StdSync>, head_seen) == 136 &&
              offsetof(RingBlock<StdSync>, head) == 256 && offsetof(RingBlock<StdSync>, tail_seen) == 264);
static_assert(sizeof(RingBlock<StdSync>::Word) == 8, "a plain word: no lock beside it");

// A block with slots of type Slot: made in memory of its own, or in memory that somebody else mapped. What
// the rings hold of it is a pointer that knows whether to free it.
template <class Slot, class Sync, RingKind kKind>
class RingBlocks {
 public:
  using Block = RingBlock<Sync>;
  // Memory from operator new, or mapped, holds objects of such a type as soon as they are assigned to
  // (implicit-lifetime types, C++20 [intro.object]). Slots with a sequence are always made: it begins at 0.
  static constexpr bool kPlain = kKind != RingKind::kLines && std::is_trivially_copyable_v<Slot> &&
                                 std::is_trivially_destructible_v<Slot>;
  static_assert(alignof(Slot) <= kSharingDistance);

  struct Free {
    uint32_t made = 0;  // slots that a constructor made: those of a plain type are not
    bool ours = false;
    void operator()(Block* block) const noexcept {
      if (!ours) return;
      std::destroy_n(slots(block), made);
      ::operator delete(block, kAlign);
    }
  };
  using Pointer = std::unique_ptr<Block, Free>;

  static Slot* slots(Block* block) noexcept { return reinterpret_cast<Slot*>(block + 1); }
  static constexpr size_t bytes_for(uint32_t capacity) noexcept {
    return sizeof(Block) + size_t{capacity} * sizeof(Slot);
  }

  // A block of our own. Slots of a plain type are not written.
  static Pointer make(uint32_t capacity) {
    TL_CHECK(std::has_single_bit(capacity));
    void* memory = ::operator new(bytes_for(capacity), kAlign);
    Block* block = begin(memory, capacity);
    if constexpr (!kPlain) std::uninitialized_value_construct_n(slots(block), capacity);
    return Pointer(block, {kPlain ? 0 : capacity, true});
  }

  // An empty ring in memory of the caller's, which keeps it.
  static Result<Pointer> format(std::span<std::byte> memory, uint32_t capacity) {
    if (!std::has_single_bit(capacity)) return wrong("capacity", capacity, "a power of two");
    if (auto room = has_room(memory, bytes_for(capacity)); !room) return room.error();
    Block* block = begin(memory.data(), capacity);
    if constexpr (!kPlain) std::uninitialized_value_construct_n(slots(block), capacity);
    return Pointer(block, {});
  }

  // The ring that somebody formatted in this memory, under whatever address.
  static Result<Pointer> open(std::span<std::byte> memory) {
    if (auto room = has_room(memory, sizeof(Block)); !room) return room.error();
    auto* block = std::launder(reinterpret_cast<Block*>(memory.data()));
    const RingHeader& header = block->header;
    if (header.magic != RingHeader::kMagic) return wrong("magic", header.magic, "that of a ring");
    if (header.version != RingHeader::kVersion) return wrong("version", header.version, "1");
    if (header.kind != kKind) {
      return wrong("kind", static_cast<uint32_t>(header.kind), std::to_string(static_cast<uint32_t>(kKind)));
    }
    if (header.slot_bytes != sizeof(Slot)) {
      return wrong("bytes per slot", header.slot_bytes, std::to_string(sizeof(Slot)));
    }
    if (header.slots_at != sizeof(Block)) {
      return wrong("offset of the slots", header.slots_at, std::to_string(sizeof(Block)));
    }
    if (!std::has_single_bit(header.capacity)) return wrong("capacity", header.capacity, "a power of two");
    if (auto room = has_room(memory, bytes_for(header.capacity)); !room) return room.error();
    const uint64_t inside = block->tail.load_relaxed() - block->head.load_relaxed();
    if (inside > header.capacity) return wrong("number of items", inside, "at most the capacity");
    return Pointer(block, {});
  }

 private:
  static constexpr std::align_val_t kAlign{kSharingDistance};

  static Block* begin(void* memory, uint32_t capacity) noexcept {
    auto* block = ::new (memory) Block();
    block->header = {RingHeader::kMagic, RingHeader::kVersion, kKind, sizeof(Slot), capacity, sizeof(Block)};
    return block;
  }
  static Error wrong(const char* what, uint64_t found, const std::string& expected) {
    return {0,
            std::string("ring block: ") + what + " is " + std::to_string(found) + ", expected " + expected};
  }
  static Result<void> has_room(std::span<std::byte> memory, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(memory.data());
    if (address % kSharingDistance != 0) return wrong("address", address, "a multiple of 128");
    if (memory.size() < bytes) return wrong("size", memory.size(), "at least " + std::to_string(bytes));
    return {};
  }
};

// What a ring of either kind is made of: where this process has the block, and the producer's side of free
// slots. Edge A2 is that of the ring: the consumer's reads of a slot happen before the producer writes it
// again.
template <class Slot, class Sync, RingKind kKind>
class alignas(kCacheLine) RingHandle {
 public:
  // How much memory a ring takes that is made in the caller's.
  static constexpr size_t bytes_for(uint32_t capacity) noexcept { return Blocks::bytes_for(capacity); }
  uint32_t capacity() const noexcept { return mask_ + 1; }

  // For the producer an exact lower bound: that many pushes will succeed, more if the consumer moves on.
  // Relaxed is enough: no slot is touched on the strength of it (a push looks for itself, at A2).
  uint32_t free_approx() const noexcept {
    return capacity() - static_cast<uint32_t>(block_->tail.load_relaxed() - block_->head.load_relaxed());
  }

 protected:
  using Blocks = RingBlocks<Slot, Sync, kKind>;

  explicit RingHandle(typename Blocks::Pointer block) noexcept
      : block_(std::move(block)), mask_(block_->header.capacity - 1) {}

  static uint32_t clamp(size_t n) noexcept { return static_cast<uint32_t>(std::min<size_t>(n, UINT32_MAX)); }
  Slot* slots() const noexcept { return Blocks::slots(block_.get()); }
  uint32_t until_end(uint64_t at) const noexcept { return capacity() - static_cast<uint32_t>(at & mask_); }

  // Producer: free slots, looking at the consumer's counter only if the copy shows fewer than `wanted`.
  uint32_t free_at(uint64_t tail, uint32_t wanted) noexcept {
    uint32_t free = capacity() - static_cast<uint32_t>(tail - block_->head_seen);
    if (free < wanted) {
      block_->head_seen = block_->head.load_acquire();  // A2
      free = capacity() - static_cast<uint32_t>(tail - block_->head_seen);
    }
    return free;
  }

  // Read by both, written by none after construction.
  typename Blocks::Pointer block_;
  uint32_t mask_;
};

}  // namespace trunkline::core
