// KeyedHash: 64 bits of a 16-byte key, for tables whose keys strangers choose. Whoever does not know the
// secret cannot aim at one line of the table.
//
// The idea: where the processor has AES instructions, four rounds of AES with secret round keys; any change
// of the input reaches every bit of the state in two (Daemen and Rijmen, "The Design of Rijndael", 2002,
// section 9.5.1). The known ways to tell four rounds from chance need to see the outputs for chosen inputs,
// and these leave the node in no form. The rounds of 32 keys run side by side, some 2 ns each (BM_KeyedHash).
// Elsewhere SipHash-1-3 (core/hash.h), 8 ns.
//
// Threads: any; it is constant after construction. Two processes, or two machines, may hash differently:
// hashes are kept nowhere but in the tables of one process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/hash.h"

namespace trunkline::core {

class KeyedHash {
 public:
  enum class Use : uint8_t { kBest, kPortable };  // kPortable: SipHash even where there is AES
  explicit KeyedHash(HashKey key, Use use = Use::kBest) noexcept;

  // Of the 16 bytes at `key`.
  uint64_t operator()(const uint8_t* key) const noexcept {
    uint64_t hash;
    burst(key, 1, &hash);
    return hash;
  }
  // Of `n` keys that lie side by side, 16 bytes each.
  void burst(const uint8_t* keys, size_t n, uint64_t* hashes) const noexcept {
    if (aes_) {
      aes_burst(keys, n, hashes);
    } else {
      for (size_t i = 0; i < n; ++i) hashes[i] = keyed_hash16(key_, keys + 16 * i);
    }
  }
  bool uses_aes() const noexcept { return aes_; }

  // For code that runs the rounds itself (core/vector_search.cc): added first, then one per round; the hash
  // is the lower half of the last state.
  static constexpr size_t kRounds = 4;
  using RoundKey = std::array<uint64_t, 2>;
  const std::array<RoundKey, kRounds + 1>& round_keys() const noexcept { return round_keys_; }

 private:
  void aes_burst(const uint8_t* keys, size_t n, uint64_t* hashes) const noexcept;

  HashKey key_;
  bool aes_;
  alignas(16) std::array<RoundKey, kRounds + 1> round_keys_{};
};

}  // namespace trunkline::core
