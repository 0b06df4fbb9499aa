// CoresHarness: the data cores of one node, each a PacketPath on a memory port, around the rings that a node
// has. Whoever drives them does it by turns in one thread, or with a thread for each core. What one core does
// is in path_harness.h; this is about what goes from core to core.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "relay/topology.h"
#include "tests/support/path_harness.h"

namespace trunkline::tests {

inline relay::NodeConfig cores_config(uint32_t cores) {
  relay::NodeConfig config = small_config();
  config.data_cores = cores;
  config.limits.handover_buffers = 64;
  return config;
}

class CoresHarness {
 public:
  explicit CoresHarness(relay::NodeConfig with) : config(std::move(with)), rings(config, pages) {
    for (uint32_t k = 0; k < config.data_cores; ++k) {
      Core& core = cores.emplace_back();
      core.id = CoreId{static_cast<uint8_t>(k)};
      core.path =
          std::make_unique<relay::PacketPath>(config, core.id, core.port, crypto, pages, *rings.cores[k]);
      EXPECT_TRUE(core.path->open_mesh(config.listen));
    }
  }
  ~CoresHarness() { EXPECT_TRUE(conserves()); }

  struct Core {
    CoreId id;
    MemoryPort port;
    std::unique_ptr<relay::PacketPath> path;
    Nanos now = core::from_s(1);
    uint64_t drops(DropReason reason) const { return path->drops().value(reason); }
    uint64_t count(CoreCounter which) const { return path->counters().value(which); }
  };

  relay::NodeConfig config;
  core::Rng rng{1};
  relay::ModelCrypto crypto{rng};
  core::HeapPageSource pages;
  relay::NodeRings rings;
  std::deque<Core> cores;

  // What a peer with `peer_cores` cores sends from its core `lane` to our core `to`; the session is installed
  // there, once. Heartbeats are out of the way.
  std::unique_ptr<Peer> peer(uint32_t to, LinkId link, uint8_t peer_cores = 1, uint8_t lane = 0,
                             bool install = true) {
    auto peer = std::make_unique<Peer>(crypto, link, 2u * link, peer_address(link), peer_cores,
                                       CoreId{static_cast<uint8_t>(to)});
    peer->lane = lane;
    if (!install) return peer;
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kLinkPace;
    c.pace = {.link = link, .heartbeat_interval = core::from_s(1000)};
    command(to, c);
    c.kind = relay::CoreCommandKind::kSessionInstall;
    c.session = peer->install;
    command(to, c);
    c.kind = relay::CoreCommandKind::kSessionActivate;
    c.slot = peer->install.slot;
    command(to, c);
    run(to);
    cores[to].port.sent.clear();
    return peer;
  }
  Label label(uint32_t core, FlowId flow) const {
    return relay::flow_label(flow, CoreId{static_cast<uint8_t>(core)},
                             relay::core_bits_for(config.data_cores), 1);
  }
  // A flow of `core` that comes on `link` and goes into host queue 0 under `handle`.
  void flow(uint32_t core, FlowId flow, LinkId link, uint64_t handle = 500) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kFlowOpen;
    c.open = {.flow = flow,
              .label = label(core, flow),
              .source = relay::FlowSource::kUpstream,
              .traffic_class = TrafficClass::kAudio,
              .link = link,
              .upstream_label = Label{0xabc00 + flow}};
    command(core, c);
    c.kind = relay::CoreCommandKind::kOutputAdd;
    c.change = {flow, {.kind = relay::OutputKind::kQueue, .target = 0, .handle = handle}};
    command(core, c);
    run(core);
  }
  // One datagram with one packet of that flow, sealed for the core that owns it.
  ByteVector datagram(Peer& from, uint32_t core, FlowId flow, uint16_t sequence, uint32_t bytes = 172) const {
    return from.seal(record(media(label(core, flow)), rtp({.sequence = sequence, .bytes = bytes})));
  }
  void arrive(uint32_t at, const Peer& from, ByteVector bytes, uint16_t segment_size = 0) {
    cores[at].port.put(0, from.install.peer_address, std::move(bytes), segment_size);
  }

  uint32_t run(uint32_t core) {
    cores[core].now += core::from_us(10);
    return cores[core].path->run_once(cores[core].now);
  }
  // Each core once, and again until none has anything to do.
  void settle() {
    for (uint32_t idle = 0, turns = 0; idle < cores.size() && turns < 10'000; ++turns) {
      idle = run(turns % static_cast<uint32_t>(cores.size())) == 0 ? idle + 1 : 0;
      EXPECT_TRUE(conserves());
    }
  }

  // Sequence numbers of what host queue 0 got from that core, in order; each must be a whole rtp().
  std::vector<uint16_t> delivered(uint32_t core) {
    std::vector<uint16_t> sequences;
    relay::HostPacketRing& ring = rings.cores[core]->queues[0]->to_host;
    for (auto got = ring.peek(64); !got.empty(); got = ring.peek(64)) {
      for (const relay::HostPacket& p : got) {
        const uint16_t sequence = relay::load_be16(p.bytes + 2);
        EXPECT_EQ(ByteVector(p.bytes, p.bytes + p.length), rtp({.sequence = sequence, .bytes = p.length}));
        sequences.push_back(sequence);
      }
      ring.release(static_cast<uint32_t>(got.size()));
    }
    return sequences;
  }

  // Each core by itself, and what goes between them. Exact between two runs.
  ::testing::AssertionResult conserves() const {
    uint64_t given = 0, taken = 0, waiting = 0;
    for (const Core& core : cores) {
      const relay::Conservation c = core.path->conservation();
      if (!c.holds()) {
        return ::testing::AssertionFailure()
               << "core " << int{core.id.value} << ": received " << c.received << " != forwarded "
               << c.forwarded << " + dropped " << c.dropped << " + held " << c.held;
      }
      given += core.count(CoreCounter::handed_over);
      taken += core.count(CoreCounter::taken_over);
    }
    for (const auto& handover : rings.handovers) waiting += handover->waiting();
    if (given == taken + waiting) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "handed over " << given << " != taken over " << taken << " + waiting " << waiting;
  }

 private:
  void command(uint32_t core, const relay::CoreCommand& command) {
    EXPECT_TRUE(rings.cores[core]->commands.try_push(command));
  }
};

}  // namespace trunkline::tests
