// Named streams of random numbers, all from one seed.
//
// The idea (reliability of old seeds): each concern of the simulator draws from its own stream, so that one
// more draw in the workload does not shift the faults, and a seed that found something keeps meaning the
// same. A stream is core::Rng seeded with a hash of (seed, name, index). Pure; costs nothing until drawn
// from.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/rng.h"

namespace trunkline::sim {

// FNV-1a (Fowler, Noll, Vo) over the name, then one round of SplitMix64's finaliser over all three.
constexpr uint64_t stream_seed(uint64_t seed, std::string_view name, uint64_t index = 0) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  uint64_t z = hash ^ (seed * 0x9e3779b97f4a7c15u) ^ (index * 0xd1b54a32d192ed03u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

constexpr core::Rng stream(uint64_t seed, std::string_view name, uint64_t index = 0) {
  return core::Rng(stream_seed(seed, name, index));
}

// Uniform in [low, high], both included. Contract: low <= high.
constexpr int64_t between(core::Rng& rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng.below(static_cast<uint64_t>(high - low) + 1));
}

}  // namespace trunkline::sim
