// Half a million frames for an IP host, mutated from real ones of every kind it knows, half of them with
// their checksums made right again so that they get further than the first check. Nothing may read outside
// its frame, each frame has exactly one fate, what is handed up lies within it, what goes out is whole, and
// nobody makes the host send more than it was asked.
#include <gtest/gtest.h>

#include <vector>

#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/mutator.h"
#include "tests/io/ip_host_harness.h"

namespace trunkline::io {
namespace {

using namespace by_hand;
using Kind = IpHost::Received::Kind;
using Counter = IpHostCounter;

constexpr int kInputs = 500'000;
constexpr uint64_t kSeed = 20261122;

std::vector<Bytes> seeds() {
  const auto ours4 = without_port(kOurs4), peer4 = without_port(kPeer4);
  const auto ours6 = without_port(kOurs6), peer6 = without_port(kPeer6);
  const Bytes payload(100, 7);
  const Ip nd{.to_mac = kOurGroupMac, .hop_limit = 255};
  const Ip alone{.hop_limit = 255};
  return {udp(kPeer4, kOurs4, payload),
          udp(kPeer6, kOurs6, payload),
          udp(kPeer4, kOurs4, payload, {.options = Bytes(8, 1)}),
          arp(1, kPeerMac, peer4, {}, ours4, MacAddress::broadcast()),
          arp(2, kPeerMac, peer4, kOurMac, ours4, kOurMac),
          icmp(peer4, ours4, 8, 0, payload),
          icmp(peer6, ours6, 128, 0, payload),
          icmp(peer6, kOurGroup6, 135, 0, neighbour_message(0, ours6, 1, kPeerMac), nd),
          icmp(peer6, ours6, 136, 0, neighbour_message(0x60, peer6, 2, kPeerMac), alone),
          icmp(kGateway6, kAllNodes6, 134, 0, Bytes(12), {.to_mac = kAllNodesMac, .hop_limit = 255})};
}

// Makes the checksums right, as far as lengths and protocol still say where they are.
void repair(Bytes& frame) {
  const auto part = [&](size_t from, size_t to) {
    return Bytes(frame.begin() + static_cast<std::ptrdiff_t>(from),
                 frame.begin() + static_cast<std::ptrdiff_t>(to));
  };
  const auto finish = [&](size_t at, size_t end, uint8_t protocol, Bytes pseudo) {
    const size_t field = at + (protocol == 17 ? 6 : 2);
    if ((protocol != 17 && protocol != 1 && protocol != 58) || field + 2 > end) return;
    set16(frame, field, 0);
    append(pseudo, part(at, end));
    set16(frame, field, naive_checksum(pseudo));
  };
  if (frame.size() >= 34 && get16(frame, 12) == 0x0800) {
    const size_t header = size_t{4} * (frame[14] & 15);
    const size_t end = 14 + get16(frame, 16);
    if (header < 20 || 14 + header > end || end > frame.size()) return;
    set16(frame, 24, 0);
    set16(frame, 24, naive_checksum(part(14, 14 + header)));
    Bytes pseudo;
    if (frame[23] == 17)
      pseudo = pseudo_header(frame::address4(&frame[26]), frame::address4(&frame[30]), 17, end - 14 - header);
    finish(14 + header, end, frame[23], pseudo);
  } else if (frame.size() >= 54 && get16(frame, 12) == 0x86dd) {
    const size_t end = 54 + get16(frame, 18);
    if (end > frame.size()) return;
    finish(54, end, frame[20],
           pseudo_header(frame::address6(&frame[22]), frame::address6(&frame[38]), frame[20], end - 54));
  }
}

// A frame that the host sends would pass a host's own checks: a second one with a peer's address takes it.
void expect_whole(const Bytes& frame, IpHost& judge) {
  EXPECT_GE(frame.size(), 42u);
  EXPECT_LE(frame.size(), 1514u);
  EXPECT_EQ(MacAddress::at(&frame[6]), kOurMac);
  Bytes copy = frame;
  const uint64_t before = count(judge, Counter::rx_bad_ip) + count(judge, Counter::rx_bad_ip_checksum) +
                          count(judge, Counter::rx_bad_udp_length) +
                          count(judge, Counter::rx_bad_udp_checksum) + count(judge, Counter::rx_bad_arp) +
                          count(judge, Counter::rx_bad_icmp);
  std::copy(kPeerMac.bytes.begin(), kPeerMac.bytes.end(), copy.begin());
  receive(judge, copy);
  EXPECT_EQ(before, count(judge, Counter::rx_bad_ip) + count(judge, Counter::rx_bad_ip_checksum) +
                        count(judge, Counter::rx_bad_udp_length) +
                        count(judge, Counter::rx_bad_udp_checksum) + count(judge, Counter::rx_bad_arp) +
                        count(judge, Counter::rx_bad_icmp));
}

TEST(IpHostFuzz, EveryFrameHasOneFateAndDoesNoHarm) {
  fuzz::Mutator mutator(kSeed);
  fuzz::ExactCopy copy;
  const auto inputs = seeds();
  IpHostOptions options = usual_options();
  options.max_neighbours = 32;
  options.share_neighbours = true;
  IpHost host(options);
  options.mac = kPeerMac;
  options.addresses = {{without_port(kPeer4), 24}, {without_port(kPeer6), 64}};
  IpHost judge(options);
  Nanos now{};
  uint64_t kinds[3] = {};
  for (int i = 0; i < kInputs && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    now += core::from_ms(static_cast<int64_t>(mutator.below(10)));
    Bytes bytes =
        mutator.below(16) == 0 ? mutator.random(1600) : mutator.mutate(inputs[mutator.below(inputs.size())]);
    if (mutator.below(2) == 0) repair(bytes);
    const std::span<const uint8_t> exact = copy.of(bytes);
    // The copy is ours, and the host says that it does not write to it.
    auto* const frame = const_cast<uint8_t*>(exact.data());
    const auto received =
        host.receive(frame, static_cast<uint32_t>(exact.size()), mutator.below(8) == 0, now);
    ++kinds[static_cast<size_t>(received.kind)];
    if (received.kind == Kind::kDatagram) {
      ASSERT_GE(received.payload, exact.data() + frame::kV4Headers);
      ASSERT_LE(received.payload + received.length, exact.data() + exact.size());
      // And back to whoever sent it.
      const Bytes answer = datagram(host, received.destination, received.source, {1, 2, 3}, now);
      if (answer.empty()) {
        host.hold(bytes.data(), 3, received.destination, received.source);
      } else {
        expect_whole(answer, judge);
      }
    }
    if (i % 16 == 0) {
      host.poll(now);
      for (const Bytes& out : frames_of(host, now)) expect_whole(out, judge);
      IpHost::Neighbour neighbour;
      while (host.take_learnt(neighbour)) EXPECT_TRUE(neighbour.mac.is_station());
    }
  }
  EXPECT_EQ(kinds[0], count(host, Counter::rx_datagrams));
  EXPECT_EQ(kinds[1], count(host, Counter::rx_handled));
  EXPECT_EQ(kinds[2], received_drops(host));
  for (const uint64_t kind : kinds) EXPECT_GT(kind, uint64_t{kInputs} / 50);
  // One answer per question, and of each neighbour one question a second at most.
  EXPECT_LE(count(host, Counter::arp_answers) + count(host, Counter::nd_answers) +
                count(host, Counter::echo_answers),
            kinds[1]);
  EXPECT_LE(count(host, Counter::requests), uint64_t{32} * static_cast<uint64_t>(now.ms() / 1000 + 1));
}

}  // namespace
}  // namespace trunkline::io
