// RTP: a datagram as an edge receives it; payloads in which key frames are looked for; header extensions
// alone.
#include "tests/fuzz/rtp_properties.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

TRUNKLINE_FUZZ_TARGET(rtp) {
  bool accepted = false;
  EXPECT_EQ(properties::check_rtp(input, accepted), nullptr);
  const EdgeKind kind = classify(input);
  EXPECT_TRUE(!accepted || kind != EdgeKind::kNeither);
  properties::consume(vp8_keyframe_start(input));
  properties::consume(h264_keyframe_start(input));
  for (unsigned id = 0; id < 16 && accepted; ++id) {
    const auto element = RtpView::parse(input)->extension(static_cast<uint8_t>(id));
    if (element) {
      EXPECT_TRUE(properties::inside(*element, input));
    }
  }
}
