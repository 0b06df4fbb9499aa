// PathHarness: one PacketPath with everything around it in memory: rings, port, peers, time. Speaks the mesh
// thread's part (commands) and reads what leaves as records, so that a test says only what it is about.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/page_source.h"
#include "core/rng.h"
#include "relay/model_suite.h"
#include "relay/packet_path.h"
#include "tests/support/memory_port.h"
#include "tests/support/packet_builder.h"

namespace trunkline::tests {

using core::CoreId;
using core::Nanos;
using core::UdpAddress;
using relay::CoreCounter;
using relay::DropReason;
using relay::FlowId;
using relay::Label;
using relay::LinkId;
using relay::TrafficClass;

inline UdpAddress peer_address(uint32_t link) {
  return UdpAddress::v4(198, 18, 0, static_cast<uint8_t>(10 + link), 7000);
}

inline relay::NodeConfig small_config() {
  relay::NodeConfig config;
  config.listen = UdpAddress::v4(198, 18, 0, 1, 7000);
  config.limits.max_peers = 8;
  config.limits.max_flows_per_core = 128;
  config.limits.max_outputs_per_core = 256;
  config.limits.max_egress_per_core = 64;
  config.limits.queue_depth = 64;
  config.limits.core_ring_depth = 256;
  config.limits.frame_ring_depth = 16;
  config.limits.transmit_buffers = 32;
  config.host_queues = 2;
  return config;
}

template <class AnyPort>
class PathHarnessOn {
 public:
  explicit PathHarnessOn(relay::NodeConfig with = small_config())
      : config(std::move(with)), rings(config.limits, config.host_queues) {
    path = std::make_unique<relay::PacketPath>(config, CoreId{0}, port, crypto, pages, rings);
    EXPECT_TRUE(path->open_mesh(config.listen));
  }
  ~PathHarnessOn() {
    port.release_kept();
    EXPECT_TRUE(conserves());
    EXPECT_EQ(port.lent, 0u);
  }

  relay::NodeConfig config;
  AnyPort port;
  core::Rng rng{1};
  relay::ModelCrypto crypto{rng};
  core::HeapPageSource pages;
  std::unique_ptr<relay::Handover> handover;  // when a test says that there are other cores
  relay::CoreRings rings;
  std::unique_ptr<relay::PacketPath> path;
  std::vector<std::unique_ptr<Peer>> peers;  // by link
  Nanos now = core::from_s(1);

  // ---- the mesh thread's part
  void command(const relay::CoreCommand& command) { ASSERT_TRUE(rings.commands.try_push(command)); }

  void session(relay::CoreCommandKind kind, const relay::SessionInstall& install, bool continues = false) {
    relay::CoreCommand c;
    c.kind = kind;
    c.session = install;
    c.slot = install.slot;
    c.continues = continues;
    command(c);
  }
  // A link with an active session; its heartbeats are out of the way.
  Peer& link_up(LinkId link, uint8_t cores = 1) {
    peers.resize(std::max<std::size_t>(peers.size(), link + 1u));
    peers[link] = std::make_unique<Peer>(crypto, link, 2u * link, peer_address(link), cores);
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kLinkPace;
    c.pace = {.link = link, .heartbeat_interval = core::from_s(1000)};
    command(c);
    session(relay::CoreCommandKind::kSessionInstall, peers[link]->install);
    session(relay::CoreCommandKind::kSessionActivate, peers[link]->install);
    run();
    port.sent.clear();
    return *peers[link];
  }
  Label label(FlowId flow, uint32_t generation = 1) const {
    return relay::flow_label(flow, CoreId{0}, 0, generation);
  }
  void open_flow(relay::FlowOpen open) {
    if (open.label.value == 0) open.label = label(open.flow);
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kFlowOpen;
    c.open = open;
    command(c);
  }
  void upstream_flow(FlowId flow, LinkId link, TrafficClass traffic_class = TrafficClass::kAudio) {
    open_flow({.flow = flow,
               .source = relay::FlowSource::kUpstream,
               .traffic_class = traffic_class,
               .link = link,
               .upstream_label = Label{0xabc00 + flow}});
  }
  void local_flow(FlowId flow, TrafficClass traffic_class = TrafficClass::kRest, uint16_t queue = 0,
                  uint64_t handle = 900) {
    open_flow({.flow = flow,
               .source = relay::FlowSource::kLocal,
               .traffic_class = traffic_class,
               .queue = queue,
               .handle = handle});
  }
  void output(FlowId flow, const relay::Output& output, bool add = true) {
    relay::CoreCommand c;
    c.kind = add ? relay::CoreCommandKind::kOutputAdd : relay::CoreCommandKind::kOutputRemove;
    c.change = {flow, output};
    command(c);
  }
  static relay::Output to_link(LinkId link, uint32_t label = 0x5000, uint8_t core = 0) {
    return {
        .kind = relay::OutputKind::kLink, .target = link, .label = Label{label}, .remote_core = CoreId{core}};
  }
  static relay::Output to_queue(uint16_t queue, uint64_t handle = 500) {
    return {.kind = relay::OutputKind::kQueue, .target = queue, .handle = handle};
  }
  static relay::Output to_egress(uint16_t egress) {
    return {.kind = relay::OutputKind::kEgress, .target = egress};
  }
  void egress(uint16_t number, const UdpAddress& to) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kEgressOpen;
    c.egress = {number, to};
    command(c);
  }
  void ingest(const relay::IngestOpen& open) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kIngestOpen;
    c.ingest = open;
    command(c);
  }

  // ---- the world's part
  uint32_t run(Nanos after = {}) {
    now += after;
    const uint32_t work = path->run_once(now);
    EXPECT_TRUE(conserves());
    return work;
  }
  void arrive(Peer& from, const std::vector<ByteVector>& records) {
    port.put(0, from.install.peer_address, from.seal(concat(records)));
  }
  void publish(FlowId flow, const ByteVector& bytes, uint64_t handle = 900, uint16_t queue = 0) {
    host_packet(queue, relay::HostPacketKind::kMedia, flow, handle, bytes);
  }
  void host_packet(uint16_t queue, relay::HostPacketKind kind, FlowId flow, uint64_t handle,
                   const ByteVector& bytes) {
    std::span<relay::HostPacket> slot = rings.queues[queue]->to_core.claim(1);
    ASSERT_FALSE(slot.empty());
    relay::HostPacket& packet = slot[0];
    packet.kind = kind;
    packet.flow = flow;
    packet.handle = handle;
    packet.traffic_class = relay::kClassOfTrack;
    packet.keyframe = packet.frame_end = false;
    packet.layer = 0;
    packet.length = static_cast<uint16_t>(bytes.size());
    std::copy_n(bytes.begin(), std::min<std::size_t>(bytes.size(), sizeof packet.bytes), packet.bytes);
    rings.queues[queue]->to_core.commit(1);
  }

  // ---- what came of it
  // All records sent to a link so far, in order, and forgets them. Fails on what its peer cannot open.
  std::vector<ReadRecord> sent_to(LinkId link, uint8_t core = 0) {
    std::vector<ReadRecord> out;
    for (const SentRun& run : port.sent) {
      UdpAddress to = peer_address(link);
      to.port = static_cast<uint16_t>(to.port + core);
      if (!(run.to == to)) continue;
      for (const ByteVector& datagram : run.datagrams()) {
        bool ok = false;
        for (ReadRecord& record : peers[link]->open(datagram, ok, core)) out.push_back(std::move(record));
        EXPECT_TRUE(ok) << "a datagram that the peer refuses";
      }
    }
    return out;
  }
  struct Delivered {
    uint64_t handle;
    relay::HostPacketKind kind;
    FlowId flow;
    ByteVector bytes;
    bool frame_end;
  };
  std::vector<Delivered> delivered(uint16_t queue) {
    std::vector<Delivered> out;
    relay::HostPacketRing& ring = rings.queues[queue]->to_host;
    for (std::span<relay::HostPacket> got = ring.peek(64); !got.empty(); got = ring.peek(64)) {
      for (const relay::HostPacket& p : got) {
        out.push_back({p.handle, p.kind, p.flow, ByteVector(p.bytes, p.bytes + p.length), p.frame_end});
      }
      ring.release(static_cast<uint32_t>(got.size()));
    }
    return out;
  }
  std::vector<relay::CoreEvent> events() {
    std::vector<relay::CoreEvent> out;
    for (relay::CoreEvent event; rings.events.try_pop(event);) out.push_back(event);
    return out;
  }
  uint64_t drops(DropReason reason) const { return path->drops().value(reason); }
  uint64_t count(CoreCounter which) const { return path->counters().value(which); }
  ::testing::AssertionResult conserves() const {
    const relay::Conservation c = path->conservation();
    if (c.holds()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "received " << c.received << " != forwarded " << c.forwarded
                                         << " + dropped " << c.dropped << " + held " << c.held;
  }
};

using PathHarness = PathHarnessOn<MemoryPort>;

}  // namespace trunkline::tests
