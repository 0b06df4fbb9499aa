// Rings, from one core to another: ours and the peers run the same loops, on the same two cores, with 1024
// slots.
//
// Both threads are in their loops before the clock starts, and it is read once per window of items or trips;
// what counts is the median of the windows. So a moment in which the system runs something else on one of the
// cores lengthens a few windows and not the figure. How far apart the two cores are is up to the host, and
// changes by a factor of four from minute to minute: the round trip of a line that does nothing else is
// printed beside each figure.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/core/contest.h"
#include "core/line_ring.h"
#include "core/packet.h"
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

template <class Ring, class Item>
struct Ours {
  using Value = Item;
  Ring ring{kSlots};
  uint32_t push(const Item* items, uint32_t n) { return ring.push_burst({items, n}); }
  uint32_t pop(Item* items, uint32_t n) { return ring.pop_burst({items, n}); }
  bool push_one(const Item& item) { return ring.try_push(item); }
  bool pop_one(Item& item) { return ring.try_pop(item); }
};
template <class Item>
using OurRing = Ours<core::SpscRing<Item>, Item>;
template <class Item>
using OurLines = Ours<core::LineRing<Item>, Item>;

// What fits beside the sequence of a line.
struct Descriptor {
  std::array<uint64_t, 7> words{};
};

// No ring: a line with a number, written by one core and read by the other, who counts after it.
struct BareLine {
  using Value = uint64_t;
  alignas(128) std::atomic<uint64_t> word{0};
  alignas(128) uint64_t sent = 0;
  alignas(128) uint64_t received = 0;
  bool push_one(uint64_t) {
    word.store(++sent, std::memory_order_release);
    return true;
  }
  bool pop_one(uint64_t& item) {
    item = word.load(std::memory_order_acquire);
    if (item == received) return false;
    ++received;
    return true;
  }
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
template <class Item>
struct Rte {
  using Value = Item;
  static constexpr unsigned kBytes = sizeof(Item);
  std::unique_ptr<uint8_t[]> memory;
  rte_ring* ring;
  Rte() {
    const auto bytes = static_cast<size_t>(rte_ring_get_memsize_elem(kBytes, kSlots * 2));
    memory = std::make_unique<uint8_t[]>(bytes + 64);
    ring = reinterpret_cast<rte_ring*>((reinterpret_cast<uintptr_t>(memory.get()) + 63) & ~uintptr_t{63});
    // One slot of a plain rte_ring is not used: with this flag all of the 1024 are.
    rte_ring_init(ring, "figure", kSlots, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
  }
  uint32_t push(const Item* items, uint32_t n) {
    return rte_ring_sp_enqueue_burst_elem(ring, items, kBytes, n, nullptr);
  }
  uint32_t pop(Item* items, uint32_t n) {
    return rte_ring_sc_dequeue_burst_elem(ring, items, kBytes, n, nullptr);
  }
};
#endif

// ---- the loops

// Times per window of so many steps, and their median.
class Windows {
 public:
  explicit Windows(uint64_t steps) : steps_(steps), next_(steps), begin_(now_ns()) {}
  void reached(uint64_t step) {
    if (step < next_) return;
    const double now = now_ns();
    times_.push_back((now - begin_) / static_cast<double>(step - next_ + steps_));
    begin_ = now;
    next_ = step + steps_;
  }
  double ns_per_step() const { return median(times_); }

 private:
  uint64_t steps_, next_;
  double begin_;
  std::vector<double> times_;
};

// Two threads on two cores that begin at once: `here` on this one, which is timed by what it does itself.
template <class There, class Here>
void together(There there, Here here) {
  std::atomic<int> ready{0};
  const auto meet = [&ready] {
    ready.fetch_add(1);
    while (ready.load() < 2) {
    }
  };
  std::thread other([&] {
    pin(1);
    meet();
    there();
  });
  pin(0);
  meet();
  here();
  other.join();
}

// ns per item. `put` and `take` move some items, and say how many.
template <class Queue, class Put, class Take>
double per_item(uint64_t at_least, Put put, Take take) {
  constexpr uint64_t kWindow = 1 << 15;
  const uint64_t items = std::max(at_least, kWindow);
  auto queue = std::make_unique<Queue>();
  double ns = 0;
  together(
      [&] {
        for (uint64_t sent = 0; sent < items;) sent += put(*queue);
      },
      [&] {
        Windows windows(kWindow);
        for (uint64_t got = 0; got < items; windows.reached(got)) got += take(*queue);
        ns = windows.ns_per_step();
      });
  return ns;
}

template <class Queue>
double burst_ns(uint64_t items, uint32_t burst) {
  std::array<typename Queue::Value, 64> in{}, out{};
  return per_item<Queue>(
      items, [&in, burst](Queue& queue) { return queue.push(in.data(), burst); },
      [&out, burst](Queue& queue) { return queue.pop(out.data(), burst); });
}

template <class Queue>
double burst_rate(uint64_t items) {
  return 1e9 / burst_ns<Queue>(items, 32);
}

template <class Queue>
double single_rate(uint64_t items) {
  typename Queue::Value out{};
  return 1e9 / per_item<Queue>(
                   items, [](Queue& queue) { return queue.push_one({}) ? 1u : 0u; },
                   [&out](Queue& queue) { return queue.pop_one(out) ? 1u : 0u; });
}

// ns from one core to the other and back, one item in two rings.
template <class Queue>
double round_trip(uint64_t trips) {
  constexpr uint64_t kWindow = 100;
  trips = std::max(trips, kWindow);
  auto there = std::make_unique<Queue>(), back = std::make_unique<Queue>();
  const auto send = [](Queue& queue) {
    while (!queue.push_one({})) {
    }
  };
  const auto receive = [](Queue& queue) {
    typename Queue::Value item{};
    while (!queue.pop_one(item)) {
    }
  };
  double ns = 0;
  together(
      [&] {
        for (uint64_t i = 0; i < trips; ++i) {
          receive(*there);
          send(*back);
        }
      },
      [&] {
        Windows windows(kWindow);
        for (uint64_t i = 0; i < trips; windows.reached(++i)) {
          send(*there);
          receive(*back);
        }
        ns = windows.ns_per_step();
      });
  return ns;
}

// What the two cores can do at most: ns per line that one of them writes whole and the other reads, when they
// wait for each other once in 256 lines, which are then all on their way at once.
double bare_line_ns(uint64_t at_least) {
  constexpr uint64_t kLines = 256, kWindow = 64 * kLines;
  struct alignas(64) Line {
    std::array<uint64_t, 8> words{};
  };
  const uint64_t lines = std::max(at_least, 2 * kWindow) / kLines * kLines;
  auto memory = std::make_unique<std::array<std::array<Line, kLines>, 4>>();
  auto full = std::make_unique<BareLine>(), empty = std::make_unique<BareLine>();
  const auto wait = [](BareLine& line) {
    uint64_t item = 0;
    while (!line.pop_one(item)) {
    }
  };
  double ns = 0;
  together(
      [&] {
        for (uint64_t i = 0; i < lines; i += kLines) {
          if (i / kLines >= memory->size()) wait(*empty);
          for (Line& line : (*memory)[i / kLines % memory->size()]) line.words.fill(i);
          full->push_one(0);
        }
      },
      [&] {
        Windows windows(kWindow);
        for (uint64_t i = 0; i < lines; windows.reached(i)) {
          wait(*full);
          std::array<uint64_t, 8> sum{};
          for (const Line& line : (*memory)[i / kLines % memory->size()]) {
            for (size_t word = 0; word < sum.size(); ++word) sum[word] ^= line.words[word];
          }
          asm volatile("" ::"r"(sum.data()) : "memory");
          empty->push_one(0);
          i += kLines;
        }
        ns = windows.ns_per_step();
      });
  return ns;
}

// The state of the machine, for the note of a figure.
std::string bare(uint64_t trips) {
  std::array<char, 96> text;
  std::snprintf(text.data(), text.size(), "a bare line: %.0f ns there and back, %.2f ns each in a stream",
                round_trip<BareLine>(trips / 10), bare_line_ns(trips));
  return text.data();
}

Figure row(const char* name, const char* unit, const char* peer, double goal, bool lower, std::string note) {
  Figure figure{name, unit, peer, goal};
  figure.lower_is_better = lower;
  figure.note = std::move(note);
  return figure;
}

}  // namespace

void ring_figures(const CoreOptions& options) {
  [[maybe_unused]] const uint64_t many = options.scaled(2e7), few = options.scaled(5e6);
  const uint64_t trips = options.scaled(1e5);
  [[maybe_unused]] const auto compare = [&](const char* name, const char* peer, double goal, const auto& ours,
                                            const auto& theirs) {
    if (!options.wants(name)) return;
    contest(options, row(name, "items/s", peer, goal, false, bare(trips)), ours, theirs);
  };
#ifdef HAVE_DPDK
  compare(
      "ring.burst32.rte", "rte_ring SP/SC, 32 pointers", 2, [=] { return burst_rate<OurRing<void*>>(many); },
      [=] { return burst_rate<Rte<void*>>(many); });
#endif
#ifdef HAVE_BOOST
  compare(
      "ring.burst32.boost", "boost::lockfree::spsc_queue, 32 pointers", 3,
      [=] { return burst_rate<OurRing<void*>>(many); }, [=] { return burst_rate<Boost>(many); });
#endif
#ifdef HAVE_DPDK
  compare(
      "ring.index32.rte", "rte_ring SP/SC, 32 pointers", 4,
      [=] { return burst_rate<OurRing<uint32_t>>(many); }, [=] { return burst_rate<Rte<void*>>(many); });
#endif
#ifdef HAVE_BOOST
  compare(
      "ring.single.boost", "boost::lockfree::spsc_queue, one pointer", 2,
      [=] { return single_rate<OurRing<void*>>(few); }, [=] { return single_rate<Boost>(few); });
#endif
#ifdef HAVE_MOODYCAMEL
  compare(
      "ring.single.moodycamel", "moodycamel::ConcurrentQueue with tokens, one pointer", 2,
      [=] { return single_rate<OurRing<void*>>(few); }, [=] { return single_rate<Moodycamel>(few); });
#endif
  for (const bool line : {true, false}) {
    const char* name = line ? "ring.rtt.line" : "ring.rtt";
    if (!options.wants(name)) continue;
    contest(
        options, row(name, "ns", "two cache lines, no ring", line ? 1.3 : 2, true, bare(trips)),
        [=] { return line ? round_trip<OurLines<Descriptor>>(trips) : round_trip<OurRing<uint32_t>>(trips); },
        [=] { return round_trip<BareLine>(trips); });
  }
}

namespace {

// The middle of as many runs as asked.
template <class Queue>
void curve(const CoreOptions& options, const char* structure, const char* order) {
  for (uint32_t burst = 1; burst <= 64; burst *= 2) {
    std::vector<double> ns;
    for (int i = 0; i < options.repeat; ++i) {
      ns.push_back(burst_ns<Queue>(options.scaled(burst < 8 ? 1e6 : 4e6), burst));
    }
    std::printf("%s,burst,%u,%s,%.3f\n", structure, burst, order, median(ns));
    std::fflush(stdout);
  }
}

}  // namespace

void ring_curve(const CoreOptions& options) {
  std::printf("bare_line,round_trip,1,lines,%.3f\n", round_trip<BareLine>(options.scaled(1e5)));
  std::printf("bare_line,stream,256,lines,%.3f\n", bare_line_ns(options.scaled(1e6)));
  curve<OurRing<void*>>(options, "ring", "pointers");
  curve<OurRing<uint32_t>>(options, "ring", "indices");
  curve<OurRing<core::Packet>>(options, "ring", "descriptors");
  curve<OurLines<void*>>(options, "line_ring", "pointers");
  curve<OurLines<uint32_t>>(options, "line_ring", "indices");
  curve<OurLines<Descriptor>>(options, "line_ring", "descriptors");
#ifdef HAVE_DPDK
  curve<Rte<void*>>(options, "rte_ring", "pointers");
  curve<Rte<uint32_t>>(options, "rte_ring", "indices");
  curve<Rte<core::Packet>>(options, "rte_ring", "descriptors");
#endif
#ifdef HAVE_BOOST
  curve<Boost>(options, "boost_spsc_queue", "pointers");
#endif
}

}  // namespace trunkline::bench
