// See explorer.h.
#include "tests/model/explorer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <tuple>

#include "tests/model/fiber.h"

namespace trunkline::model {

namespace {

// Numbers that have been seen. Open addressing; zero is not a member that matters.
class FingerprintSet {
 public:
  FingerprintSet() { clear(); }
  void clear() {
    slots_.assign(1024, 0);
    size_ = 0;
  }
  // False: it was there.
  bool insert(uint64_t fingerprint) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    return place(fingerprint | 1);
  }

 private:
  bool place(uint64_t fingerprint) {
    const size_t mask = slots_.size() - 1;
    for (size_t i = (fingerprint >> 20) & mask;; i = (i + 1) & mask) {
      if (slots_[i] == fingerprint) return false;
      if (slots_[i] != 0) continue;
      slots_[i] = fingerprint;
      ++size_;
      return true;
    }
  }
  void grow() {
    std::vector<uint64_t> old(slots_.size() * 2, 0);
    old.swap(slots_);
    size_ = 0;
    for (const uint64_t fingerprint : old) {
      if (fingerprint != 0) place(fingerprint);
    }
  }

  std::vector<uint64_t> slots_;
  size_t size_ = 0;
};

const char* file_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

}  // namespace

const char* name_of(Access access) {
  switch (access) {
    case Access::kLoad:
      return "load";
    case Access::kStore:
      return "store";
    case Access::kExchange:
      return "exchange";
    case Access::kAdd:
      return "add";
    case Access::kCompareExchange:
      return "compare-exchange";
    case Access::kWait:
      return "wait";
  }
  return "";
}

class Explorer {
 public:
  Explorer(const Program& program, const Limits& limits) : program_(program), limits_(limits) {}

  void weaken(const Site& site, Order weaker) { weakened_ = {site, weaker}; }
  void collect_sites() { collects_ = true; }
  Exploration run();
  std::vector<Site> sites() const;

  // ---- what the running thread does
  LocationId create(uint64_t value) { return memory_.create(value); }
  uint64_t load(LocationId at, Order order, Where where);
  void store(LocationId at, uint64_t value, Order order, Where where);
  template <class Change>
  uint64_t update(Access access, LocationId at, Order order, Where where, Change&& change);
  bool compare_exchange(LocationId at, uint64_t& expected, uint64_t desired, Order order, Where where);
  void wait(LocationId at, Where where);
  void read(Plain& plain);
  void write(Plain& plain);
  void require(bool holds, const char* what);
  void assume(bool holds);

 private:
  struct Choice {
    uint32_t taken = 0;
    uint32_t count = 0;
  };
  struct Actor {
    Fiber fiber;
    bool stuck = false;  // what it assumed does not hold
    bool waits = false;  // for `awaited` to be anything but zero
    LocationId awaited = 0;
  };
  // Who has ever used a word, a bit per thread, in any execution.
  struct Users {
    uint32_t readers = 0;
    uint32_t writers = 0;
  };
  struct Step {
    uint32_t thread;
    Access access;
    LocationId at;
    uint64_t value;
    Where where;
  };

  void execute();
  void go_on(uint32_t thread);
  bool enabled(uint32_t thread) const;
  bool advance();
  uint32_t choose(uint32_t count);
  Order begin(Access access, LocationId at, Order order, Where where);
  void done(Access access, LocationId at, uint64_t value, Where where);
  void find(std::string what);
  std::string told() const;

  const Program& program_;
  const Limits limits_;
  std::optional<std::pair<Site, Order>> weakened_;

  Exploration result_;
  std::vector<Choice> choices_;
  size_t depth_ = 0;
  FingerprintSet visited_;
  std::vector<Users> users_;
  bool again_ = false;  // a word turned out to be shared: what was taken for no choice may be one

  Memory memory_;
  std::array<Actor, kMaxThreads> actors_;
  std::vector<const char*> names_;
  uint32_t threads_ = 0;
  uint32_t running_ = 0;
  std::vector<Step> steps_;
  bool collects_ = false;
  std::map<std::tuple<std::string, uint32_t, Access>, Site> sites_;
};

namespace {

Explorer* explorer = nullptr;  // that runs a program now

}  // namespace

// ---- all executions

Exploration Explorer::run() {
  const auto began = std::chrono::steady_clock::now();
  explorer = this;
  do {
    ++result_.executions;
    again_ = false;
    execute();
    if (!result_.finding.empty()) break;
    if (again_) {
      choices_.clear();
      visited_.clear();
      result_ = {};
      continue;
    }
    if (result_.states >= limits_.states || result_.executions >= limits_.executions) {
      result_.exhausted = false;
      break;
    }
  } while (again_ || advance());
  explorer = nullptr;
  result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result_;
}

// To the last choice that has an alternative.
bool Explorer::advance() {
  while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().count) choices_.pop_back();
  if (choices_.empty()) return false;
  ++choices_.back().taken;
  return true;
}

uint32_t Explorer::choose(uint32_t count) {
  if (count == 1) return 0;
  if (depth_ == choices_.size()) choices_.push_back({0, count});
  return choices_[depth_++].taken;
}

// ---- one execution

void Explorer::execute() {
  depth_ = 0;
  running_ = 0;
  steps_.clear();
  memory_.reset();
  Scenario scenario;
  program_(scenario);
  names_ = scenario.names_;
  threads_ = static_cast<uint32_t>(scenario.bodies_.size());
  if (threads_ >= kMaxThreads) return find("more threads than an explorer runs");
  memory_.fork(threads_);
  for (uint32_t t = 1; t <= threads_; ++t) {
    Actor& actor = actors_[t];
    actor.stuck = actor.waits = false;
    actor.fiber.begin(scenario.bodies_[t - 1]);
  }
  const auto over = [this] { return again_ || !result_.finding.empty(); };
  for (uint32_t t = 1; t <= threads_ && !over(); ++t) go_on(t);
  while (!over()) {
    std::array<uint32_t, kMaxThreads> ready;
    uint32_t count = 0;
    for (uint32_t t = 1; t <= threads_; ++t) {
      if (enabled(t)) ready[count++] = t;
    }
    if (depth_ == choices_.size()) {
      if (!visited_.insert(memory_.fingerprint(threads_))) return;
      ++result_.states;
    }
    if (count == 0) break;
    go_on(ready[choose(count)]);
  }
  running_ = 0;
  if (over()) return;
  bool stuck = false, asleep = false;
  for (uint32_t t = 1; t <= threads_; ++t) {
    stuck = stuck || actors_[t].stuck;
    asleep = asleep || !(actors_[t].fiber.finished() || actors_[t].stuck);
  }
  if (stuck) return;
  if (asleep) return find("a thread sleeps, and nobody is left to wake it");
  ++result_.complete;
  memory_.join(threads_);
  if (scenario.check_) scenario.check_();
}

bool Explorer::enabled(uint32_t thread) const {
  const Actor& actor = actors_[thread];
  if (actor.fiber.finished() || actor.stuck) return false;
  return !actor.waits || memory_.newest(actor.awaited) != 0;
}

// Performs the operation that it stands before, and all that follows up to the next one that others notice.
void Explorer::go_on(uint32_t thread) {
  running_ = thread;
  actors_[thread].fiber.resume();
}

void Explorer::find(std::string what) {
  if (!result_.finding.empty()) return;
  result_.finding = std::move(what);
  result_.trace = told();
}

std::string Explorer::told() const {
  std::string text;
  for (const Step& step : steps_) {
    const char* name = step.thread == 0 ? "set-up" : names_[step.thread - 1];
    text += std::string(name) + ": " + name_of(step.access) + " of word " + std::to_string(step.at) + ", " +
            std::to_string(step.value) + ", at " + file_name(step.where.file) + ":" +
            std::to_string(step.where.line) + "\n";
  }
  return text;
}

std::vector<Site> Explorer::sites() const {
  std::vector<Site> sites;
  for (const auto& [place, site] : sites_) sites.push_back(site);
  return sites;
}

// ---- operations

// Pauses where others may go first; the order in which the access is to be done.
Order Explorer::begin(Access access, LocationId at, Order order, Where where) {
  if (running_ == 0) return order;
  if (at >= users_.size()) users_.resize(at + 1);
  const uint32_t me = 1u << running_;
  Users& users = users_[at];
  const bool reads = access != Access::kStore, writes = access != Access::kLoad;
  const uint32_t others = (users.readers | users.writers) & ~me;
  if ((writes && (users.writers & me) == 0 && others != 0) ||
      (reads && (users.readers & me) == 0 && (users.writers & ~me) != 0)) {
    again_ = true;
  }
  if (reads) users.readers |= me;
  if (writes) users.writers |= me;
  const bool noticed = writes ? others != 0 : (users.writers & ~me) != 0;
  if (noticed || access == Access::kWait || again_) actors_[running_].fiber.pause();
  if (collects_) {
    sites_.try_emplace({where.file, where.line, access}, Site{where.file, where.line, access, order});
  }
  if (!weakened_) return order;
  const Site& site = weakened_->first;
  const bool here = site.line == where.line && site.access == access && site.file == where.file;
  return here ? weakened_->second : order;
}

void Explorer::done(Access access, LocationId at, uint64_t value, Where where) {
  steps_.push_back({running_, access, at, value, where});
}

uint64_t Explorer::load(LocationId at, Order order, Where where) {
  order = begin(Access::kLoad, at, order, where);
  const uint64_t value = memory_.load(running_, at, choose(memory_.loads(running_, at)), order);
  done(Access::kLoad, at, value, where);
  return value;
}

void Explorer::store(LocationId at, uint64_t value, Order order, Where where) {
  order = begin(Access::kStore, at, order, where);
  memory_.store(running_, at, choose(memory_.stores(running_, at)), value, order);
  done(Access::kStore, at, value, where);
}

template <class Change>
uint64_t Explorer::update(Access access, LocationId at, Order order, Where where, Change&& change) {
  order = begin(access, at, order, where);
  const uint32_t choice = choose(memory_.stores(running_, at));
  const uint64_t old = memory_.read_by_update(running_, at, choice);
  memory_.update(running_, at, choice, change(old), order);
  done(access, at, old, where);
  return old;
}

// It succeeds after any store of what was expected, and fails by reading anything else.
bool Explorer::compare_exchange(LocationId at, uint64_t& expected, uint64_t desired, Order order,
                                Where where) {
  order = begin(Access::kCompareExchange, at, order, where);
  std::vector<uint32_t> yes, no;
  for (uint32_t i = 0; i < memory_.stores(running_, at); ++i) {
    if (memory_.read_by_update(running_, at, i) == expected) yes.push_back(i);
  }
  for (uint32_t i = 0; i < memory_.loads(running_, at); ++i) {
    if (memory_.read_by_load(at, i) != expected) no.push_back(i);
  }
  const uint32_t choice = choose(static_cast<uint32_t>(yes.size() + no.size()));
  const bool success = choice < yes.size();
  if (success) {
    memory_.update(running_, at, yes[choice], desired, order);
  } else {
    expected = memory_.load(running_, at, no[choice - yes.size()], {order.acquire, false});
  }
  done(Access::kCompareExchange, at, success ? desired : expected, where);
  return success;
}

void Explorer::wait(LocationId at, Where where) {
  actors_[running_].waits = true;
  actors_[running_].awaited = at;
  // begin() pauses here, and is resumed when there is something to take.
  update(Access::kWait, at, {true, true}, where, [](uint64_t old) { return old - 1; });
  actors_[running_].waits = false;
}

void Explorer::read(Plain& plain) {
  if (!memory_.read(running_, plain))
    require(false, "a data race: it is read while another thread writes it");
}

void Explorer::write(Plain& plain) {
  if (!memory_.write(running_, plain))
    require(false, "a data race: it is written while another thread uses it");
}

void Explorer::require(bool holds, const char* what) {
  if (holds) return;
  find(what);
  if (running_ != 0) actors_[running_].fiber.pause();  // for good
}

void Explorer::assume(bool holds) {
  if (holds) return;
  actors_[running_].stuck = true;
  actors_[running_].fiber.pause();  // for good
}

// ---- what programs call

Exploration explore(const Program& program, const Limits& limits) {
  return Explorer(program, limits).run();
}

Exploration explore_weakened(const Program& program, const Site& site, Order weaker, const Limits& limits) {
  Explorer one(program, limits);
  one.weaken(site, weaker);
  return one.run();
}

std::vector<Site> sites_of(const Program& program, const Limits& limits) {
  Explorer one(program, limits);
  one.collect_sites();
  one.run();
  return one.sites();
}

void require(bool holds, const char* what) {
  explorer->require(holds, what);
}
void assume(bool holds) {
  explorer->assume(holds);
}

namespace detail {

LocationId create(uint64_t value) {
  return explorer->create(value);
}
uint64_t load(LocationId at, Order order, Where where) {
  return explorer->load(at, order, where);
}
void store(LocationId at, uint64_t value, Order order, Where where) {
  explorer->store(at, value, order, where);
}
uint64_t exchange(LocationId at, uint64_t value, Order order, Where where) {
  return explorer->update(Access::kExchange, at, order, where, [&](uint64_t) { return value; });
}
uint64_t add(LocationId at, uint64_t value, Order order, Where where) {
  return explorer->update(Access::kAdd, at, order, where, [&](uint64_t old) { return old + value; });
}
bool compare_exchange(LocationId at, uint64_t& expected, uint64_t desired, Order order, Where where) {
  return explorer->compare_exchange(at, expected, desired, order, where);
}
void wait(LocationId at, Where where) {
  explorer->wait(at, where);
}
void read(Plain& plain) {
  explorer->read(plain);
}
void write(Plain& plain) {
  explorer->write(plain);
}

}  // namespace detail

}  // namespace trunkline::model
