// Two IP hosts on one wire, several queues of one device, and a crowd of strangers: what holds between hosts,
// not what single frames look like.
#include <gtest/gtest.h>

#include <set>

#include "core/rng.h"
#include "tests/io/ip_host_harness.h"

namespace trunkline::io {
namespace {

using namespace by_hand;
using Kind = IpHost::Received::Kind;
using Counter = IpHostCounter;
using core::from_ms;
using core::from_s;
using core::UdpAddress;

constexpr Nanos kStart = from_s(1000);
constexpr uint64_t kSeed = 20261122;

struct Delivered {
  UdpAddress source;
  UdpAddress destination;
  Bytes payload;
  bool operator==(const Delivered&) const = default;
};

// A station on the wire, and what reached it.
struct Station {
  IpHost host;
  std::vector<Delivered> got;
  explicit Station(const IpHostOptions& options) : host(options) {}
  void take(Bytes frame, Nanos now) {
    const auto received = receive(host, frame, now);
    if (received.kind == Kind::kDatagram)
      got.push_back({received.source, received.destination,
                     Bytes(received.payload, received.payload + received.length)});
  }
};

IpHostOptions options_of(const MacAddress& mac, const char* v4, const char* v6) {
  IpHostOptions options;
  options.mac = mac;
  options.addresses = {{address(v4), 24}, {address(v6), 64}};
  return options;
}

// A hub: every station hears everything, at once, until nobody has anything to say.
void settle(std::vector<Station*> stations, Nanos now) {
  for (int round = 0; round < 100; ++round) {
    bool quiet = true;
    for (Station* from : stations) {
      from->host.poll(now);
      for (const Bytes& frame : frames_of(from->host, now)) {
        quiet = false;
        for (Station* to : stations) {
          if (to != from) to->take(frame, now);
        }
      }
    }
    if (quiet) return;
  }
  FAIL() << "the hosts never stop talking";
}

// Sends, or leaves it to be sent when the neighbour answers.
void send(Station& from, Station& to, const UdpAddress& source, const UdpAddress& destination,
          const Bytes& payload, Nanos now) {
  const Bytes frame = datagram(from.host, source, destination, payload, now);
  if (!frame.empty()) return to.take(frame, now);
  ASSERT_TRUE(from.host.hold(payload.data(), static_cast<uint32_t>(payload.size()), source, destination));
}

TEST(IpHostConversation, TwoHostsFindEachOtherAndDeliverEveryLength) {
  Station a(options_of(kOurMac, "192.0.2.1:0", "[2001:db8::1]:0"));
  Station b(options_of(kPeerMac, "192.0.2.2:0", "[2001:db8::2]:0"));
  settle({&a, &b}, kStart);
  core::Rng rng(kSeed);
  for (const auto& [ours, theirs] : {std::pair{kOurs4, kPeer4}, {kOurs6, kPeer6}}) {
    std::vector<Delivered> sent;
    for (size_t length = 0; length <= 1452; length += 1 + length / 40) {
      Bytes payload(length);
      for (uint8_t& byte : payload) byte = static_cast<uint8_t>(rng.next());
      send(a, b, ours, theirs, payload, kStart);
      settle({&a, &b}, kStart);
      sent.push_back({ours, theirs, payload});
      ASSERT_EQ(b.got, sent) << length;
      send(b, a, theirs, ours, payload, kStart);
      ASSERT_EQ(a.got.size(), sent.size()) << "who was asked by somebody knows him";
    }
    a.got.clear();
    b.got.clear();
  }
  EXPECT_EQ(count(a.host, Counter::requests), 2u) << "one for each family";
  EXPECT_EQ(count(b.host, Counter::tx_unresolved), 0u);
  EXPECT_EQ(received_drops(a.host) + received_drops(b.host), 0u);
}

TEST(IpHostConversation, MediaGoesOnForMinutesAndQuestionsAreFew) {
  Station a(options_of(kOurMac, "192.0.2.1:0", "[2001:db8::1]:0"));
  Station b(options_of(kPeerMac, "192.0.2.2:0", "[2001:db8::2]:0"));
  settle({&a, &b}, kStart);
  size_t sent = 0;
  for (Nanos now = kStart; now < kStart + from_s(300); now += from_ms(20)) {
    send(a, b, kOurs4, kPeer4, {1, 2, 3}, now);
    send(a, b, kOurs6, kPeer6, {1, 2, 3}, now);
    sent += 2;
    settle({&a, &b}, now);
    ASSERT_EQ(b.got.size(), sent);
  }
  EXPECT_LE(count(a.host, Counter::requests), 2u * 10);
  EXPECT_EQ(count(a.host, Counter::neighbours_lost), 0u);
}

// Two queues, two hosts with the same addresses; the device brings everything that is not UDP to the first.
TEST(IpHostConversation, QueuesOfOneDeviceTellEachOtherWhatTheyLearn) {
  IpHostOptions shared = options_of(kOurMac, "192.0.2.1:0", "[2001:db8::1]:0");
  shared.share_neighbours = true;
  Station first(shared), second(shared);
  Station peer(options_of(kPeerMac, "192.0.2.2:0", "[2001:db8::2]:0"));
  settle({&first, &peer}, kStart);
  settle({&second, &peer}, kStart);
  const auto tell = [&](Nanos now) {
    IpHost::Neighbour neighbour;
    for (int i = 0; i < 1000 && first.host.take_learnt(neighbour); ++i) second.host.learn(neighbour, now);
  };
  const auto exchange = [&](Nanos now) {
    second.host.poll(now);
    for (const Bytes& frame : frames_of(second.host, now)) peer.take(frame, now);
    for (const Bytes& frame : frames_of(peer.host, now)) first.take(frame, now);
    tell(now);
    for (const Bytes& frame : frames_of(second.host, now)) peer.take(frame, now);
  };
  tell(kStart);
  for (const auto& [ours, theirs] : {std::pair{kOurs4, kPeer4}, {kOurs6, kPeer6}}) {
    peer.got.clear();
    send(second, peer, ours, theirs, {1}, kStart);
    exchange(kStart);
    EXPECT_EQ(peer.got.size(), 1u) << "held, asked for, answered to the first, told, sent";
    // For minutes: the second asks the peer alone, and hears by the first that it is there.
    for (Nanos now = kStart; now < kStart + from_s(200); now += from_s(1)) {
      peer.got.clear();
      send(second, peer, ours, theirs, {2}, now);
      exchange(now);
      ASSERT_EQ(peer.got.size(), 1u);
    }
  }
  EXPECT_EQ(count(second.host, Counter::neighbours_lost), 0u);
  EXPECT_GE(count(second.host, Counter::requests), 10u);
}

TEST(IpHostConversation, NewsThatNobodyTakesAreCountedAndNotKeptWhenNobodyShares) {
  for (const bool share : {false, true}) {
    IpHostOptions options = usual_options();
    options.share_neighbours = share;
    IpHost host(options);
    Bytes answer = arp(2, kPeerMac, without_port(kPeer4), kOurMac, without_port(kOurs4), kOurMac);
    for (int i = 0; i < 1000; ++i) receive(host, answer);
    IpHost::Neighbour neighbour;
    uint32_t taken = 0;
    while (host.take_learnt(neighbour)) {
      ++taken;
      EXPECT_EQ(neighbour.address, without_port(kPeer4));
      EXPECT_EQ(neighbour.mac, kPeerMac);
      EXPECT_TRUE(neighbour.answered);
    }
    EXPECT_EQ(taken + count(host, Counter::news_dropped), share ? 1000u : 0u);
    EXPECT_EQ(taken > 0, share);
  }
}

// A kernel beside the host routes and resolves: every destination is a neighbour (prefix length 0), asked for
// there, and nothing but datagrams goes out.
TEST(IpHostConversation, AsksAKernelBesideItAndSendsNothingOfItsOwn) {
  IpHostOptions options = options_of(kOurMac, "192.0.2.1:0", "[2001:db8::1]:0");
  for (InterfaceAddress& own : options.addresses) own.prefix_length = 0;
  options.resolved_elsewhere = true;
  constexpr MacAddress kGatewayMac{{0x02, 0, 0, 0, 0, 0xfe}};
  IpHost host(options);
  host.poll(kStart);
  EXPECT_TRUE(frames_of(host, kStart).empty()) << "no announcement";
  for (const auto& [ours, far] : {std::pair{kOurs4, kFar4}, {kOurs6, kFar6}}) {
    EXPECT_TRUE(datagram(host, ours, far, {7}, kStart).empty());
    const Bytes payload{7};
    EXPECT_TRUE(host.hold(payload.data(), 1, ours, far));
    EXPECT_TRUE(frames_of(host, kStart).empty()) << "no request";
    UdpAddress wanted;
    ASSERT_TRUE(host.take_wanted(wanted));
    EXPECT_EQ(wanted, without_port(far));
    EXPECT_FALSE(host.take_wanted(wanted)) << "once, until a second has passed";
    host.learn({without_port(far), kGatewayMac}, kStart);
    EXPECT_EQ(frames_of(host, kStart).size(), 1u) << "what was held";
    const Bytes frame = datagram(host, ours, far, {8}, kStart);
    ASSERT_FALSE(frame.empty());
    EXPECT_TRUE(std::equal(kGatewayMac.bytes.begin(), kGatewayMac.bytes.end(), frame.begin()));
    // Used for longer than an answer counts: the kernel is asked again, and datagrams go on.
    const Nanos later = kStart + from_s(31);
    EXPECT_FALSE(datagram(host, ours, far, {9}, later).empty());
    ASSERT_TRUE(host.take_wanted(wanted));
    EXPECT_EQ(wanted, without_port(far));
    host.learn({without_port(far), kPeerMac}, later);
    const Bytes moved = datagram(host, ours, far, {10}, later);
    EXPECT_TRUE(std::equal(kPeerMac.bytes.begin(), kPeerMac.bytes.end(), moved.begin()));
  }
}

TEST(IpHostConversation, AFloodOfStrangersTakesFreePlacesOnly) {
  IpHostOptions options = usual_options();
  options.addresses[0] = {address("10.0.0.1:0"), 8};
  options.gateway_v4 = {};
  options.max_neighbours = 16;
  IpHost host(options);
  const UdpAddress ours = address("10.0.0.1:5000");
  const auto neighbour = [](uint32_t n) {
    return UdpAddress::v4(10, static_cast<uint8_t>(1 + n / 65'536), static_cast<uint8_t>(n / 256),
                          static_cast<uint8_t>(n), 6000);
  };
  for (uint32_t n = 0; n < 8; ++n) {
    EXPECT_TRUE(datagram(host, ours, neighbour(n), {1}, kStart).empty());
    Bytes answer = arp(2, kPeerMac, without_port(neighbour(n)), kOurMac, without_port(ours), kOurMac);
    receive(host, answer, kStart);
  }
  frames_of(host, kStart);
  core::Rng rng(kSeed);
  Nanos now = kStart;
  for (uint32_t i = 0; i < 100'000; ++i) {
    now += core::from_us(100);
    const UdpAddress stranger = neighbour(1000 + static_cast<uint32_t>(rng.below(100'000)));
    Bytes frame =
        rng.chance(0.5)
            ? arp(1, kOtherMac, without_port(stranger), {}, without_port(ours), MacAddress::broadcast())
            : arp(2, kOtherMac, without_port(stranger), kOurMac, without_port(ours), kOurMac);
    receive(host, frame, now);
    ASSERT_FALSE(datagram(host, ours, neighbour(i % 8), {1}, now).empty()) << i;
    if (i % 64 == 0) {
      host.poll(now);
      frames_of(host, now);
    }
  }
  EXPECT_EQ(count(host, Counter::neighbours_replaced), 0u);
  // A neighbour of our own choice finds a place among them.
  const UdpAddress wanted = neighbour(500);
  EXPECT_TRUE(datagram(host, ours, wanted, {1}, now).empty());
  Bytes answer = arp(2, kPeerMac, without_port(wanted), kOurMac, without_port(ours), kOurMac);
  receive(host, answer, now);
  EXPECT_FALSE(datagram(host, ours, wanted, {1}, now).empty());
  EXPECT_EQ(count(host, Counter::neighbours_replaced), 1u);
  EXPECT_EQ(count(host, Counter::tx_table_full), 0u);
}

TEST(IpHostConversation, AFullTableReplacesWhatIsUnusedAndRefusesOtherwise) {
  IpHostOptions options = usual_options();
  options.max_neighbours = 4;
  IpHost host(options);
  const auto neighbour = [](uint8_t n) { return UdpAddress::v4(192, 0, 2, n, 6000); };
  for (uint8_t n = 10; n < 14; ++n) host.learn({without_port(neighbour(n)), kPeerMac}, kStart);
  for (uint8_t n = 10; n < 14; ++n)
    EXPECT_FALSE(datagram(host, kOurs4, neighbour(n), {}, kStart + from_s(n)).empty());
  // The oldest was used 4 s ago: it stays.
  EXPECT_TRUE(datagram(host, kOurs4, neighbour(20), {}, kStart + from_s(14)).empty());
  EXPECT_EQ(count(host, Counter::tx_table_full), 1u);
  // 11 s ago: it goes, and its headers are not used any more.
  EXPECT_TRUE(datagram(host, kOurs4, neighbour(20), {}, kStart + from_s(21)).empty());
  EXPECT_EQ(count(host, Counter::neighbours_replaced), 1u);
  EXPECT_EQ(count(host, Counter::tx_unresolved), 1u);
  EXPECT_FALSE(datagram(host, kOurs4, neighbour(11), {}, kStart + from_s(21)).empty());
  EXPECT_TRUE(datagram(host, kOurs4, neighbour(10), {}, kStart + from_s(21)).empty());
}

// Whatever is asked for and whoever answers: places, held datagrams and counters add up, and the right
// station gets what is sent.
TEST(IpHostConversation, RandomTrafficKeepsItsBooks) {
  core::Rng rng(kSeed);
  IpHostOptions options = usual_options();
  options.max_neighbours = 13;  // one less than there are
  options.max_held = 3;
  IpHost host(options);
  Nanos now = kStart;
  uint64_t asked = 0, taken = 0, frames = 0;
  const auto mac_of = [](uint8_t n) { return MacAddress{{0x02, 0, 0, 0, 1, n}}; };
  const auto neighbour = [](uint8_t n) { return UdpAddress::v4(192, 0, 2, n, 6000); };
  for (int i = 0; i < 200'000; ++i) {
    now += core::from_us(static_cast<int64_t>(rng.below(50'000)));
    const auto n = static_cast<uint8_t>(10 + rng.below(14));
    if (rng.chance(0.6)) {
      const Bytes frame = datagram(host, kOurs4, neighbour(n), {n}, now);
      ++asked;
      if (!frame.empty()) {
        ASSERT_EQ(MacAddress::at(frame.data()), mac_of(n));
      } else if (rng.chance(0.7)) {
        taken += host.hold(&n, 1, kOurs4, neighbour(n));
      }
    } else if (n % 5 != 0 && i / 4000 % 2 == 0) {  // some never answer, and all are silent for 100 s at times
      Bytes frame = arp(rng.chance(0.5) ? 1 : 2, mac_of(n), without_port(neighbour(n)), {},
                        without_port(kOurs4), kOurMac);
      receive(host, frame, now);
      ++frames;
    }
    if (!rng.chance(0.3)) continue;
    host.poll(now);
    for (const Bytes& frame : frames_of(host, now)) {
      if (get16(frame, 12) == 0x0800) {
        ASSERT_EQ(MacAddress::at(frame.data()), mac_of(frame.back()));
      }
    }
  }
  const auto sum = [&](std::initializer_list<Counter> of) {
    uint64_t total = 0;
    for (const Counter which : of) total += count(host, which);
    return total;
  };
  EXPECT_EQ(sum({Counter::tx_datagrams, Counter::tx_unresolved, Counter::tx_neighbour_failed,
                 Counter::tx_table_full}),
            asked);
  EXPECT_EQ(count(host, Counter::held), taken);
  for (int second = 1; second <= 4; ++second) {
    host.poll(now + from_s(second));
    frames_of(host, now + from_s(second));
  }
  EXPECT_EQ(sum({Counter::held_sent, Counter::held_replaced, Counter::held_expired}), taken);
  EXPECT_EQ(sum({Counter::rx_handled}) + received_drops(host), frames);
  for (const Counter which : {Counter::tx_datagrams, Counter::tx_unresolved, Counter::tx_neighbour_failed,
                              Counter::tx_table_full, Counter::held_sent, Counter::held_expired,
                              Counter::hold_refused, Counter::neighbours_replaced, Counter::neighbours_lost})
    EXPECT_GT(count(host, which), 0u) << ip_host_counter_name(which);
}

}  // namespace
}  // namespace trunkline::io
