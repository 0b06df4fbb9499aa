// The one profile of this build.
#include "relay/wire_profile.h"

#include "relay/mesh/messages.h"

namespace trunkline::relay {

const WireVersion* WireProfile::find(uint8_t number) const noexcept {
  for (const WireVersion& version : versions) {
    if (version.number == number) return &version;
  }
  return nullptr;
}

const WireProfile& production_profile() {
  // Frozen per version. Features: none exists yet, version 1 is the base.
  static const WireProfile kProfile{{{1, schema_fingerprint(1), {"track_namespace", "mtu", "suite"}}}, 0, 0};
  return kProfile;
}

}  // namespace trunkline::relay
