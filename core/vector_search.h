// VectorSearch: the part of BoundedTable::find_burst that settles nearly all keys, eight at a time: hash
// them, fetch their first lines, and compare each line with its key in one 64-byte comparison. All lines are
// on their way before the first is compared: with 64 at a time a key of a million takes 20 cycles, with 32 it
// takes 25 (decision 0010).
//
// For processors with AVX-512 and vector AES (x86-64 since 2019, Intel, and 2022, AMD). Elsewhere, and for
// ThreadSanitizer, which cannot see that a line's words are read as the atomic words they are, BoundedTable
// does the same word by word.
//
// Threads: any; it reads what BoundedTable's writer may change, in the order of BoundedTable::look. x86-64
// performs loads in program order, vector loads among them (Intel SDM volume 3A, section 9.2.2), and each
// aligned word of a vector whole.
#pragma once

#include <cstdint>

#include "core/atomic.h"
#include "core/keyed_hash.h"
#include "core/table_line.h"

namespace trunkline::core {

struct VectorSearch {
  static constexpr uint32_t kMost = 64;  // keys in a call
  static constexpr uint32_t kGroup = 8;  // keys, one lane each

  static bool available() noexcept;

  // The first whole groups of `n` keys that lie side by side, 16 bytes each, looked for among `lines`:
  // first[i] is the first line of key i, records[i] its record, or kNoRecord if it is absent. Bit i of the
  // answer: key i's first line alone cannot tell; it changes, or sends on. Contract: n <= kMost;
  // hash.uses_aes().
  static uint64_t run(const KeyedHash& hash, const TableLine<StdSync>* lines, uint32_t line_count,
                      const uint8_t* keys, uint32_t n, uint32_t* first, uint32_t* records) noexcept;
};

}  // namespace trunkline::core
