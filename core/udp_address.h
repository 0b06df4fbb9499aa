// UdpAddress: where a datagram came from or goes to, as 20 plain bytes. Ports translate it to and from the
// kernel's sockaddr; everybody else (configuration, wire, simulator) reads and writes it as text, without
// sockets. Copied freely on any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace trunkline::core {

struct UdpAddress {
  uint16_t family = 0;  // 0 none, 4, 6
  uint16_t port = 0;    // host order
  uint8_t ip[16]{};     // network order; IPv4 in the first 4 bytes, the rest zero

  constexpr bool operator==(const UdpAddress&) const = default;

  static constexpr UdpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) noexcept {
    return {4, port, {a, b, c, d}};
  }

  // "192.0.2.1:5000" or "[2001:db8::1]:5000". The port is required. Nothing for anything else: names, zone
  // ids, octets with leading zeros (octal to some), blanks.
  static std::optional<UdpAddress> parse(std::string_view text);
  // The same form, IPv6 as RFC 5952 writes it; "none" when family is 0. parse(to_string()) == *this.
  std::string to_string() const;

  // For tables that strangers cannot fill. Where a peer chooses the addresses use keyed_hash (core/hash.h).
  uint64_t hash() const noexcept;

  bool is_loopback() const noexcept;     // 127.0.0.0/8, ::1
  bool is_multicast() const noexcept;    // 224.0.0.0/4, ff00::/8
  bool is_unspecified() const noexcept;  // 0.0.0.0, ::
  // Loopback, or the benchmarking ranges 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180): the only ones
  // between which the `null` suite is allowed. IPv4 mapped into IPv6 is never in the lab.
  bool in_lab_range() const noexcept;
};

static_assert(sizeof(UdpAddress) == 20 && alignof(UdpAddress) == 2);
static_assert(std::is_trivially_copyable_v<UdpAddress>);

// For the standard containers.
struct UdpAddressHash {
  size_t operator()(const UdpAddress& address) const noexcept { return address.hash(); }
};

}  // namespace trunkline::core
