// See rtnetlink.h. Order of this file: reading, asking, telling.
#include "io/dpdk/steering/rtnetlink.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>
#include <cstdio>

namespace trunkline::io {
namespace {

using core::UdpAddress;

UdpAddress address_of(uint8_t family, std::span<const uint8_t> bytes) {
  UdpAddress address;
  const size_t size = family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
  if (size == 0 || bytes.size() < size) return address;
  address.family = family == AF_INET ? 4 : 6;
  std::copy_n(bytes.begin(), size, address.ip);
  return address;
}

uint8_t kernel_family(const UdpAddress& address) {
  return address.family == 4 ? AF_INET : AF_INET6;
}

void add_address(NetlinkRequest& request, uint16_t type, const UdpAddress& address) {
  request.add(type, address.ip, address.family == 4 ? 4 : 16);
}

bool read_mac(std::span<const uint8_t> bytes, MacAddress& out) {
  if (bytes.size() != out.bytes.size()) return false;
  out = MacAddress::at(bytes.data());
  return true;
}

Route read_route(const nlmsghdr& message, const rtmsg& route, const UdpAddress& destination) {
  const NetlinkAttributes<RTA_VIA> attributes(message, &route);
  Route read;
  read.type = route.rtm_type;
  attributes.read(RTA_OIF, read.interface_index);
  read.source = address_of(route.rtm_family, attributes.bytes(RTA_PREFSRC));
  read.next_hop = address_of(route.rtm_family, attributes.bytes(RTA_GATEWAY));
  const auto via = attributes.bytes(RTA_VIA);  // a 16-bit family in host order, then the address
  uint16_t family = 0;
  if (via.size() > sizeof family) {
    std::memcpy(&family, via.data(), sizeof family);
    read.next_hop = address_of(static_cast<uint8_t>(family), via.subspan(sizeof family));
  }
  if (read.next_hop.family == 0) {
    read.next_hop = destination;
    read.next_hop.port = 0;
  }
  return read;
}

}  // namespace

std::string to_string(const MacAddress& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac.bytes[0], mac.bytes[1], mac.bytes[2],
                mac.bytes[3], mac.bytes[4], mac.bytes[5]);
  return text;
}

std::optional<Link> read_link(const nlmsghdr& message, int interface_index) {
  const auto* link = fixed_part<ifinfomsg>(message);
  if (link == nullptr || link->ifi_index != interface_index) return std::nullopt;
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return std::nullopt;
  // A bridge speaks of its ports in the same words; what it says is not about the interface itself.
  if (link->ifi_family != AF_UNSPEC) return std::nullopt;
  const NetlinkAttributes<IFLA_MTU> attributes(message, link);
  Link read;
  read.index = interface_index;
  read.ethernet = link->ifi_type == ARPHRD_ETHER;
  read.gone = message.nlmsg_type == RTM_DELLINK;
  read.up = !read.gone && (link->ifi_flags & IFF_UP) != 0 && (link->ifi_flags & IFF_RUNNING) != 0;
  read_mac(attributes.bytes(IFLA_ADDRESS), read.mac);
  attributes.read(IFLA_MTU, read.mtu_bytes);
  return read;
}

std::optional<LocalAddress> read_address(const nlmsghdr& message, int interface_index) {
  const auto* fixed = fixed_part<ifaddrmsg>(message);
  if (fixed == nullptr || static_cast<int>(fixed->ifa_index) != interface_index) return std::nullopt;
  if (message.nlmsg_type != RTM_NEWADDR && message.nlmsg_type != RTM_DELADDR) return std::nullopt;
  const NetlinkAttributes<IFA_FLAGS> attributes(message, fixed);
  LocalAddress read;
  // Of a point-to-point link IFA_ADDRESS is the other end.
  read.address = address_of(fixed->ifa_family, attributes.bytes(IFA_LOCAL));
  if (read.address.family == 0) read.address = address_of(fixed->ifa_family, attributes.bytes(IFA_ADDRESS));
  if (read.address.family == 0) return std::nullopt;
  uint32_t flags = fixed->ifa_flags;
  attributes.read(IFA_FLAGS, flags);
  read.prefix_bits = fixed->ifa_prefixlen;
  read.usable =
      (flags & IFA_F_DADFAILED) == 0 && ((flags & IFA_F_TENTATIVE) == 0 || (flags & IFA_F_OPTIMISTIC) != 0);
  return read;
}

std::optional<Neighbour> read_neighbour(const nlmsghdr& message, int interface_index) {
  const auto* fixed = fixed_part<ndmsg>(message);
  if (fixed == nullptr || fixed->ndm_ifindex != interface_index) return std::nullopt;
  if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) return std::nullopt;
  if ((fixed->ndm_flags & NTF_PROXY) != 0) return std::nullopt;  // answered by us for others
  const NetlinkAttributes<NDA_LLADDR> attributes(message, fixed);
  Neighbour read;
  read.address = address_of(fixed->ndm_family, attributes.bytes(NDA_DST));
  if (read.address.family == 0) return std::nullopt;  // a bridge's forwarding entry
  if (message.nlmsg_type == RTM_DELNEIGH) return read;
  read.state = fixed->ndm_state;
  read.has_mac = read_mac(attributes.bytes(NDA_LLADDR), read.mac);
  return read;
}

int ask_link(NetlinkSocket& socket, int interface_index, Link& out) {
  ifinfomsg fixed{};
  fixed.ifi_index = interface_index;
  NetlinkRequest request(RTM_GETLINK, 0, fixed);
  return socket.ask(request, [&](const nlmsghdr& message) {
    if (const auto link = read_link(message, interface_index)) out = *link;
  });
}

int ask_addresses(NetlinkSocket& socket, int interface_index, std::vector<LocalAddress>& out) {
  int error = EINTR;
  // A list that changed while it was read is read again; a host whose addresses change that fast has other
  // worries.
  for (int tries = 0; tries < 4 && error == EINTR; ++tries) {
    out.clear();
    ifaddrmsg fixed{};
    fixed.ifa_index = static_cast<uint32_t>(interface_index);
    NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP, fixed);
    error = socket.ask(request, [&](const nlmsghdr& message) {
      if (const auto address = read_address(message, interface_index)) out.push_back(*address);
    });
  }
  return error;
}

int ask_route(NetlinkSocket& socket, const UdpAddress& destination, int via, Route& out) {
  rtmsg fixed{};
  fixed.rtm_family = kernel_family(destination);
  fixed.rtm_dst_len = destination.family == 4 ? 32 : 128;
  NetlinkRequest request(RTM_GETROUTE, 0, fixed);
  add_address(request, RTA_DST, destination);
  if (via != 0) request.add(RTA_OIF, via);
  bool answered = false;
  const int error = socket.ask(request, [&](const nlmsghdr& message) {
    const auto* route = fixed_part<rtmsg>(message);
    if (message.nlmsg_type != RTM_NEWROUTE || route == nullptr) return;
    out = read_route(message, *route, destination);
    answered = true;
  });
  return error == 0 && !answered ? EPROTO : error;
}

int ask_neighbour(NetlinkSocket& socket, int interface_index, const UdpAddress& address, Neighbour& out) {
  out = {};
  out.address = address;
  ndmsg fixed{};
  fixed.ndm_family = kernel_family(address);
  fixed.ndm_ifindex = interface_index;
  NetlinkRequest request(RTM_GETNEIGH, 0, fixed);
  add_address(request, NDA_DST, address);
  const int error = socket.ask(request, [&](const nlmsghdr& message) {
    if (const auto neighbour = read_neighbour(message, interface_index)) out = *neighbour;
  });
  return error == ENOENT ? 0 : error;
}

int use_neighbour(NetlinkSocket& socket, int interface_index, const UdpAddress& address) {
  ndmsg fixed{};
  fixed.ndm_family = kernel_family(address);
  fixed.ndm_ifindex = interface_index;
  fixed.ndm_flags = NTF_USE;  // the state stays what it is; NUD_NONE for a new entry
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, fixed);
  add_address(request, NDA_DST, address);
  return socket.tell(request);
}

}  // namespace trunkline::io
