// FramePort: a port with frames, as one that drives a device has, and no device. What arrives was prepared in
// frames; what is sent goes back to the stack of free ones. One descriptor per packet is all that it moves.
#pragma once

#include <algorithm>
#include <vector>

#include "bench/seal/hop.h"
#include "tests/support/memory_port.h"

namespace trunkline::bench {

class FramePort final : public tests::MemoryPort, private io::FrameSource {
 public:
  FramePort(uint32_t frames, core::PageSource& pages) : memory_(frames, pages), buffers_(frames) {
    for (uint32_t i = 0; i < frames; ++i) {
      buffers_[i].data = memory_.payload(i);
      buffers_[i].capacity = Frames::kRoom;
      buffers_[i].index = i;
      free_.push_back(&buffers_[i]);
    }
  }

  // One more packet that arrives, in a frame of its own, in the order of these calls; its bytes and length
  // are the caller's to write before the next receive_burst().
  core::Packet& arrive() {
    if (next_ == arrivals_.size()) next_ = 0, arrivals_.clear();
    if (free_.empty()) give_up("the port has no frame for what arrives");
    core::Packet& packet = arrivals_.emplace_back();
    packet.buffer = take();
    packet.data = packet.buffer->data;
    return packet;
  }

  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos) noexcept override {
    const auto count = static_cast<uint32_t>(std::min({out.size(), arrivals_.size() - next_, kBurst}));
    std::copy_n(&arrivals_[next_], count, out.begin());
    next_ += count;
    return count;
  }
  void give_back(std::span<core::Packet> packets) noexcept override {
    for (const core::Packet& packet : packets) {
      if (packet.buffer != nullptr) free_.push_back(packet.buffer);
    }
  }
  // `swallow`: nothing is copied.
  uint32_t transmit_burst(std::span<core::Packet> packets, core::Nanos) noexcept override {
    for (const core::Packet& packet : packets) {
      if (!swallow) keep(packet);
      if (io::is_frame(packet)) {
        free_.push_back(packet.buffer);
      } else {
        packet.buffer->pool->release(packet.buffer);
      }
    }
    return static_cast<uint32_t>(packets.size());
  }
  io::FrameSource* frames() noexcept override { return this; }

 private:
  static constexpr size_t kBurst = kHopBurst;

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
  core::Buffer* take() noexcept {
    core::Buffer* const buffer = free_.back();
    free_.pop_back();
    return buffer;
  }

  Frames memory_;
  std::vector<core::Buffer> buffers_;
  std::vector<core::Buffer*> free_;
  std::vector<core::Packet> arrivals_;
  size_t next_ = 0;
};

}  // namespace trunkline::bench
