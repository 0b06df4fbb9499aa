// MeshNode: what happens to an acquire, and to a link. The mesh state machine, sans-IO.
//
// It has no thread, clock, socket, blocking call, allocation after construction, or unbounded work: one
// step() takes one input at one instant and writes outputs into a sink; next_deadline() says when to come
// back without an input. The same object file runs under the mesh thread and in the simulator. There is no
// call in it that could block, so no peer can make another wait.
//
// Promises (each has a test and a simulator invariant)
//   * every acquire ends exactly once, at or before its deadline plus one tick (1 ms);
//   * a peer that lacks a track is asked once per track, and its NOT_HERE reaches every waiter within the
//   same step;
//   * nothing a peer sends can crash, block or grow this object; what does not parse is counted;
//   * after release() of everything, every slab is empty again (leak check: idle()).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/counters.h"
#include "core/histogram.h"
#include "core/rng.h"
#include "relay/config.h"
#include "relay/core_link.h"
#include "relay/evidence_board.h"
#include "relay/outcome.h"

namespace trunkline::relay {

struct Explanation;
class FlightRecorder;

inline constexpr uint32_t kMaxDescriptorBytes = 512;  // the publisher's opaque track descriptor
inline constexpr Nanos kMeshTick = core::from_ms(1);

// ---- what the host asks for
// -----------------------------------------------------------------------------------

enum class HostCommandKind : uint8_t { kPublish, kUnpublish, kAcquire, kRelease, kHint, kDrain };

// From one host queue. `handle` is the host's name for the publication or acquisition: unique per queue while
// in use.
struct HostCommand {
  HostCommandKind kind = HostCommandKind::kRelease;
  uint16_t queue = 0;
  uint64_t handle = 0;
  core::TrackId track{};
  Nanos submitted{};  // when the host asked; deadlines count from here
  // kPublish
  uint64_t generation = 0;  // 0: one above the highest seen
  TrafficClass traffic_class = TrafficClass::kRest;
  bool ingest = false;  // the source is a UDP tap rather than the queue
  IngestOpen tap{};     // listen, from, ssrc, codec hints (its flow is filled in by MeshNode)
  uint16_t descriptor_bytes = 0;
  // kAcquire
  Nanos deadline{};      // relative budget; 0: the configured default
  Nanos rendezvous{-1};  // how long to wait for an announcement when nobody has it; < 0: the default
  bool egress = false;   // deliver to a UDP address rather than to the queue
  UdpAddress to{};
  // kHint: somebody says that `node` has `track`. kDrain: `node` is who takes over, 0: nobody is named
  core::NodeId node{};
  bool on = false;  // kDrain: new requests of peers are answered DRAINING from now on, or no longer
  std::array<uint8_t, kMaxDescriptorBytes> descriptor;
};

// ---- what the host is told
// ------------------------------------------------------------------------------------

enum class HostEventKind : uint8_t {
  kPublished,      // flow and core: where the publisher's packets go; address: an ingest tap's bound address
  kPublishFailed,  // text
  kUnpublished,    // the handle is free
  kOutcome,        // the one terminal outcome of an acquire. Unless OK, the handle is free
  kEnded,   // an acquisition that was OK is over: reason in `outcome` (GONE; MOVED: a newer publication, at
            // `node`; LINK_DOWN: its source has been silent for its lease; LOOP; CANCELLED after
            // release). The handle is free
  kTooBig,  // packets of this publication exceed what the path carries: size, size_max
};

struct HostEvent {
  HostEventKind kind = HostEventKind::kOutcome;
  uint16_t queue = 0;
  uint64_t handle = 0;
  core::TrackId track{};
  Outcome outcome = Outcome::ok;
  bool authoritative = false;  // NOT_HERE / GONE: said by the node that would know
  bool flowing = false;        // OK: media is arriving
  bool local = false;          // OK: published on this very node
  core::NodeId node{};         // who answered or is named; 0: nobody
  uint32_t attempts = 0;       // requests sent for it
  Nanos elapsed{};             // from submitted to this event
  uint64_t generation = 0;
  CoreId core{};
  FlowId flow = 0;
  UdpAddress address{};
  uint32_t size = 0, size_max = 0;
  // One sentence: the setting and both values for CONFIG_MISMATCH, the cause of a failure, ...
  // Zero-terminated.
  std::array<char, 192> text{};
  uint16_t descriptor_bytes = 0;
  std::array<uint8_t, kMaxDescriptorBytes> descriptor;
};

// ---- links
// ----------------------------------------------------------------------------------------------------

enum class LinkState : uint8_t {
  kDown,        // no session, or nothing heard for down_after; being retried
  kConnecting,  // handshake in progress
  kUp,
  kIncompatible,  // refused, by us or by the peer; the setting is named; re-probed with backoff
};
const char* link_state_name(LinkState) noexcept;

struct LinkStatus {
  core::NodeId node{};
  LinkState state = LinkState::kDown;
  uint64_t incarnation = 0;
  uint32_t rtt_us = 0;           // smoothed
  uint32_t rtt_p99_us = 0;       // what attempt timers use
  Nanos since{};                 // of this state
  bool ejected = false;          // its outcomes were bad: it is asked last
  Nanos probe_at{};              // ejected: when the next request may go to it as to anybody
  std::array<char, 192> text{};  // kIncompatible: setting, mine, theirs
};

// One sentence that names a certificate and the role that it has not; zero-terminated.
using RoleText = std::array<char, 128>;

// ---- counters
// -------------------------------------------------------------------------------------------------

// clang-format off
#define TRUNKLINE_MESH_COUNTERS(X)                                                                   \
  X(acquires,              "acquires asked for by the host")                                         \
  X(acquires_overdue,      "acquires that ended later than deadline + 1 tick: must stay 0")          \
  X(requests_sent,         "ACQUIRE requests sent to peers")                                         \
  X(requests_received,     "ACQUIRE requests received from peers")                                   \
  X(requests_repeated,     "ACQUIRE requests that repeat a request id already in hand")              \
  X(answers_sent,          "ANSWERs sent")                                                           \
  X(answers_received,      "ANSWERs received")                                                       \
  X(answers_late,          "ANSWERs that came after their acquire had ended (released again)")       \
  X(announcements_sent,    "track announcements and withdrawals sent")                               \
  X(announcements_received,"track announcements and withdrawals received")                           \
  X(handshakes_sent,       "handshake datagrams sent")                                               \
  X(handshakes_received,   "handshake datagrams received")                                           \
  X(handshakes_refused,    "handshakes refused, by either side, for whatever reason")                \
  X(handshakes_ignored,    "handshake datagrams of unknown nodes, malformed, or out of order")       \
  X(links_up,              "times a link came up")                                                   \
  X(links_down,            "times a link went down")                                                 \
  X(peers_reborn,          "times a peer that was known came back as a new incarnation")             \
  X(rekeys,                "sessions replaced for the age of their keys, or for what they have sealed")  \
  X(streams_stalled,       "new sessions tried: control was stuck or another's, or an end untold")   \
  X(control_segments_sent, "control segments sent, repeats included")                                \
  X(control_repeats,       "control segments sent again")                                            \
  X(control_received,      "control segments received")                                              \
  X(control_rejected,      "control segments or messages that did not parse or failed their check")  \
  X(control_duplicates,    "control segments received again")                                        \
  X(pendings_sent,         "PENDINGs sent: requests for which this node asks further")                \
  X(pendings_received,     "PENDINGs received")                                                       \
  X(redirects_followed,    "answers that named another node or generation, and were followed")        \
  X(relays_asked,          "requests that asked a peer to ask further")                                \
  X(requests_relayed,      "requests of peers for which this node asked further")                      \
  X(requests_expired,      "requests of peers whose budget was over before their turn came")           \
  X(requests_looped,       "requests of peers that had passed this node already")                      \
  X(retries,               "requests repeated because an answer was late or BUSY")                     \
  X(retries_refused,       "repetitions that the retry budget did not allow")                          \
  X(negatives_cached,      "searches that ended with what was remembered")                             \
  X(answers_fenced,        "OKs refused: another or an older publication, media that passes this node") \
  X(peers_ejected,         "times a peer was ejected for its outcomes")                                \
  X(peers_returned,        "times an ejected peer came back")                                          \
  X(ejections_capped,      "ejections that did not happen because a third of the peers were")          \
  X(stalls,                "feeds that were said to flow, and did not")                                \
  X(feeds_opened,          "feeds from peers begun")                                                   \
  X(feeds_replaced,        "feeds that got another source without their subscribers' knowledge")       \
  X(feeds_superseded,      "feeds and publications that a newer generation elsewhere ended")           \
  X(feeds_looped,          "feeds ended because their path came to pass this node")                    \
  X(announcements_unauthorized, "announcements not applied: of a peer whose certificate lacks the role publish")  \
  X(requests_unauthorized, "requests of peers refused: without the role acquire, or for others without relay") \
  X(answers_unauthorized,  "OKs refused: own tracks of a peer without publish, others' without relay")  \
  X(relays_unauthorized,   "peers that knew where a track is, and may not relay it")                    \
  X(relaying_unauthorized, "requests of peers refused: this node's own certificate lacks the role relay") \
  X(host_unauthorized,     "publishes and acquires of the host that this node's certificate does not allow") \
  X(leases_over,           "peers whose silence outlasted their lease")                                \
  X(table_full,            "announcements or acquires that found the track table full")              \
  X(labels_resting,        "acquires refused because every free label still rests")
// clang-format on

enum class MeshCounter : uint32_t {
#define X(name, text) name,
  TRUNKLINE_MESH_COUNTERS(X)
#undef X
      kCount
};
const char* mesh_counter_name(MeshCounter) noexcept;
const char* mesh_counter_text(MeshCounter) noexcept;
using MeshCounters = core::CounterSet<MeshCounter, static_cast<std::size_t>(MeshCounter::kCount)>;

// ---- the machine
// ------------------------------------------------------------------------------------------------

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// Where a step writes. Calls happen during step() only, at most kMaxOutputs of them per step (log lines not
// counted).
class MeshSink {
 public:
  virtual ~MeshSink() = default;
  // What a data core has heard on a session: asked before a peer is called silent. A sink that tells
  // everything by events has nothing to add.
  virtual Evidence evidence(CoreId core, uint32_t slot) const {
    static_cast<void>(core);
    static_cast<void>(slot);
    return {};
  }
  virtual void command(CoreId core, const CoreCommand& command) = 0;
  // A frame for data core 0's transmit side, to go out on the session with this receive index or not at all:
  // its numbers are of that session's stream. `bytes` is valid during the call.
  virtual void control(LinkId link, uint32_t session_index, std::span<const uint8_t> bytes) = 0;
  virtual void handshake(const UdpAddress& to, std::span<const uint8_t> datagram) = 0;
  virtual void event(const HostEvent& event) = 0;
  virtual void log(LogLevel level, std::string_view text) = 0;
};

struct MeshInput {
  enum class Kind : uint8_t { kTick, kFrame, kCoreEvent, kHostCommand };
  Kind kind = Kind::kTick;
  const Frame* frame = nullptr;
  const CoreEvent* core_event = nullptr;
  const HostCommand* host = nullptr;
};

class MeshNode {
 public:
  // `config` was validated. `core_ports[k]` is the UDP port that core k listens on. `rng` draws request ids,
  // session indexes, jitter. References must outlive the node.
  MeshNode(const NodeConfig& config, uint64_t incarnation, std::span<const uint16_t> core_ports,
           core::Rng& rng, Crypto& crypto);
  ~MeshNode();
  MeshNode(const MeshNode&) = delete;
  MeshNode& operator=(const MeshNode&) = delete;

  // A bound on outputs of one step, so that a driver can make sure that its rings have room first. Work that
  // does not fit (a link that died with thousands of acquires) goes on in the next step: next_deadline() is
  // then `now`.
  static constexpr uint32_t kMaxOutputs = 256;

  void step(Nanos now, const MeshInput& input, MeshSink& sink);
  // When step() must be called again at the latest; kNever if only an input can change anything.
  Nanos next_deadline() const;

  // Every peer that is up has acknowledged all that was to be said to it.
  bool all_told() const;

  uint64_t incarnation() const;
  const MeshCounters& counters() const;
  // By outcome number; and time from submitted to outcome in nanoseconds.
  uint64_t outcomes(Outcome outcome) const;
  const core::Histogram& acquire_time(Outcome outcome) const;
  uint32_t link_count() const;
  LinkStatus link(LinkId link) const;
  struct Draining {
    bool on = false;
    core::NodeId successor{};  // 0: nobody is named
  };
  Draining draining() const;
  // Slabs in use: for leak checks and `stats`.
  struct Usage {
    uint32_t tracks = 0, acquires = 0, requests = 0, publications = 0, subscriptions_up = 0,
             subscriptions_down = 0, labels = 0, timers = 0;
  };
  Usage usage() const;

  // What stands between this node and its peers right now, for whoever must see the whole mesh at once: the
  // simulator's auditor. Visits every record; not for the hot path.
  struct WaitView {  // a request of ours that has not had its answer
    core::TrackId track{};
    core::NodeId on{};
    uint8_t hop_limit = 0;  // 0: the asked node answers by itself; else it may wait for others
    bool pending = false;   // it said PENDING
  };
  struct FeedView {  // a peer feeds this track here
    core::TrackId track{};
    core::NodeId from{};
    uint64_t generation = 0;
    bool established = false;              // its media was seen, or it is muted
    std::span<const core::NodeId> path{};  // from the publisher to `from`; may be empty in a first moment
  };
  struct ServeView {  // a peer is fed by us, or waits for us
    core::TrackId track{};
    core::NodeId to{};
    bool waiting = false;  // it has no answer yet: we ask further
  };
  class Inspector {
   public:
    virtual ~Inspector() = default;
    virtual void wait(const WaitView&) {}
    virtual void feed(const FeedView&) {}
    virtual void serve(const ServeView&) {}
  };
  void inspect(Inspector& inspector) const;

  // Why does `track` (not) flow here? Everything but what only a data core knows (relay/explain.h). Goes
  // through the links and what hangs on the track; not for the hot path.
  void explain(Nanos now, const core::TrackId& track, Explanation& out) const;
  const FlightRecorder& flights() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trunkline::relay
