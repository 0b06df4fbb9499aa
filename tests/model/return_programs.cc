// PacketReturn and the pool behind it: buffers go to another core, are used there and come home, two or four
// at a time. The hand-over is a ring, as between data cores.
#include <array>

#include "core/packet_pool.h"
#include "core/packet_return.h"
#include "core/spsc_ring.h"
#include "tests/model/programs.h"
#include "tests/model/sync.h"

namespace trunkline::model {

namespace {

// What the two cores have in common: a pool of at most four buffers, of which `limit` are out at a time. The
// bytes are stood for by a Resource, which is alive while somebody may use them, and by a number.
struct Shared {
  Shared(uint32_t buffers, uint32_t limit) : pool(buffers, 64, pages), home(pool, limit) {}
  core::HeapPageSource pages;
  core::PacketPool pool;
  core::SpscRing<Cell, ModelSync> there{4};
  core::PacketReturn<ModelSync> home;
  std::array<Resource, 4> alive;
  std::array<Var<uint32_t>, 4> bytes;
};

// A buffer with `number` in it, as soon as there is one and it may be lent.
core::Buffer* fill(Shared& shared, uint32_t number) {
  if (shared.pool.free_count() == 0 || shared.home.credit() == 0) assume(shared.home.collect() > 0);
  core::Buffer* buffer = shared.pool.try_alloc();
  assume(buffer != nullptr);
  shared.alive[buffer->index].begin();
  shared.bytes[buffer->index].write() = number;
  return buffer;
}

void lend(Shared& shared, core::Buffer* buffer) {
  require(shared.home.try_lend(buffer), "there was credit");
  require(shared.there.try_push(Cell(buffer->index)), "more is handed over than may be out");
}

// The other core: what it takes has the next number in it. It flushes after every `burst` of them.
void borrow(Shared& shared, uint32_t packets, uint32_t burst) {
  for (uint32_t i = 0; i < packets; ++i) {
    Cell item;
    assume(shared.there.try_pop(item));
    const uint32_t index = item.value();
    shared.alive[index].use();
    require(shared.bytes[index].read() == i, "the bytes are those that were lent");
    shared.alive[index].end();
    shared.home.give_back(shared.pool.at(index));
    if ((i + 1) % burst == 0 || i + 1 == packets) shared.home.flush();
  }
}

// All is at home, and everybody says so.
void settle(Shared& shared) {
  while (shared.home.collect() > 0) {
  }
  require(shared.home.loans() == core::PacketReturn<ModelSync>::Loans{}, "a loan is left");
  require(shared.pool.whereabouts() == core::PacketPool::Whereabouts{shared.pool.count(), 0, 0},
          "a buffer leaks");
}

NamedProgram go_round(uint32_t buffers, uint32_t limit, uint32_t packets, uint32_t burst) {
  return {"lent buffers, " + std::to_string(limit) + " of " + std::to_string(buffers) + " out, back by " +
              std::to_string(burst),
          [=](Scenario& s) {
            auto& shared = s.make<Shared>(buffers, limit);
            s.thread("lender", [&shared, packets] {
              for (uint32_t i = 0; i < packets; ++i) lend(shared, fill(shared, i));
            });
            s.thread("borrower", [&shared, packets, burst] { borrow(shared, packets, burst); });
            s.finally([&shared] { settle(shared); });
          }};
}

// The lender looks for what is home whenever it likes, not only when it has to; and says how much is out.
NamedProgram collected_early() {
  return {"lent buffers, collected early", [](Scenario& s) {
            auto& shared = s.make<Shared>(2u, 2u);
            s.thread("lender", [&shared] {
              for (uint32_t i = 0; i < 3; ++i) {
                lend(shared, fill(shared, i));
                const auto loans = shared.home.loans();
                require(loans.held + loans.returning == shared.home.lent() && loans.returning <= 2,
                        "the loans do not add up");
                const uint32_t home = shared.home.collect();  // to the end of the ring's array, at most
                require(home > 0 || loans.returning == 0, "less is home than it said");
              }
            });
            s.thread("borrower", [&shared] { borrow(shared, 3, 1); });
            s.finally([&shared] { settle(shared); });
          }};
}

// Both cores read the same bytes, each with a reference of its own; whoever is last, they are not written
// before.
NamedProgram read_by_both() {
  return {"lent buffers, read on both cores", [](Scenario& s) {
            auto& shared = s.make<Shared>(1u, 2u);
            s.thread("lender", [&shared] {
              for (uint32_t i = 0; i < 3; ++i) {
                if (shared.pool.free_count() == 0) assume(shared.home.collect() > 0);
                core::Buffer* buffer = shared.pool.try_alloc();
                shared.bytes[0].write() = i;
                shared.pool.retain(buffer);
                lend(shared, buffer);
                require(shared.bytes[0].read() == i, "the bytes are still ours");
                shared.pool.release(buffer);
              }
            });
            s.thread("borrower", [&shared] {
              for (uint32_t i = 0; i < 3; ++i) {
                Cell item;
                assume(shared.there.try_pop(item));
                require(shared.bytes[0].read() == i, "the bytes are those that were lent");
                shared.home.give_back(shared.pool.at(item.value()));
                shared.home.flush();
              }
            });
            s.finally([&shared] { settle(shared); });
          }};
}

}  // namespace

std::vector<NamedProgram> return_programs() {
  return {go_round(2, 2, 4, 1), go_round(2, 2, 6, 2), go_round(4, 2, 4, 1), go_round(4, 4, 6, 1),
          go_round(4, 4, 6, 2), collected_early(),    read_by_both()};
}

}  // namespace trunkline::model
