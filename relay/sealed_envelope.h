// What lies around a sealed handshake's Noise messages, after WireGuard (Donenfeld, NDSS 2017, section 5.4.4
// and 5.3): two short authenticators at the end, and a cookie.
//
//   mac1    16 bytes, keyed by the receiver's static public key: who does not know whom he talks to gets
//   silence mac2    16 bytes, keyed by a cookie; zeros without one. Wanted in a msg1 by a responder under
//   load cookie  16 bytes that only the responder can compute, from the source's address: to have it is to
//   have
//           received at that address
//
// Both authenticators cover the message's number and all before them; the datagram's header is not covered.
// It only chooses the object that authenticates the message. None of this replaces what Noise does: it is
// what a stranger must pass before a node spends 100 us on it.
//
// Pure functions; BLAKE2b (RFC 7693), XChaCha20-Poly1305 and SHA-256 by libsodium. Cost of a mac: about 2 us
// for a msg1.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/udp_address.h"
#include "relay/byte_reader.h"
#include "relay/handshake_messages.h"
#include "relay/secret.h"

namespace trunkline::relay {

inline constexpr uint32_t kMacBytes = 16;
inline constexpr uint32_t kMacsBytes = 2 * kMacBytes;  // mac1 | mac2
using Mac = std::array<uint8_t, kMacBytes>;
using Cookie = std::array<uint8_t, 16>;

// A cookie reply: nonce 24 | the cookie, encrypted, 16 | tag 16.
inline constexpr uint32_t kCookieNonceBytes = 24;
inline constexpr uint32_t kCookieReplyBytes = kCookieNonceBytes + 16 + 16;
static_assert(kCookieReplyBytes == 56 && kCookieReplyBytes < kMaxHandshakeBytes,
              "shorter than what it answers");

// SHA-256(label | public key), the keys of mac1 and of cookie replies to and from the owner of that key.
Key mac1_key(const Key& public_key) noexcept;
Key cookie_reply_key(const Key& public_key) noexcept;

// Keyed BLAKE2b-128 of the message's number and `covered`.
Mac message_mac(std::span<const uint8_t> key, uint8_t message, Bytes covered) noexcept;

// Keyed BLAKE2b-128 of the address and the port.
Cookie cookie_of(const Secret& secret, const core::UdpAddress& from) noexcept;

// `key`: cookie_reply_key() of whoever replies. `mac1`: of the msg1 that is replied to; the reply is good for
// no other. `out` has kCookieReplyBytes.
void seal_cookie(const Key& key, Bytes mac1, const Cookie& cookie, Randomness& randomness,
                 std::span<uint8_t> out) noexcept;
// False: not a reply to that msg1 by the owner of that key.
bool open_cookie(const Key& key, Bytes mac1, Bytes in, Cookie& cookie) noexcept;

}  // namespace trunkline::relay
