// The states of a neighbour, in the order in which it passes them: asked for, heard, asked again, given up.
#include "io/neighbour_table.h"

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace trunkline::io {

NeighbourTable::NeighbourTable(uint32_t capacity, core::HashKey key, IpHostCounters& counters)
    : hash_(key),
      counters_(counters),
      capacity_(capacity),
      chain_mask_(std::bit_ceil(capacity) - 1),
      entries_(new Entry[capacity]),
      chains_(new uint32_t[std::bit_ceil(capacity)]) {
  TL_CHECK(capacity > 0);
  std::fill_n(chains_.get(), chain_mask_ + 1, kNone);
}

uint32_t NeighbourTable::resolve(const core::UdpAddress& address, uint8_t source, Nanos now) noexcept {
  uint32_t index = find(address);
  if (index == kNone) {
    index = free_place();
    if (index == kNone && (index = oldest_unused(now)) != kNone) {
      remove(index);
      index = free_place();
      counters_.add(IpHostCounter::neighbours_replaced);
    }
    if (index == kNone) return kNone;
    insert(index, address);
  }
  Entry& entry = entries_[index];
  entry.source = source;
  entry.last_used = now;
  if (entry.state == State::kFree || (entry.state == State::kFailed && now >= entry.due)) {
    entry.state = State::kIncomplete;
    entry.requests = 0;
    ask(entry, now);
  } else if (now >= entry.check_at) {
    probe(entry, now);
  }
  return index;
}

uint32_t NeighbourTable::find(const core::UdpAddress& address) const noexcept {
  for (uint32_t i = chain_of(address); i != kNone; i = entries_[i].next) {
    if (frame::same(entries_[i].address, address)) return i;
  }
  return kNone;
}

bool NeighbourTable::hear(const core::UdpAddress& address, const MacAddress* mac, Evidence evidence,
                          Create create, Nanos now) noexcept {
  uint32_t index = find(address);
  if (index == kNone) {
    if (create == Create::kNo || mac == nullptr) return false;
    if ((index = free_place()) == kNone) return false;
    insert(index, address);
    entries_[index].last_used = kNeverUsed;
  }
  Entry& entry = entries_[index];
  if (!entry.usable()) {
    if (mac == nullptr) return false;  // RFC 4861 section 7.2.5: an address is needed to complete it
    if (entry.state != State::kFree) counters_.add(IpHostCounter::resolutions);
    entry.mac = *mac;
    entry.generation = ++generation_;
    become_known(entry, evidence.answer, now);
    return true;
  }
  const bool differs = mac != nullptr && *mac != entry.mac;
  if (differs && !evidence.overrides) {
    // Section 7.2.5, I: not believed, but a reason to ask.
    if (entry.state == State::kReachable) become_known(entry, false, now);
    return true;
  }
  if (differs) {
    entry.mac = *mac;
    entry.generation = ++generation_;
    counters_.add(IpHostCounter::neighbours_moved);
  }
  if (evidence.answer || differs) become_known(entry, evidence.answer, now);
  return true;
}

uint32_t NeighbourTable::take_request() noexcept {
  if (asking_ == 0) return kNone;
  for (uint32_t step = 0; step < used_; ++step) {
    const uint32_t index = ask_cursor_;
    ask_cursor_ = index + 1 < used_ ? index + 1 : 0;
    if (!entries_[index].asking) continue;
    stop_asking(entries_[index]);
    counters_.add(IpHostCounter::requests);
    return index;
  }
  return kNone;
}

void NeighbourTable::run_due(Nanos now) noexcept {
  next_due_ = core::kNever;
  for (uint32_t i = 0; i < used_; ++i) {
    Entry& entry = entries_[i];
    if (now >= entry.due) {
      if (entry.state == State::kFailed) {
        remove(i);
      } else if (entry.requests < kRequests) {
        ask(entry, now);
      } else if (entry.state == State::kIncomplete) {
        fail(entry, now);
      } else {
        counters_.add(IpHostCounter::neighbours_lost);
        remove(i);
      }
    }
    next_due_ = std::min(next_due_, entry.due);
  }
}

uint32_t& NeighbourTable::chain_of(const core::UdpAddress& address) const noexcept {
  return chains_[hash_(address.ip) & chain_mask_];
}

void NeighbourTable::ask(Entry& entry, Nanos now) noexcept {
  ++entry.requests;
  asking_ += !entry.asking;
  entry.asking = true;
  entry.check_at = core::kNever;
  entry.due = now + kRequestInterval;
  next_due_ = std::min(next_due_, entry.due);
}

void NeighbourTable::stop_asking(Entry& entry) noexcept {
  asking_ -= entry.asking;
  entry.asking = false;
}

void NeighbourTable::probe(Entry& entry, Nanos now) noexcept {
  entry.state = State::kProbing;
  entry.requests = 0;
  ask(entry, now);
}

// Nothing is due for a known neighbour by itself: the next datagram asks, from check_at on. Of a neighbour
// that is said to move all the time it asks no more often than of any other.
void NeighbourTable::become_known(Entry& entry, bool answered, Nanos now) noexcept {
  stop_asking(entry);
  Nanos may_ask = now;
  if (entry.due != core::kNever) may_ask = entry.due;
  if (entry.state == State::kStale) may_ask = entry.check_at;
  entry.state = answered ? State::kReachable : State::kStale;
  entry.check_at = answered ? now + kReachableTime : std::max(now, may_ask);
  entry.due = core::kNever;
}

void NeighbourTable::fail(Entry& entry, Nanos now) noexcept {
  stop_asking(entry);
  entry.state = State::kFailed;
  entry.due = now + kFailedTime;
  ++generation_;
  counters_.add(IpHostCounter::resolutions_failed);
}

uint32_t NeighbourTable::free_place() noexcept {
  if (free_ != kNone) {
    const uint32_t index = free_;
    free_ = entries_[index].next;
    return index;
  }
  return used_ < capacity_ ? used_++ : kNone;
}

uint32_t NeighbourTable::oldest_unused(Nanos now) const noexcept {
  uint32_t oldest = kNone;
  for (uint32_t i = 0; i < used_; ++i) {
    const Entry& entry = entries_[i];
    // last_used may be kNeverUsed, from which nothing can be subtracted.
    const bool unused =
        entry.state == State::kFailed ||
        (entry.state == State::kIncomplete ? entry.requests > 1 : entry.last_used + kInUse <= now);
    if (unused && (oldest == kNone || entry.last_used < entries_[oldest].last_used)) oldest = i;
  }
  return oldest;
}

uint32_t NeighbourTable::insert(uint32_t index, const core::UdpAddress& address) noexcept {
  Entry& entry = entries_[index];
  uint32_t& chain = chain_of(address);
  entry.address = address;
  entry.state = State::kFree;
  entry.generation = ++generation_;
  entry.check_at = core::kNever;
  entry.due = core::kNever;
  entry.source = 0;
  entry.next = chain;
  chain = index;
  return index;
}

void NeighbourTable::remove(uint32_t index) noexcept {
  Entry& entry = entries_[index];
  stop_asking(entry);
  uint32_t* link = &chain_of(entry.address);
  while (*link != index) link = &entries_[*link].next;
  *link = entry.next;
  entry.address = {};
  entry.state = State::kFree;
  entry.generation = ++generation_;
  entry.due = core::kNever;
  entry.check_at = core::kNever;
  entry.next = free_;
  free_ = index;
}

}  // namespace trunkline::io
