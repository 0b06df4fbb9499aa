// See memory.h.
#include "tests/model/memory.h"

#include <algorithm>

namespace trunkline::model {

namespace {

// What a thread did, for its history.
enum What : uint64_t { kLoad = 1, kStore, kUpdate };

// The finisher of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

void Memory::Knowledge::see(LocationId at, StoreId store) {
  if (at >= seen.size()) seen.resize(at + 1, 0);
  seen[at] = store;
}

void Memory::reset() {
  locations_.clear();
  threads_ = {};
}

LocationId Memory::create(uint64_t value) {
  Location location;
  location.stores.push_back({value});
  location.order.push_back(0);
  location.rank.push_back(0);
  locations_.push_back(std::move(location));
  return static_cast<LocationId>(locations_.size() - 1);
}

// ---- choices

uint32_t Memory::rank_known(uint32_t thread, LocationId at) const {
  return locations_[at].rank[threads_[thread].knows.of(at)];
}

bool Memory::followed_by_update(const Location& location, uint32_t rank) const {
  return rank + 1 < location.order.size() && location.stores[location.order[rank + 1]].updates;
}

uint32_t Memory::loads(uint32_t thread, LocationId at) const {
  return static_cast<uint32_t>(locations_[at].order.size()) - rank_known(thread, at);
}

uint32_t Memory::stores(uint32_t thread, LocationId at) const {
  const Location& location = locations_[at];
  uint32_t count = 0;
  for (uint32_t rank = rank_known(thread, at); rank < location.order.size(); ++rank) {
    count += followed_by_update(location, rank) ? 0 : 1;
  }
  return count;
}

uint32_t Memory::rank_before(uint32_t thread, LocationId at, uint32_t choice) const {
  const Location& location = locations_[at];
  auto rank = static_cast<uint32_t>(location.order.size()) - 1;
  for (; rank > rank_known(thread, at); --rank) {
    if (followed_by_update(location, rank)) continue;
    if (choice-- == 0) break;
  }
  return rank;
}

// ---- operations

void Memory::step(uint32_t thread, uint64_t what) {
  Thread& t = threads_[thread];
  ++t.knows.clock[thread];
  t.history = mix(t.history, what);
}

void Memory::learn(Knowledge& knows, const Knowledge& more) const {
  for (uint32_t t = 0; t < kMaxThreads; ++t) knows.clock[t] = std::max(knows.clock[t], more.clock[t]);
  for (LocationId at = 0; at < more.seen.size(); ++at) {
    const std::vector<uint32_t>& rank = locations_[at].rank;
    if (rank[more.seen[at]] > rank[knows.of(at)]) knows.see(at, more.seen[at]);
  }
}

void Memory::take(uint32_t thread, LocationId at, StoreId store, Order order) {
  Knowledge& knows = threads_[thread].knows;
  if (store != knows.of(at)) knows.see(at, store);
  if (order.acquire) learn(knows, locations_[at].stores[store].released);
}

uint64_t Memory::load(uint32_t thread, LocationId at, uint32_t choice, Order order) {
  const Location& location = locations_[at];
  const StoreId store = location.order[location.order.size() - 1 - choice];
  step(thread, mix(mix(kLoad, at), location.stores[store].identity));
  take(thread, at, store, order);
  return location.stores[store].value;
}

Memory::StoreId Memory::insert(uint32_t thread, LocationId at, uint32_t rank, uint64_t value, bool updates) {
  Location& location = locations_[at];
  const auto id = static_cast<StoreId>(location.stores.size());
  Store store;
  store.value = value;
  store.identity = mix(thread + 1, threads_[thread].knows.clock[thread]);
  store.updates = updates;
  location.stores.push_back(std::move(store));
  location.order.insert(location.order.begin() + rank, id);
  location.rank.push_back(rank);
  for (uint32_t i = rank; i < location.order.size(); ++i) location.rank[location.order[i]] = i;
  location.writers |= 1u << thread;
  threads_[thread].knows.see(at, id);
  return id;
}

void Memory::store(uint32_t thread, LocationId at, uint32_t choice, uint64_t value, Order order) {
  const uint32_t rank = rank_before(thread, at, choice) + 1;
  step(thread, mix(kStore, at));
  const StoreId id = insert(thread, at, rank, value, false);
  if (order.release) locations_[at].stores[id].released = threads_[thread].knows;
}

uint64_t Memory::read_by_load(LocationId at, uint32_t choice) const {
  const Location& location = locations_[at];
  return location.stores[location.order[location.order.size() - 1 - choice]].value;
}

uint64_t Memory::read_by_update(uint32_t thread, LocationId at, uint32_t choice) const {
  const Location& location = locations_[at];
  return location.stores[location.order[rank_before(thread, at, choice)]].value;
}

void Memory::update(uint32_t thread, LocationId at, uint32_t choice, uint64_t value, Order order) {
  const uint32_t rank = rank_before(thread, at, choice);
  const StoreId read = locations_[at].order[rank];
  step(thread, mix(mix(kUpdate, at), locations_[at].stores[read].identity));
  take(thread, at, read, order);
  const StoreId id = insert(thread, at, rank + 1, value, true);
  std::vector<Store>& stores = locations_[at].stores;
  if (order.release) stores[id].released = threads_[thread].knows;
  // It goes on with the release sequence of what it read.
  learn(stores[id].released, stores[read].released);
}

uint64_t Memory::newest(LocationId at) const {
  const Location& location = locations_[at];
  return location.stores[location.order.back()].value;
}

// ---- what is not atomic

bool Memory::read(uint32_t thread, Plain& plain) {
  const Clock& clock = threads_[thread].knows.clock;
  const bool ordered = plain.written <= clock[plain.writer];
  plain.read[thread] = ++threads_[thread].knows.clock[thread];
  return ordered;
}

bool Memory::write(uint32_t thread, Plain& plain) {
  const Clock& clock = threads_[thread].knows.clock;
  bool ordered = plain.written <= clock[plain.writer];
  for (uint32_t t = 0; t < kMaxThreads; ++t) ordered = ordered && plain.read[t] <= clock[t];
  plain.writer = thread;
  plain.written = ++threads_[thread].knows.clock[thread];
  plain.read = {};
  return ordered;
}

// ---- all threads

void Memory::fork(uint32_t threads) {
  ++threads_[0].knows.clock[0];
  for (uint32_t t = 1; t <= threads; ++t) threads_[t].knows = threads_[0].knows;
}

void Memory::join(uint32_t threads) {
  for (uint32_t t = 1; t <= threads; ++t) learn(threads_[0].knows, threads_[t].knows);
  for (LocationId at = 0; at < locations_.size(); ++at) {
    if (locations_[at].order.size() > 1) threads_[0].knows.see(at, locations_[at].order.back());
  }
}

uint64_t Memory::fingerprint(uint32_t threads) const {
  uint64_t sum = 0;
  for (uint32_t t = 1; t <= threads; ++t) sum = mix(sum, threads_[t].history);
  for (LocationId at = 0; at < locations_.size(); ++at) {
    const Location& location = locations_[at];
    // Where one thread writes, its history is the order.
    if ((location.writers & (location.writers - 1)) == 0) continue;
    for (const StoreId store : location.order) sum = mix(sum, location.stores[store].identity);
    sum = mix(sum, at);
  }
  return sum;
}

}  // namespace trunkline::model
