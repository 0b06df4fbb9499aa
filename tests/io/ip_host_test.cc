// What an IP host makes of single frames, as tables: a frame in, what it is, which counter moves, the frames
// that go out. The frames are written by hand (ip_frames_by_hand.h).
#include "io/ip_host.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/rng.h"
#include "tests/io/ip_host_harness.h"

namespace trunkline::io {
namespace {

using namespace by_hand;
using Kind = IpHost::Received::Kind;
using Counter = IpHostCounter;

const Bytes kPayload = {'t', 'r', 'u', 'n', 'k', 'l', 'i', 'n', 'e'};

Bytes edited(Bytes frame, const std::function<void(Bytes&)>& edit) {
  edit(frame);
  return frame;
}
// Recomputes an IPv4 header's checksum after an edit.
Bytes edited4(Bytes frame, const std::function<void(Bytes&)>& edit) {
  edit(frame);
  set16(frame, 24, 0);
  const auto first = frame.begin() + 14;
  set16(frame, 24, naive_checksum(Bytes(first, first + (frame[14] & 15) * 4)));
  return frame;
}
Bytes padded(Bytes frame, size_t length) {
  frame.resize(std::max(frame.size(), length), 0xee);
  return frame;
}

struct Case {
  const char* name;
  Bytes frame;
  Kind kind;
  Counter counter;
  std::vector<Bytes> out = {};
};

void run(const std::vector<Case>& cases, const IpHostOptions& options = usual_options()) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    IpHost host(options);
    Bytes frame = c.frame;
    const auto received = receive(host, frame);
    EXPECT_EQ(received.kind, c.kind);
    EXPECT_EQ(count(host, c.counter), 1u) << ip_host_counter_name(c.counter);
    EXPECT_EQ(count(host, Counter::rx_datagrams) + count(host, Counter::rx_handled) + received_drops(host),
              1u);
    EXPECT_EQ(frame, c.frame) << "a received frame is not written to";
    EXPECT_EQ(frames_of(host, {}), c.out);
    if (c.kind == Kind::kDatagram) {
      EXPECT_EQ(Bytes(received.payload, received.payload + received.length), kPayload);
      EXPECT_EQ(received.source, received.source.family == 4 ? kPeer4 : kPeer6);
      EXPECT_EQ(received.destination, received.source.family == 4 ? kOurs4 : kOurs6);
    }
  }
}

TEST(IpHost, TakesDatagramsOverIpv4AndSaysWhyNot) {
  const Bytes good = udp(kPeer4, kOurs4, kPayload);
  const Bytes answers_to_nobody = udp(address("192.0.2.2:1"), address("192.0.2.9:2"), kPayload);
  run({
      {"plain", good, Kind::kDatagram, Counter::rx_datagrams},
      {"padded to Ethernet's 60 bytes", padded(good, 60), Kind::kDatagram, Counter::rx_datagrams},
      {"options are skipped", udp(kPeer4, kOurs4, kPayload, {.options = Bytes(40, 1)}), Kind::kDatagram,
       Counter::rx_datagrams},
      {"time to live of 0 is no router's business here", udp(kPeer4, kOurs4, kPayload, {.hop_limit = 0}),
       Kind::kDatagram, Counter::rx_datagrams},
      {"without a UDP checksum", edited(good, [](Bytes& f) { set16(f, 40, 0); }), Kind::kDatagram,
       Counter::rx_datagrams},
      {"for another station", udp(kPeer4, kOurs4, kPayload, {.to_mac = kOtherMac}), Kind::kDropped,
       Counter::rx_other_mac},
      {"to everybody's MAC", udp(kPeer4, kOurs4, kPayload, {.to_mac = MacAddress::broadcast()}),
       Kind::kDropped, Counter::rx_broadcast},
      {"for another address", answers_to_nobody, Kind::kDropped, Counter::rx_other_address},
      {"to the link's broadcast address", udp(kPeer4, address("192.0.2.255:5000"), kPayload), Kind::kDropped,
       Counter::rx_other_address},
      {"from a group", udp(address("224.0.0.1:6000"), kOurs4, kPayload), Kind::kDropped,
       Counter::rx_bad_source},
      {"from loopback", udp(address("127.0.0.1:6000"), kOurs4, kPayload), Kind::kDropped,
       Counter::rx_bad_source},
      {"from this network", udp(address("0.0.0.0:6000"), kOurs4, kPayload), Kind::kDropped,
       Counter::rx_bad_source},
      {"from ourselves", udp(kOurs4, kOurs4, kPayload), Kind::kDropped, Counter::rx_bad_source},
      {"first fragment", udp(kPeer4, kOurs4, kPayload, {.fragment = 0x2000}), Kind::kDropped,
       Counter::rx_fragment},
      {"last fragment", udp(kPeer4, kOurs4, kPayload, {.fragment = 0x0005}), Kind::kDropped,
       Counter::rx_fragment},
      {"header checksum", edited(good, [](Bytes& f) { f[24] ^= 1; }), Kind::kDropped,
       Counter::rx_bad_ip_checksum},
      {"version", edited4(good, [](Bytes& f) { f[14] = 0x55; }), Kind::kDropped, Counter::rx_bad_ip},
      {"header length 16", edited4(good, [](Bytes& f) { f[14] = 0x44; }), Kind::kDropped, Counter::rx_bad_ip},
      {"header longer than the packet", edited(good, [](Bytes& f) { f[14] = 0x4f; }), Kind::kDropped,
       Counter::rx_bad_ip},
      {"total length over the frame", edited4(good, [](Bytes& f) { set16(f, 16, get16(f, 16) + 1); }),
       Kind::kDropped, Counter::rx_bad_ip},
      {"total length below the header", edited4(good, [](Bytes& f) { set16(f, 16, 19); }), Kind::kDropped,
       Counter::rx_bad_ip},
      {"no room for UDP's header", edited4(good, [](Bytes& f) { set16(f, 16, 27); }), Kind::kDropped,
       Counter::rx_bad_udp_length},
      {"UDP longer than the packet", edited(good, [](Bytes& f) { set16(f, 38, get16(f, 38) + 1); }),
       Kind::kDropped, Counter::rx_bad_udp_length},
      {"UDP shorter than its header", edited(good, [](Bytes& f) { set16(f, 38, 7); }), Kind::kDropped,
       Counter::rx_bad_udp_length},
      {"UDP checksum", edited(good, [](Bytes& f) { f.back() ^= 1; }), Kind::kDropped,
       Counter::rx_bad_udp_checksum},
      {"TCP", ip(kPeer4, kOurs4, 6, Bytes(20)), Kind::kDropped, Counter::rx_other_protocol},
      {"tagged", ethernet(kOurMac, kPeerMac, 0x8100, Bytes(50)), Kind::kDropped, Counter::rx_tagged},
      {"doubly tagged", ethernet(kOurMac, kPeerMac, 0x88a8, Bytes(50)), Kind::kDropped, Counter::rx_tagged},
      {"LLDP", ethernet(kOurMac, kPeerMac, 0x88cc, Bytes(50)), Kind::kDropped, Counter::rx_other_type},
      {"no IP header", ethernet(kOurMac, kPeerMac, 0x0800, Bytes(19)), Kind::kDropped, Counter::rx_short},
      {"no Ethernet header", Bytes(13), Kind::kDropped, Counter::rx_short},
      {"nothing", Bytes(), Kind::kDropped, Counter::rx_short},
  });
}

TEST(IpHost, TakesDatagramsOverIpv6AndSaysWhyNot) {
  const Bytes good = udp(kPeer6, kOurs6, kPayload);
  run({
      {"plain", good, Kind::kDatagram, Counter::rx_datagrams},
      {"padded", padded(good, 100), Kind::kDatagram, Counter::rx_datagrams},
      {"hop limit 0", udp(kPeer6, kOurs6, kPayload, {.hop_limit = 0}), Kind::kDatagram,
       Counter::rx_datagrams},
      {"without a UDP checksum", edited(good, [](Bytes& f) { set16(f, 60, 0); }), Kind::kDropped,
       Counter::rx_bad_udp_checksum},
      {"UDP checksum", edited(good, [](Bytes& f) { f[60] ^= 1; }), Kind::kDropped,
       Counter::rx_bad_udp_checksum},
      {"to our group's MAC", udp(kPeer6, kOurs6, kPayload, {.to_mac = kOurGroupMac}), Kind::kDropped,
       Counter::rx_broadcast},
      {"to a group we are not in", udp(kPeer6, kOurs6, kPayload, {.to_mac = {{0x33, 0x33, 0, 0, 0, 2}}}),
       Kind::kDropped, Counter::rx_other_mac},
      {"for another address", udp(kPeer6, kFar6, kPayload), Kind::kDropped, Counter::rx_other_address},
      {"from a group", udp(kAllNodes6, kOurs6, kPayload), Kind::kDropped, Counter::rx_bad_source},
      {"from the unspecified address", udp(address("[::]:6000"), kOurs6, kPayload), Kind::kDropped,
       Counter::rx_bad_source},
      {"from loopback", udp(address("[::1]:6000"), kOurs6, kPayload), Kind::kDropped, Counter::rx_bad_source},
      {"from ourselves", udp(kOurs6, kOurs6, kPayload), Kind::kDropped, Counter::rx_bad_source},
      {"hop-by-hop options", ip(kPeer6, kOurs6, 0, Bytes(40)), Kind::kDropped, Counter::rx_extension},
      {"fragment", ip(kPeer6, kOurs6, 44, Bytes(40)), Kind::kDropped, Counter::rx_fragment},
      {"TCP", ip(kPeer6, kOurs6, 6, Bytes(40)), Kind::kDropped, Counter::rx_other_protocol},
      {"version", edited(good, [](Bytes& f) { f[14] = 0x40; }), Kind::kDropped, Counter::rx_bad_ip},
      {"payload over the frame", edited(good, [](Bytes& f) { set16(f, 18, get16(f, 18) + 1); }),
       Kind::kDropped, Counter::rx_bad_ip},
      {"jumbogram", edited(good, [](Bytes& f) { set16(f, 18, 0); }), Kind::kDropped,
       Counter::rx_bad_udp_length},
      {"no IP header", ethernet(kOurMac, kPeerMac, 0x86dd, Bytes(39)), Kind::kDropped, Counter::rx_short},
  });
}

TEST(IpHost, LooksAtNoChecksumThatTheDeviceOrTheOperatorVouchesFor) {
  for (const auto& [from, to] : {std::pair{kPeer4, kOurs4}, {kPeer6, kOurs6}}) {
    Bytes bad_udp = udp(from, to, kPayload);
    bad_udp.back() ^= 1;
    IpHost host(usual_options());
    EXPECT_EQ(receive(host, bad_udp).kind, Kind::kDropped);
    EXPECT_EQ(receive(host, bad_udp, {}, true).kind, Kind::kDatagram);
    IpHostOptions trusting = usual_options();
    trusting.verify_udp_checksum = false;
    IpHost other(trusting);
    EXPECT_EQ(receive(other, bad_udp).kind, Kind::kDatagram);
  }
  Bytes bad_ip = udp(kPeer4, kOurs4, kPayload);
  bad_ip[24] ^= 1;
  IpHost host(usual_options());
  EXPECT_EQ(receive(host, bad_ip, {}, true).kind, Kind::kDatagram);
}

TEST(IpHost, AnswersArpForItselfAndLearnsAsTheRfcSays) {
  const auto peer = without_port(kPeer4), ours = without_port(kOurs4), other = without_port(kOther4);
  const Bytes answer = arp(2, kOurMac, ours, kPeerMac, peer, kPeerMac);
  const MacAddress all = MacAddress::broadcast(), none{};
  run({
      {"asked by all",
       arp(1, kPeerMac, peer, none, ours, all),
       Kind::kHandled,
       Counter::arp_answers,
       {answer}},
      {"asked alone, padded",
       padded(arp(1, kPeerMac, peer, none, ours, kOurMac), 60),
       Kind::kHandled,
       Counter::arp_answers,
       {answer}},
      {"a probe from 0.0.0.0",
       arp(1, kPeerMac, address("0.0.0.0:0"), none, ours, all),
       Kind::kHandled,
       Counter::arp_answers,
       {arp(2, kOurMac, ours, kPeerMac, address("0.0.0.0:0"), kPeerMac)}},
      {"for somebody else", arp(1, kPeerMac, peer, none, other, all), Kind::kHandled, Counter::rx_handled},
      {"an answer that nobody asked for", arp(2, kPeerMac, peer, kOurMac, ours, kOurMac), Kind::kHandled,
       Counter::rx_handled},
      {"our address, another's MAC", arp(1, kPeerMac, ours, none, ours, all), Kind::kDropped,
       Counter::rx_address_conflict},
      {"our own frame, back", arp(1, kOurMac, ours, none, ours, all), Kind::kDropped, Counter::rx_bad_arp},
      {"from a group's MAC", arp(1, kAllNodesMac, peer, none, ours, all), Kind::kDropped,
       Counter::rx_bad_arp},
      {"reverse ARP", arp(3, kPeerMac, peer, none, ours, all), Kind::kDropped, Counter::rx_bad_arp},
      {"another hardware", edited(arp(1, kPeerMac, peer, none, ours, all), [](Bytes& f) { f[15] = 6; }),
       Kind::kDropped, Counter::rx_bad_arp},
      {"too short", edited(arp(1, kPeerMac, peer, none, ours, all), [](Bytes& f) { f.pop_back(); }),
       Kind::kDropped, Counter::rx_short},
  });
}

TEST(IpHost, AnswersPingsAndCountsOtherIcmp) {
  const auto peer = without_port(kPeer4), ours = without_port(kOurs4);
  const Bytes rest = {1, 2, 3, 4, 5, 6, 7};
  const Ip back{.to_mac = kPeerMac, .from_mac = kOurMac};
  const Bytes ping = icmp(peer, ours, 8, 0, rest);
  const Bytes answer = icmp(ours, peer, 0, 0, rest, back);
  run({
      {"ping", ping, Kind::kHandled, Counter::echo_answers, {answer}},
      {"padded", padded(ping, 60), Kind::kHandled, Counter::echo_answers, {answer}},
      {"with IP options, which go no further",
       icmp(peer, ours, 8, 0, rest, {.options = Bytes(4, 1)}),
       Kind::kHandled,
       Counter::echo_answers,
       {answer}},
      {"checksum", edited(ping, [](Bytes& f) { f.back() ^= 1; }), Kind::kDropped, Counter::rx_bad_icmp},
      {"to everybody", icmp(peer, ours, 8, 0, rest, {.to_mac = MacAddress::broadcast()}), Kind::kDropped,
       Counter::rx_broadcast},
      {"an answer", icmp(peer, ours, 0, 0, rest), Kind::kDropped, Counter::rx_other_icmp},
      {"port unreachable", icmp(peer, ours, 3, 3, rest), Kind::kDropped, Counter::rx_unreachable},
      {"fragmentation needed", icmp(peer, ours, 3, 4, rest), Kind::kDropped, Counter::rx_too_big},
      {"too short", icmp(peer, ours, 8, 0, {1, 2, 3}), Kind::kDropped, Counter::rx_bad_icmp},
  });
}

TEST(IpHost, AnswersPingsOverIpv6AndCountsOtherIcmp) {
  const auto peer = without_port(kPeer6), ours = without_port(kOurs6);
  const Bytes rest = {1, 2, 3, 4, 5, 6, 7};
  const Ip back{.to_mac = kPeerMac, .from_mac = kOurMac};
  const Bytes ping = icmp(peer, ours, 128, 0, rest);
  run({
      {"ping", ping, Kind::kHandled, Counter::echo_answers, {icmp(ours, peer, 129, 0, rest, back)}},
      {"checksum", edited(ping, [](Bytes& f) { f.back() ^= 1; }), Kind::kDropped, Counter::rx_bad_icmp},
      {"to all nodes", icmp(peer, kAllNodes6, 128, 0, rest, {.to_mac = kAllNodesMac}), Kind::kDropped,
       Counter::rx_other_icmp},
      {"too big", icmp(peer, ours, 2, 0, rest), Kind::kDropped, Counter::rx_too_big},
      {"unreachable", icmp(peer, ours, 1, 4, rest), Kind::kDropped, Counter::rx_unreachable},
      {"router advertisement", icmp(kGateway6, kAllNodes6, 134, 0, Bytes(12), {.to_mac = kAllNodesMac}),
       Kind::kDropped, Counter::rx_router_advertisement},
      {"redirect", icmp(kGateway6, ours, 137, 0, Bytes(36)), Kind::kDropped, Counter::rx_other_icmp},
  });
}

TEST(IpHost, AnswersNeighbourSolicitations) {
  const auto peer = without_port(kPeer6), ours = without_port(kOurs6), nobody = address("[::]:0");
  const Ip asked{.to_mac = kOurGroupMac, .hop_limit = 255};
  const Ip alone{.hop_limit = 255};
  const Ip back{.to_mac = kPeerMac, .from_mac = kOurMac, .hop_limit = 255};
  const Ip to_all{.to_mac = kAllNodesMac, .from_mac = kOurMac, .hop_limit = 255};
  const Bytes question = neighbour_message(0, ours, 1, kPeerMac);
  const Bytes bare = neighbour_message(0, ours, 0, {});
  const Bytes answer = icmp(ours, peer, 136, 0, neighbour_message(0x60, ours, 2, kOurMac), back);
  const Bytes to_nobody = icmp(ours, kAllNodes6, 136, 0, neighbour_message(0x20, ours, 2, kOurMac), to_all);
  Bytes empty_option = question;
  empty_option[21] = 0;
  Bytes long_option = question;
  long_option[21] = 2;
  run({
      {"in the group",
       icmp(peer, kOurGroup6, 135, 0, question, asked),
       Kind::kHandled,
       Counter::nd_answers,
       {answer}},
      {"alone, without the option",
       icmp(peer, ours, 135, 0, bare, alone),
       Kind::kHandled,
       Counter::nd_answers,
       {answer}},
      {"is it free?",
       icmp(nobody, kOurGroup6, 135, 0, bare, asked),
       Kind::kHandled,
       Counter::nd_answers,
       {to_nobody}},
      {"is it free, not in the group", icmp(nobody, ours, 135, 0, bare, alone), Kind::kDropped,
       Counter::rx_bad_icmp},
      {"is it free, with an option", icmp(nobody, kOurGroup6, 135, 0, question, asked), Kind::kDropped,
       Counter::rx_bad_icmp},
      {"forwarded", icmp(peer, kOurGroup6, 135, 0, question, {.to_mac = kOurGroupMac, .hop_limit = 254}),
       Kind::kDropped, Counter::rx_bad_icmp},
      {"code", icmp(peer, kOurGroup6, 135, 1, question, asked), Kind::kDropped, Counter::rx_bad_icmp},
      {"no target", icmp(peer, kOurGroup6, 135, 0, Bytes(19), asked), Kind::kDropped, Counter::rx_bad_icmp},
      {"a group as target", icmp(peer, kOurGroup6, 135, 0, neighbour_message(0, kAllNodes6, 0, {}), asked),
       Kind::kDropped, Counter::rx_bad_icmp},
      {"option of length 0", icmp(peer, kOurGroup6, 135, 0, empty_option, asked), Kind::kDropped,
       Counter::rx_bad_icmp},
      {"option over the end", icmp(peer, kOurGroup6, 135, 0, long_option, asked), Kind::kDropped,
       Counter::rx_bad_icmp},
      {"for a neighbour in our group",
       icmp(peer, kOurGroup6, 135, 0, neighbour_message(0, address("[2001:db8::5:0:1]:0"), 1, kPeerMac),
            asked),
       Kind::kDropped, Counter::rx_other_address},
      {"our address is another's",
       icmp(peer, kAllNodes6, 136, 0, neighbour_message(0x20, ours, 2, kPeerMac),
            {.to_mac = kAllNodesMac, .hop_limit = 255}),
       Kind::kDropped, Counter::rx_address_conflict},
      {"an answer to everybody",
       icmp(peer, kAllNodes6, 136, 0, neighbour_message(0x60, peer, 2, kPeerMac),
            {.to_mac = kAllNodesMac, .hop_limit = 255}),
       Kind::kDropped, Counter::rx_bad_icmp},
      {"an announcement of nobody we know",
       icmp(peer, kAllNodes6, 136, 0, neighbour_message(0x20, peer, 2, kPeerMac),
            {.to_mac = kAllNodesMac, .hop_limit = 255}),
       Kind::kHandled, Counter::rx_handled},
  });
}

TEST(IpHost, AnnouncesItsAddressesTwiceAtStart) {
  IpHost host(usual_options());
  const auto ours = without_port(kOurs4);
  const std::vector<Bytes> announcements = {
      arp(1, kOurMac, ours, {}, ours, MacAddress::broadcast()),
      icmp(without_port(kOurs6), kAllNodes6, 136, 0,
           neighbour_message(0x20, without_port(kOurs6), 2, kOurMac),
           {.to_mac = kAllNodesMac, .from_mac = kOurMac, .hop_limit = 255})};
  const Nanos start = core::from_s(100);
  EXPECT_LE(host.next_due(), start);
  host.poll(start);
  EXPECT_EQ(frames_of(host, start), announcements);
  EXPECT_EQ(host.next_due(), start + core::from_s(2));
  host.poll(start + core::from_ms(1999));
  EXPECT_TRUE(frames_of(host, start).empty());
  host.poll(start + core::from_s(2));
  EXPECT_EQ(frames_of(host, start), announcements);
  EXPECT_EQ(host.next_due(), core::kNever);
}

TEST(IpHost, HoldsNoMoreAnswersThanItsQueue) {
  IpHost host(usual_options());
  Bytes ping = icmp(without_port(kPeer4), without_port(kOurs4), 8, 0, Bytes(1400));
  for (int i = 0; i < 100; ++i) receive(host, ping);
  const auto frames = frames_of(host, {});
  EXPECT_EQ(frames.size(), count(host, Counter::echo_answers));
  EXPECT_EQ(frames.size() + count(host, Counter::answers_dropped), 100u);
  EXPECT_GE(frames.size(), 16u);
  receive(host, ping);
  EXPECT_EQ(frames_of(host, {}).size(), 1u) << "and goes on when there is room";
}

TEST(IpHost, NamesTheOptionThatIsWrong) {
  struct {
    const char* named;
    std::function<void(IpHostOptions&)> spoil;
  } const cases[] = {
      {"mac", [](auto& o) { o.mac = {}; }},
      {"mac", [](auto& o) { o.mac = MacAddress::broadcast(); }},
      {"addresses", [](auto& o) { o.addresses.clear(); }},
      {"addresses", [](auto& o) { o.addresses.resize(9, o.addresses[0]); }},
      {"addresses", [](auto& o) { o.addresses.push_back(o.addresses[0]); }},
      {"addresses", [](auto& o) { o.addresses[0].address = kOurs4; }},
      {"addresses", [](auto& o) { o.addresses[0].prefix_length = 33; }},
      {"addresses", [](auto& o) { o.addresses[1].prefix_length = 0; }},
      {"addresses", [](auto& o) { o.addresses[1].address = kAllNodes6; }},
      {"gateway_v4", [](auto& o) { o.gateway_v4 = kGateway6; }},
      {"gateway_v4", [](auto& o) { o.gateway_v4 = without_port(kOurs4); }},
      {"gateway_v6", [](auto& o) { o.addresses.pop_back(); }},
      {"mtu", [](auto& o) { o.mtu = 1279; }},
      {"mtu", [](auto& o) { o.mtu = 65'535; }},
      {"max_neighbours", [](auto& o) { o.max_neighbours = 0; }},
      {"max_held", [](auto& o) { o.max_held = 100'000; }},
  };
  EXPECT_TRUE(IpHost::check(usual_options()).has_value());
  for (const auto& c : cases) {
    IpHostOptions options = usual_options();
    c.spoil(options);
    const auto result = IpHost::check(options);
    ASSERT_FALSE(result.has_value()) << c.named;
    EXPECT_TRUE(result.error().text.starts_with(c.named)) << result.error().text;
  }
}

// ---- frames like one that was received lately

IpHost::Repeat repeat(IpHost& host, Bytes& frame, bool device_checked = false) {
  return host.receive_repeat(frame.data(), static_cast<uint32_t>(frame.size()), device_checked);
}
Bytes without_checksum(Bytes frame) {
  return edited(std::move(frame), [](Bytes& f) { set16(f, 40, 0); });
}
// A host that remembers this frame, and the place where it does.
uint32_t remember(IpHost& host, Bytes& frame) {
  EXPECT_EQ(receive(host, frame).kind, Kind::kDatagram);
  return host.remember(frame.data());
}

TEST(IpHost, KnowsWhoeverItHasReceivedFromByTheHeaders) {
  IpHost host(usual_options());
  Bytes first = without_checksum(udp(kPeer4, kOurs4, kPayload));
  EXPECT_EQ(repeat(host, first).payload, nullptr) << "nothing is remembered yet";
  const uint32_t place = remember(host, first);
  ASSERT_LT(place, IpHost::kPlaces);
  const Bytes longer(200, 'x');
  for (Bytes frame : {first, without_checksum(udp(kPeer4, kOurs4, longer)), padded(first, 60),
                      without_checksum(udp(kPeer4, kOurs4, kPayload, {.hop_limit = 3})),
                      edited4(first, [](Bytes& f) { f[15] = 0xb8; }),             // another type of service
                      edited4(first, [](Bytes& f) { set16(f, 18, 0x1234); })}) {  // and identification
    const IpHost::Repeat again = repeat(host, frame);
    ASSERT_EQ(again.payload, frame.data() + 42);
    EXPECT_EQ(again.length, get16(frame, 38) - 8u);
    EXPECT_EQ(again.place, place);
  }
  EXPECT_EQ(count(host, Counter::rx_datagrams), 1u) << "repeats are counted by the burst";
  host.count_repeats(6);
  EXPECT_EQ(count(host, Counter::rx_datagrams), 7u);
}

TEST(IpHost, LeavesEverythingElseToReceive) {
  IpHost host(usual_options());
  Bytes known = without_checksum(udp(kPeer4, kOurs4, kPayload));
  ASSERT_LT(remember(host, known), IpHost::kPlaces);
  for (Bytes frame :
       {edited(udp(kPeer4, kOurs4, kPayload), [](Bytes& f) { f[41] ^= 1; }),
        without_checksum(udp(kOther4, kOurs4, kPayload)),
        without_checksum(udp(kPeer4, address("192.0.2.1:5001"), kPayload)),
        without_checksum(udp(address("192.0.2.2:6001"), kOurs4, kPayload)),
        without_checksum(udp(kPeer4, kOurs4, kPayload, {.to_mac = kOtherMac})),
        edited4(known, [](Bytes& f) { set16(f, 20, 0x2000); }) /* more fragments */,
        edited4(known, [](Bytes& f) { set16(f, 20, 1); }), edited4(known, [](Bytes& f) { f[23] = 1; }),
        edited(known, [](Bytes& f) { f[25] ^= 1; }) /* a wrong checksum */,
        edited4(known, [](Bytes& f) { set16(f, 16, 1000); }),
        edited4(known, [](Bytes& f) { set16(f, 16, 27); }), edited(known, [](Bytes& f) { set16(f, 38, 7); }),
        edited(known, [](Bytes& f) { set16(f, 38, 1000); }), Bytes(known.begin(), known.begin() + 41),
        Bytes(60, 0), Bytes(60, 0xff)}) {
    EXPECT_EQ(repeat(host, frame).payload, nullptr) << testing::PrintToString(frame);
  }
  Bytes summed = udp(kPeer4, kOurs4, kPayload);
  EXPECT_NE(repeat(host, summed).payload, nullptr);
  Bytes wrong = edited(summed, [](Bytes& f) { f.back() ^= 1; });
  EXPECT_EQ(repeat(host, wrong).payload, nullptr);
  EXPECT_NE(repeat(host, wrong, true).payload, nullptr) << "the device has checked it";
  Bytes six = udp(kPeer6, kOurs6, kPayload);
  EXPECT_EQ(remember(host, six), IpHost::kPlaces);
  Bytes options = udp(kPeer4, kOurs4, kPayload, {.options = Bytes(4, 1)});
  EXPECT_EQ(remember(host, options), IpHost::kPlaces);
}

// A host that has seen nothing yet is not to be told by a frame of zeros, which is what it remembers.
TEST(IpHost, RemembersNobodyAtFirst) {
  IpHost host(usual_options());
  Bytes zeros(60, 0);
  set16(zeros, 16, 28);
  set16(zeros, 38, 8);
  EXPECT_EQ(repeat(host, zeros, true).payload, nullptr);
}

// Whatever bits are flipped: what is taken for a repeat, receive() gives too, from the same to the same.
TEST(IpHost, TakesNothingForARepeatThatReceiveWouldJudgeOtherwise) {
  IpHost host(usual_options());
  std::array<Bytes, 3> known = {udp(kPeer4, kOurs4, kPayload),
                                without_checksum(udp(kOther4, kOurs4, Bytes(40, 'y'))),
                                without_checksum(udp(kPeer4, address("192.0.2.1:5002"), kPayload))};
  std::array<IpHost::Received, IpHost::kPlaces> as_first{};
  for (Bytes& frame : known) {
    const IpHost::Received first = receive(host, frame);
    as_first[host.remember(frame.data())] = first;
  }
  core::Rng rng(7);
  uint32_t repeats = 0;
  for (uint32_t i = 0; i < 200'000; ++i) {
    Bytes frame = known[rng.below(known.size())];
    for (uint64_t flips = rng.below(4); flips > 0; --flips)
      frame[rng.below(frame.size())] ^= static_cast<uint8_t>(1u << rng.below(8));
    if (rng.chance(0.7)) frame = edited4(std::move(frame), [](Bytes& f) { f[14] = 0x45; });
    const bool checked = rng.chance(0.3);
    const IpHost::Repeat again = repeat(host, frame, checked);
    if (again.payload == nullptr) continue;
    ++repeats;
    const IpHost::Received received = receive(host, frame, {}, checked);
    ASSERT_EQ(received.kind, Kind::kDatagram);
    ASSERT_EQ(received.payload, again.payload);
    ASSERT_EQ(received.length, again.length);
    ASSERT_EQ(received.source, as_first[again.place].source);
    ASSERT_EQ(received.destination, as_first[again.place].destination);
  }
  EXPECT_GT(repeats, 50'000u);
}

}  // namespace
}  // namespace trunkline::io
