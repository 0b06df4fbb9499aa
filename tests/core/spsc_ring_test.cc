// SpscRing: what it does otherwise than LineRing. What both promise is in ring_contract_test.cc.
#include "core/spsc_ring.h"

#include <gtest/gtest.h>

#include "core/packet.h"

namespace trunkline::core {
namespace {

TEST(SpscRing, CarriesPacketDescriptors) {
  SpscRing<Packet> ring(2);
  Packet packet;
  packet.length = 1200;
  packet.label = Label::make(7, 3);
  ASSERT_TRUE(ring.try_push(packet));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(ring.peek(1).data()) % kCacheLine, 0u);
  Packet out;
  ASSERT_TRUE(ring.try_pop(out));
  EXPECT_EQ(out.length, 1200u);
  EXPECT_EQ(out.label, Label::make(7, 3));
}

}  // namespace
}  // namespace trunkline::core
