// ReplayWindow: has this counter been seen before? One bit per counter, in a ring of 64-bit words (RFC 6479).
//
// The idea: bits are addressed by the counter itself, so nothing shifts; when a newer counter moves the
// window on, the words it enters are cleared, and the oldest word is given up whole. So of kBits bits at
// least kBits - 64 counters behind the newest are remembered exactly; older ones are refused.
//
// One writer: the data core that owns the lane. All zero is a fresh window. check() before the datagram is
// opened (cheap refusal), commit() once it is authentic: nobody without the key can move the window.
#pragma once

#include <bit>
#include <cstdint>

namespace trunkline::relay {

template <uint32_t kBits>
class ReplayWindow {
  static_assert(std::has_single_bit(kBits) && kBits >= 128, "a power of two, at least two words");

 public:
  enum class Verdict : uint8_t { kNew, kSeen, kTooOld };
  // Counters this far behind the newest are still told apart.
  static constexpr uint32_t kDepth = kBits - 64;

  Verdict check(uint64_t counter) const noexcept {
    if (counter >= end_) return Verdict::kNew;
    if (end_ - counter > kDepth) return Verdict::kTooOld;
    return (words_[word(counter)] & bit(counter)) != 0 ? Verdict::kSeen : Verdict::kNew;
  }

  // The same verdict, and from now on the counter is seen.
  Verdict commit(uint64_t counter) noexcept {
    if (counter >= end_) {
      advance(counter);
    } else if (const Verdict verdict = check(counter); verdict != Verdict::kNew) {
      return verdict;
    }
    words_[word(counter)] |= bit(counter);
    return Verdict::kNew;
  }

 private:
  static constexpr uint32_t kWords = kBits / 64;
  static constexpr uint32_t word(uint64_t counter) noexcept {
    return static_cast<uint32_t>(counter >> 6) & (kWords - 1);
  }
  static constexpr uint64_t bit(uint64_t counter) noexcept { return uint64_t{1} << (counter & 63); }

  void advance(uint64_t counter) noexcept {
    // Words after the one that holds the newest counter so far, up to the new one; all of them at most once.
    const uint64_t first = (end_ + 63) >> 6;
    const uint64_t last = counter >> 6;
    if (first <= last) [[unlikely]] {
      for (uint64_t w = last - first < kWords ? first : last - kWords + 1; w <= last; ++w)
        words_[w & (kWords - 1)] = 0;
    }
    end_ = counter + 1;
  }

  uint64_t end_ = 0;  // newest counter seen + 1
  uint64_t words_[kWords] = {};
};

// 8192: two milliseconds at 4 M datagrams/s on one lane, so that reordering between queues of a device never
// reaches its end; 1 KiB per lane.
using LaneReplayWindow = ReplayWindow<8192>;

}  // namespace trunkline::relay
