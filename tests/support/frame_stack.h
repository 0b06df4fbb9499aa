// Frames without a device: buffers for one datagram each, handed out last in, first out, as a device's pool
// does from its cache. What ports with frames share in tests and benches; where the bytes lie is theirs to
// say.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/packet.h"
#include "core/packet_pool.h"
#include "io/port.h"

namespace trunkline::tests {

class FrameStack final : public io::FrameSource {
 public:
  // `count` frames; `at(i)` is where a datagram begins in the i-th, with `capacity` bytes behind it.
  template <class At>
  FrameStack(uint32_t count, uint32_t capacity, At&& at) : buffers_(count) {
    for (uint32_t i = 0; i < count; ++i) {
      buffers_[i].data = at(i);
      buffers_[i].capacity = capacity;
      buffers_[i].index = i;
      free_.push_back(&buffers_[i]);
    }
  }

  size_t free() const noexcept { return free_.size(); }
  // Contract: free() > 0.
  core::Buffer* take() noexcept {
    core::Buffer* const buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void give(core::Buffer* buffer) noexcept { free_.push_back(buffer); }
  // What was received and not kept, to be sent.
  void give_back(std::span<core::Packet> packets) noexcept {
    for (const core::Packet& packet : packets) {
      if (packet.buffer != nullptr) give(packet.buffer);
    }
  }
  // What was sent, out of a frame or of a pool.
  void sent(const core::Packet& packet) noexcept {
    io::is_frame(packet) ? give(packet.buffer) : packet.buffer->pool->release(packet.buffer);
  }

  uint32_t alloc_frames(std::span<core::Buffer*> out) noexcept override {
    const auto count = static_cast<uint32_t>(std::min(out.size(), free_.size()));
    for (core::Buffer*& buffer : out.first(count)) buffer = take();
    return count;
  }
  void free_frames(std::span<core::Buffer* const> frames) noexcept override {
    free_.insert(free_.end(), frames.begin(), frames.end());
  }
  uint32_t free_frames_at_least() const noexcept override { return static_cast<uint32_t>(free_.size()); }
  uint32_t frame_count() const noexcept override { return static_cast<uint32_t>(buffers_.size()); }

 private:
  std::vector<core::Buffer> buffers_;
  std::vector<core::Buffer*> free_;
};

}  // namespace trunkline::tests
