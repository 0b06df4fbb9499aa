// Look-ups: 16-byte keys, all present, asked for in random order, 64 at a time, which is the most that
// rte_hash takes. The peers' tables are reserved and hash with the CRC instruction.
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/core/contest.h"
#include "core/bounded_table.h"
#include "core/histogram.h"
#include "core/rng.h"

#ifdef HAVE_ABSL
#include <absl/container/flat_hash_map.h>
#endif
#ifdef HAVE_BOOST
#include <boost/unordered/unordered_flat_map.hpp>
#endif
#ifdef HAVE_DPDK
#include <rte_hash.h>
#include <rte_hash_crc.h>
#endif

namespace trunkline::bench {

namespace {

using core::TrackId;
constexpr uint32_t kBurst = 64;
constexpr core::HashKey kKey{0x1234, 0x5678};

TrackId random_id(core::Rng& rng) {
  TrackId id;
  const uint64_t words[2] = {rng.next(), rng.next()};
  std::memcpy(id.bytes.data(), words, sizeof words);
  return id;
}

// Who is there, and who is asked for.
struct Keys {
  std::vector<TrackId> present, asked;
  explicit Keys(uint32_t n) {
    core::Rng rng(n);
    present.reserve(n);
    for (uint32_t i = 0; i < n; ++i) present.push_back(random_id(rng));
    constexpr uint32_t kAsked = 1 << 20;
    for (uint32_t i = 0; i < kAsked; ++i) asked.push_back(present[rng.below(n)]);
  }
};

// ---- what is compared

// All tables lie on 2 MiB pages where the kernel has them to give; DPDK's come from its own.
constexpr size_t kPage = size_t{2} << 20;

void* take_pages(size_t bytes) {
  const size_t whole = (bytes + kPage - 1) / kPage * kPage;
  void* at = std::aligned_alloc(kPage, whole);
  if (at == nullptr) std::abort();
  madvise(at, whole, MADV_HUGEPAGE);  // advice: small pages do as well
  return at;
}

template <class T>
struct PagesAllocator {
  using value_type = T;
  PagesAllocator() = default;
  template <class U>
  PagesAllocator(const PagesAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(take_pages(n * sizeof(T))); }
  void deallocate(T* at, size_t) { std::free(at); }
  bool operator==(const PagesAllocator&) const = default;
};

class Pages final : public core::PageSource {
 public:
  ~Pages() override {
    for (void* block : blocks_) std::free(block);
  }
  std::span<uint8_t> take(size_t bytes) override {
    blocks_.push_back(take_pages(bytes));
    std::memset(blocks_.back(), 0, bytes);
    return {static_cast<uint8_t*>(blocks_.back()), bytes};
  }

 private:
  std::vector<void*> blocks_;
};

struct OurTable {
  Pages pages;
  core::BoundedTable<> table;
  explicit OurTable(const Keys& keys) : table(static_cast<uint32_t>(keys.present.size()), kKey, pages) {
    for (uint32_t i = 0; i < keys.present.size(); ++i) table.insert(keys.present[i], i);
  }
  void find(const TrackId* ids, uint32_t* records) const {
    table.find_burst({ids, kBurst}, {records, kBurst});
  }
};

struct CrcHash {
  size_t operator()(const TrackId& id) const {
    // Two independent chains, so that the upper half of the hash, which both tables use, is not empty.
    const uint64_t low = _mm_crc32_u64(_mm_crc32_u64(0, id.high()), id.low());
    const uint64_t high = _mm_crc32_u64(_mm_crc32_u64(0xffffffff, id.low()), id.high());
    return (high << 32) | low;
  }
};

template <class Map>
struct MapTable {
  Map map;
  explicit MapTable(const Keys& keys) {
    map.reserve(keys.present.size());
    for (uint32_t i = 0; i < keys.present.size(); ++i) map.emplace(keys.present[i], i);
  }
  void find(const TrackId* ids, uint32_t* records) const {
    for (uint32_t i = 0; i < kBurst; ++i) {
      const auto at = map.find(ids[i]);
      records[i] = at == map.end() ? UINT32_MAX : at->second;
    }
  }
};

using Pair [[maybe_unused]] = PagesAllocator<std::pair<const TrackId, uint32_t>>;
#ifdef HAVE_ABSL
using AbslTable = MapTable<absl::flat_hash_map<TrackId, uint32_t, CrcHash, std::equal_to<>, Pair>>;
#endif
#ifdef HAVE_BOOST
using BoostTable = MapTable<boost::unordered_flat_map<TrackId, uint32_t, CrcHash, std::equal_to<>, Pair>>;
#endif

#ifdef HAVE_DPDK
struct RteTable {
  rte_hash* hash;
  explicit RteTable(const Keys& keys) {
    rte_hash_parameters parameters{};
    static int made = 0;
    const std::string name = "figure" + std::to_string(made++);
    parameters.name = name.c_str();
    parameters.entries = static_cast<uint32_t>(keys.present.size() + keys.present.size() / 8);
    parameters.key_len = 16;
    parameters.hash_func = rte_hash_crc;
    parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF;
    hash = rte_hash_create(&parameters);
    if (hash == nullptr) return;
    for (uint32_t i = 0; i < keys.present.size(); ++i) {
      rte_hash_add_key_data(hash, keys.present[i].bytes.data(), reinterpret_cast<void*>(uintptr_t{i}));
    }
  }
  ~RteTable() { rte_hash_free(hash); }
  RteTable(const RteTable&) = delete;
  RteTable& operator=(const RteTable&) = delete;
  void find(const TrackId* ids, uint32_t* records) const {
    std::array<const void*, kBurst> keys;
    std::array<void*, kBurst> data;
    for (uint32_t i = 0; i < kBurst; ++i) keys[i] = ids[i].bytes.data();
    uint64_t hits = 0;
    rte_hash_lookup_bulk_data(hash, keys.data(), kBurst, &hits, data.data());
    for (uint32_t i = 0; i < kBurst; ++i) {
      records[i] =
          (hits >> i & 1) != 0 ? static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data[i])) : UINT32_MAX;
    }
  }
};
#endif

// ---- the loop

template <class Table>
double lookups_per_second(const Table& table, const Keys& keys, uint64_t lookups) {
  std::array<uint32_t, kBurst> records;
  uint64_t sum = 0;
  const double begin = now_ns();
  for (uint64_t done = 0; done < lookups;) {
    for (size_t from = 0; from + kBurst <= keys.asked.size() && done < lookups;
         from += kBurst, done += kBurst) {
      table.find(&keys.asked[from], records.data());
      for (const uint32_t record : records) sum += record == UINT32_MAX ? 1 : 0;
    }
  }
  const double seconds = (now_ns() - begin) / 1e9;
  return sum == 0 ? static_cast<double>(lookups) / seconds : 0;  // a miss would be a defect
}

// Keys that are not there.
double miss_ns(const OurTable& table, uint32_t seed, uint64_t lookups) {
  core::Rng rng(seed + 1);
  std::vector<TrackId> absent;
  for (uint32_t i = 0; i < 1u << 16; ++i) absent.push_back(random_id(rng));
  std::array<uint32_t, kBurst> records;
  uint64_t hits = 0;
  const double begin = now_ns();
  for (uint64_t done = 0; done < lookups; done += kBurst) {
    table.find(&absent[done % absent.size()], records.data());
    for (const uint32_t record : records) hits += record == UINT32_MAX ? 0 : 1;
  }
  const double ns = (now_ns() - begin) / static_cast<double>(lookups);
  return hits == 0 ? ns : 0;  // a hit would be a defect
}

// A key goes and comes back.
double replace_ns(core::BoundedTable<>& table, const Keys& keys, uint64_t times) {
  core::Rng rng(5);
  const double begin = now_ns();
  for (uint64_t i = 0; i < times; ++i) {
    const auto at = static_cast<uint32_t>(rng.below(keys.present.size()));
    table.erase(keys.present[at]);
    table.insert(keys.present[at], at);
  }
  return (now_ns() - begin) / static_cast<double>(times);
}

// Random lines of memory on the same pages, 64 in flight: what no table that touches one line per look-up can
// beat.
class Lines {
 public:
  explicit Lines(uint64_t bytes) : words_(bytes / 8, 1) {}
  double per_second(uint64_t touches) const {
    const size_t lines = words_.size() / 8;
    core::Rng rng(7);
    std::array<uint32_t, 64> at;
    uint64_t sum = 0;
    const double begin = now_ns();
    for (uint64_t done = 0; done < touches; done += at.size()) {
      for (uint32_t& line : at) {
        line = static_cast<uint32_t>((rng.next() >> 32) * lines >> 32);
        __builtin_prefetch(&words_[size_t{line} * 8]);
      }
      for (const uint32_t line : at) sum += words_[size_t{line} * 8];
    }
    const double seconds = (now_ns() - begin) / 1e9;
    return sum == 0 ? 0 : static_cast<double>(touches) / seconds;
  }

 private:
  std::vector<uint64_t, PagesAllocator<uint64_t>> words_;
};

void hits(const CoreOptions& options, const char* size, uint32_t n) {
  const std::string prefix = std::string("table.hit.") + size + ".";
  if (!options.wants_of(prefix)) return;
  const Keys keys(n);
  const uint64_t lookups = options.scaled(4e6);
  const OurTable ours(keys);
  [[maybe_unused]] const auto against = [&](const char* name, const char* peer, double goal,
                                            const auto& table) {
    Figure figure{prefix + name, "look-ups/s", peer, goal};
    figure.lower_is_better = false;
    contest(
        options, figure, [&] { return lookups_per_second(ours, keys, lookups); },
        [&] { return lookups_per_second(table, keys, lookups); });
  };
#ifdef HAVE_DPDK
  if (options.wants(prefix + "rte")) {
    const RteTable table(keys);
    if (table.hash != nullptr)
      against("rte", "rte_hash lock-free, bulk 64, CRC", n >= 10'000'000 ? 2 : 2.5, table);
  }
#endif
#ifdef HAVE_ABSL
  if (options.wants(prefix + "absl")) against("absl", "absl::flat_hash_map, CRC", 1.5, AbslTable(keys));
#endif
#ifdef HAVE_BOOST
  if (options.wants(prefix + "boost"))
    against("boost", "boost::unordered_flat_map, CRC", 1.5, BoostTable(keys));
#endif
}

// A percentile of the time of a burst of look-ups while `change` is called a million times a second on the
// other core, or never.
template <class Table, class Change>
double burst_ns(const Table& table, const Keys& keys, uint64_t bursts, double percent, bool busy,
                const Change& change) {
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    pin(1);
    core::Rng rng(3);
    double next = now_ns();
    while (busy && !stop) {
      change(static_cast<uint32_t>(rng.below(keys.present.size())));
      next += 2000;  // each is two updates: the key goes and comes back
      while (now_ns() < next && !stop) _mm_pause();
    }
  });
  pin(0);
  auto histogram = std::make_unique<core::Histogram>();
  std::array<uint32_t, kBurst> records;
  for (uint64_t i = 0; i < bursts; ++i) {
    const double begin = now_ns();
    table.find(&keys.asked[(i * kBurst) & (keys.asked.size() - 1)], records.data());
    histogram->record(static_cast<int64_t>(now_ns() - begin));
  }
  stop = true;
  writer.join();
  return static_cast<double>(histogram->percentile(percent));
}

void churn(const CoreOptions& options) {
  if (!options.wants_of("table.churn")) return;
  const Keys keys(1'000'000);
  const uint64_t bursts = options.scaled(3e5);
  // The machine's own interruptions reach p99.99; what a writer does to readers shows before that.
  const auto inflation = [&](const std::string& name, double goal, const auto& table, const auto& change) {
    for (const auto& row : {std::pair{"", 99.99}, {".p999", 99.9}, {".p50", 50.0}}) {
      const double percent = row.second;
      Figure figure{name + row.first, "ns, a burst of 64", "the same table, no writer", goal};
      contest(
          options, figure, [&] { return burst_ns(table, keys, bursts, percent, true, change); },
          [&] { return burst_ns(table, keys, bursts, percent, false, change); });
    }
  };
  {
    OurTable ours(keys);
    inflation("table.churn", 1.2, ours, [&](uint32_t i) {
      ours.table.erase(keys.present[i]);
      ours.table.insert(keys.present[i], i);
    });
  }
#ifdef HAVE_DPDK
  const RteTable rte(keys);
  if (rte.hash == nullptr) return;
  inflation("table.churn.rte", 0, rte, [&](uint32_t i) {
    const void* key = keys.present[i].bytes.data();
    const int32_t position = rte_hash_del_key(rte.hash, key);
    if (position >= 0) rte_hash_free_key_with_position(rte.hash, position);
    rte_hash_add_key_data(rte.hash, key, reinterpret_cast<void*>(uintptr_t{i}));
  });
#endif
}

}  // namespace

void table_figures(const CoreOptions& options) {
  hits(options, "10k", 10'000);
  hits(options, "1m", 1'000'000);
  hits(options, "10m", 10'000'000);
  if (options.wants("table.limit.10m")) {
    const Keys keys(10'000'000);
    const OurTable ours(keys);
    const Lines lines(uint64_t{10'000'000} * 64);
    Figure figure{"table.limit.10m", "lines/s", "random lines of memory, 64 in flight", 0.8};
    figure.lower_is_better = false;
    figure.note = "a look-up counted as one line";
    contest(
        options, figure, [&] { return lookups_per_second(ours, keys, options.scaled(4e6)); },
        [&] { return lines.per_second(options.scaled(4e6)); });
  }
  churn(options);
}

void table_curve(const CoreOptions& options) {
  for (const double full : {1e4, 1e5, 1e6, 1e7}) {
    const auto n = static_cast<uint32_t>(std::max(full * std::min(options.scale, 1.0), 1e3));
    const Keys keys(n);
    const uint64_t lookups = options.scaled(4e6);
    const auto point = [&](const char* structure, const char* operation, const std::function<double()>& ns) {
      std::vector<double> all;
      for (int i = 0; i < options.repeat; ++i) all.push_back(ns());
      std::printf("%s,%s,%u,random,%.2f\n", structure, operation, n, median(all));
      std::fflush(stdout);
    };
    const auto hit = [&](const char* structure, const auto& table) {
      point(structure, "hit", [&] { return 1e9 / lookups_per_second(table, keys, lookups); });
    };
    {
      OurTable ours(keys);
      hit("table", ours);
      point("table", "miss", [&] { return miss_ns(ours, n, lookups); });
      point("table", "replace", [&] { return replace_ns(ours.table, keys, lookups / 4); });
    }
    {
      const Lines lines(uint64_t{n} * 64);
      point("line of memory", "hit", [&] { return 1e9 / lines.per_second(lookups); });
    }
#ifdef HAVE_ABSL
    hit("absl::flat_hash_map", AbslTable(keys));
#endif
#ifdef HAVE_BOOST
    hit("boost::unordered_flat_map", BoostTable(keys));
#endif
#ifdef HAVE_DPDK
    const RteTable rte(keys);
    if (rte.hash != nullptr) hit("rte_hash", rte);
#endif
  }
}

}  // namespace trunkline::bench
