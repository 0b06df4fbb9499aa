// The replay window against a std::set that remembers everything.
#include "relay/replay_window.h"

#include <gtest/gtest.h>

#include <set>

#include "core/rng.h"

namespace trunkline::relay {
namespace {

// What the window promises: kDepth counters back it is exact; older than that it refuses.
template <uint32_t kBits>
class Reference {
 public:
  using Window = ReplayWindow<kBits>;
  typename Window::Verdict commit(uint64_t counter) {
    if (counter + Window::kDepth < end_) return Window::Verdict::kTooOld;
    if (!seen_.insert(counter).second) return Window::Verdict::kSeen;
    end_ = std::max(end_, counter + 1);
    return Window::Verdict::kNew;
  }

 private:
  std::set<uint64_t> seen_;
  uint64_t end_ = 0;
};

template <uint32_t kBits>
void compare(uint64_t seed, uint64_t start, uint64_t spread, int steps) {
  ReplayWindow<kBits> window;
  Reference<kBits> reference;
  core::Rng rng(seed);
  uint64_t newest = start;
  for (int i = 0; i < steps; ++i) {
    // Mostly around the newest, sometimes a leap of up to three windows.
    const uint64_t leap = rng.chance(0.02) ? rng.below(3 * kBits) : rng.below(4);
    newest += leap;
    const uint64_t back = rng.below(spread);
    const uint64_t counter = newest >= back ? newest - back : 0;
    const auto checked = window.check(counter);
    const auto committed = window.commit(counter);
    ASSERT_EQ(committed, reference.commit(counter))
        << "counter " << counter << " step " << i << " seed " << seed;
    ASSERT_EQ(checked, committed) << "check() foretells commit()";
  }
}

TEST(ReplayWindow, AgreesWithAMemoryOfEverything) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    compare<128>(seed, 0, 200, 5'000);
    compare<256>(seed, 1'000'000, 300, 5'000);
    compare<8192>(seed, 0, 10'000, 5'000);
  }
}

TEST(ReplayWindow, AgreesOnEveryShortHistoryOfCounters) {
  // All sequences of four counters out of those that matter to a window of 128: word and window edges.
  const uint64_t kCounters[] = {0, 1, 63, 64, 65, 127, 128, 129, 191, 192, 255, 256, 320, 1000};
  for (uint64_t a : kCounters) {
    for (uint64_t b : kCounters) {
      for (uint64_t c : kCounters) {
        for (uint64_t d : kCounters) {
          ReplayWindow<128> window;
          Reference<128> reference;
          for (uint64_t counter : {a, b, c, d}) {
            ASSERT_EQ(window.commit(counter), reference.commit(counter))
                << a << " " << b << " " << c << " " << d << " at " << counter;
          }
        }
      }
    }
  }
}

TEST(ReplayWindow, RefusesTheWholePastAfterALeapToTheEndOfTheCounterSpace) {
  ReplayWindow<128> window;
  const uint64_t end = (uint64_t{1} << 48) - 1;
  EXPECT_EQ(window.commit(5), ReplayWindow<128>::Verdict::kNew);
  EXPECT_EQ(window.commit(end), ReplayWindow<128>::Verdict::kNew);
  EXPECT_EQ(window.commit(end), ReplayWindow<128>::Verdict::kSeen);
  EXPECT_EQ(window.commit(end - 63), ReplayWindow<128>::Verdict::kNew);
  EXPECT_EQ(window.commit(end - 64), ReplayWindow<128>::Verdict::kTooOld);
  EXPECT_EQ(window.commit(5), ReplayWindow<128>::Verdict::kTooOld);
}

}  // namespace
}  // namespace trunkline::relay
