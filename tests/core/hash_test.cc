// The keyed hash against published values: SipHash-2-4 from the paper's authors' reference, SipHash-1-3 as
// CPython computes it.
#include "core/hash.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>

#include "core/rng.h"

namespace trunkline::core {
namespace {

std::array<uint8_t, 64> count_up() {
  std::array<uint8_t, 64> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

TEST(SipHash, MatchesThePublishedVectorsOfTwoFour) {
  // Key 00 01 .. 0f, message the first n bytes of 00 01 ..; the last is Appendix A of the paper.
  constexpr HashKey kKey{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
  constexpr uint64_t kVectors[] = {
      0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
      0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
      0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u, 0x7a5dbbc594ddb9f3u, 0xf4b32f46226bada7u,
      0x751e8fbc860ee5fbu, 0x14ea5627c0843d90u, 0xf723ca908e7af2eeu, 0xa129ca6149be45e5u,
  };
  const auto bytes = count_up();
  for (size_t n = 0; n < std::size(kVectors); ++n) {
    EXPECT_EQ((siphash<2, 4>(kKey, std::span(bytes).first(n))), kVectors[n]) << n;
  }
}

TEST(SipHash, MatchesCpythonsOneThree) {
  // hash(bytes(range(n))) of CPython 3.11 with PYTHONHASHSEED=0, which makes its key zero.
  const struct {
    size_t n;
    uint64_t hash;
  } kVectors[] = {{1, 0x68a914128e01e473u},  {7, 0x2f098ab0c751325au},  {8, 0xead411e67ebe2eeau},
                  {15, 0xf30eb725bb91c9eau}, {16, 0x8972188433a5c5b7u}, {33, 0x7fb71d24dfa4c9f6u}};
  const auto bytes = count_up();
  for (const auto& v : kVectors) {
    EXPECT_EQ(keyed_hash(HashKey{}, std::span(bytes).first(v.n)), v.hash) << v.n;
  }
  EXPECT_EQ(keyed_hash16(HashKey{}, bytes.data()), 0x8972188433a5c5b7u);
}

TEST(SipHash, OfSixteenBytesEqualsTheGeneralOne) {
  Rng rng(1);
  for (int i = 0; i < 1000; ++i) {
    const HashKey key{rng.next(), rng.next()};
    std::array<uint8_t, 16> bytes{};
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.next());
    ASSERT_EQ(keyed_hash16(key, bytes.data()), keyed_hash(key, bytes));
    ASSERT_EQ((siphash16<2, 4>(key, bytes.data())), (siphash<2, 4>(key, bytes)));
  }
}

TEST(SipHash, ChangesHalfItsBitsWithAnyBitOfKeyOrInput) {
  Rng rng(2);
  uint64_t flipped = 0;
  constexpr int kRounds = 4000;
  for (int i = 0; i < kRounds; ++i) {
    HashKey key{rng.next(), rng.next()};
    std::array<uint8_t, 16> bytes{};
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.next());
    const uint64_t before = keyed_hash16(key, bytes.data());
    const uint64_t bit = rng.below(256);
    if (bit < 128) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    } else {
      (bit < 192 ? key.k0 : key.k1) ^= uint64_t{1} << (bit % 64);
    }
    flipped += static_cast<uint64_t>(std::popcount(before ^ keyed_hash16(key, bytes.data())));
  }
  // 32 bits on average; one standard deviation of the mean is 4 / sqrt(4000) = 0.063.
  EXPECT_NEAR(static_cast<double>(flipped) / kRounds, 32.0, 0.4);
}

}  // namespace
}  // namespace trunkline::core
