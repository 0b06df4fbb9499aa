// The demo's media: RTP packets that carry their own proof. Each has the track, a counter, the time it was
// sent and a checksum over its bytes, so that a receiver can tell lost, repeated, swapped and damaged packets
// apart, and knows how long each took (all processes read the same monotonic clock).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/histogram.h"

namespace trunkline::tools::demo {

inline constexpr uint32_t kVideoBytes = 1200, kAudioBytes = 172;
// 2 Mbit/s of 1200-byte packets; Opus at 20 ms.
inline constexpr double kVideoPacketsPerS = 2e6 / 8 / kVideoBytes, kAudioPacketsPerS = 50;

// Writes one RTP packet of `bytes` into `out`.
void make_packet(uint8_t* out, uint32_t bytes, uint16_t track, uint64_t counter, int64_t now_ns);

// What one receiver knows of one track.
class TrackCheck {
 public:
  // `track` and `one_way_ns`: what should arrive, and how long the wire takes by itself.
  TrackCheck(uint16_t track, int64_t one_way_ns) : track_(track), one_way_ns_(one_way_ns) {}
  void packet(std::span<const uint8_t> rtp, int64_t now_ns);

  uint64_t received() const { return received_; }
  uint64_t repeated() const { return repeated_; }
  uint64_t damaged() const { return damaged_; }  // checksum, length, or another track's packet
  uint64_t first() const { return first_; }      // counter of the first packet seen
  const core::Histogram& added_ns() const { return added_ns_; }

 private:
  uint16_t track_;
  int64_t one_way_ns_;
  uint64_t received_ = 0, repeated_ = 0, damaged_ = 0, first_ = 0;
  std::vector<bool> seen_;  // by counter
  core::Histogram added_ns_;
};

}  // namespace trunkline::tools::demo
