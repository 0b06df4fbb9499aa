// Conversations: what an IP host sends, to neighbours that it must find first, that move, that fall silent;
// two hosts with each other; strangers who want places. Time is a number here, so every bound is exact.
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

constexpr Nanos kStart = from_s(1000);
const Bytes kPayload = {'t', 'r', 'u', 'n', 'k'};

Bytes request4(const core::UdpAddress& target, const MacAddress& to = MacAddress::broadcast()) {
  return arp(1, kOurMac, without_port(kOurs4), {}, without_port(target), to);
}
Bytes reply4(const core::UdpAddress& from, const MacAddress& mac) {
  return arp(2, mac, without_port(from), kOurMac, without_port(kOurs4), kOurMac);
}

// A host that has announced itself.
struct Host : IpHost {
  explicit Host(const IpHostOptions& options = usual_options()) : IpHost(options) {
    poll(kStart - from_s(10));
    poll(kStart - from_s(5));
    frames_of(*this, kStart);
  }
  Bytes send(const core::UdpAddress& to, Nanos now) {
    return datagram(*this, to.family == 4 ? kOurs4 : kOurs6, to, kPayload, now);
  }
  bool keep(const core::UdpAddress& to, const Bytes& payload) {
    return hold(payload.data(), static_cast<uint32_t>(payload.size()), to.family == 4 ? kOurs4 : kOurs6, to);
  }
  void hear(Bytes frame, Nanos now) { EXPECT_EQ(by_hand::receive(*this, frame, now).kind, Kind::kHandled); }
  uint64_t operator[](Counter which) const { return count(*this, which); }
  std::vector<Bytes> sent(Nanos now) {
    poll(now);
    return frames_of(*this, now);
  }
};

using Frames = std::vector<Bytes>;

TEST(IpHostNeighbours, AsksThenSendsWhatWasHeldThenSendsAtOnce) {
  Host host;
  EXPECT_TRUE(host.send(kPeer4, kStart).empty());
  EXPECT_TRUE(host.keep(kPeer4, {'o', 'l', 'd'}));
  EXPECT_TRUE(host.send(kPeer4, kStart).empty());
  EXPECT_TRUE(host.keep(kPeer4, kPayload)) << "the newest is kept";
  EXPECT_EQ(host.sent(kStart), Frames{request4(kPeer4)}) << "asked once, however many wait";
  host.hear(reply4(kPeer4, kPeerMac), kStart + from_ms(1));
  const Ip there{.to_mac = kPeerMac, .from_mac = kOurMac};
  const Bytes expected = udp(kOurs4, kPeer4, kPayload, there);
  EXPECT_EQ(host.sent(kStart + from_ms(1)), Frames{expected});
  EXPECT_EQ(host.send(kPeer4, kStart + from_ms(2)), expected);
  EXPECT_EQ(host[Counter::tx_unresolved], 2u);
  EXPECT_EQ(host[Counter::held], 2u);
  EXPECT_EQ(host[Counter::held_replaced], 1u);
  EXPECT_EQ(host[Counter::held_sent], 1u);
  EXPECT_EQ(host[Counter::resolutions], 1u);
}

TEST(IpHostNeighbours, AsksThreeTimesASecondApartThenRefusesForThreeSeconds) {
  Host host;
  EXPECT_TRUE(host.send(kPeer4, kStart).empty());
  EXPECT_TRUE(host.keep(kPeer4, kPayload));
  for (int second = 0; second < 3; ++second) {
    const Nanos now = kStart + from_s(second);
    EXPECT_EQ(host.sent(now), Frames{request4(kPeer4)}) << second;
    EXPECT_EQ(host.next_due(), now + from_s(1));
    EXPECT_TRUE(host.sent(now + from_ms(999)).empty());
    EXPECT_TRUE(host.send(kPeer4, now + from_ms(999)).empty());
  }
  EXPECT_EQ(host[Counter::tx_unresolved], 4u);
  EXPECT_TRUE(host.sent(kStart + from_s(3)).empty());
  EXPECT_EQ(host[Counter::resolutions_failed], 1u);
  EXPECT_EQ(host[Counter::held_expired], 1u);
  EXPECT_TRUE(host.send(kPeer4, kStart + from_ms(5999)).empty());
  EXPECT_EQ(host[Counter::tx_neighbour_failed], 1u);
  EXPECT_FALSE(host.keep(kPeer4, kPayload));
  EXPECT_TRUE(host.sent(kStart + from_ms(5999)).empty());
  EXPECT_TRUE(host.send(kPeer4, kStart + from_s(6)).empty()) << "and tries again";
  EXPECT_EQ(host.sent(kStart + from_s(6)), Frames{request4(kPeer4)});
  EXPECT_EQ(host[Counter::tx_unresolved], 5u);
}

TEST(IpHostNeighbours, TheBoundsHoldAlsoWhenNoFrameIsTaken) {
  Host host;
  EXPECT_TRUE(host.send(kPeer4, kStart).empty());
  for (int ms = 0; ms <= 3000; ++ms) host.poll(kStart + from_ms(ms));
  EXPECT_EQ(host[Counter::resolutions_failed], 1u);
  EXPECT_TRUE(frames_of(host, kStart + from_s(3)).empty());
}

TEST(IpHostNeighbours, AFailedNeighbourThatSpeaksIsKnownAtOnce) {
  Host host;
  host.send(kPeer4, kStart);
  for (int second = 0; second <= 3; ++second) host.sent(kStart + from_s(second));
  EXPECT_EQ(host[Counter::resolutions_failed], 1u);
  host.hear(arp(1, kPeerMac, without_port(kPeer4), {}, without_port(kPeer4), MacAddress::broadcast()),
            kStart + from_s(4));
  EXPECT_FALSE(host.send(kPeer4, kStart + from_s(4)).empty());
}

TEST(IpHostNeighbours, AskAgainAfterThirtySecondsAndStayInUseMeanwhile) {
  Host host;
  host.send(kPeer4, kStart);
  host.sent(kStart);
  host.hear(reply4(kPeer4, kPeerMac), kStart);
  EXPECT_FALSE(host.send(kPeer4, kStart + from_ms(29'999)).empty());
  EXPECT_TRUE(host.sent(kStart + from_ms(29'999)).empty());
  EXPECT_TRUE(host.sent(kStart + from_s(60)).empty()) << "nobody sends: nobody asks";
  EXPECT_EQ(host.next_due(), core::kNever);
  const Nanos later = kStart + from_s(60);
  EXPECT_FALSE(host.send(kPeer4, later).empty());
  EXPECT_EQ(host.sent(later), Frames{request4(kPeer4, kPeerMac)}) << "asked alone";
  EXPECT_FALSE(host.send(kPeer4, later + from_ms(500)).empty());
  host.hear(reply4(kPeer4, kPeerMac), later + from_ms(500));
  EXPECT_TRUE(host.sent(later + from_s(29)).empty());

  // And when it has fallen silent: three requests, in use until the last is over, then everybody is asked.
  const Nanos silent = later + from_s(40);
  for (int ms = 0; ms < 3000; ms += 100) {
    EXPECT_FALSE(host.send(kPeer4, silent + from_ms(ms)).empty()) << ms;
    EXPECT_EQ(host.sent(silent + from_ms(ms)).size(), ms % 1000 == 0 ? 1u : 0u) << ms;
  }
  EXPECT_TRUE(host.sent(silent + from_s(3)).empty());
  EXPECT_EQ(host[Counter::neighbours_lost], 1u);
  EXPECT_TRUE(host.send(kPeer4, silent + from_s(3)).empty());
  EXPECT_EQ(host.sent(silent + from_s(3)), Frames{request4(kPeer4)});
}

TEST(IpHostNeighbours, FollowsANeighbourThatMovesAndAsksWhetherItIsTrue) {
  Host host;
  host.send(kPeer4, kStart);
  host.sent(kStart);
  host.hear(reply4(kPeer4, kPeerMac), kStart);
  const auto announced = [&](const MacAddress& mac) {
    return arp(1, mac, without_port(kPeer4), {}, without_port(kPeer4), MacAddress::broadcast());
  };
  host.hear(announced(kOtherMac), kStart + from_s(1));
  const Ip there{.to_mac = kOtherMac, .from_mac = kOurMac};
  EXPECT_EQ(host.send(kPeer4, kStart + from_s(1)), udp(kOurs4, kPeer4, kPayload, there));
  EXPECT_EQ(host.sent(kStart + from_s(1)), Frames{request4(kPeer4, kOtherMac)});
  EXPECT_EQ(host[Counter::neighbours_moved], 1u);
  // Whoever says so all the time causes one request per second, not one each.
  uint64_t asked = 0;
  for (int ms = 1; ms <= 2000; ++ms) {
    const Nanos now = kStart + from_s(1) + from_ms(ms);
    host.hear(announced(ms % 2 == 1 ? kPeerMac : kOtherMac), now);
    EXPECT_FALSE(host.send(kPeer4, now).empty());
    asked += host.sent(now).size();
  }
  EXPECT_EQ(asked, 2u);
}

TEST(IpHostNeighbours, Ipv6AsksInTheGroupAndUnderstandsAdvertisements) {
  Host host;
  const auto ours = without_port(kOurs6), peer = without_port(kPeer6);
  const Ip to_group{.to_mac = {{0x33, 0x33, 0xff, 0, 0, 2}}, .from_mac = kOurMac, .hop_limit = 255};
  const Bytes question = neighbour_message(0, peer, 1, kOurMac);
  const Ip alone{.hop_limit = 255};
  EXPECT_TRUE(host.send(kPeer6, kStart).empty());
  EXPECT_TRUE(host.keep(kPeer6, kPayload));
  EXPECT_EQ(host.sent(kStart), Frames{icmp(ours, address("[ff02::1:ff00:2]:0"), 135, 0, question, to_group)});
  // RFC 4861 section 7.2.5: nothing to complete it with.
  host.hear(icmp(peer, ours, 136, 0, neighbour_message(0x60, peer, 0, {}), alone), kStart);
  EXPECT_TRUE(host.send(kPeer6, kStart).empty());
  host.hear(icmp(peer, ours, 136, 0, neighbour_message(0x60, peer, 2, kPeerMac), alone), kStart);
  const Bytes expected = udp(kOurs6, kPeer6, kPayload, {.to_mac = kPeerMac, .from_mac = kOurMac});
  EXPECT_EQ(host.sent(kStart), Frames{expected});
  EXPECT_EQ(host.send(kPeer6, kStart), expected);

  // Without override another address is not believed, but is a reason to ask; the old one is in use.
  host.hear(icmp(peer, ours, 136, 0, neighbour_message(0x40, peer, 2, kOtherMac), alone), kStart);
  EXPECT_EQ(host.send(kPeer6, kStart), expected);
  const Ip to_peer{.to_mac = kPeerMac, .from_mac = kOurMac, .hop_limit = 255};
  EXPECT_EQ(host.sent(kStart), Frames{icmp(ours, peer, 135, 0, question, to_peer)});
  // An answer to a question that was asked of it alone needs no option.
  host.hear(icmp(peer, ours, 136, 0, neighbour_message(0x40, peer, 0, {}), alone), kStart);
  EXPECT_FALSE(host.send(kPeer6, kStart + from_s(29)).empty());
  EXPECT_TRUE(host.sent(kStart + from_s(29)).empty());
  // With override it moves.
  host.hear(icmp(peer, kAllNodes6, 136, 0, neighbour_message(0x20, peer, 2, kOtherMac),
                 {.to_mac = kAllNodesMac, .hop_limit = 255}),
            kStart + from_s(29));
  EXPECT_EQ(host.send(kPeer6, kStart + from_s(29)),
            udp(kOurs6, kPeer6, kPayload, {.to_mac = kOtherMac, .from_mac = kOurMac}));
}

TEST(IpHostNeighbours, WhatIsNotOnTheLinkGoesToTheGateway) {
  Host host;
  EXPECT_TRUE(host.send(kFar4, kStart).empty());
  EXPECT_TRUE(host.keep(kFar4, kPayload));
  EXPECT_EQ(host.sent(kStart), Frames{request4(kGateway4)});
  host.hear(reply4(kGateway4, kOtherMac), kStart);
  const Ip there{.to_mac = kOtherMac, .from_mac = kOurMac};
  EXPECT_EQ(host.sent(kStart), Frames{udp(kOurs4, kFar4, kPayload, there)});
  EXPECT_TRUE(host.send(kFar6, kStart).empty());
  EXPECT_EQ(host.sent(kStart).size(), 1u);
  host.hear(icmp(kGateway6, without_port(kOurs6), 136, 0, neighbour_message(0xe0, kGateway6, 2, kOtherMac),
                 {.hop_limit = 255}),
            kStart);
  EXPECT_EQ(host.send(kFar6, kStart), udp(kOurs6, kFar6, kPayload, there));
}

TEST(IpHostNeighbours, RefusesWhatHasNoRouteOrIsNotItsOwn) {
  IpHostOptions options = usual_options();
  options.gateway_v4 = {};
  Host host(options);
  uint64_t refused = 0;
  for (const char* to :
       {"198.51.100.7:1", "192.0.2.255:1", "192.0.2.0:1", "255.255.255.255:1", "224.0.0.1:1", "127.0.0.1:1",
        "0.0.0.0:1", "192.0.2.1:1", "[ff02::1]:1", "[::1]:1", "[::]:1", "[2001:db8::1]:1"}) {
    EXPECT_TRUE(host.send(address(to), kStart).empty()) << to;
    EXPECT_EQ(host[Counter::tx_no_route], ++refused) << to;
    EXPECT_FALSE(host.keep(address(to), kPayload)) << to;
  }
  EXPECT_TRUE(datagram(host, {}, {}, kPayload, kStart).empty());
  EXPECT_TRUE(datagram(host, kOther4, kPeer4, kPayload, kStart).empty());
  EXPECT_TRUE(datagram(host, kOurs6, kPeer4, kPayload, kStart).empty());
  EXPECT_EQ(host[Counter::tx_bad_source], 2u);
  EXPECT_TRUE(frames_of(host, kStart).empty()) << "and asks nobody";
}

TEST(IpHostNeighbours, ChoosesTheAddressOnTheLinkWhenNoneIsNamed) {
  IpHostOptions options = usual_options();
  options.addresses.insert(options.addresses.begin(), {address("10.0.0.1:0"), 8});
  Host host(options);
  host.learn({without_port(kPeer4), kPeerMac}, kStart);
  const Ip there{.to_mac = kPeerMac, .from_mac = kOurMac};
  EXPECT_EQ(datagram(host, address("0.0.0.0:5000"), kPeer4, kPayload, kStart),
            udp(kOurs4, kPeer4, kPayload, there));
}

TEST(IpHostNeighbours, SendsTheChecksumsThatItsOptionsSay) {
  for (const auto& [ours, peer] : {std::pair{kOurs4, kPeer4}, {kOurs6, kPeer6}}) {
    for (size_t length : {0u, 1u, 172u, 1200u, 1452u}) {
      const Bytes payload(length, 0xa5);
      const Bytes full = udp(ours, peer, payload, {.to_mac = kPeerMac, .from_mac = kOurMac});
      const bool v4 = ours.family == 4;
      const size_t at = v4 ? 40 : 60;
      const auto sent = [&, &from = ours, &to = peer](auto set) {
        IpHostOptions options = usual_options();
        set(options);
        Host host(options);
        host.learn({without_port(to), kPeerMac}, kStart);
        return datagram(host, from, to, payload, kStart);
      };
      EXPECT_EQ(sent([](IpHostOptions&) {}), full);
      Bytes pseudo = full;
      const Bytes summed = pseudo_header(ours, peer, 17, 8 + length);
      set16(pseudo, at, 0xffffu & ~naive_checksum(summed));
      EXPECT_EQ(sent([](IpHostOptions& o) { o.udp_checksum_offload = true; }), pseudo);
      Bytes none = full;
      if (v4) set16(none, at, 0);
      EXPECT_EQ(sent([](IpHostOptions& o) { o.udp_checksum_ipv4 = false; }), none);
      Bytes no_ip = full;
      if (v4) set16(no_ip, 24, 0);
      EXPECT_EQ(sent([](IpHostOptions& o) { o.ip_checksum_offload = true; }), no_ip);
    }
  }
}

// RFC 768: a sum that comes out as zero is sent as all ones.
TEST(IpHostNeighbours, NeverSendsAChecksumOfZeroThatMeansNone) {
  Host host;
  host.learn({without_port(kPeer4), kPeerMac}, kStart);
  for (uint32_t word = 0; word < 65'536; ++word) {
    Bytes payload;
    append16(payload, word);
    const Bytes frame = datagram(host, kOurs4, kPeer4, payload, kStart);
    ASSERT_EQ(frame.size(), 44u);
    ASSERT_NE(get16(frame, 40), 0u) << word;
  }
}

TEST(IpHostNeighbours, RefusesWhatIsLongerThanTheMtu) {
  Host host;
  host.learn({without_port(kPeer4), kPeerMac}, kStart);
  host.learn({without_port(kPeer6), kPeerMac}, kStart);
  EXPECT_EQ(datagram(host, kOurs4, kPeer4, Bytes(1472), kStart).size(), 1514u);
  EXPECT_EQ(datagram(host, kOurs6, kPeer6, Bytes(1452), kStart).size(), 1514u);
  EXPECT_TRUE(datagram(host, kOurs4, kPeer4, Bytes(1473), kStart).empty());
  EXPECT_TRUE(datagram(host, kOurs6, kPeer6, Bytes(1453), kStart).empty());
  EXPECT_FALSE(host.keep(kPeer4, Bytes(1473)));
  EXPECT_EQ(host[Counter::tx_too_long], 2u);
}

}  // namespace
}  // namespace trunkline::io
