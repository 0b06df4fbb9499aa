// Where things lie in the frames that an IP host reads and writes: Ethernet II, ARP, IPv4, IPv6, UDP, ICMP,
// ICMPv6 with neighbour discovery. Plain offsets and loads that need no alignment: a frame is bytes, and any
// bytes may come. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/udp_address.h"
#include "io/checksum.h"
#include "io/mac_address.h"

namespace trunkline::io {

namespace frame {

// Ethernet II: destination 6, source 6, type 2 (RFC 894, RFC 2464).
inline constexpr uint32_t kEthernetBytes = 14;
inline constexpr uint16_t kTypeIpv4 = 0x0800;
inline constexpr uint16_t kTypeArp = 0x0806;
inline constexpr uint16_t kTypeIpv6 = 0x86dd;
inline constexpr uint16_t kTypeVlan = 0x8100;          // IEEE 802.1Q
inline constexpr uint16_t kTypeProviderVlan = 0x88a8;  // IEEE 802.1ad

// ARP for IPv4 over Ethernet (RFC 826), offsets from its first byte.
inline constexpr uint32_t kArpBytes = 28;
inline constexpr uint8_t kArpPrefix[6] = {0, 1, 8, 0, 6, 4};  // hardware, protocol, and their lengths
inline constexpr uint32_t kArpOperation = 6;
inline constexpr uint32_t kArpSenderMac = 8;
inline constexpr uint32_t kArpSenderIp = 14;
inline constexpr uint32_t kArpTargetMac = 18;
inline constexpr uint32_t kArpTargetIp = 24;
inline constexpr uint16_t kArpRequest = 1;
inline constexpr uint16_t kArpReply = 2;

// IPv4 (RFC 791 section 3.1).
inline constexpr uint32_t kIpv4Bytes = 20;  // without options
inline constexpr uint32_t kIpv4TotalLength = 2;
inline constexpr uint32_t kIpv4Fragment = 6;
inline constexpr uint32_t kIpv4Protocol = 9;
inline constexpr uint32_t kIpv4Checksum = 10;
inline constexpr uint32_t kIpv4Source = 12;
inline constexpr uint32_t kIpv4Destination = 16;
inline constexpr uint16_t kIpv4FragmentMask = 0x3fff;  // more fragments, and the offset
inline constexpr uint16_t kIpv4DontFragment = 0x4000;

// IPv6 (RFC 8200 section 3).
inline constexpr uint32_t kIpv6Bytes = 40;
inline constexpr uint32_t kIpv6PayloadLength = 4;
inline constexpr uint32_t kIpv6NextHeader = 6;
inline constexpr uint32_t kIpv6HopLimit = 7;
inline constexpr uint32_t kIpv6Source = 8;
inline constexpr uint32_t kIpv6Destination = 24;

// Protocols and next headers (IANA, Assigned Internet Protocol Numbers).
inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolFragment = 44;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

// What we put in: 64 is IANA's recommended default (RFC 1700), 255 what neighbour discovery requires.
inline constexpr uint8_t kHopLimit = 64;
inline constexpr uint8_t kNeighbourHopLimit = 255;

// UDP (RFC 768).
inline constexpr uint32_t kUdpBytes = 8;
inline constexpr uint32_t kUdpSource = 0;
inline constexpr uint32_t kUdpDestination = 2;
inline constexpr uint32_t kUdpLength = 4;
inline constexpr uint32_t kUdpChecksum = 6;

inline constexpr uint32_t kV4Headers = kEthernetBytes + kIpv4Bytes + kUdpBytes;
inline constexpr uint32_t kV6Headers = kEthernetBytes + kIpv6Bytes + kUdpBytes;

// ICMP and ICMPv6: type 1, code 1, checksum 2 (RFC 792, RFC 4443).
inline constexpr uint32_t kIcmpBytes = 8;
inline constexpr uint32_t kIcmpChecksum = 2;
inline constexpr uint8_t kIcmpEchoReply = 0;
inline constexpr uint8_t kIcmpUnreachable = 3;
inline constexpr uint8_t kIcmpCodeTooBig = 4;  // of kIcmpUnreachable: fragmentation needed
inline constexpr uint8_t kIcmpEcho = 8;
inline constexpr uint8_t kIcmpv6Unreachable = 1;
inline constexpr uint8_t kIcmpv6TooBig = 2;
inline constexpr uint8_t kIcmpv6Echo = 128;
inline constexpr uint8_t kIcmpv6EchoReply = 129;
inline constexpr uint8_t kIcmpv6RouterAdvertisement = 134;
inline constexpr uint8_t kIcmpv6Solicitation = 135;
inline constexpr uint8_t kIcmpv6Advertisement = 136;

// Neighbour solicitation and advertisement: flags 4, target 16, options (RFC 4861 sections 4.3, 4.4, 4.6.1).
inline constexpr uint32_t kNdFlags = 4;
inline constexpr uint32_t kNdTarget = 8;
inline constexpr uint32_t kNdBytes = 24;
inline constexpr uint32_t kNdOptionBytes = 8;  // a MAC address: type 1, length 1 (in units of 8), MAC 6
inline constexpr uint32_t kNeighbourBytes = kNdBytes + kNdOptionBytes;
inline constexpr uint32_t kNeighbourFrameBytes = kEthernetBytes + kIpv6Bytes + kNeighbourBytes;
inline constexpr uint8_t kNdSourceMac = 1;
inline constexpr uint8_t kNdTargetMac = 2;
inline constexpr uint8_t kNdSolicited = 0x40;
inline constexpr uint8_t kNdOverride = 0x20;

// ff02::1, and the first 13 bytes of solicited-node addresses, ff02::1:ff00:0/104 (RFC 4291 section 2.7.1).
inline constexpr uint8_t kAllNodes[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
inline constexpr uint8_t kSolicitedNode[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

inline uint16_t load_be16(const uint8_t* from) noexcept {
  return static_cast<uint16_t>(from[0] << 8 | from[1]);
}
inline uint32_t load_be32(const uint8_t* from) noexcept {
  return uint32_t{load_be16(from)} << 16 | load_be16(from + 2);
}
// As it lies in memory: for sums, and for values that are already in wire order.
inline uint16_t load_raw16(const uint8_t* from) noexcept {
  uint16_t value;
  std::memcpy(&value, from, 2);
  return value;
}
inline void store_raw16(uint8_t* to, uint16_t value) noexcept {
  std::memcpy(to, &value, 2);
}
inline void store_be16(uint8_t* to, uint32_t value) noexcept {
  store_raw16(to, to_wire16(value));
}
inline uint32_t load_raw32(const uint8_t* from) noexcept {
  uint32_t value;
  std::memcpy(&value, from, 4);
  return value;
}
inline uint64_t load_raw64(const uint8_t* from) noexcept {
  uint64_t value;
  std::memcpy(&value, from, 8);
  return value;
}

// The Ethernet group of an IPv6 group: 33:33 and its last four bytes (RFC 2464 section 7).
inline MacAddress group_mac(const uint8_t* ip) noexcept {
  return {{0x33, 0x33, ip[12], ip[13], ip[14], ip[15]}};
}
// The group in which `ip` is asked for.
inline void solicited_node(const uint8_t* ip, uint8_t* to) noexcept {
  std::memcpy(to, kSolicitedNode, 13);
  std::memcpy(to + 13, ip + 13, 3);
}
inline bool is_zero16(const uint8_t* ip) noexcept {
  return (load_raw64(ip) | load_raw64(ip + 8)) == 0;
}
inline bool is_link_local(const uint8_t* ip) noexcept {
  return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;  // fe80::/10 (RFC 4291 section 2.5.6)
}

// Headers as we send them. Returns what follows.
inline uint8_t* write_ethernet(uint8_t* to, const MacAddress& destination, const MacAddress& source,
                               uint16_t type) noexcept {
  std::memcpy(to, destination.bytes.data(), 6);
  std::memcpy(to + 6, source.bytes.data(), 6);
  store_be16(to + 12, type);
  return to + kEthernetBytes;
}
// No options; never fragmented, so the identification may be zero (RFC 6864 section 4.1). With its checksum.
inline uint8_t* write_ipv4(uint8_t* to, uint32_t payload_length, uint8_t protocol, const uint8_t* source,
                           const uint8_t* destination) noexcept {
  to[0] = 0x45;
  to[1] = 0;
  store_be16(to + kIpv4TotalLength, kIpv4Bytes + payload_length);
  store_be16(to + 4, 0);
  store_be16(to + kIpv4Fragment, kIpv4DontFragment);
  to[8] = kHopLimit;
  to[kIpv4Protocol] = protocol;
  store_raw16(to + kIpv4Checksum, 0);
  std::memcpy(to + kIpv4Source, source, 4);
  std::memcpy(to + kIpv4Destination, destination, 4);
  store_raw16(to + kIpv4Checksum, checksum_of(sum_words(to, kIpv4Bytes)));
  return to + kIpv4Bytes;
}
inline uint8_t* write_ipv6(uint8_t* to, uint32_t payload_length, uint8_t next_header, uint8_t hop_limit,
                           const uint8_t* source, const uint8_t* destination) noexcept {
  std::memset(to, 0, 4);
  to[0] = 0x60;
  store_be16(to + kIpv6PayloadLength, payload_length);
  to[kIpv6NextHeader] = next_header;
  to[kIpv6HopLimit] = hop_limit;
  std::memcpy(to + kIpv6Source, source, 16);
  std::memcpy(to + kIpv6Destination, destination, 16);
  return to + kIpv6Bytes;
}
inline void write_arp(uint8_t* to, uint16_t operation, const MacAddress& sender_mac, const uint8_t* sender_ip,
                      const MacAddress& target_mac, const uint8_t* target_ip) noexcept {
  std::memcpy(to, kArpPrefix, 6);
  store_be16(to + kArpOperation, operation);
  std::memcpy(to + kArpSenderMac, sender_mac.bytes.data(), 6);
  std::memcpy(to + kArpSenderIp, sender_ip, 4);
  std::memcpy(to + kArpTargetMac, target_mac.bytes.data(), 6);
  std::memcpy(to + kArpTargetIp, target_ip, 4);
}

// Of an IPv4 header without options.
inline uint64_t sum_ipv4_header(const uint8_t* ip) noexcept {
  uint32_t words[5];
  std::memcpy(words, ip, kIpv4Bytes);
  return uint64_t{words[0]} + words[1] + words[2] + words[3] + words[4];
}
// What ICMPv6 and UDP over IPv6 sum in front of themselves (RFC 8200 section 8.1); `ip` is the IPv6 header.
inline uint64_t pseudo_sum6(const uint8_t* ip, uint8_t protocol, uint32_t length) noexcept {
  return sum_words(ip + kIpv6Source, 32) + to_wire16(length) + to_wire16(protocol);
}

// A neighbour solicitation or advertisement with our MAC address as its option, and its checksum, behind the
// IPv6 header `ip` (RFC 4861 sections 4.3 and 4.4).
inline void write_neighbour_message(uint8_t* ip, uint8_t type, uint8_t flags, const uint8_t* target,
                                    const MacAddress& mac) noexcept {
  uint8_t* nd = ip + kIpv6Bytes;
  std::memset(nd, 0, kNdTarget);
  nd[0] = type;
  nd[kNdFlags] = flags;
  std::memcpy(nd + kNdTarget, target, 16);
  nd[kNdBytes] = type == kIcmpv6Solicitation ? kNdSourceMac : kNdTargetMac;
  nd[kNdBytes + 1] = 1;
  std::memcpy(nd + kNdBytes + 2, mac.bytes.data(), 6);
  store_raw16(nd + kIcmpChecksum, checksum_of(pseudo_sum6(ip, kProtocolIcmpv6, kNeighbourBytes) +
                                              sum_words(nd, kNeighbourBytes)));
}
// A whole frame of kNeighbourFrameBytes: "`own` is at `mac`", which overrides what was known.
inline void write_advertisement(uint8_t* to, const MacAddress& mac, const uint8_t* own,
                                const uint8_t* destination, const MacAddress& destination_mac,
                                uint8_t flags) noexcept {
  uint8_t* const ip = write_ethernet(to, destination_mac, mac, kTypeIpv6);
  write_ipv6(ip, kNeighbourBytes, kProtocolIcmpv6, kNeighbourHopLimit, own, destination);
  write_neighbour_message(ip, kIcmpv6Advertisement, static_cast<uint8_t>(flags | kNdOverride), own, mac);
}

// Equality of 20 bytes in three loads, where the defaulted one compares byte by byte.
inline bool same(const core::UdpAddress& a, const core::UdpAddress& b) noexcept {
  uint64_t x[2], y[2];
  uint32_t u, v;
  std::memcpy(x, &a, 16);
  std::memcpy(y, &b, 16);
  std::memcpy(&u, &a.ip[12], 4);
  std::memcpy(&v, &b.ip[12], 4);
  return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (u ^ v)) == 0;
}

// Into `to`, which is zero, in one store: whoever compares the address soon loads as much at once, and would
// wait for several smaller ones.
inline void set_address4(core::UdpAddress& to, const uint8_t* ip, uint16_t port) noexcept {
  const uint64_t words[2] = {4u | uint64_t{port} << 16 | uint64_t{load_raw32(ip)} << 32, 0};
  std::memcpy(static_cast<void*>(&to), words, 16);
}
inline core::UdpAddress address4(const uint8_t* ip, uint16_t port = 0) noexcept {
  core::UdpAddress address;
  set_address4(address, ip, port);
  return address;
}
inline void set_address6(core::UdpAddress& to, const uint8_t* ip, uint16_t port) noexcept {
  to.family = 6;
  to.port = port;
  std::memcpy(to.ip, ip, 16);
}
inline core::UdpAddress address6(const uint8_t* ip, uint16_t port = 0) noexcept {
  core::UdpAddress address;
  set_address6(address, ip, port);
  return address;
}

}  // namespace frame
}  // namespace trunkline::io
