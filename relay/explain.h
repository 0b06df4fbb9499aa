// Why does this track flow on this node, or why not? The facts, the one cause among them, and the words.
//
// The idea: MeshNode only collects what it knows about a track into an Explanation (plain values, relay/mesh/
// explain.cc), the data core that owns the track adds its packets, and everything that judges or formats is a
// pure function of that value: find_reason() decides, first_line() says it in one sentence, explain_text()
// and explain_json() show what it rests on. So every cause has a row in a table of tests.
//
// An Explanation travels by value through a ring from the mesh thread to whoever asked (relay/question.h).
// Nothing here is shared; the functions allocate and belong to the asking thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/udp_address.h"
#include "relay/core_link.h"
#include "relay/mesh/flight_recorder.h"
#include "relay/mesh/mesh_node.h"

namespace trunkline::relay {

// ---- the facts

// A peer that has something to do with the track, or that could not be asked.
struct PeerView {
  LinkStatus link{};
  std::array<char, 33> name{};  // of the configuration
  Nanos heard{-1};              // its newest authenticated packet; < 0: none yet
  RoleText role_text{};         // why it, or this node, answered UNAUTHORIZED for a role
  bool deaf = false;            // it is heard, and says that it does not hear this node
  bool located = false;         // it is said to have the track
  bool hint = false;            // ... by configuration or host, not by itself
  bool told = false;            // ... by another peer (MOVED)
  uint64_t generation = 0;      // located: of what it announced
  uint64_t incarnation = 0;     // located: of itself, when it announced
};
inline constexpr uint32_t kPeersExplained = 12;

enum class SearchState : uint8_t {
  kQuiet,        // nobody waits
  kSearching,    // peers are being asked
  kRendezvous,   // nobody has it; an announcement is awaited
  kWatching,     // a peer says that media flows; its first packet is awaited
  kEstablished,  // a peer feeds it
};

enum class PublishedHere : uint8_t { kNo, kOpening, kLive, kGone };

// What the data core that owns the track says. `answered` is false until it has.
struct FlowFacts {
  bool open = false;  // there is a flow to ask about
  bool answered = false;
  CoreId core{};
  FlowId flow = 0;
  Label label{};
  uint64_t packets = 0, bytes = 0;
  Nanos last_packet{-1};  // < 0: none yet
  uint32_t outputs = 0;
};

struct Explanation {
  core::TrackId track{};
  Nanos now{};
  core::NodeId self{};
  MeshNode::Draining draining{};

  PublishedHere published = PublishedHere::kNo;
  uint64_t generation = 0;       // of the publication, or of what feeds it; 0: neither
  bool publisher_sends = false;  // kLive: its data core sees packets
  UdpAddress tap{};              // of an ingest tap; family 0: none
  uint32_t served = 0;           // peers that get it from here
  uint32_t asking_for = 0;       // peers on whose behalf this node asks further

  SearchState search = SearchState::kQuiet;
  uint32_t waiters = 0, waiting = 0, fed = 0;  // local subscribers; without an outcome; with an output
  Nanos deadline{};                            // kSearching, kRendezvous: the latest waiter's
  core::NodeId feed{};                         // kWatching, kEstablished: the peer
  bool replacing = false;                      // ... which is silent: another feed is looked for behind it
  bool said_flowing = false;                   // ... what it said when it answered OK
  uint32_t path_length = 0;                    // nodes from the publisher to `feed`; 0: not known
  std::array<core::NodeId, 8> path{};
  FlowFacts flow{};

  // The peers, those that matter most first: who is named (newest epoch first), who feeds, who was asked, who
  // cannot be asked.
  uint32_t peers = 0, peers_up = 0, peers_refused = 0;
  uint32_t peer_count = 0;
  std::array<PeerView, kPeersExplained> peer{};

  AttemptLog attempts{};  // of the present or last search

  uint32_t flight_count = 0;  // the newest first
  std::array<Flight, 4> flight{};

  std::span<const PeerView> shown_peers() const { return std::span(peer).first(peer_count); }
  std::span<const Flight> flights() const { return std::span(flight).first(flight_count); }
};

// ---- the cause

// clang-format off
#define TRUNKLINE_CAUSES(X)                                                                            \
  X(flows,          "FLOWS",          "packets arrive from a peer")                                    \
  X(flows_here,     "FLOWS_HERE",     "published on this node, and packets arrive")                    \
  X(muted,          "MUTED",          "a peer serves it, and its publisher sends nothing")             \
  X(muted_here,     "MUTED_HERE",     "published on this node, and the publisher sends nothing")       \
  X(opening,        "OPENING",        "being published: its source is not open yet")                   \
  X(starting,       "STARTING",       "a peer said OK; the first packet is awaited")                   \
  X(feed_cut,       "FEED_CUT",       "fed by, or by way of, a peer whose link is down")                \
  X(refused,        "REFUSED",        "a peer and this node refuse each other for a setting")          \
  X(link_down,      "LINK_DOWN",      "the link to who has it is down")                                \
  X(isolated,       "ISOLATED",       "no peer can be asked: all links are down")                      \
  X(ejected,        "EJECTED",        "who has it failed too often and is asked on trial only")        \
  X(silent,         "SILENT",         "a peer was asked and does not answer")                          \
  X(asking,         "ASKING",         "peers were asked a moment ago")                                 \
  X(pending,        "PENDING",        "a peer asks further on behalf of this node")                    \
  X(absent,         "ABSENT",         "everybody was asked, and nobody has it")                        \
  X(partly_absent,  "PARTLY_ABSENT",  "nobody who could be asked has it; others could not be asked")   \
  X(gone,           "GONE",           "it was published, and is no longer")                            \
  X(draining,       "DRAINING",       "who has it is leaving, and takes no new subscribers")           \
  X(busy,           "BUSY",           "who has it has no room")                                        \
  X(unauthorized,   "UNAUTHORIZED",   "who has it does not serve this node")                           \
  X(epoch,          "EPOCH",          "this node and a peer know different publications of it")        \
  X(loop,           "LOOP",           "the ways that are left lead in a circle")                       \
  X(stalled,        "STALLED",        "said to flow, and no packet came")                              \
  X(upstream_late,  "UPSTREAM_LATE",  "a relay ran out of its budget while it asked further")          \
  X(failed,         "FAILED",         "a node met a defect, or refused for a reason of its own")       \
  X(local_limit,    "LOCAL_LIMIT",    "this node has no room")                                         \
  X(not_wanted,     "NOT_WANTED",     "it is there, and nobody on this node asks for it")              \
  X(unknown,        "UNKNOWN",        "nobody announces it, and nobody here has asked for it")         \
  X(no_peers,       "NO_PEERS",       "not published here, and this node has no peers")
// clang-format on

enum class Cause : uint8_t {
#define X(name, label, text) name,
  TRUNKLINE_CAUSES(X)
#undef X
      kCount
};
const char* cause_name(Cause) noexcept;  // "LINK_DOWN"
const char* cause_text(Cause) noexcept;

struct Reason {
  Cause cause = Cause::unknown;
  core::NodeId node{};            // whom it is about; 0: nobody, or everybody
  Outcome outcome = Outcome::ok;  // what `node` answered, where that is the cause
};
Reason find_reason(const Explanation& e);

// ---- the words

// "track 'cam' does not flow: node 3 refuses this node: wire.track_namespace: mine 'prod', theirs 'staging'".
// `name` may be empty: then the track is called by its id. No newline.
std::string first_line(const Explanation& e, std::string_view name);
// One sentence: what the operator should look at or do.
std::string next_step(const Explanation& e);
// The first line, a blank one, and what it rests on, a row per fact. Ends with a newline.
std::string explain_text(const Explanation& e, std::string_view name);
// The same as one JSON object.
std::string explain_json(const Explanation& e, std::string_view name);

// One acquire as one JSON object, times relative to `now`; and as one line for people. No newline.
std::string flight_json(const Flight& flight, Nanos now);
std::string flight_text(const Flight& flight, Nanos now);

// "0.4 ms", "12 ms", "3.2 s", "45 s", "12 min", "3 h": two digits that matter.
std::string duration_text(Nanos span);

}  // namespace trunkline::relay
