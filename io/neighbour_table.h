// NeighbourTable: which MAC address an on-link IP address has, and whether that is still so. The state
// machine behind ARP and neighbour discovery, without their frames.
//
// The idea is RFC 4861 section 7.3 for both families, simplified:
//
//   incomplete  asked for: three requests, one second apart
//   reachable   it answered less than 30 s ago
//   stale       known, but it only spoke of itself: asked at the next datagram sent to it
//   probing     in use as before, and asked again: three requests to it alone, one second apart
//   failed      no answer: what is sent to it is refused at once, for three seconds
//
// Reachable becomes probing at the first datagram sent after its 30 s. There is no DELAY state (5 s in which
// a hint from TCP could spare the request): UDP gives no hints, and one request per half minute costs
// nothing. The reachable time is not randomised either: requests follow datagrams, which keeps hosts apart.
// Probing without an answer removes the entry, and the next datagram asks everybody (section 7.3.3). So every
// wait has an end: 3 s for an unknown neighbour, and as much again before it is tried anew.
//
// Bounded, and not by strangers: entries come from datagrams that we send. Somebody who asks for us (or whom
// another queue has heard) takes a place that is free, never one that is used; everybody else only updates.
// When the table is full, a datagram's neighbour replaces the one unused for longest: failed, unused for
// kInUse, never used, or asked in vain for a request's time.
//
// Fixed memory: one line of 64 bytes per neighbour, found by a keyed hash and a chain. use(), once per
// datagram, is one comparison of a number that whoever prepared headers remembers. One thread.
#pragma once

#include <cstdint>
#include <memory>

#include "core/cacheline.h"
#include "core/keyed_hash.h"
#include "core/time.h"
#include "io/ip_frames.h"
#include "io/ip_host_counters.h"

namespace trunkline::io {

using core::Nanos;

class NeighbourTable {
 public:
  enum class State : uint8_t { kFree, kIncomplete, kReachable, kStale, kProbing, kFailed };
  static constexpr uint32_t kNone = UINT32_MAX;

  // RFC 4861 section 10: MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT, RETRANS_TIMER, REACHABLE_TIME. For
  // ARP RFC 1122 section 2.3.2.1 asks for at most one request per second and destination.
  static constexpr uint8_t kRequests = 3;
  static constexpr Nanos kRequestInterval = core::from_s(1);
  static constexpr Nanos kReachableTime = core::from_s(30);
  // RFC 1122 leaves it open; as long as asking takes, so that a dead neighbour costs at most half the time.
  static constexpr Nanos kFailedTime = core::from_s(3);
  // A neighbour that was sent to this recently keeps its place: heartbeats go each 50 ms.
  static constexpr Nanos kInUse = core::from_s(10);

  struct alignas(core::kCacheLine) Entry {
    uint32_t generation = 1;  // a new number whenever headers made for it become wrong; 0 is nobody's
    uint32_t next = kNone;    // in its chain, or in the list of free entries
    Nanos last_used{};        // when a datagram was last sent to it; kNeverUsed
    Nanos check_at{};         // a datagram from then on asks whether it is still there
    Nanos due{};              // the next request, or the end of failing; kNever
    core::UdpAddress address{};
    State state = State::kFree;
    uint8_t requests = 0;  // since the last answer
    bool asking = false;   // a request is to be sent
    uint8_t source = 0;    // which of our addresses asks
    MacAddress mac{};

    bool usable() const noexcept {
      return state == State::kReachable || state == State::kStale || state == State::kProbing;
    }
  };
  static_assert(sizeof(Entry) == core::kCacheLine);

  // What was heard of a neighbour. RFC 4861 section 4.4 has both as flags of an advertisement; an ARP reply
  // to us is an answer, and all of ARP overrides (RFC 826's merge).
  struct Evidence {
    bool answer = false;     // it answered us: it is there, now
    bool overrides = false;  // a different MAC address replaces the one we have
  };
  enum class Create : uint8_t { kNo, kIfFree };

  // The counters outlive the table. Allocates everything. Contract: capacity > 0.
  NeighbourTable(uint32_t capacity, core::HashKey key, IpHostCounters& counters);

  // A datagram is about to leave with headers that were made for this generation of the entry. False: they
  // are wrong by now.
  bool use(uint32_t index, uint32_t generation, Nanos now) noexcept {
    Entry& entry = entries_[index];
    if (entry.generation != generation) [[unlikely]]
      return false;
    entry.last_used = now;
    if (now >= entry.check_at) [[unlikely]]
      probe(entry, now);
    return true;
  }
  // The entry of an on-link address (port 0) that a datagram is to be sent to; asked for if it is not known.
  // `source` is the address of ours (its number) that asks. kNone: no place.
  uint32_t resolve(const core::UdpAddress& address, uint8_t source, Nanos now) noexcept;
  // kNone if there is none.
  uint32_t find(const core::UdpAddress& address) const noexcept;
  const Entry& at(uint32_t index) const noexcept { return entries_[index]; }

  // Somebody says where `address` is; mac nullptr: it says only that it is there. Whether it is known, now.
  bool hear(const core::UdpAddress& address, const MacAddress* mac, Evidence evidence, Create create,
            Nanos now) noexcept;

  // The next entry for which a request is to be sent now; each is given once per request. kNone: none.
  uint32_t take_request() noexcept;
  void poll(Nanos now) noexcept {
    if (now >= next_due_) run_due(now);
  }
  Nanos next_due() const noexcept { return next_due_; }
  // Differs from its last value whenever an entry became known, failed, moved or went.
  uint32_t changes() const noexcept { return generation_; }

 private:
  static constexpr Nanos kNeverUsed{INT64_MIN};

  uint32_t& chain_of(const core::UdpAddress& address) const noexcept;
  void ask(Entry& entry, Nanos now) noexcept;
  void stop_asking(Entry& entry) noexcept;
  void probe(Entry& entry, Nanos now) noexcept;
  void become_known(Entry& entry, bool answered, Nanos now) noexcept;
  void fail(Entry& entry, Nanos now) noexcept;
  void run_due(Nanos now) noexcept;
  uint32_t free_place() noexcept;
  uint32_t oldest_unused(Nanos now) const noexcept;
  uint32_t insert(uint32_t index, const core::UdpAddress& address) noexcept;
  void remove(uint32_t index) noexcept;

  core::KeyedHash hash_;
  IpHostCounters& counters_;
  uint32_t capacity_;
  uint32_t chain_mask_;
  std::unique_ptr<Entry[]> entries_;
  std::unique_ptr<uint32_t[]> chains_;
  uint32_t used_ = 0;        // entries from here on were never used
  uint32_t free_ = kNone;    // a list of those that were given back
  uint32_t asking_ = 0;      // entries with `asking`
  uint32_t ask_cursor_ = 0;  // where take_request() goes on
  uint32_t generation_ = 1;
  Nanos next_due_ = core::kNever;  // no entry is due before
};

}  // namespace trunkline::io
