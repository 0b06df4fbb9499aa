// FlowKey: plain RTP flows as keys of the bounded table.
#include "core/flow_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

// Every flow has the same hash: only the keys tell them apart.
struct OneHashTraits : TableTraits {
  using Hash = tests::OneHash;
};

TEST(FlowKey, IsSixteenBytesOfWhichTheRestIsZero) {
  const FlowKey key = FlowKey::of(5004, 0x01020304);
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &key, sizeof key);
  EXPECT_EQ(key.port, 5004);
  EXPECT_EQ(key.ssrc, 0x01020304u);
  for (size_t i = 6; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], 0) << i;
}

TEST(FlowTable, TellsTheSameSsrcOnTwoPortsApart) {
  FlowTable table(100, {1, 2});
  ASSERT_EQ(table.insert(FlowKey::of(5004, 77), 1), FlowTable::Insert::kInserted);
  EXPECT_FALSE(table.find(FlowKey::of(5006, 77)));
  ASSERT_EQ(table.insert(FlowKey::of(5006, 77), 2), FlowTable::Insert::kInserted);
  EXPECT_EQ(table.find(FlowKey::of(5004, 77)), 1u);
  EXPECT_EQ(table.find(FlowKey::of(5006, 77)), 2u);
  EXPECT_TRUE(table.erase(FlowKey::of(5004, 77)));
  EXPECT_FALSE(table.find(FlowKey::of(5004, 77)));
  EXPECT_EQ(table.find(FlowKey::of(5006, 77)), 2u);
}

// Also when the hashes agree in every bit.
TEST(FlowTable, ComparesEveryBitOfPortAndSsrc) {
  BoundedTable<FlowKey, StdSync, OneHashTraits> table(100, {1, 2});
  constexpr uint16_t kPort = 0xa5c3;
  constexpr uint32_t kSsrc = 0x12345678;
  table.insert(FlowKey::of(kPort, kSsrc), 1);
  for (uint32_t bit = 0; bit < 16; ++bit)
    EXPECT_FALSE(table.find(FlowKey::of(static_cast<uint16_t>(kPort ^ 1u << bit), kSsrc))) << bit;
  for (uint32_t bit = 0; bit < 32; ++bit)
    EXPECT_FALSE(table.find(FlowKey::of(kPort, kSsrc ^ 1u << bit))) << bit;
  EXPECT_EQ(table.find(FlowKey::of(kPort, kSsrc)), 1u);
}

// A port pair, and one port for all, as senders use them; half of the flows asked for are there.
TEST(FlowTable, FindsABurstOfFlowsAndNoOthers) {
  constexpr uint32_t kFlows = 1000;
  FlowTable table(kFlows, {3, 4});
  std::vector<FlowKey> asked;
  for (uint32_t i = 0; i < kFlows; ++i) {
    const FlowKey present = FlowKey::of(static_cast<uint16_t>(5004 + 2 * (i % 2)), i * 2654435761u);
    ASSERT_EQ(table.insert(present, i), FlowTable::Insert::kInserted);
    asked.push_back(present);
    asked.push_back(FlowKey::of(static_cast<uint16_t>(present.port + 1), present.ssrc));
  }
  std::vector<uint32_t> found(asked.size());
  table.find_burst(asked, found);
  for (uint32_t i = 0; i < kFlows; ++i) {
    EXPECT_EQ(found[2 * i], i);
    EXPECT_EQ(found[2 * i + 1], FlowTable::kNone) << i;
  }
}

TEST(TrackTable, IsTheTableOfTracks) {
  TrackTable table(10, {1, 2});
  TrackId id;
  id.bytes[3] = 9;
  ASSERT_EQ(table.insert(id, 5), TrackTable::Insert::kInserted);
  EXPECT_EQ(table.find(id), 5u);
  EXPECT_FALSE(table.find(TrackId{}));
}

}  // namespace
}  // namespace trunkline::core
