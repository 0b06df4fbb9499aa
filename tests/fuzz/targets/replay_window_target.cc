// The replay window against a set of all counters that were ever committed.
#include <set>

#include "relay/replay_window.h"
#include "relay/wire.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

template <class Window>
void run(trunkline::fuzz::Input& in) {
  using Verdict = typename Window::Verdict;
  Window window;
  std::set<uint64_t> seen;
  uint64_t end = 0;  // newest + 1
  while (!in.empty()) {
    const uint8_t how = in.u8();
    uint64_t counter = in.u16();
    if ((how & 3) == 0) counter = end + counter % 300;
    if ((how & 3) == 1) counter = end - std::min(end, counter % 300);
    if ((how & 3) == 2) counter = end - std::min<uint64_t>(end, Window::kDepth + counter % 5 - 2);
    if ((how & 3) == 3) counter = in.u64() >> (how >> 2 & 31);
    if (counter > kMaxCounter) continue;
    Verdict expected = seen.contains(counter) ? Verdict::kSeen : Verdict::kNew;
    if (counter < end && end - counter > Window::kDepth) expected = Verdict::kTooOld;
    EXPECT_EQ(window.check(counter), expected) << counter << " of " << end;
    if ((how & 128) != 0) continue;
    EXPECT_EQ(window.commit(counter), expected);
    if (expected == Verdict::kNew) seen.insert(counter);
    if (expected == Verdict::kNew) end = std::max(end, counter + 1);
    EXPECT_NE(window.check(counter), Verdict::kNew);
  }
}

}  // namespace

TRUNKLINE_FUZZ_TARGET(replay_window) {
  trunkline::fuzz::Input in(input);
  switch (in.below(3)) {
    case 0:
      return run<ReplayWindow<128>>(in);
    case 1:
      return run<ReplayWindow<512>>(in);
    default:
      return run<LaneReplayWindow>(in);
  }
}
