// Slab and List: the records of the mesh state machine, all of them made at start, named by index.
//
// The idea: nothing is allocated after construction and nothing is found by pointer order, so a record is an
// index into an array, and every relation between records (the waiters of a track, the requests under way to
// a peer) is a doubly linked list threaded through hooks inside the records. Adding, removing and taking the
// oldest are O(1), and the order is the order of arrival: the same inputs give the same run.
//
// Owner: one thread. Memory: capacity * (sizeof(T) + 4), in the constructor.
#pragma once

#include <cstdint>
#include <memory>

#include "core/check.h"

namespace trunkline::relay::mesh {

inline constexpr uint32_t kNil = UINT32_MAX;  // "no record"

// One membership of a record in a list.
struct Hook {
  uint32_t next = kNil;
  uint32_t prev = kNil;
  bool linked = false;
};

struct ListHead {
  uint32_t first = kNil;
  uint32_t last = kNil;
  uint32_t size = 0;
  bool empty() const { return size == 0; }
};

template <class T>
class Slab {
 public:
  explicit Slab(uint32_t capacity)
      : capacity_(capacity),
        items_(std::make_unique<T[]>(capacity)),
        next_free_(std::make_unique_for_overwrite<uint32_t[]>(capacity)) {}

  // A record in its initial state; kNil when all are in use.
  uint32_t allocate() noexcept {
    if (in_use_ == capacity_) return kNil;
    ++in_use_;
    if (free_ == kNil) return fresh_++;  // never used before: still as constructed
    const uint32_t i = free_;
    free_ = next_free_[i];
    return i;
  }
  // Contract: i is in use and in no list.
  void release(uint32_t i) noexcept {
    items_[i] = T{};
    next_free_[i] = free_;
    free_ = i;
    --in_use_;
  }

  T& operator[](uint32_t i) noexcept {
    TL_DCHECK(i < capacity_);
    return items_[i];
  }
  const T& operator[](uint32_t i) const noexcept { return items_[i]; }
  uint32_t in_use() const noexcept { return in_use_; }
  uint32_t capacity() const noexcept { return capacity_; }
  bool full() const noexcept { return in_use_ == capacity_; }

 private:
  uint32_t capacity_;
  uint32_t in_use_ = 0;
  uint32_t fresh_ = 0;  // records from here on were never used
  uint32_t free_ = kNil;
  std::unique_ptr<T[]> items_;
  std::unique_ptr<uint32_t[]> next_free_;
};

// List<&Waiter::of_track>::push_back(waiters, track.waiters, w)
template <auto kHook>
struct List;
template <class T, Hook T::*kHook>
struct List<kHook> {
  static void push_back(Slab<T>& slab, ListHead& list, uint32_t i) noexcept {
    Hook& hook = slab[i].*kHook;
    TL_DCHECK(!hook.linked);
    hook = {kNil, list.last, true};
    if (list.last == kNil) {
      list.first = i;
    } else {
      (slab[list.last].*kHook).next = i;
    }
    list.last = i;
    ++list.size;
  }
  // Contract: `before` is in `list` or kNil, which is behind its end; i is in none.
  static void insert_before(Slab<T>& slab, ListHead& list, uint32_t i, uint32_t before) noexcept {
    if (before == kNil) return push_back(slab, list, i);
    Hook& at = slab[before].*kHook;
    slab[i].*kHook = {before, at.prev, true};
    if (at.prev == kNil) {
      list.first = i;
    } else {
      (slab[at.prev].*kHook).next = i;
    }
    at.prev = i;
    ++list.size;
  }
  // Where to insert so that order is kept among the last ones: before all at the end that are `later`. Looks
  // at kLookBack records at most, and at none before `first`; records come in order or nearly so.
  template <class Later>
  static uint32_t place(const Slab<T>& slab, const ListHead& list, uint32_t first, Later later) noexcept {
    constexpr uint32_t kLookBack = 16;
    uint32_t before = kNil;
    uint32_t at = list.last;
    for (uint32_t looked = 0; at != kNil && looked < kLookBack && later(slab[at]); ++looked) {
      before = at;
      if (at == first) break;
      at = (slab[at].*kHook).prev;
    }
    return before;
  }
  // Nothing when it is in no list. Contract: it is in `list` or in none.
  static void remove(Slab<T>& slab, ListHead& list, uint32_t i) noexcept {
    Hook& hook = slab[i].*kHook;
    if (!hook.linked) return;
    if (hook.prev == kNil) {
      list.first = hook.next;
    } else {
      (slab[hook.prev].*kHook).next = hook.next;
    }
    if (hook.next == kNil) {
      list.last = hook.prev;
    } else {
      (slab[hook.next].*kHook).prev = hook.prev;
    }
    hook = {};
    --list.size;
  }
  static void move_to_back(Slab<T>& slab, ListHead& list, uint32_t i) noexcept {
    remove(slab, list, i);
    push_back(slab, list, i);
  }
  static uint32_t pop_front(Slab<T>& slab, ListHead& list) noexcept {
    const uint32_t i = list.first;
    if (i != kNil) remove(slab, list, i);
    return i;
  }
  static uint32_t next(const Slab<T>& slab, uint32_t i) noexcept { return (slab[i].*kHook).next; }
};

}  // namespace trunkline::relay::mesh
