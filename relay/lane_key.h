// The key of one lane: what the secret of a direction becomes for one (sender core, receiver core) pair.
//
// The idea (RFC 9611 does it for IPsec, one security association per processor): each lane has a key and a
// counter of its own, so that cores share neither counter nor replay window, and no (key, nonce) pair repeats
// though every core counts from 0. docs/protocol.md has the derivation byte for byte.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/ids.h"
#include "relay/crypto.h"
#include "relay/hkdf.h"

namespace trunkline::relay {

// Wiped by whoever holds one, when it has served.
struct LaneKey {
  std::array<uint8_t, 32> key{};  // the suite's first cipher_key_bytes() of it; zeros behind them
  std::array<uint8_t, 12> iv{};
};

// 16 or 32; 0 for a suite that is not sealed.
constexpr std::size_t cipher_key_bytes(Suite suite) noexcept {
  switch (suite) {
    case Suite::kAes128Gcm:
      return 16;
    case Suite::kAes256Gcm:
    case Suite::kChaCha20Poly1305:
      return 32;
    case Suite::kNull:
    case Suite::kModel:
      break;
  }
  return 0;
}

// `secret` is that of the direction from `from`'s node to `to`'s. Contract: a sealed suite. 1 to 2 us; any
// thread; allocates nothing.
LaneKey derive_lane_key(std::span<const uint8_t, kHkdfSecretBytes> secret, Suite suite, core::CoreId from,
                        core::CoreId to) noexcept;

}  // namespace trunkline::relay
