// How full a BoundedTable gets: a table that holds as many keys as it was made for goes on to take them while
// keys come and go, and where its keys lie is what the header says.
//
// TRUNKLINE_CHURN=N: how many updates (2 x 10^6; 10^8 with `tools/dev test --full`).
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/bounded_table.h"
#include "core/rng.h"

namespace trunkline::core {
namespace {

using Table = BoundedTable<>;

TrackId random_id(Rng& rng) {
  const uint64_t words[2] = {rng.next(), rng.next()};
  TrackId id;
  std::memcpy(id.bytes.data(), words, sizeof words);
  return id;
}

uint64_t updates() {
  const char* text = std::getenv("TRUNKLINE_CHURN");
  return text == nullptr ? 2'000'000 : std::strtoull(text, nullptr, 10);
}

TEST(BoundedTableLoad, TakesEveryKeyOfItsCapacityWhileKeysComeAndGo) {
  constexpr uint32_t kCapacity = 131'072;
  Rng rng(77);
  Table table(kCapacity, {rng.next(), rng.next()});
  std::vector<TrackId> present(kCapacity);
  for (TrackId& id : present) {
    id = random_id(rng);
    ASSERT_EQ(table.insert(id, 1), Table::Insert::kInserted);
  }
  EXPECT_NEAR(table.keys_away() / double{kCapacity}, 0.024, 0.002);
  EXPECT_NEAR(table.keys_in_overflow() / double{kCapacity}, 0.003, 0.001);
  const uint64_t all = updates();
  uint32_t most_away = 0, most_far = 0;
  for (uint64_t done = 0; done < all; done += 2) {
    TrackId& id = present[rng.below(kCapacity)];
    ASSERT_TRUE(table.erase(id));
    id = random_id(rng);
    ASSERT_EQ(table.insert(id, 1), Table::Insert::kInserted) << "after " << done << " updates";
    most_away = std::max(most_away, table.keys_away());
    most_far = std::max(most_far, table.keys_in_overflow());
  }
  EXPECT_NEAR(most_away / double{kCapacity}, 0.073, 0.005);
  EXPECT_NEAR(most_far / double{kCapacity}, 0.0125, 0.0015);
  RecordProperty("updates", std::to_string(all));
  std::printf(
      "%lu updates of a full table of %u keys: none refused; at most %.2f %% away, %.2f %% in the overflow\n",
      static_cast<unsigned long>(all), kCapacity, 100.0 * most_away / kCapacity,
      100.0 * most_far / kCapacity);
  for (const TrackId& id : present) ASSERT_EQ(table.find(id), 1u);
  for (const TrackId& id : present) ASSERT_TRUE(table.erase(id));
  EXPECT_EQ(table.size() + table.keys_away() + table.keys_in_overflow(), 0u);
}

}  // namespace
}  // namespace trunkline::core
