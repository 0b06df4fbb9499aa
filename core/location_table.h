// LocationTable: track id -> who has it, and whether that is still vouched for. One thread writes what the
// directory and the peers tell; any number of others ask, and nothing can hold them up.
//
// The idea: the 26 bits that BoundedTable keeps beside a key are the whole location, so it changes in one
// store and a look-up reads one line for it: the owner's slot, and the tag of the incarnation in which the
// owner said so. Each owner has a word that tells its present tag and the end of its lease. An entry is
//   live   when its tag is its owner's present one and the lease runs,
//   stale  when the lease is over: it is served, and said to be stale. Losing the directory, which renews the
//          leases, empties nothing;
//   dead   when the tag is another one: as good as absent. So one store ends all entries of an owner that has
//          restarted or left, however many they are; sweep() removes them in slices, whenever there is time;
//   gone   when it was withdrawn: a tombstone, which for a stated time keeps what is older from coming back.
// A change is conditional: of two claims to a track the greater Epoch wins, in whatever order they arrive,
// and of one epoch the withdrawal.
//
// What a concurrent reader may see. Each look-up takes effect at one instant between its call and its return:
//   - BoundedTable tells the record of such an instant. If its tag is the owner's present one afterwards it
//     was so then, for no tag comes back meanwhile (I3). Whether live or stale is said by the lease as of the
//     second reading, which is not the older one;
//   - if the tag has ended, the track may have moved before that, so one look more decides (A1): if it finds
//     the same record, the track was without an owner then. If another, that was written during this
//     look-up, when its owner had that tag: it is the answer, stale should that tag have ended as well;
//   - so a track that moves from owner to owner is found throughout, whoever restarts behind it. There is no
//     third look: wait-free, at most twice the 4 lines of BoundedTable and two owners' words. A reader writes
//     nothing.
// A tombstone past its time, or a dead entry, is not an obstacle to any change, whether swept or not; a
// reader is told kGone until the sweep or a change has come by.
//
// Tags of a slot are given out in turn, by halves: the first of a half only when no entry has a tag of that
// half, and kTagRest after the half was left: a reader could be deceived that stands between two loads for
// longer. An owner that restarts 8192 times within that must wait.
//
// Threads: find, find_burst, owner_of, size, capacity: any; all else: one writer. join looks at each owner
// once, sweep at as many entries as it is told; the rest takes a fixed number of steps. Memory: 226 bytes per
// track and 72 per owner, in the constructor; the lines that readers touch from the page source.
//
// Invariants
//   I1  an entry is written with the tag that its owner has at that time
//   I2  the two tables have the same keys, inserted and erased in the same order and places: what has room in
//       one has room in the other
//   I3  a tag that has ended is not given out again while an entry has it, nor before kTagRest
//   I4  node and incarnation of an owner change while its word shows no tag
// Edges
//   (BoundedTable's R1 -> A1: whoever has a record sees its owner as of that tag, or later)
//   R1 -> A1  entries were changed before an owner's word became what it is; so a reader that finds a tag
//             ended, and looks again, finds where the track had moved before
//   R2 -> A2  the owner's word showed no tag before node and incarnation changed; so a reader that reads any
//             of the new ones finds another tag afterwards (A2 keeps that behind)
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>

#include "core/atomic.h"
#include "core/bounded_table.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/ids.h"
#include "core/time.h"

namespace trunkline::core {

// What a checker makes smaller.
struct LocationTraits {
  using Table = TableTraits;
  static constexpr uint32_t kTagBits = 14;
  static constexpr Nanos kTagRest = from_s(60);  // longer than a thread stands still in a node that works
};

// An owner in one incarnation. The slot is less than max_owners: an index for arrays of the caller's.
struct OwnerRef {
  uint16_t slot = 0;
  uint16_t tag = 0;
  bool operator==(const OwnerRef&) const = default;
};

struct Location {
  enum class State : uint8_t {
    kAbsent,  // nothing is known
    kLive,    // `owner` has it
    kStale,   // `owner` had it when it was last heard of
    kGone,    // it was withdrawn not long ago
  };
  State state = State::kAbsent;
  OwnerRef owner{};  // when live or stale
  bool operator==(const Location&) const = default;
};

template <class Sync = StdSync, class Traits = LocationTraits>
class LocationTable {
  using Table = BoundedTable<TrackId, Sync, typename Traits::Table>;
  static constexpr uint32_t kTagBits = Traits::kTagBits;
  static constexpr uint32_t kNoTag = (1u << kTagBits) - 1;
  static constexpr uint32_t kSlotBits = 12;
  static constexpr uint32_t kNone = Table::kNone;

 public:
  using State = Location::State;
  static constexpr uint32_t kMaxOwners = 1u << kSlotBits;
  static constexpr uint32_t kMaxTracks = Table::kMaxCapacity;

  enum class Join : uint8_t {
    kJoined,  // `slot` is its own, with a new tag: older entries of the slot are dead
    kSame,    // it had joined with this incarnation: only the lease is new
    kOlder,   // a newer incarnation of the node is known; nothing changed
    kFull,    // max_owners have joined; nothing changed
    kBusy,    // no tag is free: sweep, and try again later; nothing changed
  };
  struct Joined {
    Join outcome;
    uint16_t slot = 0;  // kJoined, kSame
  };
  enum class Change : uint8_t {
    kChanged,
    kSame,   // this very claim is known
    kOlder,  // a greater one is known; nothing changed
    kFull,   // nothing changed: as BoundedTable::Insert::kFull; a sweep may help
  };
  struct Swept {
    uint32_t looked = 0;      // entries, used or not
    uint32_t dead = 0;        // of these removed: their owners have another tag
    uint32_t tombstones = 0;  // and these: past their time
  };
  struct Owner {
    NodeId node;
    uint64_t incarnation;
    bool operator==(const Owner&) const = default;
  };

  // Contract: 1 <= max_tracks <= kMaxTracks, 1 <= max_owners <= kMaxOwners; `pages` has the memory and
  // outlives the table. Tombstones live for `tombstone_life`: longer than a message can be late.
  LocationTable(uint32_t max_tracks, uint32_t max_owners, Nanos tombstone_life, HashKey key,
                PageSource& pages)
      : table_(max_tracks, key, pages),
        max_owners_(max_owners),
        tombstone_life_(tombstone_life),
        places_(max_tracks, key) {
    TL_CHECK(max_owners >= 1 && max_owners <= kMaxOwners);
    shown_ = std::make_unique<Shown[]>(max_owners);
    owners_ = std::make_unique<OwnOwner[]>(max_owners);
    tracks_ = std::make_unique<Track[]>(max_tracks);
  }
  // The same, with memory of its own.
  LocationTable(uint32_t max_tracks, uint32_t max_owners, Nanos tombstone_life, HashKey key)
      : LocationTable(max_tracks, max_owners, tombstone_life, key, own_pages_) {}
  LocationTable(const LocationTable&) = delete;
  LocationTable& operator=(const LocationTable&) = delete;

  // ---- any thread

  Location find(const TrackId& id, Nanos now) const noexcept {
    return answer(id, table_.find(id).value_or(kNone), now);
  }
  // find() for each id, the lines of all of them fetched at the same time. Contract: out is as long as ids.
  void find_burst(std::span<const TrackId> ids, Nanos now, std::span<Location> out) const noexcept {
    TL_CHECK(out.size() >= ids.size());
    std::array<uint32_t, kBurst> records;
    for (size_t from = 0; from < ids.size(); from += kBurst) {
      const std::span<const TrackId> some = ids.subspan(from, std::min(kBurst, ids.size() - from));
      table_.find_burst(some, records);
      for (size_t i = 0; i < some.size(); ++i) out[from + i] = answer(some[i], records[i], now);
    }
  }

  // Who that is; nothing once it has restarted or left. Contract: `owner` is from an answer of this table.
  std::optional<Owner> owner_of(OwnerRef owner) const noexcept {
    const Shown& shown = shown_[owner.slot];
    const NodeId node{shown.node.load_acquire()};                   // A2
    const uint64_t incarnation = shown.incarnation.load_acquire();  // A2
    // Relaxed: A2 keeps it behind.
    if (tag_of(shown.word.load_relaxed()) != owner.tag) return std::nullopt;
    return Owner{node, incarnation};
  }

  // Entries: live, stale, dead and gone; exact for the writer.
  uint32_t size() const noexcept { return table_.size(); }
  uint32_t capacity() const noexcept { return table_.capacity(); }

  // ---- the writer: owners

  // The node runs in this incarnation, and is vouched for until the lease ends (to 1024 ns, never longer).
  // A node that has left is remembered until another needs its slot. Contract: node is not 0.
  Joined join(NodeId node, uint64_t incarnation, Nanos lease_end, Nanos now) noexcept {
    TL_CHECK(node.value != 0);
    const auto [outcome, slot] = slot_for(node, incarnation, now);
    if (outcome == Join::kSame) renew(slot, lease_end);
    if (outcome != Join::kJoined) return {outcome, slot};
    OwnOwner& owner = owners_[slot];
    take_next_tag(owner, now);
    owner.who = {node, incarnation};
    owner.joined = true;
    Shown& shown = shown_[slot];
    show(slot, kNoTag, {});                        // I4
    shown.node.store_release(node.value);          // R2
    shown.incarnation.store_release(incarnation);  // R2
    show(slot, owner.tag, lease_end);
    return {outcome, slot};
  }
  // One store. Contract (here and below): `slot` was given by join(), and has not left.
  void renew(uint16_t slot, Nanos lease_end) noexcept { show(slot, joined(slot).tag, lease_end); }
  // All its entries are dead.
  void leave(uint16_t slot) noexcept {
    joined(slot).joined = false;
    show(slot, kNoTag, {});
  }

  // ---- the writer: tracks

  // The owner has the track, in this generation. Readers find the old owner or the new one, never neither.
  Change update(const TrackId& id, uint16_t slot, uint64_t generation, Nanos now) noexcept {
    const OwnOwner& owner = joined(slot);
    return claim(id, {epoch_of(owner, generation), false}, record_of(slot, owner.tag), now);
  }
  // It has it no more: an update of this generation or an older one is refused for the time of a tombstone,
  // also if none came before.
  Change withdraw(const TrackId& id, uint16_t slot, uint64_t generation, Nanos now) noexcept {
    return claim(id, {epoch_of(joined(slot), generation), true}, kTombstone, now);
  }

  // Looks at no more than `budget` entries, from where it stopped the last time and at none twice, and
  // removes what is dead or past its time.
  Swept sweep(Nanos now, uint32_t budget) noexcept {
    Swept swept;
    for (const uint32_t end = std::min(budget, fresh_); swept.looked < end; ++swept.looked) {
      if (cursor_ == fresh_) cursor_ = 0;
      const uint32_t at = cursor_++;
      const Track& track = tracks_[at];
      if (track.record == kNone || counts(track, now)) continue;
      ++(track.record == kTombstone ? swept.tombstones : swept.dead);
      remove(at);
    }
    return swept;
  }

 private:
  // A record: slot << kTagBits | tag; a tag that nobody has marks a tombstone.
  static constexpr uint32_t kTombstone = kNoTag;
  static_assert(kTagBits >= 2 && kTagBits <= 14);
  static_assert((((kMaxOwners - 1) << kTagBits) | (kNoTag - 1)) <= Table::kMaxRecord);
  // An owner's word: lease << kTagBits | tag. The lease is in units of 1024 ns: 36 years in 50 bits.
  static constexpr uint32_t kLeaseShift = 10;
  static constexpr int64_t kMaxLease = (int64_t{1} << (64 - 14)) - 1;
  static constexpr size_t kBurst = 64;  // BoundedTable's

  // What readers see of an owner; two to a line.
  struct alignas(kCacheLine / 2) Shown {
    typename Sync::template Atomic<uint64_t> word{kNoTag};
    typename Sync::template Atomic<uint64_t> node;
    typename Sync::template Atomic<uint64_t> incarnation;
  };
  // What the writer knows of it.
  struct OwnOwner {
    Owner who{};                        // node 0: never used
    Nanos half_since{kLongAgo};         // since when tags are of this half
    std::array<uint32_t, 2> entries{};  // that have a tag of a half
    uint16_t tag = kNoTag;              // the present or, if it left, the last one
    bool joined = false;
  };
  static constexpr int64_t kLongAgo = std::numeric_limits<int64_t>::min() / 2;
  // What is said of a track, in the order in which it counts.
  struct Claim {
    Epoch epoch;
    bool withdrawn = false;
    auto operator<=>(const Claim&) const = default;
  };
  struct Track {
    TrackId id;
    Claim claim;
    Nanos until;              // of a tombstone
    uint32_t record = kNone;  // as in table_; kNone: nothing is here
    uint32_t next_free = kNone;
  };

  static constexpr uint32_t slot_of(uint32_t record) { return record >> kTagBits; }
  static constexpr uint32_t tag_of(uint64_t word_or_record) {
    return static_cast<uint32_t>(word_or_record) & kNoTag;
  }
  static constexpr uint32_t record_of(uint32_t slot, uint32_t tag) { return slot << kTagBits | tag; }
  static constexpr uint32_t half_of(uint32_t tag) { return tag >> (kTagBits - 1); }

  // ---- readers

  // What a record says; nothing when its owner's tag is another one by now.
  std::optional<Location> judge(uint32_t record, Nanos now) const noexcept {
    if (record == kNone) return Location{};
    if (record == kTombstone) return Location{State::kGone, {}};
    const OwnerRef owner = owner_in(record);
    const uint64_t word = shown_[owner.slot].word.load_acquire();  // A1
    if (tag_of(word) != owner.tag) return std::nullopt;
    const bool runs = now.ns >> kLeaseShift < static_cast<int64_t>(word >> kTagBits);
    return Location{runs ? State::kLive : State::kStale, owner};
  }
  static OwnerRef owner_in(uint32_t record) noexcept {
    return {static_cast<uint16_t>(slot_of(record)), static_cast<uint16_t>(tag_of(record))};
  }
  Location answer(const TrackId& id, uint32_t record, Nanos now) const noexcept {
    const std::optional<Location> found = judge(record, now);
    return found ? *found : look_again(id, record, now);
  }
  Location look_again(const TrackId& id, uint32_t dead, Nanos now) const noexcept {
    const uint32_t record = table_.find(id).value_or(kNone);
    if (record == dead) return {};
    return judge(record, now).value_or(Location{State::kStale, owner_in(record)});
  }

  // ---- the writer's owners

  OwnOwner& joined(uint16_t slot) noexcept {
    TL_CHECK(slot < max_owners_ && owners_[slot].joined);
    return owners_[slot];
  }
  void show(uint16_t slot, uint32_t tag, Nanos lease_end) noexcept {
    const int64_t lease = std::clamp<int64_t>(lease_end.ns >> kLeaseShift, 0, kMaxLease);
    shown_[slot].word.store_release(static_cast<uint64_t>(lease) << kTagBits | tag);  // R1
  }
  // The node's own slot; else one that is free.
  Joined slot_for(NodeId node, uint64_t incarnation, Nanos now) const noexcept {
    Joined found{Join::kFull};
    for (uint32_t at = 0; at < max_owners_; ++at) {
      const OwnOwner& owner = owners_[at];
      const auto slot = static_cast<uint16_t>(at);
      if (owner.who.node == node) {
        if (incarnation < owner.who.incarnation) return {Join::kOlder};
        if (incarnation == owner.who.incarnation && owner.joined) return {Join::kSame, slot};
        return {may_take_next_tag(owner, now) ? Join::kJoined : Join::kBusy, slot};
      }
      if (owner.joined || found.outcome == Join::kJoined) continue;
      found = {may_take_next_tag(owner, now) ? Join::kJoined : Join::kBusy, slot};
    }
    return found;
  }
  static constexpr uint32_t tag_after(uint32_t tag) { return tag + 1 < kNoTag ? tag + 1 : 0; }
  static bool may_take_next_tag(const OwnOwner& owner, Nanos now) noexcept {
    const uint32_t half = half_of(tag_after(owner.tag));
    if (half == half_of(owner.tag)) return true;
    return owner.entries[half] == 0 && now - owner.half_since >= Traits::kTagRest;  // I3
  }
  static void take_next_tag(OwnOwner& owner, Nanos now) noexcept {
    const uint32_t next = tag_after(owner.tag);
    if (half_of(next) != half_of(owner.tag)) owner.half_since = now;
    owner.tag = static_cast<uint16_t>(next);
  }
  static Epoch epoch_of(const OwnOwner& owner, uint64_t generation) noexcept {
    return {generation, owner.who.incarnation, owner.who.node};
  }

  // ---- the writer's tracks

  // It is neither dead nor past its time.
  bool counts(const Track& track, Nanos now) const noexcept {
    if (track.record == kTombstone) return now < track.until;
    const OwnOwner& owner = owners_[slot_of(track.record)];
    return owner.joined && owner.tag == tag_of(track.record);
  }
  Change claim(const TrackId& id, const Claim& claim, uint32_t record, Nanos now) noexcept {
    uint32_t at = places_.find(id).value_or(kNone);
    if (at == kNone) {
      if ((at = place(id)) == kNone) return Change::kFull;
    } else if (counts(tracks_[at], now)) {
      if (claim < tracks_[at].claim) return Change::kOlder;
      if (claim == tracks_[at].claim) return Change::kSame;
    }
    Track& track = tracks_[at];
    count(track.record, -1);
    count(record, 1);
    track.claim = claim;
    track.until = now + tombstone_life_;
    track.record = record;
    TL_CHECK(table_.insert(id, record) != Table::Insert::kFull);  // I2
    return Change::kChanged;
  }
  // An entry for a new id; kNone: there is no room.
  uint32_t place(const TrackId& id) noexcept {
    const uint32_t at = free_ != kNone ? free_ : fresh_;
    // places_ has room for as many as there are entries: `at` is one of them when there is room for its id.
    if (places_.insert(id, at) == Table::Insert::kFull) return kNone;
    if (at == fresh_) {
      ++fresh_;
    } else {
      free_ = tracks_[at].next_free;
    }
    tracks_[at].id = id;
    return at;
  }
  void remove(uint32_t at) noexcept {
    Track& track = tracks_[at];
    TL_CHECK(table_.erase(track.id) && places_.erase(track.id));
    count(track.record, -1);
    track.record = kNone;
    track.next_free = free_;
    free_ = at;
  }
  // One entry more or less that has this tag.
  void count(uint32_t record, int32_t by) noexcept {
    if (record == kNone || record == kTombstone) return;
    uint32_t& entries = owners_[slot_of(record)].entries[half_of(tag_of(record))];
    entries = static_cast<uint32_t>(static_cast<int32_t>(entries) + by);
  }

  HeapPageSource own_pages_;  // first: the second constructor hands it on
  // Read by all.
  Table table_;
  std::unique_ptr<Shown[]> shown_;
  const uint32_t max_owners_;
  // The writer's own.
  alignas(kSharingDistance) const Nanos tombstone_life_;
  Table places_;  // of each id in tracks_
  std::unique_ptr<OwnOwner[]> owners_;
  std::unique_ptr<Track[]> tracks_;
  uint32_t free_ = kNone;  // chained by next_free
  uint32_t fresh_ = 0;     // entries from here on were never used
  uint32_t cursor_ = 0;    // where the sweep goes on
};

}  // namespace trunkline::core
