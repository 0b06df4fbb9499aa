// LocationTable under readers. Tracks move between two owners, one of which restarts or gives its slot away
// behind them, so they are never absent; what a generation, a tag and an owner say must agree and never go
// back.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/location_table.h"
#include "core/rng.h"
#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

using tests::id_of;
using Locations = LocationTable<>;
using State = Location::State;

constexpr HashKey kKey{51, 52};
constexpr uint32_t kTracks = 8;  // those that only move; as many more come and go
constexpr uint32_t kRepeats = 10;
constexpr uint32_t kRounds = 16'000;  // restarts of an owner: fewer than half of its tags
constexpr Nanos kNow = from_s(1);
constexpr Nanos kOver = from_ms(1);  // before kNow

// In slot s each tag t is of a node and an incarnation that tell both.
NodeId node_of(uint32_t slot, uint32_t tag) {
  return {tag % 2 * 2 + slot + 1};
}
uint64_t incarnation_of(uint32_t slot, uint32_t tag) {
  return tag * 2 + slot + 1;
}

struct Findings {
  uint64_t absent = 0;     // a track that somebody had all the time
  uint64_t went_back = 0;  // an owner's earlier tag after a later one
  uint64_t strangers = 0;  // an owner whose node and incarnation are not of its tag
  uint64_t gone = 0;       // a track that was never withdrawn
  uint64_t live = 0;
  uint64_t stale = 0;
  uint64_t dead = 0;  // answers whose owner had gone when it was asked for
};

class Reader {
 public:
  explicit Reader(const Locations& table) : table_(table) {
    for (uint64_t i = 0; i < 2 * kTracks; ++i) ids_.push_back(id_of(i));
  }
  void run(const Atomic<uint32_t>& done) {
    std::array<Location, 2 * kTracks> found;
    bool last_round = false;
    for (bool burst = false; !last_round; burst = !burst) {
      last_round = done.load_acquire() != 0;  // D1 -> E1: at least one round with readers alone
      if (burst) {
        table_.find_burst(ids_, kNow, found);
      } else {
        for (uint32_t i = 0; i < found.size(); ++i) found[i] = table_.find(ids_[i], kNow);
      }
      for (uint32_t i = 0; i < found.size(); ++i) judge(i, found[i]);
    }
  }
  Findings findings;

 private:
  void judge(uint32_t i, const Location& found) {
    const auto [slot, tag] = found.owner;
    if (found.state == State::kAbsent || found.state == State::kGone) {
      findings.absent += i < kTracks && found.state == State::kAbsent;
      findings.gone += i < kTracks && found.state == State::kGone;
      return;
    }
    ++(found.state == State::kLive ? findings.live : findings.stale);
    findings.went_back += tag < newest_[i][slot];
    newest_[i][slot] = tag;
    const std::optional<Locations::Owner> owner = table_.owner_of(found.owner);
    findings.strangers += owner && *owner != Locations::Owner{node_of(slot, tag), incarnation_of(slot, tag)};
  }

  const Locations& table_;
  std::vector<TrackId> ids_;
  std::array<std::array<uint32_t, 2>, 2 * kTracks> newest_{};
};

// The next owner of a slot: it leaves, and another node comes.
bool change_hands(Locations& table, uint16_t slot, uint32_t tag) {
  if (tag != 0) table.leave(slot);
  return table.join(node_of(slot, tag), incarnation_of(slot, tag), kNever, kNow).slot == slot;
}

// Says how often it was refused something.
uint64_t write(Locations& table, uint64_t seed) {
  Rng rng(seed);
  std::array<uint32_t, 2> tag{};
  uint64_t generation = 1;
  uint64_t refused = 0;
  const auto must = [&](Locations::Change done) { refused += done != Locations::Change::kChanged; };
  for (uint32_t round = 0; round < kRounds; ++round) {
    // All that the one has goes to the other; then the one restarts.
    const auto from = static_cast<uint16_t>(round % 2), to = static_cast<uint16_t>(1 - from);
    ++generation;
    for (uint32_t i = 0; i < kTracks; ++i) must(table.update(id_of(i), to, generation, kNow));
    if (rng.chance(0.5)) must(table.update(id_of(kTracks + rng.below(kTracks)), from, generation, kNow));
    if (rng.chance(0.2)) must(table.withdraw(id_of(kTracks + rng.below(kTracks)), to, generation, kNow));
    refused += !change_hands(table, from, ++tag[from]);
    if (rng.chance(0.2)) table.renew(to, rng.chance(0.5) ? kOver : kNever);
    // Tombstones are past their time in the one case, not in the other.
    table.sweep(rng.chance(0.5) ? kNever : kNow, 3);
  }
  return refused;
}

void one_writer_two_readers(uint64_t seed) {
  Locations table(4 * kTracks, 2, from_s(1), kKey);
  for (uint16_t slot = 0; slot < 2; ++slot) ASSERT_TRUE(change_hands(table, slot, 0));
  for (uint32_t i = 0; i < kTracks; ++i) {
    ASSERT_EQ(table.update(id_of(i), 0, 1, kNow), Locations::Change::kChanged);
  }
  Atomic<uint32_t> done(0);
  std::vector<Reader> readers(2, Reader(table));
  std::vector<std::thread> threads;
  for (Reader& reader : readers) threads.emplace_back([&] { reader.run(done); });
  const uint64_t refused = write(table, seed);
  done.store_release(1);  // D1
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 0u);
  for (const Reader& reader : readers) {
    const Findings& f = reader.findings;
    EXPECT_EQ(f.absent, 0u);
    EXPECT_EQ(f.gone, 0u);
    EXPECT_EQ(f.strangers, 0u);
    EXPECT_EQ(f.went_back, 0u);
    EXPECT_GT(f.live + f.stale, 0u);
  }
}

TEST(LocationTableStress, ReadersNeverMissATrackThatMovesNorTakeOneOwnerForAnother) {
  for (uint64_t seed = 1; seed <= kRepeats; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    one_writer_two_readers(seed);
  }
}

}  // namespace
}  // namespace trunkline::core
