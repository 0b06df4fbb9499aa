// ControlStream: messages in order, once each, over a link that loses, repeats and reorders. Both directions
// of one link's control traffic, sans-IO: segments come out of flush() and go into receive().
//
//   segment   seq 32 | ack 32 | received 64 | flags 8 | messages ... | crc 32          big-endian
//
//   seq       the segment's number, from 0 per session, modulo 2^32. Of a pure acknowledgement: the number
//             that the next segment will have; it uses none up
//   ack       the number of the first segment not yet received: all before it were
//   received  bit i: segment ack + 1 + i was received out of order
//   flags     bit 0: carries messages. The other bits are zero
//   messages  whole ones, at least one, when flags says so; nothing otherwise
//   crc       CRC-32C of all bytes before it. The null suite has no integrity, and corrupted control must
//             never be applied
//
// The idea. A segment is filled until it is flushed or full, and is kept until acknowledged. Losses are seen
// in three ways, each cheaper than waiting: two later segments were received (sent again at once, RFC 6675
// with a threshold of two), or the retransmission time out passed: smoothed round-trip time + 4 deviations
// (RFC 6298, samples of segments sent once only), at least 20 ms, doubled per repeat up to 500 ms. Only the
// first 65 unacknowledged segments are ever repeated: those of which `ack` and `received` speak.
//
// There is no congestion window: `window` segments of at most kMaxFrameBytes are the bound on what a link can
// have under way. When it is full try_append() refuses, and the caller restarts with a snapshot.
//
// Invariants
//   I1  unacked_ <= sent_ <= open_ and open_ - unacked_ <= window: segment n lives in slot n % window
//   I2  bit n % window of held_ says that segment n of the peer waits in the receive buffer;
//       expected_ < n < expected_ + window
// Numbers are 64 bits inside and 32 on the wire; the nearest one is meant, so wrapping is no event.
//
// Owner: MeshNode, one thread. Memory: 2 * window * kMaxFrameBytes, reserved at construction and not touched
// before use. Per segment about 1.5 us, of which the CRC is most. Nothing here trusts a peer: an
// acknowledgement of what was never sent rejects the segment.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/time.h"
#include "relay/core_link.h"
#include "relay/function_ref.h"
#include "relay/mesh/messages.h"

namespace trunkline::relay {

inline constexpr uint32_t kSegmentHeaderBytes = 17;
inline constexpr uint32_t kSegmentOverhead = kSegmentHeaderBytes + 4;
inline constexpr uint32_t kMaxSegmentPayload = kMaxFrameBytes - kSegmentOverhead;
static_assert(kMaxSegmentPayload >= kMaxMessageBytes);

class ControlStream {
 public:
  static constexpr uint32_t kMaxWindow = 1024;
  static constexpr Nanos kMinTimeout = core::from_ms(20);
  static constexpr Nanos kMaxTimeout = core::from_ms(500);

  // window: 1 .. kMaxWindow segments, each direction. Need not equal the peer's.
  explicit ControlStream(uint32_t window);

  // A new session: numbers restart at 0, everything in hand is forgotten, so is the round-trip time.
  // Costs a pass over the window's descriptors (16 bytes each), not over its bytes.
  // `first` is the number to restart at, the same at both ends: 0 in wire version 1.
  void reset(uint64_t first = 0) noexcept;

  // ---- sending
  // Takes a copy of one whole message (1 .. kMaxMessageBytes). False: the window is full, nothing was taken.
  [[nodiscard]] bool try_append(std::span<const uint8_t> message) noexcept;
  // Everything appended so far is acknowledged once acked_position() has reached what this says now.
  uint64_t append_position() const noexcept { return open_ + (open_bytes_ > 0 ? 1 : 0); }
  uint64_t acked_position() const noexcept { return unacked_; }

  struct Flushed {
    uint32_t segments = 0;  // emitted, all together
    uint32_t repeats = 0;   // of them, sent before
  };
  // Emits what is due at `now`: repeats, then new segments (an open one is closed), then a pure
  // acknowledgement if one is owed and none of the others carried it. At most `limit` of them; if more is
  // due, next_deadline() says so. `rto_base` is the time out while the stream has no round-trip sample of its
  // own (the link's heartbeats have one). The emitted bytes are valid during the call of `emit`.
  Flushed flush(Nanos now, Nanos rto_base, FunctionRef<void(std::span<const uint8_t>)> emit,
                uint32_t limit = UINT32_MAX) noexcept;
  // When flush() has something to do: 0 for "now", kNever for nothing.
  Nanos next_deadline() const noexcept { return flush_wanted_ ? Nanos{0} : timer_; }

  // ---- receiving
  enum class Received : uint8_t {
    kAccepted,     // new: delivered, or held until what is missing comes; or a pure acknowledgement
    kDuplicate,    // had it already; acknowledged again
    kOutOfWindow,  // too far ahead to hold; the peer repeats it
    kRejected,     // length, flags, CRC, or an acknowledgement of what was never sent: nothing was changed
  };
  // `deliver` gets the messages of one segment (whole ones, for MessageReader), zero or more times, in order.
  // It may call try_append() and reset() of this stream; after reset() nothing more is delivered.
  // The bytes are valid during the call of `deliver`.
  Received receive(Nanos now, std::span<const uint8_t> segment,
                   FunctionRef<void(std::span<const uint8_t>)> deliver) noexcept;

  // Since when the peer acknowledges nothing although something is under way; kNever: it does, or nothing is.
  Nanos stalled_since() const noexcept { return sent_ > unacked_ ? progress_at_ : core::kNever; }

  // The peer acknowledged what was never sent: it has heard another stream on this session, that of a machine
  // of which this one is a copy. What is said here it may take for what it knows; only a new stream will do.
  bool contradicted() const noexcept { return contradicted_; }

  // Smoothed round-trip time as acknowledgements show it; 0: no sample yet.
  Nanos round_trip() const noexcept { return srtt_; }

 private:
  using Emit = FunctionRef<void(std::span<const uint8_t>)>;
  using Deliver = FunctionRef<void(std::span<const uint8_t>)>;
  static constexpr Nanos kNoSample = core::kNever;

  struct Sent {  // a segment from closing to acknowledgement
    Nanos sent_at{};
    uint16_t payload = 0;     // bytes of messages
    uint8_t backoffs = 0;     // times that its timer fired
    bool repeated = false;    // sent more than once
    bool received = false;    // the peer has it
    bool repeat_now = false;  // seen to be lost
  };
  static_assert(sizeof(Sent) == 16);

  uint8_t* send_slot(uint64_t n) noexcept { return send_bytes_.get() + (n % window_) * kMaxFrameBytes; }
  uint8_t* hold_slot(uint64_t n) noexcept { return hold_bytes_.get() + (n % window_) * kMaxFrameBytes; }
  void close_open_segment() noexcept;
  void emit_data(uint64_t n, Nanos now, Emit& emit) noexcept;
  void emit_ack(Emit& emit) noexcept;
  size_t seal(uint8_t* segment, uint64_t seq, size_t payload) noexcept;
  uint64_t received_bits() const noexcept;
  void acknowledge(Nanos now, uint64_t ack, uint64_t received) noexcept;
  void mark_losses() noexcept;
  void sample(Nanos round_trip) noexcept;
  Nanos timeout(Nanos rto_base, uint8_t backoffs) const noexcept;
  Received accept(uint32_t wire_seq, std::span<const uint8_t> payload, Deliver& deliver) noexcept;

  uint32_t window_;
  bool flush_wanted_ = false;
  bool ack_owed_ = false;
  bool contradicted_ = false;
  Nanos timer_ = core::kNever;

  // sending
  uint64_t unacked_ = 0;     // first segment not acknowledged
  uint64_t sent_ = 0;        // first segment never sent
  uint64_t open_ = 0;        // the segment being filled
  uint32_t open_bytes_ = 0;  // of messages in it
  Nanos progress_at_{};      // when the window last moved, or began to fill
  Nanos srtt_{};
  Nanos rttvar_{};
  std::unique_ptr<Sent[]> sent_info_;
  std::unique_ptr<uint8_t[]> send_bytes_;

  // receiving
  uint64_t expected_ = 0;                     // first segment not received
  uint32_t held_count_ = 0;                   // segments that wait in the receive buffer
  std::unique_ptr<uint16_t[]> hold_lengths_;  // payload bytes held per slot; 0: nothing
  std::unique_ptr<uint8_t[]> hold_bytes_;
};

}  // namespace trunkline::relay
