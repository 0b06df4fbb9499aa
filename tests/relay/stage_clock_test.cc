// The stage clock: which runs it times, whose time nested stages are, and that the path's stages are all
// there. Times are of a real counter, so they are compared with each other and with the clock, never with a
// number.
#include "relay/stage_clock.h"

#include <memory>

#include "tests/support/path_harness.h"

namespace trunkline::relay {
namespace {

constexpr auto kTick = core::from_us(200);

void spin(core::Nanos time) {
  const core::Nanos end = io::monotonic_now() + time;
  while (io::monotonic_now() < end) {
  }
}

TEST(StageClock, TimesNothingUntilItIsTold) {
  StageClock clock;
  clock.begin_run();
  EXPECT_EQ(clock.enter(Stage::open), Stage::open);
  clock.end_run(100);
}

TEST(StageClock, NestedTimeIsTheInnerStages) {
  const auto times = std::make_unique<StageTimes>();
  StageClock clock;
  clock.record_into(times.get());
  const core::Nanos begin = io::monotonic_now();
  clock.begin_run();
  {
    const StageScope open(clock, Stage::open);
    spin(kTick);
    {
      const StageScope locate(clock, Stage::locate);
      spin(kTick * 4);
    }
    spin(kTick);
  }
  clock.end_run(1);
  const int64_t all = (io::monotonic_now() - begin).ns;
  const int64_t open = times->of(Stage::open).max() / 1'000, locate = times->of(Stage::locate).max() / 1'000;
  // A little below for the scale: a measured frequency is within a permille.
  EXPECT_GE(open, 2 * kTick.ns * 99 / 100);
  EXPECT_GE(locate, 4 * kTick.ns * 99 / 100);
  EXPECT_LE(open + locate, all * 101 / 100) << "no time counts twice";
  EXPECT_EQ(times->of(Stage::seal).max(), 0);
  EXPECT_EQ(times->of(Stage::seal).count(), 1u) << "a stage that had nothing to do took no time";
}

TEST(StageClock, OneRunWithMediaInSoManyIsTimedAndDividedByItsPackets) {
  const auto times = std::make_unique<StageTimes>();
  StageClock clock;
  clock.record_into(times.get());
  const core::Histogram& other = times->of(Stage::other);
  uint64_t media = 0;
  for (uint32_t run = 0; run < 10; ++run) {  // idle: nothing to divide by
    clock.begin_run();
    clock.end_run(media);
  }
  EXPECT_EQ(other.count(), 0u);
  for (uint32_t run = 0; run < 3 * StageClock::kEvery; ++run) {
    clock.begin_run();
    clock.end_run(media += 10);
    clock.begin_run();
    clock.end_run(media);
  }
  EXPECT_EQ(other.count(), 30u) << "three runs of ten packets";
  clock.begin_run();
  spin(kTick);
  clock.end_run(media += 100);
  EXPECT_EQ(other.count(), 130u);
  EXPECT_GE(other.max(), kTick.ns * 10 * 99 / 100) << "picoseconds, over a hundred packets";
}

TEST(StageClock, APathRecordsEveryStageAPacketMeets) {
  tests::PathHarness h;
  const auto times = std::make_unique<StageTimes>();
  tests::Peer& from = h.link_up(0);
  h.link_up(1);
  h.upstream_flow(1, 0);
  h.output(1, tests::PathHarness::to_link(1));
  h.run();
  h.path->time_stages(times.get());
  for (uint16_t i = 0; i < 2 * StageClock::kEvery; ++i) {
    h.arrive(from, {tests::record(tests::media(h.label(1)), tests::rtp({.sequence = i}))});
    h.run();
  }
  for (uint32_t i = 0; i < kStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    EXPECT_EQ(times->of(stage).count(), 2u) << stage_name(stage);
    EXPECT_GT(times->of(stage).max(), 0) << stage_name(stage);
    EXPECT_STRNE(stage_text(stage), "unknown");
  }
  h.path->time_stages(nullptr);
  for (uint16_t i = 0; i < StageClock::kEvery; ++i) {
    h.arrive(from, {tests::record(tests::media(h.label(1)), tests::rtp({.sequence = i}))});
    h.run();
  }
  EXPECT_EQ(times->of(Stage::open).count(), 2u);
}

}  // namespace
}  // namespace trunkline::relay
