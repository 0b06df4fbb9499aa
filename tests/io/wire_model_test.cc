// The impaired wire's model against its own formulas: shares within five standard deviations of the binomial,
// delays within their interval, order kept or broken exactly where the header says.
#include "io/wire_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace trunkline::io {
namespace {

constexpr uint32_t kCount = 100'000;
constexpr uint64_t kSeed = 20261122;

// |observed - expected| within five standard deviations of a binomial of kCount draws: one run in two million
// of a correct generator fails, and these seeds are fixed.
void expect_share(uint64_t observed, double probability, double draws = kCount) {
  const double deviation = std::sqrt(draws * probability * (1 - probability));
  EXPECT_NEAR(static_cast<double>(observed), draws * probability, 5 * deviation + 1) << "p = " << probability;
}

TEST(WireModel, ChangesNothingWhenNothingIsAsked) {
  WireModel wire(Impairment{}, kSeed);
  for (int i = 0; i < 1000; ++i) {
    const auto fate = wire.pass(Nanos{i}, 1200);
    ASSERT_EQ(fate.copies, 1);
    ASSERT_EQ(fate.due[0], Nanos{i});
    ASSERT_FALSE(fate.corrupt);
  }
  EXPECT_EQ(wire.counters().passed, 1000u);
}

TEST(WireModel, LosesDuplicatesReordersAndCorruptsTheSharesAskedFor) {
  for (const double p : {0.001, 0.01, 0.3}) {
    Impairment impairment;
    impairment.loss = p;
    impairment.duplicate = p;
    impairment.reorder = p;
    impairment.reorder_extra = core::from_ms(1);
    impairment.corrupt = p;
    WireModel wire(impairment, kSeed);
    uint64_t lost = 0;
    uint64_t twice = 0;
    uint64_t corrupt = 0;
    for (uint32_t i = 0; i < kCount; ++i) {
      const auto fate = wire.pass(core::from_us(i), 1200);
      lost += fate.copies == 0;
      twice += fate.copies == 2;
      corrupt += fate.corrupt;
      if (fate.corrupt) {
        ASSERT_LT(fate.corrupt_bit, 1200u * 8);
      }
    }
    expect_share(lost, p);
    const auto passed = static_cast<double>(kCount - lost);
    expect_share(twice, p, passed);
    expect_share(corrupt, p, passed);
    expect_share(wire.counters().reordered, p, passed);
    EXPECT_EQ(wire.counters().lost, lost);
    EXPECT_EQ(wire.counters().duplicated, twice);
    EXPECT_EQ(wire.counters().corrupted, corrupt);
    EXPECT_EQ(wire.counters().passed + wire.counters().lost, kCount);
  }
}

TEST(WireModel, LosesInBurstsAsGilbertAndElliottSay) {
  Impairment impairment;
  impairment.p_good_to_bad = 0.01;
  impairment.p_bad_to_good = 0.2;
  impairment.loss_in_bad = 1;
  WireModel wire(impairment, kSeed);
  uint64_t lost = 0;
  uint64_t bursts = 0;
  bool before = false;
  for (uint32_t i = 0; i < kCount; ++i) {
    const bool now = wire.pass(core::from_us(i), 100).copies == 0;
    lost += now;
    bursts += now && !before;
    before = now;
  }
  // Loss = g / (g + b) = 4.76 %, mean burst = 1 / b = 5. Neighbours are not independent: the variance of the
  // loss is that of the binomial times about (2 - g - b) / (g + b) = 8.5; of a geometric mean, (1 - b) / b^2
  // / n.
  const double expected = 0.01 / 0.21;
  EXPECT_NEAR(static_cast<double>(lost) / kCount, expected,
              5 * std::sqrt(expected * (1 - expected) * 8.5 / kCount));
  const double mean_burst = static_cast<double>(lost) / static_cast<double>(bursts);
  EXPECT_NEAR(mean_burst, 5, 5 * std::sqrt(0.8 / 0.04 / static_cast<double>(bursts)));
}

TEST(WireModel, DelaysWithinTheIntervalAndJitterReordersNothing) {
  Impairment impairment;
  impairment.delay = core::from_ms(70);
  impairment.jitter = core::from_ms(5);
  WireModel wire(impairment, kSeed);
  Nanos last{};
  double sum_ms = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    const Nanos now = core::from_ms(10) * i;  // further apart than the jitter: the FIFO never holds one back
    const Nanos due = wire.pass(now, 1200).due[0];
    ASSERT_GE(due - now, core::from_ms(70));
    ASSERT_LE(due - now, core::from_ms(75));
    ASSERT_GE(due, last);
    last = due;
    sum_ms += static_cast<double>((due - now).ns) / 1e6;
  }
  // Uniform on [0, 5] ms: mean 2.5, deviation 5 / sqrt(12).
  EXPECT_NEAR(sum_ms / kCount, 72.5, 5 * 5 / std::sqrt(12.0) / std::sqrt(double{kCount}));
  for (uint32_t i = 0; i < 1000; ++i) {  // and close together the order still holds
    const Nanos due = wire.pass(core::from_ms(10) * kCount + Nanos{i}, 1200).due[0];
    ASSERT_GE(due, last);
    last = due;
  }
}

TEST(WireModel, ReordersOnlyTheChosenOnesByTheExtraTime) {
  Impairment impairment;
  impairment.delay = core::from_ms(10);
  impairment.reorder = 0.1;
  impairment.reorder_extra = core::from_ms(3);
  WireModel wire(impairment, kSeed);
  uint64_t late = 0;
  for (uint32_t i = 0; i < 10'000; ++i) {
    const Nanos now = core::from_us(i);
    const Nanos wait = wire.pass(now, 1200).due[0] - now;
    ASSERT_TRUE(wait == core::from_ms(10) || wait == core::from_ms(13)) << wait.ns;
    late += wait == core::from_ms(13);
  }
  EXPECT_EQ(late, wire.counters().reordered);
  expect_share(late, 0.1, 10'000);
}

TEST(WireModel, SendsAtItsRateAndDropsWhatItsQueueCannotHold) {
  Impairment impairment;
  impairment.rate_bps = 8'000'000;  // one byte per microsecond
  impairment.queue_bytes = 10 * 1000;
  WireModel wire(impairment, kSeed);
  // A burst of 15 at once: ten fit, one behind the other, five do not.
  for (uint32_t i = 0; i < 15; ++i) {
    const auto fate = wire.pass(Nanos{}, 1000);
    ASSERT_EQ(fate.copies, i < 10 ? 1 : 0) << i;
    ASSERT_EQ(fate.queue_full, i >= 10);
    if (i < 10) {
      EXPECT_EQ(fate.due[0], core::from_ms(i + 1));
    }
  }
  EXPECT_EQ(wire.counters().queue_full, 5u);
  // After 1 ms one has left: there is room for one.
  EXPECT_EQ(wire.pass(core::from_ms(1), 1000).due[0], core::from_ms(11));
  EXPECT_TRUE(wire.pass(core::from_ms(1), 1000).queue_full);
  // Idle for long: the line is free at once, and no rate is saved up.
  EXPECT_EQ(wire.pass(core::from_ms(500), 1000).due[0], core::from_ms(501));
}

TEST(WireModel, CutsAndHeals) {
  Impairment impairment;
  impairment.cut = true;
  WireModel wire(impairment, kSeed);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(wire.pass(Nanos{i}, 10).copies, 0);
  EXPECT_EQ(wire.counters().lost, 100u);
  impairment.cut = false;
  wire.set(impairment);
  EXPECT_EQ(wire.pass(Nanos{200}, 10).copies, 1);
}

TEST(WireModel, RepeatsItselfFromTheSameSeedAndNotFromAnother) {
  Impairment impairment;
  impairment.loss = 0.5;
  impairment.jitter = core::from_ms(1);
  WireModel a(impairment, kSeed);
  WireModel b(impairment, kSeed);
  WireModel c(impairment, kSeed + 1);
  uint32_t differs = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    const auto fate_a = a.pass(core::from_ms(i), 10);
    const auto fate_b = b.pass(core::from_ms(i), 10);
    ASSERT_EQ(fate_a.copies, fate_b.copies);
    ASSERT_EQ(fate_a.due[0], fate_b.due[0]);
    differs += c.pass(core::from_ms(i), 10).copies != fate_a.copies;
  }
  EXPECT_GT(differs, 300u);
}

TEST(WireModel, NeverCorruptsAnEmptyDatagram) {
  Impairment impairment;
  impairment.corrupt = 1;
  WireModel wire(impairment, kSeed);
  EXPECT_FALSE(wire.pass(Nanos{}, 0).corrupt);
  const auto fate = wire.pass(Nanos{}, 1);
  EXPECT_TRUE(fate.corrupt);
  EXPECT_LT(fate.corrupt_bit, 8u);
}

}  // namespace
}  // namespace trunkline::io
