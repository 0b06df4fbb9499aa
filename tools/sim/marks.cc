// The marks' names and texts, and what each is counted from.
#include "tools/sim/marks.h"

namespace trunkline::sim {

namespace {

constexpr const char* kNames[kMarks] = {
#define X(name, text) #name,
    TRUNKLINE_SIM_COUNTER_MARKS(X) TRUNKLINE_SIM_DROP_MARKS(X) TRUNKLINE_SIM_SEEN_MARKS(X)
#undef X
};
constexpr const char* kTexts[kMarks] = {
#define X(name, text) text,
    TRUNKLINE_SIM_COUNTER_MARKS(X) TRUNKLINE_SIM_DROP_MARKS(X) TRUNKLINE_SIM_SEEN_MARKS(X)
#undef X
};

}  // namespace

const char* mark_name(Mark mark) {
  return kNames[static_cast<size_t>(mark)];
}
const char* mark_text(Mark mark) {
  return kTexts[static_cast<size_t>(mark)];
}

void Marks::collect(const relay::MeshCounters& counters) {
#define X(name, text) hit(Mark::counted_##name, counters.value(relay::MeshCounter::name));
  TRUNKLINE_SIM_COUNTER_MARKS(X)
#undef X
}

void Marks::collect(const relay::DropCounters& drops) {
#define X(name, text) hit(Mark::dropped_##name, drops.value(relay::DropReason::name));
  TRUNKLINE_SIM_DROP_MARKS(X)
#undef X
}

void Marks::add(const Marks& other) {
  for (uint32_t i = 0; i < kMarks; ++i) counts_[i] += other.counts_[i];
}

std::vector<Mark> Marks::missed() const {
  std::vector<Mark> missed;
  for (uint32_t i = 0; i < kMarks; ++i) {
    if (counts_[i] == 0) missed.push_back(static_cast<Mark>(i));
  }
  return missed;
}

}  // namespace trunkline::sim
