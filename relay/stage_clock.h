// StageClock: where a data core's time goes, stage by stage, cheaply enough to stay on.
//
// The idea: one run of the loop in 64 is timed, of those that moved media; in all others a stage costs a
// branch that the processor predicts. A timed run reads the time stamp counter where one stage hands over to
// the next, whole batches at a time, and what is nested counts for the inner stage only: a batch that is
// located in the middle of being opened is time of `locate`. At the end of the run each stage's time is
// divided by the run's media packets (CoreCounter::media_in), so that the stages add up to what a packet
// costs.
//
// What it cannot see: the counter is read without waiting for what is in flight, so some tens of cycles at a
// border may count for its other side; and a run in which the thread lost its processor is as long as that
// took (the reason to look at p50, and at p99 for how often).
//
// Threads: StageClock belongs to its core; StageTimes is written by it and read by any. Cost of a timed run:
// some 14 readings of 25 cycles, branches that were predicted otherwise, and 7 histograms. What that is of
// the whole is measured by bench/relay/path_bench.cc (BM_PacketPath_StageClock). Memory: 16 KiB per stage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "core/histogram.h"
#include "io/thread.h"

namespace trunkline::relay {

// clang-format off
#define TRUNKLINE_STAGES(X)                                                                       \
  X(receive,  "the port's receive call, and giving back what it received")                        \
  X(open,     "datagrams authenticated and split; what came from hosts and taps judged")           \
  X(locate,   "label to flow, off the short way")                                                           \
  X(fan_out,  "copied to each output")                                                             \
  X(seal,     "datagrams closed and sealed")                                                       \
  X(transmit, "runs sorted by importance, and the port's transmit call")                              \
  X(other,    "the rest of the turn: commands, rings to and from others, heartbeats, idle flows")
// clang-format on

enum class Stage : uint32_t {
#define X(name, text) name,
  TRUNKLINE_STAGES(X)
#undef X
      kCount
};
inline constexpr std::size_t kStages = static_cast<std::size_t>(Stage::kCount);
const char* stage_name(Stage) noexcept;
const char* stage_text(Stage) noexcept;

// Picoseconds per media packet, each stage's, weighted by packets: count() is packets of timed runs.
struct StageTimes {
  std::array<core::Histogram, kStages> ps;
  const core::Histogram& of(Stage stage) const noexcept { return ps[static_cast<std::size_t>(stage)]; }
};

// What a tick is. The time stamp counter where it runs at one speed at all times, else CLOCK_MONOTONIC.
struct TickScale {
  bool tsc = false;
  uint64_t ps_per_tick_q16 = 1'000u << 16;  // picoseconds, 16 bits behind the point
  // Control path: the first call of a process takes 2 ms, in which it compares the counter with the clock,
  // unless the processor states the counter's frequency (CPUID 15h).
  static const TickScale& get() noexcept;
};

class StageClock {
 public:
  // A timed run costs some 300 ns more. Of runs of a burst, 3 us and more, that is less than 0.2 %; of runs
  // that move a single packet, 150 ns, which are those of a core that has time, 3 %.
  static constexpr uint32_t kEvery = 64;

  // From the next run on; nullptr: not at all, which is how it begins. Control path. `times` outlives it.
  void record_into(StageTimes* times) noexcept;

  void begin_run() noexcept {
    timing_ = times_ != nullptr && until_ == 0;
    if (timing_) start();
  }
  // The stage that goes on from here; returns the one that was interrupted.
  Stage enter(Stage stage) noexcept { return timing_ ? change(stage) : stage; }
  // `media`: packets since the start. A run without any is not recorded, and the next one is timed instead.
  void end_run(uint64_t media) noexcept {
    const uint64_t packets = media - media_;
    media_ = media;
    if (packets == 0) return;
    if (timing_) {
      finish(packets);
    } else if (until_ > 0) {
      --until_;
    }
  }

 private:
  uint64_t ticks() const noexcept {
#if defined(__x86_64__)
    if (tsc_) return __rdtsc();
#endif
    return static_cast<uint64_t>(io::monotonic_now().ns);
  }
  void start() noexcept;
  Stage change(Stage stage) noexcept;
  void finish(uint64_t packets) noexcept;

  StageTimes* times_ = nullptr;
  bool timing_ = false;  // this run
  bool tsc_ = false;
  Stage stage_ = Stage::other;
  uint32_t until_ = 0;  // runs with media before the next one that is timed
  uint64_t media_ = 0;
  uint64_t since_ = 0;  // the reading at which stage_ began
  std::array<uint64_t, kStages> spent_{};
};

// For the length of a block.
class StageScope {
 public:
  StageScope(StageClock& clock, Stage stage) noexcept : clock_(clock), before_(clock.enter(stage)) {}
  ~StageScope() { clock_.enter(before_); }
  StageScope(const StageScope&) = delete;
  StageScope& operator=(const StageScope&) = delete;

 private:
  StageClock& clock_;
  Stage before_;
};

}  // namespace trunkline::relay
