// RecordedNode: one life of a node whose cryptography is the production one, under the judge of keys
// (tools/sim/auditor_keys.h). Its data cores are PacketPaths on memory ports, around the rings that a node
// has; this object does the mesh thread's part: handshakes, and what follows from them for the cores.
//
// There is one peer, of as many cores. Each core has two tracks for each core of the peer: one that is
// delivered there, and one that comes back from there and is delivered here. So all lanes are in use, and a
// node seals what it publishes and what it relays. One thread drives it, core by core.
//
// What a life draws its keys from is a function of its incarnation, and of the time that its handshakes are
// told: a second object with the same beginning is the same machine, come back from a snapshot.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "core/page_source.h"
#include "core/rng.h"
#include "relay/handshake_messages.h"
#include "relay/mesh/hello.h"
#include "relay/packet_path.h"
#include "relay/topology.h"
#include "tests/support/frame_port.h"
#include "tests/support/memory_port.h"
#include "tests/support/packet_builder.h"
#include "tools/sim/audited_crypto.h"
#include "tools/sim/cluster_keys.h"

namespace trunkline::tests {

using core::CoreId;
using core::Nanos;
using relay::FlowId;

inline constexpr uint8_t kRecordedCores = 4;

// Flows of a core, of each kind one per core of the peer.
inline constexpr FlowId kOwn = 0;                      // published here, delivered there
inline constexpr FlowId kTheirs = kRecordedCores;      // the other way round
inline constexpr FlowId kEchoed = 2 * kRecordedCores;  // published here, and comes back as kBack
inline constexpr FlowId kRelayed = 3 * kRecordedCores;
inline constexpr FlowId kBack = 4 * kRecordedCores;
inline constexpr uint64_t kRecordedHandle = 900;  // and the flow: what the host calls it

// How a life begins.
struct Beginning {
  uint64_t incarnation = 0;
  Nanos clock{};  // as the machine has it
};

class RecordedNode {
 public:
  RecordedNode(const sim::ClusterKeys& keys, sim::KeyAuditor& auditor, relay::NodeConfig with,
               Beginning begins, bool frames, Nanos now)
      : config(std::move(with)),
        beginning(begins),
        crypto(keys.make(config, begins.incarnation, kUnixTime, begins.clock), auditor, config),
        rings(config, pages),
        began_(now),
        rng_(begins.incarnation * 2 + config.id.value),
        handshake_(crypto.make_handshake()) {
    handshake_->expect({config.peers[0].id, *config.peers[0].public_key});
    for (uint8_t k = 0; k < kRecordedCores; ++k) {
      Core& core = cores.emplace_back();
      core.port = frames ? std::make_unique<FramePort>() : std::make_unique<MemoryPort>();
      core.path =
          std::make_unique<relay::PacketPath>(config, CoreId{k}, *core.port, crypto, pages, *rings.cores[k]);
      EXPECT_TRUE(core.path->open_mesh(config.listen));
      open_flows(k);
    }
  }

  ~RecordedNode() { EXPECT_EQ(count(relay::CoreCounter::commands_refused), 0u); }

  struct Core {
    std::unique_ptr<MemoryPort> port;
    std::unique_ptr<relay::PacketPath> path;
  };

  const relay::NodeConfig config;
  const Beginning beginning;
  core::HeapPageSource pages;
  sim::AuditedCrypto crypto;
  relay::NodeRings rings;
  std::deque<Core> cores;

  // ---- handshakes, as the mesh thread has them (relay/mesh/handshake.cc, sessions.cc). Each returns what is
  // to be sent; empty: the message was refused

  std::span<const uint8_t> write_msg1(Nanos now) {
    tell_time(now);
    handshake_->begin();
    return write(relay::kMsg1, hello());
  }
  // From here on the new session is received on.
  std::span<const uint8_t> answer_msg1(ByteVector msg1, Nanos now) {
    tell_time(now);
    handshake_->begin();
    const relay::Handshake::Read read = handshake_->read(relay::kMsg1, msg1);
    const auto theirs = read.ok ? relay::decode_hello(read.payload) : std::nullopt;
    if (!theirs) return {};
    const auto msg2 = write(relay::kMsg2, hello());
    install(*theirs);
    return msg2;
  }
  // From here on it is sent with, too.
  std::span<const uint8_t> answer_msg2(ByteVector msg2, Nanos now) {
    tell_time(now);
    const relay::Handshake::Read read = handshake_->read(relay::kMsg2, msg2);
    const auto theirs = read.ok ? relay::decode_hello(read.payload) : std::nullopt;
    if (!theirs) return {};
    install(*theirs);
    activate();
    return write(relay::kConfirm, {});
  }
  bool take_confirm(ByteVector confirm) {
    if (!handshake_->read(relay::kConfirm, confirm).ok) return false;
    activate();
    return true;
  }
  // A confirm that was lost, when the first datagram of the session has come instead.
  void activate() { send_with(spare()); }
  // Ends the session that is not sent with.
  void remove_spare() {
    Session& session = sessions_[static_cast<size_t>(spare())];
    if (!session.installed) return;
    session.installed = false;
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionRemove;
    c.slot = static_cast<uint32_t>(spare());
    command_all(c);
  }
  bool linked() const { return active_ >= 0; }

  // What the newest handshake gave; and what a node does that takes it into use once more.
  const relay::SessionInstall& newest() const { return newest_; }
  void use_again(relay::SessionInstall session) {
    if (!linked()) hello();  // gives out the indexes that it is received under
    const int slot = linked() ? active_ : spare();
    session.slot = static_cast<uint32_t>(slot);
    install(session);
    send_with(slot);
  }

  // ---- the rest of a node's life

  // A packet of a flow of kOwn or kEchoed; false: its ring is full.
  bool publish(uint8_t core, FlowId flow, std::span<const uint8_t> packet) {
    auto slots = rings.cores[core]->queues[0]->to_core.claim(1);
    if (slots.empty()) return false;
    relay::HostPacket& slot = slots[0];
    slot.kind = relay::HostPacketKind::kMedia;
    slot.flow = flow;
    slot.handle = kRecordedHandle + flow;
    slot.traffic_class = relay::kClassOfTrack;
    slot.keyframe = false;
    slot.frame_end = true;
    slot.layer = 0;
    slot.length = static_cast<uint16_t>(packet.size());
    std::copy(packet.begin(), packet.end(), slot.bytes);
    rings.cores[core]->queues[0]->to_core.commit(1);
    return true;
  }
  void run(uint8_t core, Nanos now) {
    cores[core].path->run_once(now);
    for (relay::CoreEvent event; rings.cores[core]->events.try_pop(event);)
      continue;  // the mesh thread reads them
    ASSERT_TRUE(cores[core].path->conservation().holds());
  }
  uint64_t drops(relay::DropReason reason) const {
    uint64_t sum = 0;
    for (const Core& core : cores) sum += core.path->drops().value(reason);
    return sum;
  }
  uint64_t count(relay::CoreCounter which) const {
    uint64_t sum = 0;
    for (const Core& core : cores) sum += core.path->counters().value(which);
    return sum;
  }
  // Between two runs nothing is on its way from core to core but what waits in a ring.
  bool hands_over_all() const {
    uint64_t waiting = 0;
    for (const auto& handover : rings.handovers) waiting += handover->waiting();
    return count(relay::CoreCounter::handed_over) == count(relay::CoreCounter::taken_over) + waiting;
  }

 private:
  static constexpr uint64_t kUnixTime = 1'800'000'000;

  static relay::Label label(uint8_t core, FlowId flow) {
    return relay::flow_label(flow, CoreId{core}, relay::core_bits_for(kRecordedCores), 1);
  }
  static relay::TrafficClass traffic_class(uint8_t to) {
    return to % 2 == 0 ? relay::TrafficClass::kVideoBase : relay::TrafficClass::kAudio;
  }

  void open_flows(uint8_t core) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kLinkPace;
    c.pace = {.link = 0, .heartbeat_interval = config.link.heartbeat};
    command(core, c);
    for (uint8_t peer = 0; peer < kRecordedCores; ++peer) {
      publish_to(core, peer, kOwn + peer, kTheirs + core, traffic_class(peer));
      publish_to(core, peer, kEchoed + peer, kRelayed + core, relay::TrafficClass::kVideoBase);
      const relay::Output back{
          .kind = relay::OutputKind::kLink, .label = label(peer, kBack + core), .remote_core = CoreId{peer}};
      take_from(core, peer, kTheirs + peer, kOwn + core, to_queue(kTheirs + peer));
      take_from(core, peer, kRelayed + peer, kEchoed + core, back);
      take_from(core, peer, kBack + peer, kRelayed + core, to_queue(kBack + peer));
    }
  }
  // Flows of `core`, and what they are at the peer's core.
  void publish_to(uint8_t core, uint8_t peer, FlowId flow, FlowId there, relay::TrafficClass as) {
    open_flow(core,
              {.flow = flow,
               .label = label(core, flow),
               .source = relay::FlowSource::kLocal,
               .traffic_class = as,
               .handle = kRecordedHandle + flow},
              {.kind = relay::OutputKind::kLink, .label = label(peer, there), .remote_core = CoreId{peer}});
  }
  void take_from(uint8_t core, uint8_t peer, FlowId flow, FlowId there, const relay::Output& output) {
    open_flow(core,
              {.flow = flow,
               .label = label(core, flow),
               .source = relay::FlowSource::kUpstream,
               .upstream_label = label(peer, there),
               .upstream_core = CoreId{peer}},
              output);
  }
  static relay::Output to_queue(FlowId flow) {
    return {.kind = relay::OutputKind::kQueue, .handle = kRecordedHandle + flow};
  }
  void open_flow(uint8_t core, const relay::FlowOpen& open, const relay::Output& output) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kFlowOpen;
    c.open = open;
    command(core, c);
    c.kind = relay::CoreCommandKind::kOutputAdd;
    c.change = {open.flow, output};
    command(core, c);
  }

  // Until it has a session, a life is told the time at which it began: come back from a snapshot, it repeats
  // all that it draws.
  void tell_time(Nanos now) { crypto.at(linked() ? beginning.clock + (now - began_) : beginning.clock); }
  int spare() const { return active_ == 0 ? 1 : 0; }

  // Makes room for the session that is being agreed on.
  relay::Hello hello() {
    remove_spare();
    Session& session = sessions_[static_cast<size_t>(spare())];
    relay::Hello mine = relay::make_hello(config, beginning.incarnation);
    mine.core_count = kRecordedCores;
    for (uint8_t k = 0; k < kRecordedCores; ++k) {
      const uint32_t index = relay::SessionIndex::make(CoreId{k}, static_cast<uint32_t>(spare()),
                                                       static_cast<uint16_t>(rng_.next()));
      session.indexes[k] = index;
      mine.cores[k] = {static_cast<uint16_t>(config.listen.port + k), index};
    }
    return mine;
  }
  std::span<const uint8_t> write(uint8_t message, const relay::Hello& mine) {
    std::array<uint8_t, relay::kMaxHelloBytes> payload;
    const size_t length = message == relay::kConfirm ? 0 : relay::encode(mine, payload);
    return std::span(message_).first(handshake_->write(message, std::span(payload).first(length), message_));
  }
  void install(const relay::Hello& theirs) {
    newest_ = {};
    newest_.slot = static_cast<uint32_t>(spare());
    newest_.keys = handshake_->keys();
    newest_.peer_address = config.peers[0].address;
    newest_.peer_cores = theirs.core_count;
    for (uint8_t k = 0; k < theirs.core_count; ++k) {
      newest_.peer_ports[k] = theirs.cores[k].port;
      newest_.peer_indexes[k] = theirs.cores[k].receive_index;
    }
    install(newest_);
  }
  void install(const relay::SessionInstall& session) {
    sessions_[session.slot].installed = true;
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionInstall;
    c.session = session;
    for (uint8_t k = 0; k < kRecordedCores; ++k) {
      c.session.receive_index = sessions_[session.slot].indexes[k];
      command(k, c);
    }
  }
  void send_with(int slot) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionActivate;
    c.slot = static_cast<uint32_t>(slot);
    command_all(c);
    active_ = slot;
  }
  void command_all(const relay::CoreCommand& c) {
    for (uint8_t k = 0; k < kRecordedCores; ++k) command(k, c);
  }
  void command(uint8_t core, const relay::CoreCommand& c) {
    EXPECT_TRUE(rings.cores[core]->commands.try_push(c));
  }

  Nanos began_;
  core::Rng rng_;
  std::unique_ptr<relay::Handshake> handshake_;
  struct Session {
    bool installed = false;
    std::array<uint32_t, kRecordedCores> indexes{};
  };
  std::array<Session, 2> sessions_;
  int active_ = -1;
  relay::SessionInstall newest_;
  std::array<uint8_t, relay::kMaxHandshakeBytes> message_{};
};

}  // namespace trunkline::tests
