// Sizes that depend on the cache. Constants of our own: std::hardware_destructive_interference_size in a
// header warns under g++ 12, because its value may differ between translation units.
#pragma once

#include <cstddef>

namespace trunkline::core {

inline constexpr std::size_t kCacheLine = 64;  // x86-64 and most ARM64 cores
inline constexpr std::size_t kSharingDistance =
    128;  // x86 prefetches lines in pairs: keep writers this far apart

}  // namespace trunkline::core
