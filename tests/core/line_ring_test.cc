// LineRing: what it does otherwise than SpscRing. What both promise is in ring_contract_test.cc.
#include "core/line_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace trunkline::core {
namespace {

TEST(LineRing, HasALinePerItem) {
  LineRing<uint64_t> ring(4);
  const auto lines = ring.claim(2);
  const auto first = reinterpret_cast<uintptr_t>(&lines[0]), second = reinterpret_cast<uintptr_t>(&lines[1]);
  EXPECT_EQ(first % kCacheLine, 8u);  // behind its sequence
  EXPECT_EQ(second - first, kCacheLine);
}

// A sequence that the memory's last use left would be taken for an item.
TEST(LineRing, BeginsEmptyInMemoryThatWasUsed) {
  alignas(kSharingDistance) std::array<std::byte, LineRing<uint64_t>::bytes_for(8)> memory;
  for (const uint64_t left : {1u, 2u, 3u, 5u}) {  // sequences of the first lap
    for (size_t at = 0; at < memory.size(); at += sizeof left) std::memcpy(&memory[at], &left, sizeof left);
    auto ring = LineRing<uint64_t>::format(memory, 8);
    ASSERT_TRUE(ring);
    uint64_t out = 0;
    EXPECT_FALSE(ring.value().try_pop(out)) << left;
    EXPECT_TRUE(ring.value().peek(8).empty()) << left;
  }
}

}  // namespace
}  // namespace trunkline::core
