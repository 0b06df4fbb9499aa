// BoundedTable: a 16-byte key -> record index, written by one thread, read by any number of others that
// nothing can hold up. The table of tracks (TrackId) and that of plain RTP flows (FlowKey) are two of it.
//
// The idea: a line of the cache holds three whole keys, and beside them three record indices and their
// versions (core/table_line.h), so that a look-up that hits touches one line. A keyed hash gives each key a
// first line and a second one. A key lies in its first line if there is room, else in the second, else in one
// of two overflow lines of its own; the first line has one bit that says that some key of it lies away from
// it, and one for the overflow. Entries never move (no relocation), so there is no moment at which a key that
// is present cannot be found.
//
// The second line is the other half of an aligned pair of lines: on the same page, and in the same row of the
// memory, as the first. Of the keys of a table filled to its capacity 976 in 1000 lie in their first line;
// once each has come and gone many times 930, and 12 in the overflow, whose places suffice for any set of
// keys that does not know the secret (tests/core/bounded_table_load_test.cc). A look-up reads at most 4
// lines. It has no loop that another thread can prolong, writes nothing, and never waits: wait-free. insert
// and erase are bounded in the same way.
//
// What a concurrent reader may see. Each look-up takes effect at one instant between its call and its return:
//   - a record is returned only if the entry was in the same life, one key's, before and after its key was
//     read (I2): the key had that record then. The record of another key is never returned, whatever is
//     erased and re-used meanwhile;
//   - if it was not, that entry counts as a miss, with no retry. A miss of all entries means the key was
//     absent at some instant of the look-up. For if it had been present throughout, it would have been in one
//     entry throughout (I1, no relocation), the bits on its way there would have been set throughout (I3),
//     this look-up passed that entry, and would have found it in the same life;
//   - so while a key is erased and inserted again, a reader finds the old record, or nothing, or the new one;
//     nothing is legitimate because between the two calls the key was absent. To change a record without such
//     a gap, insert() the key again: the record is replaced in one store, readers see the old or the new.
// These hold for each key by itself; two readers may see changes of two keys in different orders.
// The table does not keep records alive: one that a reader has just found may be erased and re-used by the
// time it looks; records carry their own generation.
//
// An entry's version, which counts its lives, has 16 bits in the line. When it starts again from 0 an era of
// the table begins: a look-up that finds the era changed at its end is made once more, with the versions'
// upper 32 bits, which lie apart. Such a version would have to wrap around while one reader stands between
// two loads, which at 10^7 re-uses of one entry per second takes 326 days.
//
// Threads: insert, erase: one writer. find, find_burst, size: any. Memory: 83 bytes per key of the capacity
// and 1 KiB; the lines from the page source, all in the constructor.
//
// Invariants
//   I1  a key is in at most one entry
//   I2  between two lives of an entry its field is empty, and no life has the version of an earlier one
//   I3  while a key lies away from its first line, that line's bit says so; while in the overflow, both do
// Edges
//   R1 -> A1  key and record, and what the record stands for, are written before the control word that shows
//             them
//   R2 -> A2  the control word became "empty" before the key of the next life was written; so a reader that
//             reads any of the new key finds another life, or none, when it looks again (A2 keeps it behind)
//   R3 -> A3  a version's upper bits are written before the field that begins a life with them; so a reader
//             that finds the field of a later life finds its upper bits too (A3 keeps them behind)
//   R4 -> A4  what ends an era comes before the next one; so a reader that knows the new era sees no life of
//             the old
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/ids.h"
#include "core/keyed_hash.h"
#include "core/page_source.h"
#include "core/table_line.h"
#include "core/vector_search.h"

namespace trunkline::core {

// What a checker makes smaller, or plainer.
struct TableTraits {
  using Hash = KeyedHash;
  using Bits = VersionBits;
  static constexpr uint32_t kLeastOverflow = 16;  // lines: of these even small tables have some
};

// Key: 16 bytes, all of which count.
template <class Key = TrackId, class Sync = StdSync, class Traits = TableTraits>
class BoundedTable {
  static_assert(sizeof(Key) == 16 && std::has_unique_object_representations_v<Key>);

 public:
  static constexpr uint32_t kNone = kNoRecord;                     // "not here"; not a record index
  static constexpr uint32_t kMaxRecord = (1u << kRecordBits) - 2;  // 67 million
  static constexpr uint32_t kMaxCapacity = kMaxRecord;

  enum class Insert {
    kInserted,  // the key was absent
    kUpdated,   // the key was present: its record was replaced
    kFull,      // nothing changed: `capacity` keys are present, or (hardly ever) this key's places are taken
  };

  // Room for `capacity` keys. Contract: 1 <= capacity <= kMaxCapacity; `pages` has the memory, and outlives
  // the table.
  BoundedTable(uint32_t capacity, HashKey key, PageSource& pages)
      : hash_(key),
        capacity_(capacity),
        lines_((capacity + 1) / 2 * 2),
        overflow_(std::max(Traits::kLeastOverflow, lines_ / kOverflowShare)) {
    TL_CHECK(capacity >= 1 && capacity <= kMaxCapacity);
    // One more, so that pairs can begin at a multiple of their size.
    std::span<uint8_t> memory = pages.take((all_lines() + 1) * sizeof(Line));
    TL_CHECK(!memory.empty());
    void* begin = memory.data();
    size_t bytes = memory.size();
    line_ = static_cast<Line*>(std::align(2 * sizeof(Line), all_lines() * sizeof(Line), begin, bytes));
    std::uninitialized_value_construct_n(line_, all_lines());
    eras_of_entries_ = std::make_unique<SmallWord[]>(all_lines() * kLineEntries);
    elsewhere_ = std::make_unique<Elsewhere[]>(lines_);
  }
  // The same, with memory of its own.
  BoundedTable(uint32_t capacity, HashKey key) : BoundedTable(capacity, key, own_pages_) {}
  ~BoundedTable() { std::destroy_n(line_, all_lines()); }
  BoundedTable(const BoundedTable&) = delete;
  BoundedTable& operator=(const BoundedTable&) = delete;

  // ---- any thread ----

  std::optional<uint32_t> find(const Key& key) const noexcept {
    const uint32_t era = era_.load_acquire();  // A4
    const uint32_t first = first_line(hash_of(key));
    uint32_t record = find_at<kFast>(key, first);
    // Relaxed: A3 keeps it behind whatever the record was found by.
    if (era_.load_relaxed() != era) [[unlikely]]
      record = find_at<kExact>(key, first);
    return record == kNone ? std::nullopt : std::optional<uint32_t>(record);
  }

  // find() for each key: the record or kNone. The memory of all of them is fetched at the same time, which
  // is what counts once the table is larger than the cache. Contract: out is as long as keys.
  void find_burst(std::span<const Key> keys, std::span<uint32_t> out) const noexcept {
    TL_CHECK(out.size() >= keys.size());
    for (size_t from = 0; from < keys.size(); from += kBurst) {
      const auto n = static_cast<uint32_t>(std::min<size_t>(kBurst, keys.size() - from));
      find_some(&keys[from], n, &out[from]);
    }
  }

  // Keys present; exact for the writer.
  uint32_t size() const noexcept { return size_.load_relaxed(); }
  uint32_t capacity() const noexcept { return capacity_; }

  // ---- the writer ----

  // How many keys lie away from their first line, and how many of these in the overflow.
  uint32_t keys_away() const noexcept { return keys_away_; }
  uint32_t keys_in_overflow() const noexcept { return keys_far_; }

  // Contract: record <= kMaxRecord.
  Insert insert(const Key& key, uint32_t record) noexcept {
    TL_CHECK(record <= kMaxRecord);
    const KeyWords words = words_of(key);
    const uint64_t hash = hash_of(key);
    if (const Position at = position_of(hash, words); at.line != kNone) {
      // Same life: a reader of it sees the old record or the new, both were true.
      Control control = control_of(at.line);
      control.set_field(at.entry, control.low(at.entry), record + 1);
      store_field(at.line, control, at.entry);  // R1: what the new record stands for
      return Insert::kUpdated;
    }
    if (size() == capacity_) return Insert::kFull;
    const uint32_t first = first_line(hash);
    const Position at = place_for(hash, words);
    if (at.line == kNone) return Insert::kFull;
    if (at.line != first) send_away(first, at.line >= lines_);  // before the entry can be seen (I3)
    begin_life(at, words, record);
    size_.store_relaxed(size() + 1);  // a count, nothing is read on the strength of it
    return Insert::kInserted;
  }

  // False when the key was not there.
  bool erase(const Key& key) noexcept {
    const uint64_t hash = hash_of(key);
    const Position at = position_of(hash, words_of(key));
    if (at.line == kNone) return false;
    Control control = control_of(at.line);
    control.set_field(at.entry, control.low(at.entry), kEmpty);
    store_field(at.line, control, at.entry);
    const uint32_t first = first_line(hash);
    if (at.line != first) call_back(first, at.line >= lines_);
    size_.store_relaxed(size() - 1);  // a count, nothing is read on the strength of it
    return true;
  }

 private:
  using Line = TableLine<Sync>;
  using Control = LineControl<typename Traits::Bits>;
  using SmallWord = typename Sync::template Atomic<uint32_t>;
  static constexpr bool kMayUseVectors = std::is_same_v<Sync, StdSync> && std::is_same_v<Traits, TableTraits>;

  static constexpr uint32_t kOverflowShare = 16;  // one overflow line for so many of the others
  static constexpr uint32_t kBurst = VectorSearch::kMost;
  static constexpr uint32_t kEmpty = 0;

  enum Exactness : uint8_t { kFast, kExact };  // without, with the versions' uppermost bits

  struct Seen {       // what a line says of a key
    uint32_t record;  // kNone: it is not here
    uint64_t bits;    // kAway, kFar of the line
  };
  struct Position {  // of a key; line kNone: nowhere
    uint32_t line;
    uint32_t entry;
  };
  // How many keys whose first line this is lie elsewhere, and in the overflow. A count that reaches 255 stays
  // there, and its bit stays set: no harm but another line to read.
  struct Elsewhere {
    uint8_t away = 0;
    uint8_t far = 0;
  };

  // ---- where a key may lie

  size_t all_lines() const noexcept { return size_t{lines_} + overflow_; }
  uint64_t hash_of(const Key& key) const noexcept { return hash_(reinterpret_cast<const uint8_t*>(&key)); }
  // 32 random bits to 0 .. n-1 (Lemire, "Fast random integer generation in an interval", 2019).
  static uint32_t scale(uint32_t bits, uint32_t n) noexcept {
    return static_cast<uint32_t>(uint64_t{bits} * n >> 32);
  }
  uint32_t first_line(uint64_t hash) const noexcept { return scale(static_cast<uint32_t>(hash), lines_); }
  // The other half of an aligned pair.
  static uint32_t second_line(uint32_t first) noexcept { return first ^ 1; }
  // Two different ones, by the bits that say nothing of the first line.
  std::array<uint32_t, 2> overflow_lines(uint64_t hash) const noexcept {
    const uint64_t mixed = (hash >> 32) * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
    const uint32_t one = scale(static_cast<uint32_t>(mixed >> 32), overflow_);
    const uint32_t step = 1 + scale(static_cast<uint32_t>(mixed), overflow_ - 1);
    const uint32_t other = one + step < overflow_ ? one + step : one + step - overflow_;
    return {lines_ + one, lines_ + other};
  }

  // ---- readers

  // Bit e: entry e holds the key, or did so or will.
  uint32_t matches_in(const Line& line, const KeyWords& key) const noexcept {
    uint32_t matches = 0;
    for (uint32_t e = 0; e < kLineEntries; ++e) {
      const uint64_t differs = (line.keys[e][0].load_acquire() ^ key.first) |  // A2
                               (line.keys[e][1].load_acquire() ^ key.second);  // A2
      matches |= static_cast<uint32_t>(differs == 0) << e;
    }
    return matches;
  }
  template <Exactness exactness>
  Seen look(uint32_t at, const KeyWords& key) const noexcept {
    const Line& line = line_[at];
    std::array<uint32_t, kLineEntries> eras{};
    if constexpr (exactness == kExact) {
      for (uint32_t e = 0; e < kLineEntries; ++e) eras[e] = era_of(at, e).load_acquire();  // A3
    }
    Control before;
    before.words[1] = line.control[1].load_acquire();  // A1
    before.words[0] = line.control[0].load_acquire();  // A1
    const uint64_t bits = before.words[1] & (Control::kAway | Control::kFar);
    const uint32_t matches = matches_in(line, key);
    if (matches == 0) return {kNone, bits};
    Control after;
    after.words[0] = line.control[0].load_acquire();  // A3
    after.words[1] = line.control[1].load_acquire();  // A3
    for (uint32_t e = 0; e < kLineEntries; ++e) {
      if ((matches >> e & 1) == 0 || !before.same_life(after, e)) continue;
      // Relaxed: A3 keeps it behind.
      if (exactness == kExact && era_of(at, e).load_relaxed() != eras[e]) continue;
      return {after.record(e), bits};
    }
    return {kNone, bits};
  }
  // All that a key's lines say, the later ones if the first one's bits send there.
  template <Exactness exactness>
  uint32_t find_at(const Key& key, uint32_t first) const noexcept {
    const KeyWords words = words_of(key);
    const Seen seen = look<exactness>(first, words);
    if (seen.record != kNone || (seen.bits & Control::kAway) == 0) return seen.record;
    uint32_t record = look<exactness>(second_line(first), words).record;
    if (record != kNone || (seen.bits & Control::kFar) == 0) return record;
    for (const uint32_t line : overflow_lines(hash_of(key))) {
      if (record == kNone) record = look<exactness>(line, words).record;
    }
    return record;
  }

  // At most kBurst keys: most are settled by their first line, fetched with those of all others; the rest one
  // by one.
  void find_some(const Key* keys, uint32_t n, uint32_t* out) const noexcept {
    const uint32_t era = era_.load_acquire();  // A4
    std::array<uint32_t, kBurst> first;
    for (uint64_t open = search(keys, n, first.data(), out); open != 0; open &= open - 1) {
      const auto i = static_cast<uint32_t>(std::countr_zero(open));
      out[i] = find_at<kFast>(keys[i], first[i]);
    }
    if (era_.load_relaxed() == era) [[likely]]
      return;  // as in find()
    for (uint32_t i = 0; i < n; ++i) out[i] = find_at<kExact>(keys[i], first[i]);
  }
  // Where each key's first line is; bit i: key i is not settled by it.
  uint64_t search(const Key* keys, uint32_t n, uint32_t* first, uint32_t* out) const noexcept {
    const auto* bytes = reinterpret_cast<const uint8_t*>(keys);
    uint32_t from = 0;
    uint64_t open = 0;
    if constexpr (kMayUseVectors) {
      if (vectors_) {
        open = VectorSearch::run(hash_, line_, lines_, bytes, n, first, out);
        from = n - n % VectorSearch::kGroup;
      }
    }
    std::array<uint64_t, kBurst> hashes;
    hash_.burst(bytes + sizeof(Key) * from, n - from, &hashes[from]);
    for (uint32_t i = from; i < n; ++i) {
      first[i] = first_line(hashes[i]);
      __builtin_prefetch(&line_[first[i]]);
    }
    for (uint32_t i = from; i < n; ++i) {
      const Seen seen = look<kFast>(first[i], words_of(keys[i]));
      out[i] = seen.record;
      const bool away = seen.record == kNone && (seen.bits & Control::kAway) != 0;
      open |= uint64_t{away} << i;
    }
    return open;
  }

  // ---- the writer: nobody else writes, so relaxed loads see everything

  Control control_of(uint32_t at) const noexcept {
    return {{line_[at].control[0].load_relaxed(), line_[at].control[1].load_relaxed()}};
  }
  // A word shows other entries than the one that changes, too: every store of it releases.
  void store_field(uint32_t at, const Control& control, uint32_t entry) noexcept {
    const uint32_t word = Control::word_of(entry);
    line_[at].control[word].store_release(control.words[word]);  // R1
  }
  SmallWord& era_of(uint32_t line, uint32_t entry) noexcept {
    return eras_of_entries_[size_t{line} * kLineEntries + entry];
  }
  const SmallWord& era_of(uint32_t line, uint32_t entry) const noexcept {
    return eras_of_entries_[size_t{line} * kLineEntries + entry];
  }

  Position position_of(uint64_t hash, const KeyWords& key) const noexcept {
    const uint32_t first = first_line(hash);
    if (const uint32_t entry = entry_of(first, key); entry != kNone) return {first, entry};
    const Elsewhere& elsewhere = elsewhere_[first];
    if (elsewhere.away == 0) return {kNone, 0};
    const uint32_t second = second_line(first);
    if (const uint32_t entry = entry_of(second, key); entry != kNone) return {second, entry};
    if (elsewhere.far == 0) return {kNone, 0};
    for (const uint32_t line : overflow_lines(hash)) {
      if (const uint32_t entry = entry_of(line, key); entry != kNone) return {line, entry};
    }
    return {kNone, 0};
  }
  uint32_t entry_of(uint32_t at, const KeyWords& key) const noexcept {
    const Control control = control_of(at);
    for (uint32_t e = 0; e < kLineEntries; ++e) {
      if (control.used(e) && holds(at, e, key)) return e;
    }
    return kNone;
  }
  bool holds(uint32_t at, uint32_t entry, const KeyWords& key) const noexcept {
    const auto& words = line_[at].keys[entry];
    return words[0].load_relaxed() == key.first && words[1].load_relaxed() == key.second;
  }
  uint32_t used_in(uint32_t at) const noexcept {
    const Control control = control_of(at);
    return uint32_t{control.used(0)} + control.used(1) + control.used(2);
  }
  // An empty entry; the one that held this key last, if there is one, so that readers find it in one place.
  // kNone: the line is full.
  uint32_t empty_in(uint32_t at, const KeyWords& key) const noexcept {
    const Control control = control_of(at);
    uint32_t empty = kNone;
    for (uint32_t e = 0; e < kLineEntries; ++e) {
      if (!control.used(e) && (empty == kNone || holds(at, e, key))) empty = e;
    }
    return empty;
  }
  Position place_for(uint64_t hash, const KeyWords& key) const noexcept {
    const uint32_t first = first_line(hash);
    if (const uint32_t entry = empty_in(first, key); entry != kNone) return {first, entry};
    const uint32_t second = second_line(first);
    if (const uint32_t entry = empty_in(second, key); entry != kNone) return {second, entry};
    const auto [one, other] = overflow_lines(hash);
    const uint32_t emptier = used_in(other) < used_in(one) ? other : one;  // so that they fill evenly
    const uint32_t entry = empty_in(emptier, key);
    return {entry == kNone ? kNone : emptier, entry};
  }

  void begin_life(Position at, const KeyWords& key, uint32_t record) noexcept {
    Control control = control_of(at.line);
    const uint32_t low = (control.low(at.entry) + 1) & Control::kLowMask;
    if (low == 0) {
      const uint64_t high = (control.high(at.entry) + 1) & Control::kHighMask;
      if (high == 0) begin_era(at);
      control.set_high(at.entry, high);
      line_[at.line].control[1].store_release(control.words[1]);  // R3
    }
    auto& words = line_[at.line].keys[at.entry];
    words[0].store_release(key.first);   // R2
    words[1].store_release(key.second);  // R2
    control.set_field(at.entry, low, record + 1);
    store_field(at.line, control, at.entry);  // R1
  }
  void begin_era(Position at) noexcept {
    SmallWord& era = era_of(at.line, at.entry);
    era.store_release(era.load_relaxed() + 1);    // R3
    era_.store_release(era_.load_relaxed() + 1);  // R4
  }

  // One key more, one less, of the line's own lies elsewhere.
  void send_away(uint32_t line, bool far) noexcept {
    Elsewhere& elsewhere = elsewhere_[line];
    count_up(elsewhere.away);
    ++keys_away_;
    if (far) {
      count_up(elsewhere.far);
      ++keys_far_;
    }
    show(line);
  }
  void call_back(uint32_t line, bool far) noexcept {
    Elsewhere& elsewhere = elsewhere_[line];
    count_down(elsewhere.away);
    --keys_away_;
    if (far) {
      count_down(elsewhere.far);
      --keys_far_;
    }
    show(line);
  }
  static void count_up(uint8_t& count) noexcept { count = static_cast<uint8_t>(std::min(count + 1, 255)); }
  static void count_down(uint8_t& count) noexcept {
    if (count != 255) --count;
  }
  // The bits that go with the counts. Whoever must find the key knows of its insertion, and so of the bits
  // that were set before; whoever still reads them, or no more, misses a key that is gone.
  void show(uint32_t line) noexcept {
    Control control = control_of(line);
    uint64_t word = control.words[1] & ~(Control::kAway | Control::kFar);
    if (elsewhere_[line].away != 0) word |= Control::kAway;
    if (elsewhere_[line].far != 0) word |= Control::kFar;
    if (word != control.words[1]) line_[line].control[1].store_release(word);  // R1, of the entry beside them
  }

  HeapPageSource own_pages_;  // first: the second constructor hands it on
  // Read by all, written by none after construction.
  const typename Traits::Hash hash_;
  const uint32_t capacity_;
  const uint32_t lines_;     // those that are a key's first and second
  const uint32_t overflow_;  // those after them
  const bool vectors_ = kMayUseVectors && VectorSearch::available();
  Line* line_ = nullptr;
  std::unique_ptr<SmallWord[]>
      eras_of_entries_;                     // versions' uppermost bits; read by few, hardly ever written
  std::unique_ptr<Elsewhere[]> elsewhere_;  // the writer's own
  // Written when an entry's version starts again.
  alignas(kSharingDistance) SmallWord era_;
  // Written with every insertion.
  alignas(kSharingDistance) SmallWord size_;
  uint32_t keys_away_ = 0;
  uint32_t keys_far_ = 0;
};

}  // namespace trunkline::core
