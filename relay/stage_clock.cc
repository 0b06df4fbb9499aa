// See relay/stage_clock.h: the timed run, and how long a tick is.
#include "relay/stage_clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace trunkline::relay {
namespace {

constexpr const char* kNames[] = {
#define X(name, text) #name,
    TRUNKLINE_STAGES(X)
#undef X
};
constexpr const char* kTexts[] = {
#define X(name, text) text,
    TRUNKLINE_STAGES(X)
#undef X
};

#if defined(__x86_64__)

// CPUID 80000007h, EDX bit 8: the counter's speed depends on nothing. Intel SDM 18.17.1, AMD APM 3, E.4.
bool tsc_is_invariant() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
}

// CPUID 15h: crystal frequency (ECX) x EBX / EAX; 0 where the processor does not say. 16h would do where 15h
// does not, but it states a nominal frequency, up to a percent off what a measurement of 2 ms gives.
double stated_hz() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0x15u, &a, &b, &c, &d) == 0 || a == 0) return 0;
  return static_cast<double>(c) * b / a;
}

// Counter and clock as of one moment: of some readings the one during which the clock moved least, so that a
// thread that lost its processor in between is not believed.
struct Moment {
  core::Nanos time{};
  uint64_t ticks = 0;
};
Moment moment() noexcept {
  Moment best;
  int64_t best_width = INT64_MAX;
  for (int i = 0; i < 16; ++i) {
    const core::Nanos before = io::monotonic_now();
    const uint64_t ticks = __rdtsc();
    const int64_t width = (io::monotonic_now() - before).ns;
    if (width >= best_width) continue;
    best_width = width;
    best = {before + core::Nanos{width / 2}, ticks};
  }
  return best;
}

double measured_hz() noexcept {
  const Moment begin = moment();
  while (io::monotonic_now() - begin.time < core::from_ms(2)) {
  }
  const Moment end = moment();
  return static_cast<double>(end.ticks - begin.ticks) * 1e9 / static_cast<double>((end.time - begin.time).ns);
}

#endif

TickScale find_scale() noexcept {
  TickScale scale;
#if defined(__x86_64__)
  if (!tsc_is_invariant()) return scale;
  const double stated = stated_hz();
  const double hz = stated > 0 ? stated : measured_hz();
  if (hz < 1e8) return scale;  // a machine that pretends: the clock is slower and right
  scale.tsc = true;
  scale.ps_per_tick_q16 = static_cast<uint64_t>(1e12 * 65'536 / hz);
#endif
  return scale;
}

}  // namespace

const char* stage_name(Stage stage) noexcept {
  return stage < Stage::kCount ? kNames[static_cast<std::size_t>(stage)] : "unknown";
}
const char* stage_text(Stage stage) noexcept {
  return stage < Stage::kCount ? kTexts[static_cast<std::size_t>(stage)] : "unknown";
}

const TickScale& TickScale::get() noexcept {
  static const TickScale scale = find_scale();
  return scale;
}

void StageClock::record_into(StageTimes* times) noexcept {
  times_ = times;
  tsc_ = times != nullptr && TickScale::get().tsc;
  until_ = 0;
}

void StageClock::start() noexcept {
  spent_ = {};
  stage_ = Stage::other;
  since_ = ticks();
}

Stage StageClock::change(Stage stage) noexcept {
  if (stage == stage_) return stage;
  const uint64_t now = ticks();
  spent_[static_cast<std::size_t>(stage_)] += now - since_;
  since_ = now;
  const Stage before = stage_;
  stage_ = stage;
  return before;
}

void StageClock::finish(uint64_t packets) noexcept {
  spent_[static_cast<std::size_t>(stage_)] += ticks() - since_;
  timing_ = false;
  until_ = kEvery - 1;
  // 64 bits last for runs of minutes.
  const uint64_t scale = TickScale::get().ps_per_tick_q16;
  for (std::size_t i = 0; i < kStages; ++i) {
    times_->ps[i].record_n(static_cast<int64_t>((spent_[i] * scale >> 16) / packets), packets);
  }
}

}  // namespace trunkline::relay
