// Labels: an index rests, and comes back with another generation, so that nobody who was told the old label
// reaches the new holder with it.
#include "relay/mesh/labels.h"

#include <gtest/gtest.h>

namespace trunkline::relay::mesh {
namespace {

using Owner = Labels::Owner;

// One place only, so that it is the same index each time. All generations but one come before the first comes
// again.
TEST(Labels, AnIndexComesBackWithAnotherGenerationWhichIsNeverZero) {
  Labels labels(1, 1);
  const Flow first = labels.allocate({}, {Owner::kTrack, 1});
  Flow last = first;
  for (uint32_t n = 2; n <= Label::kMaxGeneration; ++n) {
    labels.release(last, {}, false);
    const Flow next = labels.allocate({}, {Owner::kTrack, n});
    ASSERT_TRUE(next.open());
    ASSERT_EQ(next.id, first.id);
    ASSERT_NE(next.label.generation(), 0u);
    ASSERT_NE(next.label, first.label) << n;
    ASSERT_EQ(labels.holder({0}, first.label).owner, Owner::kNone) << "the old label is nobody's";
    ASSERT_EQ(labels.holder({0}, next.label).index, n);
    last = next;
  }
}

TEST(Labels, AnIndexThatAPeerMayStillUseRests) {
  Labels labels(1, 1);
  const Flow first = labels.allocate({}, {Owner::kTrack, 1});
  labels.release(first, core::from_s(1), true);
  EXPECT_FALSE(labels.allocate(core::from_s(1) + Labels::kRest - Nanos{1}, {Owner::kTrack, 2}).open());
  EXPECT_TRUE(labels.allocate(core::from_s(1) + Labels::kRest, {Owner::kTrack, 2}).open());
}

// Whatever 32 bits a peer sends: a core that is not there, an index beyond the table or of another core.
TEST(Labels, NoOtherBitsAreAnybodysLabel) {
  Labels labels(2, 4);
  const Flow flow = labels.allocate({}, {Owner::kTrack, 1});
  EXPECT_EQ(labels.holder(flow.core, flow.label).owner, Owner::kTrack);
  for (uint32_t bit = 0; bit < 32; ++bit)
    EXPECT_EQ(labels.holder(flow.core, Label{flow.label.value ^ (1u << bit)}).owner, Owner::kNone) << bit;
  for (uint8_t core = 0; core < core::kMaxCores; ++core) {
    if (core != flow.core.value) {
      EXPECT_EQ(labels.holder({core}, flow.label).owner, Owner::kNone) << int{core};
    }
  }
}

}  // namespace
}  // namespace trunkline::relay::mesh
