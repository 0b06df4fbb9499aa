// EventQueue: what happens next, in virtual time.
//
// The idea: events are ordered by (time, a random tie, sequence). The random tie explores the orders in which
// simultaneous things may happen, and is drawn from the seed, so a run repeats exactly; the sequence makes
// the order total.
//
// Nearly all events are for the next 200 ms, and lie in a calendar (Brown, Calendar Queues, 1988): a list for
// each of the next 2048 slots of 131 us, and a bit that says that it is not empty. A slot is sorted when its
// time has come; it holds one event in a small mesh and forty in one of 300 nodes. The few events
// that are further off (faults, phases, what hosts will do) wait in a heap.
//
// One thread. Push and pop cost about 10 ns each, however many events are pending. Memory grows with the
// largest number of pending events and is kept.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/rng.h"
#include "core/time.h"

namespace trunkline::sim {

enum class EventKind : uint8_t {
  kDeliver,   // node: receiver; arg: the datagram in flight
  kWake,      // node: its time has come
  kWorkload,  // arg: which actor of the workload
  kMedia,     // arg: the publication that sends its next packet
  kFault,     // arg: which fault of the schedule
  kPhase,     // the world goes on to its next phase
};
const char* event_kind_name(EventKind kind);

struct Event {
  core::Nanos time{};
  uint64_t order = 0;  // random tie 32 | sequence 32
  EventKind kind = EventKind::kWake;
  uint16_t node = 0;
  uint32_t arg = 0;

  // Which of two comes later.
  bool operator>(const Event& other) const {
    return time != other.time ? time > other.time : order > other.order;
  }
};

class EventQueue {
 public:
  explicit EventQueue(core::Rng ties) : ties_(ties) { first_.fill(kNone); }

  void push(core::Nanos time, EventKind kind, uint16_t node, uint32_t arg = 0) {
    TL_CHECK(time >= now_);  // nothing happens in the past
    const Event event{time, (ties_.next() << 32) | sequence_++, kind, node, arg};
    const int64_t slot = slot_of(event);
    ++size_;
    if (slot <= slot_now_) {
      soon_.insert(std::lower_bound(soon_.begin(), soon_.end(), event, std::greater<>()), event);
      return;
    }
    if (slot - slot_now_ < kSlots) {
      enlist(event, static_cast<uint32_t>(slot % kSlots));
    } else {
      far_.push_back(event);
      std::push_heap(far_.begin(), far_.end(), std::greater<>());
    }
    if (soon_.empty()) turn_page();
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // Contract: !empty(), for both.
  const Event& next() const { return soon_.back(); }
  Event pop() {
    const Event first = soon_.back();
    soon_.pop_back();
    --size_;
    if (soon_.empty() && size_ > 0) turn_page();
    now_ = first.time;
    return first;
  }
  // The one after `ahead` others, if it is already known; nullptr: it is not.
  const Event* peek(size_t ahead) const {
    return ahead < soon_.size() ? &soon_[soon_.size() - 1 - ahead] : nullptr;
  }

  // The time of the event popped last.
  core::Nanos now() const { return now_; }

 private:
  static constexpr uint32_t kSlotBits = 17;   // nanoseconds: 131 us
  static constexpr int64_t kSlots = 1 << 11;  // 268 ms: the longest way and the longest timer of a link
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Listed {
    Event event;
    uint32_t next;
  };

  static int64_t slot_of(const Event& event) { return event.time.ns >> kSlotBits; }

  void enlist(const Event& event, uint32_t slot) {
    uint32_t at = free_;
    if (at == kNone) {
      at = static_cast<uint32_t>(listed_.size());
      listed_.emplace_back();
    } else {
      free_ = listed_[at].next;
    }
    listed_[at] = {event, first_[slot]};
    first_[slot] = at;
    full_[slot / 64] |= uint64_t{1} << slot % 64;
  }

  // Contract: soon_ is empty, the queue is not. The next slot that holds anything is the present one.
  void turn_page() {
    const int64_t listed = next_listed();
    slot_now_ = far_.empty() ? listed : std::min(listed, slot_of(far_.front()));
    if (slot_now_ == listed) {
      const auto slot = static_cast<uint32_t>(listed % kSlots);
      for (uint32_t at = std::exchange(first_[slot], kNone); at != kNone;) {
        soon_.push_back(listed_[at].event);
        const uint32_t next = std::exchange(listed_[at].next, free_);
        free_ = std::exchange(at, next);
      }
      full_[slot / 64] &= ~(uint64_t{1} << slot % 64);
    }
    while (!far_.empty() && slot_of(far_.front()) == slot_now_) {
      soon_.push_back(far_.front());
      std::pop_heap(far_.begin(), far_.end(), std::greater<>());
      far_.pop_back();
    }
    if (soon_.size() > 1) std::sort(soon_.begin(), soon_.end(), std::greater<>());
  }

  // The first slot after the present one that has a list; INT64_MAX: none.
  int64_t next_listed() const {
    constexpr uint32_t kWords = kSlots / 64;
    const auto begin = static_cast<uint32_t>((slot_now_ + 1) % kSlots);
    uint64_t word = full_[begin / 64] & ~uint64_t{0} << begin % 64;
    for (uint32_t i = 0; i <= kWords; ++i) {
      const uint32_t at = (begin / 64 + i) % kWords;
      if (word != 0) {
        const int64_t found = int64_t{at} * 64 + std::countr_zero(word);
        return slot_now_ + 1 + (found - begin + kSlots) % kSlots;
      }
      word = full_[(at + 1) % kWords];
    }
    return INT64_MAX;
  }

  std::vector<Event> soon_;  // of the present slot, and what is due before it: the latest first
  std::array<uint32_t, kSlots> first_;
  std::array<uint64_t, kSlots / 64> full_{};
  std::vector<Listed> listed_;
  std::vector<Event> far_;  // a heap
  uint32_t free_ = kNone;
  int64_t slot_now_ = 0;
  size_t size_ = 0;
  core::Rng ties_;
  uint32_t sequence_ = 0;
  core::Nanos now_{};
};

}  // namespace trunkline::sim
