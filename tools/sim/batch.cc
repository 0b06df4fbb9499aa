// See batch.h.
#include "tools/sim/batch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "tools/sim/world.h"

namespace trunkline::sim {

namespace {

constexpr uint64_t kChunk = 16;

struct Shared {
  const BatchOptions& options;
  const std::function<void(const SeedResult&)>& each;
  std::atomic<uint64_t> next{0};             // index of the next chunk's first seed
  std::atomic<uint64_t> done{0};             // seeds
  std::atomic<uint64_t> lowest{UINT64_MAX};  // index of the lowest seed with a violation
  std::vector<uint64_t> hashes;              // by index; each written by the thread that ran it
};

struct Worker {
  Report report;
  std::vector<SeedResult> failed;

  void run(Shared& shared) {
    const BatchOptions& options = shared.options;
    for (;;) {
      const uint64_t begin = shared.next.fetch_add(kChunk);
      if (begin >= options.seeds) return;
      for (uint64_t i = begin; i < std::min(begin + kChunk, options.seeds); ++i) {
        if (!options.keep_going && i > shared.lowest.load()) return;
        run_seed(shared, i);
      }
    }
  }

  void run_seed(Shared& shared, uint64_t i) {
    Options drawn = draw_options(shared.options.first_seed + i);
    drawn.sealed = shared.options.sealed;
    const RunResult run = run_world(drawn, draw_faults(drawn), report);
    const SeedResult result{drawn.seed, run.hash, run.violations};
    shared.hashes[i] = result.hash;
    if (shared.each) shared.each(result);
    if (!result.violations.empty()) {
      failed.push_back(result);
      uint64_t known = shared.lowest.load();
      while (i < known && !shared.lowest.compare_exchange_weak(known, i)) {
      }
    }
    shared.done.fetch_add(1);
  }
};

}  // namespace

BatchResult run_batch(const BatchOptions& options, const std::function<void(uint64_t)>& progress,
                      const std::function<void(const SeedResult&)>& each) {
  Shared shared{options, each, {}, {}, {UINT64_MAX}, {}};
  shared.hashes.resize(options.seeds);
  const uint32_t jobs = std::max(1u, options.jobs);
  std::vector<Worker> workers(jobs);
  std::vector<std::thread> threads;
  std::atomic<uint32_t> running{jobs};
  for (Worker& worker : workers) {
    threads.emplace_back([&] {
      worker.run(shared);
      running.fetch_sub(1);
    });
  }
  while (progress && running.load() > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    progress(shared.done.load());
  }
  for (std::thread& thread : threads) thread.join();
  BatchResult result;
  for (Worker& worker : workers) {
    result.report.add(worker.report);
    result.failed.insert(result.failed.end(), worker.failed.begin(), worker.failed.end());
  }
  std::sort(result.failed.begin(), result.failed.end(),
            [](const SeedResult& a, const SeedResult& b) { return a.seed < b.seed; });
  if (!options.keep_going && result.failed.size() > 1) result.failed.resize(1);
  for (const uint64_t hash : shared.hashes) result.hash = combine_hashes(result.hash, hash);
  result.ran = shared.done.load();
  return result;
}

}  // namespace trunkline::sim
