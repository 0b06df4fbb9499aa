// KeyedHash: the AES rounds are those of the standard, each key is hashed as if it were alone, and what goes
// in cannot be seen in what comes out.
#include "core/keyed_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

using State = std::array<uint8_t, 16>;

// FIPS 197, section 4.2: multiplication in GF(2^8).
uint8_t multiply(uint8_t a, uint8_t b) {
  unsigned int product = 0;
  for (unsigned int x = a; b != 0; b = static_cast<uint8_t>(b >> 1), x = x << 1 ^ (x >> 7 != 0 ? 0x11b : 0)) {
    if ((b & 1) != 0) product ^= x;
  }
  return static_cast<uint8_t>(product);
}
// Section 5.1.1: the inverse, then an affine map.
uint8_t substitute(uint8_t a) {
  uint8_t inverse = 0;
  for (unsigned int b = 1; b < 256 && a != 0; ++b) {
    if (multiply(a, static_cast<uint8_t>(b)) == 1) inverse = static_cast<uint8_t>(b);
  }
  uint8_t out = 0x63;
  for (int shift = 0; shift < 5; ++shift) out ^= std::rotl(inverse, shift);
  return out;
}
// Section 5.1: one round.
State round_of(const State& in, const State& key) {
  State out{};
  for (size_t column = 0; column < 4; ++column) {
    std::array<uint8_t, 4> s;
    for (size_t row = 0; row < 4; ++row) s[row] = substitute(in[4 * ((column + row) % 4) + row]);
    for (size_t row = 0; row < 4; ++row) {
      out[4 * column + row] =
          static_cast<uint8_t>(multiply(2, s[row]) ^ multiply(3, s[(row + 1) % 4]) ^ s[(row + 2) % 4] ^
                               s[(row + 3) % 4] ^ key[4 * column + row]);
    }
  }
  return out;
}

std::vector<State> random_keys(uint64_t seed, size_t count) {
  Rng rng(seed);
  std::vector<State> keys(count);
  for (State& key : keys) {
    for (uint8_t& byte : key) byte = static_cast<uint8_t>(rng.next());
  }
  return keys;
}

TEST(KeyedHash, IsFourRoundsOfAes) {
  const KeyedHash hash({1, 2});
  if (!hash.uses_aes()) GTEST_SKIP() << "this processor has no AES instructions";
  std::array<State, KeyedHash::kRounds + 1> round_keys;
  std::memcpy(round_keys.data(), hash.round_keys().data(), sizeof round_keys);
  for (const State& key : random_keys(1, 100)) {
    State state;
    for (size_t i = 0; i < state.size(); ++i) state[i] = key[i] ^ round_keys[0][i];
    for (size_t round = 1; round < round_keys.size(); ++round) state = round_of(state, round_keys[round]);
    uint64_t expected;
    std::memcpy(&expected, state.data(), sizeof expected);
    ASSERT_EQ(hash(key.data()), expected);
  }
}

TEST(KeyedHash, IsSipHashWhereThereIsNoAes) {
  const KeyedHash hash({3, 4}, KeyedHash::Use::kPortable);
  EXPECT_FALSE(hash.uses_aes());
  for (const State& key : random_keys(2, 10)) EXPECT_EQ(hash(key.data()), keyed_hash16({3, 4}, key.data()));
}

TEST(KeyedHash, HashesABurstAsItHashesEachKey) {
  const std::vector<State> keys = random_keys(3, 67);
  for (const auto use : {KeyedHash::Use::kBest, KeyedHash::Use::kPortable}) {
    const KeyedHash hash({5, 6}, use);
    for (size_t n : {0u, 1u, 5u, 67u}) {
      std::vector<uint64_t> hashes(n + 1, 77);
      hash.burst(keys[0].data(), n, hashes.data());
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(hashes[i], hash(keys[i].data()));
      EXPECT_EQ(hashes[n], 77u);
    }
  }
}

// One bit of the key, or of the secret, changes each bit of the hash every other time: within five standard
// deviations of 2000 tosses.
TEST(KeyedHash, ChangesEachBitEveryOtherTime) {
  constexpr uint32_t kTosses = 2000;
  const double most = 5 * std::sqrt(kTosses) / 2;
  const std::vector<State> keys = random_keys(4, kTosses);
  for (uint32_t bit = 0; bit < 128; bit += 7) {
    std::array<uint32_t, 64> by_key{}, by_secret{};
    const KeyedHash hash({7, 8}), other({7, 8 ^ uint64_t{1} << bit % 64});
    for (const State& key : keys) {
      State changed = key;
      changed[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      const uint64_t flipped = hash(key.data()) ^ hash(changed.data());
      const uint64_t foreign = hash(key.data()) ^ other(key.data());
      for (uint32_t b = 0; b < 64; ++b) {
        by_key[b] += flipped >> b & 1;
        by_secret[b] += foreign >> b & 1;
      }
    }
    for (uint32_t b = 0; b < 64; ++b) {
      ASSERT_NEAR(by_key[b], kTosses / 2, most) << "key bit " << bit << ", hash bit " << b;
      ASSERT_NEAR(by_secret[b], kTosses / 2, most) << "secret bit " << bit % 64 << ", hash bit " << b;
    }
  }
}

// Keys that count up, as careless hosts give them, spread like random ones: chi-square of 256 lines, by the
// lower and the upper half of the hash, within five standard deviations.
TEST(KeyedHash, SpreadsKeysThatCountUp) {
  constexpr uint32_t kLines = 256, kPerLine = 400;
  const KeyedHash hash({9, 10});
  std::array<std::array<double, kLines>, 2> lines{};
  for (uint64_t n = 0; n < kLines * kPerLine; ++n) {
    State key{};
    std::memcpy(key.data() + 8, &n, sizeof n);
    const uint64_t h = hash(key.data());
    ++lines[0][static_cast<uint32_t>(h) >> 24];
    ++lines[1][h >> 56];
  }
  for (const auto& half : lines) {
    double chi_square = 0;
    for (const double found : half) chi_square += (found - kPerLine) * (found - kPerLine) / kPerLine;
    EXPECT_NEAR(chi_square, kLines - 1, 5 * std::sqrt(2.0 * (kLines - 1)));
  }
}

}  // namespace
}  // namespace trunkline::core
