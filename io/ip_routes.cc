// The addresses of an IP host, what is on their links, and what its options must be.
#include <cstring>
#include <string>

#include "core/check.h"
#include "io/ip_host.h"

namespace trunkline::io {
namespace {

using core::Error;
using core::Result;
using core::UdpAddress;

bool same_prefix(const uint8_t* a, const uint8_t* b, uint32_t bits) noexcept {
  const uint32_t whole = bits / 8;
  if (std::memcmp(a, b, whole) != 0) return false;
  return bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
}

// Of one host, and one that may be on a wire (RFC 1122 section 3.2.1.3, RFC 4291 section 2.4).
bool is_one_host(const UdpAddress& address) noexcept {
  if (address.family == 4) return address.ip[0] != 0 && address.ip[0] != 127 && address.ip[0] < 224;
  return address.family == 6 && !address.is_multicast() && !address.is_unspecified() &&
         !address.is_loopback();
}

// The last address of an IPv4 prefix is everybody on it, the first nobody (RFC 1122 section 3.2.1.3); a
// prefix of 31 bits has neither (RFC 3021).
bool is_edge_of_prefix(const uint8_t* ip, uint32_t prefix_length) noexcept {
  if (prefix_length > 30) return false;
  const uint32_t host_bits = UINT32_MAX >> prefix_length;
  const uint32_t host = frame::load_be32(ip) & host_bits;
  return host == 0 || host == host_bits;
}

std::string text_of(const UdpAddress& address) {
  return address.to_string();
}

Result<void> check_gateway(const IpHostOptions& options, const UdpAddress& gateway, uint16_t family,
                           const char* name) {
  if (gateway.family == 0) return {};
  const std::string what = std::string(name) + " " + text_of(gateway);
  if (gateway.family != family || gateway.port != 0 || !is_one_host(gateway))
    return Error{0,
                 what + ": must be the IPv" + std::to_string(family) + " address of one host, with port 0"};
  bool family_is_ours = false;
  for (const InterfaceAddress& own : options.addresses) {
    if (own.address == gateway) return Error{0, what + ": is an address of this host itself"};
    family_is_ours |= own.address.family == family;
  }
  if (!family_is_ours)
    return Error{0,
                 what + ": none of `addresses` is IPv" + std::to_string(family) + ", so it cannot be used"};
  return {};
}

Result<void> check_addresses(const IpHostOptions& options) {
  if (options.addresses.empty() || options.addresses.size() > IpHost::kMaxAddresses)
    return Error{0, "addresses: needs 1 to " + std::to_string(IpHost::kMaxAddresses) + " of them, has " +
                        std::to_string(options.addresses.size())};
  for (size_t i = 0; i < options.addresses.size(); ++i) {
    const InterfaceAddress& own = options.addresses[i];
    const std::string what = "addresses: " + text_of(own.address);
    if (!is_one_host(own.address) || own.address.port != 0)
      return Error{0, what + ": must be the address of one host, with port 0"};
    const bool all = own.prefix_length == 0 && !options.resolved_elsewhere;
    if (all || own.prefix_length > (own.address.family == 4 ? 32 : 128))
      return Error{0, what + ": prefix length " + std::to_string(own.prefix_length) + " is out of range"};
    for (size_t k = 0; k < i; ++k) {
      if (options.addresses[k].address == own.address) return Error{0, what + ": is there twice"};
    }
  }
  return {};
}

Result<void> check_range(const char* name, uint32_t value, uint32_t least, uint32_t most) {
  if (value >= least && value <= most) return {};
  return Error{0, std::string(name) + " " + std::to_string(value) + ": must be " + std::to_string(least) +
                      " to " + std::to_string(most)};
}

}  // namespace

Result<void> IpHost::check(const IpHostOptions& options) {
  if (!options.mac.is_station()) return Error{0, "mac: must be the address of one station"};
  const Result<void> results[] = {
      check_addresses(options),
      check_gateway(options, options.gateway_v4, 4, "gateway_v4"),
      check_gateway(options, options.gateway_v6, 6, "gateway_v6"),
      check_range("mtu", options.mtu, kMinMtu, kMaxMtu),
      check_range("max_neighbours", options.max_neighbours, 1, kMaxNeighbours),
      check_range("max_held", options.max_held, 0, kMaxHeld),
  };
  for (const Result<void>& result : results) {
    if (!result) return result.error();
  }
  return {};
}

IpHost::IpHost(const IpHostOptions& options)
    : mac_(options.mac),
      udp_v6_(options.udp_checksum_offload ? UdpChecksum::kPseudoHeader : UdpChecksum::kFull),
      verify_udp_(options.verify_udp_checksum),
      resolved_elsewhere_(options.resolved_elsewhere),
      ip_checksum_(!options.ip_checksum_offload),
      mtu_(options.mtu),
      frame_bytes_(frame::kEthernetBytes + options.mtu),
      gateway_v4_(options.gateway_v4),
      gateway_v6_(options.gateway_v6),
      neighbours_(options.max_neighbours, options.hash_key, counters_),
      paths_(new Path[1u << kPathBits]),
      held_(new Held[options.max_held]),
      held_bytes_(new uint8_t[size_t{options.max_held} * options.mtu]),
      max_held_(options.max_held),
      answers_(new uint8_t[size_t{kAnswers} * frame_bytes_]),
      share_neighbours_(options.share_neighbours) {
  TL_CHECK(check(options).has_value());
  udp_v4_ = options.udp_checksum_ipv4 ? udp_v6_ : UdpChecksum::kNone;
  if (resolved_elsewhere_) announce_due_ = core::kNever;
  for (const InterfaceAddress& address : options.addresses) {
    Own& own = own_[own_count_++];
    own.address = address.address;
    own.prefix_length = address.prefix_length;
    if (address.address.family == 4) {
      own4_[own4_count_++] = frame::load_raw32(address.address.ip);
    } else {
      frame::solicited_node(own.address.ip, own.group);
      own.group_mac = frame::group_mac(own.group);
    }
  }
}

bool IpHost::is_ours4(const uint8_t* ip) const noexcept {
  const uint32_t address = frame::load_raw32(ip);
  for (uint32_t i = 0; i < own4_count_; ++i) {
    if (own4_[i] == address) return true;
  }
  return false;
}

bool IpHost::is_ours6(const uint8_t* ip) const noexcept {
  for (uint32_t i = 0; i < own_count_; ++i) {
    if (own_[i].address.family == 6 && std::memcmp(own_[i].address.ip, ip, 16) == 0) return true;
  }
  return false;
}

// RFC 4291 section 2.8: all nodes, and the solicited-node group of each address.
bool IpHost::is_group_of_ours6(const uint8_t* ip) const noexcept {
  if (std::memcmp(ip, frame::kAllNodes, 16) == 0) return true;
  for (uint32_t i = 0; i < own_count_; ++i) {
    if (own_[i].address.family == 6 && std::memcmp(own_[i].group, ip, 16) == 0) return true;
  }
  return false;
}

bool IpHost::is_group_of_ours(const MacAddress& mac) const noexcept {
  if (own4_count_ == own_count_) return false;
  if (mac == frame::group_mac(frame::kAllNodes)) return true;
  for (uint32_t i = 0; i < own_count_; ++i) {
    if (own_[i].address.family == 6 && own_[i].group_mac == mac) return true;
  }
  return false;
}

bool IpHost::is_on_link(const UdpAddress& address) const noexcept {
  UdpAddress next_hop;
  return next_hop_of(address, next_hop) && frame::same(next_hop, address);
}

// On the link by a prefix of ours, else the gateway of the family (RFC 1122 section 3.3.1.1, RFC 4861 section
// 5.2). A gateway is always on the link, and so is what is link-local.
bool IpHost::next_hop_of(const UdpAddress& to, UdpAddress& next_hop) const noexcept {
  if (!is_one_host(to)) return false;
  if (to.family == 4 ? is_ours4(to.ip) : is_ours6(to.ip)) return false;
  const UdpAddress& gateway = to.family == 4 ? gateway_v4_ : gateway_v6_;
  next_hop = to.family == 4 ? frame::address4(to.ip) : frame::address6(to.ip);
  if (frame::same(next_hop, gateway) || (to.family == 6 && frame::is_link_local(to.ip))) return true;
  for (uint32_t i = 0; i < own_count_; ++i) {
    const Own& own = own_[i];
    if (own.address.family != to.family || !same_prefix(own.address.ip, to.ip, own.prefix_length)) continue;
    return to.family == 6 || !is_edge_of_prefix(to.ip, own.prefix_length);
  }
  next_hop = gateway;
  return gateway.family != 0;
}

// The address that the datagram names, or for an unspecified one the first on the next hop's link, else the
// first of the family: RFC 6724's rules as far as they tell apart what a host of one link can have.
bool IpHost::choose_source(const UdpAddress& from, const UdpAddress& next_hop,
                           uint8_t& source) const noexcept {
  if (from.family != next_hop.family) return false;
  const bool any = from.is_unspecified();
  bool found = false;
  for (uint32_t i = 0; i < own_count_; ++i) {
    const Own& own = own_[i];
    if (own.address.family != from.family) continue;
    const bool best = any ? same_prefix(own.address.ip, next_hop.ip, own.prefix_length)
                          : std::memcmp(own.address.ip, from.ip, 16) == 0;
    if (best || (any && !found)) source = static_cast<uint8_t>(i);
    if (best) return true;
    found = true;
  }
  return any && found;
}

// False: `refusal` says why.
bool IpHost::find_route(const UdpAddress& from, const UdpAddress& to, Route& route,
                        IpHostCounter& refusal) const noexcept {
  if (!next_hop_of(to, route.next_hop)) {
    refusal = IpHostCounter::tx_no_route;
    return false;
  }
  if (!choose_source(from, route.next_hop, route.source)) {
    refusal = IpHostCounter::tx_bad_source;
    return false;
  }
  return true;
}

}  // namespace trunkline::io
