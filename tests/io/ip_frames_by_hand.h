// Frames for tests of the IP host, written byte by byte from the RFCs and without the host's own helpers, so
// that one cannot excuse the other. Checksums are the naive ones: 16 bits at a time, in network order.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "core/udp_address.h"
#include "io/ip_frames.h"

namespace trunkline::io::by_hand {

using Bytes = std::vector<uint8_t>;

inline constexpr MacAddress kOurMac{{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0x02}};
inline constexpr MacAddress kOtherMac{{0x02, 0, 0, 0, 0, 0x03}};

inline core::UdpAddress address(std::string_view text) {
  return core::UdpAddress::parse(text).value();
}
inline void append(Bytes& to, const Bytes& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
inline void append(Bytes& to, const MacAddress& mac) {
  to.insert(to.end(), mac.bytes.begin(), mac.bytes.end());
}
inline void append16(Bytes& to, size_t value) {
  to.push_back(static_cast<uint8_t>(value >> 8));
  to.push_back(static_cast<uint8_t>(value));
}
inline void append_ip(Bytes& to, const core::UdpAddress& of) {
  to.insert(to.end(), of.ip, of.ip + (of.family == 4 ? 4 : 16));
}
inline void set16(Bytes& in, size_t at, size_t value) {
  in[at] = static_cast<uint8_t>(value >> 8);
  in[at + 1] = static_cast<uint8_t>(value);
}
inline size_t get16(const Bytes& from, size_t at) {
  return static_cast<size_t>(from[at]) << 8 | from[at + 1];
}

// RFC 1071 section 1, word by word.
inline uint16_t naive_checksum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i]) << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

inline Bytes ethernet(const MacAddress& to, const MacAddress& from, uint16_t type, const Bytes& content) {
  Bytes frame;
  append(frame, to);
  append(frame, from);
  append16(frame, type);
  append(frame, content);
  return frame;
}

inline Bytes pseudo_header(const core::UdpAddress& from, const core::UdpAddress& to, uint8_t protocol,
                           size_t length) {
  Bytes bytes;
  append_ip(bytes, from);
  append_ip(bytes, to);
  append16(bytes, 0);
  append16(bytes, length);
  append16(bytes, 0);
  append16(bytes, protocol);
  return bytes;
}

// An IPv4 or IPv6 packet in a frame; `options` are IPv4's, a multiple of 4 bytes.
struct Ip {
  MacAddress to_mac = kOurMac;
  MacAddress from_mac = kPeerMac;
  uint8_t hop_limit = 64;
  uint16_t fragment = 0x4000;
  Bytes options = {};
};
inline Bytes ip(const core::UdpAddress& from, const core::UdpAddress& to, uint8_t protocol,
                const Bytes& content, const Ip& with = {}) {
  Bytes packet;
  if (from.family == 4) {
    packet = {static_cast<uint8_t>(0x45 + with.options.size() / 4), 0};
    append16(packet, 20 + with.options.size() + content.size());
    append16(packet, 0);
    append16(packet, with.fragment);
    packet.push_back(with.hop_limit);
    packet.push_back(protocol);
    append16(packet, 0);
    append_ip(packet, from);
    append_ip(packet, to);
    append(packet, with.options);
    set16(packet, 10, naive_checksum(packet));
  } else {
    packet = {0x60, 0, 0, 0};
    append16(packet, content.size());
    packet.push_back(protocol);
    packet.push_back(with.hop_limit);
    append_ip(packet, from);
    append_ip(packet, to);
  }
  append(packet, content);
  return ethernet(with.to_mac, with.from_mac, from.family == 4 ? 0x0800 : 0x86dd, packet);
}

inline Bytes udp_header_and(const core::UdpAddress& from, const core::UdpAddress& to, const Bytes& payload) {
  Bytes udp;
  append16(udp, from.port);
  append16(udp, to.port);
  append16(udp, 8 + payload.size());
  append16(udp, 0);
  append(udp, payload);
  Bytes summed = pseudo_header(from, to, 17, udp.size());
  append(summed, udp);
  const uint16_t checksum = naive_checksum(summed);
  set16(udp, 6, checksum == 0 ? 0xffff : checksum);
  return udp;
}
inline Bytes udp(const core::UdpAddress& from, const core::UdpAddress& to, const Bytes& payload,
                 const Ip& with = {}) {
  return ip(from, to, 17, udp_header_and(from, to, payload), with);
}

inline Bytes arp(uint16_t operation, const MacAddress& sender_mac, const core::UdpAddress& sender,
                 const MacAddress& target_mac, const core::UdpAddress& target, const MacAddress& to) {
  Bytes content = {0, 1, 8, 0, 6, 4};
  append16(content, operation);
  append(content, sender_mac);
  append_ip(content, sender);
  append(content, target_mac);
  append_ip(content, target);
  return ethernet(to, sender_mac, 0x0806, content);
}

// ICMP of both families: type, code, checksum, the rest. IPv6's sums a pseudo-header, too.
inline Bytes icmp(const core::UdpAddress& from, const core::UdpAddress& to, uint8_t type, uint8_t code,
                  const Bytes& rest, const Ip& with = {}) {
  Bytes message = {type, code, 0, 0};
  append(message, rest);
  Bytes summed = from.family == 4 ? Bytes{} : pseudo_header(from, to, 58, message.size());
  append(summed, message);
  set16(message, 2, naive_checksum(summed));
  return ip(from, to, from.family == 4 ? 1 : 58, message, with);
}

// The rest of a neighbour solicitation or advertisement; `option` 0: without its link-layer address.
inline Bytes neighbour_message(uint8_t flags, const core::UdpAddress& target, uint8_t option,
                               const MacAddress& mac) {
  Bytes rest = {flags, 0, 0, 0};
  append_ip(rest, target);
  if (option == 0) return rest;
  rest.push_back(option);
  rest.push_back(1);
  append(rest, mac);
  return rest;
}

}  // namespace trunkline::io::by_hand
