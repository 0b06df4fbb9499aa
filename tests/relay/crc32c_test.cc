// CRC-32C against the examples of RFC 3720, appendix B.4, and against a bit-at-a-time computation.
#include "relay/crc32c.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "core/rng.h"
#include "relay/text.h"

namespace trunkline::relay {
namespace {

uint32_t bit_by_bit(std::span<const uint8_t> bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

// By the CPU's instruction, where it has one, and by tables.
using Way = uint32_t (*)(std::span<const uint8_t>, uint32_t) noexcept;
class Crc32c : public testing::TestWithParam<Way> {
 protected:
  static uint32_t crc(std::span<const uint8_t> bytes, uint32_t seed = 0) { return GetParam()(bytes, seed); }
};
INSTANTIATE_TEST_SUITE_P(BothWays, Crc32c, testing::Values(&crc32c, &crc32c_by_tables));

TEST_P(Crc32c, GivesThePublishedValues) {
  EXPECT_EQ(crc({}), 0u);
  EXPECT_EQ(crc(as_bytes("123456789")), 0xe3069283);
  // RFC 3720 prints the bytes as sent, lowest first: aa 36 91 8a.
  EXPECT_EQ(crc(std::vector<uint8_t>(32, 0)), 0x8a9136aa);
  EXPECT_EQ(crc(std::vector<uint8_t>(32, 0xff)), 0x62a8ab43);
  std::vector<uint8_t> rising(32);
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(crc(rising), 0x46dd794e);
}

TEST_P(Crc32c, AgreesWithTheDefinitionAtEveryLengthAndCut) {
  core::Rng rng(3);
  std::vector<uint8_t> bytes;
  for (size_t length = 0; length < 100; ++length) {
    const uint32_t whole = bit_by_bit(bytes);
    EXPECT_EQ(crc(bytes), whole) << length;
    const size_t cut = rng.below(length + 1);
    const std::span<const uint8_t> all(bytes);
    EXPECT_EQ(crc(all.subspan(cut), crc(all.first(cut))), whole) << length << " cut at " << cut;
    bytes.push_back(static_cast<uint8_t>(rng.next()));
  }
}

}  // namespace
}  // namespace trunkline::relay
