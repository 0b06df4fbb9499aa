// The simulated port: what is carried, what is delivered, and what is counted when it cannot be.
#include "io/sim_port.h"

#include <gtest/gtest.h>

#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

using core::Packet;
using core::UdpAddress;

// A wire without delay: hands every datagram to the port that has the address.
struct StraightWire final : SimWire {
  std::vector<SimPort*> ports;
  uint64_t carried = 0;
  uint64_t undelivered = 0;
  void carry(const UdpAddress& from, const UdpAddress& to, std::span<const uint8_t> datagram,
             Nanos) override {
    ++carried;
    for (SimPort* port : ports)
      if (port->deliver(from, to, datagram)) return;
    ++undelivered;
  }
};

const UdpAddress kA = UdpAddress::v4(10, 0, 0, 1, 1000);
const UdpAddress kB = UdpAddress::v4(10, 0, 0, 2, 1000);

class SimPortTest : public testing::Test {
 protected:
  SimPortTest() : a_(wire_, harness_.pages(), kA), b_(wire_, harness_.pages(), kB, {8, 1500, 3}) {
    wire_.ports = {&a_, &b_};
  }
  PortHarness harness_;
  StraightWire wire_;
  SimPort a_;
  SimPort b_;
};

TEST_F(SimPortTest, CarriesDatagramsAndSplitsRuns) {
  std::vector<Packet> burst{harness_.packet("one", kB),
                            harness_.packet(content(1, 400) + content(2, 400) + content(3, 100), kB, 0, 400)};
  ASSERT_EQ(a_.transmit_burst(burst, core::from_ms(5)), 2u);
  EXPECT_EQ(harness_.in_use(), 0u);
  EXPECT_EQ(wire_.carried, 4u);
  Packet got[kMaxBurst];
  ASSERT_EQ(b_.receive_burst(got, core::from_ms(6)), 4u);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(got[0].data), got[0].length), "one");
  EXPECT_EQ(std::string(reinterpret_cast<char*>(got[3].data), got[3].length), content(3, 100));
  for (const Packet& packet : std::span(got).first(4)) {
    EXPECT_EQ(packet.address, kA);
    EXPECT_EQ(packet.owner_port, 0);
    EXPECT_EQ(packet.owner_core, 3);
    EXPECT_EQ(packet.time, core::from_ms(6));
    EXPECT_EQ(packet.segment_size, 0);
  }
  b_.give_back({got, 4});
  EXPECT_EQ(a_.counters().value(PortCounter::tx_datagrams), 4u);
  EXPECT_EQ(a_.counters().value(PortCounter::tx_bytes), 903u);
  EXPECT_EQ(b_.counters().value(PortCounter::rx_bytes), 903u);
}

TEST_F(SimPortTest, DropsAndCountsWhatTheInboxCannotTake) {
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(b_.deliver(kA, kB, std::vector<uint8_t>(10)));
  EXPECT_FALSE(b_.deliver(kA, kB, std::vector<uint8_t>(10)));
  EXPECT_EQ(b_.counters().value(PortCounter::rx_no_buffer), 1u);
  Packet got[kMaxBurst];
  ASSERT_EQ(b_.receive_burst(got, Nanos{}), 8u);
  EXPECT_FALSE(b_.deliver(kA, kB, std::vector<uint8_t>(10)));  // the caller still has all of them
  b_.give_back({got, 8});
  EXPECT_FALSE(b_.deliver(kA, kB, std::vector<uint8_t>(1537)));
  EXPECT_EQ(b_.counters().value(PortCounter::rx_truncated), 1u);
  EXPECT_TRUE(b_.deliver(kA, kB, std::vector<uint8_t>(1500)));
  EXPECT_EQ(b_.waiting(), 1u);
}

TEST_F(SimPortTest, DeliversToTheEndpointOfThatAddressOnly) {
  EndpointOptions options;
  options.bind = UdpAddress::v4(10, 0, 0, 2, 0);
  const auto endpoint = b_.open_endpoint(options);
  ASSERT_TRUE(endpoint.has_value());
  EXPECT_EQ(*endpoint, 1);
  const UdpAddress second = b_.endpoint_address(1);
  EXPECT_NE(second.port, 0);
  EXPECT_TRUE(b_.deliver(kA, second, std::vector<uint8_t>(1)));
  EXPECT_FALSE(b_.deliver(kA, UdpAddress::v4(10, 0, 0, 2, 9), std::vector<uint8_t>(1)));
  Packet got[1];
  ASSERT_EQ(b_.receive_burst(got, Nanos{}), 1u);
  EXPECT_EQ(got[0].owner_port, 1);
  b_.give_back(got);
  const auto again = b_.open_endpoint({second});
  ASSERT_FALSE(again.has_value());
  EXPECT_NE(again.error().text.find("in use"), std::string::npos);
}

TEST_F(SimPortTest, RunsForeverOnItsFewBuffers) {
  for (uint32_t i = 0; i < 10'000; ++i) {
    Packet packet = harness_.packet(content(i, 64), kB);
    ASSERT_EQ(a_.transmit_burst({&packet, 1}, Nanos{i}), 1u);
    Packet got[4];
    ASSERT_EQ(b_.receive_burst(got, Nanos{i}), 1u);
    ASSERT_EQ(std::string(reinterpret_cast<char*>(got[0].data), got[0].length), content(i, 64));
    b_.give_back({got, 1});
  }
  EXPECT_EQ(wire_.undelivered, 0u);
  EXPECT_EQ(harness_.in_use(), 0u);
}

TEST(SimPortDeathTest, IsNeverWaitedFor) {
  PortHarness harness;
  StraightWire wire;
  SimPort port(wire, harness.pages(), kA);
  EXPECT_DEATH(port.wait(SleepUntil::kAnyPacket, Nanos{}), "never waited for");
}

}  // namespace
}  // namespace trunkline::io
