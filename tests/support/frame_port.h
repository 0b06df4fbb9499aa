// FramePort: a MemoryPort with frames, as a port that drives a device has: what it receives lies in them, and
// what lanes send is filled into them or left in the one it came in.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/memory_port.h"

namespace trunkline::tests {

class FramePort : public MemoryPort, private io::FrameSource {
 public:
  static constexpr uint32_t kHeaders = 64;  // room in front of a datagram

  explicit FramePort(uint32_t frames = 256) : memory_(size_t{frames} * kFrameBytes), buffers_(frames) {
    for (uint32_t i = 0; i < frames; ++i) {
      buffers_[i].data = &memory_[size_t{i} * kFrameBytes + kHeaders];
      buffers_[i].capacity = kFrameBytes - kHeaders;
      buffers_[i].index = i;
      free_.push_back(&buffers_[i]);
    }
  }

  // After the path that used it.
  ~FramePort() override {
    give_all();
    EXPECT_EQ(frames_in_use(), 0u) << "frames that nobody gave back";
  }

  uint32_t frames_in_use() const { return static_cast<uint32_t>(buffers_.size() - free_.size()); }
  // Takes all but so many away, as a device that holds them does; give_all() brings them back.
  void leave(size_t count) {
    while (free_.size() > count) {
      hidden_.push_back(free_.back());
      free_.pop_back();
    }
  }
  void give_all() {
    free_.insert(free_.end(), hidden_.begin(), hidden_.end());
    hidden_.clear();
  }

  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos now) noexcept override {
    const uint32_t count = MemoryPort::receive_burst(out, now);
    for (core::Packet& packet : out.first(count)) {
      // A device receives no runs, and nothing longer than a frame: of a run, its first datagram.
      if (packet.segment_size != 0) packet.length = std::min<uint32_t>(packet.length, packet.segment_size);
      packet.segment_size = 0;
      packet.length = std::min(packet.length, kFrameBytes - kHeaders);
      packet.buffer = take();
      if (packet.length > 0) std::memcpy(packet.buffer->data, packet.data, packet.length);
      packet.data = packet.buffer->data;
    }
    return count;
  }
  void give_back(std::span<core::Packet> packets) noexcept override {
    for (const core::Packet& packet : packets) {
      if (packet.buffer != nullptr) free_.push_back(packet.buffer);
    }
    MemoryPort::give_back(packets);
  }
  uint32_t transmit_burst(std::span<core::Packet> packets, core::Nanos now) noexcept override {
    uint32_t taken = 0;
    for (core::Packet& packet : packets) {
      if (!io::is_frame(packet)) {
        if (MemoryPort::transmit_burst({&packet, 1}, now) == 0) break;
      } else {
        if (accept_runs == 0) break;
        if (accept_runs != UINT64_MAX) --accept_runs;
        keep(packet);
        free_.push_back(packet.buffer);
      }
      ++taken;
    }
    return taken;
  }
  io::FrameSource* frames() noexcept override { return this; }

 private:
  static constexpr uint32_t kFrameBytes = 2048;

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

  std::vector<uint8_t> memory_;
  std::vector<core::Buffer> buffers_;
  std::vector<core::Buffer*> free_;
  std::vector<core::Buffer*> hidden_;
};

}  // namespace trunkline::tests
