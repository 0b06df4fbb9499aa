// Noise_IK_25519_ChaChaPoly_SHA256, as revision 34 of the Noise Protocol Framework describes it, section by
// section, on libsodium's primitives. Nothing of our own: no field, no order, no derivation.
//
//   IK    <- s                    the initiator knows the responder's static key beforehand
//         -> e, es, s, ss         message 1: 96 bytes around its payload
//         <- e, ee, se            message 2: 48 bytes around its payload
//
// After message 1 the responder knows who asks, but not that it is not a repetition; after message 2 both
// have keys that nobody has who learns the static keys later.
//
// The objects are plain values: a copy is a snapshot. Whoever reads a message from the wire reads it with a
// copy, and keeps the copy only when the message was authentic. All secrets in them are overwritten when they
// go. No allocation, no clock, no randomness inside: the ephemeral key is handed in, so that published
// vectors can be replayed. One thread per object. Cost: message 1 is two, message 2 two X25519, about 40 us
// each.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "relay/byte_reader.h"
#include "relay/secret.h"

namespace trunkline::relay::noise {

inline constexpr size_t kTagBytes = 16;   // Poly1305
inline constexpr size_t kHashBytes = 32;  // SHA-256
inline constexpr size_t kMessage1Overhead = kKeyBytes + (kKeyBytes + kTagBytes) + kTagBytes;
inline constexpr size_t kMessage2Overhead = kKeyBytes + kTagBytes;
static_assert(kMessage1Overhead == 96 && kMessage2Overhead == 48);

using Hash = std::array<uint8_t, kHashBytes>;

struct KeyPair {
  Secret secret;
  Key public_key{};

  static KeyPair of(const Secret& secret) noexcept;  // X25519 with the base point (RFC 7748)
  static KeyPair generate(Randomness& randomness) noexcept;
};

// Section 5.1. Encrypts with a 64-bit nonce that counts from 0; without a key it copies.
class CipherState {
 public:
  CipherState() noexcept = default;
  explicit CipherState(const Secret& key) noexcept : key_(key), has_key_(true) {}

  bool has_key() const noexcept { return has_key_; }
  const Secret& key() const noexcept { return key_; }
  // `out` has plaintext.size() bytes, and kTagBytes more where there is a key. They may not overlap.
  void encrypt(Bytes associated, Bytes plaintext, std::span<uint8_t> out) noexcept;
  // `out` has ciphertext.size() bytes, kTagBytes less where there is a key. False: not authentic; `out` is
  // zeros, and the nonce stays.
  bool decrypt(Bytes associated, Bytes ciphertext, std::span<uint8_t> out) noexcept;

 private:
  Secret key_;
  uint64_t nonce_ = 0;
  bool has_key_ = false;
};

// Section 5.2.
class SymmetricState {
 public:
  SymmetricState() noexcept;  // InitializeSymmetric with this file's protocol name
  void mix_key(const Secret& input) noexcept;
  void mix_hash(Bytes data) noexcept;
  void encrypt_and_hash(Bytes plaintext, std::span<uint8_t> out) noexcept;
  bool decrypt_and_hash(Bytes ciphertext, std::span<uint8_t> out) noexcept;
  struct Split {
    CipherState initiator_sends, responder_sends;
  };
  Split split() const noexcept;
  const Hash& hash() const noexcept { return hash_; }  // "h"
  size_t tag_bytes() const noexcept { return cipher_.has_key() ? kTagBytes : 0; }

 private:
  CipherState cipher_;
  Secret chaining_key_;  // "ck"
  Hash hash_{};
};

// Section 5.3, reduced to IK.
class HandshakeState {
 public:
  HandshakeState() noexcept = default;
  // `mine` outlives the object and its copies: the long-lived secret stays in one place.
  static HandshakeState initiator(Bytes prologue, const KeyPair& mine, const Key& peer) noexcept;
  static HandshakeState responder(Bytes prologue, const KeyPair& mine) noexcept;
  static HandshakeState initiator(Bytes prologue, KeyPair&& mine, const Key& peer) = delete;
  static HandshakeState responder(Bytes prologue, KeyPair&& mine) = delete;

  // Writes the message whose turn it is: 1 by the initiator, 2 by the responder. Returns its length; 0 when
  // it is not this side's turn, it does not fit `out`, or the peer's key is of low order; of the object
  // nothing has then to be kept.
  size_t write(const KeyPair& ephemeral, Bytes payload, std::span<uint8_t> out) noexcept;
  // Reads the message whose turn it is into `payload`, which has the message's size without the overhead.
  // False: too short, forged, a key of low order, or not its turn; nothing of the object has then to be kept.
  bool read(Bytes message, std::span<uint8_t> payload) noexcept;

  // The peer's static key: given (initiator), or authenticated by read() (responder).
  const Key& peer() const noexcept { return peer_; }
  // After message 2.
  SymmetricState::Split split() const noexcept { return symmetric_.split(); }
  const Hash& hash() const noexcept { return symmetric_.hash(); }

 private:
  enum class Next : uint8_t { kNothing, kWrite1, kRead1, kWrite2, kRead2 };

  HandshakeState(Next next, Bytes prologue, const KeyPair& mine, const Key& responder) noexcept;
  bool mix_dh(const Secret& secret, const Key& public_key) noexcept;
  bool read_tokens1(ByteReader& in) noexcept;
  bool read_tokens2(ByteReader& in) noexcept;

  SymmetricState symmetric_;
  const KeyPair* static_ = nullptr;  // "s"
  KeyPair ephemeral_;                // "e"
  Key peer_{};                       // "rs"
  Key peer_ephemeral_{};             // "re"
  Next next_ = Next::kNothing;
};

}  // namespace trunkline::relay::noise
