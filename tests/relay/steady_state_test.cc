// What a data core does not do per packet: allocate, and enter the kernel. malloc is counted per thread, for
// the threads that are named tl-core-*; system calls are the ports' own counters. In an executable of its
// own, because it replaces malloc.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstring>

#include "tests/support/lab_node.h"

namespace {

std::atomic<uint64_t> core_allocations{0};

// 0: not looked yet; 1: a data core; 2: another thread.
thread_local int kind_of_thread = 0;

void count() {
  if (kind_of_thread == 0) {
    kind_of_thread = 2;  // pthread_getname_np may allocate
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    // A thread is named by its maker just after its start: look again until it has a name of its own.
    kind_of_thread = std::strncmp(name, "tl-core-", 8) == 0 ? 1 : std::strncmp(name, "tl-", 3) == 0 ? 2 : 0;
  }
  if (kind_of_thread == 1) core_allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" void* __libc_malloc(size_t);
extern "C" void* __libc_calloc(size_t, size_t);
extern "C" void* __libc_realloc(void*, size_t);
extern "C" void* malloc(size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
extern "C" void* calloc(size_t n, size_t bytes) {
  count();
  return __libc_calloc(n, bytes);
}
extern "C" void* realloc(void* old, size_t bytes) {
  count();
  return __libc_realloc(old, bytes);
}

namespace trunkline::tests {
namespace {

constexpr uint32_t kBurst = 32;

// Sends `bursts` bursts of full-size packets, reading what arrives; returns how many arrived.
uint64_t stream(Queue& from, Queue& to, Handle publication, uint32_t bursts) {
  static std::vector<std::vector<uint8_t>> bytes;
  if (bytes.empty()) {
    for (uint32_t i = 0; i < kBurst; ++i) bytes.push_back(rtp_packet(static_cast<uint16_t>(i), 1'200));
  }
  std::vector<Packet> out(kBurst), room(256);
  for (uint32_t i = 0; i < kBurst; ++i) {
    out[i].data = bytes[i].data();
    out[i].length = 1'200;
    out[i].handle = publication;
  }
  uint64_t received = 0;
  const auto drain = [&] {
    for (;;) {
      const size_t n = to.receive(room).size();
      to.done();
      received += n;
      if (n == 0) return;
    }
  };
  for (uint32_t burst = 0; burst < bursts; ++burst) {
    for (uint32_t sent = 0; sent < kBurst;) {
      const auto taken = from.send({out.data() + sent, kBurst - sent});
      if (!taken) return received;
      sent += *taken;
      if (*taken == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    drain();
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  eventually(
      [&] {
        drain();
        return received == uint64_t{bursts} * kBurst;
      },
      500);
  return received;
}

TEST(SteadyState, DataCoresNeitherAllocateNorEnterTheKernelPerPacket) {
  TwoNodes nodes(45'900);
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue from = std::move(*nodes.a().queue(0)), to = std::move(*nodes.b().queue(0));
  const Relayed track = relay_track(from, to, "camera", TL_CLASS_VIDEO_BASE);
  EXPECT_EQ(stream(from, to, track.publication, 200), 200u * kBurst);  // everything is touched once

  const uint64_t allocations = core_allocations;
  const int64_t calls_a = stat(nodes.a(), "port", "syscalls"), calls_b = stat(nodes.b(), "port", "syscalls");
  constexpr uint32_t kBursts = 2'000;
  constexpr int64_t kPackets = int64_t{kBursts} * kBurst;
  EXPECT_EQ(stream(from, to, track.publication, kBursts), static_cast<uint64_t>(kPackets));
  EXPECT_EQ(core_allocations, allocations) << "a data core allocated in steady state";

  const auto per_packet = [&](const Node& node, int64_t before) {
    return static_cast<double>(stat(node, "port", "syscalls") - before) / kPackets;
  };
  const double sender = per_packet(nodes.a(), calls_a), receiver = per_packet(nodes.b(), calls_b);
  std::printf("%.3f system calls per packet at the sender, %.3f at the receiver\n", sender, receiver);
  // A burst of 32 is one transmit call; the rest is looking for more before a sleep, bounded per wake-up.
  EXPECT_LT(sender, 1.0);
  EXPECT_LT(receiver, 1.0);
}

// Without this the test above could pass because it counts nothing.
TEST(SteadyState, TheAllocationCounterCounts) {
  const uint64_t before = core_allocations;
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void*) -> void* {
                  pthread_setname_np(pthread_self(), "tl-core-test");
                  return ::operator new(64);
                },
                nullptr),
            0);
  void* block = nullptr;
  pthread_join(thread, &block);
  ::operator delete(block);
  EXPECT_GT(core_allocations, before);
}

}  // namespace
}  // namespace trunkline::tests
