// PacketPool: a fixed number of buffers of one size, for one data core.
//
// The idea: a stack of free buffers. The one released last is the next one given out, because its bytes are
// still in the cache. Reference counts are plain integers: a buffer is allocated, retained and released on
// the core that owns the pool; other cores give buffers back to it by ring (packet_return.h).
//
// Threads: one owner; count(), exhausted() from anywhere. Cost: a few instructions per call, no loop but over
// the burst, which keeps the stack's height in a register: a store through a Buffer* might change a member,
// as far as a compiler knows, and would make each buffer wait for the one before. Memory: count x
// buffer_bytes (rounded up to 64) from the page source, 40 bytes of header and stack per buffer; all in the
// constructor.
//
// Invariants
//   I1  free_count() + in_use() == count()
//   I2  a buffer is in the stack exactly when refs == 0
//   I3  lent <= refs, of every buffer
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "core/cacheline.h"
#include "core/check.h"
#include "core/counters.h"
#include "core/packet.h"
#include "core/page_source.h"

namespace trunkline::core {

class PacketPool {
 public:
  // When the source has not that much memory the pool is empty: count() == 0 and the first allocation fails.
  // Look at count() after making one. The source must outlive the pool.
  PacketPool(uint32_t count, uint32_t buffer_bytes, PageSource& pages);
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  // A buffer with one reference, its bytes as the last user left them; nullptr, counted, when there is none.
  Buffer* try_alloc() noexcept {
    if (free_count_ == 0) {
      exhausted_.add();
      return nullptr;
    }
    Buffer* buffer = free_[--free_count_];
    buffer->refs = 1;
    return buffer;
  }

  // Fills the front of `out`, as much as there is; returns how many. What is missing is counted. The buffer
  // released last comes last.
  uint32_t alloc_burst(std::span<Buffer*> out) noexcept {
    const auto wanted = static_cast<uint32_t>(std::min<size_t>(out.size(), UINT32_MAX));
    const uint32_t got = std::min(wanted, free_count_);
    free_count_ -= got;
    Buffer* const* from = &free_[free_count_];
    for (uint32_t i = 0; i < got; ++i) {
      out[i] = from[i];
      out[i]->refs = 1;
    }
    if (got < wanted) exhausted_.add(wanted - got);
    return got;
  }

  // One more packet needs the bytes.
  void retain(Buffer* buffer) noexcept {
    TL_DCHECK(buffer->pool == this && buffer->refs > 0);
    ++buffer->refs;
  }

  // One packet less needs the bytes; at zero the buffer is free. To release more often than retained is a
  // defect that would give the same bytes to two packets: it ends the process.
  void release(Buffer* buffer) noexcept {
    TL_DCHECK(buffer->pool == this);
    TL_CHECK(buffer->refs > 0);
    TL_DCHECK(buffer->refs > buffer->lent);
    if (--buffer->refs == 0) free_[free_count_++] = buffer;
  }

  // The same for each of them. Written onto the stack whether it becomes free or not, and left there if it
  // does: nothing for the processor to guess. There is room for that: a buffer in use leaves its place empty.
  void release_burst(std::span<Buffer* const> buffers) noexcept {
    Buffer** const stack = free_.get();
    uint32_t top = free_count_;
    for (Buffer* buffer : buffers) {
      TL_DCHECK(buffer->pool == this && buffer->refs > buffer->lent);
      TL_CHECK(buffer->refs > 0);
      stack[top] = buffer;
      top += --buffer->refs == 0 ? 1 : 0;
    }
    free_count_ = top;
  }

  // An allocation comes soon, after `before` others.
  void prefetch(uint32_t before = 0) const noexcept {
    if (free_count_ <= before) return;
    const Buffer* next = free_[free_count_ - before - 1];
    prefetch_line(next);
    prefetch_line(next->data);
    prefetch_line(next->data + kCacheLine);
  }

  // The buffer at position `index` (Buffer::index). Contract: index < count().
  Buffer* at(uint32_t index) noexcept {
    TL_DCHECK(index < count_);
    return &buffers_[index];
  }
  // All the bytes, buffer i at i x stride(): for a port that registers them with the kernel or a device.
  std::span<uint8_t> memory() const noexcept { return memory_; }
  uint32_t stride() const noexcept { return stride_; }

  uint32_t count() const noexcept { return count_; }
  uint32_t free_count() const noexcept { return free_count_; }
  uint32_t in_use() const noexcept { return count_ - free_count_; }   // 0 at the end, or something leaks
  uint64_t exhausted() const noexcept { return exhausted_.value(); }  // buffers asked for in vain

  // Where the buffers are. For the end of a core and for tests: looks at every header, and ends the process
  // when they do not agree with the stack (I1, I2, I3).
  struct Whereabouts {
    uint32_t free = 0;
    uint32_t here = 0;  // with references of this core alone
    uint32_t lent = 0;  // with one or more that other cores hold; which: PacketReturn::loans()
    bool operator==(const Whereabouts&) const = default;
  };
  Whereabouts whereabouts() const noexcept;

 private:
  std::unique_ptr<Buffer*[]> free_;  // the stack; the top is free_[free_count_ - 1]
  uint32_t free_count_ = 0;
  uint32_t count_ = 0;
  uint32_t stride_ = 0;
  std::unique_ptr<Buffer[]> buffers_;
  std::span<uint8_t> memory_;
  Counter exhausted_;
};

}  // namespace trunkline::core
