// KernelNetwork: the kernel's network as a port beside it needs it: the interface's own MAC, MTU and
// addresses, and for each destination in use the MAC to which its datagrams go.
//
// The idea: routes and neighbours stay the kernel's, with all its tools and daemons. A destination is looked
// up once (route, then the next hop's neighbour entry) and then followed: what the kernel tells about
// neighbours, routes, addresses and the link is turned into one event per destination whose answer has
// changed. As the kernel does not see our traffic, its entries would grow old and be forgotten; so whenever
// one of a destination in use does, the kernel is told that it is used (use_neighbour), and confirms it by an
// ARP or neighbour solicitation every half minute or so.
//
// An entry that grows old keeps its MAC, as in the kernel: media goes on while it is confirmed. If the kernel
// drops messages (ENOBUFS), everything is read anew.
//
// Owned by one thread that may block for some milliseconds (kAnswerLimit at the very worst): never a data
// core, nor the mesh thread. That thread polls fd() and sleeps until next_due() at most. After open() only a
// burst of more events than ever before allocates. Needs CAP_NET_ADMIN, for use_neighbour. Some 100 KB: not
// for the stack.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/time.h"
#include "core/udp_address.h"
#include "io/dpdk/steering/rtnetlink.h"

namespace trunkline::io {

using core::Nanos;

enum class Reach : uint8_t {
  kNoRoute,    // none, or by another interface; resolve() says it in words
  kResolving,  // the next hop is being asked for; `mac` is the last one known, or zero
  kReachable,  // `mac` is the next hop's
  kFailed,  // no answer within kResolveLimit; it is asked again each kAskAgain, and when the link comes back
};
const char* reach_name(Reach reach) noexcept;

// A resolution that has not ended by then has failed.
inline constexpr Nanos kResolveLimit = core::from_s(3);
inline constexpr Nanos kAskAgain = core::from_s(5);
// A change of routes is looked at at once, the next one not before this has passed: a routing daemon that
// starts changes thousands.
inline constexpr Nanos kRoutePause = core::from_ms(100);
inline constexpr size_t kMaxDestinations = 256;

// Addresses have port 0.
struct Destination {
  core::UdpAddress address;
  Reach reach = Reach::kNoRoute;
  core::UdpAddress next_hop;  // the destination itself when it is on the link; family 0 without a route
  core::UdpAddress source;    // the address that the kernel would send from; family 0: unknown
  MacAddress mac{};
  bool operator==(const Destination&) const = default;
};

enum class NetworkChange : uint8_t {
  kDestination,  // `destination`, as it is now
  kLink,         // link(): MAC, MTU, up, gone
  kAddresses,    // addresses()
  kRoutes,       // some route of the host changed; destinations that it concerns have events of their own
};
struct NetworkEvent {
  NetworkChange change = NetworkChange::kRoutes;
  Destination destination;
};

class KernelNetwork {
 public:
  // In the calling thread's network namespace, once. Errors: no such interface, not Ethernet, no permission.
  core::Result<void> open(const std::string& interface);

  // As of the last poll().
  const Link& link() const noexcept { return link_; }
  std::span<const LocalAddress> addresses() const noexcept { return addresses_; }

  // Takes the destination into use, or only tells about one that is; its port is ignored. The answer may
  // still be kResolving; an event tells how that ended, and of every change afterwards. An error: no address
  // that can be looked up, or 256 are in use; or it has no route by this interface, in which case it is in
  // use nevertheless and an event tells when it has one.
  core::Result<Destination> resolve(const core::UdpAddress& destination, Nanos now);
  // No events of it from now on. Nothing when it is not in use.
  void forget(const core::UdpAddress& destination) noexcept;

  // Readable when poll() has something to read.
  int fd() const noexcept { return changes_.fd(); }
  // When poll() has something to do by itself; kNever when nothing is due.
  Nanos next_due() const noexcept;
  // Reads what has arrived (at most kMessagesPerPoll datagrams; fd() then stays readable) and does what is
  // due. What has changed is valid until the next call; each destination is in it once at most.
  std::span<const NetworkEvent> poll(Nanos now);

 private:
  static constexpr uint32_t kMessagesPerPoll = 256;

  struct Entry {
    Destination now;
    Destination told;                // as the user knows it
    Nanos deadline = core::kNever;   // of a resolution
    Nanos ask_again = core::kNever;  // after a failure
    bool in_use = false;
  };

  Entry* find(const core::UdpAddress& destination) noexcept;
  void take(const nlmsghdr& message, Nanos now);
  void read_all_anew(Nanos now);
  void read_link_and_addresses();
  // These return the reason when the destination has no route by our interface.
  std::string look_up_route(Entry& entry, Nanos now);
  std::string no_route(Entry& entry, std::string why) const;
  void look_up_neighbour(Entry& entry, Nanos now);
  void apply(Entry& entry, const Neighbour& neighbour, Nanos now);
  void start_resolving(Entry& entry, Nanos now);
  void fail(Entry& entry, Nanos now) const;
  void do_what_is_due(Entry& entry, Nanos now);

  std::string interface_;
  Link link_;
  std::vector<LocalAddress> addresses_;
  std::array<Entry, kMaxDestinations> entries_;
  std::vector<NetworkEvent> events_;
  bool link_changed_ = false;
  bool addresses_changed_ = false;
  bool routes_changed_ = false;      // to be told
  Nanos routes_due_ = core::kNever;  // when routes are to be looked up again
  Nanos routes_read_{};              // when they last were
  NetlinkSocket questions_;
  NetlinkSocket changes_;
};

}  // namespace trunkline::io
