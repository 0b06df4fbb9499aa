// What a wire version requires, and how a name becomes a track id. validate() is in relay/config_validate.cc.
#include "relay/config.h"

#include <sodium/crypto_generichash.h>

#include "core/check.h"

namespace trunkline::relay {

const WireSetting* NodeConfig::find_setting(std::string_view setting) const {
  for (const WireSetting& candidate : wire) {
    if (candidate.name == setting) return &candidate;
  }
  return nullptr;
}

const std::vector<std::string>& required_settings(uint8_t wire_version, const WireProfile& profile) {
  // A new requirement is a new wire version: a build cannot be rolled out without it.
  static const std::vector<std::string> kNone;
  const WireVersion* const version = profile.find(wire_version);
  return version != nullptr ? version->required : kNone;
}

// The key is BLAKE2b-256 of the namespace rather than the namespace itself: BLAKE2b takes keys of at most 64
// bytes and libsodium of at least 16, and a namespace may have any length.
core::TrackId track_id(std::string_view track_namespace, std::string_view name) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  unsigned char key[crypto_generichash_KEYBYTES];
  TL_CHECK(crypto_generichash(key, sizeof key, bytes(track_namespace), track_namespace.size(), nullptr, 0) ==
           0);
  core::TrackId id;
  TL_CHECK(crypto_generichash(id.bytes.data(), id.bytes.size(), bytes(name), name.size(), key, sizeof key) ==
           0);
  return id;
}

}  // namespace trunkline::relay
