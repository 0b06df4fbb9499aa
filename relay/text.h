// Texts that a peer sent and a person will read.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace trunkline::relay {

// No control character (below 0x20, or 0x7f): such a text cannot forge a log line or steer a terminal.
constexpr bool is_plain_text(std::string_view text) noexcept {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

// The same bytes, seen the other way.
inline std::string_view as_text(std::span<const uint8_t> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::span<const uint8_t> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace trunkline::relay
