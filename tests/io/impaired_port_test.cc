// The impaired port over the simulated one: exact delays in virtual time, and no sleep in the test.
#include "io/impaired_port.h"

#include <gtest/gtest.h>

#include "io/mmsg_port.h"
#include "io/sim_port.h"
#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

using core::Packet;
using core::UdpAddress;

// Writes down what was carried, and when.
struct RecordingWire final : SimWire {
  struct Entry {
    UdpAddress to;
    std::string bytes;
    Nanos at;
  };
  std::vector<Entry> entries;
  void carry(const UdpAddress&, const UdpAddress& to, std::span<const uint8_t> datagram, Nanos now) override {
    entries.push_back({to, std::string(datagram.begin(), datagram.end()), now});
  }
};

const UdpAddress kHere = UdpAddress::v4(10, 0, 0, 1, 1000);
const UdpAddress kTokyo = UdpAddress::v4(10, 0, 7, 7, 2000);
const UdpAddress kLondon = UdpAddress::v4(10, 0, 9, 9, 2000);

class ImpairedPortTest : public testing::Test {
 protected:
  std::unique_ptr<ImpairedPort> make(const Impairment& to_tokyo, uint32_t capacity = 64) {
    ImpairedOptions options;
    options.pages = &harness_.pages();
    options.capacity = capacity;
    options.seed = 7;
    auto inner = std::make_unique<SimPort>(wire_, harness_.pages(), kHere);
    return std::make_unique<ImpairedPort>(std::move(inner), std::vector<ImpairedPath>{{kTokyo, 32, to_tokyo}},
                                          options);
  }
  void transmit(Port& port, std::vector<Packet> packets, Nanos now) {
    ASSERT_EQ(port.transmit_burst(packets, now), packets.size());
  }

  PortHarness harness_;
  RecordingWire wire_;
};

TEST_F(ImpairedPortTest, DelaysOnlyTheChosenDestinationAndSaysWhenItIsDue) {
  Impairment impairment;
  impairment.delay = core::from_ms(70);
  auto port = make(impairment);
  EXPECT_EQ(port->next_due(), core::kNever);
  transmit(*port, {harness_.packet("far", kTokyo), harness_.packet("near", kLondon)}, core::from_ms(1));
  EXPECT_EQ(harness_.in_use(), 0u);  // copied, or sent
  ASSERT_EQ(wire_.entries.size(), 1u);
  EXPECT_EQ(wire_.entries[0].bytes, "near");
  EXPECT_EQ(port->next_due(), core::from_ms(71));
  EXPECT_EQ(port->waiting(), 1u);
  port->poll(core::from_ms(71) - Nanos{1});
  EXPECT_EQ(wire_.entries.size(), 1u);
  port->poll(core::from_ms(71));
  ASSERT_EQ(wire_.entries.size(), 2u);
  EXPECT_EQ(wire_.entries[1].bytes, "far");
  EXPECT_EQ(wire_.entries[1].to, kTokyo);
  EXPECT_EQ(port->next_due(), core::kNever);
}

TEST_F(ImpairedPortTest, SplitsRunsAndLosesDatagramsOfThemOneByOne) {
  Impairment impairment;
  impairment.loss = 0.5;
  auto port = make(impairment);
  std::string run;
  for (uint32_t i = 0; i < 40; ++i) run += content(i, 50);
  transmit(*port, {harness_.packet(run, kTokyo, 0, 50)}, Nanos{});
  const uint64_t lost = port->counters().value(PortCounter::impaired_lost);
  EXPECT_GT(lost, 5u);
  EXPECT_LT(lost, 35u);
  EXPECT_EQ(wire_.entries.size() + lost, 40u);
  EXPECT_EQ(port->model(0).counters().lost, lost);
  for (const auto& entry : wire_.entries) EXPECT_EQ(entry.bytes.size(), 50u);
}

TEST_F(ImpairedPortTest, DuplicatesAndCorruptsOneBitOfTheFirstCopy) {
  Impairment impairment;
  impairment.duplicate = 1;
  impairment.corrupt = 1;
  auto port = make(impairment);
  const std::string sent = content(1, 300);
  transmit(*port, {harness_.packet(sent, kTokyo)}, Nanos{});
  ASSERT_EQ(wire_.entries.size(), 2u);
  EXPECT_EQ(wire_.entries[1].bytes, sent);
  uint32_t bits = 0;
  for (size_t i = 0; i < sent.size(); ++i)
    bits +=
        static_cast<uint32_t>(__builtin_popcount(static_cast<uint8_t>(sent[i] ^ wire_.entries[0].bytes[i])));
  EXPECT_EQ(bits, 1u);
  EXPECT_EQ(port->counters().value(PortCounter::impaired_duplicated), 1u);
  EXPECT_EQ(port->counters().value(PortCounter::impaired_corrupted), 1u);
  EXPECT_EQ(port->counters().value(PortCounter::tx_datagrams), 2u);
}

TEST_F(ImpairedPortTest, CountsWhatItsMemoryCannotHoldAndGoesOn) {
  Impairment impairment;
  impairment.delay = core::from_ms(1);
  auto port = make(impairment, 8);
  std::vector<Packet> burst;
  for (uint32_t i = 0; i < 12; ++i) burst.push_back(harness_.packet(content(i, 20), kTokyo));
  transmit(*port, burst, Nanos{});
  EXPECT_EQ(port->counters().value(PortCounter::impaired_overflow), 4u);
  EXPECT_EQ(harness_.in_use(), 0u);
  port->poll(core::from_ms(1));
  ASSERT_EQ(wire_.entries.size(), 8u);
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(wire_.entries[i].bytes, content(i, 20));
  transmit(*port, {harness_.packet(content(99, 3000), kTokyo)},
           core::from_ms(2));  // longer than datagram_bytes
  EXPECT_EQ(port->counters().value(PortCounter::impaired_overflow), 5u);
  transmit(*port, {harness_.packet("fits", kTokyo)}, core::from_ms(2));
  EXPECT_EQ(port->waiting(), 1u);
}

TEST_F(ImpairedPortTest, EmitsInOrderOfDueTimeThroughManyInsertions) {
  Impairment impairment;
  impairment.reorder = 0.3;
  impairment.reorder_extra = core::from_us(500);
  auto port = make(impairment, 4096);
  for (uint32_t i = 0; i < 2000; ++i)
    transmit(*port, {harness_.packet(content(i, 20), kTokyo)}, core::from_us(i));
  while (port->next_due() != core::kNever) port->poll(port->next_due());
  ASSERT_EQ(wire_.entries.size(), 2000u);
  uint32_t overtaken = 0;
  uint32_t highest = 0;
  for (const auto& entry : wire_.entries) {
    uint32_t number = 0;
    std::memcpy(&number, entry.bytes.data(), sizeof number);
    overtaken += number < highest;
    highest = std::max(highest, number);
  }
  EXPECT_NEAR(static_cast<double>(overtaken), 600, 110);  // 2000 x 0.3, five deviations
}

TEST_F(ImpairedPortTest, CutsOneWayAndHeals) {
  Impairment impairment;
  impairment.cut = true;
  auto port = make(impairment);
  transmit(*port, {harness_.packet("gone", kTokyo), harness_.packet("near", kLondon)}, Nanos{});
  ASSERT_EQ(wire_.entries.size(), 1u);
  EXPECT_EQ(port->counters().value(PortCounter::impaired_lost), 1u);
  port->set(0, Impairment{});
  transmit(*port, {harness_.packet("back", kTokyo)}, Nanos{1});
  EXPECT_EQ(wire_.entries.back().bytes, "back");
}

TEST(ImpairedPath, MatchesByPrefixAndPort) {
  struct Row {
    const char* to;
    uint8_t prefix_bits;
    bool any_port;
    const char* destination;
    bool matches;
  };
  const Row rows[] = {
      {"10.1.2.3:5000", 32, false, "10.1.2.3:5000", true},
      {"10.1.2.3:5000", 32, false, "10.1.2.3:5001", false},
      {"10.1.2.3:5000", 32, true, "10.1.2.3:5001", true},
      {"10.1.2.3:5000", 32, true, "10.1.2.4:5000", false},
      {"10.1.2.3:5000", 24, true, "10.1.2.4:9", true},
      {"10.1.2.3:5000", 23, true, "10.1.3.9:9", true},
      {"10.1.2.3:5000", 23, true, "10.1.4.9:9", false},
      {"10.1.2.3:5000", 0, true, "192.0.2.1:9", true},
      {"10.1.2.3:5000", 0, true, "[::1]:9", false},
      {"[2001:2::1]:5000", 48, true, "[2001:2:0:ffff::2]:9", true},
      {"[2001:2::1]:5000", 48, true, "[2001:2:1::2]:9", false},
      {"[2001:2::1]:5000", 128, true, "[2001:2::1]:9", true},
  };
  for (const Row& row : rows) {
    ImpairedPath path{*UdpAddress::parse(row.to), row.prefix_bits, {}};
    if (row.any_port) path.to.port = 0;
    EXPECT_EQ(path.matches(*UdpAddress::parse(row.destination)), row.matches)
        << row.to << "/" << int{row.prefix_bits} << " " << row.destination;
  }
}

TEST(ImpairedPortOverSockets, HoldsADatagramForItsDelayAndNotMuchLonger) {
  PortHarness harness;
  MmsgPort receiver(harness.options());
  open(receiver, loopback4());
  Impairment impairment;
  impairment.delay = core::from_ms(20);
  ImpairedOptions options;
  options.pages = &harness.pages();
  ImpairedPort sender(std::make_unique<MmsgPort>(harness.options()), {{loopback4(), 8, impairment}}, options);
  open(sender, loopback4());
  Packet packet = harness.packet("slow", receiver.endpoint_address(0));
  const Nanos start = clock_now();
  ASSERT_EQ(sender.transmit_burst({&packet, 1}, start), 1u);
  EXPECT_EQ(sender.next_due(), start + core::from_ms(20));
  std::vector<Datagram> got;
  while (got.empty() && clock_now() - start < core::from_ms(500)) {
    const Nanos now = clock_now();
    sender.wait(SleepUntil::kBatch, std::min(sender.next_due(), now + core::from_ms(5)) - now);
    sender.poll(clock_now());
    harness.receive_once(receiver, got);
  }
  const Nanos took = clock_now() - start;
  ASSERT_EQ(got.size(), 1u);
  EXPECT_GE(took, core::from_ms(20));
  EXPECT_LT(took, core::from_ms(300));  // a shared machine may be late, but not for ever
}

}  // namespace
}  // namespace trunkline::io
