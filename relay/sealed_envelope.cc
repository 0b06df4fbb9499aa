// See sealed_envelope.h.
#include "relay/sealed_envelope.h"

#include <sodium/crypto_aead_xchacha20poly1305.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_hash_sha256.h>

#include <algorithm>
#include <string_view>

#include "relay/text.h"

namespace trunkline::relay {
namespace {

static_assert(kMacBytes >= crypto_generichash_BYTES_MIN && kKeyBytes <= crypto_generichash_KEYBYTES_MAX);
static_assert(sizeof(Cookie) >= crypto_generichash_KEYBYTES_MIN, "a cookie is a key of mac2");
static_assert(kCookieNonceBytes == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(kCookieReplyBytes ==
              kCookieNonceBytes + sizeof(Cookie) + crypto_aead_xchacha20poly1305_ietf_ABYTES);

Key labelled_hash(std::string_view label, const Key& public_key) noexcept {
  Key out;
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, as_bytes(label).data(), label.size());
  crypto_hash_sha256_update(&state, public_key.data(), public_key.size());
  crypto_hash_sha256_final(&state, out.data());
  return out;
}

}  // namespace

Key mac1_key(const Key& public_key) noexcept {
  return labelled_hash("trunkline mac1 1", public_key);
}
Key cookie_reply_key(const Key& public_key) noexcept {
  return labelled_hash("trunkline cookie 1", public_key);
}

Mac message_mac(std::span<const uint8_t> key, uint8_t message, Bytes covered) noexcept {
  Mac out;
  crypto_generichash_state state;
  crypto_generichash_init(&state, key.data(), key.size(), out.size());
  crypto_generichash_update(&state, &message, 1);
  crypto_generichash_update(&state, covered.data(), covered.size());
  crypto_generichash_final(&state, out.data(), out.size());
  return out;
}

Cookie cookie_of(const Secret& secret, const core::UdpAddress& from) noexcept {
  std::array<uint8_t, 20> name;
  store_be16(name.data(), from.family);
  store_be16(name.data() + 2, from.port);
  std::copy(std::begin(from.ip), std::end(from.ip), name.begin() + 4);
  Cookie out;
  crypto_generichash(out.data(), out.size(), name.data(), name.size(), secret.data(), kKeyBytes);
  return out;
}

void seal_cookie(const Key& key, Bytes mac1, const Cookie& cookie, Randomness& randomness,
                 std::span<uint8_t> out) noexcept {
  const auto nonce = out.first(kCookieNonceBytes);
  randomness.fill(nonce);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + kCookieNonceBytes, nullptr, cookie.data(),
                                             cookie.size(), mac1.data(), mac1.size(), nullptr, nonce.data(),
                                             key.data());
}

bool open_cookie(const Key& key, Bytes mac1, Bytes in, Cookie& cookie) noexcept {
  if (in.size() != kCookieReplyBytes) return false;
  Cookie opened;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(opened.data(), nullptr, nullptr,
                                                 in.data() + kCookieNonceBytes, in.size() - kCookieNonceBytes,
                                                 mac1.data(), mac1.size(), in.data(), key.data()) != 0) {
    return false;
  }
  cookie = opened;
  return true;
}

}  // namespace trunkline::relay
