// See noise.h. Each function stands in the order of the specification, and does what it says there.
#include "relay/noise.h"

#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_scalarmult.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/check.h"

namespace trunkline::relay::noise {
namespace {

constexpr std::string_view kProtocolName = "Noise_IK_25519_ChaChaPoly_SHA256";
static_assert(kProtocolName.size() == kHashBytes, "not longer than a hash: it is the first hash itself");

static_assert(kKeyBytes == crypto_scalarmult_BYTES && kKeyBytes == crypto_scalarmult_SCALARBYTES);
static_assert(kKeyBytes == crypto_aead_chacha20poly1305_ietf_KEYBYTES);
static_assert(kTagBytes == crypto_aead_chacha20poly1305_ietf_ABYTES);
static_assert(kHashBytes == crypto_hash_sha256_BYTES);
static_assert(kKeyBytes == crypto_auth_hmacsha256_KEYBYTES && kHashBytes == crypto_auth_hmacsha256_BYTES);

// Section 12.3: four zero bytes, then the counter, little-endian.
struct Nonce {
  explicit Nonce(uint64_t counter) noexcept {
    for (size_t i = 0; i < 8; ++i) bytes[4 + i] = static_cast<uint8_t>(counter >> (8 * i));
  }
  uint8_t bytes[crypto_aead_chacha20poly1305_ietf_NPUBBYTES]{};
};

// Section 4.3, two outputs.
struct Derived {
  Secret first, second;
};
Derived hkdf(const Secret& chaining_key, Bytes input) noexcept {
  Secret temp;
  crypto_auth_hmacsha256(temp.data(), input.data(), input.size(), chaining_key.data());
  Derived out;
  uint8_t block[kHashBytes + 1];
  block[0] = 1;
  crypto_auth_hmacsha256(out.first.data(), block, 1, temp.data());
  std::memcpy(block, out.first.data(), kHashBytes);
  block[kHashBytes] = 2;
  crypto_auth_hmacsha256(out.second.data(), block, sizeof block, temp.data());
  wipe(block);
  return out;
}

}  // namespace

// ---- section 4.1

KeyPair KeyPair::of(const Secret& secret) noexcept {
  KeyPair pair{secret, {}};
  // Fails for no scalar: the base point's order is prime, and the scalar is clamped.
  TL_CHECK(crypto_scalarmult_base(pair.public_key.data(), secret.data()) == 0);
  return pair;
}

KeyPair KeyPair::generate(Randomness& randomness) noexcept {
  Secret secret;
  randomness.fill(secret.bytes());
  return of(secret);
}

// ---- section 5.1

void CipherState::encrypt(Bytes associated, Bytes plaintext, std::span<uint8_t> out) noexcept {
  TL_CHECK(out.size() == plaintext.size() + (has_key_ ? kTagBytes : 0));
  if (!has_key_) {
    std::copy(plaintext.begin(), plaintext.end(), out.begin());
    return;
  }
  const Nonce nonce(nonce_++);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plaintext.data(), plaintext.size(),
                                            associated.data(), associated.size(), nullptr, nonce.bytes,
                                            key_.data());
}

bool CipherState::decrypt(Bytes associated, Bytes ciphertext, std::span<uint8_t> out) noexcept {
  const size_t tag = has_key_ ? kTagBytes : 0;
  if (ciphertext.size() < tag || out.size() != ciphertext.size() - tag) return false;
  if (!has_key_) {
    std::copy(ciphertext.begin(), ciphertext.end(), out.begin());
    return true;
  }
  const Nonce nonce(nonce_);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, ciphertext.data(),
                                                ciphertext.size(), associated.data(), associated.size(),
                                                nonce.bytes, key_.data()) != 0) {
    std::fill(out.begin(), out.end(), uint8_t{0});
    return false;
  }
  ++nonce_;
  return true;
}

// ---- section 5.2

SymmetricState::SymmetricState() noexcept {
  std::copy(kProtocolName.begin(), kProtocolName.end(), hash_.begin());
  chaining_key_ = Secret(hash_);
}

void SymmetricState::mix_key(const Secret& input) noexcept {
  const Derived derived = hkdf(chaining_key_, input.bytes());
  chaining_key_ = derived.first;
  cipher_ = CipherState(derived.second);
}

void SymmetricState::mix_hash(Bytes data) noexcept {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, hash_.data(), hash_.size());
  crypto_hash_sha256_update(&state, data.data(), data.size());
  crypto_hash_sha256_final(&state, hash_.data());
}

void SymmetricState::encrypt_and_hash(Bytes plaintext, std::span<uint8_t> out) noexcept {
  cipher_.encrypt(hash_, plaintext, out);
  mix_hash(out);
}

bool SymmetricState::decrypt_and_hash(Bytes ciphertext, std::span<uint8_t> out) noexcept {
  if (!cipher_.decrypt(hash_, ciphertext, out)) return false;
  mix_hash(ciphertext);
  return true;
}

SymmetricState::Split SymmetricState::split() const noexcept {
  const Derived derived = hkdf(chaining_key_, {});
  return {CipherState(derived.first), CipherState(derived.second)};
}

// ---- section 5.3

HandshakeState::HandshakeState(Next next, Bytes prologue, const KeyPair& mine, const Key& responder) noexcept
    : static_(&mine), next_(next) {
  symmetric_.mix_hash(prologue);
  symmetric_.mix_hash(responder);  // the pre-message "<- s"
}

HandshakeState HandshakeState::initiator(Bytes prologue, const KeyPair& mine, const Key& peer) noexcept {
  HandshakeState state(Next::kWrite1, prologue, mine, peer);
  state.peer_ = peer;
  return state;
}

HandshakeState HandshakeState::responder(Bytes prologue, const KeyPair& mine) noexcept {
  return HandshakeState(Next::kRead1, prologue, mine, mine.public_key);
}

// MixKey(DH(secret, public_key)). False: the result is zero, which a key of low order makes it, whatever the
// secret (section 12.1; RFC 7748, 6.1). libsodium looks for both.
bool HandshakeState::mix_dh(const Secret& secret, const Key& public_key) noexcept {
  Secret shared;
  if (crypto_scalarmult(shared.data(), secret.data(), public_key.data()) != 0) return false;
  symmetric_.mix_key(shared);
  return true;
}

size_t HandshakeState::write(const KeyPair& ephemeral, Bytes payload, std::span<uint8_t> out) noexcept {
  const bool first = next_ == Next::kWrite1;
  if (!first && next_ != Next::kWrite2) return 0;
  const size_t length = payload.size() + (first ? kMessage1Overhead : kMessage2Overhead);
  if (out.size() < length) return 0;
  ephemeral_ = ephemeral;
  next_ = first ? Next::kRead2 : Next::kNothing;

  std::span<uint8_t> rest = out.first(length);
  std::copy(ephemeral_.public_key.begin(), ephemeral_.public_key.end(), rest.begin());  // e
  symmetric_.mix_hash(ephemeral_.public_key);
  rest = rest.subspan(kKeyBytes);
  if (first) {
    if (!mix_dh(ephemeral_.secret, peer_)) return 0;                                      // es
    symmetric_.encrypt_and_hash(static_->public_key, rest.first(kKeyBytes + kTagBytes));  // s
    rest = rest.subspan(kKeyBytes + kTagBytes);
    if (!mix_dh(static_->secret, peer_)) return 0;  // ss
  } else {
    if (!mix_dh(ephemeral_.secret, peer_ephemeral_)) return 0;  // ee
    if (!mix_dh(ephemeral_.secret, peer_)) return 0;            // se
  }
  symmetric_.encrypt_and_hash(payload, rest);
  return length;
}

bool HandshakeState::read(Bytes message, std::span<uint8_t> payload) noexcept {
  const bool first = next_ == Next::kRead1;
  if (!first && next_ != Next::kRead2) return false;
  next_ = first ? Next::kWrite2 : Next::kNothing;

  ByteReader in(message);
  const Bytes ephemeral = in.take(kKeyBytes);
  if (!in.ok()) return false;
  std::copy(ephemeral.begin(), ephemeral.end(), peer_ephemeral_.begin());  // e
  symmetric_.mix_hash(peer_ephemeral_);
  if (!(first ? read_tokens1(in) : read_tokens2(in))) return false;
  return symmetric_.decrypt_and_hash(in.take(in.remaining()), payload);
}

bool HandshakeState::read_tokens1(ByteReader& in) noexcept {
  if (!mix_dh(static_->secret, peer_ephemeral_)) return false;  // es
  const Bytes sealed = in.take(kKeyBytes + kTagBytes);
  if (!in.ok() || !symmetric_.decrypt_and_hash(sealed, peer_)) return false;  // s
  return mix_dh(static_->secret, peer_);                                      // ss
}

bool HandshakeState::read_tokens2(ByteReader& in) noexcept {
  return in.ok() && mix_dh(ephemeral_.secret, peer_ephemeral_) &&  // ee
         mix_dh(static_->secret, peer_ephemeral_);                 // se
}

}  // namespace trunkline::relay::noise
