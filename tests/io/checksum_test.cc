// The fast Internet checksum against the naive one, over all lengths that matter, alignments, and the values
// where carries are made.
#include "io/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/rng.h"
#include "tests/io/ip_frames_by_hand.h"

namespace trunkline::io {
namespace {

constexpr uint64_t kSeed = 20261122;

// What is stored, as the number that network order says.
uint16_t fast(const uint8_t* bytes, size_t length) {
  return to_wire16(checksum_of(sum_words(bytes, length)));
}

TEST(Checksum, IsTheNaiveOneAtEveryLengthAndAlignment) {
  core::Rng rng(kSeed);
  std::vector<uint8_t> bytes(2048);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
  for (size_t length = 0; length <= 600; ++length) {
    const size_t at = rng.below(64);
    const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const by_hand::Bytes part(first, first + static_cast<std::ptrdiff_t>(length));
    ASSERT_EQ(fast(&bytes[at], length), by_hand::naive_checksum(part)) << length << " bytes at " << at;
  }
}

TEST(Checksum, LosesNoCarry) {
  core::Rng rng(kSeed);
  for (int round = 0; round < 2000; ++round) {
    // Mostly 0xff, so that every addition carries.
    by_hand::Bytes bytes(rng.below(round < 10 ? 65'536 : 2048));
    for (uint8_t& byte : bytes) byte = rng.chance(0.01) ? static_cast<uint8_t>(rng.next()) : uint8_t{0xff};
    ASSERT_EQ(fast(bytes.data(), bytes.size()), by_hand::naive_checksum(bytes)) << round;
  }
}

TEST(Checksum, OfPartsOfEvenLengthAddsUp) {
  core::Rng rng(kSeed);
  by_hand::Bytes bytes(1500);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
  for (size_t cut = 0; cut <= bytes.size(); cut += 2) {
    const uint64_t sum = sum_words(bytes.data(), cut) + sum_words(bytes.data() + cut, bytes.size() - cut);
    ASSERT_EQ(to_wire16(checksum_of(sum)), by_hand::naive_checksum(bytes));
  }
}

TEST(Checksum, IsRightWhenItIsPartOfTheSum) {
  core::Rng rng(kSeed);
  for (int round = 0; round < 1000; ++round) {
    by_hand::Bytes bytes(2 + 2 * rng.below(700));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
    by_hand::set16(bytes, 0, 0);
    by_hand::set16(bytes, 0, by_hand::naive_checksum(bytes));
    ASSERT_TRUE(checksum_is_right(sum_words(bytes.data(), bytes.size())));
    bytes[rng.below(bytes.size())] ^= static_cast<uint8_t>(1u << rng.below(8));
    ASSERT_FALSE(checksum_is_right(sum_words(bytes.data(), bytes.size())));
  }
}

// RFC 1071 section 3's example.
TEST(Checksum, IsTheOneOfTheRfc) {
  const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(to_wire16(fold_sum(sum_words(bytes, sizeof bytes))), 0xddf2);
}

}  // namespace
}  // namespace trunkline::io
