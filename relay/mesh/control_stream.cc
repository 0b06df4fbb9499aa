// The insides of relay/mesh/control_stream.h, sending first; the tags I1, I2 are the header's.
#include "relay/mesh/control_stream.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/check.h"
#include "relay/crc32c.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

constexpr uint8_t kFlagMessages = 1;
constexpr uint32_t kReceivedBits = 64;
// Segments of which an acknowledgement speaks: `ack` itself, known to be missing, and the 64 behind it.
constexpr uint64_t kVisible = kReceivedBits + 1;
constexpr uint32_t kLossThreshold = 2;  // later segments received that make one count as lost
constexpr uint8_t kMaxBackoffs = 5;     // 20 ms doubled five times is beyond kMaxTimeout

// How far the number meant by `wire` is from `near`: the nearest of all numbers equal to it modulo 2^32.
int64_t distance(uint32_t wire, uint64_t near) {
  return static_cast<int32_t>(wire - static_cast<uint32_t>(near));
}

Nanos magnitude(Nanos t) {
  return t < Nanos{} ? Nanos{} - t : t;
}

}  // namespace

ControlStream::ControlStream(uint32_t window)
    : window_(window),
      sent_info_(std::make_unique<Sent[]>(window)),
      send_bytes_(std::make_unique_for_overwrite<uint8_t[]>(size_t{window} * kMaxFrameBytes)),
      hold_lengths_(std::make_unique<uint16_t[]>(window)),
      hold_bytes_(std::make_unique_for_overwrite<uint8_t[]>(size_t{window} * kMaxFrameBytes)) {
  TL_CHECK(window >= 1 && window <= kMaxWindow);
}

void ControlStream::reset(uint64_t first) noexcept {
  flush_wanted_ = ack_owed_ = contradicted_ = false;
  timer_ = core::kNever;
  unacked_ = sent_ = open_ = expected_ = first;
  open_bytes_ = held_count_ = 0;
  srtt_ = rttvar_ = progress_at_ = {};
  std::fill_n(sent_info_.get(), window_, Sent{});
  std::fill_n(hold_lengths_.get(), window_, uint16_t{0});
}

// ---- sending

bool ControlStream::try_append(std::span<const uint8_t> message) noexcept {
  TL_CHECK(!message.empty() && message.size() <= kMaxMessageBytes);
  if (open_bytes_ + message.size() > kMaxSegmentPayload) close_open_segment();
  if (open_ - unacked_ >= window_) return false;  // I1
  std::memcpy(send_slot(open_) + kSegmentHeaderBytes + open_bytes_, message.data(), message.size());
  open_bytes_ += static_cast<uint32_t>(message.size());
  flush_wanted_ = true;
  return true;
}

void ControlStream::close_open_segment() noexcept {
  if (open_bytes_ == 0) return;
  Sent& info = sent_info_[open_ % window_];
  info = {};
  info.payload = static_cast<uint16_t>(open_bytes_);
  ++open_;
  open_bytes_ = 0;
}

ControlStream::Flushed ControlStream::flush(Nanos now, Nanos rto_base, Emit emit, uint32_t limit) noexcept {
  Flushed done;
  close_open_segment();
  timer_ = core::kNever;
  flush_wanted_ = false;

  const uint64_t visible_end = std::min(sent_, unacked_ + kVisible);
  for (uint64_t n = unacked_; n < visible_end; ++n) {
    Sent& info = sent_info_[n % window_];
    if (info.received) continue;
    const bool timed_out = now >= info.sent_at + timeout(rto_base, info.backoffs);
    if (timed_out || info.repeat_now) {
      if (done.segments == limit) {
        flush_wanted_ = true;
        break;
      }
      if (timed_out && info.backoffs < kMaxBackoffs) ++info.backoffs;
      emit_data(n, now, emit);
      ++done.segments;
      ++done.repeats;
    }
    timer_ = std::min(timer_, info.sent_at + timeout(rto_base, info.backoffs));
  }
  for (; sent_ < open_; ++sent_) {
    if (done.segments == limit) {
      flush_wanted_ = true;
      break;
    }
    if (sent_ == unacked_) progress_at_ = now;
    emit_data(sent_, now, emit);
    ++done.segments;
    timer_ = std::min(timer_, now + timeout(rto_base, 0));
  }
  if (ack_owed_ && done.segments == limit) flush_wanted_ = true;
  if (ack_owed_ && done.segments < limit) {
    emit_ack(emit);
    ++done.segments;
  }
  return done;
}

void ControlStream::emit_data(uint64_t n, Nanos now, Emit& emit) noexcept {
  Sent& info = sent_info_[n % window_];
  uint8_t* const segment = send_slot(n);
  const size_t length = seal(segment, n, info.payload);
  info.sent_at = now;
  info.repeated = n < sent_;
  info.repeat_now = false;
  ack_owed_ = false;
  emit({segment, length});
}

void ControlStream::emit_ack(Emit& emit) noexcept {
  std::array<uint8_t, kSegmentOverhead> segment;
  const size_t length = seal(segment.data(), open_, 0);
  ack_owed_ = false;
  emit({segment.data(), length});
}

// Writes header and CRC around `payload` bytes of messages that are in place; returns the segment's length.
// Done anew for each emission: the acknowledgement is always the newest.
size_t ControlStream::seal(uint8_t* segment, uint64_t seq, size_t payload) noexcept {
  store_be32(segment, static_cast<uint32_t>(seq));
  store_be32(segment + 4, static_cast<uint32_t>(expected_));
  store_be64(segment + 8, received_bits());
  segment[16] = payload > 0 ? kFlagMessages : 0;
  const size_t checked = kSegmentHeaderBytes + payload;
  store_be32(segment + checked, crc32c({segment, checked}));
  return checked + 4;
}

uint64_t ControlStream::received_bits() const noexcept {
  if (held_count_ == 0) return 0;
  uint64_t bits = 0;
  const uint32_t count = std::min(window_ - 1, kReceivedBits);
  for (uint32_t i = 0; i < count; ++i) {
    if (hold_lengths_[(expected_ + 1 + i) % window_] != 0) bits |= uint64_t{1} << i;
  }
  return bits;
}

Nanos ControlStream::timeout(Nanos rto_base, uint8_t backoffs) const noexcept {
  // A path that is slower than the cap is waited for all the same: the link's own round trips say so, of
  // which there are many. Segments may be few, and one that met a peer that stood still is a sample of
  // seconds.
  const Nanos most = std::max(rto_base, kMaxTimeout);
  const Nanos measured = srtt_ > Nanos{} ? srtt_ + rttvar_ * 4 : rto_base;
  const Nanos base = std::clamp(measured, kMinTimeout, most);
  return std::min(base * (int64_t{1} << backoffs), most);
}

// ---- receiving

ControlStream::Received ControlStream::receive(Nanos now, std::span<const uint8_t> segment,
                                               Deliver deliver) noexcept {
  if (segment.size() < kSegmentOverhead || segment.size() > kMaxFrameBytes) return Received::kRejected;
  const uint8_t* const p = segment.data();
  const size_t checked = segment.size() - 4;
  if (load_be32(p + checked) != crc32c(segment.first(checked))) return Received::kRejected;
  const uint8_t flags = p[16];
  const auto payload = segment.subspan(kSegmentHeaderBytes, checked - kSegmentHeaderBytes);
  if (flags != (payload.empty() ? 0 : kFlagMessages)) return Received::kRejected;

  // An acknowledgement may lag, but cannot name what was never sent.
  const uint64_t received = load_be64(p + 8);
  const int64_t advance = distance(load_be32(p + 4), unacked_);
  const int64_t named = advance + (received == 0 ? 0 : 1 + static_cast<int64_t>(std::bit_width(received)));
  if (named > static_cast<int64_t>(sent_ - unacked_)) {
    contradicted_ = true;
    return Received::kRejected;
  }
  if (advance >= 0) acknowledge(now, unacked_ + static_cast<uint64_t>(advance), received);

  if (payload.empty()) return Received::kAccepted;
  ack_owed_ = flush_wanted_ = true;  // for a repeat too: our acknowledgement may have been lost
  return accept(load_be32(p), payload, deliver);
}

void ControlStream::acknowledge(Nanos now, uint64_t ack, uint64_t received) noexcept {
  Nanos newest = kNoSample;
  const auto take = [&](Sent& info) {
    if (info.received) return;
    info.received = true;
    if (!info.repeated) newest = now - info.sent_at;  // of a repeat nobody knows which one arrived (Karn)
  };
  if (unacked_ < ack) progress_at_ = now;
  for (; unacked_ < ack; ++unacked_) take(sent_info_[unacked_ % window_]);
  for (uint64_t rest = received; rest != 0; rest &= rest - 1) {
    take(sent_info_[(ack + 1 + static_cast<uint64_t>(std::countr_zero(rest))) % window_]);
  }
  if (newest != kNoSample) sample(newest);
  // Segments that became visible bring timers that flush() has not seen.
  if (unacked_ < sent_) flush_wanted_ = true;
  if (received != 0) mark_losses();
}

// A segment counts as lost when two sent after it were received. Once per segment: if the repeat is lost as
// well, the timer finds it.
void ControlStream::mark_losses() noexcept {
  uint32_t later = 0;
  for (uint64_t n = std::min(sent_, unacked_ + kVisible); n > unacked_; --n) {
    Sent& info = sent_info_[(n - 1) % window_];
    if (info.received) {
      ++later;
    } else if (later >= kLossThreshold && !info.repeated) {
      info.repeat_now = flush_wanted_ = true;
    }
  }
}

// RFC 6298, section 2, in integers.
void ControlStream::sample(Nanos round_trip) noexcept {
  const Nanos r = std::max(round_trip, Nanos{1});
  if (srtt_ == Nanos{}) {
    srtt_ = r;
    rttvar_ = r / 2;
    return;
  }
  rttvar_ = (rttvar_ * 3 + magnitude(srtt_ - r)) / 4;
  srtt_ = (srtt_ * 7 + r) / 8;
}

ControlStream::Received ControlStream::accept(uint32_t wire_seq, std::span<const uint8_t> payload,
                                              Deliver& deliver) noexcept {
  const int64_t ahead = distance(wire_seq, expected_);
  if (ahead < 0) return Received::kDuplicate;
  if (ahead >= static_cast<int64_t>(window_)) return Received::kOutOfWindow;
  if (ahead > 0) {
    const uint64_t n = expected_ + static_cast<uint64_t>(ahead);
    uint16_t& held = hold_lengths_[n % window_];
    if (held != 0) return Received::kDuplicate;
    held = static_cast<uint16_t>(payload.size());
    ++held_count_;
    std::memcpy(hold_slot(n), payload.data(), payload.size());
    return Received::kAccepted;
  }
  ++expected_;
  deliver(payload);
  // What waited for this one. All state is read anew each time: `deliver` may have reset the stream.
  for (uint32_t i = 0; i < window_ && hold_lengths_[expected_ % window_] != 0; ++i) {
    const uint64_t n = expected_++;
    const size_t length = hold_lengths_[n % window_];
    hold_lengths_[n % window_] = 0;
    --held_count_;
    deliver({hold_slot(n), length});
  }
  return Received::kAccepted;
}

}  // namespace trunkline::relay
