// BoundedTable under readers. Every record tells whose it is, so a record of another key cannot pass; keys
// that stay must always be found; a key that is only updated must never be missing or go back.
#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "core/bounded_table.h"
#include "core/rng.h"
#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

using tests::id_of;
using Table = BoundedTable<>;

constexpr HashKey kKey{11, 12};
constexpr uint32_t kOwnerBits = 8;  // a record is version << 8 | owner
constexpr uint32_t kStaying = 3;    // keys 0 .. 2 are inserted once; key 3 is updated; the rest come and go
constexpr uint32_t kUpdated = kStaying;
constexpr uint32_t kKeys = 8;
constexpr uint32_t kChanges = 120'000;
constexpr uint32_t kCapacity = 64;

// Keys of one first line, so that every look-up meets entries that change hands: the hardest case for a
// reader.
std::vector<TrackId> look_alikes(size_t count) {
  const KeyedHash hash(kKey);
  const auto in_first_line = [&](const TrackId& id) {
    return static_cast<uint32_t>(hash(id.bytes.data())) < UINT32_MAX / kCapacity;
  };
  std::vector<TrackId> ids;
  for (uint64_t n = 0; ids.size() < count; ++n) {
    if (in_first_line(id_of(n))) ids.push_back(id_of(n));
  }
  return ids;
}

struct Findings {
  uint64_t strangers = 0;  // a record of another key
  uint64_t missing = 0;    // a key that was there all the time was not found
  uint64_t went_back = 0;  // an older version after a newer one
  uint64_t hits = 0;
  uint64_t misses = 0;
};

Findings read(const Table& table, const std::vector<TrackId>& ids, const Atomic<uint32_t>& done) {
  Findings f;
  std::array<uint32_t, kKeys> newest{};
  std::array<uint32_t, kKeys> found;
  bool last_round = false;
  for (bool burst = false; !last_round; burst = !burst) {
    last_round = done.load_acquire() != 0;  // D1 -> E1: at least one round with readers alone
    if (burst) {
      table.find_burst(ids, found);
    } else {
      for (uint32_t i = 0; i < kKeys; ++i) found[i] = table.find(ids[i]).value_or(Table::kNone);
    }
    for (uint32_t i = 0; i < kKeys; ++i) {
      if (found[i] == Table::kNone) {
        f.missing += i <= kUpdated;
        ++f.misses;
        continue;
      }
      ++f.hits;
      f.strangers += (found[i] & ((1u << kOwnerBits) - 1)) != i;
      f.went_back += found[i] >> kOwnerBits < newest[i];
      newest[i] = found[i] >> kOwnerBits;
    }
  }
  return f;
}

void change(Table& table, const std::vector<TrackId>& ids, uint64_t& refused) {
  Rng rng(1);
  for (uint32_t version = 1; version <= kChanges; ++version) {
    const auto i = static_cast<uint32_t>(kUpdated + rng.below(kKeys - kUpdated));
    const uint32_t record = version << kOwnerBits | i;
    // Erasing first frees a place that the next insertion, of any key, takes at once.
    if (i != kUpdated && rng.chance(0.6)) table.erase(ids[i]);
    if (i == kUpdated || rng.chance(0.6)) refused += table.insert(ids[i], record) == Table::Insert::kFull;
  }
}

TEST(BoundedTableStress, ReadersNeverSeeAStrangersRecordNorMissAKeyThatStays) {
  const std::vector<TrackId> ids = look_alikes(kKeys);
  Table table(kCapacity, kKey);
  for (uint32_t i = 0; i <= kUpdated; ++i) ASSERT_EQ(table.insert(ids[i], i), Table::Insert::kInserted);
  Atomic<uint32_t> done(0);
  std::array<Findings, 2> findings;
  std::array<std::thread, 2> readers;
  for (size_t r = 0; r < readers.size(); ++r) {
    readers[r] = std::thread([&, r] { findings[r] = read(table, ids, done); });
  }
  uint64_t refused = 0;
  change(table, ids, refused);
  done.store_release(1);  // D1
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(refused, 0u);
  for (const Findings& f : findings) {
    EXPECT_EQ(f.strangers, 0u);
    EXPECT_EQ(f.missing, 0u);
    EXPECT_EQ(f.went_back, 0u);
    EXPECT_GT(f.hits, 0u);
  }
}

// The same for keys that the overflow holds, where two more bits decide how far a reader looks.
TEST(BoundedTableStress, ReadersNeverMissAKeyThatStaysInTheOverflow) {
  constexpr uint32_t kStays = 6, kAll = 12;  // keys 0 .. 5 fill two lines
  Table table(kCapacity, kKey);
  const std::vector<TrackId> twins = look_alikes(kAll);
  for (uint32_t i = 0; i <= kStays; ++i) ASSERT_EQ(table.insert(twins[i], i), Table::Insert::kInserted);
  Atomic<uint32_t> done(0);
  uint64_t missing = 0;
  uint64_t strangers = 0;
  std::thread reader([&] {
    for (bool last_round = false; !last_round;) {
      last_round = done.load_acquire() != 0;  // E1
      missing += table.find(twins[kStays]) != kStays;
      for (uint32_t i = kStays + 1; i < kAll; ++i) strangers += table.find(twins[i]).value_or(i) != i;
      std::array<uint32_t, kAll> found;
      table.find_burst(twins, found);
      missing += found[kStays] != kStays;
      for (uint32_t i = 0; i < kAll; ++i) strangers += found[i] != Table::kNone && found[i] != i;
    }
  });
  Rng rng(2);
  for (uint32_t round = 0; round < kChanges; ++round) {
    // All but the one that stays: the first and the second line, too, have room at times.
    auto i = static_cast<uint32_t>(rng.below(kAll - 1));
    i += i >= kStays;
    if (!table.erase(twins[i])) table.insert(twins[i], i);
  }
  done.store_release(1);  // D1
  reader.join();
  EXPECT_EQ(missing, 0u);
  EXPECT_EQ(strangers, 0u);
}

}  // namespace
}  // namespace trunkline::core
