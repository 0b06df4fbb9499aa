// Explorer: runs a program of a few threads under every interleaving, and with every value that the memory
// model (memory.h) lets a load return.
//
// The idea: an execution is a list of choices: who performs its next atomic operation, and what that reads or
// where it stands. All lists are tried, depth first: each execution repeats the former one up to the last
// choice that has an alternative. Two lists that lead to the same past (memory.h, fingerprint) have the same
// future, which is explored once. What no other thread can notice (accesses of a word that nobody else uses)
// is no choice.
//
// What it finds: a broken require(), a data race (two accesses of a value that is not atomic, one a write,
// not ordered), use after free and leaks (Cell), and threads that sleep for ever (Event). A finding comes
// with the list of operations that led to it.
//
// A program must be finite: what would wait in a loop says assume() instead. It must do the same when it
// reads the same: no clock, no addresses. What its threads have on their stacks is not destroyed (fiber.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/model/memory.h"

namespace trunkline::model {

enum class Access : uint8_t { kLoad, kStore, kExchange, kAdd, kCompareExchange, kWait };
const char* name_of(Access access);

// Where in the source a word is accessed (clang 14 has no std::source_location).
struct Where {
  const char* file;
  uint32_t line;
  static constexpr Where current(const char* file = __builtin_FILE(), uint32_t line = __builtin_LINE()) {
    return {file, line};
  }
};

// A kind of access at a place in the source, and in what order it is done.
struct Site {
  std::string file;
  uint32_t line = 0;
  Access access = Access::kLoad;
  Order order{};
  bool operator==(const Site& other) const {
    return line == other.line && access == other.access && file == other.file;
  }
};

struct Limits {
  uint64_t states = 20'000'000;
  uint64_t executions = UINT64_MAX;
};

struct Exploration {
  uint64_t executions = 0;  // begun
  uint64_t complete = 0;    // of them: all threads ended
  uint64_t states = 0;      // different pasts
  bool exhausted = true;    // false: a limit came first
  std::string finding;      // empty: none
  std::string trace;        // what led to it, a line per operation
  double seconds = 0;
};

// What a program says of itself, anew for each execution.
class Scenario {
 public:
  // An object that lives until the execution ends.
  template <class T, class... Args>
  T& make(Args&&... args) {
    auto object = std::make_shared<T>(std::forward<Args>(args)...);
    T& reference = *object;
    objects_.push_back(std::move(object));
    return reference;
  }
  // At most four. They begin when the program has been told.
  void thread(const char* name, std::function<void()> body) {
    names_.push_back(name);
    bodies_.push_back(std::move(body));
  }
  // Runs when all threads have ended, and knows all that they did.
  void finally(std::function<void()> check) { check_ = std::move(check); }

 private:
  friend class Explorer;
  std::vector<std::shared_ptr<void>> objects_;
  std::vector<const char*> names_;
  std::vector<std::function<void()>> bodies_;
  std::function<void()> check_;
};

using Program = std::function<void(Scenario&)>;

// Until everything has been tried, or something was found.
Exploration explore(const Program& program, const Limits& limits = {});

// The same with one access in a weaker order than the source says.
Exploration explore_weakened(const Program& program, const Site& site, Order weaker,
                             const Limits& limits = {});

// The places that a program comes by, in the order of file and line.
std::vector<Site> sites_of(const Program& program, const Limits& limits = {});

// ---- within a program

// What must hold: whatever breaks it ends the exploration.
void require(bool holds, const char* what);
// What is not worth going on without: the thread stays where it is, and the execution is not complete.
void assume(bool holds);

namespace detail {

// What Word, Cell and Event (sync.h) are made of.
LocationId create(uint64_t value);
uint64_t load(LocationId at, Order order, Where where);
void store(LocationId at, uint64_t value, Order order, Where where);
uint64_t exchange(LocationId at, uint64_t value, Order order, Where where);
uint64_t add(LocationId at, uint64_t value, Order order, Where where);
bool compare_exchange(LocationId at, uint64_t& expected, uint64_t desired, Order order, Where where);
void wait(LocationId at, Where where);  // until it is not zero; takes one from it
void read(Plain& plain);
void write(Plain& plain);

}  // namespace detail

}  // namespace trunkline::model
