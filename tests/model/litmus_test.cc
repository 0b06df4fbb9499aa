// The explorer itself, on the programs by which memory models are told apart: for each, the outcome that only
// a weak machine shows, whether the model allows it, and whether it was found. The names are the field's
// (Alglave, Maranget, Tautschnig, "Herding Cats", TOPLAS 2014).
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/model/sync.h"

namespace trunkline::model {
namespace {

constexpr Order kRelaxed{}, kAcquire{true, false}, kRelease{false, true}, kBoth{true, true};

// The words and registers of a litmus test.
struct Machine {
  Word<uint32_t> x, y, z;
  uint32_t a = 9, b = 9, c = 9, d = 9;
};

uint32_t get(Word<uint32_t>& word, Order order) {
  return order.acquire ? word.load_acquire() : word.load_relaxed();
}
void put(Word<uint32_t>& word, uint32_t value, Order order) {
  if (order.release) return word.store_release(value);
  word.store_relaxed(value);
}

struct Litmus {
  const char* name;
  bool allowed;  // the weak outcome
  std::function<void(Scenario&, Machine&)> threads;
  std::function<bool(Machine&)> weak;
};

// Message passing: is what was written before a flag there when the flag is?
Litmus message_passing(const char* name, Order write, Order read, bool allowed) {
  return {name, allowed,
          [=](Scenario& s, Machine& m) {
            s.thread("writer", [&m, write] {
              put(m.x, 1, kRelaxed);
              put(m.y, 1, write);
            });
            s.thread("reader", [&m, read] {
              m.a = get(m.y, read);
              m.b = get(m.x, kRelaxed);
            });
          },
          [](Machine& m) { return m.a == 1 && m.b == 0; }};
}

// Written by one, passed on by another, read by a third.
Litmus write_to_read_causality(const char* name, Order write, Order read, bool allowed) {
  return {name, allowed,
          [=](Scenario& s, Machine& m) {
            s.thread("writer", [&m] { put(m.x, 1, kRelaxed); });
            s.thread("between", [&m, write] {
              m.a = get(m.x, kRelaxed);
              put(m.y, 1, write);
            });
            s.thread("reader", [&m, read] {
              m.b = get(m.y, read);
              m.c = get(m.x, kRelaxed);
            });
          },
          [](Machine& m) { return m.a == 1 && m.b == 1 && m.c == 0; }};
}

Litmus isa2(const char* name, Order write, Order read, bool allowed) {
  return {name, allowed,
          [=](Scenario& s, Machine& m) {
            s.thread("one", [&m, write] {
              put(m.x, 1, kRelaxed);
              put(m.y, 1, write);
            });
            s.thread("two", [&m, write, read] {
              m.a = get(m.y, read);
              put(m.z, 1, write);
            });
            s.thread("three", [&m, read] {
              m.b = get(m.z, read);
              m.c = get(m.x, kRelaxed);
            });
          },
          [](Machine& m) { return m.a == 1 && m.b == 1 && m.c == 0; }};
}

Litmus store_buffering(const char* name, Order write, Order read) {
  return {name, true,
          [=](Scenario& s, Machine& m) {
            s.thread("one", [&m, write, read] {
              put(m.x, 1, write);
              m.a = get(m.y, read);
            });
            s.thread("two", [&m, write, read] {
              put(m.y, 1, write);
              m.b = get(m.x, read);
            });
          },
          [](Machine& m) { return m.a == 0 && m.b == 0; }};
}

// Which of two writers of two words came last may look different for each word.
Litmus two_plus_two_writes(const char* name, Order write) {
  return {name, true,
          [=](Scenario& s, Machine& m) {
            s.thread("one", [&m, write] {
              put(m.x, 1, write);
              put(m.y, 2, write);
            });
            s.thread("two", [&m, write] {
              put(m.y, 1, write);
              put(m.x, 2, write);
            });
          },
          [](Machine& m) { return m.x.load_relaxed() == 1 && m.y.load_relaxed() == 1; }};
}

Litmus shape_s(const char* name, Order write, Order read, bool allowed) {
  return {name, allowed,
          [=](Scenario& s, Machine& m) {
            s.thread("one", [&m, write] {
              put(m.x, 2, kRelaxed);
              put(m.y, 1, write);
            });
            s.thread("two", [&m, read] {
              m.a = get(m.y, read);
              put(m.x, 1, kRelaxed);
            });
          },
          [](Machine& m) { return m.a == 1 && m.x.load_relaxed() == 2; }};
}

// Two words and more.
std::vector<Litmus> of_several_words() {
  return {
      message_passing("MP relaxed", kRelaxed, kRelaxed, true),
      message_passing("MP release, relaxed", kRelease, kRelaxed, true),
      message_passing("MP relaxed, acquire", kRelaxed, kAcquire, true),
      message_passing("MP release, acquire", kRelease, kAcquire, false),
      store_buffering("SB relaxed", kRelaxed, kRelaxed),
      store_buffering("SB release, acquire", kRelease, kAcquire),
      {"SB through one word's updates", false,  // what WakeWord rests on
       [](Scenario& s, Machine& m) {
         const auto update = [&m](uint32_t value) {
           uint32_t old = 0;
           while (!m.z.compare_exchange(old, value, kBoth)) assume(old <= 2);
         };
         s.thread("one", [&m, update] {
           put(m.x, 1, kRelaxed);
           update(1);
           m.a = get(m.y, kRelaxed);
         });
         s.thread("two", [&m, update] {
           put(m.y, 1, kRelaxed);
           update(2);
           m.b = get(m.x, kRelaxed);
         });
       },
       [](Machine& m) { return m.a == 0 && m.b == 0; }},
      {"LB relaxed", false,  // by RC11; C++20 itself would allow it
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           m.a = get(m.x, kRelaxed);
           put(m.y, 1, kRelaxed);
         });
         s.thread("two", [&m] {
           m.b = get(m.y, kRelaxed);
           put(m.x, 1, kRelaxed);
         });
       },
       [](Machine& m) { return m.a == 1 && m.b == 1; }},
      {"IRIW release, acquire", true,
       [](Scenario& s, Machine& m) {
         s.thread("x", [&m] { put(m.x, 1, kRelease); });
         s.thread("y", [&m] { put(m.y, 1, kRelease); });
         s.thread("xy", [&m] {
           m.a = get(m.x, kAcquire);
           m.b = get(m.y, kAcquire);
         });
         s.thread("yx", [&m] {
           m.c = get(m.y, kAcquire);
           m.d = get(m.x, kAcquire);
         });
       },
       [](Machine& m) { return m.a == 1 && m.b == 0 && m.c == 1 && m.d == 0; }},
      write_to_read_causality("WRC relaxed", kRelaxed, kRelaxed, true),
      write_to_read_causality("WRC release, acquire, first read relaxed", kRelease, kAcquire, false),
      isa2("ISA2 relaxed", kRelaxed, kRelaxed, true),
      isa2("ISA2 release, acquire", kRelease, kAcquire, false),
      two_plus_two_writes("2+2W relaxed", kRelaxed),
      two_plus_two_writes("2+2W release", kRelease),
      shape_s("S relaxed", kRelaxed, kRelaxed, true),
      shape_s("S release, acquire", kRelease, kAcquire, false),
      {"R release, acquire", true,
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           put(m.x, 1, kRelease);
           put(m.y, 1, kRelease);
         });
         s.thread("two", [&m] {
           put(m.y, 2, kRelease);
           m.a = get(m.x, kAcquire);
         });
       },
       [](Machine& m) { return m.a == 0 && m.y.load_relaxed() == 2; }},
  };
}

// One word: its stores have one order for all (coherence), and updates leave no room in it.
std::vector<Litmus> of_one_word() {
  return {
      {"CoRR", false,  // two loads of one word, the second of an older store
       [](Scenario& s, Machine& m) {
         s.thread("writer", [&m] { put(m.x, 1, kRelaxed); });
         s.thread("reader", [&m] {
           m.a = get(m.x, kRelaxed);
           m.b = get(m.x, kRelaxed);
         });
       },
       [](Machine& m) { return m.a == 1 && m.b == 0; }},
      {"CoRR of two writers, seen by two", false,
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] { put(m.x, 1, kRelaxed); });
         s.thread("two", [&m] { put(m.x, 2, kRelaxed); });
         s.thread("reader", [&m] {
           m.a = get(m.x, kRelaxed);
           m.b = get(m.x, kRelaxed);
         });
         s.thread("other", [&m] {
           m.c = get(m.x, kRelaxed);
           m.d = get(m.x, kRelaxed);
         });
       },
       [](Machine& m) { return m.a == 1 && m.b == 2 && m.c == 2 && m.d == 1; }},
      {"CoWR", false,  // its own store, and then an older one
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           put(m.x, 1, kRelaxed);
           m.a = get(m.x, kRelaxed);
         });
         s.thread("two", [&m] { put(m.x, 2, kRelaxed); });
       },
       [](Machine& m) { return m.a == 0; }},
      {"CoRW", false,  // reads what comes after its own store
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           m.a = get(m.x, kRelaxed);
           put(m.x, 1, kRelaxed);
         });
         s.thread("two", [&m] { put(m.x, 2, kRelaxed); });
       },
       [](Machine& m) { return m.a == 2 && m.x.load_relaxed() == 2; }},
      {"CoWW", false,
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           put(m.x, 1, kRelaxed);
           put(m.x, 2, kRelaxed);
         });
         s.thread("two", [&m] { m.a = get(m.x, kRelaxed); });
       },
       [](Machine& m) { return m.x.load_relaxed() == 1; }},
      {"RMW: two updates of one value", false,
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] { m.a = m.x.fetch_add_relaxed(1); });
         s.thread("two", [&m] { m.b = m.x.fetch_add_relaxed(1); });
       },
       [](Machine& m) { return m.a == m.b || m.x.load_relaxed() != 2; }},
      {"RMW: a store between its two halves", false,
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] { m.a = m.x.fetch_add_relaxed(10); });
         s.thread("two", [&m] { put(m.x, 1, kRelaxed); });
       },
       [](Machine& m) { return m.a == 0 && m.x.load_relaxed() == 11; }},
      {"CAS: both succeed", false,
       [](Scenario& s, Machine& m) {
         const auto once = [&m](uint32_t& won) {
           uint32_t expected = 0;
           won = m.x.compare_exchange(expected, 1, kBoth) ? 1 : 0;
         };
         s.thread("one", [&m, once] { once(m.a); });
         s.thread("two", [&m, once] { once(m.b); });
       },
       [](Machine& m) { return m.a == m.b; }},
      {"release sequence through an update", false,
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           put(m.x, 1, kRelaxed);
           put(m.y, 1, kRelease);
         });
         s.thread("two", [&m] { m.y.fetch_add_relaxed(1); });
         s.thread("three", [&m] {
           m.a = get(m.y, kAcquire);
           m.b = get(m.x, kRelaxed);
         });
       },
       [](Machine& m) { return m.a == 2 && m.b == 0; }},
      {"release sequence through a store", true,  // since C++20
       [](Scenario& s, Machine& m) {
         s.thread("one", [&m] {
           put(m.x, 1, kRelaxed);
           put(m.y, 1, kRelease);
           put(m.y, 2, kRelaxed);
         });
         s.thread("two", [&m] {
           m.a = get(m.y, kAcquire);
           m.b = get(m.x, kRelaxed);
         });
       },
       [](Machine& m) { return m.a == 2 && m.b == 0; }},
  };
}

TEST(Litmus, WhatIsAllowedIsFoundAndWhatIsForbiddenIsNot) {
  std::printf("%-44s %-10s %-10s %10s\n", "litmus test", "allowed", "found", "executions");
  std::vector<Litmus> table = of_several_words();
  for (Litmus& litmus : of_one_word()) table.push_back(std::move(litmus));
  for (const Litmus& litmus : table) {
    bool found = false;
    const Exploration all = explore([&](Scenario& s) {
      auto& machine = s.make<Machine>();
      litmus.threads(s, machine);
      s.finally([&] { found = found || litmus.weak(machine); });
    });
    std::printf("%-44s %-10s %-10s %10lu\n", litmus.name, litmus.allowed ? "allowed" : "forbidden",
                found ? "found" : "not found", static_cast<unsigned long>(all.complete));
    EXPECT_EQ(found, litmus.allowed) << litmus.name;
    EXPECT_TRUE(all.exhausted && all.finding.empty()) << litmus.name << ": " << all.finding;
    EXPECT_GE(all.complete, 2u) << litmus.name;
  }
}

// ---- what it finds beside outcomes

TEST(Explorer, FindsARaceThatNoOutcomeShows) {
  for (const bool ordered : {false, true}) {
    struct Shared {
      Var<uint32_t> data;
      Word<uint32_t> flag;
    };
    const Exploration all = explore([&](Scenario& s) {
      auto& shared = s.make<Shared>();
      s.thread("writer", [&] {
        shared.data.write() = 7;
        ordered ? shared.flag.store_release(1) : shared.flag.store_relaxed(1);
      });
      s.thread("reader", [&] {
        assume(shared.flag.load_acquire() == 1);
        require(shared.data.read() == 7, "another value");
      });
    });
    EXPECT_EQ(all.finding.empty(), ordered) << all.finding;
    if (!ordered) {
      EXPECT_NE(all.finding.find("data race"), std::string::npos);
      EXPECT_NE(all.trace.find("writer: store of word 0, 1"), std::string::npos) << all.trace;
    }
  }
}

TEST(Explorer, FindsAThreadThatSleepsForEver) {
  struct Shared {
    Word<uint32_t> asleep, work;
    Event event;
  };
  // Store buffering: each looks before it sees what the other has written.
  const Exploration all = explore([](Scenario& s) {
    auto& shared = s.make<Shared>();
    s.thread("sleeper", [&] {
      shared.asleep.store_release(1);
      if (shared.work.load_acquire() == 0) shared.event.wait();
    });
    s.thread("producer", [&] {
      shared.work.store_release(1);
      if (shared.asleep.load_acquire() == 1) shared.event.signal();
    });
  });
  EXPECT_NE(all.finding.find("sleeps"), std::string::npos);
}

TEST(Explorer, FindsWhatIsUsedAfterItsEnd) {
  const Exploration all = explore([](Scenario& s) {
    auto& resource = s.make<Resource>();
    auto& turn = s.make<Word<uint32_t>>();
    s.thread("one", [&] {
      resource.begin();
      turn.store_release(1);
      turn.store_release(2);
    });
    s.thread("two", [&] {
      assume(turn.load_acquire() != 0);
      resource.end();
    });
    s.finally([&] { resource.use(); });
  });
  EXPECT_EQ(all.finding, "used after its end");
}

}  // namespace
}  // namespace trunkline::model
