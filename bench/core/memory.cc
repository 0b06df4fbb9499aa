// Packet pools, pages of 2 MiB, and the allocator of the control plane. Ours and the peer run the same loop.
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "bench/core/contest.h"
#include "core/packet_pool.h"
#include "core/packet_return.h"
#include "core/rng.h"
#include "core/spsc_ring.h"
#include "io/page_source.h"

#ifdef HAVE_DPDK
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#endif

namespace trunkline::bench {

namespace {

// ---- pools: bursts of 32 buffers of 2 KiB

#ifdef HAVE_DPDK
constexpr uint32_t kBuffers = 8191, kBurst = 32, kBytes = 2048, kCache = 256;
constexpr uint32_t kOnTheWay = 1024;  // slots of the ring to the other core
constexpr uint32_t kLoans = 4096;     // so that it is this ring that a core waits for, as the peer does

struct OurPool {
  using Item = core::Buffer*;
  core::HeapPageSource pages;
  core::PacketPool pool{kBuffers, kBytes, pages};
  bool take(std::span<Item> out) { return pool.alloc_burst(out) == out.size(); }
  void give(std::span<Item> items) { pool.release_burst(items); }
};

// Pointers to memory: counts no references and checks nothing.
struct RtePool {
  using Item = void*;
  rte_mempool* pool = rte_mempool_create("figure", kBuffers, kBytes, kCache, 0, nullptr, nullptr, nullptr,
                                         nullptr, static_cast<int>(rte_socket_id()), 0);
  RtePool() = default;
  ~RtePool() { rte_mempool_free(pool); }
  RtePool(const RtePool&) = delete;
  RtePool& operator=(const RtePool&) = delete;
  bool take(std::span<Item> out) {
    return rte_mempool_get_bulk(pool, out.data(), static_cast<unsigned>(out.size())) == 0;
  }
  void give(std::span<Item> items) {
    rte_mempool_put_bulk(pool, items.data(), static_cast<unsigned>(items.size()));
  }
};

// The least that any pool does for an array of pointers: they are copied out of a stack, and in.
struct BareStack {
  using Item = void*;
  std::vector<Item> stack = std::vector<Item>(kBuffers);
  size_t height = kBuffers;
  bool take(std::span<Item> out) {
    if (height < out.size()) return false;
    height -= out.size();
    std::copy_n(&stack[height], out.size(), out.data());
    return true;
  }
  void give(std::span<Item> items) {
    std::copy_n(items.data(), items.size(), &stack[height]);
    height += items.size();
  }
};

// What DPDK's packets are taken from: counts references, as ours does.
struct RtePackets {
  using Item = rte_mbuf*;
  rte_mempool* pool =
      rte_pktmbuf_pool_create("figure_packets", kBuffers, kCache, 0, kBytes + RTE_PKTMBUF_HEADROOM,
                              static_cast<int>(rte_socket_id()));
  RtePackets() = default;
  ~RtePackets() { rte_mempool_free(pool); }
  RtePackets(const RtePackets&) = delete;
  RtePackets& operator=(const RtePackets&) = delete;
  bool take(std::span<Item> out) {
    return rte_pktmbuf_alloc_bulk(pool, out.data(), static_cast<unsigned>(out.size())) == 0;
  }
  void give(std::span<Item> items) {
    rte_pktmbuf_free_bulk(items.data(), static_cast<unsigned>(items.size()));
  }
};

// Somebody may look at the pointers, and change them: without that a compiler that sees both copies makes
// one.
template <class Burst>
void in_use(Burst& burst) {
  asm volatile("" : : "r"(burst.data()) : "memory");
}

// ns per buffer, taken and given back on one core.
template <class Pool>
double burst_ns(Pool& pool, uint64_t bursts) {
  std::array<typename Pool::Item, kBurst> burst{};
  const double begin = now_ns();
  for (uint64_t i = 0; i < bursts; ++i) {
    if (!pool.take(burst)) continue;
    in_use(burst);
    pool.give(burst);
  }
  return (now_ns() - begin) / static_cast<double>(bursts * kBurst);
}

// Taken on one core, given back on another.
struct OurLoans {
  using Item = core::Buffer*;
  OurPool pool;
  core::PacketReturn<> home{pool.pool, kLoans};
  void begin_other() {}
  void end_other() {}
  bool take(std::span<Item> out) {
    if (home.credit() < out.size()) {
      while (home.collect() > 0) {
      }
      if (home.credit() < out.size()) return false;
    }
    return pool.take(out) && home.lend_burst(out) == out.size();
  }
  void give(std::span<Item> items) {
    for (Item item : items) home.give_back(item);
    home.flush();
  }
};

template <class Pool>
struct RteLoans : Pool {
  void begin_other() { rte_thread_register(); }  // a cache of its own
  void end_other() { rte_thread_unregister(); }
};

// ns per buffer, both cores at work.
template <class Pool>
double return_ns(Pool& pool, uint64_t bursts) {
  using Item = typename Pool::Item;
  core::SpscRing<Item> there(kOnTheWay);
  std::atomic<bool> ready{false};
  std::thread other([&] {
    pin(1);
    pool.begin_other();
    ready = true;
    std::array<Item, kBurst> burst{};
    for (uint64_t given = 0; given < bursts * kBurst;) {
      const uint32_t got = there.pop_burst(burst);
      if (got == 0) continue;
      pool.give(std::span(burst).first(got));
      given += got;
    }
    pool.end_other();
  });
  pin(0);
  while (!ready) {
  }
  std::array<Item, kBurst> burst{};
  const double begin = now_ns();
  for (uint64_t i = 0; i < bursts;) {
    if (!pool.take(burst)) continue;
    for (uint32_t sent = 0; sent < kBurst;) sent += there.push_burst(std::span(burst).subspan(sent));
    ++i;
  }
  const double ns = now_ns() - begin;
  other.join();
  return ns / static_cast<double>(bursts * kBurst);
}

template <class Ours, class Peer>
void pool_contest(const CoreOptions& options, const Figure& figure, double (*loop)(Ours&, uint64_t),
                  double (*peer_loop)(Peer&, uint64_t), uint64_t bursts) {
  if (!options.wants(figure.name)) return;
  Ours ours;
  Peer peer;
  contest(
      options, figure, [&] { return loop(ours, bursts); }, [&] { return peer_loop(peer, bursts); });
}

void pools(const CoreOptions& options) {
  const uint64_t bursts = options.scaled(1e6);
  pool_contest<OurPool, RtePool>(options, {"pool.burst32", "ns", "rte_mempool with a cache of 256", 0.5},
                                 burst_ns, burst_ns, bursts);
  pool_contest<BareStack, RtePool>(
      options, {"pool.limit32", "ns", "rte_mempool; ours: pointers copied out and in, nothing counted", 0},
      burst_ns, burst_ns, bursts);
  pool_contest<OurPool, RtePackets>(options,
                                    {"pool.burst32.packets", "ns", "rte_pktmbuf, a cache of 256", 0.33},
                                    burst_ns, burst_ns, bursts);
  pool_contest<OurLoans, RteLoans<RtePool>>(
      options, {"pool.return32", "ns", "rte_mempool, a cache of 256 on either core", 1}, return_ns, return_ns,
      bursts / 2);
  pool_contest<OurLoans, RteLoans<RtePackets>>(
      options, {"pool.return32.packets", "ns", "rte_pktmbuf, a cache of 256 on either core", 0.5}, return_ns,
      return_ns, bursts / 2);
}
#else
void pools(const CoreOptions&) {}
#endif

// ---- pages

// Memory on pages of 4 KiB, whatever the machine would rather do.
struct SmallPages {
  size_t bytes;
  void* address;
  explicit SmallPages(size_t size)
      : bytes(size),
        address(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (address != MAP_FAILED) madvise(address, bytes, MADV_NOHUGEPAGE);
  }
  ~SmallPages() { munmap(address, bytes); }
  SmallPages(const SmallPages&) = delete;
  SmallPages& operator=(const SmallPages&) = delete;
  std::span<uint8_t> memory() const {
    if (address == MAP_FAILED) return {};
    return {static_cast<uint8_t*>(address), bytes};
  }
};

void make_present(std::span<uint8_t> memory) {
  for (size_t i = 0; i < memory.size(); i += 4096) memory[i] = 0;
}

// ns per byte read, each in a random line; where the next one is depends on the one before, as in a look-up,
// or 32 of them are known at once, as in a burst. The bytes are zero, which the compiler does not know.
template <bool kBurstwise>
double touch_ns(std::span<const uint8_t> memory, uint64_t touches) {
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;
  const uint64_t lines = memory.size() / 64;  // a power of two, 2^24 at most
  uint64_t at = 1;
  const double begin = now_ns();
  for (uint64_t i = 0; i < touches; i += 32) {
    uint64_t sum = 0;
    for (uint64_t k = 0; k < 32; ++k) {
      at = at * 0xd1342543de82ef95u + kStep;
      const uint8_t byte = memory[((at >> 40) & (lines - 1)) * 64];
      (kBurstwise ? sum : at) += byte;
    }
    at += sum;
  }
  const double ns = (now_ns() - begin) / static_cast<double>(touches);
  // Never: it keeps the loop.
  return at == 0 ? 0 : ns;
}

template <bool kBurstwise>
void touches(const CoreOptions& options, const std::string& name, size_t bytes) {
  if (!options.wants(name)) return;
  io::MmapPageSource large;  // what the pools of a node lie on
  const std::span<uint8_t> ours = large.take(bytes);
  const SmallPages small(bytes);
  const std::span<uint8_t> peer = small.memory();
  if (ours.empty() || peer.empty()) return;
  make_present(ours);
  make_present(peer);
  const uint64_t count = options.scaled(4e6);
  Figure figure{name, "ns", "the same on 4 KiB pages"};
  figure.note = large.describe();
  contest(
      options, figure, [&] { return touch_ns<kBurstwise>(ours, count); },
      [&] { return touch_ns<kBurstwise>(peer, count); });
}

void pages(const CoreOptions& options) {
  constexpr size_t kMiB = size_t{1} << 20;
  touches<false>(options, "pages.touch.1m", 1 * kMiB);
  touches<false>(options, "pages.touch.8m", 8 * kMiB);
  touches<false>(options, "pages.touch.64m", 64 * kMiB);
  touches<false>(options, "pages.touch.512m", 512 * kMiB);
  touches<true>(options, "pages.burst.512m", 512 * kMiB);
}

// ---- the control plane's allocations

struct Allocator {
  void* (*allocate)(size_t);
  void (*release)(void*);
};

// One step: memory for a place that has none, or, size 0, the end of what it has.
struct Step {
  uint32_t place;
  uint32_t size;
};

// What a control plane asks for: answers in JSON, which grow by doubling and are gone when they are sent;
// vectors of a few; nodes of maps and strings in them that stay, and go in no order.
struct ControlPlane {
  static constexpr uint32_t kKept = 20'000, kScratch = 2;
  std::vector<Step> steps;
  uint64_t allocations = 0;

  explicit ControlPlane(uint64_t wanted) {
    std::vector<bool> kept(kKept);
    while (allocations < wanted) {
      const uint64_t what = rng.below(10);
      if (what < 3) {
        grow(16, static_cast<uint32_t>(256u << rng.below(5)));
      } else if (what < 6) {
        grow(static_cast<uint32_t>(16 + 8 * rng.below(6)), static_cast<uint32_t>(64u << rng.below(3)));
      } else {
        for (uint64_t n = 1 + rng.below(16); n > 0; --n) {
          const auto place = static_cast<uint32_t>(kScratch + rng.below(kKept));
          if (kept[place - kScratch]) {
            steps.push_back({place, 0});
          } else {
            take(place,
                 static_cast<uint32_t>(rng.chance(0.7) ? 48 + 16 * rng.below(6) : 16 + rng.below(480)));
          }
          kept[place - kScratch] = !kept[place - kScratch];
        }
      }
    }
    for (uint32_t i = 0; i < kKept; ++i) {
      if (kept[i]) steps.push_back({kScratch + i, 0});
    }
  }

  // ns per allocation and its release, the first and the last byte written.
  double run(Allocator with, std::vector<char*>& places) const {
    const double begin = now_ns();
    for (const Step step : steps) {
      char*& place = places[step.place];
      if (step.size == 0) {
        with.release(place);
      } else {
        place = static_cast<char*>(with.allocate(step.size));
        place[0] = place[step.size - 1] = 1;
      }
    }
    return (now_ns() - begin) / static_cast<double>(allocations);
  }

 private:
  void take(uint32_t place, uint32_t size) {
    steps.push_back({place, size});
    ++allocations;
  }
  // From `size` to at least `last`, the old memory held until the new one is there, then all released.
  void grow(uint32_t size, uint32_t last) {
    uint32_t place = 0;
    for (take(place, size); size < last; place = 1 - place) {
      take(1 - place, size *= 2);
      steps.push_back({place, 0});
    }
    steps.push_back({place, 0});
  }
  core::Rng rng{17};
};

// mimalloc as it is, beside the C library's allocator: loaded, for to link it would replace malloc.
bool load_mimalloc(Allocator& into) {
  void* library = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  into.allocate = reinterpret_cast<void* (*)(size_t)>(dlsym(library, "mi_malloc"));
  into.release = reinterpret_cast<void (*)(void*)>(dlsym(library, "mi_free"));
  const auto is_its_own = reinterpret_cast<bool (*)(const void*)>(dlsym(library, "mi_is_in_heap_region"));
  if (into.allocate == nullptr || into.release == nullptr || is_its_own == nullptr) return false;
  void* probe = std::malloc(64);
  const bool replaced = is_its_own(probe);  // preloaded: there is no peer
  std::free(probe);
  return !replaced;
}

void control_plane(const CoreOptions& options) {
  Allocator mimalloc{};
  if (!options.wants("alloc.control") || !load_mimalloc(mimalloc)) return;
  const ControlPlane plane(options.scaled(4e6));
  std::vector<char*> places(ControlPlane::kScratch + ControlPlane::kKept);
  contest(
      options, {"alloc.control", "ns", "malloc of the C library", 0.7},
      [&] { return plane.run(mimalloc, places); },
      [&] {
        return plane.run({std::malloc, std::free}, places);
      });
}

}  // namespace

void memory_figures(const CoreOptions& options) {
  pools(options);
  pages(options);
  control_plane(options);
}

}  // namespace trunkline::bench
