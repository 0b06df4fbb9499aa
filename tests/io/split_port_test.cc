// SplitPort, around two socket ports: one stands for the device and has 127.0.0.2, the other has the rest.
#include "io/split_port.h"

#include <gtest/gtest.h>

#include "io/mmsg_port.h"
#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

constexpr auto kDeviceAddress = core::UdpAddress::v4(127, 0, 0, 2, 0);

class SplitPortTest : public testing::Test {
 protected:
  SplitPortTest()
      : split_(std::make_unique<MmsgPort>(harness_.options()), {.addresses = {{kDeviceAddress, 32}}},
               std::make_unique<MmsgPort>(harness_.options())),
        peer_(harness_.options()) {
    open(peer_, loopback4());
    // Interleaved, so that outer and inner numbers differ.
    tap_ = open(split_, loopback4());
    mesh_ = open(split_, with_free_port());
    second_tap_ = open(split_, loopback4());
  }
  ~SplitPortTest() override { EXPECT_TRUE(harness_.settles(split_)); }

  // A port that nobody had a moment ago: one of the device's addresses without a port would be for both
  // sides.
  core::UdpAddress with_free_port() {
    MmsgPort other(harness_.options());
    return other.endpoint_address(open(other, kDeviceAddress));
  }

  PortHarness harness_;
  SplitPort split_;
  MmsgPort peer_;
  uint16_t tap_ = 0, mesh_ = 0, second_tap_ = 0;
};

TEST_F(SplitPortTest, NumbersEndpointsInTheOrderOfOpening) {
  EXPECT_EQ(tap_, 0);
  EXPECT_EQ(mesh_, 1);
  EXPECT_EQ(second_tap_, 2);
  EXPECT_EQ(split_.endpoint_address(mesh_).ip[3], 2);
  EXPECT_EQ(split_.endpoint_address(second_tap_).ip[3], 1);
}

TEST_F(SplitPortTest, ReceivesOnBothSidesUnderItsOwnNumbers) {
  std::vector<core::Packet> packets;
  for (const uint16_t endpoint : {mesh_, tap_, second_tap_}) {
    packets.push_back(harness_.packet(content(endpoint, 100), split_.endpoint_address(endpoint)));
  }
  ASSERT_TRUE(harness_.send(peer_, packets));
  const std::vector<Datagram> got = harness_.receive(split_, 3, &peer_);
  ASSERT_EQ(got.size(), 3u);
  for (const Datagram& datagram : got) EXPECT_EQ(datagram.bytes, content(datagram.endpoint, 100));
  split_.poll(clock_now());
  EXPECT_EQ(split_.counters().value(PortCounter::rx_datagrams), 3u);
}

TEST_F(SplitPortTest, SendsEachPacketFromItsEndpoint) {
  std::vector<core::Packet> packets;
  for (const uint16_t endpoint : {tap_, mesh_, mesh_, second_tap_, mesh_}) {
    packets.push_back(harness_.packet(content(endpoint, 64), peer_.endpoint_address(0), endpoint));
  }
  ASSERT_TRUE(harness_.send(split_, packets));
  const std::vector<Datagram> got = harness_.receive(peer_, packets.size(), &split_);
  ASSERT_EQ(got.size(), packets.size());
  for (const Datagram& datagram : got) {
    const bool from_device = datagram.from.ip[3] == 2;
    const bool from_first = datagram.from == split_.endpoint_address(tap_);
    EXPECT_EQ(datagram.bytes, content(from_device ? mesh_ : from_first ? tap_ : second_tap_, 64));
  }
}

// An egress tap is not bound to an address: its packets leave where their destination is.
TEST_F(SplitPortTest, AnEndpointWithoutAnAddressSendsOnTheSideThatReachesTheDestination) {
  const uint16_t any = open(split_, core::UdpAddress::v4(0, 0, 0, 0, 0));
  ASSERT_TRUE(harness_.send(split_, {harness_.packet(content(7, 80), peer_.endpoint_address(0), any)}));
  const std::vector<Datagram> got = harness_.receive(peer_, 1, &split_);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].from.port, split_.endpoint_address(any).port) << "loopback is not the device's";
  // What comes back is that endpoint's.
  ASSERT_TRUE(harness_.send(peer_, {harness_.packet(content(8, 80), got[0].from)}));
  const std::vector<Datagram> answer = harness_.receive(split_, 1, &peer_);
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_EQ(answer[0].endpoint, any);
}

}  // namespace
}  // namespace trunkline::io
