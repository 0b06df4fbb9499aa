// Datagrams that arrive at another data core than the one that owns their lane: each is opened there once, in
// order, judged as if it had arrived there, and its buffer comes home. Two to sixteen cores of one node in
// memory, driven by turns.
#include "relay/handover.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/support/cores_harness.h"

namespace trunkline::tests {
namespace {

using H = CoresHarness;

constexpr FlowId kFlow = 3;

std::vector<uint16_t> from_to(uint16_t first, uint16_t end) {
  std::vector<uint16_t> sequences(static_cast<std::size_t>(end - first));
  std::iota(sequences.begin(), sequences.end(), first);
  return sequences;
}

TEST(Handover, ADatagramIsOpenedByTheCoreOfItsLaneWhereverItArrived) {
  H h(cores_config(2));
  const auto from = h.peer(1, 0);
  h.flow(1, kFlow, 0);
  const ByteVector datagram = h.datagram(*from, 1, kFlow, 7);
  const auto bytes = static_cast<uint64_t>(datagram.size());
  h.arrive(0, *from, datagram);
  EXPECT_EQ(h.run(0), 1u);
  EXPECT_EQ(h.rings.handovers[0]->take_touched(), 0b10u) << "core 1 is to be woken";
  EXPECT_EQ(h.rings.handovers[0]->take_touched(), 0u);
  EXPECT_TRUE(h.rings.handovers[1]->has_incoming());
  EXPECT_EQ(h.cores[0].port.lent, 0u) << "received memory went back in the same run";
  h.settle();
  EXPECT_EQ(h.delivered(1), from_to(7, 8));
  EXPECT_EQ(h.cores[0].count(CoreCounter::handed_over), 1u);
  EXPECT_EQ(h.cores[0].count(CoreCounter::handed_over_bytes), bytes);
  EXPECT_EQ(h.cores[0].count(CoreCounter::datagrams_opened), 0u);
  EXPECT_EQ(h.cores[1].count(CoreCounter::taken_over), 1u);
  EXPECT_EQ(h.cores[1].count(CoreCounter::datagrams_opened), 1u);
  EXPECT_EQ(h.rings.handovers[0]->pool().in_use(), 0u);
  // The one forwarded it, the other received it.
  EXPECT_EQ(h.cores[0].path->conservation().forwarded, 1u);
  EXPECT_EQ(h.cores[1].path->conservation().received, 1u);
}

TEST(Handover, EachDatagramComesOnceAndEachLaneKeepsItsOrderOnUpToSixteenCores) {
  for (const uint32_t cores : {2u, 3u, 5u, 16u}) {
    relay::NodeConfig config = cores_config(cores);
    config.limits.handover_buffers = 1024;  // enough for any core to stand still here
    config.limits.queue_depth = 256;
    H h(config);
    core::Rng rng(cores);
    // The lane to each core arrives at one other core, as a card's hash would have it.
    std::vector<std::unique_ptr<Peer>> peers;
    std::vector<uint32_t> at;
    std::vector<uint16_t> sent(cores);
    for (uint32_t k = 0; k < cores; ++k) {
      peers.push_back(h.peer(k, 0));
      at.push_back(static_cast<uint32_t>(rng.below(cores)));
      h.flow(k, kFlow, 0);
    }
    std::vector<std::vector<uint16_t>> got(cores);
    for (int turn = 0; turn < 400; ++turn) {
      for (uint64_t n = rng.below(4); n > 0; --n) {
        const auto to = static_cast<uint32_t>(rng.below(cores));
        h.arrive(at[to], *peers[to], h.datagram(*peers[to], to, kFlow, sent[to]++));
      }
      h.run(static_cast<uint32_t>(rng.below(cores)));
      if (turn % 50 == 49) {
        h.settle();
        for (uint32_t k = 0; k < cores; ++k)
          for (const uint16_t sequence : h.delivered(k)) got[k].push_back(sequence);
      }
    }
    for (uint32_t k = 0; k < cores; ++k) {
      EXPECT_EQ(got[k], from_to(0, sent[k])) << "core " << k << " of " << cores;
      EXPECT_EQ(h.cores[k].path->drops().total(), 0u);
      EXPECT_EQ(h.rings.handovers[k]->pool().in_use(), 0u);
    }
  }
}

TEST(Handover, ARunThatTheKernelJoinedIsTakenApart) {
  H h(cores_config(3));
  std::vector<std::unique_ptr<Peer>> peers;
  for (uint32_t k = 0; k < 3; ++k) {
    peers.push_back(h.peer(k, 0));
    h.flow(k, kFlow, 0);
  }
  std::vector<ByteVector> run;
  for (uint16_t i = 0; i < 30; ++i) run.push_back(h.datagram(*peers[i % 3], i % 3, kFlow, i));
  h.arrive(1, *peers[1], concat(run), static_cast<uint16_t>(run[0].size()));
  h.settle();
  for (uint32_t k = 0; k < 3; ++k) {
    const auto got = h.delivered(k);
    ASSERT_EQ(got.size(), 10u);
    for (uint16_t i = 0; i < 10; ++i) EXPECT_EQ(got[i], i * 3 + k);
  }
  EXPECT_EQ(h.cores[1].count(CoreCounter::handed_over), 20u);
}

TEST(Handover, WhatWasSeenIsRefusedWhicheverWayItComesAgain) {
  H h(cores_config(2));
  const auto from = h.peer(1, 0);
  h.flow(1, kFlow, 0);
  const ByteVector datagram = h.datagram(*from, 1, kFlow, 1);
  h.arrive(0, *from, datagram);
  h.arrive(0, *from, datagram);
  h.settle();
  h.arrive(1, *from, datagram);
  h.settle();
  h.arrive(0, *from, datagram);
  h.settle();
  EXPECT_EQ(h.delivered(1), from_to(1, 2));
  EXPECT_EQ(h.cores[1].drops(DropReason::replayed), 3u);
  EXPECT_EQ(h.cores[0].path->drops().total(), 0u);
}

TEST(Handover, EvidenceCountsWhereTheLaneIsAndOnlyOfWhatIsAuthentic) {
  H h(cores_config(2));
  const auto from = h.peer(1, 0);
  h.flow(1, kFlow, 0);
  ByteVector forged = h.datagram(*from, 1, kFlow, 1);
  forged.back() ^= 1;
  const uint32_t slot = from->install.slot;
  h.arrive(0, *from, forged);
  h.settle();
  EXPECT_EQ(h.cores[1].drops(DropReason::not_authentic), 1u);
  EXPECT_EQ(h.rings.cores[1]->evidence.read(slot).heard, Nanos{});
  h.arrive(0, *from, h.datagram(*from, 1, kFlow, 2));
  h.settle();
  for (uint32_t k = 0; k < 2; ++k) {
    h.cores[k].now += core::from_ms(100);
    h.run(k);
  }
  EXPECT_GT(h.rings.cores[1]->evidence.read(slot).heard, Nanos{});
  EXPECT_EQ(h.rings.cores[0]->evidence.read(slot).heard, Nanos{});
}

TEST(Handover, TheTakerJudgesAsOfWhatArrivedThere) {
  H h(cores_config(2));
  const auto from = h.peer(1, 0);
  const auto stranger = h.peer(1, 5, 1, 0, false);  // its session is not installed
  h.flow(1, kFlow, 0);
  h.arrive(0, *stranger, h.datagram(*stranger, 1, kFlow, 1));
  from->lane = 1;  // of a peer with one core
  h.arrive(0, *from, h.datagram(*from, 1, kFlow, 1));
  h.settle();
  EXPECT_EQ(h.cores[1].drops(DropReason::no_session), 1u);
  EXPECT_EQ(h.cores[1].drops(DropReason::bad_lane), 1u);
  EXPECT_EQ(h.cores[0].count(CoreCounter::handed_over), 2u);
}

// ---- bounds

TEST(Handover, ACoreThatStandsStillHoldsItsShareAndTheRestIsCounted) {
  relay::NodeConfig config = cores_config(3);
  config.limits.handover_buffers = 40;  // 16 for each of the two others
  H h(config);
  const auto slow = h.peer(1, 0), quick = h.peer(2, 0);
  h.flow(1, kFlow, 0);
  h.flow(2, kFlow, 0);
  ASSERT_EQ(relay::Handover::share(config), 16u);
  uint16_t sequence = 0;
  for (; sequence < 20; ++sequence) h.arrive(0, *slow, h.datagram(*slow, 1, kFlow, sequence));
  for (uint16_t i = 0; i < 5; ++i) h.arrive(0, *quick, h.datagram(*quick, 2, kFlow, i));
  h.run(0);
  EXPECT_EQ(h.cores[0].drops(DropReason::handover_full), 4u);
  EXPECT_TRUE(h.conserves());
  h.run(2);
  EXPECT_EQ(h.delivered(2), from_to(0, 5)) << "who keeps up is not touched by it";
  h.run(1);
  EXPECT_EQ(h.delivered(1), from_to(0, 16)) << "the oldest were kept";
  // All buffers are back before the next one is needed.
  for (; sequence < 36; ++sequence) h.arrive(0, *slow, h.datagram(*slow, 1, kFlow, sequence));
  h.settle();
  EXPECT_EQ(h.delivered(1), from_to(20, 36));
  EXPECT_EQ(h.cores[0].drops(DropReason::handover_full), 4u);
  EXPECT_EQ(h.rings.handovers[0]->pool().in_use(), 0u);
}

TEST(Handover, WorksWithTheSmallestShareAndAnyOffsetInTheRing) {
  relay::NodeConfig config = cores_config(16);
  config.limits.handover_buffers = 16;  // one for each of 15 others
  H h(config);
  const auto from = h.peer(9, 0);
  h.flow(9, kFlow, 0);
  for (uint16_t i = 0; i < 40; ++i) {
    h.arrive(4, *from, h.datagram(*from, 9, kFlow, i));
    h.run(4);
    h.run(9);
  }
  h.settle();
  EXPECT_EQ(h.delivered(9), from_to(0, 40));
}

TEST(Handover, ADatagramThatNoSettingAllowsIsNotHandedOver) {
  H h(cores_config(2));
  const auto from = h.peer(1, 0);
  h.flow(1, kFlow, 0);
  const uint32_t most = relay::Handover::buffer_bytes(h.config);
  const uint32_t overhead = relay::kHeaderBytes + relay::kRecordHeaderBytes + relay::kTagBytes;
  EXPECT_EQ(most, 1'472u) << "an MTU of 1500";
  h.arrive(0, *from, h.datagram(*from, 1, kFlow, 1, most - overhead));
  h.arrive(0, *from, h.datagram(*from, 1, kFlow, 2, most - overhead + 1));
  h.settle();
  EXPECT_EQ(h.cores[0].drops(DropReason::handover_full), 1u);
  EXPECT_EQ(h.delivered(1), from_to(1, 2));
  relay::NodeConfig jumbo = cores_config(2);
  jumbo.wire = {{"mtu", "1500", {"1500", "9000"}}};
  EXPECT_EQ(relay::Handover::buffer_bytes(jumbo), 8'972u + 52u) << "what a peer may use, to the line";
}

TEST(Handover, AnIndexOfACoreThatIsNotThereIsCounted) {
  H h(cores_config(2));
  ByteVector datagram(100);
  relay::encode_header(datagram.data(), {.version = relay::kWireVersion,
                                         .session_index = relay::SessionIndex::make(CoreId{2}, 0, 1)});
  h.cores[1].port.put(0, peer_address(0), datagram);
  h.settle();
  EXPECT_EQ(h.cores[1].drops(DropReason::wrong_core), 1u);
}

TEST(Handover, WhatATakerNeverTookIsNoLeak) {
  H h(cores_config(2));
  const auto from = h.peer(1, 0);
  for (uint16_t i = 0; i < 3; ++i) h.arrive(0, *from, h.datagram(*from, 1, kFlow, i));
  h.run(0);
  EXPECT_EQ(h.rings.handovers[0]->waiting(), 3u);
  EXPECT_TRUE(h.conserves());
  // The end of h looks at every buffer.
}

TEST(Handover, DoesNotExistOnANodeWithOneCore) {
  H h(cores_config(1));
  EXPECT_TRUE(h.rings.handovers.empty());
  EXPECT_EQ(h.rings.cores[0]->handover, nullptr);
  EXPECT_EQ(relay::Handover::share(h.config), 0u);
}

}  // namespace
}  // namespace trunkline::tests
