// BoundedTable's promise to readers, checked at every place where a writer can come between: the table runs
// on words that call out at each of the reader's loads, and there the writer's next steps run. All placements
// of a few steps among all loads of one look-up are tried; each answer must be one that was true at some
// instant of it. One thread, so this is about the algorithm; the ordering of memory is the stress test's
// business.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "core/bounded_table.h"
#include "tests/support/table_keys.h"

namespace trunkline::core {
namespace {

const std::function<void()>* before_load = nullptr;  // nullptr while the writer runs

struct SteppedSync {
  template <class T>
  class Atomic {
   public:
    T load_relaxed() const { return load(); }
    T load_acquire() const { return load(); }
    void store_relaxed(T v) { value_ = v; }
    void store_release(T v) { value_ = v; }

   private:
    T load() const {
      if (before_load != nullptr) (*before_load)();
      return value_;
    }
    T value_{};
  };
};
using tests::id_of;

// Every key in the same line, and versions that wrap around after two lives.
struct Traits : TableTraits {
  using Hash = tests::OneHash;
  struct Bits {
    static constexpr uint32_t kLow = 1;
    static constexpr uint32_t kHigh = 1;
  };
};
using Table = BoundedTable<TrackId, SteppedSync, Traits>;

constexpr HashKey kKey{21, 22};
constexpr uint32_t kNone = Table::kNone;

const std::vector<TrackId>& look_alikes() {
  static const std::vector<TrackId> kIds{id_of(1), id_of(2), id_of(3)};
  return kIds;
}

struct Step {
  uint32_t key;     // index into look_alikes(); the reader looks for key 0
  uint32_t record;  // kNone: erase
};

void apply(Table& table, const Step& step) {
  const TrackId& id = look_alikes()[step.key];
  if (step.record == kNone) {
    table.erase(id);
  } else {
    table.insert(id, step.record);
  }
}

// Runs one look-up for key 0 in which steps[i] happens before the load number at[i] (ascending). Returns how
// many loads there were; `wrong` tells whether the answer was never true.
uint32_t run(const std::vector<Step>& before, const std::vector<Step>& steps, const std::vector<uint32_t>& at,
             bool burst, bool& wrong) {
  Table table(8, kKey);
  uint32_t now = kNone;  // what key 0 has
  const auto change = [&](const Step& step) {
    apply(table, step);
    if (step.key == 0) now = step.record;
  };
  for (const Step& step : before) change(step);
  std::vector<uint32_t> truths{now};
  uint32_t loads = 0;
  size_t next = 0;
  const std::function<void()> hook = [&] {
    before_load = nullptr;
    for (; next < steps.size() && at[next] == loads; ++next) {
      change(steps[next]);
      truths.push_back(now);
    }
    ++loads;
    before_load = &hook;
  };
  before_load = &hook;
  uint32_t answer = kNone;
  if (burst) {
    table.find_burst(std::span(look_alikes()).first(1), {&answer, 1});
  } else {
    answer = table.find(look_alikes()[0]).value_or(kNone);
  }
  before_load = nullptr;
  wrong = std::find(truths.begin(), truths.end(), answer) == truths.end();
  return loads;
}

// Every ascending placement of the steps among the loads.
void try_all(const std::vector<Step>& before, const std::vector<Step>& steps) {
  for (bool burst : {false, true}) {
    bool wrong = false;
    // A look-up that meets changes may take more loads than an undisturbed one, but twice must do.
    const uint32_t most = 2 * run(before, {}, {}, burst, wrong);
    ASSERT_FALSE(wrong);
    std::vector<uint32_t> at(steps.size(), 0);
    uint64_t tried = 0;
    while (true) {
      run(before, steps, at, burst, wrong);
      ++tried;
      if (wrong) {
        std::string places;
        for (uint32_t place : at) places += ' ' + std::to_string(place);
        FAIL() << "steps before loads" << places << (burst ? " of a burst" : "");
      }
      size_t last = at.size();
      while (last > 0 && at[last - 1] == most) --last;
      if (last == 0) break;
      const uint32_t from = at[last - 1] + 1;
      std::fill(at.begin() + static_cast<ptrdiff_t>(last) - 1, at.end(), from);
    }
    EXPECT_GT(tried, most);
    EXPECT_GE(most, 20u) << "a look-up reads at least a line's words, and two of them again";
  }
}

TEST(BoundedTableInterleaving, AnEntryThatChangesHandsNeverGivesTheNewOwnersRecord) {
  try_all({{0, 100}}, {{0, kNone}, {1, 200}});
  try_all({{1, 200}, {0, 100}}, {{0, kNone}, {2, 300}, {1, kNone}});
}

TEST(BoundedTableInterleaving, AKeyThatLeavesAndReturnsIsOldOrAbsentOrNew) {
  try_all({{0, 100}}, {{0, kNone}, {0, 101}});
  try_all({{0, 100}}, {{0, kNone}, {1, 200}, {0, 101}});
  try_all({{0, 100}}, {{0, kNone}, {1, 200}, {1, kNone}});
}

TEST(BoundedTableInterleaving, AKeyThatReturnsToAnEarlierPlaceIsOldOrAbsentOrNew) {
  try_all({{1, 200}, {0, 100}}, {{1, kNone}, {0, kNone}, {0, 101}});
}

TEST(BoundedTableInterleaving, AnUpdateIsOldOrNewAndNeverAbsent) {
  try_all({{1, 200}, {0, 100}}, {{0, 101}, {1, kNone}, {0, 102}});
}

TEST(BoundedTableInterleaving, AnEntryThatComesBackToTheSameKeyMayNotMixItsTwoLives) {
  try_all({{0, 100}}, {{0, kNone}, {1, 200}, {1, kNone}, {0, 100}});
}

TEST(BoundedTableInterleaving, AVersionThatWrapsAroundIsStillAnotherLife) {
  try_all({{1, 100}}, {{1, kNone}, {0, 200}, {0, kNone}, {2, 100}});
}

}  // namespace
}  // namespace trunkline::core
