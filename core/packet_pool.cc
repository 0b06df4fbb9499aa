// PacketPool's start: take the memory, cut it up, fill the stack. And its end: who has what.
#include "core/packet_pool.h"

#include "core/cacheline.h"

namespace trunkline::core {

PacketPool::PacketPool(uint32_t count, uint32_t buffer_bytes, PageSource& pages) {
  TL_CHECK(buffer_bytes > 0 && buffer_bytes <= (1u << 30));
  stride_ = static_cast<uint32_t>((buffer_bytes + kCacheLine - 1) / kCacheLine * kCacheLine);
  if (count == 0) return;
  memory_ = pages.take(size_t{stride_} * count);
  if (memory_.size() < size_t{stride_} * count) {
    memory_ = {};
    return;
  }
  TL_CHECK(reinterpret_cast<uintptr_t>(memory_.data()) % kCacheLine == 0);
  buffers_ = std::make_unique<Buffer[]>(count);
  free_ = std::make_unique<Buffer*[]>(count);
  count_ = count;
  // The lowest index ends on top, so that a fresh pool is used from its beginning.
  for (uint32_t i = count; i-- > 0;) {
    buffers_[i] = {memory_.data() + size_t{stride_} * i, this, stride_, 0, i, 0};
    free_[free_count_++] = &buffers_[i];
  }
}

PacketPool::Whereabouts PacketPool::whereabouts() const noexcept {
  Whereabouts found;
  for (uint32_t i = 0; i < count_; ++i) {
    const Buffer& buffer = buffers_[i];
    TL_CHECK(buffer.lent <= buffer.refs);
    ++(buffer.refs == 0 ? found.free : buffer.lent == 0 ? found.here : found.lent);
  }
  TL_CHECK(found.free == free_count_);
  return found;
}

}  // namespace trunkline::core
