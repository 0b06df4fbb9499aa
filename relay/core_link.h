// What the mesh thread and a data core say to each other: the vocabulary of the four rings between them.
//
//   mesh -> core   CoreCommand (sessions, flows, outputs, taps)
//                  Frame       (control segments and handshakes to send)
//   core -> mesh   CoreEvent   (link evidence, first media, ...)
//                  Frame       (control segments and handshakes received)
//
// A *flow* is one track on the data core that owns it. Its number is the label's index without the core bits,
// so a record's label finds its flow by an array look-up. A flow has one source (a local publisher, or one
// upstream link) and outputs (host queues, egress taps, downstream links). All values are plain and copied
// through the rings; nothing is shared.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/ids.h"
#include "core/time.h"
#include "core/udp_address.h"
#include "relay/crypto.h"
#include "relay/wire.h"

namespace trunkline::relay {

using core::CoreId;
using core::Nanos;
using core::UdpAddress;

using LinkId = uint16_t;  // index of a peer in the node's peer table; the same on mesh thread and data cores
using FlowId = uint32_t;  // per data core, below NodeLimits::max_flows_per_core

// Which label stands for flow `flow` of core `core`, on a node with 1 << core_bits label ranges.
constexpr Label flow_label(FlowId flow, CoreId core, uint32_t core_bits, uint32_t generation) {
  return Label::make((flow << core_bits) | core.value, generation);
}
constexpr FlowId label_flow(Label label, uint32_t core_bits) {
  return label.index() >> core_bits;
}
constexpr uint32_t core_bits_for(uint32_t cores) {
  uint32_t bits = 0;
  while ((1u << bits) < cores) ++bits;
  return bits;
}

// ---- sessions
// ------------------------------------------------------------------------------------------------

// Installed for receiving when the handshake has keys; the link sends with it from kSessionActivate on.
struct SessionInstall {
  uint32_t slot = 0;  // below kMaxSessions; two per link
  LinkId link = 0;
  uint32_t receive_index = 0;  // ours, for this core
  SessionKeys keys{};
  UdpAddress peer_address{};  // of the peer's core 0; the other cores differ in port only
  uint8_t peer_cores = 0;
  std::array<uint16_t, core::kMaxCores> peer_ports{};
  std::array<uint32_t, core::kMaxCores> peer_indexes{};
};

// How often heartbeats go out on a link: 50 ms normally, 10 ms after one was missed (design: link liveness).
struct LinkPace {
  LinkId link = 0;
  Nanos heartbeat_interval{};
};

// ---- flows
// ---------------------------------------------------------------------------------------------------

enum class FlowSource : uint8_t { kLocal, kUpstream };

struct FlowOpen {
  FlowId flow = 0;
  Label label{};  // in our number space; records with another generation are stale
  FlowSource source = FlowSource::kLocal;
  TrafficClass traffic_class = TrafficClass::kRest;  // of the track, where a packet does not say
  LinkId link = 0;                                   // kUpstream: where media comes from and feedback goes
  uint16_t queue = 0;                                // kLocal: the publisher's host queue; kNoQueue for a tap
  uint64_t handle = 0;                               // kLocal: what the host calls this publication
  Label upstream_label{};  // kUpstream: the label for feedback, in the peer's number space
  CoreId upstream_core{};
  Nanos keyframe_interval{};  // at most one keyframe request upstream per this
};
inline constexpr uint16_t kNoQueue = 0xffff;

enum class OutputKind : uint8_t { kNone, kQueue, kEgress, kLink };

struct Output {
  OutputKind kind = OutputKind::kNone;
  uint16_t target = 0;   // host queue, egress tap, or link
  Label label{};         // kLink: in the receiver's number space. kQueue: unused
  CoreId remote_core{};  // kLink: the core that owns the track at the receiver
  uint64_t handle = 0;   // kQueue: what the host calls this acquisition, given back with each packet
  bool operator==(const Output&) const = default;
};

// The flow gets another source, and keeps its label and its outputs. What the old source still sends is then
// a foreign label's, and what the new one repeats of it is dropped.
struct FlowRedirect {
  FlowId flow = 0;
  LinkId link = 0;
  Label upstream_label{};
  CoreId upstream_core{};
  Nanos keyframe_interval{};
};

struct OutputChange {  // kOutputAdd, kOutputRemove (matches on all members)
  FlowId flow = 0;
  Output output{};
};

// ---- taps: plain RTP/UDP at the edge
// ---------------------------------------------------------------------------

// Binds a UDP address as the source of a local flow. The core answers with kTapReady or kTapFailed.
struct IngestOpen {
  FlowId flow = 0;
  UdpAddress listen{};
  UdpAddress from{};  // who is heard; family 0: anybody, port 0: any port of that host
  uint32_t ssrc = 0;  // 0: any
  bool vp8 = false;   // look into VP8 payload descriptors for keyframe starts (RFC 7741)
  bool h264 = false;  // the same for H.264 (RFC 6184)
};
// A destination for Output{kEgress, target = egress}. RTCP that comes back from it goes upstream.
struct EgressOpen {
  uint16_t egress = 0;
  UdpAddress to{};
};

enum class CoreCommandKind : uint8_t {
  kSessionInstall,
  kSessionActivate,  // slot: the link sends with this session now
  kSessionRemove,    // slot
  kLinkPace,
  kFlowOpen,
  kFlowRedirect,
  kFlowClose,  // flow: and all its outputs; its ingest tap, if any, is closed
  kOutputAdd,
  kOutputRemove,
  kIngestOpen,
  kEgressOpen,
  kEgressClose,  // egress.egress
  kFlowQuery,    // flow: answered with kFlowFacts
};

struct CoreCommand {
  CoreCommandKind kind = CoreCommandKind::kFlowClose;
  uint32_t slot = 0;       // kSessionActivate, kSessionRemove
  bool continues = false;  // kSessionActivate: it replaces the keys of the one before, between the same lives
  FlowId flow = 0;         // kFlowClose, kFlowQuery
  // One of these, by kind; plain members rather than a union so that every value is always initialised.
  SessionInstall session{};
  FlowOpen open{};
  FlowRedirect redirect{};
  OutputChange change{};
  IngestOpen ingest{};
  EgressOpen egress{};
  LinkPace pace{};
};

// ---- what a data core reports
// ------------------------------------------------------------------------------------

enum class CoreEventKind : uint8_t {
  kEvidence,     // a peer was heard for the first time, after a silence, or with bad news
  kFlowStarted,  // first media of a flow since it was opened (or since it was idle for 1 s)
  kFlowIdle,     // a flow has had no packet for 1 s
  kTapReady,     // IngestOpen: address is what was bound
  kTapFailed,    // IngestOpen: text says why
  kTooBig,       // a publisher's packet exceeds the path MTU: size, and the largest that fits
  kKeysWorn,     // a lane of session `slot` has sealed so much that its keys are to be replaced
  kFlowFacts,    // kFlowQuery: packets, bytes, last_packet, outputs. Label 0: the flow is not open
};

struct CoreEvent {
  CoreEventKind kind = CoreEventKind::kEvidence;
  CoreId core{};
  // kEvidence: what the mesh thread must act on (relay/liveness.h), at most once per 5 ms per session
  uint32_t slot = 0;
  LinkId link = 0;
  uint32_t receive_index = 0;  // which session it is that has the slot
  Nanos heard{};               // arrival of the newest authenticated datagram
  uint32_t rtt_us = 0;         // a round-trip sample from a heartbeat's echo; 0: none in this report
  uint32_t peer_heard_age_us =
      kNothingHeard;  // what the peer's newest heartbeat said about hearing us; see Heartbeat
  // the others
  FlowId flow = 0;
  Label label{};
  UdpAddress address{};
  uint32_t size = 0;
  uint32_t size_max = 0;
  uint32_t outputs = 0;
  uint64_t packets = 0, bytes = 0;
  Nanos last_packet{};
  std::array<char, 160> text{};
};

// ---- frames
// ------------------------------------------------------------------------------------------------------

enum class FrameKind : uint8_t {
  kControl,    // payload of one control record, to or from `link`
  kHandshake,  // one whole handshake datagram, header included, to or from `address`
};

// The largest handshake or control payload. A control segment with its overhead fits the smallest MTU the
// mesh accepts (1280, RFC 8200: 1280 - 48 - 36 = 1196).
inline constexpr uint32_t kMaxFrameBytes = 1196;

struct Frame {
  // The bytes stay unwritten: a ring of frames costs memory when it is used.
  Frame() noexcept {}

  FrameKind kind = FrameKind::kControl;
  LinkId link = 0;
  // Control: the session it came on, or goes out on, by its receive index at core 0 (or the core it came to).
  // A session may have been replaced while the frame lay in the ring, and its slot have another holder.
  uint32_t session_index = 0;
  UdpAddress address{};
  uint16_t length = 0;
  std::array<uint8_t, kMaxFrameBytes> bytes;
};

}  // namespace trunkline::relay
