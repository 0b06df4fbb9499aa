// A small seeded generator (xoshiro256** by Blackman and Vigna, public domain algorithm; seeded by
// SplitMix64). Everything random in core, io and relay draws from one of these, handed in: the same seed
// gives the same run. Not for secrets. One owner, one thread.
#pragma once

#include <cstdint>

namespace trunkline::core {

class Rng {
 public:
  explicit constexpr Rng(uint64_t seed) noexcept {
    for (uint64_t& word : state_) word = split_mix(seed);
  }

  constexpr uint64_t next() noexcept {
    const uint64_t result = rotl(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotl(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound), bound > 0; bias below 2^-32 for the bounds in use (Lemire's multiply-shift).
  constexpr uint64_t below(uint64_t bound) noexcept {
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  // Uniform in [0, 1).
  constexpr double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  constexpr bool chance(double probability) noexcept { return unit() < probability; }

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr uint64_t rotl(uint64_t x, int k) noexcept { return (x << k) | (x >> (64 - k)); }
  static constexpr uint64_t split_mix(uint64_t& seed) noexcept {
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t state_[4]{};
};

}  // namespace trunkline::core
