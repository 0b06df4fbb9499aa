// See relay/lane_key.h.
#include "relay/lane_key.h"

#include <cstring>
#include <string_view>

#include "core/check.h"
#include "relay/key_memory.h"
#include "relay/secret.h"

namespace trunkline::relay {
namespace {

// No terminator. The suite stands behind it, so that one secret never serves two ciphers.
constexpr std::string_view kPurpose = "trunkline lane";

}  // namespace

LaneKey derive_lane_key(std::span<const uint8_t, kHkdfSecretBytes> secret, Suite suite, core::CoreId from,
                        core::CoreId to) noexcept {
  const std::size_t key_bytes = cipher_key_bytes(suite);
  TL_CHECK(key_bytes != 0);
  std::array<uint8_t, kPurpose.size() + 3> info;
  std::memcpy(info.data(), kPurpose.data(), kPurpose.size());
  info[kPurpose.size()] = static_cast<uint8_t>(suite);
  info[kPurpose.size() + 1] = from.value;
  info[kPurpose.size() + 2] = to.value;

  LaneKey lane;
  std::array<uint8_t, sizeof(LaneKey::key) + sizeof(LaneKey::iv)> bytes;
  hkdf_expand(secret, info, std::span(bytes).first(key_bytes + lane.iv.size()));
  std::memcpy(lane.key.data(), bytes.data(), key_bytes);
  std::memcpy(lane.iv.data(), bytes.data() + key_bytes, lane.iv.size());
  wipe(bytes.data(), bytes.size());
  return lane;
}

}  // namespace trunkline::relay
