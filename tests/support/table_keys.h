// Keys for tests of the tables: numbered ones, and a hash that tells none apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/hash.h"
#include "core/ids.h"

namespace trunkline::tests {

// Key n: `low` in its last eight bytes, `high` in the first.
inline core::TrackId id_of(uint64_t low, uint64_t high = 0) {
  core::TrackId id;
  for (size_t i = 0; i < 8; ++i) {
    id.bytes[7 - i] = static_cast<uint8_t>(high >> (8 * i));
    id.bytes[15 - i] = static_cast<uint8_t>(low >> (8 * i));
  }
  return id;
}

// The Hash of a table's traits by which all keys agree in their lines and in every bit of the hash.
struct OneHash {
  explicit OneHash(core::HashKey) {}
  uint64_t operator()(const uint8_t*) const noexcept { return 0; }
  void burst(const uint8_t*, size_t n, uint64_t* hashes) const noexcept { std::fill_n(hashes, n, 0); }
};

}  // namespace trunkline::tests
