// HKDF-Expand with SHA-256 (RFC 5869, section 2.3): many keys from one secret that is uniform already, as
// what a handshake gives is. A key for another purpose is another `info`; knowing one tells nothing of the
// others.
//
// On libsodium's HMAC: version 1.0.18, which Debian 12 has, knows no HKDF. About 1 us per 32 bytes. Any
// thread; nothing is allocated, nothing of a key stays behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace trunkline::relay {

inline constexpr std::size_t kHkdfSecretBytes = 32;

// Fills `out` from `secret` (the RFC's PRK) and `info`. Contract: out.size() <= 255 * 32.
void hkdf_expand(std::span<const uint8_t, kHkdfSecretBytes> secret, std::span<const uint8_t> info,
                 std::span<uint8_t> out) noexcept;

}  // namespace trunkline::relay
