// WakeWord between two producers and a sleeper that really sleeps: a lost wake-up shows as a sleep that only
// the timeout ends.
#include "core/wake_word.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/rng.h"
#include "core/spsc_ring.h"

namespace trunkline::core {
namespace {

// Stands for the eventfd: remembers that it was written until somebody has read it.
class Event {
 public:
  void write() {
    const std::lock_guard lock(mutex_);
    written_ = true;
    condition_.notify_one();
  }
  bool sleep() {
    std::unique_lock lock(mutex_);
    const bool woken = condition_.wait_for(lock, std::chrono::seconds(10), [&] { return written_; });
    written_ = false;
    return woken;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool written_ = false;
};

constexpr uint64_t kItems = 20'000;

void produce(SpscRing<uint64_t>& ring, WakeWord<>& word, Event& event, uint64_t seed) {
  Rng rng(seed);
  for (uint64_t item = 0; item < kItems;) {
    const uint64_t burst = std::min(1 + rng.below(8), kItems - item);
    for (uint64_t i = 0; i < burst && ring.try_push(item); ++i) ++item;
    if (word.should_wake()) event.write();
    // Now and then long enough for the sleeper to fall asleep.
    if (rng.chance(0.3)) std::this_thread::yield();
  }
}

TEST(WakeWordStress, LosesNoWakeUp) {
  SpscRing<uint64_t> rings[2]{SpscRing<uint64_t>(64), SpscRing<uint64_t>(64)};
  WakeWord<> word;
  Event event;
  std::thread producers[2];
  for (uint64_t p = 0; p < 2; ++p) {
    producers[p] = std::thread([&, p] { produce(rings[p], word, event, p + 1); });
  }
  uint64_t expected[2]{};
  uint64_t sleeps = 0;
  uint64_t lost = 0;
  const auto drain = [&] {
    bool found = false;
    for (size_t p = 0; p < 2; ++p) {
      for (uint64_t item; rings[p].try_pop(item); found = true) EXPECT_EQ(item, expected[p]++);
    }
    return found;
  };
  while (expected[0] + expected[1] < 2 * kItems) {
    if (drain()) continue;
    word.announce_sleep();
    if (!drain()) {
      ++sleeps;
      lost += !event.sleep();
    }
    word.awake();
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(lost, 0u);
  EXPECT_GT(sleeps, 0u) << "nobody slept: this run proved nothing";
}

}  // namespace
}  // namespace trunkline::core
