// The way of a datagram: in, from the frame to what the caller gets; out, from ready-made headers to the
// frame. What belongs to the host itself is in ip_host_control.cc (in) and ip_host_output.cc (out).
#include "io/ip_host.h"

#include "core/check.h"

namespace trunkline::io {

using frame::load_be16;
using frame::load_raw16;
using frame::same;
using frame::store_raw16;

// --- in
// -------------------------------------------------------------------------------------------------------

IpHost::Received IpHost::receive(uint8_t* frame, uint32_t length, bool device_checked, Nanos now) noexcept {
  if (length < frame::kEthernetBytes) return dropped(IpHostCounter::rx_short);
  const bool to_us = MacAddress::at(frame) == mac_;
  if (to_us) [[likely]] {
    const uint16_t type = load_raw16(frame + 12);
    if (type == to_wire16(frame::kTypeIpv4)) return receive_ipv4(frame, length, device_checked);
    if (type == to_wire16(frame::kTypeIpv6)) return receive_ipv6(frame, length, true, device_checked, now);
  }
  return receive_other(frame, length, to_us, now);
}

IpHost::Received IpHost::receive_ipv4(uint8_t* frame, uint32_t length, bool device_checked) noexcept {
  using namespace frame;
  if (length < kEthernetBytes + kIpv4Bytes) return dropped(IpHostCounter::rx_short);
  uint8_t* const ip = frame + kEthernetBytes;
  const uint32_t header = (ip[0] & 0xfu) * 4;
  const uint32_t total = load_be16(ip + kIpv4TotalLength);
  // What is behind the total length is padding to Ethernet's shortest frame (RFC 894).
  if (ip[0] >> 4 != 4 || header < kIpv4Bytes || total < header || total > length - kEthernetBytes)
    return dropped(IpHostCounter::rx_bad_ip);
  if (!device_checked &&
      !checksum_is_right(header == kIpv4Bytes ? sum_ipv4_header(ip) : sum_words(ip, header)))
    return dropped(IpHostCounter::rx_bad_ip_checksum);
  if (!is_ours4(ip + kIpv4Destination)) return dropped(IpHostCounter::rx_other_address);
  // RFC 1122 section 3.2.1.3: "this network", loopback, groups and broadcast are nobody's source.
  const uint8_t* const source = ip + kIpv4Source;
  if (source[0] == 0 || source[0] == 127 || source[0] >= 224 || is_ours4(source))
    return dropped(IpHostCounter::rx_bad_source);
  if ((load_be16(ip + kIpv4Fragment) & kIpv4FragmentMask) != 0) return dropped(IpHostCounter::rx_fragment);

  uint8_t* const payload = ip + header;
  if (ip[kIpv4Protocol] == kProtocolIcmp) return receive_icmp(frame, payload, total - header);
  if (ip[kIpv4Protocol] != kProtocolUdp) return dropped(IpHostCounter::rx_other_protocol);
  if (!udp_is_whole(payload, total - header, source, 8, device_checked)) return {};
  return hand_up(ip, payload);
}

IpHost::Received IpHost::receive_ipv6(uint8_t* frame, uint32_t length, bool to_us, bool device_checked,
                                      Nanos now) noexcept {
  using namespace frame;
  if (length < kEthernetBytes + kIpv6Bytes) return dropped(IpHostCounter::rx_short);
  uint8_t* const ip = frame + kEthernetBytes;
  const uint32_t payload_length = load_be16(ip + kIpv6PayloadLength);
  if (ip[0] >> 4 != 6 || payload_length > length - kEthernetBytes - kIpv6Bytes)
    return dropped(IpHostCounter::rx_bad_ip);
  uint8_t* const payload = ip + kIpv6Bytes;
  const uint8_t* const source = ip + kIpv6Source;
  const uint8_t* const destination = ip + kIpv6Destination;
  const uint8_t next_header = ip[kIpv6NextHeader];
  if (source[0] == 0xff || is_ours6(source)) return dropped(IpHostCounter::rx_bad_source);
  if (next_header == kProtocolIcmpv6) return receive_icmpv6(frame, payload, payload_length, to_us, now);
  if (!to_us) return dropped(IpHostCounter::rx_broadcast);
  if (!is_ours6(destination)) return dropped(IpHostCounter::rx_other_address);
  if (next_header != kProtocolUdp) return dropped(refusal_of(next_header));
  // RFC 4291 sections 2.5.2 and 2.5.3: neither the unspecified nor the loopback address is on a wire.
  if (load_raw64(source) == 0 && (load_raw64(source + 8) & ~(uint64_t{1} << 56)) == 0)
    return dropped(IpHostCounter::rx_bad_source);

  if (!udp_is_whole(payload, payload_length, source, 32, device_checked)) return {};
  return hand_up(ip, payload);
}

// One variable, one return: built where the caller wants it, not copied there.
IpHost::Received IpHost::hand_up(const uint8_t* ip, uint8_t* udp) noexcept {
  using namespace frame;
  counters_.add(IpHostCounter::rx_datagrams);
  Received received;
  received.kind = Received::Kind::kDatagram;
  received.payload = udp + kUdpBytes;
  received.length = load_be16(udp + kUdpLength) - kUdpBytes;
  const uint16_t source = load_be16(udp + kUdpSource);
  const uint16_t destination = load_be16(udp + kUdpDestination);
  if (ip[0] >> 4 == 4) {
    set_address4(received.source, ip + kIpv4Source, source);
    set_address4(received.destination, ip + kIpv4Destination, destination);
  } else {
    set_address6(received.source, ip + kIpv6Source, source);
    set_address6(received.destination, ip + kIpv6Destination, destination);
  }
  return received;
}

uint32_t IpHost::remember(const uint8_t* frame) noexcept {
  using namespace frame;
  const bool plain_v4 = load_raw16(frame + 12) == to_wire16(kTypeIpv4) && frame[kEthernetBytes] == 0x45;
  if (!plain_v4) return kPlaces;
  const Sender sender = sender_of(frame);
  const uint32_t place = place_of(sender);
  senders_[place] = sender;
  return place;
}

IpHostCounter IpHost::refusal_of(uint8_t next_header) noexcept {
  switch (next_header) {
    case frame::kProtocolFragment:
      return IpHostCounter::rx_fragment;
    // IANA, IPv6 Extension Header Types: hop-by-hop, routing, ESP, AH, destination options, mobility, HIP,
    // shim6.
    case 0:
    case 43:
    case 50:
    case 51:
    case 60:
    case 135:
    case 139:
    case 140:
      return IpHostCounter::rx_extension;
    default:
      return IpHostCounter::rx_other_protocol;
  }
}

// `length` bytes at `udp` are what IP carried; both addresses lie at `addresses`. False: counted.
bool IpHost::udp_is_whole(const uint8_t* udp, uint32_t length, const uint8_t* addresses,
                          uint32_t address_bytes, bool device_checked) noexcept {
  using namespace frame;
  const uint32_t udp_length = length < kUdpBytes ? 0 : load_be16(udp + kUdpLength);
  if (udp_length < kUdpBytes || udp_length > length) {
    counters_.add(IpHostCounter::rx_bad_udp_length);
    return false;
  }
  // Zero is "none": allowed over IPv4 (RFC 768), never over IPv6 (RFC 8200 section 8.1).
  bool whole = true;
  if (load_raw16(udp + kUdpChecksum) == 0) {
    whole = address_bytes == 8;
  } else if (verify_udp_ && !device_checked) {
    whole = udp_sum_is_right(udp, udp_length, addresses, address_bytes);
  }
  if (!whole) counters_.add(IpHostCounter::rx_bad_udp_checksum);
  return whole;
}

// `length` bytes at `udp`, as its header says; with the addresses in front (RFC 768, RFC 8200 section 8.1).
bool IpHost::udp_sum_is_right(const uint8_t* udp, uint32_t length, const uint8_t* addresses,
                              uint32_t address_bytes) noexcept {
  using namespace frame;
  const uint64_t sum_of_addresses = address_bytes == 8
                                        ? uint64_t{load_raw32(addresses)} + load_raw32(addresses + 4)
                                        : sum_words(addresses, 32);
  return checksum_is_right(sum_words(udp, length) + sum_of_addresses + load_raw16(udp + kUdpLength) +
                           to_wire16(kProtocolUdp));
}

// Everything but IP for our own MAC address.
IpHost::Received IpHost::receive_other(uint8_t* frame, uint32_t length, bool to_us, Nanos now) noexcept {
  const MacAddress destination = MacAddress::at(frame);
  if (!to_us && destination != MacAddress::broadcast() && !is_group_of_ours(destination))
    return dropped(IpHostCounter::rx_other_mac);
  switch (load_be16(frame + 12)) {
    case frame::kTypeArp:
      return receive_arp(frame, length, now);
    case frame::kTypeIpv4:
      return dropped(IpHostCounter::rx_broadcast);  // RFC 1122 section 3.3.6: not for a unicast address
    case frame::kTypeIpv6:
      return receive_ipv6(frame, length, false, false, now);
    case frame::kTypeVlan:
    case frame::kTypeProviderVlan:
      return dropped(IpHostCounter::rx_tagged);
    default:
      return dropped(IpHostCounter::rx_other_type);
  }
}

IpHost::Received IpHost::dropped(IpHostCounter reason) noexcept {
  counters_.add(reason);
  return {};
}

IpHost::Received IpHost::handled() noexcept {
  counters_.add(IpHostCounter::rx_handled);
  Received received;
  received.kind = Received::Kind::kHandled;
  return received;
}

// --- out
// ------------------------------------------------------------------------------------------------------

uint32_t IpHost::write_headers(uint8_t* payload, uint32_t length, const core::UdpAddress& from,
                               const core::UdpAddress& to, Nanos now) noexcept {
  const Path* const path = find_path(from, to, now);
  return path != nullptr ? write_headers(*path, payload, length) : 0;
}

IpHost::Path* IpHost::find_path(const core::UdpAddress& from, const core::UdpAddress& to,
                                Nanos now) noexcept {
  Path& path = path_of(from, to);
  const bool ready =
      same(path.to, to) && same(path.from, from) && neighbours_.use(path.neighbour, path.generation, now);
  return ready || make_path(path, from, to, now) ? &path : nullptr;
}

IpHost::Path& IpHost::path_of(const core::UdpAddress& from, const core::UdpAddress& to) noexcept {
  // Family, port and the beginning of the address; its end; our port. Big-endian, so that what differs within
  // a network lies low, and a product carries it up (Knuth, "The Art of Computer Programming", volume 3,
  // section 6.4).
  uint64_t head, tail;
  std::memcpy(&head, &to, 8);
  std::memcpy(&tail, &to.ip[8], 8);
  const uint64_t address = __builtin_bswap64(head) + __builtin_bswap64(tail) + (uint64_t{from.port} << 16);
  const uint64_t mixed = address * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
  return paths_[mixed >> (64 - kPathBits)];
}

// The header's constant part, and the four fields that a datagram's length and bytes decide.
uint32_t IpHost::fill_in(const Path& path, uint8_t* payload, uint32_t length, UdpChecksum checksum,
                         bool ip_checksum) noexcept {
  using namespace frame;
  uint8_t* const udp = payload - kUdpBytes;
  const uint16_t udp_length = to_wire16(kUdpBytes + length);
  if (path.to.family == 4) {
    std::memcpy(payload - kV4Headers, path.header, kV4Headers);
    uint8_t* const ip = udp - kIpv4Bytes;
    const uint16_t total = to_wire16(kIpv4Bytes + kUdpBytes + length);
    store_raw16(ip + kIpv4TotalLength, total);
    if (ip_checksum) store_raw16(ip + kIpv4Checksum, checksum_of(uint64_t{path.ip_sum} + total));
  } else {
    std::memcpy(payload - kV6Headers, path.header, kV6Headers);
    store_raw16(udp - kIpv6Bytes + kIpv6PayloadLength, udp_length);
  }
  store_raw16(udp + kUdpLength, udp_length);
  if (checksum == UdpChecksum::kFull) {
    // The length is summed twice: in the header and in front of it. A sum of zero is sent as its other form
    // (RFC 768), because zero means none.
    const uint64_t sum = uint64_t{path.udp_sum} + 2u * udp_length + sum_words(payload, length);
    const uint16_t field = checksum_of(sum);
    store_raw16(udp + kUdpChecksum, field != 0 ? field : uint16_t{0xffff});
  } else if (checksum == UdpChecksum::kPseudoHeader) {
    store_raw16(udp + kUdpChecksum, fold_sum(uint64_t{path.pseudo_sum} + udp_length));
  }
  return path.headers;
}

// False: counted, and the path stays what it was.
bool IpHost::make_path(Path& path, const core::UdpAddress& from, const core::UdpAddress& to,
                       Nanos now) noexcept {
  Route route;
  IpHostCounter refusal{};
  if (!find_route(from, to, route, refusal)) {
    counters_.add(refusal);
    return false;
  }
  const uint32_t index = neighbours_.resolve(route.next_hop, route.source, now);
  if (index == NeighbourTable::kNone) {
    counters_.add(IpHostCounter::tx_table_full);
    return false;
  }
  const NeighbourTable::Entry& neighbour = neighbours_.at(index);
  if (!neighbour.usable()) {
    counters_.add(neighbour.state == NeighbourTable::State::kFailed ? IpHostCounter::tx_neighbour_failed
                                                                    : IpHostCounter::tx_unresolved);
    return false;
  }
  path.from = from;
  path.to = to;
  path.neighbour = index;
  path.generation = neighbour.generation;
  path.max_payload = max_payload(to);
  make_header(path, own_[route.source].address, neighbour.mac);
  return true;
}

void IpHost::make_header(Path& path, const core::UdpAddress& source, const MacAddress& mac) noexcept {
  using namespace frame;
  const bool v4 = path.to.family == 4;
  uint8_t* const ip = write_ethernet(path.header, mac, mac_, v4 ? kTypeIpv4 : kTypeIpv6);
  uint8_t* udp;
  uint64_t addresses;
  if (v4) {
    udp = write_ipv4(ip, 0, kProtocolUdp, source.ip, path.to.ip);
    store_raw16(ip + kIpv4TotalLength, 0);
    store_raw16(ip + kIpv4Checksum, 0);
    path.ip_sum = fold_sum(sum_words(ip, kIpv4Bytes));
    addresses = sum_words(ip + kIpv4Source, 8);
  } else {
    udp = write_ipv6(ip, 0, kProtocolUdp, kHopLimit, source.ip, path.to.ip);
    addresses = sum_words(ip + kIpv6Source, 32);
  }
  store_be16(udp + kUdpSource, path.from.port);
  store_be16(udp + kUdpDestination, path.to.port);
  store_raw16(udp + kUdpLength, 0);
  store_raw16(udp + kUdpChecksum, 0);
  path.pseudo_sum = fold_sum(addresses + to_wire16(kProtocolUdp));
  path.udp_sum = fold_sum(path.pseudo_sum + sum_words(udp, kUdpBytes));
  path.headers = static_cast<uint8_t>(v4 ? kV4Headers : kV6Headers);
}

}  // namespace trunkline::io
