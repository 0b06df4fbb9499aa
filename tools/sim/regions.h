// The ten public cloud regions, and how long a datagram travels between them.
//
// Round-trip times are averages measured by a cloud provider (source in regions.cc), given per direction and
// not quite symmetric; half of a direction's value is its one-way delay here.
#pragma once

#include <cstdint>

#include "core/time.h"

namespace trunkline::sim {

enum class Region : uint8_t {
  kDallas,
  kToronto,
  kWashington,
  kFrankfurt,
  kLondon,
  kMadrid,
  kOsaka,
  kSydney,
  kTokyo,
  kSaoPaulo,
};
inline constexpr uint32_t kRegions = 10;

const char* region_name(Region region);
// From a node in `from` to another node in `to`; 0.25 ms inside a region (0.5 ms there and back).
core::Nanos one_way_delay(Region from, Region to);

}  // namespace trunkline::sim
