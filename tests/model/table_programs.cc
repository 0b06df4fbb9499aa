// BoundedTable: one writer that inserts, erases, and uses entries again, and readers beside it. Whatever a
// reader is told must have been true at some instant of its look-up, and what one reader was told another
// that comes after it must not be behind.
#include <array>
#include <optional>
#include <vector>

#include "core/bounded_table.h"
#include "tests/model/programs.h"
#include "tests/model/sync.h"

namespace trunkline::model {

namespace {

using Table = core::BoundedTable<ModelSync>;
constexpr core::HashKey kKey{21, 22};
constexpr uint32_t kNone = Table::kNone;

core::TrackId id_of(uint64_t high, uint64_t low) {
  core::TrackId id;
  for (size_t i = 0; i < 8; ++i) {
    id.bytes[i] = static_cast<uint8_t>(high >> (8 * i));
    id.bytes[i + 8] = static_cast<uint8_t>(low >> (8 * i));
  }
  return id;
}

// Whether a key goes to the first of so many buckets and the one beside it and, if `tag` is not 0, has that
// tag.
bool meets(const core::TrackId& id, uint32_t buckets, uint64_t tag) {
  const uint64_t hash = core::keyed_hash16(kKey, id.bytes.data());
  const uint64_t beside = ((hash >> 26) | 1) & (buckets - 1);
  return (tag == 0 || hash >> 48 == tag) && (hash & (buckets - 1)) == 0 && beside == 1;
}

// Keys of one tag and the same two buckets, so that each takes the entry that another left. The second has
// one half of the first, the third the other: an entry that was read while it changed may look like the
// first.
std::vector<core::TrackId> twins() {
  constexpr uint64_t kTag = 0x4321;
  uint64_t high = 0, low = 0, other_high = 0, other_low = 0;
  while (!meets(id_of(high, 0), 2, kTag)) ++high;
  for (other_low = 1; !meets(id_of(high, other_low), 2, kTag);) ++other_low;
  for (other_high = high + 1; !meets(id_of(other_high, low), 2, kTag);) ++other_high;
  return {id_of(high, low), id_of(high, other_low), id_of(other_high, low)};
}

// Keys of any tags that go to the same two of eight buckets.
std::vector<core::TrackId> crowd(size_t count) {
  std::vector<core::TrackId> ids;
  for (uint64_t n = 0; ids.size() < count; ++n) {
    if (meets(id_of(n, n), 8, 0)) ids.push_back(id_of(n, n));
  }
  return ids;
}

struct Step {
  uint32_t key;     // which of the table's; readers look for key 0
  uint32_t record;  // kNone: erase
};

// A table, what its writer does to it while others read, and what that makes of key 0.
struct History {
  const std::vector<core::TrackId>& keys;
  Table table;
  std::vector<Step> steps;
  std::vector<uint32_t> truths;            // the record of key 0 after so many steps
  std::array<Var<uint32_t>, 20> contents;  // what a record stands for: written before it is inserted
  Word<uint32_t> ended;                    // how many steps have surely been taken
  Word<uint32_t> told;                     // what one reader knows, for another

  History(const std::vector<core::TrackId>& ids, uint32_t capacity, const std::vector<Step>& before,
          const std::vector<Step>& during)
      : keys(ids), table(capacity, kKey), steps(during) {
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
      require(table.erase(keys[step.key]), "what is there cannot be erased");
    } else {
      contents[step.record].write() = step.record;
      require(table.insert(keys[step.key], step.record) != Table::Insert::kFull, "the table is full");
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
      table.find_burst(std::span(keys).first(1), {&answer, 1});
    } else {
      const std::optional<uint32_t> found = table.find(keys[0]);
      require(found != kNone, "a record that is none");
      answer = found.value_or(kNone);
    }
    require(answer == kNone || contents[answer].read() == answer, "a record that stands for nothing yet");
    return when(answer, from);
  }
};

// A reader that looks so many times: each answer was true when the last one was, or later.
void read(History& history, bool burst, uint32_t times) {
  for (uint32_t i = 0, at = 0; i < times; ++i)
    at = history.look(burst, std::max(at, history.ended.load_acquire()));
}

struct Case {
  const char* name;
  std::vector<Step> before, during;
};

NamedProgram one_reader(const Case& what, bool burst, uint32_t times) {
  static const std::vector<core::TrackId> kKeys = twins();
  return {std::string("table, ") + what.name + (burst ? ", in a burst" : ""), [=](Scenario& s) {
            auto& history = s.make<History>(kKeys, 8u, what.before, what.during);
            s.thread("writer", [&history] { history.write(); });
            s.thread("reader", [&history, burst, times] { read(history, burst, times); });
          }};
}

// What one reader has seen, another that it tells of it must not be behind.
NamedProgram two_readers(const Case& what) {
  static const std::vector<core::TrackId> kKeys = twins();
  return {std::string("table, two readers, ") + what.name, [=](Scenario& s) {
            auto& history = s.make<History>(kKeys, 8u, what.before, what.during);
            s.thread("writer", [&history] { history.write(); });
            s.thread("first", [&history] { history.told.store_release(history.look(false, 0)); });
            s.thread("second", [&history] { history.look(false, history.told.load_acquire()); });
          }};
}

// Both buckets of all keys are full: keys 0 and 1 go to the stash, where key 1 has been and gone so many
// times.
NamedProgram stash(const char* name, uint32_t times, const std::vector<Step>& during) {
  static const std::vector<core::TrackId> kKeys = crowd(18);
  std::vector<Step> before;
  for (uint32_t k = 2; k < kKeys.size(); ++k) before.push_back({k, k});
  for (uint32_t i = 0; i < times; ++i) {
    before.push_back({1, 2});
    before.push_back({1, kNone});
  }
  return {std::string("table, ") + name, [=](Scenario& s) {
            auto& history = s.make<History>(kKeys, 32u, before, during);
            s.thread("writer", [&history] { history.write(); });
            s.thread("reader", [&history] { read(history, false, 1); });
          }};
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
  const Case behind{"a record is replaced behind another key", {{1, 9}, {0, 1}}, {{0, 2}}};
  const Case beside{"other keys come and go beside one", {{0, 1}}, {{1, 5}, {2, 6}, {1, kNone}, {2, kNone}}};
  std::vector<NamedProgram> all;
  for (const Case& what : {reuse, back, aba, first_half, other_half, update, appear, behind, beside}) {
    for (const bool burst : {false, true}) all.push_back(one_reader(what, burst, 2));
  }
  for (const Case& what : {reuse, back, update}) all.push_back(two_readers(what));
  all.push_back(stash("keys in the stash", 0, {{0, 1}, {0, kNone}, {1, 2}, {0, 3}, {2, kNone}, {1, kNone}}));
  all.push_back(stash("a key in the stash and one that goes elsewhere", 0, {{0, 1}, {2, kNone}}));
  all.push_back(stash("a key in the stash, often used", 20, {{0, 1}, {2, kNone}}));
  return all;
}

}  // namespace trunkline::model
