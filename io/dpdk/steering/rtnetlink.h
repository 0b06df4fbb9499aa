// What the kernel says about links, addresses, routes and neighbours, as plain values; and the questions to
// ask.
//
// Messages of another kind, family or interface, and those that are too short, read as nothing. Questions
// return 0 or the kernel's errno; a socket is used by one thread at a time. Addresses are UdpAddress with
// port 0.
#pragma once

#include <linux/neighbour.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/udp_address.h"
#include "io/dpdk/steering/netlink.h"
#include "io/mac_address.h"

namespace trunkline::io {

// "02:00:5e:10:00:01"
std::string to_string(const MacAddress& mac);

struct Link {
  int index = 0;
  bool ethernet = false;
  bool up = false;  // administratively, and with a carrier
  bool gone = false;
  MacAddress mac{};
  uint32_t mtu_bytes = 0;
  bool operator==(const Link&) const = default;
};

struct LocalAddress {
  core::UdpAddress address;
  uint8_t prefix_bits = 0;
  // Duplicate address detection is over and found none (RFC 4862): it may be used.
  bool usable = false;
  bool operator==(const LocalAddress&) const = default;
};

struct Neighbour {
  core::UdpAddress address;
  uint16_t state = NUD_NONE;  // NUD_...; NUD_NONE also when the kernel has deleted it
  bool has_mac = false;
  MacAddress mac{};
  // Its MAC can be used: also of an entry that is old (STALE) or being confirmed (DELAY, PROBE).
  bool valid() const noexcept {
    return has_mac &&
           (state & (NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP | NUD_STALE | NUD_DELAY | NUD_PROBE)) != 0;
  }
};

struct Route {
  int interface_index = 0;
  uint8_t type = 0;           // RTN_UNICAST, RTN_LOCAL, ...
  core::UdpAddress next_hop;  // the gateway, of either family (RFC 5549); the destination itself when on link
  core::UdpAddress source;    // what the kernel would send from; family 0: it does not say
};

// Reading a message; nothing when it is about something else.
std::optional<Link> read_link(const nlmsghdr& message, int interface_index);
std::optional<LocalAddress> read_address(const nlmsghdr& message, int interface_index);
std::optional<Neighbour> read_neighbour(const nlmsghdr& message, int interface_index);

int ask_link(NetlinkSocket& socket, int interface_index, Link& out);
int ask_addresses(NetlinkSocket& socket, int interface_index, std::vector<LocalAddress>& out);
// `via`: for a link-local destination, which alone names no interface; 0 otherwise.
int ask_route(NetlinkSocket& socket, const core::UdpAddress& destination, int via, Route& out);
// No such neighbour: 0, with state NUD_NONE.
int ask_neighbour(NetlinkSocket& socket, int interface_index, const core::UdpAddress& address,
                  Neighbour& out);

// Tells the kernel that the neighbour is about to be used, as a datagram of its own would (NTF_USE), and so
// to find out or confirm its MAC. Needs CAP_NET_ADMIN. Seen on Linux 6.18, with the default timers:
//   none, FAILED -> INCOMPLETE  and a broadcast at once; then REACHABLE within a round trip, or FAILED after
//   3 s STALE        -> DELAY       no message; after 5 s (delay_first_probe_time) PROBE, then REACHABLE or
//   FAILED REACHABLE, INCOMPLETE, DELAY, PROBE and PERMANENT stay as they are
// REACHABLE, STALE, PROBE, FAILED and a deletion are told to followers; INCOMPLETE and DELAY are not.
int use_neighbour(NetlinkSocket& socket, int interface_index, const core::UdpAddress& address);

}  // namespace trunkline::io
