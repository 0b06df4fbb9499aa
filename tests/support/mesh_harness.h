// MeshHarness: several MeshNodes in virtual time, joined by wires that delay, lose, cut and stop.
//
// The real state machine and handshake; data cores as books: which sessions and flows they were told of. They
// send heartbeats, report evidence, and carry a "packet" along outputs, so that what the mesh told them can
// be seen to work: a label that means another track at the receiver, or an output that was left behind, shows
// as a count. One queue of events ordered by (time, order of making): the same seed gives the same run.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "core/rng.h"
#include "relay/mesh/mesh_node.h"
#include "relay/null_suite.h"
#include "relay/wire.h"

namespace trunkline::relay {

inline core::TrackId test_track(uint64_t n) {
  core::TrackId id;
  for (int i = 0; i < 8; ++i) id.bytes[static_cast<size_t>(15 - i)] = static_cast<uint8_t>(n >> (8 * i));
  id.bytes[0] = 0x7f;
  return id;
}

// What a host heard; HostEvent without its bulk.
struct Heard {
  HostEventKind kind;
  uint64_t handle;
  Outcome outcome;
  bool authoritative, flowing, local;
  core::NodeId node;
  uint32_t attempts;
  Nanos at, elapsed;
  uint64_t generation;
  std::string text;
  std::string descriptor;
  CoreId core;
};

class MeshHarness {
 public:
  struct Wire {
    Nanos delay = core::from_ms(5);  // one way
    double loss = 0;                 // of every datagram
    bool cut = false;
    uint32_t muted_session = 0;  // control to this receive index is lost
  };
  struct Session {
    bool installed = false;
    LinkId link = 0;
    uint32_t receive_index = 0, peer_index = 0;
    UdpAddress peer{};
    SessionKeys keys{};
    bool continues = false;                       // what was heard on the one before counts
    uint64_t heard_us = 0;                        // anything
    uint64_t heartbeat_us = 0, last_sent_us = 0;  // newest heartbeat: arrival, and what it said
    Nanos reported{-1};
    uint32_t peer_heard_age_us = UINT32_MAX;  // what it said about hearing us
    bool heard = false;
  };
  struct FlowBook {
    FlowOpen open{};
    std::vector<Output> outputs;
    bool started = false;
    core::TrackId truth{};  // local: which track its publisher sends
  };
  struct Node;
  struct Sink final : MeshSink {
    MeshHarness* harness = nullptr;
    Node* node = nullptr;
    uint32_t outputs = 0;
    void command(CoreId core, const CoreCommand& c) override {
      ++outputs, harness->on_command(*node, core, c);
    }
    void control(LinkId link, uint32_t session_index, std::span<const uint8_t> bytes) override {
      ++outputs, harness->on_control(*node, link, session_index, bytes);
    }
    void handshake(const UdpAddress& to, std::span<const uint8_t> datagram) override {
      ++outputs, harness->on_handshake(*node, to, datagram);
    }
    void event(const HostEvent& e) override { ++outputs, harness->on_event(*node, e); }
    void log(LogLevel level, std::string_view text) override {
      if (level >= LogLevel::kError) node->errors.emplace_back(text);
    }
  };
  struct Node {
    NodeConfig config;
    std::vector<uint16_t> ports;
    std::unique_ptr<core::Rng> rng;
    std::unique_ptr<Crypto> crypto;
    std::unique_ptr<MeshNode> mesh;
    Sink sink;
    uint64_t incarnation = 1'000;
    bool running = false, paused = false, was_paused = false, deaf_control = false;
    uint32_t life = 0;                     // counts starts: what was meant for an earlier one is dropped
    std::map<uint32_t, Session> sessions;  // by slot
    std::map<LinkId, uint32_t> active;     // link -> slot
    std::map<LinkId, Nanos> interval;
    std::map<uint32_t, FlowBook> flows;  // by label index
    std::map<std::pair<uint8_t, uint16_t>, int> egress;
    std::vector<Heard> heard;
    std::vector<std::string> errors;
    std::map<uint64_t, uint64_t> packets;      // delivered, by handle
    std::map<uint64_t, core::TrackId> wanted;  // handle -> track
    std::map<uint64_t, core::TrackId> published;
    uint64_t wrong_track = 0, no_route = 0, foreign = 0;
    Nanos deadline{};
    FlowOpen newest{};
  };

  explicit MeshHarness(uint64_t seed = 1) : rng_(seed) {}

  // What each start of a node gets; the null suite unless a test says otherwise.
  std::function<std::unique_ptr<Crypto>(Node&)> make_crypto = [](Node& node) {
    return std::make_unique<NullCrypto>(*node.rng);
  };

  // Sees every handshake datagram that a node sends. What goes to no node's address ends there.
  std::function<void(Node&, const UdpAddress& to, std::span<const uint8_t>)> see_handshake;
  // Which of them are lost on the way, besides those that the wire loses.
  std::function<bool(std::span<const uint8_t>)> lose_handshake;

  // Nodes 1..n, each a peer of all others, small limits. Call configure on config() before start_all().
  void make(uint32_t n, uint32_t cores = 2);
  void start(uint32_t i);
  void start_all() {
    for (uint32_t i = 0; i < nodes_.size(); ++i) start(i);
  }
  void crash(uint32_t i) {
    nodes_[i]->running = false;
    nodes_[i]->mesh.reset();
  }
  void restart(uint32_t i) {
    nodes_[i]->incarnation += 1'000;
    start(i);
  }
  void pause(uint32_t i) { nodes_[i]->paused = nodes_[i]->was_paused = true; }
  void resume(uint32_t i);

  Node& node(uint32_t i) { return *nodes_[i]; }
  const Node& node(uint32_t i) const { return *nodes_[i]; }
  NodeConfig& config(uint32_t i) { return nodes_[i]->config; }
  MeshNode& mesh(uint32_t i) { return *nodes_[i]->mesh; }
  Wire& wire(uint32_t from, uint32_t to) { return wires_[from * nodes_.size() + to]; }
  void both_ways(uint32_t a, uint32_t b, const Wire& w) { wire(a, b) = wire(b, a) = w; }
  void all_wires(const Wire& w) { std::fill(wires_.begin(), wires_.end(), w); }
  Nanos now() const { return now_; }
  core::Rng& rng() { return rng_; }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
  // The link of `i` to node `to` (peers are listed in order, without oneself).
  static LinkId link_to(uint32_t i, uint32_t to) { return static_cast<LinkId>(to < i ? to : to - 1); }
  LinkStatus link(uint32_t i, uint32_t to) { return mesh(i).link(link_to(i, to)); }

  // ---- the host
  void publish(uint32_t i, uint64_t handle, const core::TrackId& track, uint64_t generation = 0,
               std::string_view descriptor = {}) {
    HostCommand c = make_command(HostCommandKind::kPublish, handle, track);
    c.generation = generation;
    c.descriptor_bytes = static_cast<uint16_t>(descriptor.size());
    std::copy(descriptor.begin(), descriptor.end(), c.descriptor.begin());
    nodes_[i]->published[handle] = track;
    give(*nodes_[i], c);
  }
  void unpublish(uint32_t i, uint64_t handle) {
    give(*nodes_[i], make_command(HostCommandKind::kUnpublish, handle, {}));
  }
  void acquire(uint32_t i, uint64_t handle, const core::TrackId& track, Nanos deadline = {},
               Nanos rendezvous = {-1}) {
    HostCommand c = make_command(HostCommandKind::kAcquire, handle, track);
    c.deadline = deadline;
    c.rendezvous = rendezvous;
    nodes_[i]->wanted[handle] = track;
    give(*nodes_[i], c);
  }
  void acquire_egress(uint32_t i, uint64_t handle, const core::TrackId& track) {
    HostCommand c = make_command(HostCommandKind::kAcquire, handle, track);
    c.egress = true;
    c.to = UdpAddress::v4(127, 0, 0, 1, 9'000);
    nodes_[i]->wanted[handle] = track;
    give(*nodes_[i], c);
  }
  void release(uint32_t i, uint64_t handle) {
    give(*nodes_[i], make_command(HostCommandKind::kRelease, handle, {}));
  }
  void hint(uint32_t i, const core::TrackId& track, uint32_t at) {
    HostCommand c = make_command(HostCommandKind::kHint, 0, track);
    c.node = {at + 1};
    give(*nodes_[i], c);
  }
  void give_command(uint32_t i, const HostCommand& c) { give(*nodes_[i], c); }
  void give_foreign_frame(uint32_t i, const Frame& f) { give_frame(*nodes_[i], f); }
  // What node i was last told to open.
  FlowOpen newest_flow(uint32_t i) const { return nodes_[i]->newest; }
  void core_event(uint32_t i, const CoreEvent& e) { give(*nodes_[i], e); }

  // The publisher of `handle` at node i sends a packet; it goes wherever outputs lead.
  void send_media(uint32_t i, const core::TrackId& track) {
    Node& node = *nodes_[i];
    for (auto& [index, flow] : node.flows) {
      if (flow.open.source != FlowSource::kLocal || flow.truth != track) continue;
      start_flow(node, index, flow);
      forward(node, flow, track);
      return;
    }
  }

  // ---- time
  void run_for(Nanos span) { run_until(now_ + span); }
  void run_until(Nanos end);

  // ---- what was heard
  std::vector<Heard> outcomes(uint32_t i, uint64_t handle) const {
    std::vector<Heard> found;
    for (const Heard& h : nodes_[i]->heard) {
      if (h.kind == HostEventKind::kOutcome && h.handle == handle) found.push_back(h);
    }
    return found;
  }
  // The one event of this kind for the handle; a failure if there is none or more.
  Heard only(uint32_t i, uint64_t handle, HostEventKind kind = HostEventKind::kOutcome) const {
    std::vector<Heard> found;
    for (const Heard& h : nodes_[i]->heard) {
      if (h.kind == kind && h.handle == handle) found.push_back(h);
    }
    EXPECT_EQ(found.size(), 1u) << "events of kind " << static_cast<int>(kind) << " for handle " << handle;
    return found.empty() ? Heard{} : found.back();
  }
  size_t count(uint32_t i, HostEventKind kind) const {
    return static_cast<size_t>(std::count_if(nodes_[i]->heard.begin(), nodes_[i]->heard.end(),
                                             [kind](const Heard& h) { return h.kind == kind; }));
  }
  uint32_t most_outputs() const { return most_outputs_; }
  uint64_t steps() const { return steps_; }
  // Outputs that lead from node i to links.
  size_t link_outputs(uint32_t i) const {
    size_t n = 0;
    for (const auto& [index, flow] : nodes_[i]->flows) {
      for (const Output& o : flow.outputs) n += o.kind == OutputKind::kLink;
    }
    return n;
  }

 private:
  enum class What : uint8_t { kHandshake, kControl, kHeartbeat, kMedia, kBeat };
  struct Event {
    Nanos at;
    uint64_t order;
    What what;
    uint32_t to = 0, life = 0;
    LinkId link = 0;
    uint32_t session_index = 0;
    Heartbeat heartbeat{};
    Label label{};
    core::TrackId track{};
    std::shared_ptr<std::vector<uint8_t>> bytes;
    UdpAddress from{};
    bool operator<(const Event& o) const { return at != o.at ? at > o.at : order > o.order; }
  };

  static UdpAddress address(uint32_t i) {
    return UdpAddress::v4(198, 18, 0, static_cast<uint8_t>(i + 1), 7'000);
  }
  static uint32_t node_at(const UdpAddress& a) { return a.ip[3] - 1u; }
  uint32_t index_of(const Node& node) const { return static_cast<uint32_t>(node.config.id.value - 1); }

  HostCommand make_command(HostCommandKind kind, uint64_t handle, const core::TrackId& track) const {
    HostCommand c;
    c.kind = kind;
    c.queue = 0;
    c.handle = handle;
    c.track = track;
    c.submitted = now_;
    return c;
  }
  void step(Node& node, const MeshInput& input) {
    node.sink.outputs = 0;
    node.mesh->step(now_, input, node.sink);
    EXPECT_LE(node.sink.outputs, MeshNode::kMaxOutputs);
    most_outputs_ = std::max(most_outputs_, node.sink.outputs);
    node.deadline = std::max(now_, node.mesh->next_deadline());
    ++steps_;
  }
  void give(Node& node, const HostCommand& c) {
    MeshInput input;
    input.kind = MeshInput::Kind::kHostCommand;
    input.host = &c;
    if (node.running) step(node, input);
  }
  void give(Node& node, const CoreEvent& e) {
    MeshInput input;
    input.kind = MeshInput::Kind::kCoreEvent;
    input.core_event = &e;
    if (node.running && !node.paused) step(node, input);
  }
  void give_frame(Node& node, const Frame& f) {
    MeshInput input;
    input.kind = MeshInput::Kind::kFrame;
    input.frame = &f;
    step(node, input);
  }

  // ---- from a node
  void post(Node& from, uint32_t to, Event e);
  void on_handshake(Node& node, const UdpAddress& to, std::span<const uint8_t> datagram);
  void on_control(Node& node, LinkId link, uint32_t session_index, std::span<const uint8_t> bytes);
  void on_event(Node& node, const HostEvent& e);
  void on_command(Node& node, CoreId core, const CoreCommand& c);

  // ---- data cores
  void schedule_beat(Node& node, LinkId link, Nanos in);
  void beat(Node& node, LinkId link);
  Session* find_session(Node& node, uint32_t index, uint32_t& slot);
  void evidence(Node& node, uint32_t slot, Session& session, const Heartbeat* heartbeat);
  void start_flow(Node& node, uint32_t index, FlowBook& flow);
  void forward(Node& node, const FlowBook& flow, const core::TrackId& track);

  void happen(const Event& e);

  core::Rng rng_;
  Nanos now_ = core::from_ms(1);
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Wire> wires_;
  std::priority_queue<Event> events_;
  std::deque<Event> held_;  // in the socket buffers of paused nodes, in order of arrival
  uint64_t order_ = 0;
  uint64_t steps_ = 0;
  uint32_t most_outputs_ = 0;
};

}  // namespace trunkline::relay
