// FramePort: a port with frames, as one that drives a device has, and no device. What arrives was prepared in
// frames; what is sent goes back to the stack of free ones. One descriptor per packet is all that it moves.
#pragma once

#include <algorithm>
#include <vector>

#include "bench/seal/hop.h"
#include "tests/support/frame_stack.h"
#include "tests/support/memory_port.h"

namespace trunkline::bench {

class FramePort final : public tests::MemoryPort {
 public:
  FramePort(uint32_t frames, core::PageSource& pages)
      : memory_(frames, pages),
        frames_(frames, Frames::kRoom, [this](uint32_t i) { return memory_.payload(i); }) {}

  // One more packet that arrives, in a frame of its own, in the order of these calls; its bytes and length
  // are the caller's to write before the next receive_burst().
  core::Packet& arrive() {
    if (next_ == arrivals_.size()) next_ = 0, arrivals_.clear();
    if (frames_.free() == 0) give_up("the port has no frame for what arrives");
    core::Packet& packet = arrivals_.emplace_back();
    packet.buffer = frames_.take();
    packet.data = packet.buffer->data;
    return packet;
  }

  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos) noexcept override {
    const auto count = static_cast<uint32_t>(std::min({out.size(), arrivals_.size() - next_, kBurst}));
    std::copy_n(&arrivals_[next_], count, out.begin());
    next_ += count;
    return count;
  }
  void give_back(std::span<core::Packet> packets) noexcept override { frames_.give_back(packets); }
  // `swallow`: nothing is copied.
  uint32_t transmit_burst(std::span<core::Packet> packets, core::Nanos) noexcept override {
    for (const core::Packet& packet : packets) {
      if (!swallow) keep(packet);
      frames_.sent(packet);
    }
    return static_cast<uint32_t>(packets.size());
  }
  io::FrameSource* frames() noexcept override { return &frames_; }

 private:
  static constexpr size_t kBurst = kHopBurst;

  Frames memory_;
  tests::FrameStack frames_;
  std::vector<core::Packet> arrivals_;
  size_t next_ = 0;
};

}  // namespace trunkline::bench
