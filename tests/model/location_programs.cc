// LocationTable: tracks move from owner to owner, are withdrawn and swept away, while owners restart, leave
// and are vouched for again. What a reader is told must have been true at some instant of its look-up, and
// never be behind what it was told before.
#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/location_table.h"
#include "tests/model/programs.h"
#include "tests/model/sync.h"
#include "tests/support/table_keys.h"

namespace trunkline::model {

namespace {

// Every key in the same lines; tags 0 and 1, and 2.
struct Traits {
  struct Table : core::TableTraits {
    using Hash = tests::OneHash;
    static constexpr uint32_t kLeastOverflow = 2;
  };
  static constexpr uint32_t kTagBits = 2;
  static constexpr core::Nanos kTagRest{0};
};
using Locations = core::LocationTable<ModelSync, Traits>;
using core::Location;
using State = Location::State;

constexpr core::TrackId kTrack{{1}};
constexpr core::TrackId kOther{{2}};
constexpr core::Nanos kNow = core::from_ms(1);
constexpr core::Nanos kOver = core::from_us(500);  // a lease that has ended
constexpr core::Nanos kRuns = core::from_s(1);
constexpr core::Nanos kLater = core::from_s(2);
constexpr core::Nanos kTombstoneLife = core::from_ms(10);

// The owner of a slot in its n-th tag, as begin() below makes them: node and incarnation tell both.
core::NodeId node_of(uint16_t slot, uint16_t tag) {
  return {slot * 10u + tag + 1};
}
uint64_t incarnation_of(uint16_t slot, uint16_t tag) {
  return 100u * tag + slot + 1u;
}

// One step of the writer, and what is true of kTrack after it.
struct Step {
  std::function<void(Locations&)> act;
  Location truth;
};
struct Case {
  std::string name;
  Location before;  // owners 0 and 1 have joined, and one of them has kTrack; or it is absent
  std::vector<Step> steps;
  // A track that came to its owner and lost it again, all within one look-up, may be called stale.
  bool stale_for_live = false;
};

Location live(uint16_t slot, uint16_t tag) {
  return {State::kLive, {slot, tag}};
}
Location stale(uint16_t slot, uint16_t tag) {
  return {State::kStale, {slot, tag}};
}
constexpr Location kAbsent{};
constexpr Location kGone{State::kGone, {}};

// The next incarnation of the node that has the slot.
void restart(Locations& table, uint16_t slot) {
  require(
      table.join(node_of(slot, 0), incarnation_of(slot, 1), kRuns, kNow).outcome == Locations::Join::kJoined,
      "an owner cannot restart");
}
void update(Locations& table, uint16_t slot, uint64_t generation) {
  require(table.update(kTrack, slot, generation, kNow) == Locations::Change::kChanged,
          "an update is refused");
}
void withdraw(Locations& table, uint16_t slot, uint64_t generation) {
  require(table.withdraw(kTrack, slot, generation, kNow) == Locations::Change::kChanged,
          "a withdrawal is refused");
}

struct History {
  const Case& what;
  Locations table{2, 2, kTombstoneLife, core::HashKey{1, 2}};
  Word<uint32_t> ended;  // how many steps have surely been taken

  explicit History(const Case& c) : what(c) {
    for (uint16_t slot = 0; slot < 2; ++slot) {
      const core::Nanos lease = what.before.state == State::kStale ? kOver : kRuns;
      const auto joined = table.join(node_of(slot, 0), incarnation_of(slot, 0), lease, kNow);
      require(joined.outcome == Locations::Join::kJoined && joined.slot == slot, "an owner cannot join");
    }
    if (what.before != kAbsent) update(table, what.before.owner.slot, 1);
  }
  void write() {
    for (uint32_t i = 0; i < what.steps.size(); ++i) {
      what.steps[i].act(table);
      ended.store_release(i + 1);
    }
  }
  const Location& truth(uint32_t steps) const {
    return steps == 0 ? what.before : what.steps[steps - 1].truth;
  }
  bool may_be(const Location& told, const Location& truth) const {
    return told == truth || (what.stale_for_live && told.state == State::kStale &&
                             told == stale(truth.owner.slot, truth.owner.tag));
  }
  // The first number of steps, from `from` on, after which the answer was true.
  uint32_t look(bool burst, uint32_t from) const {
    Location told;
    if (burst) {
      table.find_burst({&kTrack, 1}, kNow, {&told, 1});
    } else {
      told = table.find(kTrack, kNow);
    }
    while (from <= what.steps.size() && !may_be(told, truth(from))) ++from;
    require(from <= what.steps.size(), "an answer that was not true, or is not any more");
    return from;
  }
  void read(bool burst, uint32_t times) const {
    for (uint32_t i = 0, at = 0; i < times; ++i) at = look(burst, std::max(at, ended.load_acquire()));
  }
};

NamedProgram one_reader(const Case& what, bool burst, uint32_t times) {
  return {"location, " + what.name + (burst ? ", in a burst" : ""), [=](Scenario& s) {
            auto& history = s.make<History>(what);
            s.thread("writer", [&history] { history.write(); });
            s.thread("reader", [&history, burst, times] { history.read(burst, times); });
          }};
}

// A slot has another owner, the same node or another one: whoever asks for the owner of an answer is told of
// that one, whole, or nothing.
NamedProgram who_it_is(const char* name, bool another_node) {
  return {name, [another_node](Scenario& s) {
            static const Case what{"", live(0, 0), {}};
            Locations& table = s.make<History>(what).table;
            const core::NodeId next = node_of(0, another_node ? 1 : 0);
            s.thread("writer", [&table, next, another_node] {
              if (another_node) table.leave(0);
              require(table.join(next, incarnation_of(0, 1), kRuns, kNow).slot == 0, "not this slot");
              update(table, 0, 1);
            });
            s.thread("reader", [&table, next] {
              const Location told = table.find(kTrack, kNow);
              if (told.state == State::kAbsent) return;
              const uint16_t tag = told.owner.tag;
              const std::optional<Locations::Owner> owner = table.owner_of(told.owner);
              require(owner.has_value() || tag == 0, "an owner that stays is not known");
              const Locations::Owner truth{tag == 0 ? node_of(0, 0) : next, incarnation_of(0, tag)};
              require(!owner || *owner == truth, "one owner is taken for another");
            });
          }};
}

}  // namespace

std::vector<NamedProgram> location_programs() {
  const auto to = [](uint16_t slot, uint64_t generation) {
    return [=](Locations& table) { update(table, slot, generation); };
  };
  const auto again = [](uint16_t slot) { return [=](Locations& table) { restart(table, slot); }; };
  const auto leaves = [](uint16_t slot) { return [=](Locations& table) { table.leave(slot); }; };
  const auto renewed = [](uint16_t slot, core::Nanos lease) {
    return [=](Locations& table) { table.renew(slot, lease); };
  };
  const auto gone = [](uint16_t slot, uint64_t generation) {
    return [=](Locations& table) { withdraw(table, slot, generation); };
  };
  const auto swept = [](Locations& table) {
    const auto done = table.sweep(kLater, 2);
    require(done.dead + done.tombstones == 1, "what is dead is not swept");
  };
  const auto other_comes = [](Locations& table) {
    require(table.update(kOther, 1, 1, kNow) == Locations::Change::kChanged, "there is no room");
  };

  const Case moves{"a track moves, and its old owner restarts",
                   live(0, 0),
                   {{to(1, 2), live(1, 0)}, {again(0), live(1, 0)}, {renewed(0, kRuns), live(1, 0)}}};
  const Case left{"a track moves, and its old owner leaves",
                  live(0, 0),
                  {{to(1, 2), live(1, 0)}, {leaves(0), live(1, 0)}}};
  const Case twice{
      "a track moves twice, and each owner restarts behind it",
      live(0, 0),
      {{to(1, 2), live(1, 0)}, {again(0), live(1, 0)}, {to(0, 3), live(0, 1)}, {again(1), live(0, 1)}},
      true};
  const Case chased{"a track moves, and both owners leave",
                    live(0, 0),
                    {{to(1, 2), live(1, 0)}, {leaves(0), live(1, 0)}, {leaves(1), kAbsent}},
                    true};
  const Case restarts{"an owner restarts, and says again what it has",
                      live(0, 0),
                      {{again(0), kAbsent}, {to(0, 1), live(0, 1)}}};
  const Case lapses{"a lease ends, and is renewed",
                    stale(0, 0),
                    {{renewed(0, kRuns), live(0, 0)}, {renewed(0, kOver), stale(0, 0)}}};
  const Case withdrawn{"a track is withdrawn, swept, and comes back",
                       live(0, 0),
                       {{gone(0, 1), kGone}, {swept, kAbsent}, {to(1, 1), live(1, 0)}}};
  const Case sweeps{"what is dead is swept, and its place taken",
                    live(0, 0),
                    {{leaves(0), kAbsent}, {swept, kAbsent}, {other_comes, kAbsent}}};
  std::vector<NamedProgram> all;
  for (const Case& what : {moves, left, twice, chased, restarts, lapses, withdrawn, sweeps}) {
    all.push_back(one_reader(what, false, 2));
    all.push_back(one_reader(what, true, 1));
  }
  all.push_back(who_it_is("location, a slot changes hands", true));
  all.push_back(who_it_is("location, an owner restarts while it is asked for", false));
  return all;
}

}  // namespace trunkline::model
