// The data path allocates nothing: 100 000 turns of the loop with traffic of every kind, while each call of
// operator new and malloc's C++ front doors is counted. Nor does a sealed handshake, under load or not. An
// executable of its own, because it replaces them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "tests/support/path_harness.h"
#include "tests/support/sealed_harness.h"

namespace {

uint64_t g_allocations = 0;
bool g_counting = false;

void* counted(std::size_t bytes, std::size_t alignment) {
  if (g_counting) ++g_allocations;
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (p == nullptr) std::abort();
  return p;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t));
}
void* operator new[](std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
// Not inlined: g++ would see free() get what operator new gave, and warn of what is right here.
[[gnu::noinline]] static void give_back(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p) noexcept {
  give_back(p);
}
void operator delete[](void* p) noexcept {
  give_back(p);
}
void operator delete(void* p, std::size_t) noexcept {
  give_back(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  give_back(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  give_back(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
  give_back(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  give_back(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  give_back(p);
}

namespace trunkline::tests {
namespace {

using H = PathHarness;

TEST(PacketPathAllocation, TheCounterSeesAnAllocation) {
  g_allocations = 0;
  g_counting = true;
  std::vector<int> v(100);
  g_counting = false;
  EXPECT_EQ(v.size(), 100u);
  EXPECT_GE(g_allocations, 1u);
}

TEST(PacketPathAllocation, OneHundredThousandTurnsWithTrafficAllocateNothing) {
  H h;
  h.port.swallow = true;
  Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(1, 0, TrafficClass::kVideoBase);
  h.local_flow(2, TrafficClass::kAudio, 0, 900);
  h.local_flow(3, TrafficClass::kVideoBase, relay::kNoQueue);
  h.ingest({.flow = 3, .listen = UdpAddress::v4(198, 18, 0, 1, 6000)});
  h.egress(0, UdpAddress::v4(198, 18, 0, 99, 5004));
  for (FlowId flow = 1; flow <= 3; ++flow) {
    h.output(flow, H::to_link(1));
    h.output(flow, H::to_queue(1));
  }
  h.output(3, H::to_egress(0));
  h.run();
  const ByteVector audio = rtp({.bytes = 172}), ask = pli(5);
  uint64_t work = 0;
  for (int turn = 0; turn < 100'000; ++turn) {
    const ByteVector video = rtp({.timestamp = static_cast<uint32_t>(turn), .marker = true, .bytes = 1200});
    // The world around the path may allocate; the path may not.
    h.arrive(from, {record(media(h.label(1), TrafficClass::kVideoBase), video)});
    h.port.put(1, UdpAddress::v4(198, 18, 0, 50, 6001), video);
    h.publish(2, audio);
    if (turn % 16 == 0) h.host_packet(1, relay::HostPacketKind::kFeedback, 1, 500, ask);
    if (turn % 1000 == 0) h.port.accept_runs = 1;  // a full port now and then: drops and requests
    g_allocations = 0;
    g_counting = true;
    h.now += core::from_us(100);
    work += h.path->run_once(h.now);
    g_counting = false;
    ASSERT_EQ(g_allocations, 0u) << "turn " << turn;
    h.port.accept_runs = UINT64_MAX;
    h.rings.queues[1]->to_host.release(static_cast<uint32_t>(h.rings.queues[1]->to_host.peek(64).size()));
    for (relay::CoreEvent event; h.rings.events.try_pop(event);) {
    }
  }
  EXPECT_GE(work, 300'000u);
  EXPECT_GE(h.count(CoreCounter::media_to_links), 290'000u);
  EXPECT_TRUE(h.conserves());
}

// A link comes up, and strangers ask, while media flows; neither may wait for memory.
TEST(SealedHandshakeAllocation, AWholeExchangeUnderLoadAllocatesNothing) {
  relay::test::SealedCluster cluster;
  const auto a_node = cluster.node(1), b_node = cluster.node(2);
  relay::SealedHandshake a(*a_node, relay::Suite::kAes128Gcm), b(*b_node, relay::Suite::kAes128Gcm);
  a.expect(relay::test::peer_of(*b_node));
  b_node->set_under_load(true);
  const auto from = UdpAddress::v4(198, 18, 0, 1, 7000);
  std::array<uint8_t, relay::kMaxHandshakeBytes> message, reply;
  g_allocations = 0;
  g_counting = true;
  a.begin();
  const bool wrote = a.write(relay::kMsg1, {}, message) == message.size();
  const auto stranger = b.admit(message, from, {}, reply);
  const bool got_cookie = a.read_cookie(std::span(reply).first(stranger.reply_length), {});
  a.stamp(message, {});
  const auto proven = b.admit(message, from, {}, reply);
  bool read = b.read(relay::kMsg1, message).ok;
  read = a.read(relay::kMsg2, std::span(message).first(b.write(relay::kMsg2, {}, message))).ok && read;
  read = b.read(relay::kConfirm, std::span(message).first(a.write(relay::kConfirm, {}, message))).ok && read;
  const bool keyed = a.keys().send_secret == b.keys().receive_secret;
  g_counting = false;
  EXPECT_EQ(g_allocations, 0u);
  EXPECT_TRUE(wrote && got_cookie && read && keyed);
  EXPECT_EQ(stranger.verdict, relay::Handshake::Admission::Verdict::kReply);
  EXPECT_EQ(proven.verdict, relay::Handshake::Admission::Verdict::kRead);
}

}  // namespace
}  // namespace trunkline::tests
