// New keys and certificates, as `trunkline keys` and throw-away clusters make them. From the kernel's
// randomness; no files. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "relay/key_files.h"

namespace trunkline::tools {

inline constexpr uint64_t kDaySeconds = 86'400;

relay::ClusterSecret new_cluster(const relay::ClusterName& name);
relay::noise::KeyPair new_node_key();

struct Holder {
  uint64_t node = 0;
  std::string_view region;
  uint32_t roles = relay::kAllRoles;
  relay::Key public_key{};
};
// Valid from a day before `now` (Unix seconds), for clocks differ, until so many days after it; with a random
// serial. nullopt: a field of `holder` is out of its range.
std::optional<relay::CertificateBytes> new_certificate(const relay::ClusterSecret& cluster,
                                                       const Holder& holder, uint64_t now, uint64_t days);

}  // namespace trunkline::tools
