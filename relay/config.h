// The configuration of a node, as values. relay/config_toml reads it from TOML; validate() checks what a type
// cannot. Fixed at start: memory follows from `limits`, the wire-relevant settings are compared with every
// peer.
//
// Wire-relevant settings have one current value and an accepted set. A link needs each side's current value
// in the other's accepted set, so a legitimate change is: accept everywhere, then use. Each wire version
// lists the settings it REQUIRES; they have no default, and a node whose configuration lacks one does not
// start (required_settings()).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.h"
#include "core/result.h"
#include "core/time.h"
#include "core/udp_address.h"
#include "io/device.h"
#include "relay/core_link.h"
#include "relay/wire_profile.h"

namespace trunkline::relay {

// One wire-relevant setting: what this node uses, and what it accepts from a peer (always includes
// `current`).
struct WireSetting {
  std::string name;     // "track_namespace", "mtu", "suite": the key under [wire]
  std::string current;  // canonical text
  std::vector<std::string> accepted;
};

struct PeerConfig {
  core::NodeId id{};
  std::string name;
  core::UdpAddress address{};  // of the peer's core 0
  bool serve = true;           // false: its requests are answered UNAUTHORIZED; it may still be asked
  std::optional<std::array<uint8_t, 32>> public_key{};  // X25519: what its certificate must be for
};

// Who this node is, and whom it believes: key files (relay/key_files.h). Needed by every suite that seals.
inline constexpr uint32_t kMaxAnchors = 2;  // so that a cluster's key is replaced without a gap
struct SecurityConfig {
  std::string secret;                // file of this node's secret key
  std::string certificate;           // file of its certificate
  std::vector<std::string> anchors;  // files of cluster keys that sign certificates
  std::vector<uint64_t> revoked;     // serials of certificates that are not believed any more
  std::string key_log{};             // file for the secrets of sessions (relay/key_log.h); empty: none
};

struct LocationHint {  // a static directory entry: "node `node` has `track`"
  core::TrackId track{};
  core::NodeId node{};
};

// Everything that has a size. The node's memory is a function of these (topology prints the sum).
struct NodeLimits {
  uint32_t max_peers = 32;
  uint32_t max_tracks = 16'384;    // tracks known here: published, announced by peers, being acquired
  uint32_t max_acquires = 16'384;  // waiters and subscriptions, all host queues together
  uint32_t max_requests = 8'192;   // requests of peers in hand
  uint32_t max_flows_per_core = 16'384;
  uint32_t max_outputs_per_core = 65'536;
  uint32_t max_egress_per_core = 4'096;
  uint32_t control_window = 64;      // control segments in flight per link and direction
  uint32_t queue_depth = 1'024;      // packets per host queue, core and direction (2 KiB each)
  uint32_t command_depth = 4'096;    // host commands in flight per host queue
  uint32_t core_ring_depth = 4'096;  // commands and events between mesh and one data core
  uint32_t frame_ring_depth = 1'024;
  uint32_t transmit_buffers = 256;  // 64 KiB runs per data core
  uint32_t handover_buffers =
      1'024;  // datagrams on their way from a data core to others, where there are several
};

// What the simulator and laboratory demonstrations may take away, one named rule at a time, to show what it
// is for: `[lab] without = ["deadlines"]`. Production configuration cannot reach this: it needs lab = true.
// clang-format off
#define TRUNKLINE_RULES(X)                                                                             \
  X(negative_answers,  "a peer that lacks the track says so")                                          \
  X(deadlines,         "an acquire ends by its deadline")                                              \
  X(own_deadlines,     "each waiter keeps its own deadline, whoever asked first")                      \
  X(required_settings, "a setting that the wire version requires must be there, and must agree")       \
  X(versions,          "peers without a wire version in common refuse each other")                     \
  X(loop_check,        "a request that has passed this node is refused, and passes so many nodes only") \
  X(media_watchdog,    "media that is said to flow and does not arrive counts as a failure")           \
  X(ejection,          "a peer that keeps failing is asked last, until a probe succeeds")              \
  X(retry_budget,      "repeated requests are a small share of first ones")                            \
  X(shed_expired,      "a request whose budget is over costs no work")                                 \
  X(epochs,            "what is older than what is known is not believed, nor forwarded")              \
  X(retry_links,       "a link that went down is tried again")                                         \
  X(down_keeps_media,  "a link that is down keeps its flows: media that gets through is forwarded")     \
  X(no_self_fencing,   "a node that loses all its links goes on serving what it publishes")            \
  X(never_blocks,      "nobody waits for a peer: a node that connects to one serves the others")       \
  X(peer_locations,    "peers say what they publish and are asked: no directory has to be there")      \
  X(rtt_timers,        "an attempt waits as long as its round trip takes, and a late answer counts")   \
  X(clock_set_back,    "a node whose clock was set back raises its incarnation above the known one")
// clang-format on

struct Rules {
#define X(name, text) bool name = true;
  TRUNKLINE_RULES(X)
#undef X
};

struct AcquireDefaults {
  Nanos deadline = core::from_ms(1'000);
  Nanos rendezvous = core::from_ms(0);
};

struct LinkTiming {  // design: links
  Nanos heartbeat = core::from_ms(50);
  Nanos probe = core::from_ms(10);
  Nanos down_after = core::from_ms(150);
  // A session's keys are replaced, while traffic flows, after so long, or so many datagrams on one lane. Half
  // of what a key of AES-GCM may protect (relay/sealed_suite.h): the other half is time enough to be late in.
  Nanos rekey = core::from_s(120);
  uint64_t rekey_datagrams = uint64_t{1} << 27;
  // What a data core keeps: a little less, so that after two losses in a row the third, and what it is late
  // by, still comes within down_after.
  constexpr Nanos beat() const { return heartbeat * 24 / 25; }
};

// A laboratory's impairment of what this node sends to one address (see io/wire_model.h for the meaning).
struct ImpairmentConfig {
  core::UdpAddress to{};  // port 0: every port of that host
  double delay_ms = 0;
  double jitter_ms = 0;
  double loss = 0;
  double burst_enter = 0, burst_leave = 1, burst_loss = 1;
  double duplicate = 0;
  double reorder = 0;
  double reorder_ms = 0;
  double corrupt = 0;
  uint64_t rate_bps = 0;
  uint32_t queue_bytes = 0;
  bool cut = false;
};

struct IngestConfig {
  std::string track;  // name
  core::UdpAddress listen{};
  TrafficClass traffic_class = TrafficClass::kRest;
  std::string codec;  // "opus" | "vp8" | "h264" | "" : goes into the descriptor
  uint32_t ssrc = 0;
  uint64_t generation = 0;
  core::UdpAddress from{};  // who is heard; family 0: anybody, port 0: any port of that host
};
struct EgressConfig {
  std::string track;
  core::UdpAddress to{};
  Nanos deadline{};  // 0: the default
  Nanos rendezvous{};
};

enum class IdleMode : uint8_t { kBusy, kAdaptive };
enum class PortChoice : uint8_t { kAuto, kMmsg, kUring, kDpdk };

struct NodeConfig {
  core::NodeId id{};
  std::string name;  // for people; at most 32 bytes
  std::string cluster;
  std::string region;
  std::string colour = "default";
  bool full_mesh = true;  // every node is a peer of every other; else tracks are also sought over hops
  bool lab = false;       // needed by: the null suite, impairments, rules
  // What this build speaks, and which of it is offered. Outlives the configuration.
  const WireProfile* profile = &production_profile();
  uint8_t wire_version_min = 1;
  uint8_t wire_version_max = 1;

  core::UdpAddress listen{};  // core 0; core k listens on port + k (port 0: the kernel chooses each)
  uint32_t data_cores = 1;
  std::vector<int> pin;  // CPUs of the data cores; empty: not pinned
  PortChoice port = PortChoice::kAuto;
  io::DeviceOptions device;  // kDpdk: [dpdk]; its queues and MTU are data_cores and mtu
  IdleMode idle = IdleMode::kAdaptive;
  Nanos idle_bound = core::from_us(250);  // adaptive: the longest sleep while traffic flows
  Nanos bundle_wait = core::from_us(0);   // audio may wait this long for company; at most 1000 us

  std::vector<WireSetting> wire;  // required and optional settings that were given
  uint32_t mtu = 1500;            // the value of wire.mtu: bytes of an IP packet

  AcquireDefaults acquire;
  LinkTiming link;
  NodeLimits limits;
  Rules rules;
  SecurityConfig security;
  std::vector<PeerConfig> peers;
  std::vector<LocationHint> locations;
  std::vector<IngestConfig> ingest;
  std::vector<EgressConfig> egress;
  std::vector<ImpairmentConfig> impairments;
  uint64_t impairment_seed = 1;
  std::string admin_socket;  // path; empty: none
  uint32_t host_queues = 4;

  const WireSetting* find_setting(std::string_view setting) const;
};

// The settings that `wire_version` requires: names under [wire]; none for a version that the profile lacks.
const std::vector<std::string>& required_settings(uint8_t wire_version,
                                                  const WireProfile& profile = production_profile());

// Everything that a single value cannot say: required settings, ranges, duplicate ids, the null suite outside
// a laboratory. The error names the key, what is wrong and what to do.
core::Result<void> validate(const NodeConfig& config);

// TrackId of a name: BLAKE2b-128 of the name, keyed with the namespace (RFC 7693 through libsodium's
// crypto_generichash). Nodes whose namespaces differ mean different tracks by the same name, which is why
// wire.track_namespace is compared before a link comes up. Test vectors: docs/protocol.md.
core::TrackId track_id(std::string_view track_namespace, std::string_view name);

}  // namespace trunkline::relay
