// PacketPool, Packet and PageSource: buffers go round, none is lost, none is given out twice.
#include "core/packet_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

TEST(Packet, CountsTheDatagramsOfARun) {
  const struct {
    uint32_t length;
    uint16_t segment;
    uint32_t datagrams;
  } kCases[] = {{1200, 0, 1},    {0, 0, 1},         {1200, 1200, 1}, {1201, 1200, 2},
                {2400, 1200, 2}, {65000, 1000, 65}, {1, 1200, 1},    {0, 1200, 1}};
  for (const auto& c : kCases) {
    Packet packet;
    packet.length = c.length;
    packet.segment_size = c.segment;
    EXPECT_EQ(packet.datagrams(), c.datagrams) << c.length << " by " << c.segment;
  }
}

TEST(HeapPageSource, GivesZeroedAlignedMemory) {
  HeapPageSource pages;
  EXPECT_TRUE(pages.take(0).empty());
  for (size_t bytes : {size_t{1}, size_t{4096}, size_t{100'000}}) {
    const std::span<uint8_t> span = pages.take(bytes);
    ASSERT_EQ(span.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(span.data()) % 4096, 0u);
    for (uint8_t b : span) ASSERT_EQ(b, 0);
  }
}

// Has less than anybody asks for.
class EmptyPageSource final : public PageSource {
 public:
  std::span<uint8_t> take(size_t) override { return {}; }
};

TEST(PacketPool, IsEmptyWhenTheSourceHasNoMemory) {
  EmptyPageSource pages;
  PacketPool pool(8, 2048, pages);
  EXPECT_EQ(pool.count(), 0u);
  EXPECT_EQ(pool.try_alloc(), nullptr);
  EXPECT_EQ(pool.exhausted(), 1u);
}

TEST(PacketPool, GivesBuffersOfTheirOwnAlignedBytes) {
  HeapPageSource pages;
  PacketPool pool(5, 100, pages);
  EXPECT_EQ(pool.stride(), 128u);
  EXPECT_EQ(pool.memory().size(), 5u * 128);
  for (uint32_t i = 0; i < 5; ++i) {
    Buffer* buffer = pool.try_alloc();
    ASSERT_NE(buffer, nullptr);
    EXPECT_EQ(buffer->index, i);
    EXPECT_EQ(buffer, pool.at(i));
    EXPECT_EQ(buffer->pool, &pool);
    EXPECT_EQ(buffer->capacity, 128u);
    EXPECT_EQ(buffer->data, pool.memory().data() + size_t{i} * 128);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data) % 64, 0u);
  }
}

TEST(PacketPool, CountsWhatItCouldNotGive) {
  HeapPageSource pages;
  PacketPool pool(3, 64, pages);
  std::array<Buffer*, 5> burst{};
  EXPECT_EQ(pool.alloc_burst(burst), 3u);
  EXPECT_EQ(pool.exhausted(), 2u);
  EXPECT_EQ(pool.try_alloc(), nullptr);
  EXPECT_EQ(pool.exhausted(), 3u);
  EXPECT_EQ(pool.in_use(), 3u);
  for (uint32_t i = 0; i < 3; ++i) pool.release(burst[i]);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(PacketPool, GivesTheBufferThatWasReleasedLast) {
  HeapPageSource pages;
  PacketPool pool(8, 64, pages);
  Buffer* first = pool.try_alloc();
  Buffer* second = pool.try_alloc();
  pool.release(first);
  pool.release(second);
  EXPECT_EQ(pool.try_alloc(), second);
  EXPECT_EQ(pool.try_alloc(), first);
}

TEST(PacketPool, FreesAtTheLastReference) {
  HeapPageSource pages;
  PacketPool pool(1, 64, pages);
  Buffer* buffer = pool.try_alloc();
  pool.retain(buffer);
  pool.retain(buffer);
  pool.release(buffer);
  pool.release(buffer);
  EXPECT_EQ(pool.try_alloc(), nullptr);
  pool.release(buffer);
  EXPECT_EQ(pool.try_alloc(), buffer);
}

TEST(PacketPoolDeathTest, EndsTheProcessWhenABufferIsReleasedTwice) {
  HeapPageSource pages;
  PacketPool pool(2, 64, pages);
  Buffer* buffer = pool.try_alloc();
  pool.release(buffer);
  EXPECT_DEATH(pool.release(buffer), "contract broken");
}

TEST(PacketPool, NeverGivesABufferThatIsInUse) {
  HeapPageSource pages;
  PacketPool pool(64, 64, pages);
  Rng rng(3);
  std::vector<Buffer*> held;  // one element per reference
  for (int i = 0; i < 50'000; ++i) {
    std::array<Buffer*, 16> burst{};
    const auto n = static_cast<uint32_t>(rng.below(burst.size() + 1));
    const std::set<Buffer*> in_use(held.begin(), held.end());
    ASSERT_EQ(pool.in_use(), in_use.size());
    ASSERT_EQ(pool.free_count() + pool.in_use(), pool.count());
    if (rng.chance(0.4)) {
      const uint32_t got = pool.alloc_burst(std::span(burst).first(n));
      ASSERT_EQ(got, std::min<size_t>(n, 64 - in_use.size()));
      for (uint32_t k = 0; k < got; ++k) {
        ASSERT_FALSE(in_use.contains(burst[k]));
        ASSERT_EQ(burst[k]->refs, 1u);
        held.push_back(burst[k]);
      }
    } else if (!held.empty() && held.size() < 500 && rng.chance(0.3)) {
      Buffer* buffer = held[rng.below(held.size())];
      pool.retain(buffer);
      held.push_back(buffer);
    } else {
      // One by one, or all at once, the same buffer more than once among them.
      const auto last = static_cast<ptrdiff_t>(std::min<size_t>(n, held.size()));
      for (ptrdiff_t k = 0; k < last; ++k) {
        std::swap(held[rng.below(held.size() - static_cast<size_t>(k))], held.end()[-1 - k]);
      }
      const std::span<Buffer* const> out(held.end() - last, held.end());
      if (rng.chance(0.5)) {
        pool.release_burst(out);
      } else {
        for (Buffer* buffer : out) pool.release(buffer);
      }
      held.resize(held.size() - out.size());
    }
  }
  EXPECT_EQ(pool.whereabouts(), (PacketPool::Whereabouts{pool.free_count(), pool.in_use(), 0}));
  pool.release_burst(held);
  EXPECT_EQ(pool.whereabouts(), (PacketPool::Whereabouts{64, 0, 0}));
}

TEST(PacketPoolDeathTest, EndsTheProcessWhenABurstHasABufferTwice) {
  HeapPageSource pages;
  PacketPool pool(2, 64, pages);
  Buffer* buffer = pool.try_alloc();
  EXPECT_DEATH(pool.release_burst(std::array{buffer, buffer}), "contract broken");
}

TEST(PacketPool, GivesABurstBackInTheOrderInWhichItWasReleased) {
  HeapPageSource pages;
  PacketPool pool(8, 64, pages);
  std::array<Buffer*, 4> first{}, second{};
  pool.alloc_burst(first);
  pool.release_burst(first);
  pool.alloc_burst(second);
  EXPECT_EQ(second, first);
  EXPECT_EQ(pool.try_alloc()->index, 4u) << "below them lies what was never used";
}

}  // namespace
}  // namespace trunkline::core
