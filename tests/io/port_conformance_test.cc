// What every socket port must do, run against each of them over loopback: the same table of behaviours, so
// that a loop cannot tell the ports apart but by their speed.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "io/impaired_port.h"
#include "io/mmsg_port.h"
#include "io/udp_socket.h"
#include "io/uring_port.h"
#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

using core::Packet;

struct PortKindUnderTest {
  const char* name;
  std::unique_ptr<Port> (*make)(PortHarness& harness, std::string& why_not);
};

std::unique_ptr<Port> make_mmsg(PortHarness& harness, std::string&) {
  return std::make_unique<MmsgPort>(harness.options());
}
std::unique_ptr<Port> make_mmsg_without_gso(PortHarness& harness, std::string&) {
  PortOptions options = harness.options();
  options.gso = false;
  return std::make_unique<MmsgPort>(options);
}

std::unique_ptr<Port> make_uring(PortHarness& harness, std::string& why_not) {
  auto port = make_uring_port(harness.options());
  if (!port) why_not = port.error().text;
  return port ? std::move(*port) : nullptr;
}
std::unique_ptr<Port> make_uring_without_gso(PortHarness& harness, std::string& why_not) {
  PortOptions options = harness.options();
  options.gso = false;
  auto port = make_uring_port(options);
  if (!port) why_not = port.error().text;
  return port ? std::move(*port) : nullptr;
}

// An impaired wire that does nothing, around all destinations: every datagram is taken out, kept and sent on.
std::unique_ptr<Port> make_impaired(PortHarness& harness, std::string&) {
  ImpairedOptions options;
  options.pages = &harness.pages();
  options.capacity = 256;
  options.datagram_bytes = 64u << 10;
  return std::make_unique<ImpairedPort>(std::make_unique<MmsgPort>(harness.options()),
                                        std::vector<ImpairedPath>{{loopback4(), 0, {}}, {loopback6(), 0, {}}},
                                        options);
}

class PortConformance : public testing::TestWithParam<PortKindUnderTest> {
 protected:
  void SetUp() override {
    std::string why_not;
    a_ = GetParam().make(harness_, why_not);
    if (a_ != nullptr) b_ = GetParam().make(harness_, why_not);
    if (a_ == nullptr || b_ == nullptr) GTEST_SKIP() << GetParam().name << ": " << why_not;
  }
  void TearDown() override {
    if (a_ == nullptr || b_ == nullptr) return;
    EXPECT_TRUE(harness_.settles(*a_)) << harness_.in_use() << " transmitted buffers never came back";
  }
  static uint64_t count(const Port& port, PortCounter counter) { return port.counters().value(counter); }

  PortHarness harness_;
  std::unique_ptr<Port> a_;
  std::unique_ptr<Port> b_;
};

TEST_P(PortConformance, DeliversContentSourceAndEndpointInOrder) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  const auto to = b_->endpoint_address(0);
  constexpr uint32_t kCount = 200;
  for (uint32_t first = 0; first < kCount; first += 20) {
    std::vector<Packet> burst;
    for (uint32_t i = first; i < first + 20; ++i) burst.push_back(harness_.packet(content(i, 100 + i), to));
    ASSERT_TRUE(harness_.send(*a_, burst));
  }
  const auto got = harness_.receive(*b_, kCount, a_.get());
  ASSERT_EQ(got.size(), kCount);
  for (uint32_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(got[i].bytes, content(i, 100 + i)) << "datagram " << i;
    EXPECT_EQ(got[i].from, a_->endpoint_address(0));
    EXPECT_EQ(got[i].endpoint, 0);
  }
  EXPECT_EQ(count(*a_, PortCounter::tx_datagrams), kCount);
  EXPECT_EQ(count(*b_, PortCounter::rx_datagrams), kCount);
  EXPECT_EQ(count(*a_, PortCounter::tx_bytes), count(*b_, PortCounter::rx_bytes));
}

TEST_P(PortConformance, CarriesOverIPv6) {
  EndpointOptions options;
  options.bind = loopback6();
  if (!a_->open_endpoint(options)) GTEST_SKIP() << "this host has no IPv6 loopback";
  open(*b_, loopback6());
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet(content(7, 1200), b_->endpoint_address(0))}));
  const auto got = harness_.receive(*b_, 1, a_.get());
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].bytes, content(7, 1200));
  EXPECT_EQ(got[0].from, a_->endpoint_address(0));
}

TEST_P(PortConformance, CarriesARunWithAShorterLastDatagram) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  std::string run;
  for (uint32_t i = 0; i < 9; ++i) run += content(i, 1200);
  run += content(9, 333);
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet(run, b_->endpoint_address(0), 0, 1200)}));
  const auto got = harness_.receive(*b_, 10, a_.get());
  ASSERT_EQ(got.size(), 10u);
  for (uint32_t i = 0; i < 9; ++i) EXPECT_EQ(got[i].bytes, content(i, 1200));
  EXPECT_EQ(got[9].bytes, content(9, 333));
  EXPECT_EQ(count(*a_, PortCounter::tx_datagrams), 10u);
}

TEST_P(PortConformance, CarriesTheLongestRunAndTheLargestDatagram) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  std::string run;
  for (uint32_t i = 0; i < kMaxRunSegments; ++i) run += content(i, 1000);
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet(run, b_->endpoint_address(0), 0, 1000),
                                  harness_.packet(content(99, 65'507), b_->endpoint_address(0))}));
  const auto got = harness_.receive(*b_, kMaxRunSegments + 1, a_.get());
  ASSERT_EQ(got.size(), kMaxRunSegments + 1);
  EXPECT_EQ(got[kMaxRunSegments - 1].bytes, content(kMaxRunSegments - 1, 1000));
  EXPECT_EQ(got[kMaxRunSegments].bytes, content(99, 65'507));
}

TEST_P(PortConformance, CarriesAnEmptyDatagram) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  const auto to = b_->endpoint_address(0);
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet("", to), harness_.packet("after", to)}));
  const auto got = harness_.receive(*b_, 2, a_.get());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].bytes, "");
  EXPECT_EQ(got[1].bytes, "after");
}

TEST_P(PortConformance, KeepsManyDestinationsAndSizesApartInOneBurst) {
  open(*a_, loopback4());
  constexpr uint16_t kReceivers = 4;
  for (uint16_t i = 0; i < kReceivers; ++i) open(*b_, loopback4());
  // Neighbours of equal size to one place, neighbours that differ in size, neighbours that differ in place.
  std::vector<Packet> burst;
  std::vector<std::vector<std::string>> expected(kReceivers);
  for (uint32_t i = 0; i < kMaxBurst; ++i) {
    const auto receiver = static_cast<uint16_t>((i / 3) % kReceivers);
    const std::string bytes = content(i, i % 5 == 0 ? 300 : 200);
    burst.push_back(harness_.packet(bytes, b_->endpoint_address(receiver)));
    expected[receiver].push_back(bytes);
  }
  ASSERT_TRUE(harness_.send(*a_, burst));
  std::vector<std::vector<std::string>> got(kReceivers);
  for (const Datagram& d : harness_.receive(*b_, kMaxBurst, a_.get())) got[d.endpoint].push_back(d.bytes);
  EXPECT_EQ(got, expected);
}

TEST_P(PortConformance, ServesHundredsOfEndpointsFairly) {
  open(*a_, loopback4());
  constexpr uint16_t kEndpoints = 300;
  for (uint16_t i = 0; i < kEndpoints; ++i) ASSERT_EQ(open(*b_, loopback4()), i);
  // Endpoint 0 is flooded; every other one gets a single datagram.
  for (uint32_t round = 0; round < 5; ++round) {
    std::vector<Packet> flood;
    for (uint32_t i = 0; i < 40; ++i)
      flood.push_back(harness_.packet(content(i, 50 + i), b_->endpoint_address(0)));
    ASSERT_TRUE(harness_.send(*a_, flood));
  }
  for (uint16_t first = 1; first < kEndpoints; first = static_cast<uint16_t>(first + 50)) {
    std::vector<Packet> burst;
    for (uint16_t i = first; i < std::min<uint16_t>(kEndpoints, static_cast<uint16_t>(first + 50)); ++i)
      burst.push_back(harness_.packet(content(i, 64), b_->endpoint_address(i)));
    ASSERT_TRUE(harness_.send(*a_, burst));
  }
  const auto got = harness_.receive(*b_, 200 + kEndpoints - 1, a_.get());
  ASSERT_EQ(got.size(), 200u + kEndpoints - 1);
  std::vector<uint32_t> per_endpoint(kEndpoints);
  for (const Datagram& d : got) ++per_endpoint[d.endpoint];
  EXPECT_EQ(per_endpoint[0], 200u);
  for (uint16_t i = 1; i < kEndpoints; ++i) EXPECT_EQ(per_endpoint[i], 1u) << "endpoint " << i;
}

TEST_P(PortConformance, SendsFromTheEndpointThatThePacketNames) {
  for (int i = 0; i < 3; ++i) open(*a_, loopback4());
  open(*b_, loopback4());
  const auto to = b_->endpoint_address(0);
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet("zero", to, 0), harness_.packet("two!", to, 2),
                                  harness_.packet("one!", to, 1), harness_.packet("two?", to, 2)}));
  const auto got = harness_.receive(*b_, 4, a_.get());
  ASSERT_EQ(got.size(), 4u);
  for (const Datagram& d : got) {
    const uint16_t endpoint = d.bytes == "zero" ? 0 : d.bytes == "one!" ? 1 : 2;
    EXPECT_EQ(d.from, a_->endpoint_address(endpoint)) << d.bytes;
  }
}

TEST_P(PortConformance, DropsWhatTheKernelRefusesAndSendsTheRest) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  const auto to = b_->endpoint_address(0);
  auto unreachable = core::UdpAddress::v4(255, 255, 255, 255, 9);  // broadcast without SO_BROADCAST: EACCES
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet("before", to), harness_.packet("nowhere", unreachable),
                                  harness_.packet("behind", to)}));
  const auto got = harness_.receive(*b_, 2, a_.get());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].bytes, "before");
  EXPECT_EQ(got[1].bytes, "behind");
  ASSERT_TRUE(harness_.settles(*a_));
  EXPECT_EQ(count(*a_, PortCounter::tx_errors), 1u);
  EXPECT_EQ(count(*a_, PortCounter::tx_datagrams), 2u);
}

TEST_P(PortConformance, LeaksNoBufferOverManyBursts) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  // Many times more packets than either side has buffers, so one lost per burst would stop it.
  uint32_t received = 0;
  for (uint32_t round = 0; round < 400; ++round) {
    std::vector<Packet> burst;
    for (uint32_t i = 0; i < 8; ++i)
      burst.push_back(harness_.packet(content(i, 100 + round % 3 + i % 2), b_->endpoint_address(0)));
    ASSERT_TRUE(harness_.send(*a_, burst));
    received += static_cast<uint32_t>(harness_.receive(*b_, 8, a_.get()).size());
  }
  EXPECT_EQ(received, 400u * 8);
  EXPECT_EQ(count(*b_, PortCounter::rx_no_buffer), 0u);
  EXPECT_TRUE(harness_.settles(*a_));
}

TEST_P(PortConformance, HonoursASpanShorterThanABurst) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  std::vector<Packet> burst;
  for (uint32_t i = 0; i < 10; ++i)
    burst.push_back(harness_.packet(content(i, 60 + i), b_->endpoint_address(0)));
  ASSERT_TRUE(harness_.send(*a_, burst));
  std::vector<Datagram> got;
  const Nanos end = clock_now() + core::from_ms(500);
  while (got.size() < 10 && clock_now() < end) {
    a_->poll(clock_now());
    EXPECT_LE(harness_.receive_once(*b_, got, 3), 3u);
  }
  ASSERT_EQ(got.size(), 10u);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(got[i].bytes, content(i, 60 + i));
}

TEST_P(PortConformance, WaitForAnyPacketEndsWhenOneArrives) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  b_->poll(clock_now());
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet("knock", b_->endpoint_address(0))}));
  harness_.settles(*a_);
  const Nanos start = clock_now();
  b_->wait(SleepUntil::kAnyPacket, core::from_ms(1000));
  EXPECT_LT(clock_now() - start, core::from_ms(500));
  EXPECT_EQ(harness_.receive(*b_, 1).size(), 1u);
}

TEST_P(PortConformance, WaitForAnyPacketEndsWhenOneArrivesMeanwhile) {
  open(*b_, loopback4());
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(b_->endpoint_address(0).port);
  const FileDescriptor sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (uint32_t round = 1; round <= 3; ++round) {  // a first sleep may differ from later ones
    b_->poll(clock_now());
    std::thread knocker([&] {  // not by a_: a port stays with its thread
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ::sendto(sender.get(), "knock", 5, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    });
    const Nanos start = clock_now();
    b_->wait(SleepUntil::kAnyPacket, core::from_ms(1000));
    EXPECT_LT(clock_now() - start, core::from_ms(500)) << "round " << round;
    knocker.join();
    EXPECT_EQ(harness_.receive(*b_, 1).size(), 1u);
    EXPECT_EQ(count(*b_, PortCounter::wakeups), round);
  }
}

TEST_P(PortConformance, WaitKeepsItsBoundWhenNothingHappens) {
  open(*b_, loopback4());
  for (const SleepUntil until : {SleepUntil::kAnyPacket, SleepUntil::kBatch}) {
    b_->poll(clock_now());
    b_->wait(until, core::from_ms(1));  // the first one may pay for set-up
    const Nanos start = clock_now();
    b_->wait(until, core::from_ms(20));
    const Nanos slept = clock_now() - start;
    EXPECT_GE(slept, core::from_us(19'900));
    EXPECT_LT(slept, core::from_ms(300));  // a shared machine may keep us waiting, but not for ever
  }
}

TEST_P(PortConformance, WaitForABatchSleepsThroughASinglePacket) {
  open(*a_, loopback4());
  open(*b_, loopback4());
  b_->poll(clock_now());
  ASSERT_TRUE(harness_.send(*a_, {harness_.packet("one", b_->endpoint_address(0))}));
  harness_.settles(*a_);
  const Nanos start = clock_now();
  b_->wait(SleepUntil::kBatch, core::from_ms(30));
  EXPECT_GE(clock_now() - start, core::from_us(29'900));
  EXPECT_EQ(harness_.receive(*b_, 1).size(), 1u);
}

TEST_P(PortConformance, WakeFromAnotherThreadEndsEitherWait) {
  open(*b_, loopback4());
  for (const SleepUntil until : {SleepUntil::kAnyPacket, SleepUntil::kBatch}) {
    b_->poll(clock_now());
    std::thread waker([this] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      b_->wake();
    });
    const Nanos start = clock_now();
    b_->wait(until, core::from_ms(1500));
    EXPECT_LT(clock_now() - start, core::from_ms(1000));
    waker.join();
  }
  EXPECT_EQ(count(*b_, PortCounter::wakeups), 2u);
}

TEST_P(PortConformance, WakeBeforeTheWaitIsNotLost) {
  open(*b_, loopback4());
  b_->poll(clock_now());
  b_->wake();
  const Nanos start = clock_now();
  b_->wait(SleepUntil::kBatch, core::from_ms(1500));
  EXPECT_LT(clock_now() - start, core::from_ms(1000));
  // And it ends one wait only.
  const Nanos again = clock_now();
  b_->wait(SleepUntil::kBatch, core::from_ms(20));
  EXPECT_GE(clock_now() - again, core::from_us(19'900));
}

TEST_P(PortConformance, RefusesAnAddressInUseAndSaysWhatToDo) {
  open(*a_, loopback4());
  EndpointOptions options;
  options.bind = a_->endpoint_address(0);
  const auto second = b_->open_endpoint(options);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().text.find(options.bind.to_string()), std::string::npos) << second.error().text;
  EXPECT_NE(second.error().text.find("in use"), std::string::npos) << second.error().text;
  EXPECT_NE(second.error().text.find("ss -ulpn"), std::string::npos) << second.error().text;
}

TEST_P(PortConformance, WaitsForAnAddressInUseNoLongerThanItIsToldTo) {
  open(*a_, loopback4());
  EndpointOptions options;
  options.bind = a_->endpoint_address(0);
  options.patience = core::from_ms(50);
  const Nanos start = clock_now();
  EXPECT_FALSE(b_->open_endpoint(options).has_value());
  EXPECT_LT(clock_now() - start, core::from_ms(1000));
}

TEST_P(PortConformance, TakesAnAddressThatIsGivenUpWhileItWaits) {
  EndpointOptions options;
  options.bind = loopback4();
  auto holder = open_udp_socket(options);
  ASSERT_TRUE(holder.has_value()) << holder.error().text;
  options.bind = holder->address;
  options.patience = core::from_s(10);
  std::thread giving_up([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    holder->fd.reset();
  });
  const auto endpoint = a_->open_endpoint(options);
  giving_up.join();
  EXPECT_TRUE(endpoint.has_value()) << endpoint.error().text;
}

TEST_P(PortConformance, FreesItsAddressWhenItGoes) {
  open(*b_, loopback4());
  EndpointOptions options;
  options.bind = loopback4();
  for (int i = 0; i < 5; ++i) {
    std::string why_not;
    auto port = GetParam().make(harness_, why_not);
    ASSERT_NE(port, nullptr) << why_not;
    const auto endpoint = port->open_endpoint(options);
    ASSERT_TRUE(endpoint.has_value()) << endpoint.error().text;
    options.bind = port->endpoint_address(0);
    port->poll(clock_now());  // from here on the kernel may hold the socket for a receive of ours
    ASSERT_TRUE(harness_.send(*port, {harness_.packet("last words", b_->endpoint_address(0))}));
  }
}

TEST_P(PortConformance, DescribesItself) {
  open(*a_, loopback4());
  EXPECT_NE(a_->describe().find(a_->name()), std::string::npos);
  EXPECT_NE(a_->describe().find("GRO"), std::string::npos);
  EXPECT_NE(a_->describe().find("GSO"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Ports, PortConformance,
                         testing::Values(PortKindUnderTest{"mmsg", make_mmsg},
                                         PortKindUnderTest{"mmsg_without_gso", make_mmsg_without_gso},
                                         PortKindUnderTest{"uring", make_uring},
                                         PortKindUnderTest{"uring_without_gso", make_uring_without_gso},
                                         PortKindUnderTest{"impaired", make_impaired}),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace trunkline::io
