// WireProfile: which wire versions a build speaks, and what each of them needs.
//
// The idea: everything that two builds may disagree about before they exchange a byte of their own stands in
// one value. Production has exactly one profile, compiled in; the simulator gives nodes of the same code
// other ones, and so rolls out and rolls back builds that do not exist yet. What a version is called and
// requires is frozen once a release carried it: a new requirement, or a message with another meaning, is a
// new version.
//
// The version in a datagram's header is another matter: it says how to find the HELLO at all, and is
// kWireVersion (relay/wire.h) for every profile.
//
// Read-only after construction; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::relay {

struct WireVersion {
  uint8_t number = 1;                 // below kMaxWireVersions
  uint64_t schema = 0;                // fingerprint of its messages; never 0
  std::vector<std::string> required;  // settings under [wire] that have no default
};

struct WireProfile {
  std::vector<WireVersion> versions;  // at least one; consecutive numbers, ascending
  uint64_t features_supported = 0;    // a bit each
  uint64_t features_required = 0;     // of a peer

  uint8_t oldest() const noexcept { return versions.front().number; }
  uint8_t newest() const noexcept { return versions.back().number; }
  // nullptr: this build does not speak it.
  const WireVersion* find(uint8_t number) const noexcept;
};

// What this build speaks.
const WireProfile& production_profile();

}  // namespace trunkline::relay
