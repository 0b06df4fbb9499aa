// TimerWheel: see the header for the idea; here are the digits, the chains of blocks, and the slices.
#include "core/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>

#include "core/cacheline.h"

namespace trunkline::core {

constexpr size_t kPageWords = 4096 / sizeof(uint32_t);  // the small page of x86-64 and most ARM64

TimerWheel::TimerWheel(uint32_t max_timers, Nanos tick, Nanos start, PageSource* pages)
    : max_timers_(max_timers), tick_(tick), start_(start) {
  static_assert(kBlock * sizeof(uint32_t) == kCacheLine);
  TL_CHECK(tick.ns > 0);
  TL_CHECK(max_timers < 1u << 30);  // places fit in 32 bits
  reciprocal_ = UINT64_MAX / static_cast<uint64_t>(tick.ns);
  last_tick_ =
      (static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) - static_cast<uint64_t>(start.ns)) /
      static_cast<uint64_t>(tick.ns);
  lists_[kNoList].begin = UINT64_MAX;
  if (max_timers == 0) return;
  // Full blocks, and for each list one that is not; the list being drained has one more, at its beginning.
  // A block in use has at least one id in it, but for the one from which the last id is being moved.
  const size_t ids = size_t{max_timers} * 2;  // I5
  const size_t blocks = 1 + std::min<size_t>(ids, ids / (kBlock - kLinks) + kNoList + 1);
  const size_t node_bytes = (size_t{max_timers} * sizeof(Node) + kCacheLine - 1) / kCacheLine * kCacheLine;
  PageSource& source = pages != nullptr ? *pages : heap_;
  const std::span<uint8_t> memory = source.take(node_bytes + blocks * kCacheLine);
  TL_CHECK(!memory.empty());
  nodes_ = reinterpret_cast<Node*>(memory.data());
  words_ = reinterpret_cast<uint32_t*>(memory.data() + node_bytes);
  // Pages that come when they are touched come here, not in somebody's arm().
  for (size_t word = 0; word < blocks * kBlock; word += kPageWords) words_[word] = 0;
  std::uninitialized_fill_n(nodes_, max_timers, Node{Nanos{0}, kNoPlace, kNoList, false});
}

Nanos TimerWheel::next_deadline() const noexcept {
  if (armed_count_ == 0) return kNever;
  if (draining_ != kNoList || lists_[kDueList].end != 0) return time_of(current_);
  return time_of(lists_[next_list()].begin);
}

uint32_t TimerWheel::expire(Nanos now, std::span<uint32_t> out) noexcept {
  // Rounded down, while deadlines are rounded up: that is what makes a timer never early.
  uint64_t target = current_;
  if (now > start_) {
    target = std::max(target, ticks_in(static_cast<uint64_t>(now.ns) - static_cast<uint64_t>(start_.ns)));
  }
  Slice slice{out, 0, uint64_t{out.size()} + kSlice};
  // Bounded: a list that is entered is not empty, so each round takes a look from the slice or ends it.
  while (true) {
    if (draining_ == kNoList) {
      const uint32_t list = lists_[kDueList].end != 0 ? kDueList : next_list();
      if (lists_[list].begin > target) break;
      enter(list);
    }
    behind_ = !drain(slice);
    if (behind_) return slice.count;
  }
  // No slot begins in (current_, target]: so I3 still holds when the current tick jumps there.
  current_ = target;
  behind_ = false;
  return slice.count;
}

Nanos TimerWheel::time_of(uint64_t tick) const noexcept {
  if (tick > last_tick_) return kNever;
  return {static_cast<int64_t>(static_cast<uint64_t>(start_.ns) + tick * static_cast<uint64_t>(tick_.ns))};
}

void TimerWheel::move(uint32_t id, uint64_t due) noexcept {
  if (nodes_[id].list != kNoList) {
    if (nodes_[id].list == far_ && beyond_span(due)) return far_begins(due);
    if (left_behind_ < max_timers_) {
      ++left_behind_;
    } else {
      remove(id);
    }
  }
  place(id, due);
}

void TimerWheel::place(uint32_t id, uint64_t due) noexcept {
  if (due <= current_) return append(id, kDueList, 0);
  if (beyond_span(due)) {
    append(id, far_, UINT64_MAX);
    return far_begins(due);
  }
  const uint32_t level = (static_cast<uint32_t>(std::bit_width(due ^ current_)) - 1) / kDigitBits;  // I3
  const uint32_t shift = level * kDigitBits;
  append(id, level * kSlots + static_cast<uint32_t>(due >> shift) % kSlots, due >> shift << shift);
}

// The far list is looked at when the first span begins in which one of it is due.
void TimerWheel::far_begins(uint64_t due) noexcept {
  lists_[far_].begin = std::min(lists_[far_].begin, due >> kSpanBits << kSpanBits);
}

void TimerWheel::append(uint32_t id, uint32_t list, uint64_t begin) noexcept {
  List& l = lists_[list];
  if (l.end % kBlock == 0) {
    const uint32_t block = take_block();
    if (l.end == 0) {
      l.begin = begin;
      l.first = block + kLinks;
      if (list < kFarList) occupied_[list / kSlots] |= uint64_t{1} << (list % kSlots);  // I2
    } else {
      const uint32_t before = l.end - kBlock;
      words_[before] = block;
      words_[block + 1] = before;
    }
    l.end = block + kLinks;
  }
  words_[l.end] = id;
  nodes_[id].at = l.end++;
  nodes_[id].list = static_cast<uint16_t>(list);
}

// The last id of the list takes the place. Never of a list whose `begin` is 0: nothing is before that.
void TimerWheel::remove(uint32_t id) noexcept {
  const Node& node = nodes_[id];
  List& l = lists_[node.list];
  const uint32_t last = --l.end;
  const uint32_t taker = words_[last];
  words_[node.at] = taker;
  if (nodes_[taker].at == last) nodes_[taker].at = node.at;  // otherwise it was left behind, and still is
  if (last % kBlock != kLinks) return;
  // Its block has no other.
  const uint32_t block = last - kLinks;
  if (l.first == last) {
    l.end = 0;
    if (node.list < kFarList) occupied_[node.list / kSlots] &= ~(uint64_t{1} << (node.list % kSlots));  // I2
  } else {
    l.end = words_[block + 1] + kBlock;
  }
  release_block(block);
}

uint32_t TimerWheel::take_block() noexcept {
  if (free_ == kNoBlock) return fresh_++ * kBlock;
  const uint32_t block = free_;
  free_ = words_[block];
  return block;
}

void TimerWheel::release_block(uint32_t block) noexcept {
  words_[block] = free_;
  free_ = block;
}

// The list whose time comes first, the due list aside; kNoList when all are empty.
uint32_t TimerWheel::next_list() const noexcept {
  for (uint32_t level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    return level * kSlots + static_cast<uint32_t>(std::countr_zero(occupied_[level]));
  }
  return lists_[far_].end != 0 ? far_ : kNoList;
}

// Makes the list's beginning the current tick, and the list the one being drained.
void TimerWheel::enter(uint32_t list) noexcept {
  List& l = lists_[list];
  if (list != kDueList) current_ = l.begin;
  if (list < kFarList) occupied_[list / kSlots] &= ~(uint64_t{1} << (list % kSlots));  // I2
  if (list == far_) far_ = list == kFarList ? kFarList + 1 : kFarList;
  l.begin = 0;  // I4
  draining_ = list;
  ask_for_nodes(l, l.first - kLinks);
  ask_ahead(l, l.first - kLinks);
}

// Takes out of the list being drained what fires, what was put off, called off or left behind, as far as the
// slice reaches. False when it does not reach the end. Nothing is placed in that list meanwhile (I3; a far
// list has its twin, and what is not due yet is not for the due list).
bool TimerWheel::drain(Slice& slice) noexcept {
  List& l = lists_[draining_];
  while (l.end != 0) {
    if (slice.looks == 0) return false;
    const uint32_t id = words_[l.first];
    Node& node = nodes_[id];
    if (node.at != l.first) {
      --left_behind_;  // I1
    } else if (!node.armed) {
      leave(node);
    } else if (const uint64_t due = tick_of(node.deadline); due > current_) {
      place(id, due);
    } else {
      if (slice.count == slice.out.size()) return false;
      slice.out[slice.count++] = id;
      node.armed = false;
      leave(node);
      --armed_count_;
    }
    --slice.looks;
    pass_first(l);
  }
  draining_ = kNoList;
  return true;
}

void TimerWheel::pass_first(List& l) noexcept {
  const uint32_t block = l.first / kBlock * kBlock;
  ++l.first;
  if (l.first == l.end) {
    l.end = 0;
  } else if (l.first % kBlock == 0) {
    l.first = words_[block] + kLinks;
    ask_ahead(l, words_[block]);
  } else {
    return;
  }
  release_block(block);
}

void TimerWheel::ask_for_nodes(const List& l, uint32_t block) const noexcept {
  const uint32_t end = is_last(l, block) ? l.end : block + kBlock;
  for (uint32_t at = block + kLinks; at < end; ++at) prefetch_line(&nodes_[words_[at]]);
}

// While the ids of `block` are taken out the nodes of the next one's come, and the line of the one after.
void TimerWheel::ask_ahead(const List& l, uint32_t block) const noexcept {
  if (is_last(l, block)) return;
  const uint32_t next = words_[block];
  ask_for_nodes(l, next);
  if (!is_last(l, next)) prefetch_line(&words_[words_[next]]);
}

}  // namespace trunkline::core
