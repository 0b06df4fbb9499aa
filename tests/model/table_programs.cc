// BoundedTable: one writer that inserts, erases, and uses entries again, and readers beside it. Whatever a
// reader is told must have been true at some instant of its look-up, and what one reader was told another
// that comes after it must not be behind.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/bounded_table.h"
#include "tests/model/programs.h"
#include "tests/model/sync.h"
#include "tests/support/table_keys.h"

namespace trunkline::model {

namespace {

using tests::id_of;

// Every key in the same lines, and versions that start again after a few lives.
template <uint32_t kHighBits>
struct Traits : core::TableTraits {
  using Hash = tests::OneHash;
  struct Bits {
    static constexpr uint32_t kLow = 1;
    static constexpr uint32_t kHigh = kHighBits;
  };
  static constexpr uint32_t kLeastOverflow = 2;
};
template <uint32_t kHighBits>
using TableOf = core::BoundedTable<core::TrackId, ModelSync, Traits<kHighBits>>;
using Table = TableOf<1>;       // four lives
using ShortTable = TableOf<0>;  // two
constexpr core::HashKey kKey{21, 22};
constexpr uint32_t kNone = core::kNoRecord;
constexpr uint32_t kCapacity = 12;  // two lines and two in the overflow

// The second has one half of the first, the third the other: an entry that was read while it changed may look
// like the first.
std::vector<core::TrackId> keys() {
  std::vector<core::TrackId> ids{id_of(1, 1), id_of(1, 2), id_of(2, 1)};
  for (uint64_t n = 3; n < kCapacity; ++n) ids.push_back(id_of(n, n));
  return ids;
}
const std::vector<core::TrackId> kKeys = keys();

struct Step {
  uint32_t key;     // which of the table's; readers look for key 0
  uint32_t record;  // kNone: erase
};

// A table, what its writer does to it while others read, and what that makes of key 0.
template <class AnyTable>
struct History {
  AnyTable table;
  std::vector<Step> steps;
  std::vector<uint32_t> truths;            // the record of key 0 after so many steps
  std::array<Var<uint32_t>, 20> contents;  // what a record stands for: written before it is inserted
  Word<uint32_t> ended;                    // how many steps have surely been taken
  Word<uint32_t> told;                     // what one reader knows, for another

  History(const std::vector<Step>& before, const std::vector<Step>& during)
      : table(kCapacity, kKey), steps(during) {
    uint32_t now = kNone;
    for (const Step& step : before) {
      apply(step);
      if (step.key == 0) now = step.record;
    }
    truths.push_back(now);
    for (const Step& step : steps) truths.push_back(step.key == 0 ? step.record : truths.back());
  }
  void apply(const Step& step) {
    if (step.record == kNone) {
      require(table.erase(kKeys[step.key]), "what is there cannot be erased");
    } else {
      contents[step.record].write() = step.record;
      require(table.insert(kKeys[step.key], step.record) != AnyTable::Insert::kFull, "the table is full");
    }
  }
  void write() {
    for (uint32_t i = 0; i < steps.size(); ++i) {
      apply(steps[i]);
      ended.store_release(i + 1);
    }
  }
  // The first step from `from` on after which the answer was true.
  uint32_t when(uint32_t answer, uint32_t from) const {
    while (from < truths.size() && truths[from] != answer) ++from;
    require(from < truths.size(), "an answer that was not true, or is not any more");
    return from;
  }
  uint32_t look(bool burst, uint32_t from) const {
    uint32_t answer = kNone;
    if (burst) {
      table.find_burst(std::span(kKeys).first(1), {&answer, 1});
    } else {
      const std::optional<uint32_t> found = table.find(kKeys[0]);
      require(found != kNone, "a record that is none");
      answer = found.value_or(kNone);
    }
    require(answer == kNone || contents[answer].read() == answer, "a record that stands for nothing yet");
    return when(answer, from);
  }
};

// A reader that looks so many times: each answer was true when the last one was, or later.
template <class AnyTable>
void read(History<AnyTable>& history, bool burst, uint32_t times) {
  for (uint32_t i = 0, at = 0; i < times; ++i)
    at = history.look(burst, std::max(at, history.ended.load_acquire()));
}

struct Case {
  std::string name;
  std::vector<Step> before, during;
};

template <class AnyTable = Table>
NamedProgram one_reader(const Case& what, bool burst = false, uint32_t times = 1) {
  return {"table, " + what.name + (burst ? ", in a burst" : ""), [=](Scenario& s) {
            auto& history = s.make<History<AnyTable>>(what.before, what.during);
            s.thread("writer", [&history] { history.write(); });
            s.thread("reader", [&history, burst, times] { read(history, burst, times); });
          }};
}

// What one reader has seen, another that it tells of it must not be behind.
NamedProgram two_readers(const Case& what) {
  return {"table, two readers, " + what.name, [=](Scenario& s) {
            auto& history = s.make<History<Table>>(what.before, what.during);
            s.thread("writer", [&history] { history.write(); });
            s.thread("first", [&history] { history.told.store_release(history.look(false, 0)); });
            s.thread("second", [&history] { history.look(false, history.told.load_acquire()); });
          }};
}

// The same where `others` came first and stay: they take the first places of all.
Case behind(Case what, uint32_t others) {
  std::vector<Step> before;
  for (uint32_t k = 0; k < others; ++k) before.push_back({kCapacity - 1 - k, 19 - k});
  before.insert(before.end(), what.before.begin(), what.before.end());
  return {what.name + ", behind " + std::to_string(others), before, what.during};
}
// The same after the first free entry had so many lives.
Case after_lives(Case what, uint32_t lives) {
  std::vector<Step> before;
  for (uint32_t i = 0; i < lives; ++i) {
    before.push_back({1, 9});
    before.push_back({1, kNone});
  }
  before.insert(before.end(), what.before.begin(), what.before.end());
  return {what.name + ", after " + std::to_string(lives) + " lives", before, what.during};
}

}  // namespace

std::vector<NamedProgram> table_programs() {
  const Case reuse{"an entry is used for another key", {{0, 1}}, {{0, kNone}, {1, 2}}};
  const Case back{"a key comes back with another record", {{0, 1}}, {{0, kNone}, {0, 2}}};
  const Case aba{"an entry goes to another key and back", {{0, 1}}, {{0, kNone}, {1, 2}, {1, kNone}, {0, 3}}};
  const Case first_half{"from a key with one half to one with the other", {{1, 1}}, {{1, kNone}, {2, 2}}};
  const Case other_half{"and the other way round", {{2, 1}}, {{2, kNone}, {1, 2}}};
  const Case update{"a record is replaced", {{0, 1}, {1, 9}}, {{0, 2}, {0, 3}}};
  const Case appear{"a key comes and goes", {{1, 9}}, {{0, 1}, {0, kNone}, {2, 5}}};
  const Case beside{"other keys come and go beside one", {{0, 1}}, {{1, 5}, {2, 6}, {1, kNone}, {2, kNone}}};
  // A field that comes back as it was, for another key, while this one was there in between.
  const Case between{
      "a key between two of the same record", {{1, 1}}, {{1, kNone}, {0, 5}, {0, kNone}, {2, 1}}};
  // The same, an era further.
  const Case eras{"a key between two of the same record, long before",
                  {{1, 1}},
                  {{1, kNone}, {0, 5}, {0, kNone}, {2, 7}, {2, kNone}, {2, 1}}};
  // An era begins and ends by others, while this key stays.
  const Case stays_on{
      "an era begins beside a key that stays", {{0, 1}, {1, 9}, {1, kNone}}, {{1, 5}, {1, kNone}, {0, 2}}};
  std::vector<NamedProgram> all;
  for (const bool burst : {false, true}) {
    all.push_back(one_reader<ShortTable>(stays_on, burst));
    all.push_back(
        one_reader<ShortTable>(after_lives(stays_on, 2), burst));  // its own entry is in its second era
  }
  for (const Case& what : {reuse, back, aba, first_half, other_half, update, appear, beside}) {
    all.push_back(one_reader(what, false, 2));
    all.push_back(one_reader(what, true, 1));
    all.push_back(one_reader(behind(what, 2)));  // the entry of the other control word
  }
  for (const Case& what : {reuse, back, update}) all.push_back(two_readers(what));
  for (uint32_t lives = 0; lives < 4; ++lives) all.push_back(one_reader(after_lives(between, lives)));
  all.push_back(one_reader(behind(after_lives(between, 1), 2)));
  for (const bool burst : {false, true}) all.push_back(one_reader<ShortTable>(between, burst));
  all.push_back(one_reader<ShortTable>(behind(after_lives(between, 1), 2)));
  all.push_back(one_reader<ShortTable>(after_lives(eras, 1)));
  for (const uint32_t others : {3u, 6u, 8u}) {  // to the second line, and the overflow
    for (const Case& what : {reuse, back, appear, update, beside}) {
      all.push_back(one_reader(behind(what, others)));
    }
  }
  // A key that is away while others leave the lines before it; and one that goes elsewhere the next time.
  const Case stays{"another goes from the lines before", {{0, 1}}, {{kCapacity - 1, kNone}, {0, 2}}};
  const Case moves{"a key goes to a place nearer", {{0, 1}}, {{0, kNone}, {kCapacity - 1, kNone}, {0, 2}}};
  const Case sends{"a record is replaced, and another key sent on", {{0, 1}}, {{0, 2}, {1, 5}}};
  const Case leaves{"another of the overflow goes", {{1, 9}, {0, 1}}, {{1, kNone}, {0, 2}}};
  for (const uint32_t others : {3u, 4u, 6u}) {
    for (const Case& what : {stays, moves, leaves}) all.push_back(one_reader(behind(what, others)));
  }
  all.push_back(one_reader(behind(sends, 2)));  // by the word that the replaced record is in
  return all;
}

}  // namespace trunkline::model
