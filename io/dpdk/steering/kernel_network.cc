// See kernel_network.h. Order of this file: opening, the user's calls, what the kernel tells, a destination's
// life.
#include "io/dpdk/steering/kernel_network.h"

#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trunkline::io {
namespace {

using core::Error;
using core::kNever;
using core::Result;
using core::UdpAddress;

// The kernel's three probes take 3.1 s, ours is over after 3: the rest, and some jitter.
constexpr Nanos kOlderQuestion = core::from_ms(250);

std::string ip_text(const UdpAddress& address) {
  std::string text = address.to_string();  // "192.0.2.1:0", "[::1]:0"
  text.resize(text.rfind(':'));
  return address.family == 6 ? text.substr(1, text.size() - 2) : text;
}

bool is_link_local(const UdpAddress& address) {
  return address.family == 6 && address.ip[0] == 0xfe &&
         (address.ip[1] & 0xc0) == 0x80;  // fe80::/10, RFC 4291
}

}  // namespace

const char* reach_name(Reach reach) noexcept {
  switch (reach) {
    case Reach::kNoRoute:
      return "no route";
    case Reach::kResolving:
      return "resolving";
    case Reach::kReachable:
      return "reachable";
    case Reach::kFailed:
      return "failed";
  }
  return "?";
}

Result<void> KernelNetwork::open(const std::string& interface) {
  interface_ = interface;
  const auto failed = [&](const std::string& why) {
    return Error{0, "network of " + interface + ": " + why};
  };
  const auto index = static_cast<int>(::if_nametoindex(interface.c_str()));
  if (index == 0)
    return failed("there is no such interface in this network namespace; 'ip link' lists those there are");
  int error = questions_.open();
  if (error == 0) error = changes_.open();
  // Before anything is read, so that no change falls between. The last three are refined routing: a kernel
  // that lacks one has nothing to tell about it.
  for (const unsigned group : {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                               RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE})
    if (error == 0) error = changes_.follow(group);
  if (error != 0) return failed(std::string("no netlink socket: ") + std::strerror(error));
  for (const unsigned group : {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP}) changes_.follow(group);
  const int bytes = 1 << 20;  // a flap of some thousand routes; beyond that everything is read anew
  if (setsockopt(changes_.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
    setsockopt(changes_.fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);

  link_.index = index;
  if ((error = ask_link(questions_, index, link_)) == 0) error = ask_addresses(questions_, index, addresses_);
  if (error != 0) return failed(std::string("the kernel does not describe it: ") + std::strerror(error));
  if (!link_.ethernet)
    return failed("it is not Ethernet; a port beside the kernel needs one with MAC addresses");
  events_.reserve(kMaxDestinations + 3);
  return {};
}

KernelNetwork::Entry* KernelNetwork::find(const UdpAddress& destination) noexcept {
  for (Entry& entry : entries_)
    if (entry.in_use && entry.now.address == destination) return &entry;
  return nullptr;
}

Result<Destination> KernelNetwork::resolve(const UdpAddress& destination, Nanos now) {
  UdpAddress host = destination;
  host.port = 0;
  if ((host.family != 4 && host.family != 6) || host.is_multicast() || host.is_unspecified())
    return Error{0,
                 "'" + destination.to_string() + "' is no destination; give the unicast address of a host"};
  Entry* entry = find(host);
  if (entry == nullptr) {
    const auto free =
        std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return !e.in_use; });
    if (free == entries_.end())
      return Error{0, "network of " + interface_ + ": " + std::to_string(kMaxDestinations) +
                          " destinations are in use; forget one before " + ip_text(host) + " is taken"};
    *free = {};
    free->in_use = true;
    free->now.address = host;
    entry = &*free;
  }
  std::string why;
  if (entry->now.reach == Reach::kNoRoute) why = look_up_route(*entry, now);
  entry->told = entry->now;
  if (entry->now.reach == Reach::kNoRoute) return Error{0, "network of " + interface_ + ": " + why};
  return entry->now;
}

void KernelNetwork::forget(const UdpAddress& destination) noexcept {
  UdpAddress host = destination;
  host.port = 0;
  if (Entry* entry = find(host)) entry->in_use = false;
}

Nanos KernelNetwork::next_due() const noexcept {
  Nanos due = routes_due_;
  for (const Entry& entry : entries_)
    if (entry.in_use) due = std::min({due, entry.deadline, entry.ask_again});
  return due;
}

std::span<const NetworkEvent> KernelNetwork::poll(Nanos now) {
  events_.clear();
  link_changed_ = addresses_changed_ = routes_changed_ = false;
  const int state = changes_.drain(kMessagesPerPoll, [&](const nlmsghdr& message) { take(message, now); });
  if (state == ENOBUFS) read_all_anew(now);
  if (addresses_changed_) read_link_and_addresses();
  // Addresses and links take routes along, and do not always say so.
  if (link_changed_ || addresses_changed_ || routes_changed_)
    routes_due_ = std::min(routes_due_, std::max(now, routes_read_ + kRoutePause));
  const bool look = routes_due_ <= now;
  if (look) {
    routes_due_ = kNever;
    routes_read_ = now;
  }
  for (Entry& entry : entries_) {
    if (!entry.in_use) continue;
    if (look) look_up_route(entry, now);
    if (link_changed_ && link_.up && entry.now.reach == Reach::kFailed) entry.ask_again = now;
    do_what_is_due(entry, now);
    if (entry.now == entry.told) continue;
    entry.told = entry.now;
    events_.push_back({NetworkChange::kDestination, entry.now});
  }
  if (link_changed_) events_.push_back({NetworkChange::kLink, {}});
  if (addresses_changed_) events_.push_back({NetworkChange::kAddresses, {}});
  if (routes_changed_) events_.push_back({NetworkChange::kRoutes, {}});
  return events_;
}

void KernelNetwork::take(const nlmsghdr& message, Nanos now) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (const auto link = read_link(message, link_.index); link && *link != link_) {
        link_ = *link;
        link_changed_ = true;
      }
      return;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      // The list is read anew: cheaper to get right than to follow.
      if (read_address(message, link_.index)) addresses_changed_ = true;
      return;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (const auto neighbour = read_neighbour(message, link_.index)) {
        for (Entry& entry : entries_)
          if (entry.in_use && entry.now.next_hop == neighbour->address) apply(entry, *neighbour, now);
      }
      return;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const auto* route = fixed_part<rtmsg>(message);
      if (route != nullptr && (route->rtm_flags & RTM_F_CLONED) == 0) routes_changed_ = true;
      return;
    }
    case RTM_NEWRULE:
    case RTM_DELRULE:
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      routes_changed_ = true;
      return;
    default:
      return;
  }
}

void KernelNetwork::read_all_anew(Nanos now) {
  link_changed_ = addresses_changed_ = routes_changed_ = true;
  for (Entry& entry : entries_)
    if (entry.in_use && entry.now.next_hop.family != 0) look_up_neighbour(entry, now);
}

void KernelNetwork::read_link_and_addresses() {
  // What cannot be read stays as it was: the interface has gone, which the link's message says.
  Link link;
  std::vector<LocalAddress> addresses;
  if (ask_link(questions_, link_.index, link) == 0 && link.index != 0) {
    link_changed_ = link_changed_ || link != link_;
    link_ = link;
  }
  if (ask_addresses(questions_, link_.index, addresses) == 0) addresses_ = std::move(addresses);
}

std::string KernelNetwork::no_route(Entry& entry, std::string why) const {
  const UdpAddress address = entry.now.address;
  entry.now = {};
  entry.now.address = address;
  entry.deadline = entry.ask_again = kNever;
  return why;
}

std::string KernelNetwork::look_up_route(Entry& entry, Nanos now) {
  const std::string name = ip_text(entry.now.address);
  Route route;
  const int error =
      ask_route(questions_, entry.now.address, is_link_local(entry.now.address) ? link_.index : 0, route);
  if (error != 0)
    return no_route(entry, name + " has no route (" + std::strerror(error) +
                               "); add one, as by 'ip route add " + name + " via GATEWAY dev " + interface_ +
                               "'");
  if (route.type == RTN_LOCAL) return no_route(entry, name + " is an address of this host; give the peer's");
  if (route.type != RTN_UNICAST)
    return no_route(entry, name + " is not the address of one host; give the peer's");
  if (route.interface_index != link_.index) {
    char other[IF_NAMESIZE] = "another";
    ::if_indextoname(static_cast<unsigned>(route.interface_index), other);
    return no_route(entry, name + " is reached by " + other + " ('ip route get " + name +
                               "'); open the port on " + other + ", or change the route");
  }
  entry.now.source = route.source;
  if (entry.now.next_hop == route.next_hop && entry.now.reach != Reach::kNoRoute) return "";
  entry.now.next_hop = route.next_hop;
  entry.now.reach = Reach::kResolving;
  entry.now.mac = {};
  entry.deadline = now + kResolveLimit;
  entry.ask_again = kNever;
  look_up_neighbour(entry, now);
  return "";
}

void KernelNetwork::look_up_neighbour(Entry& entry, Nanos now) {
  Neighbour neighbour;
  if (ask_neighbour(questions_, link_.index, entry.now.next_hop, neighbour) != 0) neighbour.state = NUD_NONE;
  // A failure of before is not an answer to this question.
  if (neighbour.state == NUD_FAILED) neighbour.state = NUD_NONE;
  apply(entry, neighbour, now);
}

void KernelNetwork::apply(Entry& entry, const Neighbour& neighbour, Nanos now) {
  if (neighbour.valid()) {
    entry.now.reach = Reach::kReachable;
    entry.now.mac = neighbour.mac;
    entry.deadline = entry.ask_again = kNever;
    if (neighbour.state == NUD_STALE) use_neighbour(questions_, link_.index, entry.now.next_hop);
    return;
  }
  if (neighbour.state == NUD_INCOMPLETE) {
    // Being asked for already, and our deadline stands. When that has passed (the kernel waits a little
    // longer than we do) it is the end of an older question, and only after it can a new one be asked.
    if (entry.now.reach == Reach::kFailed) entry.ask_again = now + kOlderQuestion;
    return;
  }
  // Deleted, or confirmed no longer: perhaps another machine has taken the address over, so everybody is
  // asked.
  if (neighbour.state != NUD_FAILED || entry.now.reach == Reach::kReachable)
    start_resolving(entry, now);
  else
    fail(entry, now);
}

void KernelNetwork::start_resolving(Entry& entry, Nanos now) {
  use_neighbour(questions_, link_.index, entry.now.next_hop);  // refused: the deadline says so
  if (entry.now.reach == Reach::kFailed) return;               // stays that until it is answered
  entry.now.reach = Reach::kResolving;
  if (entry.deadline == kNever) entry.deadline = now + kResolveLimit;
}

void KernelNetwork::fail(Entry& entry, Nanos now) const {
  entry.now.reach = Reach::kFailed;
  entry.now.mac = {};
  entry.deadline = kNever;
  entry.ask_again = std::min(entry.ask_again, now + kAskAgain);
}

void KernelNetwork::do_what_is_due(Entry& entry, Nanos now) {
  if (entry.deadline <= now) fail(entry, now);
  if (entry.ask_again <= now) {
    entry.ask_again = now + kAskAgain;
    look_up_neighbour(entry, now);
  }
}

}  // namespace trunkline::io
