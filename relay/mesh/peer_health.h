// PeerHealth: what came of the requests to one peer, and whether it is still worth being asked first.
//
// The idea: a peer is judged by outcomes, not by what it says of itself. A node can be up, answer heartbeats
// and accept connections, and yet never bring media up (a gray failure); whoever asks it first waits for
// nothing. So two things are counted: requests in a row that it left unanswered, and OKs in a row after which
// no media came. Three of either eject it: it is asked last. Answers do not excuse missing media, nor the
// other way round.
//
// No ejection is for ever: after a second (then two, then four) the peer is half open, and the next search
// may ask it once as if nothing had been. Its success brings it back at once.
//
// Pure state, 32 bytes; the cap on how many peers may be ejected is the caller's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/time.h"

namespace trunkline::relay::mesh {

using core::Nanos;

class PeerHealth {
 public:
  static constexpr uint8_t kStreak = 3;
  static constexpr Nanos kFirstRest = core::from_s(1);
  static constexpr Nanos kLongestRest = core::from_s(4);

  // It answered; its media came. True: that brought it back.
  bool answered() noexcept {
    silent_ = 0;
    return recover(Cause::kSilence);
  }
  bool media_came() noexcept {
    stalled_ = 0;
    return recover(Cause::kStall);
  }
  // It did not. True: now it ought to be ejected (and is, if the caller says eject()).
  bool silent() noexcept { return fails(silent_, Cause::kSilence); }
  bool stalled() noexcept { return fails(stalled_, Cause::kStall); }

  void eject(Nanos now) noexcept {
    if (!ejected_) rest_ = kFirstRest;
    ejected_ = true;
    probing_ = false;
    probe_at_ = now + rest_;
    rest_ = std::min(rest_ * 2, kLongestRest);
  }
  // A new incarnation, or a new session after a long silence, starts afresh.
  void forget() noexcept { *this = {}; }

  bool ejected() const noexcept { return ejected_; }
  // Half open: the next request may go to it as to anybody.
  bool may_probe(Nanos now) const noexcept { return ejected_ && now >= probe_at_; }
  // It does. Whether or not that one ever ends, there will be another.
  void probe(Nanos now) noexcept {
    probing_ = true;
    probe_at_ = now + rest_;
  }
  Nanos probe_at() const noexcept { return probe_at_; }

 private:
  enum class Cause : uint8_t { kSilence, kStall };

  bool recover(Cause cause) noexcept {
    if (!ejected_ || cause != cause_) return false;
    *this = {};
    return true;
  }
  bool fails(uint8_t& streak, Cause cause) noexcept {
    if (streak < kStreak) ++streak;
    if (ejected_) return probing_ && cause == cause_;  // the probe failed: it rests again, longer
    if (streak < kStreak) return false;
    cause_ = cause;
    return true;
  }

  uint8_t silent_ = 0, stalled_ = 0;
  Cause cause_ = Cause::kSilence;
  bool ejected_ = false;
  bool probing_ = false;
  Nanos probe_at_{};
  Nanos rest_{};
};

// RetryBudget: repeated requests are paid for by first ones, ten to one, and by time, ten a second. Without
// it, a brown-out that makes everybody ask twice is what keeps the brown-out going.
class RetryBudget {
 public:
  static constexpr uint32_t kMost = 64;  // retries in hand
  static constexpr Nanos kEach = core::from_ms(100);

  void first() noexcept { tenths_ = std::min(tenths_ + 1, kMost * 10); }
  bool take(Nanos now) noexcept {
    const auto earned = static_cast<uint64_t>((now - filled_at_).ns / kEach.ns);
    if (earned > 0) {
      tenths_ = static_cast<uint32_t>(std::min<uint64_t>(tenths_ + earned * 10, kMost * 10));
      filled_at_ = now;
    }
    if (tenths_ < 10) return false;
    tenths_ -= 10;
    return true;
  }

 private:
  uint32_t tenths_ = kMost * 10;
  Nanos filled_at_{};
};

}  // namespace trunkline::relay::mesh
