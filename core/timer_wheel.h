// TimerWheel: deadlines for the entries of somebody's slab, named by their index there.
//
// The idea: four levels of 64 slots, each slot 64 times as wide as one of the level below. A timer waits at
// the level of the highest base-64 digit in which its tick differs from the current one, in the slot of that
// digit. So at each level only slots after the current digit can be occupied, any timer of a lower level is
// due before any of a higher one, and the next event is the first set bit of the lowest occupied level: a
// long idle gap is crossed in as many steps as there are occupied slots in it. When time enters a slot its
// timers fire or move down. Timers beyond the current span of 64^4 ticks (4.66 h at 1 ms) wait in one list
// that is looked at when the first span begins in which one of them is due.
//
// Most deadlines are put off or called off before they come. So nothing is taken out of a slot before its
// time: a timer that is armed again stays where it is as long as its slot begins no later than the new
// deadline, and a cancelled one stays too; when the slot's time comes, the first is placed anew and the
// second dropped. A deadline before the slot's beginning puts the timer in an earlier slot at once, and
// leaves its id behind in the old one.
//
// Memory decides the speed: at a million timers each one touched is a line of DRAM. A timer is a node of 16
// bytes, four to a line, and never straddles two (padded to 32 or 64 bytes each operation is slower, in
// random order too: more pages and less of it in the last cache). A slot is a chain of blocks of one line,
// with 14 ids in each. So arming, arming again and cancelling touch that one node, and else only the ends of
// chains, which are in the cache; and draining a chain knows the next 14 nodes beforehand and asks for them
// together.
//
// A timer fires at the first expire() whose `now` has reached its tick, that is its deadline rounded up to
// the next whole tick since `start`: never early, and late by less than one tick plus the time until the
// caller comes. Ids come out in order of ticks; within one tick in the order in which they came to its slot
// (but for I5), a function of the calls and of nothing else.
//
// Threads: one owner. arm and cancel are O(1), next_deadline is O(levels), one expire() looks at no more than
// out.size() + kSlice ids, whether they fire, move or are dropped. A timer is looked at once for each slot it
// was put into: at most kLevels + 1 times per 64^4 ticks, and once more each time it is put off past its slot
// or brought forward. Memory: 25 bytes per timer and about 21 KiB, taken in the constructor.
//
// Invariants
//   I1  a timer, armed or called off, is in one list, and its id at nodes_[id].at; or it is in none (kNoList,
//       kNoPlace). Where else its id stands it was left behind, and means nothing
//   I2  a level's bit is set exactly when that slot's list is not empty and not the one being drained
//   I3  a slot with its bit set, at level L, has the current tick's digits above L and a greater digit at L;
//       lists_[].begin is its first tick
//   I4  an armed timer's tick is not before its list's `begin`, which is 0 for the due list and for the one
//       being drained (both are emptied before time goes on), and later than any tick for kNoList
//   I5  no more ids are left behind than there are timers: a timer beyond that, and none but that, is taken
//       out of its old slot, whose last id takes the place
#pragma once

#include <cstdint>
#include <span>

#include "core/check.h"
#include "core/page_source.h"
#include "core/time.h"

namespace trunkline::core {

class TimerWheel {
 public:
  // What one expire() looks at beyond out.size(). At a million timers, whose nodes come from DRAM, 32 take a
  // microsecond at worst (bench: timer.slice); fewer would waste what is asked for ahead.
  static constexpr uint32_t kSlice = 32;

  // Timers are 0 .. max_timers-1, none armed. Contract: tick > 0; deadlines count from `start`. The memory is
  // ordinary, or that of `pages` (2 MiB pages are worth it from some 100 000 timers on), which must have it.
  TimerWheel(uint32_t max_timers, Nanos tick, Nanos start) : TimerWheel(max_timers, tick, start, nullptr) {}
  TimerWheel(uint32_t max_timers, Nanos tick, Nanos start, PageSource& pages)
      : TimerWheel(max_timers, tick, start, &pages) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Starts timer `id`, or sets it anew if it runs: one store when its slot begins no later than the new
  // deadline. A deadline in the past fires at the next expire(). kNever is as good as any: it never comes.
  // Contract (all functions): id < max_timers().
  void arm(uint32_t id, Nanos deadline) noexcept {
    TL_CHECK(id < max_timers_);
    Node& node = nodes_[id];
    node.deadline = deadline;
    if (!node.armed) {
      node.armed = true;
      ++armed_count_;
    }
    const uint64_t due = tick_of(deadline);
    if (due < lists_[node.list].begin) move(id, due);  // I4
  }
  // Stops it; nothing if it does not run. A timer that expire() has returned does not run.
  void cancel(uint32_t id) noexcept {
    TL_CHECK(id < max_timers_);
    Node& node = nodes_[id];
    if (!node.armed) return;
    node.armed = false;
    --armed_count_;
  }
  bool armed(uint32_t id) const noexcept {
    TL_CHECK(id < max_timers_);
    return nodes_[id].armed;
  }
  // When it was last armed for; meaningful while armed.
  Nanos deadline(uint32_t id) const noexcept {
    TL_CHECK(id < max_timers_);
    return nodes_[id].deadline;
  }

  // When to come back: never later than the moment the earliest timer may fire, sometimes earlier (then
  // expire() moves or drops timers, returns nothing, and the next answer is later). kNever when none runs.
  Nanos next_deadline() const noexcept;

  // Stops the timers that are due at `now` and writes their ids, at most out.size(); returns how many. There
  // may be more when that is out.size(), or when it looked at out.size() + kSlice timers: behind() tells.
  // Then call again, with the same `now`, at once or later: nothing is lost, and it goes on in order. A `now`
  // before an earlier one is taken as that earlier one.
  uint32_t expire(Nanos now, std::span<uint32_t> out) noexcept;
  // The last expire() stopped before it reached its `now`. While a timer runs, next_deadline() is then not
  // after that `now`.
  bool behind() const noexcept { return behind_; }

  uint32_t max_timers() const noexcept { return max_timers_; }
  uint32_t armed_count() const noexcept { return armed_count_; }

 private:
  static constexpr uint32_t kDigitBits = 6;
  static constexpr uint32_t kSlots = 1u << kDigitBits;  // one bitmap word per level
  static constexpr uint32_t kLevels = 4;                // 64^4 ticks: more than an hour at 1 ms
  static constexpr uint32_t kSpanBits = kDigitBits * kLevels;
  // Lists by number: the slots, level by level, then these.
  static constexpr uint32_t kFarList = kLevels * kSlots;  // beyond the span; two, so that one can be drained
  static constexpr uint32_t kDueList = kFarList + 2;      // armed for what has passed already
  static constexpr uint32_t kNoList = kDueList + 1;
  static constexpr uint32_t kLists = kNoList + 1;

  // A block is a line of 32-bit words: where the next and the previous block of its chain begin, then ids. A
  // place is a word's index; none is a multiple of kBlock.
  static constexpr uint32_t kBlock = 16;
  static constexpr uint32_t kLinks = 2;
  static constexpr uint32_t kNoBlock = UINT32_MAX;
  static constexpr uint32_t kNoPlace = 0;

  struct Node {
    Nanos deadline;
    uint32_t at;    // its place, when it is in a list
    uint16_t list;  // which
    bool armed;     // otherwise it was called off, and its id, if in a list, is dropped when met
  };
  static_assert(sizeof(Node) == 16);
  struct List {
    uint64_t begin;  // I4
    uint32_t first;  // the place of the first id not yet taken out
    uint32_t end;    // after the last one's; 0 when empty, a multiple of kBlock when the last block is full
  };
  // What is left of one expire().
  struct Slice {
    std::span<uint32_t> out;
    uint32_t count;
    uint64_t looks;
  };

  __extension__ using Wide = unsigned __int128;

  TimerWheel(uint32_t max_timers, Nanos tick, Nanos start, PageSource* pages);

  // elapsed / tick by the reciprocal, rounded down, which makes the product at most one too low.
  uint64_t ticks_in(uint64_t elapsed) const noexcept {
    const auto ticks = static_cast<uint64_t>((Wide{elapsed} * reciprocal_) >> 64);
    return ticks + (elapsed - ticks * static_cast<uint64_t>(tick_.ns) >= static_cast<uint64_t>(tick_.ns));
  }
  // The deadline's tick, rounded up; 0 for what is past before the start.
  uint64_t tick_of(Nanos deadline) const noexcept {
    if (deadline <= start_) return 0;
    const uint64_t elapsed = static_cast<uint64_t>(deadline.ns) - static_cast<uint64_t>(start_.ns);
    const uint64_t ticks = ticks_in(elapsed);
    return ticks + (ticks * static_cast<uint64_t>(tick_.ns) != elapsed);
  }
  Nanos time_of(uint64_t tick) const noexcept;

  void move(uint32_t id, uint64_t due) noexcept;
  void place(uint32_t id, uint64_t due) noexcept;
  bool beyond_span(uint64_t due) const noexcept { return due >> kSpanBits > current_ >> kSpanBits; }
  void far_begins(uint64_t due) noexcept;
  void append(uint32_t id, uint32_t list, uint64_t begin) noexcept;
  void remove(uint32_t id) noexcept;
  static void leave(Node& node) noexcept {
    node.at = kNoPlace;
    node.list = kNoList;
  }
  bool is_last(const List& list, uint32_t block) const noexcept { return list.end - block <= kBlock; }
  uint32_t take_block() noexcept;
  void release_block(uint32_t block) noexcept;
  uint32_t next_list() const noexcept;
  void enter(uint32_t list) noexcept;
  bool drain(Slice& slice) noexcept;
  void pass_first(List& list) noexcept;
  void ask_for_nodes(const List& list, uint32_t block) const noexcept;
  void ask_ahead(const List& list, uint32_t block) const noexcept;

  // Read by every arm().
  Node* nodes_ = nullptr;
  const uint32_t max_timers_;
  uint32_t armed_count_ = 0;
  const Nanos tick_;
  const Nanos start_;
  uint64_t reciprocal_ = 0;  // (2^64 - 1) / tick
  uint64_t last_tick_ = 0;   // whose time can still be told
  // Read by those that move a timer.
  uint64_t current_ = 0;  // tick: the wheel has been advanced to here
  uint32_t* words_ = nullptr;
  uint32_t free_ = kNoBlock;  // chained by their first words
  uint32_t fresh_ = 0;        // blocks from here on were never used
  uint32_t far_ = kFarList;   // the far list that takes what is placed
  uint32_t draining_ = kNoList;
  uint32_t left_behind_ = 0;  // I5
  bool behind_ = false;
  uint64_t occupied_[kLevels]{};
  List lists_[kLists]{};
  HeapPageSource heap_{HeapPageSource::Bytes::kAsFound};  // when no other was given
};

}  // namespace trunkline::core
