// Bugs that others shipped, rewritten small: the explorer finds each, and not in what mended it. On x86 no
// test run shows them.
#include <gtest/gtest.h>

#include "tests/model/sync.h"

namespace trunkline::model {
namespace {

constexpr Order kRelaxed{}, kAcquire{true, false}, kBoth{true, true};

// The C11 ring of DPDK as it was until November 2025 (lib/ring/rte_ring_c11_pvt.h; mailing list dev, October
// 2025, "ring: establish safe partial order"): a producer reads its side's head and the other side's tail,
// and moves the head. Two producers that move the head with relaxed order tell each other nothing of the
// tail: the second may find the head of the first beside a tail from before, and count more free slots than
// there are.
class HeadTailRing {
 public:
  static constexpr uint32_t kCapacity = 1;
  struct Orders {
    Order head;
    Order move;
  };
  explicit HeadTailRing(Orders orders) : orders_(orders) {}

  void enqueue() {
    uint32_t head = orders_.head.acquire ? producer_head_.load_acquire() : producer_head_.load_relaxed();
    const uint32_t tail = consumer_tail_.load_acquire();
    const uint32_t free = kCapacity + tail - head;
    assume(free > 0);
    assume(producer_head_.compare_exchange(head, head + 1, orders_.move));
    // A head that is older than the tail makes too many as well, but then it has moved.
    require(free <= kCapacity, "more free slots than slots");
    assume(producer_tail_.load_acquire() == head);
    producer_tail_.store_release(head + 1);
  }
  void dequeue() {
    const uint32_t head = consumer_head_.load_relaxed();
    assume(producer_tail_.load_acquire() != head);
    consumer_head_.store_relaxed(head + 1);
    consumer_tail_.store_release(head + 1);
  }

 private:
  const Orders orders_;
  Word<uint32_t> producer_head_, producer_tail_, consumer_head_, consumer_tail_;
};

Exploration explore_ring(HeadTailRing::Orders orders) {
  return explore([=](Scenario& s) {
    auto& ring = s.make<HeadTailRing>(orders);
    s.thread("first producer", [&] {
      ring.enqueue();
      ring.enqueue();
    });
    s.thread("second producer", [&] { ring.enqueue(); });
    s.thread("consumer", [&] {
      ring.dequeue();
      ring.dequeue();
    });
  });
}

TEST(KnownBugs, ProducersThatTellEachOtherNothingOfTheTail) {
  const Exploration broken = explore_ring({kRelaxed, kRelaxed});
  EXPECT_EQ(broken.finding, "more free slots than slots");
  EXPECT_NE(broken.trace.find("second producer"), std::string::npos) << broken.trace;
  const Exploration mended = explore_ring({kAcquire, kBoth});
  EXPECT_TRUE(mended.finding.empty()) << mended.trace;
  EXPECT_TRUE(mended.exhausted);
  EXPECT_GT(mended.complete, 0u);
}

}  // namespace
}  // namespace trunkline::model
