// Memory: what the threads of a program may read, under the release/acquire part of the C++20 memory model.
//
// The idea (RC11 of Lahav, Vafeiadis, Kang, Hur and Dreyer, "Repairing Sequential Consistency in C/C++11",
// PLDI 2017, without SC accesses and fences, told as views, as in Kaiser et al., "Strong Logic for Weak
// Memory", ECOOP 2017): a location keeps all stores ever made to it, in its modification order. A thread
// knows, for each location, the newest store that it must not go behind. A load may return any store that is
// not behind; a store may be placed anywhere after what its thread knows, but not between a read-modify-write
// and what that read. Release attaches to the store all that its thread knows, acquire adds that to what the
// reader knows.
//
// A thread's operations are performed in the order of the program, so no value comes from the future: load
// buffering is not shown, as RC11 forbids it (no cycle of program order and reads-from). All else that RC11
// allows is, also what no x86 shows: stale loads, stores that are seen in different orders.
//
// What is offered to choose from is numbered, 0 being what sequential consistency would do.
//
// Vector clocks beside the views say what happens before what, for accesses that are not atomic (Plain).
//
// One thread runs all of this. Nothing here knows of schedules: explorer.h decides.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace trunkline::model {

inline constexpr uint32_t kMaxThreads = 5;  // thread 0 sets up before the others begin and looks after them

using LocationId = uint32_t;
using Clock = std::array<uint32_t, kMaxThreads>;

struct Order {
  bool acquire = false;
  bool release = false;
};

// Accesses of a value that is not atomic: who wrote it last, and who has read it since.
struct Plain {
  uint32_t writer = 0;
  uint32_t written = 0;  // the writer's clock
  Clock read{};
};

class Memory {
 public:
  void reset();

  // By thread 0, or by a thread before any other can know of it.
  LocationId create(uint64_t value);

  // ---- what there is to choose from; at least 1
  // A load of one of the newest so many stores.
  uint32_t loads(uint32_t thread, LocationId at) const;
  // A store, or a read-modify-write, directly after one of so many stores.
  uint32_t stores(uint32_t thread, LocationId at) const;

  // What a choice would read.
  uint64_t read_by_load(LocationId at, uint32_t choice) const;
  uint64_t read_by_update(uint32_t thread, LocationId at, uint32_t choice) const;

  // ---- and what was chosen
  uint64_t load(uint32_t thread, LocationId at, uint32_t choice, Order order);
  void store(uint32_t thread, LocationId at, uint32_t choice, uint64_t value, Order order);
  void update(uint32_t thread, LocationId at, uint32_t choice, uint64_t value, Order order);

  // The newest value, whoever may know of it.
  uint64_t newest(LocationId at) const;

  // False: another thread's access of the same value is not ordered with this one, and one of them writes.
  bool read(uint32_t thread, Plain& plain);
  bool write(uint32_t thread, Plain& plain);

  // Thread 0 to all others, before they begin; all others to thread 0, when they have ended.
  void fork(uint32_t threads);
  void join(uint32_t threads);

  // Equal for two states of one program exactly when (but for collisions of 64 bits) every thread has done
  // and read the same, and every location has the same modification order: what can follow is the same too.
  uint64_t fingerprint(uint32_t threads) const;

 private:
  using StoreId = uint32_t;  // within its location, in the order in which they were made
  struct Knowledge {
    Clock clock{};
    std::vector<StoreId> seen;  // by location; what is beyond its end: the first store
    StoreId of(LocationId at) const { return at < seen.size() ? seen[at] : 0; }
    void see(LocationId at, StoreId store);
  };
  struct Store {
    uint64_t value = 0;
    uint64_t identity = 0;  // who made it, and which of its operations it was
    bool updates = false;   // it stands directly after what it read
    Knowledge released{};
  };
  struct Location {
    std::vector<Store> stores;
    std::vector<StoreId> order;  // the modification order
    std::vector<uint32_t> rank;  // by store: its place there
    uint32_t writers = 0;        // a bit per thread
  };
  struct Thread {
    Knowledge knows;
    uint64_t history = 0;  // a hash of what it has done and read
  };

  uint32_t rank_known(uint32_t thread, LocationId at) const;
  bool followed_by_update(const Location& location, uint32_t rank) const;
  // The place in the modification order after which a store chooses to stand, the newest first.
  uint32_t rank_before(uint32_t thread, LocationId at, uint32_t choice) const;
  void learn(Knowledge& knows, const Knowledge& more) const;
  void step(uint32_t thread, uint64_t what);
  void take(uint32_t thread, LocationId at, StoreId store, Order order);
  StoreId insert(uint32_t thread, LocationId at, uint32_t rank, uint64_t value, bool updates);

  std::vector<Location> locations_;
  std::array<Thread, kMaxThreads> threads_;
};

}  // namespace trunkline::model
