// Keyed 64-bit hashes for tables whose keys strangers choose: whoever does not know the key cannot aim at one
// bucket. SipHash by Aumasson and Bernstein ("SipHash: a fast short-input PRF", 2012; public domain
// algorithm). One compression and three finalisation rounds, as Rust's and Python's tables use it; the
// paper's own 2-4 is what the published test vectors are for, so the rounds are template parameters.
//
// Pure functions. keyed_hash16 takes 8 ns (BM_KeyedHash16, Zen 4 at 2.6 GHz), without a branch or a loop left
// after compilation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace trunkline::core {

static_assert(std::endian::native == std::endian::little, "the hash reads its input as little-endian words");

// 128 secret bits, drawn once at start.
struct HashKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

namespace detail {

struct SipState {
  uint64_t v0, v1, v2, v3;

  // The four constants spell "somepseudorandomlygeneratedbytes" (the paper, section 2).
  explicit SipState(HashKey key) noexcept
      : v0(key.k0 ^ 0x736f6d6570736575u),
        v1(key.k1 ^ 0x646f72616e646f6du),
        v2(key.k0 ^ 0x6c7967656e657261u),
        v3(key.k1 ^ 0x7465646279746573u) {}

  void round() noexcept {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  template <int kRounds>
  void absorb(uint64_t word) noexcept {
    v3 ^= word;
    for (int i = 0; i < kRounds; ++i) round();
    v0 ^= word;
  }
  template <int kRounds>
  uint64_t finish() noexcept {
    v2 ^= 0xff;
    for (int i = 0; i < kRounds; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

inline uint64_t load_word(const uint8_t* from) noexcept {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

}  // namespace detail

// SipHash-kCompress-kFinish of any bytes.
template <int kCompress, int kFinish>
uint64_t siphash(HashKey key, std::span<const uint8_t> bytes) noexcept {
  detail::SipState state(key);
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) state.absorb<kCompress>(detail::load_word(bytes.data() + at));
  // The last word: what is left, and the length (mod 256) in the highest byte.
  uint64_t last = static_cast<uint64_t>(bytes.size()) << 56;
  for (size_t i = 0; at + i < bytes.size(); ++i) last |= static_cast<uint64_t>(bytes[at + i]) << (8 * i);
  state.absorb<kCompress>(last);
  return state.finish<kFinish>();
}

// The same for exactly 16 bytes: siphash16<C, F>(key, p) == siphash<C, F>(key, {p, 16}).
template <int kCompress, int kFinish>
uint64_t siphash16(HashKey key, const uint8_t* bytes) noexcept {
  detail::SipState state(key);
  state.absorb<kCompress>(detail::load_word(bytes));
  state.absorb<kCompress>(detail::load_word(bytes + 8));
  state.absorb<kCompress>(uint64_t{16} << 56);
  return state.finish<kFinish>();
}

inline uint64_t keyed_hash(HashKey key, std::span<const uint8_t> bytes) noexcept {
  return siphash<1, 3>(key, bytes);
}

inline uint64_t keyed_hash16(HashKey key, const uint8_t bytes[16]) noexcept {
  return siphash16<1, 3>(key, bytes);
}

}  // namespace trunkline::core
