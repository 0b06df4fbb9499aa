// LocationTable against maps: whatever joins, restarts, leaves, moves, is withdrawn and swept in whatever
// order, every answer is what the maps say. The seed is drawn anew in each run and printed by what fails.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/location_table.h"
#include "core/rng.h"
#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

using tests::id_of;
using Locations = LocationTable<>;
using Join = Locations::Join;
using Change = Locations::Change;
using State = Location::State;

constexpr HashKey kKey{41, 42};
constexpr Nanos kLife = from_ms(500);  // of a tombstone
constexpr uint32_t kIds = 40, kTracks = 30, kNodes = 5, kSlots = 4;

// The table, and what it should hold. Entries that do not count any more may or may not have been swept:
// which of them have cannot be told, how many can.
class Checked {
 public:
  explicit Checked(uint64_t seed) : rng_(seed), table_(kTracks, kSlots, kLife, kKey) {}

  void step() {
    switch (rng_.below(16)) {
      case 0:
        return join();
      case 1:
        return leave();
      case 2:
        return renew();
      case 3:
      case 4:
        return sweep(static_cast<uint32_t>(rng_.chance(0.1) ? kTracks : 1 + rng_.below(3)));
      case 5:
        now_ += from_ms(static_cast<int64_t>(rng_.below(100)));
        return;
      case 6:
      case 7:
        return change(true);
      default:
        return change(false);
    }
  }
  void look() const {
    std::vector<TrackId> ids;
    for (uint64_t i = 0; i < kIds; ++i) ids.push_back(id_of(i));
    std::vector<Location> found(kIds);
    table_.find_burst(ids, now_, found);
    for (uint64_t i = 0; i < kIds; ++i) {
      ASSERT_EQ(found[i], table_.find(ids[i], now_));
      look_at(i, found[i]);
    }
    ASSERT_EQ(table_.size(), held_);
  }

 private:
  struct Node {
    uint64_t incarnation = 0;  // the newest that joined; 0: none that is remembered
    uint64_t life = 0;         // a number for each joining
    Nanos lease{};
    uint16_t slot = 0;
    bool joined = false;
  };
  struct Entry {
    Epoch epoch;
    bool withdrawn = false;
    uint64_t life = 0;  // of its node, when it was written
    Nanos until{};      // of a tombstone
  };

  const Node& owner_of(const Entry& entry) const { return nodes_.at(entry.epoch.node.value); }
  bool counts(const Entry& entry) const {
    if (entry.withdrawn) return now_ < entry.until;
    return owner_of(entry).joined && owner_of(entry).life == entry.life;
  }
  void look_at(uint64_t i, const Location& found) const {
    const auto at = entries_.find(i);
    if (at == entries_.end()) {
      ASSERT_EQ(found, Location{});
    } else if (at->second.withdrawn) {
      const bool gone = found.state == State::kGone;
      ASSERT_TRUE(gone || (found.state == State::kAbsent && !counts(at->second)));
    } else if (!counts(at->second)) {
      ASSERT_EQ(found, Location{});
    } else {
      const Node& owner = owner_of(at->second);
      ASSERT_EQ(found.state, now_.ns / 1024 < owner.lease.ns / 1024 ? State::kLive : State::kStale);
      ASSERT_EQ(found.owner.slot, owner.slot);
      ASSERT_EQ(table_.owner_of(found.owner), (Locations::Owner{at->second.epoch.node, owner.incarnation}));
    }
  }

  // Of 0 that is none, the same or a newer incarnation, or an older one.
  void join() {
    const uint64_t n = 1 + rng_.below(kNodes);
    Node& node = nodes_[n];
    const bool known = node.incarnation != 0;
    const uint64_t incarnation = known ? node.incarnation + rng_.below(4) - 1 : 1 + rng_.below(100);
    const Nanos lease = now_ + from_us(static_cast<int64_t>(rng_.below(1'000'000)));
    const auto [outcome, slot] = table_.join({n}, incarnation, lease, now_);
    if (known && incarnation < node.incarnation) {
      ASSERT_EQ(outcome, Join::kOlder);
    } else if (known && node.joined && incarnation == node.incarnation) {
      ASSERT_EQ(outcome, Join::kSame);
      ASSERT_EQ(slot, node.slot);
      node.lease = lease;
    } else if (!known && taken_.size() == kSlots) {
      ASSERT_EQ(outcome, Join::kFull);
    } else {
      ASSERT_EQ(outcome, Join::kJoined);
      ASSERT_TRUE(known ? slot == node.slot : !taken_.contains(slot));
      for (auto& [other, state] : nodes_) {  // who left is forgotten when its slot is taken
        if (state.slot == slot) state.incarnation = 0;
      }
      taken_.insert(slot);
      node = {incarnation, ++lives_, lease, slot, true};
    }
  }
  // A node that has joined; 0: there is none.
  uint64_t any_node() {
    std::vector<uint64_t> joined;
    for (const auto& [n, node] : nodes_) {
      if (node.joined) joined.push_back(n);
    }
    return joined.empty() ? 0 : joined[rng_.below(joined.size())];
  }
  void leave() {
    const uint64_t n = any_node();
    if (n == 0) return;
    table_.leave(nodes_[n].slot);
    taken_.erase(nodes_[n].slot);
    nodes_[n].joined = false;
  }
  void renew() {
    const uint64_t n = any_node();
    if (n == 0) return;
    nodes_[n].lease = now_ + from_us(static_cast<int64_t>(rng_.below(300'000)));
    table_.renew(nodes_[n].slot, nodes_[n].lease);
  }
  void change(bool withdraw) {
    const uint64_t n = any_node();
    if (n == 0) return;
    const Node& node = nodes_[n];
    const uint64_t i = rng_.below(kIds), generation = rng_.below(6);
    const Entry wanted{{generation, node.incarnation, {n}}, withdraw, node.life, now_ + kLife};
    const Change done = withdraw ? table_.withdraw(id_of(i), node.slot, generation, now_)
                                 : table_.update(id_of(i), node.slot, generation, now_);
    const auto at = entries_.find(i);
    if (at != entries_.end() && counts(at->second)) {
      const auto before = std::pair(at->second.epoch, at->second.withdrawn);
      const auto after = std::pair(wanted.epoch, withdraw);
      ASSERT_EQ(done, after > before ? Change::kChanged : after == before ? Change::kSame : Change::kOlder);
      if (after > before) at->second = wanted;
    } else if (done == Change::kFull) {
      ASSERT_EQ(held_, kTracks);
      entries_.erase(i);  // it had been swept
    } else {
      ASSERT_EQ(done, Change::kChanged);
      const bool was_there = table_.size() == held_;
      ASSERT_TRUE(was_there ? at != entries_.end() : held_ < kTracks && table_.size() == held_ + 1);
      held_ = table_.size();
      entries_[i] = wanted;
    }
  }
  void sweep(uint32_t budget) {
    const auto swept = table_.sweep(now_, budget);
    ASSERT_LE(swept.looked, budget);
    ASSERT_LE(swept.dead + swept.tombstones, swept.looked);
    held_ -= swept.dead + swept.tombstones;
    uint32_t count = 0;
    for (const auto& [i, entry] : entries_) count += counts(entry);
    ASSERT_GE(held_, count);
    if (budget < kTracks) return;
    ASSERT_EQ(held_, count) << "after a whole round nothing is left but what counts";
    std::erase_if(entries_, [&](const auto& entry) { return !counts(entry.second); });
  }

  Rng rng_;
  Locations table_;
  Nanos now_ = from_s(10);
  uint64_t lives_ = 0;
  uint32_t held_ = 0;  // entries of the table
  std::map<uint64_t, Node> nodes_;
  std::set<uint16_t> taken_;
  std::unordered_map<uint64_t, Entry> entries_;  // by the number of the id
};

TEST(LocationTableProperty, AnswersAsTheMapsDoWhateverHappens) {
  const uint64_t drawn = uint64_t{std::random_device{}()};
  for (uint64_t run = 0; run < 20; ++run) {
    const uint64_t seed = drawn + run;
    SCOPED_TRACE("seed " + std::to_string(seed));
    Checked checked(seed);
    for (uint32_t step = 0; step < 3000; ++step) {
      checked.step();
      if (step % 4 == 0) checked.look();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace trunkline::core
