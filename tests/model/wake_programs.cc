// WakeWord beside a ring of either kind: whoever sleeps is woken when there is work, and never sleeps on it.
#include "core/line_ring.h"
#include "core/spsc_ring.h"
#include "core/wake_word.h"
#include "tests/model/programs.h"
#include "tests/model/sync.h"

namespace trunkline::model {

namespace {

using Items = core::SpscRing<Cell, ModelSync>;
using Lines = core::LineRing<Cell, ModelSync>;

template <class Ring>
struct Shared {
  Ring rings[2]{Ring(2), Ring(2)};
  core::WakeWord<ModelSync> word;
  Event event;
};

template <class Ring>
void produce(Shared<Ring>& shared, uint32_t ring, uint32_t items) {
  for (uint32_t i = 1; i <= items; ++i) {
    require(shared.rings[ring].try_push(Cell(i)), "the ring is full");
    if (shared.word.should_wake()) shared.event.signal();
  }
}

// Takes `items`, sleeping whenever there are none.
template <class Ring>
void sleep_and_work(Shared<Ring>& shared, uint32_t rings, uint32_t items) {
  uint32_t next[2] = {1, 1}, taken = 0;
  const auto work = [&] {
    bool any = false;
    for (uint32_t r = 0; r < rings; ++r) {
      Cell item;
      if (!shared.rings[r].try_pop(item)) continue;
      require(item.value() == next[r]++, "items come out in order, each once");
      ++taken;
      any = true;
    }
    return any;
  };
  for (uint32_t round = 0; round < items + 2; ++round) {
    if (taken == items) return;
    if (work()) continue;
    shared.word.announce_sleep();
    if (!work()) shared.event.wait();
    shared.word.awake();
  }
  assume(taken == items);
}

template <class Ring>
NamedProgram one_producer(uint32_t items, const char* beside = "") {
  return {"wake word, one producer of " + std::to_string(items) + beside, [=](Scenario& s) {
            auto& shared = s.make<Shared<Ring>>();
            s.thread("producer", [&shared, items] { produce(shared, 0, items); });
            s.thread("sleeper", [&shared, items] { sleep_and_work(shared, 1, items); });
          }};
}

template <class Ring>
NamedProgram two_producers(const char* beside = "") {
  return {std::string("wake word, two producers") + beside, [](Scenario& s) {
            auto& shared = s.make<Shared<Ring>>();
            s.thread("one", [&shared] { produce(shared, 0, 1); });
            s.thread("two", [&shared] { produce(shared, 1, 1); });
            s.thread("sleeper", [&shared] { sleep_and_work(shared, 2, 2); });
          }};
}

}  // namespace

std::vector<NamedProgram> wake_programs() {
  return {one_producer<Items>(1),
          one_producer<Items>(2),
          two_producers<Items>(),
          one_producer<Lines>(1, ", line ring"),
          one_producer<Lines>(2, ", line ring"),
          two_producers<Lines>(", line ring")};
}

}  // namespace trunkline::model
