// EdgeWriter: plain RTP and RTCP for taps, gathered into GSO runs.
//
// The idea: thousands of destinations cannot each hold a 64 KiB buffer, and need not: the path delivers flow
// by flow, so what goes to one destination comes in one piece. There is one open run, at the end of one arena
// buffer; a new destination closes it and goes on behind it in the same buffer. Each finished run holds one
// reference on the buffer, so the last one sent gives it back.
//
// Datagrams of a run are equal; a shorter one ends it. Nothing is padded: the bytes are the publisher's.
// Owned by one data core.
#pragma once

#include <cstring>

#include "relay/lane_writer.h"
#include "relay/transmitter.h"

namespace trunkline::relay {

class EdgeWriter {
 public:
  // `target` and `kind` as in RunInfo: the egress tap, or kNone for feedback to a publisher's tap.
  struct Destination {
    OutputKind kind = OutputKind::kNone;
    uint16_t target = 0;
    uint16_t endpoint = 0;
    UdpAddress to{};
    bool operator==(const Destination&) const = default;
  };

  EdgeWriter(CoreId core, Transmitter& transmitter) : core_(core), transmitter_(transmitter) {}

  // Opens a run to `to`, or goes on with the one that is open. Once per group of packets, not per packet.
  void begin(const Destination& to, Nanos now) noexcept {
    if (segments_ != 0 && !(to == destination_)) end_run(now);
    destination_ = to;
  }

  // One datagram to the destination of begin(): kNoDrop, too_big or no_buffer. Copied. `own`: not a unit of
  // the path's conservation but a request of ours.
  DropReason append(const uint8_t* payload, uint32_t length, TrafficClass traffic_class, bool own,
                    Nanos now) noexcept {
    // A run whose last datagram was short is over, but stays open until the next: its note may still come.
    const bool joins = segments_ != 0 && length <= segment_ && open_bytes_ == segments_ * segment_ &&
                       segments_ < io::kMaxRunSegments && open_bytes_ + length <= io::kMaxRunBytes;
    if (!joins || used_ + open_bytes_ + length > kRunBufferBytes) {
      const DropReason reason = make_room(length, traffic_class, now);
      if (reason != kNoDrop) return reason;
    }
    std::memcpy(arena_->data + used_ + open_bytes_, payload, length);
    if (segments_ == 0) segment_ = length;
    open_bytes_ += length;
    ++segments_;
    if (traffic_class > traffic_class_) traffic_class_ = traffic_class;
    own ? ++info_.own : ++info_.units;
    return kNoDrop;
  }
  // Which frame the run holds last, for a refusal. Contract: after an append().
  void note(const FrameNote& frame) noexcept {
    info_.note = frame;
    info_.inline_note = true;
  }

  // End of the loop's run.
  void finish(Nanos now) noexcept;
  uint64_t units_held() const noexcept { return uint64_t{info_.units}; }

 private:
  DropReason make_room(uint32_t length, TrafficClass traffic_class, Nanos now) noexcept;
  void end_run(Nanos now) noexcept;

  CoreId core_;
  Transmitter& transmitter_;
  core::Buffer* arena_ = nullptr;
  uint32_t used_ = 0;        // bytes of finished runs in the arena
  uint32_t open_bytes_ = 0;  // of the open run, behind them
  uint32_t segment_ = 0;
  uint32_t segments_ = 0;
  TrafficClass traffic_class_ = TrafficClass::kRest;
  Destination destination_{};
  RunInfo info_{};
};

}  // namespace trunkline::relay
