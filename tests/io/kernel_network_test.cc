// KernelNetwork against the kernel's own tables, in two network namespaces: what it reads, how a resolution
// ends, and which changes it sees. Waits are bounded and real; only where a pause of its own would be waited
// for the time is an argument.
#include "io/dpdk/steering/kernel_network.h"

#include <net/if.h>
#include <time.h>

#include <functional>
#include <memory>

#include "tests/io/namespace_world.h"

namespace trunkline::io {
namespace {

using core::from_ms;
using core::from_s;

Nanos clock_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return from_s(time.tv_sec) + core::from_ns(time.tv_nsec);
}

class KernelNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = world_.make(); !why.empty()) GTEST_SKIP() << why;
    near_.emplace(world_.near());
    const auto opened = network_->open("tl0");
    ASSERT_TRUE(opened) << opened.error().text;
  }

  void far(const std::string& command) {
    const Inside there(world_.far());
    run(command);
  }
  // As a user drives it, until an event is `wanted`; nothing when none is within the limit.
  std::optional<NetworkEvent> until(Nanos limit, const std::function<bool(const NetworkEvent&)>& wanted) {
    const Nanos end = clock_now() + limit;
    for (;;) {
      std::optional<NetworkEvent> found;
      for (const NetworkEvent& event : network_->poll(clock_now()))
        if (!found && wanted(event)) found = event;
      const Nanos now = clock_now();
      if (found || now >= end) return found;
      const Nanos wait = std::min(end, network_->next_due()) - now;
      readable(network_->fd(), static_cast<int>(std::max<int64_t>(0, wait.ms()) + 1));
    }
  }
  std::optional<NetworkEvent> until_reach(const UdpAddress& destination, Reach reach,
                                          Nanos limit = from_s(10)) {
    return until(limit, [&](const NetworkEvent& e) {
      return e.change == NetworkChange::kDestination && e.destination.address == destination &&
             e.destination.reach == reach;
    });
  }
  std::optional<NetworkEvent> until_change(NetworkChange change) {
    return until(from_s(5), [&](const NetworkEvent& e) { return e.change == change; });
  }
  // The MAC of the far end as `ip` tells it.
  MacAddress far_mac() {
    const Inside there(world_.far());
    Link link;
    NetlinkSocket socket;
    EXPECT_EQ(socket.open(), 0);
    EXPECT_EQ(ask_link(socket, static_cast<int>(::if_nametoindex("tl1")), link), 0);
    return link.mac;
  }
  Destination reachable(const char* text) {
    const UdpAddress destination = at(text);
    const auto state = network_->resolve(destination, clock_now());
    EXPECT_TRUE(state) << state.error().text;
    if (!state || state->reach == Reach::kReachable) return state ? *state : Destination{};
    const auto event = until_reach(destination, Reach::kReachable);
    EXPECT_TRUE(event) << text;
    return event ? event->destination : Destination{};
  }
  bool has_address(const char* text) const {
    for (const LocalAddress& local : network_->addresses())
      if (local.address == at(text)) return local.usable;
    return false;
  }

  NamespaceWorld world_;
  std::optional<Inside> near_;
  std::unique_ptr<KernelNetwork> network_ = std::make_unique<KernelNetwork>();
};

TEST_F(KernelNetworkTest, ReadsTheInterfaceAndItsAddresses) {
  EXPECT_EQ(network_->link().index, static_cast<int>(::if_nametoindex("tl0")));
  EXPECT_EQ(network_->link().mtu_bytes, 1500u);
  EXPECT_TRUE(network_->link().up);
  EXPECT_NE(network_->link().mac, MacAddress{});
  EXPECT_TRUE(has_address("198.18.7.1:0"));
  EXPECT_TRUE(has_address("[2001:2:0:7::1]:0"));
  for (const LocalAddress& local : network_->addresses())
    EXPECT_EQ(local.prefix_bits, local.address.family == 4 ? 24 : 64);

  KernelNetwork other;
  EXPECT_NE(other.open("tl7").error().text.find("no such interface"), std::string::npos);
  EXPECT_NE(KernelNetwork().open("lo").error().text.find("not Ethernet"), std::string::npos);
}

TEST_F(KernelNetworkTest, ResolvesAHostOnTheLink) {
  for (const char* text : {"198.18.7.2:0", "[2001:2:0:7::2]:0"}) {
    const Destination host = reachable(text);
    EXPECT_EQ(host.next_hop, at(text));
    EXPECT_EQ(host.mac, far_mac()) << to_string(host.mac);
    EXPECT_EQ(host.source, at(host.address.family == 4 ? "198.18.7.1:0" : "[2001:2:0:7::1]:0"));
    // What is known is told at once, whatever the port.
    UdpAddress with_port = at(text);
    with_port.port = 5004;
    EXPECT_EQ(network_->resolve(with_port, clock_now())->reach, Reach::kReachable);
  }
}

TEST_F(KernelNetworkTest, ResolvesTheGatewayOfARemoteHostAndFollowsTheRoute) {
  far("ip address add 198.18.7.3/24 dev tl1");
  run("ip route add 198.18.9.0/24 via 198.18.7.2 && ip route add 2001:2:0:9::/64 via 2001:2:0:7::2");
  EXPECT_EQ(reachable("[2001:2:0:9::5]:0").next_hop, at("[2001:2:0:7::2]:0"));
  const Destination remote = reachable("198.18.9.5:0");
  EXPECT_EQ(remote.next_hop, at("198.18.7.2:0"));
  EXPECT_EQ(remote.mac, far_mac());

  run("ip route replace 198.18.9.0/24 via 198.18.7.3");
  const auto moved = until(from_s(5), [&](const NetworkEvent& e) {
    return e.destination.next_hop == at("198.18.7.3:0") && e.destination.reach == Reach::kReachable;
  });
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->destination.address, remote.address);
  run("ip route del 198.18.9.0/24");
  ASSERT_TRUE(until_reach(remote.address, Reach::kNoRoute));
  const auto none = network_->resolve(remote.address, clock_now());
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text.find("198.18.9.5 has no route"), std::string::npos) << none.error().text;
  // In use all the same: a route that comes is told.
  run("ip route add 198.18.9.0/24 via inet6 2001:2:0:7::2 dev tl0");
  const auto back = until_reach(remote.address, Reach::kReachable);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->destination.next_hop, at("[2001:2:0:7::2]:0")) << "IPv4 by an IPv6 next hop, RFC 5549";
}

TEST_F(KernelNetworkTest, RefusesWhatDoesNotLeaveByThisInterface) {
  run("ip route add 198.18.10.0/24 dev lo");
  struct Row {
    const char* destination;
    const char* says;
  };
  for (const Row row :
       {Row{"198.18.10.1:0", "is reached by lo"}, Row{"198.18.7.1:0", "is an address of this host"},
        Row{"198.18.7.255:0", "is not the address of one host"}, Row{"198.19.0.1:0", "has no route"},
        Row{"239.1.1.1:0", "is no destination"}, Row{"[::]:0", "is no destination"}}) {
    const auto refused = network_->resolve(at(row.destination), clock_now());
    ASSERT_FALSE(refused) << row.destination;
    EXPECT_NE(refused.error().text.find(row.says), std::string::npos) << refused.error().text;
  }
}

TEST_F(KernelNetworkTest, SaysThatAHostDoesNotAnswerAndFindsItWhenItDoes) {
  const UdpAddress absent = at("198.18.7.77:0");
  const Nanos begin = clock_now();
  const auto state = network_->resolve(absent, begin);
  ASSERT_TRUE(state) << state.error().text;
  EXPECT_EQ(state->reach, Reach::kResolving);
  const auto failed = until_reach(absent, Reach::kFailed);
  ASSERT_TRUE(failed);
  const Nanos took = clock_now() - begin;
  EXPECT_GE(took, from_ms(2900));
  EXPECT_LE(took, from_s(5)) << "on a machine that is busy";
  EXPECT_EQ(failed->destination.mac, MacAddress{});

  far("ip address add 198.18.7.77/24 dev tl1");
  // The kernel gives up a little later than we do, and is asked again only then.
  until(from_ms(300), [](const NetworkEvent&) { return false; });
  network_->poll(clock_now() + kAskAgain);
  const auto found = until_reach(absent, Reach::kReachable);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->destination.mac, far_mac());
}

TEST_F(KernelNetworkTest, SeesANewMacThatIsAnnounced) {
  const Destination before = reachable("198.18.7.2:0");
  run("ip neigh replace 198.18.7.2 lladdr 02:00:00:00:00:07 dev tl0 nud reachable");
  const auto by_hand = until_reach(before.address, Reach::kReachable);
  ASSERT_TRUE(by_hand);
  EXPECT_EQ(to_string(by_hand->destination.mac), "02:00:00:00:00:07");
  // One that is forgotten is no longer told about.
  network_->forget(before.address);
  run("ip neigh replace 198.18.7.2 lladdr 02:00:00:00:00:08 dev tl0 nud reachable");
  EXPECT_FALSE(until_reach(before.address, Reach::kReachable, from_ms(200)));
}

TEST_F(KernelNetworkTest, KeepsWhatIsInUseConfirmedAndFindsANewMacThatNobodyAnnounced) {
  // A second instead of half a minute, a fifth instead of a second.
  run("cd /proc/sys/net/ipv4/neigh/tl0 && echo 1000 >base_reachable_time_ms && echo 1 "
      ">delay_first_probe_time && "
      "echo 200 >retrans_time_ms");
  // The kernel uses it for the first entry made from then on.
  run("ip neigh flush dev tl0");
  const Destination before = reachable("198.18.7.2:0");
  // It grows old and is confirmed; its MAC is good all the time.
  EXPECT_FALSE(
      until(from_s(4), [&](const NetworkEvent& e) { return e.change == NetworkChange::kDestination; }));
  far("ip link set tl1 address 02:00:00:00:00:09");
  const auto found = until(from_s(10), [&](const NetworkEvent& e) {
    return e.destination.reach == Reach::kReachable && e.destination.mac != before.mac;
  });
  ASSERT_TRUE(found);
  EXPECT_EQ(to_string(found->destination.mac), "02:00:00:00:00:09");
}

TEST_F(KernelNetworkTest, AsksAgainWhenTheEntryIsDeletedAndWhenTheLinkComesBack) {
  const Destination host = reachable("198.18.7.2:0");
  run("ip neigh del 198.18.7.2 dev tl0");
  // Asked again at once, without a word to the user unless that fails.
  EXPECT_FALSE(
      until(from_ms(500), [&](const NetworkEvent& e) { return e.destination.reach == Reach::kFailed; }));
  EXPECT_EQ(network_->resolve(host.address, clock_now())->reach, Reach::kReachable);
  EXPECT_EQ(network_->resolve(host.address, clock_now())->mac, host.mac);
  far("ip link set tl1 down");
  ASSERT_TRUE(until_change(NetworkChange::kLink));
  EXPECT_FALSE(network_->link().up);
  ASSERT_TRUE(until_reach(host.address, Reach::kFailed));
  far("ip link set tl1 up");
  ASSERT_TRUE(until_reach(host.address, Reach::kReachable, from_s(3)));
  EXPECT_TRUE(network_->link().up);
}

TEST_F(KernelNetworkTest, SeesAddressesAndTheMtuChange) {
  run("ip address add 198.18.7.11/24 dev tl0");
  ASSERT_TRUE(until_change(NetworkChange::kAddresses));
  EXPECT_TRUE(has_address("198.18.7.11:0"));
  run("ip address del 198.18.7.11/24 dev tl0");
  ASSERT_TRUE(until_change(NetworkChange::kAddresses));
  EXPECT_FALSE(has_address("198.18.7.11:0"));
  run("ip link set tl0 mtu 1400");
  ASSERT_TRUE(until_change(NetworkChange::kLink));
  EXPECT_EQ(network_->link().mtu_bytes, 1400u);
}

TEST_F(KernelNetworkTest, ReadsEverythingAnewWhenMessagesWereLost) {
  const Destination host = reachable("198.18.7.2:0");
  const int little = 4096;
  ASSERT_EQ(setsockopt(network_->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &little, sizeof little), 0);
  run("for i in $(seq 1 60); do echo route add 198.19.$i.0/24 via 198.18.7.2; done | ip -batch -");
  run("ip neigh replace 198.18.7.2 lladdr 02:00:00:00:00:07 dev tl0 nud reachable");  // finds no place any
                                                                                      // more
  const auto found = until_reach(host.address, Reach::kReachable);
  ASSERT_TRUE(found);
  EXPECT_EQ(to_string(found->destination.mac), "02:00:00:00:00:07");
}

TEST_F(KernelNetworkTest, HasPlaceForSoManyDestinations) {
  run("ip route add 198.18.9.0/24 via 198.18.7.2 && ip route add 198.18.8.0/24 via 198.18.7.2");
  const auto nth = [](size_t i) {
    return UdpAddress::v4(198, 18, static_cast<uint8_t>(8 + i / 128), static_cast<uint8_t>(1 + i % 128), 0);
  };
  for (size_t i = 0; i < kMaxDestinations; ++i) ASSERT_TRUE(network_->resolve(nth(i), clock_now())) << i;
  const auto refused = network_->resolve(at("198.18.7.2:0"), clock_now());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("256 destinations are in use"), std::string::npos)
      << refused.error().text;
  // One neighbour, 256 destinations.
  until(from_ms(200), [](const NetworkEvent&) { return false; });
  for (size_t i = 0; i < kMaxDestinations; ++i)
    EXPECT_EQ(network_->resolve(nth(i), clock_now())->reach, Reach::kReachable);
  network_->forget(nth(0));
  EXPECT_TRUE(network_->resolve(at("198.18.7.2:0"), clock_now()));
}

}  // namespace
}  // namespace trunkline::io
