// FramePort: a MemoryPort with frames, as a port that drives a device has: what it receives lies in them, and
// what lanes send is filled into them or left in the one it came in.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/frame_stack.h"
#include "tests/support/memory_port.h"

namespace trunkline::tests {

class FramePort : public MemoryPort {
 public:
  static constexpr uint32_t kHeaders = 64;  // room in front of a datagram

  explicit FramePort(uint32_t frames = 256)
      : memory_(size_t{frames} * kFrameBytes), frames_(frames, kFrameBytes - kHeaders, [this](uint32_t i) {
          return &memory_[size_t{i} * kFrameBytes + kHeaders];
        }) {}

  // After the path that used it.
  ~FramePort() override {
    give_all();
    EXPECT_EQ(frames_in_use(), 0u) << "frames that nobody gave back";
  }

  uint32_t frames_in_use() const { return static_cast<uint32_t>(frames_.frame_count() - frames_.free()); }
  // Takes all but so many away, as a device that holds them does; give_all() brings them back.
  void leave(size_t count) {
    while (frames_.free() > count) hidden_.push_back(frames_.take());
  }
  void give_all() {
    frames_.free_frames(hidden_);
    hidden_.clear();
  }

  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos now) noexcept override {
    const uint32_t count = MemoryPort::receive_burst(out, now);
    for (core::Packet& packet : out.first(count)) {
      // A device receives no runs, and nothing longer than a frame: of a run, its first datagram.
      if (packet.segment_size != 0) packet.length = std::min<uint32_t>(packet.length, packet.segment_size);
      packet.segment_size = 0;
      packet.length = std::min(packet.length, kFrameBytes - kHeaders);
      packet.buffer = frames_.take();
      if (packet.length > 0) std::memcpy(packet.buffer->data, packet.data, packet.length);
      packet.data = packet.buffer->data;
    }
    return count;
  }
  void give_back(std::span<core::Packet> packets) noexcept override {
    frames_.give_back(packets);
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
        frames_.sent(packet);
      }
      ++taken;
    }
    return taken;
  }
  io::FrameSource* frames() noexcept override { return &frames_; }

 private:
  static constexpr uint32_t kFrameBytes = 2048;

  std::vector<uint8_t> memory_;
  FrameStack frames_;
  std::vector<core::Buffer*> hidden_;
};

}  // namespace trunkline::tests
