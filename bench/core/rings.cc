// Rings, from one core to another: ours and the peers run the same loop, on the same two cores, with 1024
// slots.
#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "bench/core/contest.h"
#include "core/spsc_ring.h"

#ifdef HAVE_BOOST
#include <boost/lockfree/spsc_queue.hpp>
#endif
#ifdef HAVE_MOODYCAMEL
#include <concurrentqueue/concurrentqueue.h>
#endif
#ifdef HAVE_DPDK
#include <rte_ring.h>
#endif

namespace trunkline::bench {

namespace {

constexpr uint32_t kSlots = 1024;

// ---- what is compared, behind one interface

template <class Item>
struct Ours {
  using Value = Item;
  core::SpscRing<Item> ring{kSlots};
  uint32_t push(const Item* items, uint32_t n) { return ring.push_burst({items, n}); }
  uint32_t pop(Item* items, uint32_t n) { return ring.pop_burst({items, n}); }
  bool push_one(Item item) { return ring.try_push(item); }
  bool pop_one(Item& item) { return ring.try_pop(item); }
};

#ifdef HAVE_BOOST
struct Boost {
  using Value = void*;
  boost::lockfree::spsc_queue<void*, boost::lockfree::capacity<kSlots>> queue;
  uint32_t push(void* const* items, uint32_t n) { return static_cast<uint32_t>(queue.push(items, n)); }
  uint32_t pop(void** items, uint32_t n) { return static_cast<uint32_t>(queue.pop(items, n)); }
  bool push_one(void* item) { return queue.push(item); }
  bool pop_one(void*& item) { return queue.pop(item); }
};
#endif

#ifdef HAVE_MOODYCAMEL
struct Moodycamel {
  using Value = void*;
  moodycamel::ConcurrentQueue<void*> queue{kSlots * 4};
  moodycamel::ProducerToken in{queue};
  moodycamel::ConsumerToken out{queue};
  bool push_one(void* item) { return queue.try_enqueue(in, item); }
  bool pop_one(void*& item) { return queue.try_dequeue(out, item); }
};
#endif

#ifdef HAVE_DPDK
struct Rte {
  using Value = void*;
  std::unique_ptr<uint8_t[]> memory;
  rte_ring* ring;
  Rte() : memory(std::make_unique<uint8_t[]>(static_cast<size_t>(rte_ring_get_memsize(kSlots * 2)) + 64)) {
    ring = reinterpret_cast<rte_ring*>((reinterpret_cast<uintptr_t>(memory.get()) + 63) & ~uintptr_t{63});
    // One slot of a plain rte_ring is not used: with this flag all of the 1024 are.
    rte_ring_init(ring, "figure", kSlots, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  }
  uint32_t push(void* const* items, uint32_t n) { return rte_ring_sp_enqueue_burst(ring, items, n, nullptr); }
  uint32_t pop(void** items, uint32_t n) { return rte_ring_sc_dequeue_burst(ring, items, n, nullptr); }
  bool push_one(void* item) { return rte_ring_sp_enqueue(ring, item) == 0; }
  bool pop_one(void*& item) { return rte_ring_sc_dequeue(ring, &item) == 0; }
};
#endif

// ---- the loops

// Items per second. `put` and `take` move some items, and say how many.
template <class Queue, class Put, class Take>
double rate(uint64_t items, Put put, Take take) {
  auto queue = std::make_unique<Queue>();
  std::atomic<bool> ready{false};
  std::thread producer([&] {
    pin(1);
    ready = true;
    for (uint64_t sent = 0; sent < items;) sent += put(*queue);
  });
  pin(0);
  while (!ready) {
  }
  const double begin = now_ns();
  for (uint64_t got = 0; got < items;) got += take(*queue);
  const double seconds = (now_ns() - begin) / 1e9;
  producer.join();
  return static_cast<double>(items) / seconds;
}

template <class Queue>
double burst_rate(uint64_t items) {
  constexpr uint32_t kBurst = 32;
  std::array<typename Queue::Value, kBurst> in{}, out{};
  return rate<Queue>(
      items, [&in](Queue& queue) { return queue.push(in.data(), kBurst); },
      [&out](Queue& queue) { return queue.pop(out.data(), kBurst); });
}

template <class Queue>
double single_rate(uint64_t items) {
  typename Queue::Value out{};
  return rate<Queue>(
      items, [](Queue& queue) { return queue.push_one({}) ? 1u : 0u; },
      [&out](Queue& queue) { return queue.pop_one(out) ? 1u : 0u; });
}

// ns from one core to the other and back, one item in two rings.
template <class Queue>
double round_trip(uint64_t trips) {
  auto there = std::make_unique<Queue>(), back = std::make_unique<Queue>();
  std::thread echo([&] {
    pin(1);
    typename Queue::Value item{};
    for (uint64_t i = 0; i < trips; ++i) {
      while (!there->pop_one(item)) {
      }
      while (!back->push_one(item)) {
      }
    }
  });
  pin(0);
  typename Queue::Value item{};
  const double begin = now_ns();
  for (uint64_t i = 0; i < trips; ++i) {
    while (!there->push_one(item)) {
    }
    while (!back->pop_one(item)) {
    }
  }
  const double ns = now_ns() - begin;
  echo.join();
  return ns / static_cast<double>(trips);
}

// The floor: two cache lines, each written by one core and read by the other.
double raw_round_trip(uint64_t trips) {
  struct alignas(128) Line {
    std::atomic<uint64_t> word{0};
  };
  auto lines = std::make_unique<std::array<Line, 2>>();
  std::atomic<uint64_t>&there = (*lines)[0].word, &back = (*lines)[1].word;
  std::thread echo([&] {
    pin(1);
    for (uint64_t i = 1; i <= trips; ++i) {
      while (there.load(std::memory_order_acquire) != i) {
      }
      back.store(i, std::memory_order_release);
    }
  });
  pin(0);
  const double begin = now_ns();
  for (uint64_t i = 1; i <= trips; ++i) {
    there.store(i, std::memory_order_release);
    while (back.load(std::memory_order_acquire) != i) {
    }
  }
  const double ns = now_ns() - begin;
  echo.join();
  return ns / static_cast<double>(trips);
}

[[maybe_unused]] Figure faster(const char* name, const char* peer, double goal) {
  Figure figure{name, "items/s", peer, goal};
  figure.lower_is_better = false;
  return figure;
}

}  // namespace

void ring_figures(const CoreOptions& options) {
  [[maybe_unused]] const uint64_t many = options.scaled(2e7), few = options.scaled(5e6);
  const uint64_t trips = options.scaled(3e5);
#ifdef HAVE_DPDK
  contest(
      options, faster("ring.burst32.rte", "rte_ring SP/SC, 32 pointers", 2),
      [=] { return burst_rate<Ours<void*>>(many); }, [=] { return burst_rate<Rte>(many); });
#endif
#ifdef HAVE_BOOST
  contest(
      options, faster("ring.burst32.boost", "boost::lockfree::spsc_queue, 32 pointers", 3),
      [=] { return burst_rate<Ours<void*>>(many); }, [=] { return burst_rate<Boost>(many); });
#endif
#ifdef HAVE_DPDK
  contest(
      options, faster("ring.index32.rte", "rte_ring SP/SC, 32 pointers", 4),
      [=] { return burst_rate<Ours<uint32_t>>(many); }, [=] { return burst_rate<Rte>(many); });
#endif
#ifdef HAVE_BOOST
  contest(
      options, faster("ring.single.boost", "boost::lockfree::spsc_queue, one pointer", 2),
      [=] { return single_rate<Ours<void*>>(few); }, [=] { return single_rate<Boost>(few); });
#endif
#ifdef HAVE_MOODYCAMEL
  contest(
      options, faster("ring.single.moodycamel", "moodycamel::ConcurrentQueue with tokens, one pointer", 2),
      [=] { return single_rate<Ours<void*>>(few); }, [=] { return single_rate<Moodycamel>(few); });
#endif
  contest(
      options, {"ring.rtt", "ns", "two cache lines, no ring", 2},
      [=] { return round_trip<Ours<uint32_t>>(trips); }, [=] { return raw_round_trip(trips); });
}

}  // namespace trunkline::bench
