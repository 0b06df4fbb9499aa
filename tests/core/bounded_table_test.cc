// BoundedTable on one thread: the contract, how full it gets, and a std::unordered_map as the model.
#include "core/bounded_table.h"

#include <gtest/gtest.h>

#include <unordered_map>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

using Table = BoundedTable<>;
using Insert = Table::Insert;

TrackId id_of(uint64_t n) {
  TrackId id;
  for (size_t i = 0; i < 8; ++i) id.bytes[15 - i] = static_cast<uint8_t>(n >> (8 * i));
  return id;
}

struct IdHash {
  size_t operator()(const TrackId& id) const { return id.high() * 31 + id.low(); }
};

TEST(BoundedTable, FindsWhatWasInsertedAndNothingElse) {
  Table table(100, {1, 2});
  EXPECT_FALSE(table.find(id_of(1)));
  EXPECT_EQ(table.insert(id_of(1), 10), Insert::kInserted);
  EXPECT_EQ(table.insert(id_of(2), 20), Insert::kInserted);
  EXPECT_EQ(table.find(id_of(1)), 10u);
  EXPECT_EQ(table.find(id_of(2)), 20u);
  EXPECT_FALSE(table.find(id_of(3)));
  EXPECT_EQ(table.size(), 2u);
}

TEST(BoundedTable, ReplacesTheRecordOfAPresentKey) {
  Table table(10, {1, 2});
  table.insert(id_of(1), 10);
  EXPECT_EQ(table.insert(id_of(1), 11), Insert::kUpdated);
  EXPECT_EQ(table.find(id_of(1)), 11u);
  EXPECT_EQ(table.size(), 1u);
}

TEST(BoundedTable, ForgetsWhatWasErased) {
  Table table(10, {1, 2});
  EXPECT_FALSE(table.erase(id_of(1)));
  table.insert(id_of(1), 10);
  EXPECT_TRUE(table.erase(id_of(1)));
  EXPECT_FALSE(table.erase(id_of(1)));
  EXPECT_FALSE(table.find(id_of(1)));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.insert(id_of(1), 12), Insert::kInserted);
  EXPECT_EQ(table.find(id_of(1)), 12u);
}

TEST(BoundedTable, ComparesAllBitsOfTheKey) {
  TrackId base;
  base.bytes.fill(0x5a);
  Table table(200, {3, 4});
  table.insert(base, 1);
  for (size_t bit = 0; bit < 128; ++bit) {
    TrackId other = base;
    other.bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    ASSERT_FALSE(table.find(other)) << bit;
    ASSERT_EQ(table.insert(other, static_cast<uint32_t>(bit) + 2), Insert::kInserted);
  }
  EXPECT_EQ(table.find(base), 1u);
}

TEST(BoundedTable, TakesTheZeroKeyAndTheLargestRecord) {
  Table table(2, {});
  EXPECT_FALSE(table.find(TrackId{}));
  EXPECT_EQ(table.insert(TrackId{}, Table::kNone - 1), Insert::kInserted);
  EXPECT_EQ(table.find(TrackId{}), Table::kNone - 1);
}

// The promise in the header that places hardly ever run out before the capacity does, at every size.
TEST(BoundedTable, FillsToItsCapacityUnderManyKeys) {
  for (uint32_t capacity : {1u, 2u, 8u, 9u, 16u, 17u, 32u, 64u, 128u, 1000u, 1024u, 16'384u, 131'072u}) {
    for (uint64_t seed = 1; seed <= (capacity < 2000 ? 50u : 3u); ++seed) {
      Rng rng(seed);
      Table table(capacity, {rng.next(), rng.next()});
      for (uint32_t i = 0; i < capacity; ++i) {
        ASSERT_EQ(table.insert(id_of(i), i), Insert::kInserted)
            << i << " of " << capacity << ", seed " << seed;
      }
      EXPECT_EQ(table.insert(id_of(capacity), 0), Insert::kFull);
      EXPECT_EQ(table.insert(id_of(0), 7), Insert::kUpdated) << "a full table still updates";
      for (uint32_t i = 1; i < capacity; ++i) ASSERT_EQ(table.find(id_of(i)), i);
      EXPECT_FALSE(table.find(id_of(capacity)));
      EXPECT_TRUE(table.erase(id_of(0)));
      EXPECT_EQ(table.insert(id_of(capacity), 9), Insert::kInserted);
    }
  }
}

// Keys that come and go leave buckets less even than filling them once does: the harder case.
TEST(BoundedTable, StaysUsableToItsCapacityWhileKeysComeAndGo) {
  constexpr uint32_t kCapacity = 65'536;
  Rng rng(21);
  Table table(kCapacity, {rng.next(), rng.next()});
  std::vector<uint64_t> present;
  uint64_t next = 0;
  for (; next < kCapacity; ++next) {
    ASSERT_EQ(table.insert(id_of(next), 1), Insert::kInserted);
    present.push_back(next);
  }
  for (uint32_t i = 0; i < 4 * kCapacity; ++i) {
    uint64_t& victim = present[rng.below(kCapacity)];
    ASSERT_TRUE(table.erase(id_of(victim)));
    victim = next++;
    ASSERT_EQ(table.insert(id_of(victim), 1), Insert::kInserted) << i;
  }
  for (uint64_t n : present) ASSERT_TRUE(table.find(id_of(n)));
}

// Keys that all share the same two buckets: what does not fit there is in the stash, then refused.
TEST(BoundedTable, RefusesAKeyWhosePlacesAreTaken) {
  constexpr HashKey kKey{5, 6};
  Table table(64, kKey);  // 16 buckets
  std::vector<TrackId> twins;
  for (uint64_t n = 0; twins.size() < 60; ++n) {
    const uint64_t hash = keyed_hash16(kKey, id_of(n).bytes.data());
    if ((hash & 15) == 3 && ((hash >> 26) & 14) == 4) twins.push_back(id_of(n));  // buckets 3 and 3 ^ 5
  }
  constexpr uint32_t kPlaces = 2 * 8 + 32;
  for (uint32_t i = 0; i < twins.size(); ++i) {
    ASSERT_EQ(table.insert(twins[i], i), i < kPlaces ? Insert::kInserted : Insert::kFull) << i;
  }
  EXPECT_EQ(table.size(), kPlaces);
  for (uint32_t i = 0; i < twins.size(); ++i) {
    ASSERT_EQ(table.find(twins[i]), i < kPlaces ? std::optional(i) : std::nullopt) << i;
  }
  // A place that becomes free anywhere among them is used again.
  for (uint32_t i : {0u, 9u, 16u, kPlaces - 1}) {
    ASSERT_TRUE(table.erase(twins[i]));
    ASSERT_FALSE(table.find(twins[i]));
    ASSERT_EQ(table.insert(twins[kPlaces + 1], 1000 + i), Insert::kInserted);
    ASSERT_EQ(table.find(twins[kPlaces + 1]), 1000 + i);
    ASSERT_TRUE(table.erase(twins[kPlaces + 1]));
    ASSERT_EQ(table.insert(twins[i], i), Insert::kInserted);
  }
}

TEST(BoundedTable, FindsInBurstsWhatItFindsOneByOne) {
  Table table(1000, {7, 8});
  for (uint32_t i = 0; i < 1000; ++i) table.insert(id_of(i * 3), i);
  std::vector<TrackId> ids;
  for (uint32_t i = 0; i < 500; ++i) ids.push_back(id_of(i));
  for (size_t n : {0u, 1u, 31u, 32u, 33u, 64u, 500u}) {
    std::vector<uint32_t> out(n + 1, 12345);
    table.find_burst(std::span(ids).first(n), out);
    for (uint32_t i = 0; i < n; ++i) ASSERT_EQ(out[i], i % 3 == 0 ? i / 3 : Table::kNone);
    EXPECT_EQ(out[n], 12345u) << "wrote beyond the ids";
  }
}

TEST(BoundedTable, BehavesLikeAnUnorderedMap) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const auto capacity = static_cast<uint32_t>(1 + rng.below(300));
    Table table(capacity, {rng.next(), rng.next()});
    std::unordered_map<TrackId, uint32_t, IdHash> model;
    for (uint32_t i = 0; i < 20'000; ++i) {
      const TrackId id = id_of(rng.below(2 * capacity));
      if (rng.chance(0.55)) {
        const bool known = model.contains(id);
        const Insert expected = known                      ? Insert::kUpdated
                                : model.size() == capacity ? Insert::kFull
                                                           : Insert::kInserted;
        ASSERT_EQ(table.insert(id, i), expected);
        if (expected != Insert::kFull) model[id] = i;
      } else {
        ASSERT_EQ(table.erase(id), model.erase(id) == 1);
      }
      ASSERT_EQ(table.size(), model.size());
      const TrackId probe = id_of(rng.below(2 * capacity));
      const auto at = model.find(probe);
      ASSERT_EQ(table.find(probe), at == model.end() ? std::nullopt : std::optional(at->second));
    }
  }
}

}  // namespace
}  // namespace trunkline::core
