// See relay/hkdf.h.
#include "relay/hkdf.h"

#include <sodium/crypto_auth_hmacsha256.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"
#include "relay/key_memory.h"
#include "relay/secret.h"

namespace trunkline::relay {

// T(n) = HMAC(secret, T(n - 1) | info | n), where T(0) is empty; the output is T(1) | T(2) | ...
void hkdf_expand(std::span<const uint8_t, kHkdfSecretBytes> secret, std::span<const uint8_t> info,
                 std::span<uint8_t> out) noexcept {
  std::array<uint8_t, crypto_auth_hmacsha256_BYTES> block;
  TL_CHECK(out.size() <= 255 * block.size());
  crypto_auth_hmacsha256_state state;
  uint8_t number = 0;
  for (std::size_t done = 0; done < out.size(); done += block.size()) {
    crypto_auth_hmacsha256_init(&state, secret.data(), secret.size());
    if (number != 0) crypto_auth_hmacsha256_update(&state, block.data(), block.size());
    crypto_auth_hmacsha256_update(&state, info.data(), info.size());
    ++number;
    crypto_auth_hmacsha256_update(&state, &number, 1);
    crypto_auth_hmacsha256_final(&state, block.data());
    std::memcpy(out.data() + done, block.data(), std::min(block.size(), out.size() - done));
  }
  wipe(&state, sizeof state);
  wipe(block.data(), block.size());
}

}  // namespace trunkline::relay
