// What is particular to the mmsg port: slabs, truncation, no buffers, and gathering neighbours into runs.
#include "io/mmsg_port.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

using core::Packet;

uint64_t count(const Port& port, PortCounter counter) {
  return port.counters().value(counter);
}

TEST(MmsgPort, CountsATruncatedDatagramAsADropAndGoesOn) {
  PortHarness harness;
  PortOptions options = harness.options();
  options.receive_buffer_bytes = 1024;
  MmsgPort sender(harness.options());
  MmsgPort receiver(options);
  open(sender, loopback4());
  open(receiver, loopback4());
  const auto to = receiver.endpoint_address(0);
  ASSERT_TRUE(
      harness.send(sender, {harness.packet(content(1, 1025), to), harness.packet(content(2, 1024), to)}));
  const auto got = harness.receive(receiver, 1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].bytes, content(2, 1024));
  EXPECT_EQ(count(receiver, PortCounter::rx_truncated), 1u);
  EXPECT_EQ(receiver.buffers_lent(), 0u);
}

TEST(MmsgPort, ReceivesARunAsOneSlabWhereTheKernelCan) {
  PortHarness harness;
  MmsgPort sender(harness.options());
  MmsgPort receiver(harness.options());
  open(sender, loopback4());
  open(receiver, loopback4());
  if (receiver.describe().find("GRO yes, GSO yes") == std::string::npos) GTEST_SKIP() << receiver.describe();
  std::string run;
  for (uint32_t i = 0; i < 20; ++i) run += content(i, 1200);
  ASSERT_TRUE(harness.send(sender, {harness.packet(run, receiver.endpoint_address(0), 0, 1200)}));
  Packet burst[kMaxBurst];
  const uint32_t got = receiver.receive_burst(burst, clock_now());
  ASSERT_EQ(got, 1u);
  EXPECT_EQ(burst[0].length, run.size());
  EXPECT_EQ(burst[0].segment_size, 1200);
  EXPECT_EQ(burst[0].datagrams(), 20u);
  EXPECT_EQ(receiver.buffers_lent(), 1u);
  receiver.give_back({burst, got});
  EXPECT_EQ(receiver.buffers_lent(), 0u);
}

TEST(MmsgPort, GathersNeighboursOfOneSizeToOnePlaceIntoARun) {
  PortHarness harness;
  MmsgPort sender(harness.options());
  MmsgPort receiver(harness.options());
  open(sender, loopback4());
  open(receiver, loopback4());
  if (sender.describe().find("GSO yes") == std::string::npos) GTEST_SKIP() << sender.describe();
  std::vector<Packet> burst;
  for (uint32_t i = 0; i < 32; ++i)
    burst.push_back(harness.packet(content(i, 500), receiver.endpoint_address(0)));
  burst.push_back(harness.packet(content(32, 77), receiver.endpoint_address(0)));  // the shorter last one
  burst.push_back(harness.packet(content(33, 500), receiver.endpoint_address(0)));
  ASSERT_TRUE(harness.send(sender, burst));
  EXPECT_EQ(count(sender, PortCounter::tx_datagrams), 34u);
  EXPECT_EQ(count(sender, PortCounter::tx_runs), 2u);
  EXPECT_EQ(count(sender, PortCounter::syscalls), 1u);
  const auto got = harness.receive(receiver, 34);
  ASSERT_EQ(got.size(), 34u);
  for (uint32_t i = 0; i < 34; ++i) EXPECT_EQ(got[i].bytes, content(i, i == 32 ? 77 : 500));
}

TEST(MmsgPort, CountsWhenItHasNoBufferAndRecovers) {
  PortHarness harness;
  PortOptions options = harness.options();
  options.receive_buffers = 4;
  MmsgPort sender(harness.options());
  MmsgPort receiver(options);
  open(sender, loopback4());
  open(receiver, loopback4());
  std::vector<Packet> burst;
  for (uint32_t i = 0; i < 8; ++i)
    burst.push_back(harness.packet(content(i, 100 + i), receiver.endpoint_address(0)));
  ASSERT_TRUE(harness.send(sender, burst));
  Packet held[kMaxBurst];
  const uint32_t first = receiver.receive_burst(held, clock_now());
  ASSERT_EQ(first, 4u);
  Packet none[1];
  EXPECT_EQ(receiver.receive_burst(none, clock_now()), 0u);
  EXPECT_GE(count(receiver, PortCounter::rx_no_buffer), 1u);
  receiver.give_back({held, first});
  EXPECT_EQ(harness.receive(receiver, 4).size(), 4u);
}

TEST(MmsgPort, NamesTheReasonAnAddressCannotBeOpened) {
  PortHarness harness;
  MmsgPort port(harness.options());
  EndpointOptions options;
  options.bind = core::UdpAddress::v4(203, 0, 113, 77, 5000);  // TEST-NET-3: on no interface
  const auto absent = port.open_endpoint(options);
  ASSERT_FALSE(absent.has_value());
  EXPECT_NE(absent.error().text.find("203.0.113.77:5000"), std::string::npos);
  EXPECT_NE(absent.error().text.find("no interface"), std::string::npos) << absent.error().text;
  options.bind = {};
  const auto none = port.open_endpoint(options);
  ASSERT_FALSE(none.has_value());
  EXPECT_NE(none.error().text.find("no address given"), std::string::npos) << none.error().text;
  for (const int error : {EADDRINUSE, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, EMFILE, ENOBUFS}) {
    const std::string text = explain_socket_error(core::UdpAddress::v4(192, 0, 2, 1, 80), error);
    EXPECT_EQ(text.find("cannot open UDP 192.0.2.1:80: "), 0u) << text;
    EXPECT_GT(text.size(), std::string("cannot open UDP 192.0.2.1:80: ").size());
  }
}

TEST(PortCounters, HaveADistinctNameAndATextEach) {
  for (uint32_t i = 0; i < static_cast<uint32_t>(PortCounter::kCount); ++i) {
    const auto counter = static_cast<PortCounter>(i);
    EXPECT_STRNE(port_counter_name(counter), "unknown");
    EXPECT_STRNE(port_counter_text(counter), "unknown");
    for (uint32_t k = 0; k < i; ++k)
      EXPECT_STRNE(port_counter_name(counter), port_counter_name(static_cast<PortCounter>(k)));
  }
  EXPECT_STREQ(port_counter_name(PortCounter::kCount), "unknown");
}

}  // namespace
}  // namespace trunkline::io
