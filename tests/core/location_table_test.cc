// LocationTable on one thread: each promise, one by one.
#include "core/location_table.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

using tests::id_of;
using Locations = LocationTable<>;
using Join = Locations::Join;
using Change = Locations::Change;
using State = Location::State;

constexpr HashKey kKey{31, 32};
constexpr Nanos kLife = from_ms(500);  // of a tombstone
constexpr Nanos kNow = from_s(10);
constexpr Nanos kLease = from_s(13);
constexpr NodeId kA{101}, kB{102}, kC{103};

// Few tags, so that they come again soon: 0 and 1, and 2.
struct FewTags : LocationTraits {
  static constexpr uint32_t kTagBits = 2;
};
using FewTagsTable = LocationTable<StdSync, FewTags>;

// A table with two owners, A and B, in incarnation 1.
class LocationTableOfTwo : public testing::Test {
 protected:
  Locations table_{100, 8, kLife, kKey};
  uint16_t a_ = table_.join(kA, 1, kLease, kNow).slot;
  uint16_t b_ = table_.join(kB, 1, kLease, kNow).slot;

  State state(uint64_t id, Nanos now = kNow) const { return table_.find(id_of(id), now).state; }
  // Whose it is; nobody's when it is absent, or gone.
  NodeId who(uint64_t id, Nanos now = kNow) const {
    const Location found = table_.find(id_of(id), now);
    if (found.state != State::kLive && found.state != State::kStale) return {};
    return table_.owner_of(found.owner).value().node;
  }
};

TEST_F(LocationTableOfTwo, FindsTheOwnerOfATrackAndNothingElse) {
  EXPECT_EQ(table_.find(id_of(1), kNow), Location{});
  EXPECT_EQ(table_.update(id_of(1), a_, 1, kNow), Change::kChanged);
  EXPECT_EQ(table_.update(id_of(2), b_, 1, kNow), Change::kChanged);
  EXPECT_EQ(state(1), State::kLive);
  EXPECT_EQ(who(1), kA);
  EXPECT_EQ(who(2), kB);
  EXPECT_EQ(state(3), State::kAbsent);
  EXPECT_EQ(table_.find(id_of(1), kNow).owner.slot, a_);
  EXPECT_EQ(table_.owner_of(table_.find(id_of(1), kNow).owner), (Locations::Owner{kA, 1}));
  EXPECT_EQ(table_.size(), 2u);
  EXPECT_EQ(table_.capacity(), 100u);
}

TEST_F(LocationTableOfTwo, FindsABurstOfAnyLength) {
  for (uint32_t i = 0; i < 100; ++i) table_.update(id_of(i), i % 2 == 0 ? a_ : b_, 1, kNow);
  table_.withdraw(id_of(70), a_, 1, kNow);
  table_.join(kB, 2, kLease, kNow);
  table_.update(id_of(7), b_, 1, kNow);
  std::vector<TrackId> ids;
  for (uint32_t i = 0; i < 200; ++i) ids.push_back(id_of(i));
  for (const size_t length : {0u, 1u, 63u, 64u, 65u, 129u, 200u}) {
    std::vector<Location> out(length + 1, Location{State::kGone, {9, 9}});
    table_.find_burst(std::span(ids).first(length), kNow, out);
    for (uint32_t i = 0; i < length; ++i) {
      ASSERT_EQ(out[i], table_.find(ids[i], kNow)) << i;
      const bool there = i < 100 && (i % 2 == 0 || i == 7);
      ASSERT_EQ(out[i].state, i == 70 ? State::kGone : there ? State::kLive : State::kAbsent) << i;
    }
    ASSERT_EQ(out[length], (Location{State::kGone, {9, 9}}));
  }
}

TEST_F(LocationTableOfTwo, ServesStaleWhenTheLeaseIsOver) {
  table_.update(id_of(1), a_, 1, kNow);
  table_.renew(b_, kLease + from_s(1));
  EXPECT_EQ(state(1, kLease - from_ns(2048)), State::kLive);
  EXPECT_EQ(state(1, kLease), State::kStale) << "never longer than the lease";
  EXPECT_EQ(who(1, kLease), kA);
  EXPECT_EQ(table_.sweep(kLease + from_s(1'000'000), 100).dead, 0u)
      << "the loss of the directory empties nothing";
  EXPECT_EQ(state(1, kLease + from_s(1'000'000)), State::kStale);
  table_.renew(a_, kLease + from_s(3));
  EXPECT_EQ(state(1, kLease), State::kLive);
  EXPECT_EQ(state(1, kLease + from_s(3)), State::kStale);
  table_.renew(a_, kNever);
  EXPECT_EQ(state(1, from_s(1'000'000'000)), State::kLive);
  table_.renew(a_, from_ns(-5));
  EXPECT_EQ(state(1, from_ns(0)), State::kStale);
}

TEST_F(LocationTableOfTwo, EndsAllEntriesOfAnOwnerThatRestarts) {
  for (uint64_t i = 0; i < 50; ++i) table_.update(id_of(i), a_, 9, kNow);
  table_.update(id_of(50), b_, 1, kNow);
  const OwnerRef before = table_.find(id_of(0), kNow).owner;
  const auto again = table_.join(kA, 2, kLease, kNow);
  EXPECT_EQ(again.outcome, Join::kJoined);
  EXPECT_EQ(again.slot, a_);
  for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(state(i), State::kAbsent);
  EXPECT_EQ(who(50), kB);
  EXPECT_FALSE(table_.owner_of(before));
  // What is dead is no obstacle, whatever its generation was.
  EXPECT_EQ(table_.update(id_of(0), a_, 1, kNow), Change::kChanged);
  EXPECT_EQ(table_.update(id_of(1), b_, 1, kNow), Change::kChanged);
  EXPECT_EQ(table_.owner_of(table_.find(id_of(0), kNow).owner), (Locations::Owner{kA, 2}));
  EXPECT_EQ(who(1), kB);
}

TEST_F(LocationTableOfTwo, RefusesAnOlderIncarnationAndKnowsTheSame) {
  table_.update(id_of(1), a_, 1, kNow);
  EXPECT_EQ(table_.join(kA, 5, kLease, kNow).outcome, Join::kJoined);
  EXPECT_EQ(table_.join(kA, 4, kLease, kNow).outcome, Join::kOlder);
  table_.update(id_of(1), a_, 1, kNow);
  const auto same = table_.join(kA, 5, kLease + from_s(9), kNow);
  EXPECT_EQ(same.outcome, Join::kSame);
  EXPECT_EQ(same.slot, a_);
  EXPECT_EQ(state(1, kLease + from_s(5)), State::kLive) << "the same one's lease is renewed";
  table_.leave(a_);
  EXPECT_EQ(table_.join(kA, 4, kLease, kNow).outcome, Join::kOlder) << "also after it left";
  EXPECT_EQ(table_.join(kA, 5, kLease, kNow).outcome, Join::kJoined);
  EXPECT_EQ(state(1), State::kAbsent) << "what it had before it left does not come back";
}

TEST_F(LocationTableOfTwo, EndsAllEntriesOfAnOwnerThatLeavesAndGivesItsSlotAway) {
  table_.update(id_of(1), a_, 1, kNow);
  const OwnerRef before = table_.find(id_of(1), kNow).owner;
  table_.leave(a_);
  EXPECT_EQ(state(1), State::kAbsent);
  EXPECT_FALSE(table_.owner_of(before));
  EXPECT_EQ(table_.join(kC, 1, kLease, kNow).slot, a_);
  EXPECT_EQ(state(1), State::kAbsent);
  EXPECT_FALSE(table_.owner_of(before));
  table_.update(id_of(1), a_, 1, kNow);
  EXPECT_EQ(who(1), kC);
}

TEST(LocationTable, IsFullOfOwnersWhenEachSlotIsTaken) {
  Locations table(10, 2, kLife, kKey);
  const uint16_t a = table.join(kA, 1, kLease, kNow).slot;
  const uint16_t b = table.join(kB, 1, kLease, kNow).slot;
  EXPECT_NE(a, b);
  EXPECT_EQ(table.join(kC, 1, kLease, kNow).outcome, Join::kFull);
  EXPECT_EQ(table.join(kA, 2, kLease, kNow).outcome, Join::kJoined);
  table.leave(b);
  EXPECT_EQ(table.join(kC, 1, kLease, kNow).slot, b);
}

// The last slot and the last tag, whose record is the greatest.
TEST(LocationTable, HasRoomForEveryOwnerThatARecordCanName) {
  Locations table(Locations::kMaxOwners, Locations::kMaxOwners, kLife, kKey);
  for (uint32_t i = 0; i < Locations::kMaxOwners; ++i) {
    const auto joined = table.join({i + 1}, 1, kLease, kNow);
    ASSERT_EQ(joined.slot, i);
    ASSERT_EQ(table.update(id_of(i), joined.slot, 1, kNow), Change::kChanged);
  }
  constexpr NodeId kLast{Locations::kMaxOwners};
  constexpr uint16_t kLastSlot = Locations::kMaxOwners - 1;
  for (uint64_t tag = 1; tag < (1u << LocationTraits::kTagBits) - 1; ++tag) {
    ASSERT_EQ(table.join(kLast, 1 + tag, kLease, kNow + from_s(static_cast<int64_t>(tag))).outcome,
              Join::kJoined);
  }
  table.update(id_of(kLastSlot), kLastSlot, 1, kNow);
  for (uint32_t i = 0; i < Locations::kMaxOwners; ++i) {
    const Location found = table.find(id_of(i), kNow);
    ASSERT_EQ(found.state, State::kLive);
    ASSERT_EQ(table.owner_of(found.owner).value().node.value, i + 1);
  }
}

TEST_F(LocationTableOfTwo, LetsTheGreaterEpochWinInWhateverOrderTheyCome) {
  const uint16_t c = table_.join(kC, 7, kLease, kNow).slot;
  EXPECT_EQ(table_.update(id_of(1), b_, 5, kNow), Change::kChanged);
  EXPECT_EQ(table_.update(id_of(1), b_, 5, kNow), Change::kSame);
  EXPECT_EQ(table_.update(id_of(1), c, 4, kNow), Change::kOlder) << "generation first";
  EXPECT_EQ(table_.update(id_of(1), a_, 5, kNow), Change::kOlder) << "node last";
  EXPECT_EQ(who(1), kB);
  EXPECT_EQ(table_.update(id_of(1), c, 5, kNow), Change::kChanged) << "then incarnation";
  EXPECT_EQ(table_.update(id_of(1), b_, 5, kNow), Change::kOlder);
  EXPECT_EQ(who(1), kC);
  EXPECT_EQ(table_.update(id_of(1), a_, 6, kNow), Change::kChanged);
  EXPECT_EQ(who(1), kA);
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(LocationTableOfTwo, KeepsWhatIsOlderThanAWithdrawalFromComingBack) {
  table_.update(id_of(1), a_, 5, kNow);
  EXPECT_EQ(table_.withdraw(id_of(1), a_, 4, kNow), Change::kOlder) << "a late withdrawal";
  EXPECT_EQ(who(1), kA);
  EXPECT_EQ(table_.withdraw(id_of(1), a_, 5, kNow), Change::kChanged);
  EXPECT_EQ(state(1), State::kGone);
  EXPECT_EQ(table_.withdraw(id_of(1), a_, 5, kNow), Change::kSame);
  EXPECT_EQ(table_.update(id_of(1), a_, 5, kNow), Change::kOlder) << "a late update";
  EXPECT_EQ(table_.update(id_of(1), b_, 4, kNow), Change::kOlder);
  EXPECT_EQ(state(1), State::kGone);
  EXPECT_EQ(table_.update(id_of(1), b_, 6, kNow), Change::kChanged) << "a newer one";
  EXPECT_EQ(who(1), kB);
}

TEST_F(LocationTableOfTwo, RemembersAWithdrawalThatOvertookItsUpdate) {
  EXPECT_EQ(table_.withdraw(id_of(1), a_, 5, kNow), Change::kChanged);
  EXPECT_EQ(table_.update(id_of(1), a_, 5, kNow), Change::kOlder);
  EXPECT_EQ(state(1), State::kGone);
}

TEST_F(LocationTableOfTwo, ForgetsATombstoneAfterItsTimeWhetherSweptOrNot) {
  table_.withdraw(id_of(1), a_, 5, kNow);
  table_.join(kA, 2, kLease, kNow);  // it binds also when its owner has restarted
  const Nanos last = kNow + kLife - from_ns(1);
  EXPECT_EQ(table_.update(id_of(1), b_, 4, last), Change::kOlder);
  EXPECT_EQ(table_.sweep(last, 100).tombstones, 0u);
  EXPECT_EQ(table_.update(id_of(1), b_, 4, kNow + kLife), Change::kChanged);
  EXPECT_EQ(who(1), kB);
  table_.withdraw(id_of(2), b_, 1, kNow);
  EXPECT_EQ(table_.sweep(kNow + kLife, 100).tombstones, 1u);
  EXPECT_EQ(state(2), State::kAbsent);
  EXPECT_EQ(table_.size(), 1u);
}

TEST(LocationTable, IsFullOfTracksAndOverwritesNone) {
  constexpr uint32_t kTracks = 50;
  Locations table(kTracks, 4, kLife, kKey);
  const uint16_t a = table.join(kA, 1, kLease, kNow).slot;
  for (uint32_t i = 0; i < kTracks; ++i) ASSERT_EQ(table.update(id_of(i), a, 1, kNow), Change::kChanged);
  EXPECT_EQ(table.update(id_of(kTracks), a, 1, kNow), Change::kFull);
  EXPECT_EQ(table.withdraw(id_of(kTracks), a, 1, kNow), Change::kFull);
  EXPECT_EQ(table.update(id_of(7), a, 2, kNow), Change::kChanged) << "what is there may change";
  EXPECT_EQ(table.withdraw(id_of(8), a, 2, kNow), Change::kChanged);
  for (uint32_t i = 0; i < kTracks; ++i)
    EXPECT_EQ(table.find(id_of(i), kNow).state, i == 8 ? State::kGone : State::kLive);
  EXPECT_EQ(table.find(id_of(kTracks), kNow).state, State::kAbsent);
  EXPECT_EQ(table.sweep(kNow + kLife, kTracks).tombstones, 1u);
  EXPECT_EQ(table.update(id_of(kTracks), a, 1, kNow), Change::kChanged) << "a sweep makes room";
  EXPECT_EQ(table.update(id_of(8), a, 3, kNow), Change::kFull);
}

TEST_F(LocationTableOfTwo, SweepsNoMoreThanItsBudgetAndGoesOnWhereItStopped) {
  EXPECT_EQ(table_.sweep(kNow, 100).looked, 0u);
  for (uint64_t i = 0; i < 20; ++i) table_.update(id_of(i), i % 2 == 0 ? a_ : b_, 1, kNow);
  table_.leave(a_);
  uint32_t dead = 0;
  for (uint32_t slice = 0; slice < 7; ++slice) {
    const auto swept = table_.sweep(kNow, 3);
    EXPECT_EQ(swept.looked, 3u);
    EXPECT_LE(swept.dead, 3u);
    EXPECT_EQ(swept.tombstones, 0u);
    dead += swept.dead;
    EXPECT_EQ(table_.size(), 20 - dead);
  }
  EXPECT_EQ(dead, 10u) << "21 looks are once around";
  EXPECT_EQ(table_.sweep(kNow, 1000).looked, 20u) << "at none twice";
  EXPECT_EQ(table_.sweep(kNow, 0).looked, 0u);
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(state(i), i % 2 == 0 ? State::kAbsent : State::kLive);
}

TEST_F(LocationTableOfTwo, UsesThePlacesOfWhatWasSweptAgain) {
  for (uint64_t round = 0; round < 50; ++round) {
    for (uint64_t i = 0; i < 90; ++i) {
      ASSERT_EQ(table_.update(id_of(round * 100 + i), a_, 1, kNow), Change::kChanged);
    }
    ASSERT_EQ(table_.join(kA, 2 + round, kLease, kNow).outcome, Join::kJoined);
    ASSERT_EQ(table_.sweep(kNow, 100).dead, 90u);
    ASSERT_EQ(table_.size(), 0u);
  }
}

// Tags 0 and 1 are one half, 2 the other; nobody may have any of a half when its first is given out again.
TEST(LocationTable, GivesATagOutAgainOnlyWhenNoEntryHasIt) {
  FewTagsTable table(10, 1, kLife, kKey);
  Nanos now = kNow;
  uint64_t incarnation = 0;
  const auto join = [&] { return table.join(kA, ++incarnation, kNever, now += from_s(61)).outcome; };
  ASSERT_EQ(join(), FewTagsTable::Join::kJoined);
  table.update(id_of(1), 0, 1, now);  // tag 0
  ASSERT_EQ(join(), FewTagsTable::Join::kJoined);
  table.update(id_of(2), 0, 1, now);  // tag 1
  ASSERT_EQ(join(), FewTagsTable::Join::kJoined);
  table.update(id_of(3), 0, 1, now);  // tag 2
  EXPECT_EQ(join(), FewTagsTable::Join::kBusy);
  EXPECT_EQ(table.find(id_of(3), now).state, State::kLive) << "nothing has changed";
  EXPECT_EQ(table.sweep(now, 1).dead, 1u);
  EXPECT_EQ(join(), FewTagsTable::Join::kBusy) << "one is left";
  EXPECT_EQ(table.sweep(now, 1).dead, 1u);
  EXPECT_EQ(join(), FewTagsTable::Join::kJoined);
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(table.find(id_of(i), now).state, State::kAbsent) << i;
  // What was replaced, or withdrawn, does not have its tag any more either.
  table.update(id_of(1), 0, 1, now);  // tag 0
  table.withdraw(id_of(1), 0, 1, now);
  table.update(id_of(3), 0, 2, now);  // tag 2 before
  ASSERT_EQ(join(), FewTagsTable::Join::kJoined);
  table.update(id_of(3), 0, 2, now);
  ASSERT_EQ(join(), FewTagsTable::Join::kJoined);
  table.update(id_of(3), 0, 2, now);
  EXPECT_EQ(join(), FewTagsTable::Join::kJoined);
}

TEST(LocationTable, LetsATagRestBeforeItComesAgain) {
  FewTagsTable table(10, 2, kLife, kKey);
  using FewJoin = FewTagsTable::Join;
  EXPECT_EQ(table.join(kA, 1, kNever, kNow).outcome, FewJoin::kJoined);  // tag 0
  EXPECT_EQ(table.join(kA, 2, kNever, kNow).outcome, FewJoin::kJoined);  // 1
  EXPECT_EQ(table.join(kA, 3, kNever, kNow).outcome, FewJoin::kBusy);    // the other half begins too soon
  const Nanos then = kNow + FewTags::kTagRest;
  EXPECT_EQ(table.join(kA, 3, kNever, then - from_ns(1)).outcome, FewJoin::kBusy);
  EXPECT_EQ(table.join(kA, 3, kNever, then).outcome, FewJoin::kJoined);  // 2
  EXPECT_EQ(table.join(kA, 4, kNever, then).outcome, FewJoin::kBusy);
  EXPECT_EQ(table.join(kA, 4, kNever, then + FewTags::kTagRest).outcome, FewJoin::kJoined);  // 0
  // A slot whose tags must rest is passed over as long as there is another, and is busy, not taken.
  EXPECT_EQ(table.join(kA, 5, kNever, then + FewTags::kTagRest).outcome, FewJoin::kJoined);  // 1
  table.leave(0);
  EXPECT_EQ(table.join(kB, 1, kNever, then + FewTags::kTagRest).slot, 1);
  EXPECT_EQ(table.join(kC, 1, kNever, then + FewTags::kTagRest).outcome, FewJoin::kBusy);
}

TEST(LocationTable, MakesTheLinesThatReadersTouchOfTheSourcesMemory) {
  struct Source final : PageSource {
    HeapPageSource heap;
    size_t taken = 0;
    std::span<uint8_t> take(size_t bytes) override {
      taken += bytes;
      return heap.take(bytes);
    }
  } pages;
  Locations table(10'000, 4, kLife, kKey, pages);
  EXPECT_GE(pages.taken, 10'000u * 64);
  EXPECT_LE(pages.taken, 10'000u * 70);
}

using LocationTableDeathTest = LocationTableOfTwo;

TEST_F(LocationTableDeathTest, EndsTheProcessWhenSomebodyActsForASlotThatIsNobodys) {
  table_.leave(a_);
  EXPECT_DEATH(table_.update(id_of(1), a_, 1, kNow), "contract broken");
  EXPECT_DEATH(table_.withdraw(id_of(1), a_, 1, kNow), "contract broken");
  EXPECT_DEATH(table_.renew(a_, kLease), "contract broken");
  EXPECT_DEATH(table_.leave(a_), "contract broken");
  EXPECT_DEATH(table_.renew(8, kLease), "contract broken");
  EXPECT_DEATH(table_.join(NodeId{}, 1, kLease, kNow), "contract broken");
  std::vector<TrackId> ids(2);
  std::vector<Location> out(1);
  EXPECT_DEATH(table_.find_burst(ids, kNow, out), "contract broken");
}

}  // namespace
}  // namespace trunkline::core
