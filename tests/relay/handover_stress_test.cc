// Two data cores as threads that hand each other what arrives at the wrong one: every datagram is delivered
// once, in order and whole, or counted. The payload checks itself. Run under ThreadSanitizer as well.
#include <atomic>
#include <thread>

#include "tests/support/cores_harness.h"

namespace trunkline::tests {
namespace {

using H = CoresHarness;

constexpr uint32_t kCores = 2;
constexpr uint32_t kPerLane = 20'000;

// What arrives at core `at` for core k is of the peer's core `at`, and of flow `at` of core k: a lane, its
// counter and its flow have one writer here, as on the wire.
struct Arrivals {
  std::unique_ptr<Peer> peers[kCores];  // by our core
  uint32_t sent[kCores] = {};
};

// A sender waits for a taker that has much to do, except for once in a while, so that both happen: all is
// taken, and some is too much.
void put_some(H& h, uint32_t at, Arrivals& arrivals, core::Rng& rng) {
  for (uint32_t to = 0; to < kCores; ++to) {
    if (to != at && h.rings.handovers[at]->waiting() > 16 && rng.below(64) != 0) {
      std::this_thread::yield();
      continue;
    }
    const auto burst = static_cast<uint32_t>(rng.below(24));
    for (uint32_t i = 0; i < burst && arrivals.sent[to] < kPerLane; ++i) {
      const auto sequence = static_cast<uint16_t>(arrivals.sent[to]++);
      h.arrive(at, *arrivals.peers[to],
               h.datagram(*arrivals.peers[to], to, at, sequence, 20 + sequence % 200u));
    }
  }
}

// What a host queue had, and how much of it was wrong.
struct Received {
  uint64_t count = 0;
  uint64_t wrong = 0;
  int32_t last[kCores] = {-1, -1};  // by flow
};
void check(H& h, uint32_t core, Received& received) {
  relay::HostPacketRing& ring = h.rings.cores[core]->queues[0]->to_host;
  for (auto got = ring.peek(64); !got.empty(); got = ring.peek(64)) {
    for (const relay::HostPacket& p : got) {
      const uint16_t sequence = relay::load_be16(p.bytes + 2);
      const auto lane = static_cast<uint32_t>(p.handle);
      const ByteVector expected = rtp({.sequence = sequence, .bytes = 20 + sequence % 200u});
      const bool whole = lane < kCores && ByteVector(p.bytes, p.bytes + p.length) == expected;
      if (!whole || received.last[lane] >= sequence) ++received.wrong;
      if (lane < kCores) received.last[lane] = sequence;
      ++received.count;
    }
    ring.release(static_cast<uint32_t>(got.size()));
  }
}

TEST(HandoverStress, EachDatagramIsDeliveredOnceInOrderAndWholeOrIsCounted) {
  relay::NodeConfig config = cores_config(kCores);
  config.limits.queue_depth = 1024;
  H h(config);
  Arrivals arrivals[kCores];
  for (uint32_t to = 0; to < kCores; ++to) {
    for (uint32_t at = 0; at < kCores; ++at) {
      arrivals[at].peers[to] = h.peer(to, 0, kCores, static_cast<uint8_t>(at), at == 0);
      h.flow(to, at, 0, at);
    }
  }
  std::atomic<uint32_t> done{0};
  Received received[kCores];
  const auto run_core = [&](uint32_t k) {
    core::Rng rng(k + 1);
    bool said = false;
    // Bounded, so that a lost datagram is a failure and no hang.
    for (uint64_t turns = 0, idle = 0; idle < 2'000 && turns < 20'000'000; ++turns) {
      put_some(h, k, arrivals[k], rng);
      const uint32_t work = h.run(k);
      check(h, k, received[k]);
      const bool all = arrivals[k].sent[0] == kPerLane && arrivals[k].sent[1] == kPerLane;
      if (all && work == 0 && !said) {
        said = true;
        done.fetch_add(1);
      }
      // Idle turns yield, for there may be fewer processors than threads.
      if (work == 0) std::this_thread::yield();
      idle = work == 0 && done.load() == kCores ? idle + 1 : 0;
    }
  };
  std::thread other(run_core, 1);
  run_core(0);
  other.join();
  h.settle();
  uint64_t got = 0, dropped = 0, given = 0;
  for (uint32_t k = 0; k < kCores; ++k) {
    check(h, k, received[k]);
    EXPECT_EQ(received[k].wrong, 0u);
    EXPECT_EQ(h.cores[k].path->drops().total(), h.cores[k].drops(DropReason::handover_full));
    EXPECT_EQ(h.rings.handovers[k]->pool().in_use(), 0u);
    got += received[k].count;
    dropped += h.cores[k].drops(DropReason::handover_full);
    given += h.cores[k].count(CoreCounter::handed_over);
  }
  EXPECT_EQ(got + dropped, uint64_t{kCores} * kCores * kPerLane);
  EXPECT_EQ(given + dropped, uint64_t{kCores} * kPerLane) << "half of all arrives at the wrong core";
  EXPECT_GT(given, kPerLane / 2);
}

}  // namespace
}  // namespace trunkline::tests
