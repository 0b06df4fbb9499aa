// HostOutputs: the data core's side of the rings towards the host queues.
//
// The idea: slots are claimed in runs, filled in place, and published once per run of the loop (or when the
// claimed ones are used up), so the host's cache line is written once per burst. Owned by one data core.
#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "relay/host_queue.h"

namespace trunkline::relay {

class HostOutputs {
 public:
  explicit HostOutputs(std::vector<std::unique_ptr<HostQueue>>& queues) : outputs_(queues.size()) {
    for (std::size_t i = 0; i < queues.size(); ++i) outputs_[i].ring = &queues[i]->to_host;
  }

  // The next slot of a queue, to be filled at once; nullptr: the queue is full, or there is no such queue.
  HostPacket* try_slot(uint16_t queue) noexcept {
    if (queue >= outputs_.size()) return nullptr;
    Output& out = outputs_[queue];
    if (out.used == out.claimed.size()) {
      publish(out);
      out.claimed = out.ring->claim(kClaim);
      if (out.claimed.empty()) return nullptr;
      out.touched = true;
    }
    return &out.claimed[out.used++];
  }

  // Makes everything visible to the hosts.
  void finish() noexcept {
    for (Output& out : outputs_) publish(out);
  }

  // Queues that got packets since the last call, one bit each (a driver then wakes those hosts); the
  // first 64.
  uint64_t take_touched() noexcept {
    uint64_t bits = 0;
    for (std::size_t i = 0; i < outputs_.size() && i < 64; ++i) {
      if (outputs_[i].touched) bits |= uint64_t{1} << i;
      outputs_[i].touched = false;
    }
    return bits;
  }

 private:
  static constexpr uint32_t kClaim = 64;  // one burst

  struct Output {
    HostPacketRing* ring = nullptr;
    std::span<HostPacket> claimed;
    std::size_t used = 0;
    bool touched = false;
  };

  static void publish(Output& out) noexcept {
    if (out.used > 0) out.ring->commit(static_cast<uint32_t>(out.used));
    out.used = 0;
    out.claimed = {};
  }

  std::vector<Output> outputs_;
};

}  // namespace trunkline::relay
