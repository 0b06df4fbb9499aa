// What happens when the socket has no room: the rest of the burst stays the caller's, nothing is lost,
// nothing is sent twice, and the port goes on as soon as there is room.
#include <gtest/gtest.h>

#include <thread>

#include "io/mmsg_port.h"
#include "tests/io/port_harness.h"
#include "tests/io/tap_world.h"

namespace trunkline::io {
namespace {

using core::Packet;

// Runs `body` in a TapWorld on a thread of its own. What it returns, if anything, is why the test is skipped.
std::string in_tap_world(const std::function<void(TapWorld&)>& body) {
  std::string why_not;
  std::thread([&] {
    TapWorld world;
    why_not = world.enter();
    if (why_not.empty()) body(world);
  }).join();
  return why_not;
}

void open_with_least_buffer(Port& port) {
  EndpointOptions options;
  options.bind = TapWorld::here();
  options.send_buffer_bytes = 1;  // the kernel's least: room for two or three datagrams
  ASSERT_TRUE(port.open_endpoint(options).has_value());
}

// Sends the rest until it is gone; what leaves the tap meanwhile is appended to `left`.
void send_rest(Port& port, std::span<Packet> rest, TapWorld& world, std::vector<std::string>& left) {
  const Nanos end = clock_now() + core::from_ms(500);
  while (!rest.empty() && clock_now() < end) {
    rest = rest.subspan(port.transmit_burst(rest, clock_now()));
    for (std::string& payload : world.left()) left.push_back(std::move(payload));
  }
  EXPECT_TRUE(rest.empty());
  for (std::string& payload : world.left()) left.push_back(std::move(payload));
}

TEST(FullSocket, LeavesTheRestOfTheBurstToTheCaller) {
  const std::string why_not = in_tap_world([](TapWorld& world) {
    PortHarness harness;
    MmsgPort port(harness.options());
    open_with_least_buffer(port);
    constexpr uint32_t kCount = 40;
    std::vector<Packet> burst;
    for (uint32_t i = 0; i < kCount; ++i)
      burst.push_back(harness.packet(content(i, 1000 + i), TapWorld::neighbour()));

    const uint32_t taken = port.transmit_burst(burst, clock_now());
    ASSERT_GT(taken, 0u);
    ASSERT_LT(taken, kCount);
    EXPECT_EQ(harness.in_use(), kCount - taken);
    EXPECT_EQ(port.counters().value(PortCounter::tx_datagrams), taken);
    EXPECT_EQ(port.counters().value(PortCounter::tx_refused), kCount - taken);
    EXPECT_EQ(port.counters().value(PortCounter::tx_errors), 0u);

    ASSERT_TRUE(world.reveal_neighbour());
    std::vector<std::string> left = world.left();
    send_rest(port, std::span(burst).subspan(taken), world, left);
    ASSERT_EQ(left.size(), kCount);
    for (uint32_t i = 0; i < kCount; ++i) EXPECT_EQ(left[i], content(i, 1000 + i));
    EXPECT_EQ(harness.in_use(), 0u);
  });
  if (!why_not.empty()) GTEST_SKIP() << "no tap interface in a namespace of our own: " << why_not;
}

TEST(FullSocket, ShortensARunThatWasSentInPart) {
  const std::string why_not = in_tap_world([](TapWorld& world) {
    PortHarness harness;
    PortOptions options = harness.options();
    options.gso = false;  // so that the run leaves datagram by datagram
    MmsgPort port(options);
    open_with_least_buffer(port);
    constexpr uint32_t kCount = 30;
    std::string run;
    for (uint32_t i = 0; i < kCount; ++i) run += content(i, 1200);
    std::vector<Packet> burst{harness.packet(run, TapWorld::neighbour(), 0, 1200)};

    ASSERT_EQ(port.transmit_burst(burst, clock_now()), 0u);
    const auto sent = static_cast<uint32_t>(port.counters().value(PortCounter::tx_datagrams));
    ASSERT_GT(sent, 0u);
    ASSERT_LT(sent, kCount);
    EXPECT_EQ(burst[0].datagrams(), kCount - sent);
    EXPECT_EQ(port.counters().value(PortCounter::tx_refused), kCount - sent);

    ASSERT_TRUE(world.reveal_neighbour());
    std::vector<std::string> left = world.left();
    send_rest(port, burst, world, left);
    ASSERT_EQ(left.size(), kCount);
    for (uint32_t i = 0; i < kCount; ++i) EXPECT_EQ(left[i], content(i, 1200));
    EXPECT_EQ(harness.in_use(), 0u);
  });
  if (!why_not.empty()) GTEST_SKIP() << "no tap interface in a namespace of our own: " << why_not;
}

}  // namespace
}  // namespace trunkline::io
