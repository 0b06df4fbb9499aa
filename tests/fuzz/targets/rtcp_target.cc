// RTCP: compounds as an edge receives them.
#include "tests/fuzz/rtp_properties.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

TRUNKLINE_FUZZ_TARGET(rtcp) {
  bool accepted = false;
  EXPECT_EQ(properties::check_rtcp(input, accepted), nullptr);
  if (accepted) {
    EXPECT_EQ(classify(input), EdgeKind::kRtcp);
  }
}
