// The address of a station on an Ethernet (IEEE 802.3, EUI-48).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

namespace trunkline::io {

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  constexpr bool operator==(const MacAddress&) const = default;

  static constexpr MacAddress broadcast() noexcept { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
  static MacAddress at(const uint8_t* from) noexcept {
    MacAddress mac;
    std::memcpy(mac.bytes.data(), from, 6);
    return mac;
  }
  // One station: neither a group (IEEE 802.3 section 3.2.3, the lowest bit of the first byte) nor all zeros.
  constexpr bool is_station() const noexcept { return (bytes[0] & 1) == 0 && *this != MacAddress{}; }
};

}  // namespace trunkline::io
