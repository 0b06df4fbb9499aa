// What a class in which threads meet is instantiated with to be explored: ModelSync in the place of
// core::StdSync, Cell in the place of its items.
#pragma once

#include <cstdint>

#include "tests/model/explorer.h"

namespace trunkline::model {

// core::Atomic's interface. A word that a load finds may be an old one.
template <class T>
class Word {
 public:
  Word() : Word(T{}) {}
  explicit Word(T value) : at_(detail::create(static_cast<uint64_t>(value))) {}
  Word(const Word&) = delete;
  Word& operator=(const Word&) = delete;

  T load_relaxed(Where where = Where::current()) const noexcept { return load({}, where); }
  T load_acquire(Where where = Where::current()) const noexcept { return load({true, false}, where); }
  void store_relaxed(T v, Where where = Where::current()) noexcept { store(v, {}, where); }
  void store_release(T v, Where where = Where::current()) noexcept { store(v, {false, true}, where); }
  T exchange_relaxed(T v, Where where = Where::current()) noexcept { return exchange(v, {}, where); }
  T exchange_acquire(T v, Where where = Where::current()) noexcept {
    return exchange(v, {true, false}, where);
  }
  T exchange_release(T v, Where where = Where::current()) noexcept {
    return exchange(v, {false, true}, where);
  }
  T fetch_add_relaxed(T v, Where where = Where::current()) noexcept {
    return static_cast<T>(detail::add(at_, static_cast<uint64_t>(v), {}, where));
  }
  bool compare_exchange(T& expected, T desired, Order order, Where where = Where::current()) noexcept {
    auto old = static_cast<uint64_t>(expected);
    const bool done = detail::compare_exchange(at_, old, static_cast<uint64_t>(desired), order, where);
    expected = static_cast<T>(old);
    return done;
  }
  bool compare_exchange_acq_rel(T& expected, T desired, Where where = Where::current()) noexcept {
    return compare_exchange(expected, desired, {true, true}, where);
  }

 private:
  T load(Order order, Where where) const { return static_cast<T>(detail::load(at_, order, where)); }
  void store(T v, Order order, Where where) { detail::store(at_, static_cast<uint64_t>(v), order, where); }
  T exchange(T v, Order order, Where where) {
    return static_cast<T>(detail::exchange(at_, static_cast<uint64_t>(v), order, where));
  }
  LocationId at_;
};

// A value that is not atomic: accesses of two threads must be ordered, or one is a finding.
template <class T>
class Var {
 public:
  Var() = default;
  Var(const Var& other) noexcept { write() = other.read(); }
  Var& operator=(const Var& other) noexcept {
    write() = other.read();
    return *this;
  }
  const T& read() const noexcept {
    detail::read(plain_);
    return value_;
  }
  T& write() noexcept {
    detail::write(plain_);
    return value_;
  }

 private:
  mutable Plain plain_;
  T value_{};
};

struct ModelSync {
  template <class T>
  using Atomic = Word<T>;
  template <class T>
  using Var = model::Var<T>;
};

// An item: a plain number whose copies are accesses.
class Cell {
 public:
  Cell() = default;
  explicit Cell(uint32_t value) noexcept { value_.write() = value; }
  Cell(const Cell& other) noexcept { value_.write() = other.value(); }
  Cell& operator=(const Cell& other) noexcept {
    value_.write() = other.value();
    return *this;
  }
  uint32_t value() const noexcept { return value_.read(); }

 private:
  Var<uint32_t> value_;
};

// What stands behind an item that is handed from thread to thread: it is used only while it is alive, by one
// thread at a time, and ended once.
class Resource {
 public:
  void begin() noexcept {
    bool& alive = alive_.write();
    require(!alive, "begun while it was in use");
    alive = true;
  }
  void use() noexcept { require(alive_.write(), "used after its end"); }
  void end() noexcept {
    bool& alive = alive_.write();
    require(alive, "ended twice");
    alive = false;
  }
  bool alive() const noexcept { return alive_.read(); }

 private:
  Var<bool> alive_;
};

// An eventfd: whoever waits sleeps until it was signalled. To sleep when all others have ended is a finding.
class Event {
 public:
  Event() : at_(detail::create(0)) {}
  void signal() noexcept { detail::add(at_, 1, {true, true}, Where::current()); }
  void wait() noexcept { detail::wait(at_, Where::current()); }

 private:
  LocationId at_;
};

}  // namespace trunkline::model
