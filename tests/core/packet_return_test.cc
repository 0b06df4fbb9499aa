// PacketReturn: what is lent comes home, each reference once, and who has it can be said at any time.
#include "core/packet_return.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

using Loans = PacketReturn<>::Loans;
using Whereabouts = PacketPool::Whereabouts;

struct World {
  HeapPageSource pages;
  PacketPool pool;
  PacketReturn<> home;
  World(uint32_t buffers, uint32_t limit) : pool(buffers, 64, pages), home(pool, limit) {}

  std::vector<Buffer*> alloc(uint32_t n) {
    std::vector<Buffer*> buffers(n);
    buffers.resize(pool.alloc_burst(buffers));
    return buffers;
  }
};

TEST(PacketReturn, BringsHomeWhatWasLent) {
  World w(8, 4);
  const std::vector<Buffer*> buffers = w.alloc(3);
  EXPECT_EQ(w.home.lend_burst(buffers), 3u);
  EXPECT_EQ(w.home.lent(), 3u);
  EXPECT_EQ(w.home.credit(), 1u);
  EXPECT_EQ(w.home.collect(), 0u) << "nothing was given back";
  for (Buffer* buffer : buffers) w.home.give_back(buffer);
  w.home.flush();
  EXPECT_EQ(w.home.collect(), 3u);
  EXPECT_EQ(w.home.collect(), 0u);
  EXPECT_EQ(w.home.credit(), 4u);
  EXPECT_EQ(w.pool.in_use(), 0u);
}

TEST(PacketReturn, LendsNoMoreThanItsLimitAndCountsWhatItRefused) {
  World w(8, 4);
  const std::vector<Buffer*> buffers = w.alloc(7);
  EXPECT_EQ(w.home.limit(), 4u);
  EXPECT_EQ(w.home.lend_burst(buffers), 4u);
  EXPECT_EQ(w.home.refused(), 3u);
  EXPECT_FALSE(w.home.try_lend(buffers[4]));
  EXPECT_EQ(w.home.refused(), 4u);
  EXPECT_EQ(buffers[4]->lent, 0u) << "what was refused is still the caller's alone";
  w.home.give_back(buffers[2]);
  w.home.flush();
  EXPECT_FALSE(w.home.try_lend(buffers[4])) << "not before it was collected";
  EXPECT_EQ(w.home.collect(), 1u);
  EXPECT_TRUE(w.home.try_lend(buffers[4]));
  EXPECT_EQ(w.home.refused(), 5u);
}

TEST(PacketReturn, ShowsWhatIsGivenBackAtTheFlushOrWhenABurstHasGathered) {
  constexpr uint32_t kBurst = PacketReturn<>::kBurst;
  World w(2 * kBurst, 2 * kBurst);
  const std::vector<Buffer*> buffers = w.alloc(2 * kBurst);
  EXPECT_EQ(w.home.lend_burst(buffers), 2 * kBurst);
  for (uint32_t i = 0; i < kBurst; ++i) w.home.give_back(buffers[i]);
  EXPECT_EQ(w.home.collect(), 0u);
  w.home.give_back(buffers[kBurst]);
  EXPECT_EQ(w.home.collect(), kBurst);
  EXPECT_EQ(w.home.collect(), 0u);
  w.home.flush();
  EXPECT_EQ(w.home.collect(), 1u);
  w.home.flush();
  EXPECT_EQ(w.home.collect(), 0u) << "there was nothing to show";
}

TEST(PacketReturn, CountsAReferenceAndNotABuffer) {
  World w(1, 2);
  Buffer* buffer = w.pool.try_alloc();
  w.pool.retain(buffer);
  w.pool.retain(buffer);
  EXPECT_EQ(w.home.lend_burst(std::array{buffer, buffer}), 2u);
  w.home.give_back(buffer);
  w.home.give_back(buffer);
  w.home.flush();
  EXPECT_EQ(w.home.collect(), 2u);
  EXPECT_EQ(w.pool.in_use(), 1u) << "the lender still has one";
  w.pool.release(buffer);
  EXPECT_EQ(w.pool.in_use(), 0u);
}

TEST(PacketReturn, SaysAtTheEndWhoHasWhat) {
  World w(8, 4);
  const std::vector<Buffer*> buffers = w.alloc(6);
  EXPECT_EQ(w.home.lend_burst(std::span(buffers).first(3)), 3u);
  EXPECT_EQ(w.home.loans(), (Loans{3, 0}));
  EXPECT_EQ(w.pool.whereabouts(), (Whereabouts{2, 3, 3}));
  w.home.give_back(buffers[0]);
  EXPECT_EQ(w.home.loans(), (Loans{3, 0})) << "not flushed: still the borrower's";
  w.home.flush();
  EXPECT_EQ(w.home.loans(), (Loans{2, 1}));
  EXPECT_EQ(w.home.collect(), 1u);
  EXPECT_EQ(w.home.loans(), (Loans{2, 0})) << "two leak, at the borrower";
  EXPECT_EQ(w.pool.whereabouts(), (Whereabouts{3, 3, 2}));
  for (uint32_t i = 3; i < 6; ++i) w.pool.release(buffers[i]);
  EXPECT_EQ(w.pool.whereabouts(), (Whereabouts{6, 0, 2}));
}

TEST(PacketReturnDeathTest, EndsTheProcessWhenABufferIsGivenBackTwice) {
  World w(4, 4);
  const std::vector<Buffer*> buffers = w.alloc(2);
  w.home.lend_burst(buffers);
  w.home.give_back(buffers[0]);
  w.home.give_back(buffers[0]);
  w.home.flush();
  EXPECT_DEATH(w.home.collect(), "contract broken: buffers\\[i\\]->lent > 0");
}

TEST(PacketReturnDeathTest, EndsTheProcessWhenMoreIsGivenBackThanTheRingHasSlotsFor) {
  World w(2, 2);
  const std::vector<Buffer*> buffers = w.alloc(2);
  w.home.lend_burst(buffers);
  w.home.give_back(buffers[0]);
  w.home.give_back(buffers[1]);
  EXPECT_DEATH(w.home.give_back(buffers[1]), "contract broken: !slots_.empty\\(\\)");
}

// A buffer that the lender released although it was lent is given out again; the borrower's return of it is
// one too many.
TEST(PacketReturnDeathTest, EndsTheProcessWhenTheLenderReleasedWhatWasLent) {
  World w(1, 2);
  Buffer* buffer = w.pool.try_alloc();
  w.home.try_lend(buffer);
  EXPECT_DEATH(
      {
        w.pool.release(buffer);
        w.home.give_back(buffer);
        w.home.flush();
        w.home.collect();
      },
      "contract broken: buffer->refs > ");
}

// Against a model of two queues: what was handed over, and what was given back.
TEST(PacketReturn, AgreesWithAModelOfQueues) {
  for (const uint32_t limit : {1u, 2u, 8u, 64u, 128u}) {
    SCOPED_TRACE(limit);
    World w(96, limit);
    Rng rng(limit);
    std::vector<Buffer*> mine;  // one element per reference
    std::deque<Buffer*> there, back;
    uint64_t refused = 0;
    for (int step = 0; step < 20'000; ++step) {
      const auto n = static_cast<uint32_t>(1 + rng.below(20));
      switch (rng.below(5)) {
        case 0:
          for (Buffer* buffer : w.alloc(n)) mine.push_back(buffer);
          break;
        case 1: {
          const auto offered = std::min<size_t>(n, mine.size());
          const std::span<Buffer*> last(mine.end() - static_cast<ptrdiff_t>(offered), mine.end());
          const uint32_t count = w.home.lend_burst(last);
          ASSERT_EQ(count, std::min<size_t>(offered, limit - there.size() - back.size()));
          refused += offered - count;
          there.insert(there.end(), last.begin(), last.begin() + count);
          mine.erase(mine.end() - static_cast<ptrdiff_t>(offered),
                     mine.end() - static_cast<ptrdiff_t>(offered - count));
          break;
        }
        case 2:
          for (uint32_t i = 0; i < n && !there.empty(); ++i) {
            w.home.give_back(there.front());
            back.push_back(there.front());
            there.pop_front();
          }
          w.home.flush();
          break;
        case 3: {
          const uint32_t home = w.home.collect();
          ASSERT_LE(home, back.size());
          ASSERT_EQ(home == 0, back.empty());
          back.erase(back.begin(), back.begin() + home);
          break;
        }
        default:
          if (!mine.empty() && rng.chance(0.5)) {
            w.pool.retain(mine.back());
            mine.push_back(mine.back());
          } else if (!mine.empty()) {
            w.pool.release(mine.back());
            mine.pop_back();
          }
      }
      ASSERT_EQ(w.home.loans(),
                (Loans{static_cast<uint32_t>(there.size()), static_cast<uint32_t>(back.size())}));
      ASSERT_EQ(w.home.refused(), refused);
    }
    EXPECT_TRUE(refused > 0 || limit > 96) << "the limit was never reached";
    for (Buffer* buffer : there) w.home.give_back(buffer);
    w.home.flush();
    while (w.home.collect() > 0) {
    }
    for (Buffer* buffer : mine) w.pool.release(buffer);
    EXPECT_EQ(w.pool.whereabouts(), (Whereabouts{96, 0, 0}));
  }
}

}  // namespace
}  // namespace trunkline::core
