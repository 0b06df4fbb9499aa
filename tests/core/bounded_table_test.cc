// BoundedTable on one thread: the contract, how full it gets, and a std::unordered_map as the model. What
// look-ups find is asked of both ways to search, vectors where there are any and word by word.
#include "core/bounded_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "core/rng.h"
#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

using tests::id_of;
using Table = BoundedTable<>;
using Insert = Table::Insert;

// Word by word on every processor.
struct PlainTraits : TableTraits {};
using PlainTable = BoundedTable<TrackId, StdSync, PlainTraits>;

struct OneHashTraits : TableTraits {
  using Hash = tests::OneHash;
};
using OneHashTable = BoundedTable<TrackId, StdSync, OneHashTraits>;

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
  EXPECT_EQ(table.insert(TrackId{}, Table::kMaxRecord), Insert::kInserted);
  EXPECT_EQ(table.find(TrackId{}), Table::kMaxRecord);
  EXPECT_DEATH(table.insert(id_of(1), Table::kMaxRecord + 1), "kMaxRecord");
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

// Keys that agree in every bit of the hash: two lines and two in the overflow hold 12 of them, and each is
// told from all others by its own 128 bits.
TEST(BoundedTable, RefusesAKeyWhosePlacesAreTaken) {
  using OneInsert = OneHashTable::Insert;
  OneHashTable table(64, {5, 6});
  constexpr uint32_t kPlaces = 12;
  for (uint32_t i = 0; i < 20; ++i) {
    ASSERT_EQ(table.insert(id_of(i), i), i < kPlaces ? OneInsert::kInserted : OneInsert::kFull) << i;
  }
  EXPECT_EQ(table.size(), kPlaces);
  std::vector<TrackId> all;
  for (uint32_t i = 0; i < 20; ++i) all.push_back(id_of(i));
  std::vector<uint32_t> found(all.size());
  table.find_burst(all, found);
  for (uint32_t i = 0; i < 20; ++i) {
    ASSERT_EQ(table.find(id_of(i)), i < kPlaces ? std::optional(i) : std::nullopt) << i;
    ASSERT_EQ(found[i], i < kPlaces ? i : OneHashTable::kNone) << i;
  }
  // A place that becomes free anywhere among them is used again, and no other key is lost by it.
  for (uint32_t gone = 0; gone < kPlaces; ++gone) {
    ASSERT_TRUE(table.erase(id_of(gone)));
    ASSERT_FALSE(table.find(id_of(gone)));
    ASSERT_EQ(table.insert(id_of(100), 1000 + gone), OneInsert::kInserted);
    ASSERT_EQ(table.find(id_of(100)), 1000 + gone);
    for (uint32_t i = 0; i < kPlaces; ++i) {
      ASSERT_EQ(table.find(id_of(i)), i == gone ? std::nullopt : std::optional(i)) << gone << ' ' << i;
    }
    ASSERT_TRUE(table.erase(id_of(100)));
    ASSERT_EQ(table.insert(id_of(gone), gone), OneInsert::kInserted);
  }
}

// What an operator sees of how far keys lie from home.
TEST(BoundedTable, CountsTheKeysThatLieAway) {
  OneHashTable table(12, {});
  for (uint32_t i = 0; i < 12; ++i) {
    EXPECT_EQ(table.keys_away(), i < 3 ? 0 : i - 3);
    EXPECT_EQ(table.keys_in_overflow(), i < 6 ? 0 : i - 6);
    table.insert(id_of(i), i);
  }
  for (uint32_t i = 0; i < 3; ++i) table.erase(id_of(i));
  EXPECT_EQ(table.keys_away(), 9u);
  for (uint32_t i = 3; i < 12; ++i) table.erase(id_of(i));
  EXPECT_EQ(table.keys_away() + table.keys_in_overflow(), 0u);
}

// Every key has the same first line, and places of its own in the overflow.
struct OneFirstLine {
  explicit OneFirstLine(HashKey) {}
  uint64_t operator()(const uint8_t* key) const noexcept {
    return uint64_t{key[14]} << 40 | uint64_t{key[15]} << 32;
  }
  void burst(const uint8_t* keys, size_t n, uint64_t* hashes) const noexcept {
    for (size_t i = 0; i < n; ++i) hashes[i] = (*this)(keys + 16 * i);
  }
};
struct WideOverflow : TableTraits {
  using Hash = OneFirstLine;
  static constexpr uint32_t kLeastOverflow = 512;
};

// More of one line's keys lie elsewhere than it can count: none is lost when others go.
TEST(BoundedTable, KeepsKeysOfALineThatHasMoreAwayThanItCounts) {
  constexpr uint32_t kKeys = 400;
  BoundedTable<TrackId, StdSync, WideOverflow> table(kKeys, {});
  for (uint32_t i = 0; i < kKeys; ++i) table.insert(id_of(i), i);
  ASSERT_EQ(table.size(), kKeys);
  ASSERT_GT(table.keys_in_overflow(), 300u);
  for (uint32_t gone = 0; gone < kKeys; ++gone) {
    ASSERT_TRUE(table.erase(id_of(gone)));
    for (uint32_t i = gone + 1; i < kKeys; ++i) ASSERT_EQ(table.find(id_of(i)), i) << gone;
  }
}

// The lives of an entry wrap around what the line can count: 70 000 of them in one place, and more than 255
// keys away from their first line at some time.
TEST(BoundedTable, UsesAnEntryMoreOftenThanItsVersionCounts) {
  OneHashTable table(8, {});
  table.insert(id_of(1), 1);
  for (uint32_t life = 0; life < 70'000; ++life) {
    const TrackId id = id_of(2 + life % 2);
    ASSERT_EQ(table.insert(id, life), OneHashTable::Insert::kInserted);
    ASSERT_EQ(table.find(id), life);
    ASSERT_FALSE(table.find(id_of(3 - life % 2)));
    ASSERT_TRUE(table.erase(id));
    ASSERT_EQ(table.find(id_of(1)), 1u);
  }
}

TEST(BoundedTable, MakesItsLinesOfTheSourcesMemory) {
  struct Source final : PageSource {
    HeapPageSource heap;
    size_t taken = 0;
    std::span<uint8_t> take(size_t bytes) override {
      taken += bytes + 64;
      return heap.take(bytes + 64).subspan(64);  // as little aligned as the contract allows
    }
  } pages;
  Table table(10'000, {1, 2}, pages);
  EXPECT_GE(pages.taken, 10'000u * 64);
  EXPECT_LE(pages.taken, 10'000u * 70);
  for (uint32_t i = 0; i < 10'000; ++i) ASSERT_EQ(table.insert(id_of(i), i), Insert::kInserted);
  for (uint32_t i = 0; i < 10'000; ++i) ASSERT_EQ(table.find(id_of(i)), i);
}

template <class AnyTable>
void finds_in_bursts_what_it_finds_one_by_one() {
  AnyTable table(1000, {7, 8});
  for (uint32_t i = 0; i < 1000; ++i) table.insert(id_of(i * 3), i);
  for (uint32_t i = 900; i < 1000; ++i) table.erase(id_of(i * 3));
  std::vector<TrackId> ids;
  for (uint32_t i = 0; i < 3000; ++i) ids.push_back(id_of(i));
  for (size_t n : {0u, 1u, 7u, 8u, 9u, 31u, 32u, 33u, 63u, 64u, 65u, 500u, 3000u}) {
    std::vector<uint32_t> out(n + 1, 12345);
    table.find_burst(std::span(ids).first(n), out);
    for (uint32_t i = 0; i < n; ++i) {
      const bool present = i % 3 == 0 && i < 2700;
      ASSERT_EQ(out[i], present ? i / 3 : AnyTable::kNone) << i << " of " << n;
      ASSERT_EQ(table.find(ids[i]), present ? std::optional(i / 3) : std::nullopt);
    }
    EXPECT_EQ(out[n], 12345u) << "wrote beyond the ids";
  }
}

TEST(BoundedTable, FindsInBurstsWhatItFindsOneByOne) {
  finds_in_bursts_what_it_finds_one_by_one<Table>();
  finds_in_bursts_what_it_finds_one_by_one<PlainTable>();
  EXPECT_EQ(sizeof(Table), sizeof(PlainTable));
}

template <class AnyTable>
void behaves_like_an_unordered_map(uint64_t seed, uint32_t most) {
  SCOPED_TRACE(seed);
  Rng rng(seed);
  const auto capacity = static_cast<uint32_t>(1 + rng.below(most));
  AnyTable table(capacity, {rng.next(), rng.next()});
  std::unordered_map<TrackId, uint32_t, IdHash> model;
  std::array<TrackId, 64> asked;
  std::array<uint32_t, 64> found;
  for (uint32_t i = 0; i < 20'000; ++i) {
    const TrackId id = id_of(rng.below(2 * capacity));
    if (rng.chance(0.55)) {
      const bool known = model.contains(id);
      const auto expected = known                      ? AnyTable::Insert::kUpdated
                            : model.size() == capacity ? AnyTable::Insert::kFull
                                                       : AnyTable::Insert::kInserted;
      ASSERT_EQ(table.insert(id, i), expected);
      if (expected != AnyTable::Insert::kFull) model[id] = i;
    } else {
      ASSERT_EQ(table.erase(id), model.erase(id) == 1);
    }
    ASSERT_EQ(table.size(), model.size());
    asked[i % 64] = id_of(rng.below(2 * capacity));
    if (i % 64 != 63) continue;
    table.find_burst(asked, found);
    for (uint32_t k = 0; k < 64; ++k) {
      const auto at = model.find(asked[k]);
      ASSERT_EQ(found[k], at == model.end() ? AnyTable::kNone : at->second);
      ASSERT_EQ(table.find(asked[k]).value_or(AnyTable::kNone), found[k]);
    }
  }
}

TEST(BoundedTable, BehavesLikeAnUnorderedMap) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    behaves_like_an_unordered_map<Table>(seed, 300);
    behaves_like_an_unordered_map<PlainTable>(seed, 300);
    behaves_like_an_unordered_map<OneHashTable>(seed, 12);
  }
}

}  // namespace
}  // namespace trunkline::core
