// Randomness that repeats itself from a seed, for tests of what draws keys.
#pragma once

#include "core/rng.h"
#include "relay/secret.h"

namespace trunkline::relay::test {

class SeededRandomness final : public Randomness {
 public:
  explicit SeededRandomness(uint64_t seed) noexcept : rng_(seed) {}
  void fill(std::span<uint8_t> out) noexcept override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(rng_.next());
  }

 private:
  core::Rng rng_;
};

}  // namespace trunkline::relay::test
