// A host thread and a data core on the two rings of one host queue: every packet arrives once, in order,
// whole, or is counted. The payload checks itself. Run under ThreadSanitizer as well.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/path_harness.h"

namespace trunkline::tests {
namespace {

using H = PathHarness;

constexpr uint32_t kPackets = 100'000;

// Sequence number in the timestamp (RFC 3550 bytes 4..7) and in each payload byte.
void fill(relay::HostPacket& packet, uint32_t n) {
  packet.kind = relay::HostPacketKind::kMedia;
  packet.flow = 1;
  packet.handle = 900;
  packet.traffic_class = relay::kClassOfTrack;
  packet.keyframe = packet.frame_end = false;  // a slot holds what was there before
  packet.layer = 0;
  packet.length = static_cast<uint16_t>(20 + n % 200);
  packet.bytes[0] = 0x80;
  packet.bytes[1] = 96;
  relay::store_be16(packet.bytes + 2, static_cast<uint16_t>(n));
  relay::store_be32(packet.bytes + 4, n);
  relay::store_be32(packet.bytes + 8, 1);
  std::memset(packet.bytes + 12, static_cast<int>(n & 0xff), packet.length - 12u);
}
bool whole(const relay::HostPacket& packet, uint32_t& n) {
  n = relay::load_be32(packet.bytes + 4);
  bool same = packet.length == 20 + n % 200 && packet.handle == 500;
  for (uint32_t i = 12; i < packet.length; ++i) same = same && packet.bytes[i] == (n & 0xff);
  return same;
}

TEST(HostQueueStress, EachPacketOfAHostThreadComesBackOnceInOrderAndWholeOrIsCounted) {
  relay::NodeConfig config = small_config();
  config.limits.queue_depth = 1024;
  H h(config);
  h.local_flow(1, TrafficClass::kAudio);
  h.output(1, H::to_queue(1));
  h.run();
  std::atomic<bool> published{false}, given_up{false};
  std::thread publisher([&] {
    relay::HostPacketRing& ring = h.rings.queues[0]->to_core;
    for (uint32_t n = 0; n < kPackets && !given_up.load();) {
      const std::span<relay::HostPacket> slots = ring.claim(std::min(7u, kPackets - n));
      for (relay::HostPacket& slot : slots) fill(slot, n++);
      ring.commit(static_cast<uint32_t>(slots.size()));
      if (slots.empty()) std::this_thread::yield();
    }
    published.store(true);
  });
  std::atomic<bool> relayed{false};
  uint64_t got = 0, broken = 0, out_of_order = 0;
  std::thread subscriber([&] {
    relay::HostPacketRing& ring = h.rings.queues[1]->to_host;
    int64_t last = -1;
    for (bool done = false; !done;) {
      done = relayed.load();
      for (auto slots = ring.peek(16); !slots.empty(); slots = ring.peek(16)) {
        for (const relay::HostPacket& slot : slots) {
          uint32_t n = 0;
          if (!whole(slot, n)) ++broken;
          if (int64_t{n} <= last) ++out_of_order;
          last = n;
          ++got;
        }
        ring.release(static_cast<uint32_t>(slots.size()));
      }
      std::this_thread::yield();
    }
  });
  // Idle turns yield, for there may be fewer cores than threads; bounded, so that a lost packet is a failure
  // and no hang.
  uint64_t turns = 0;
  for (bool done = false; !done && turns < 20'000'000; ++turns) {
    const bool last = published.load();
    h.now += core::from_us(10);
    const bool idle = h.path->run_once(h.now) == 0;
    done = idle && last;
    if (idle) std::this_thread::yield();
  }
  given_up.store(true);
  relayed.store(true);
  publisher.join();
  subscriber.join();
  EXPECT_EQ(broken, 0u);
  EXPECT_EQ(out_of_order, 0u);
  EXPECT_EQ(got + h.drops(DropReason::queue_full), kPackets);
  EXPECT_GT(got, 0u);
}

}  // namespace
}  // namespace trunkline::tests
