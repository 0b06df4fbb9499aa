// The Internet checksum (RFC 1071): the one's complement of the one's-complement sum of 16-bit words.
//
// The idea: the sum does not depend on the order of the bytes within the words (RFC 1071 section 2 (B)), so
// bytes are summed as they lie in memory, on a little-endian machine too, and the result is stored as it is;
// and it may be taken in wider words whose carries are added late (section 2 (C), (D)). Here two 128-bit
// accumulators take 64-bit words: an add and an add with carry each, and no carry is ever lost.
//
// Sums are uint64_t, not folded, in memory order, far below 2^64: they add up. Pure functions, any thread.
// Cost on Zen 4 at 2.6 GHz (BM_Checksum_SumWords): 46 ns for 1200 bytes, 14 ns for 172.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace trunkline::io {

static_assert(std::endian::native == std::endian::little,
              "a last odd byte is the low half of its word, and to_wire16() swaps");

// Sum of `length` bytes at any alignment; an odd last byte is padded with zero (RFC 1071 section 4.1).
inline uint64_t sum_words(const uint8_t* bytes, size_t length) noexcept {
  __extension__ using Wide = unsigned __int128;
  Wide even = 0;
  Wide odd = 0;
  uint64_t words[2];
  for (; length >= 16; bytes += 16, length -= 16) {
    std::memcpy(words, bytes, 16);
    even += words[0];
    odd += words[1];
  }
  even += odd;
  uint64_t tail[2] = {0, 0};
  if (length >= 8) {
    std::memcpy(&tail[0], bytes, 8);
    bytes += 8;
    length -= 8;
  }
  if (length != 0) std::memcpy(&tail[1], bytes, length);
  even += tail[0];
  even += tail[1];
  // Three parts of less than 2^32 each: 2^16 is 1 in this arithmetic, and so is any power of it.
  const auto sum = static_cast<uint64_t>(even);
  return (sum & 0xffff'ffffu) + (sum >> 32) + static_cast<uint64_t>(even >> 64);
}

// The 16-bit one's-complement sum, in memory order. Zero only if everything summed was zero.
inline uint16_t fold_sum(uint64_t sum) noexcept {
  sum = (sum & 0xffff'ffffu) + (sum >> 32);
  sum = (sum & 0xffff'ffffu) + (sum >> 32);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// What a header's checksum field holds, to be stored as it is.
inline uint16_t checksum_of(uint64_t sum) noexcept {
  return static_cast<uint16_t>(~fold_sum(sum));
}

// Whether what was summed, its checksum included, is whole (RFC 1071 section 1 (3)).
inline bool checksum_is_right(uint64_t sum) noexcept {
  return fold_sum(sum) == 0xffff;
}

// A number as its 16 bits lie on the wire, to be summed or stored.
constexpr uint16_t to_wire16(uint32_t value) noexcept {
  return static_cast<uint16_t>((value & 0xff) << 8 | (value >> 8 & 0xff));
}

}  // namespace trunkline::io
