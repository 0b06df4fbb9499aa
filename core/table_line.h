// TableLine: one cache line of a BoundedTable, and what its control words say. Three keys lie in it whole,
// and what does not fit beside them in 64 bytes is packed into two words:
//
//   byte  0  key of entry 0   16 bytes
//        16  key of entry 1
//        32  key of entry 2
//        48  control 0        field of entry 0 | field of entry 1 << 32
//        56  control 1        field of entry 2 | three high versions | away | far
//
//   field         record + 1, 26 bits (0: empty)  |  low version, 6 bits
//   high version  10 bits: how often the low version has wrapped around, modulo 1024
//   away, far     a key whose first line is this lies elsewhere; lies in an overflow line
//
// The version of an entry counts its lives: the keys it has held. Whoever read a key between two equal
// versions read one life's.
//
// Threads: see bounded_table.h, whose edges are named here.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "core/cacheline.h"

namespace trunkline::core {

// How many bits of a version are kept where. A checker takes fewer, to see them wrap around.
struct VersionBits {
  static constexpr uint32_t kLow = 6;
  static constexpr uint32_t kHigh = 10;
};

inline constexpr uint32_t kLineEntries = 3;
inline constexpr uint32_t kRecordBits = 26;
inline constexpr uint32_t kNoRecord = UINT32_MAX;  // "not here"

// 16 bytes, as the table compares them.
struct KeyWords {
  uint64_t first;
  uint64_t second;
};
template <class Key>
KeyWords words_of(const Key& key) noexcept {
  static_assert(sizeof(Key) == sizeof(KeyWords));
  KeyWords words;
  std::memcpy(&words, &key, sizeof words);
  return words;
}

// Both control words of a line, as one reader found them or as the writer wants them.
template <class Bits>
struct LineControl {
  static constexpr uint32_t kFieldBits = 32;
  static constexpr uint64_t kFieldMask = (uint64_t{1} << kFieldBits) - 1;
  static constexpr uint32_t kRecordMask = (1u << kRecordBits) - 1;
  static constexpr uint32_t kLowMask = (1u << Bits::kLow) - 1;
  static constexpr uint64_t kHighMask = (uint64_t{1} << Bits::kHigh) - 1;
  static constexpr uint64_t kAway = uint64_t{1} << 62;
  static constexpr uint64_t kFar = uint64_t{1} << 63;
  static_assert(kRecordBits + Bits::kLow <= kFieldBits && kLineEntries * Bits::kHigh <= 30);

  std::array<uint64_t, 2> words;

  uint32_t field(uint32_t entry) const noexcept {
    return static_cast<uint32_t>(entry == 2 ? words[1] : words[0] >> (kFieldBits * entry));
  }
  bool used(uint32_t entry) const noexcept { return (field(entry) & kRecordMask) != 0; }
  uint32_t record(uint32_t entry) const noexcept { return (field(entry) & kRecordMask) - 1; }
  uint32_t low(uint32_t entry) const noexcept { return field(entry) >> kRecordBits; }
  uint64_t high(uint32_t entry) const noexcept { return (words[1] >> high_shift(entry)) & kHighMask; }
  // The entry is in one life here and there (unless its version has wrapped around in between).
  bool same_life(const LineControl& other, uint32_t entry) const noexcept {
    return used(entry) && other.used(entry) && low(entry) == other.low(entry) &&
           high(entry) == other.high(entry);
  }

  // Which word a field lies in.
  static constexpr uint32_t word_of(uint32_t entry) noexcept { return entry == 2 ? 1 : 0; }
  void set_field(uint32_t entry, uint32_t low, uint32_t record_and_1) noexcept {
    const uint32_t shift = entry == 1 ? kFieldBits : 0;
    uint64_t& word = words[word_of(entry)];
    word = (word & ~(kFieldMask << shift)) | uint64_t{low << kRecordBits | record_and_1} << shift;
  }
  void set_high(uint32_t entry, uint64_t high) noexcept {
    words[1] = (words[1] & ~(kHighMask << high_shift(entry))) | high << high_shift(entry);
  }

 private:
  static constexpr uint32_t high_shift(uint32_t entry) noexcept { return kFieldBits + 10 * entry; }
};

template <class Sync>
struct alignas(kCacheLine) TableLine {
  using Word = typename Sync::template Atomic<uint64_t>;
  std::array<std::array<Word, 2>, kLineEntries> keys;
  std::array<Word, 2> control;
};

}  // namespace trunkline::core
