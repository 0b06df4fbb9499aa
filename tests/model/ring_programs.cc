// SpscRing and LineRing: six items from one thread to another through two or four slots, in each way in which
// items can be put in and taken out, and the figures that a third thread may ask for.
#include "core/line_ring.h"
#include "core/spsc_ring.h"
#include "tests/model/programs.h"
#include "tests/model/sync.h"

namespace trunkline::model {

namespace {

using Items = core::SpscRing<Cell, ModelSync>;
using Lines = core::LineRing<Cell, ModelSync>;
template <class Ring>
constexpr const char* kName = "";
template <>
constexpr const char* kName<Items> = "ring";
template <>
constexpr const char* kName<Lines> = "line ring";

constexpr uint32_t kItems = 6;

enum class Way { kOne, kBurst, kInPlace };

// How often a side that finds the ring full, or empty, tries again before it is no use to go on.
constexpr uint32_t kPatience = 1;

template <class Ring>
void put(Ring& ring, Way way) {
  uint32_t next = 1, vain = 0;
  while (next <= kItems) {
    uint32_t done = 0;
    if (way == Way::kOne) {
      done = ring.try_push(Cell(next)) ? 1 : 0;
    } else if (way == Way::kBurst) {
      const Cell items[2] = {Cell(next), Cell(next + 1)};
      done = ring.push_burst(std::span(items).first(std::min(2u, kItems - next + 1)));
    } else {
      const auto free = ring.claim(std::min(2u, kItems - next + 1));
      done = static_cast<uint32_t>(free.size());
      for (uint32_t i = 0; i < done; ++i) free[i] = Cell(next + i);
      if (done > 0) ring.commit(done);
    }
    next += done;
    vain = done > 0 ? 0 : vain + 1;
    assume(vain <= kPatience);
  }
}

template <class Ring>
void take(Ring& ring, Way way) {
  uint32_t next = 1, vain = 0;
  while (next <= kItems) {
    uint32_t done = 0;
    if (way == Way::kOne) {
      Cell item;
      done = ring.try_pop(item) ? 1 : 0;
      require(done == 0 || item.value() == next, "items come out in order, each once");
    } else if (way == Way::kBurst) {
      Cell items[2];
      done = ring.pop_burst(items);
      for (uint32_t i = 0; i < done; ++i) {
        require(items[i].value() == next + i, "items come out in order, each once");
      }
    } else {
      const auto there = ring.peek(2);
      done = static_cast<uint32_t>(there.size());
      for (uint32_t i = 0; i < done; ++i) {
        require(there[i].value() == next + i, "items come out in order, each once");
      }
      if (done > 0) ring.release(done);
    }
    next += done;
    vain = done > 0 ? 0 : vain + 1;
    assume(vain <= kPatience);
  }
}

template <class Ring>
NamedProgram through(const char* name, uint32_t capacity, Way in, Way out) {
  return {std::string(kName<Ring>) + " of " + std::to_string(capacity) + ", " + name, [=](Scenario& s) {
            auto& ring = s.make<Ring>(capacity);
            s.thread("producer", [&ring, in] { put(ring, in); });
            s.thread("consumer", [&ring, out] { take(ring, out); });
            s.finally([&ring] { require(ring.size_approx() == 0, "an item is left"); });
          }};
}

// What others may ask: never more than there can be, nor less than nothing; and each side can rely on its
// own.
template <class Ring>
NamedProgram sizes() {
  return {std::string(kName<Ring>) + " of 2, sizes", [](Scenario& s) {
            auto& ring = s.make<Ring>(2u);
            s.thread("producer", [&ring] {
              for (uint32_t i = 1; i <= 3; ++i) {
                const uint32_t free = ring.free_approx();
                require(free <= 2, "more free slots than slots");
                const bool pushed = ring.try_push(Cell(i));
                require(pushed || free == 0, "it said that there was room");
                assume(pushed);
              }
            });
            s.thread("consumer", [&ring] {
              for (uint32_t i = 1; i <= 3; ++i) {
                const uint32_t used = ring.size_approx();
                Cell item;
                const bool popped = ring.try_pop(item);
                require(popped || used == 0, "it said that there was an item");
                assume(popped);
              }
            });
            s.thread("onlooker", [&ring] { require(ring.size_approx() <= 2, "more items than slots"); });
          }};
}

// Of a ring through which one item goes nobody is told that there were two: that would be a count below zero.
template <class Ring>
NamedProgram one_item() {
  return {std::string(kName<Ring>) + " of 2, one item", [](Scenario& s) {
            auto& ring = s.make<Ring>(2u);
            s.thread("producer", [&ring] { require(ring.try_push(Cell(1)), "an empty ring is full"); });
            s.thread("consumer", [&ring] {
              Cell item;
              assume(ring.try_pop(item));
            });
            s.thread("onlooker",
                     [&ring] { require(ring.size_approx() <= 1, "more items than there ever were"); });
          }};
}

// What an item stands for: begun by the producer, used and ended by the consumer, begun again by the producer
// when the consumer has given it back through a second ring. This is how buffers go to another core and come
// home.
template <class Ring>
NamedProgram pool_return() {
  return {std::string("buffers that come home through a second ") + kName<Ring>, [](Scenario& s) {
            struct Shared {
              Ring there{2}, back{2};
              Resource buffers[2];
            };
            auto& shared = s.make<Shared>();
            s.thread("owner", [&shared] {
              uint32_t at_home = 2;
              uint32_t mine[2] = {0, 1};
              for (uint32_t i = 0; i < 4; ++i) {
                if (at_home == 0) {
                  Cell home;
                  assume(shared.back.try_pop(home));
                  mine[at_home++] = home.value();
                }
                const uint32_t buffer = mine[--at_home];
                shared.buffers[buffer].begin();
                require(shared.there.try_push(Cell(buffer)), "a ring as large as the pool is full");
              }
            });
            s.thread("other core", [&shared] {
              for (uint32_t i = 0; i < 4; ++i) {
                Cell item;
                assume(shared.there.try_pop(item));
                shared.buffers[item.value()].use();
                shared.buffers[item.value()].end();
                require(shared.back.try_push(item), "a ring as large as the pool is full");
              }
            });
            s.finally([&shared] {
              for (Resource& buffer : shared.buffers) require(!buffer.alive(), "a buffer leaks");
            });
          }};
}

template <class Ring>
void add_all(std::vector<NamedProgram>& all) {
  for (const uint32_t capacity : {2u, 4u}) {
    all.push_back(through<Ring>("one by one", capacity, Way::kOne, Way::kOne));
    all.push_back(through<Ring>("in bursts", capacity, Way::kBurst, Way::kBurst));
    all.push_back(through<Ring>("in place", capacity, Way::kInPlace, Way::kInPlace));
    all.push_back(through<Ring>("in bursts, out one by one", capacity, Way::kBurst, Way::kOne));
    all.push_back(through<Ring>("one by one, out in bursts", capacity, Way::kOne, Way::kBurst));
  }
  all.push_back(sizes<Ring>());
  all.push_back(one_item<Ring>());
  all.push_back(pool_return<Ring>());
}

}  // namespace

std::vector<NamedProgram> ring_programs() {
  std::vector<NamedProgram> all;
  add_all<Items>(all);
  add_all<Lines>(all);
  return all;
}

}  // namespace trunkline::model
