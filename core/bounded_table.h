// BoundedTable: track id -> record index, written by one thread, read by any number of others that nothing
// can hold up.
//
// The idea: each key has two candidate buckets, chosen by a keyed hash. A bucket is one cache line of eight
// control words; a control word is the tag (16 bits of the hash) and the version of one entry. The entries,
// each half a line with the full key and the record index, lie apart, and are looked at only where the tag
// matches. A key that finds both buckets full goes to the stash, four more buckets that every key shares and
// that no look-up reads while they are empty. Entries never move (no relocation), so there is no moment at
// which a key that is present cannot be found.
//
// A look-up reads 2 lines for nearly every hit (bucket, entry), at most 2 + 4 bucket lines and, for each tag
// that matches there by chance (1 in 65536), an entry. It has no loop that another thread can prolong, writes
// nothing, and never waits: wait-free. insert and erase are bounded in the same way.
//
// What a concurrent reader may see. Each look-up takes effect at one instant between its call and its return:
//   - a record is returned only if the entry's version was the same before and after key and record were
//     read (I2): then all three belong to one insertion, and the key had that record when it was read. The
//     record of another key is never returned, whatever is erased and re-used meanwhile;
//   - if the version changed, that candidate counts as a miss, with no retry. A miss of all candidates means
//     the key was absent at some instant of the look-up. For if it had been present throughout, it would
//     have been in one entry throughout (I1, no relocation), this look-up passed that entry, and would have
//     found its version unchanged;
//   - so while a key is erased and inserted again, a reader finds the old record, or nothing, or the new one;
//     nothing is legitimate because between the two calls the key was absent. To change a record without such
//     a gap, insert() the key again: the record is replaced in one store, readers see the old or the new.
// These hold for each key by itself; two readers may see changes of two keys in different orders.
// The table does not keep records alive: one that a reader has just found may be erased and re-used by the
// time it looks; records carry their own generation.
//
// A version has 48 bits. It would have to wrap around while one reader stands between two loads, which at
// 10^7 re-uses of one entry per second takes 326 days.
//
// Threads: insert, erase: one writer. find, find_burst, size: any. Memory: 40 bytes per entry and two to four
// entries per key of the capacity (buckets are a power of two), plus the stash; in the constructor.
//
// Invariants
//   I1  a key is in at most one entry
//   I2  between two different contents of an entry its control word goes through "empty", and it never
//       returns to a value it had before
// Edges
//   R1 -> A1  key and record, and what the record stands for, are written before the control word that shows
//             them
//   R2 -> A2  the control word became "empty" before the key and record of the next use were written; so a
//             reader that reads any of the new content finds the word changed when it looks again (A2 keeps
//             that second look behind the reading)
//   R3 -> A2  what a record stands for is written before it replaces another
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/hash.h"
#include "core/ids.h"

namespace trunkline::core {

template <class Sync = StdSync>
class BoundedTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;  // "not here" in find_burst; not a record index

  enum class Insert {
    kInserted,  // the key was absent
    kUpdated,   // the key was present: its record was replaced
    kFull,      // nothing changed: `capacity` keys are present, or (rarely) this key's places are taken
  };

  // Room for `capacity` keys. Contract: 1 <= capacity <= 2^26.
  BoundedTable(uint32_t capacity, HashKey key) : capacity_(capacity), key_(key) {
    TL_CHECK(capacity >= 1 && capacity <= (1u << 26));
    // At most half full on average: see kKeysPerBucket.
    const uint32_t needed = (capacity + kKeysPerBucket - 1) / kKeysPerBucket;
    const uint32_t buckets = std::bit_ceil(std::max(needed, 2u));
    bucket_mask_ = buckets - 1;
    stash_ = buckets;
    buckets_ = std::make_unique<Bucket[]>(buckets + kStashBuckets);
    entries_ = std::make_unique<Entry[]>(size_t{buckets + kStashBuckets} * kLineWords);
  }
  BoundedTable(const BoundedTable&) = delete;
  BoundedTable& operator=(const BoundedTable&) = delete;

  // ---- any thread ----

  std::optional<uint32_t> find(const TrackId& id) const noexcept {
    const uint32_t record = find_at(id, place_of(id));
    return record == kNone ? std::nullopt : std::optional<uint32_t>(record);
  }

  // find() for each id: the record or kNone. The memory of all of them is fetched at the same time, which
  // is what counts once the table is larger than the cache. Contract: out is as long as ids.
  void find_burst(std::span<const TrackId> ids, std::span<uint32_t> out) const noexcept {
    TL_CHECK(out.size() >= ids.size());
    std::array<Place, kBurst> places;
    std::array<Candidate, kBurst> candidates;
    for (size_t from = 0; from < ids.size(); from += kBurst) {
      const auto n = std::min<size_t>(kBurst, ids.size() - from);
      for (size_t i = 0; i < n; ++i) {
        places[i] = place_of(ids[from + i]);
        __builtin_prefetch(&buckets_[places[i].first]);
      }
      for (size_t i = 0; i < n; ++i) {
        candidates[i] = first_candidate(places[i].first, places[i].tag);
        if (candidates[i].slot != kNone) {
          __builtin_prefetch(&entry(places[i].first, candidates[i].slot));
        } else {
          __builtin_prefetch(&buckets_[places[i].second]);
        }
      }
      for (size_t i = 0; i < n; ++i) {
        out[from + i] = find_from(candidates[i], ids[from + i], places[i]);
      }
    }
  }

  // Keys present; exact for the writer.
  uint32_t size() const noexcept { return size_.load_relaxed(); }
  uint32_t capacity() const noexcept { return capacity_; }

  // ---- the writer ----

  // Contract: record != kNone.
  Insert insert(const TrackId& id, uint32_t record) noexcept {
    TL_CHECK(record != kNone);
    const Place place = place_of(id);
    if (const Position at = position_of(id, place); at.bucket != kNone) {
      // Same key, same version: a reader of this insertion sees the old record or the new, both were true.
      entry(at.bucket, at.slot).record.store_release(record);  // R3
      return Insert::kUpdated;
    }
    if (size() == capacity_) return Insert::kFull;
    const uint32_t bucket = bucket_for(place);
    if (bucket == kNone) return Insert::kFull;
    // Relaxed, but before the entry can be seen (R1): whoever is to find it there knows to look.
    if (bucket >= stash_) stash_used_.store_relaxed(stash_used_.load_relaxed() + 1);
    const uint32_t slot = free_slot(bucket);
    Entry& e = entry(bucket, slot);
    e.high.store_release(id.high());  // R2
    e.low.store_release(id.low());    // R2
    e.record.store_release(record);   // R2
    Word& word = buckets_[bucket].words[slot];
    // Relaxed: own word, only we write it. The version goes up by one, the tag appears.
    word.store_release((((word.load_relaxed() >> kTagBits) + 1) << kTagBits) | place.tag);  // R1
    size_.store_relaxed(size() + 1);  // a count, nothing is read on the strength of it
    return Insert::kInserted;
  }

  // False when the key was not there.
  bool erase(const TrackId& id) noexcept {
    const Position at = position_of(id, place_of(id));
    if (at.bucket == kNone) return false;
    Word& word = buckets_[at.bucket].words[at.slot];
    // Relaxed is enough: what must not overtake this store are the stores of the next use, and those are
    // releases (R2). The version stays; the next insertion raises it.
    word.store_relaxed(word.load_relaxed() >> kTagBits << kTagBits);
    // Relaxed: whoever still looks, and whoever looks no more, misses a key that is gone.
    if (at.bucket >= stash_) stash_used_.store_relaxed(stash_used_.load_relaxed() - 1);
    size_.store_relaxed(size() - 1);  // a count, nothing is read on the strength of it
    return true;
  }

 private:
  using Word = typename Sync::template Atomic<uint64_t>;
  using SmallWord = typename Sync::template Atomic<uint32_t>;

  static constexpr uint32_t kLineWords = kCacheLine / sizeof(uint64_t);  // 8 entries per bucket
  // On average, at capacity. Simulated with the rule of bucket_for() and keys that come and go at random: at
  // 6 the stash would need one place in 120 for them, at 5 one in 10 000, at 4 one in 8 million.
  static constexpr uint32_t kKeysPerBucket = kLineWords / 2;
  static constexpr uint32_t kStashBuckets = 4;  // 32 keys; a bound for look-ups, not a need (see the tests)
  static constexpr uint32_t kBurst = 32;        // prefetches in flight: more gain little on this machine
  static constexpr uint32_t kTagBits = 16;
  static constexpr uint64_t kTagMask = (uint64_t{1} << kTagBits) - 1;
  static constexpr uint64_t kEmptyTag = 0;

  struct alignas(kCacheLine) Bucket {
    Word words[kLineWords];  // version 48 | tag 16; tag 0: empty
  };
  struct alignas(kCacheLine / 2) Entry {  // never crosses a line
    Word high;
    Word low;
    SmallWord record;
  };
  struct Place {  // where a key may be
    uint32_t first;
    uint32_t second;
    uint64_t tag;
  };
  struct Candidate {  // an entry whose tag matched, and the control word that said so; slot kNone: none did
    uint32_t slot;
    uint64_t word;
  };
  struct Position {  // where a key is; bucket kNone: nowhere
    uint32_t bucket;
    uint32_t slot;
  };
  using Words = std::array<uint64_t, kLineWords>;

  // Bits of the hash: 0-25 first bucket, 26-47 (and one fixed) second, 48-63 tag. The second differs from
  // the first because the lowest bit of their difference is set.
  Place place_of(const TrackId& id) const noexcept {
    const uint64_t hash = keyed_hash16(key_, id.bytes.data());
    const uint32_t first = static_cast<uint32_t>(hash) & bucket_mask_;
    const uint32_t second = first ^ ((static_cast<uint32_t>(hash >> 26) | 1) & bucket_mask_);
    return {first, second, std::max<uint64_t>(hash >> 48, 1)};
  }
  const Entry& entry(uint32_t bucket, uint32_t slot) const noexcept {
    return entries_[size_t{bucket} * kLineWords + slot];
  }
  Entry& entry(uint32_t bucket, uint32_t slot) noexcept {
    return entries_[size_t{bucket} * kLineWords + slot];
  }
  Words snapshot(uint32_t bucket) const noexcept {
    Words words;
    for (uint32_t slot = 0; slot < kLineWords; ++slot) {
      words[slot] = buckets_[bucket].words[slot].load_acquire();  // A1
    }
    return words;
  }
  // One bit per slot with this tag.
  static uint32_t matches_in(const Words& words, uint64_t tag) noexcept {
    uint32_t matches = 0;
    for (uint32_t slot = 0; slot < kLineWords; ++slot) {
      matches |= static_cast<uint32_t>((words[slot] & kTagMask) == tag) << slot;
    }
    return matches;
  }
  static uint32_t first_of(uint32_t matches) noexcept {
    return static_cast<uint32_t>(std::countr_zero(matches));
  }

  uint32_t find_at(const TrackId& id, const Place& place) const noexcept {
    const uint32_t record = find_in(place.first, id, place.tag);
    return record != kNone ? record : find_beyond_first(id, place);
  }
  uint32_t find_beyond_first(const TrackId& id, const Place& place) const noexcept {
    uint32_t record = find_in(place.second, id, place.tag);
    // Relaxed: who must find the key knows of its insertion, and so of the count that came before it.
    if (record != kNone || stash_used_.load_relaxed() == 0) return record;
    for (uint32_t i = 0; i < kStashBuckets && record == kNone; ++i) {
      record = find_in(stash_ + i, id, place.tag);
    }
    return record;
  }
  uint32_t find_in(uint32_t bucket, const TrackId& id, uint64_t tag) const noexcept {
    const Words words = snapshot(bucket);
    for (uint32_t matches = matches_in(words, tag); matches != 0; matches &= matches - 1) {
      const uint32_t slot = first_of(matches);
      const uint32_t record = record_if(bucket, {slot, words[slot]}, id);
      if (record != kNone) return record;
    }
    return kNone;
  }
  // The candidate's record, if its key is `id` and it still is what it was when its control word was read.
  uint32_t record_if(uint32_t bucket, Candidate candidate, const TrackId& id) const noexcept {
    const Entry& e = entry(bucket, candidate.slot);
    const uint64_t high = e.high.load_acquire();      // A2
    const uint64_t low = e.low.load_acquire();        // A2
    const uint32_t record = e.record.load_acquire();  // A2
    // Relaxed: A2 keeps it behind the three loads; it is compared, nothing is read on the strength of it.
    const uint64_t again = buckets_[bucket].words[candidate.slot].load_relaxed();
    return again == candidate.word && high == id.high() && low == id.low() ? record : kNone;
  }

  // The two halves of a look-up in a burst, between which the entry is fetched. The first bucket has been
  // passed in the first half: only where a tag matched and the key did not is it looked at once more, for a
  // second entry with that tag.
  Candidate first_candidate(uint32_t bucket, uint64_t tag) const noexcept {
    const Words words = snapshot(bucket);
    const uint32_t matches = matches_in(words, tag);
    if (matches == 0) return {kNone, 0};
    return {first_of(matches), words[first_of(matches)]};
  }
  uint32_t find_from(Candidate candidate, const TrackId& id, const Place& place) const noexcept {
    if (candidate.slot == kNone) return find_beyond_first(id, place);
    const uint32_t record = record_if(place.first, candidate, id);
    return record != kNone ? record : find_at(id, place);
  }

  // The writer's own look-ups: nobody else writes, so relaxed loads see everything.
  Position position_of(const TrackId& id, const Place& place) const noexcept {
    if (const uint32_t slot = slot_of(place.first, id, place.tag); slot != kNone) return {place.first, slot};
    if (const uint32_t slot = slot_of(place.second, id, place.tag); slot != kNone) {
      return {place.second, slot};
    }
    if (stash_used_.load_relaxed() == 0) return {kNone, 0};
    for (uint32_t bucket = stash_; bucket < stash_ + kStashBuckets; ++bucket) {
      if (const uint32_t slot = slot_of(bucket, id, place.tag); slot != kNone) return {bucket, slot};
    }
    return {kNone, 0};
  }
  uint32_t slot_of(uint32_t bucket, const TrackId& id, uint64_t tag) const noexcept {
    for (uint32_t slot = 0; slot < kLineWords; ++slot) {
      if ((buckets_[bucket].words[slot].load_relaxed() & kTagMask) != tag) continue;
      const Entry& e = entry(bucket, slot);
      if (e.high.load_relaxed() == id.high() && e.low.load_relaxed() == id.low()) return slot;
    }
    return kNone;
  }
  uint32_t used_slots(uint32_t bucket) const noexcept {
    uint32_t used = 0;
    for (const Word& word : buckets_[bucket].words) used += (word.load_relaxed() & kTagMask) != kEmptyTag;
    return used;
  }
  uint32_t free_slot(uint32_t bucket) const noexcept {
    uint32_t slot = 0;
    while ((buckets_[bucket].words[slot].load_relaxed() & kTagMask) != kEmptyTag) ++slot;
    return slot;
  }
  // The first bucket while it has plenty of room, so that most hits read one bucket line; then the emptier
  // of the two, so that they fill evenly; then the stash; kNone when all are full.
  uint32_t bucket_for(const Place& place) const noexcept {
    const uint32_t first = used_slots(place.first);
    if (first < kLineWords * 3 / 4) return place.first;
    const uint32_t second = used_slots(place.second);
    if (std::min(first, second) < kLineWords) return second < first ? place.second : place.first;
    for (uint32_t bucket = stash_; bucket < stash_ + kStashBuckets; ++bucket) {
      if (used_slots(bucket) < kLineWords) return bucket;
    }
    return kNone;
  }

  // Read by all, the first six written by none after construction, the last two seldom or by nobody's path.
  std::unique_ptr<Bucket[]> buckets_;
  std::unique_ptr<Entry[]> entries_;
  uint32_t bucket_mask_;
  uint32_t stash_;  // index of the first stash bucket
  const uint32_t capacity_;
  const HashKey key_;
  SmallWord stash_used_;
  // Written with every insertion: kept off the line that look-ups read.
  alignas(kSharingDistance) SmallWord size_;
};

}  // namespace trunkline::core
