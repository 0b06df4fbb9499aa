// PacketReturn between two threads: the borrower checks the bytes that the lender wrote, writes its own, and
// the lender checks these when the buffer comes round again. Bytes of two owners, or a buffer that is given
// out while it is lent, cannot pass.
#include "core/packet_return.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <thread>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

constexpr uint32_t kBuffers = 64;
constexpr uint32_t kBytes = 128;
constexpr uint64_t kPackets = 50'000;  // well under a second, also under ThreadSanitizer

struct Shared {
  explicit Shared(uint32_t limit) : home(pool, limit) {}
  HeapPageSource pages;
  PacketPool pool{kBuffers, kBytes, pages};
  SpscRing<Packet> there{256};
  PacketReturn<> home;
};

void stamp(uint8_t* bytes, uint64_t value) {
  for (uint32_t i = 0; i < kBytes; i += 8) {
    const uint64_t word = value * 0x9e3779b97f4a7c15u + i;
    std::memcpy(bytes + i, &word, 8);
  }
}

bool stamped(const uint8_t* bytes, uint64_t value) {
  for (uint32_t i = 0; i < kBytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    if (word != value * 0x9e3779b97f4a7c15u + i) return false;
  }
  return true;
}

// Both return how often something was not as it must be.
uint64_t borrow(Shared& shared, uint64_t seed) {
  Rng rng(seed);
  std::array<Packet, 32> packets;
  uint64_t broken = 0;
  for (uint64_t next = 0; next < kPackets;) {
    const auto most = static_cast<uint32_t>(1 + rng.below(packets.size()));
    const uint32_t got = shared.there.pop_burst(std::span(packets).first(most));
    for (const Packet& packet : std::span(packets).first(got)) {
      broken += stamped(packet.data, next) ? 0 : 1;
      stamp(packet.data, ~next);
      shared.home.give_back(packet.buffer);
      ++next;
    }
    shared.home.flush();
    if (got == 0) std::this_thread::yield();
  }
  return broken;
}

uint64_t lend(Shared& shared, uint64_t seed) {
  Rng rng(seed);
  std::array<uint64_t, kBuffers> last{};  // by buffer: what the borrower last found in it, and one more
  uint64_t broken = 0;
  std::array<Buffer*, 32> buffers;
  for (uint64_t next = 0; next < kPackets;) {
    const auto most =
        static_cast<uint32_t>(std::min<uint64_t>(1 + rng.below(buffers.size()), kPackets - next));
    const uint32_t wanted = std::min({most, shared.home.credit(), shared.pool.free_count()});
    const uint32_t got = shared.pool.alloc_burst(std::span(buffers).first(wanted));
    broken += got == wanted ? 0 : 1;
    for (uint32_t i = 0; i < got; ++i) {
      const uint64_t before = last[buffers[i]->index];
      broken += before == 0 || stamped(buffers[i]->data, ~(before - 1)) ? 0 : 1;
      stamp(buffers[i]->data, next + i);
      last[buffers[i]->index] = next + i + 1;
    }
    broken += shared.home.lend_burst(std::span(buffers).first(got)) == got ? 0 : 1;
    for (uint32_t i = 0; i < got; ++i) {
      Packet packet;
      packet.buffer = buffers[i];
      packet.data = buffers[i]->data;
      broken += shared.there.try_push(packet) ? 0 : 1;  // as many slots as the largest limit
    }
    next += got;
    if (shared.home.collect() == 0 && got == 0) std::this_thread::yield();
  }
  return broken;
}

TEST(PacketReturnStress, GivesNoBufferOutWhileItIsLentAndLosesNone) {
  for (const uint32_t limit : {2u, 32u, 256u}) {
    SCOPED_TRACE(limit);
    Shared shared(limit);
    uint64_t broken_at_borrower = 0;
    std::thread borrower([&] { broken_at_borrower = borrow(shared, limit); });
    EXPECT_EQ(lend(shared, limit + 1), 0u);
    borrower.join();
    EXPECT_EQ(broken_at_borrower, 0u);
    while (shared.home.collect() > 0) {
    }
    EXPECT_EQ(shared.home.loans(), PacketReturn<>::Loans{});
    EXPECT_EQ(shared.pool.whereabouts(), (PacketPool::Whereabouts{kBuffers, 0, 0}));
  }
}

// Two cores that lend to each other at once: four rings, no lock, and all is at home in the end.
TEST(PacketReturnStress, WorksInBothDirectionsAtOnce) {
  Shared one(32), other(32);
  std::array<uint64_t, 4> broken{};
  std::array<std::thread, 3> threads{std::thread([&] { broken[0] = borrow(one, 1); }),
                                     std::thread([&] { broken[1] = lend(other, 2); }),
                                     std::thread([&] { broken[2] = borrow(other, 3); })};
  broken[3] = lend(one, 4);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken, (std::array<uint64_t, 4>{}));
  for (Shared* shared : {&one, &other}) {
    while (shared->home.collect() > 0) {
    }
    EXPECT_EQ(shared->pool.whereabouts(), (PacketPool::Whereabouts{kBuffers, 0, 0}));
  }
}

}  // namespace
}  // namespace trunkline::core
