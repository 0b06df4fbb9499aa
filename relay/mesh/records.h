// The records of the mesh state machine and how they hang together. All live in slabs (relay/mesh/slab.h) and
// refer to each other by index; what each may do is in the file named beside it.
//
//   Track ---- locations   who is said to have it                        locations.cc
//     |------- publication we have it: flow, generation, downstream      publish.cc
//     |             `----- serves: peers that get it from us             serve.cc
//     |------- waiters     local subscribers, each with its own deadline acquire.cc
//     `------- asks        requests to peers; one may become the         search.cc
//                          subscription that feeds all waiters
//
// A track has a record while any of these exists, or a negative answer about it is remembered.
#pragma once

#include <cstdint>

#include "relay/mesh/labels.h"
#include "relay/mesh/mesh_node.h"
#include "relay/mesh/messages.h"
#include "relay/mesh/slab.h"

namespace trunkline::relay::mesh {

inline constexpr LinkId kNoLink = UINT16_MAX;
inline constexpr uint16_t kNoEgress = UINT16_MAX;

// How a search ended, or would end if it ended now.
struct Verdict {
  Outcome outcome = Outcome::not_here;
  bool authoritative = false;
  LinkId link = kNoLink;  // the peer that said so, or that could not be asked
};

// "Node `link` has the track": announced by it, or hinted by configuration or host (generation 0).
struct Location {
  uint32_t track = kNil;
  LinkId link = kNoLink;
  bool hint = false;
  TrafficClass traffic_class = TrafficClass::kRest;
  uint64_t generation = 0;
  uint64_t incarnation = 0;  // of the announcing session
  uint32_t view = 0;         // the link's view in which it was last said; older than valid: dead
  Hook of_track, of_link;
};

enum class Phase : uint8_t {
  kQuiet,        // nobody waits, or all waiters have what they want
  kSearching,    // asking peers
  kConcluding,   // the verdict is being told to the waiters
  kRendezvous,   // nobody has it; some waiters wait for an announcement
  kWatching,     // a peer said OK and flowing; its first packet is awaited
  kEstablished,  // fed by a peer
};

struct Track {
  core::TrackId id{};
  bool in_use = false;
  ListHead locations;
  uint64_t highest_generation = 0;
  uint32_t publication = kNil;

  Phase phase = Phase::kQuiet;
  bool everyone = false;  // the search has gone beyond the named candidates
  bool news = false;      // a location came while the verdict was being told
  bool flowing = false;   // media arrived since the subscription began
  ListHead waiters;
  uint32_t pending = 0;      // waiters without an outcome
  uint32_t settle_left = 0;  // waiters that have not yet been shown the present state
  ListHead asks;
  uint32_t winner = kNil;         // the ask that was answered OK
  bool winner_over = false;       // ... and has been ended by the peer since
  uint32_t fed_waiters = 0;       // waiters with an output on `flow`
  Flow flow;                      // where media is to go; while asking or fed
  Outcome ended = Outcome::gone;  // why the last subscription ended
  Verdict verdict;
  Nanos search_deadline{};  // the latest of the waiters'
  Nanos watch_until{};      // kWatching
  Nanos negative_until{};   // the verdict is remembered until then
  uint32_t asked = 0;       // requests sent in this search
  uint64_t generation = 0;  // of what feeds us
  uint16_t descriptor_bytes = 0;
  Hook dirty;  // to be looked at in this or the next step
};

enum class PublicationState : uint8_t { kOpening, kLive, kGone };

struct Publication {
  uint32_t track = kNil;
  PublicationState state = PublicationState::kOpening;
  uint16_t queue = 0;
  uint64_t handle = 0;
  uint64_t generation = 0;
  TrafficClass traffic_class = TrafficClass::kRest;
  bool flowing = false;
  Flow flow;
  UdpAddress address{};  // of an ingest tap
  ListHead serves;
  uint16_t descriptor_bytes = 0;
  Nanos too_big_at{};  // when kTooBig was last told
  Hook changes;        // all publications, the most recently changed last
  Hook gone;           // tombstones, oldest first
};

enum class FedBy : uint8_t { kNobody, kLocal, kPeer };

// A local subscriber: an acquire until its outcome, an acquisition after OK.
struct Waiter {
  uint32_t track = kNil;
  uint16_t queue = 0;
  uint64_t handle = 0;
  Nanos submitted{};
  Nanos deadline{};
  Nanos rendezvous_until{};
  bool told = false;  // its outcome (OK) was reported
  FedBy fed_by = FedBy::kNobody;
  Flow flow;  // that it has an output on
  bool egress = false;
  UdpAddress to{};
  uint16_t egress_index = kNoEgress;
  Hook of_track;
};

enum class AskState : uint8_t {
  kWaiting,   // sent or about to be
  kBusy,      // to be sent again at `until`
  kNegative,  // answered: `outcome`
  kOk,        // answered OK: the winner
};

// Our request to one peer for one track.
struct Ask {
  uint64_t id = 0;  // serial number and slab index: an answer finds it by array look-up
  uint32_t track = kNil;
  core::TrackId track_id{};
  LinkId link = kNoLink;
  AskState state = AskState::kWaiting;
  Outcome outcome = Outcome::ok;
  bool named = false;          // asked because it announced the track
  bool authoritative = false;  // a negative of whom we believed to be the publisher
  bool releasing = false;      // in the link's releases, not in its asks
  uint32_t sent_session = 0;   // the link's session it was last sent in; 0: never
  uint64_t incarnation = 0;    // of the peer, when it answered OK
  Nanos until{};               // kWaiting: the attempt's end; kBusy: when to ask again
  Label label{};               // ours
  CoreId core{};
  Label feedback_label{};  // the peer's
  CoreId feedback_core{};
  bool flowing = false;
  uint64_t generation = 0;
  Hook of_track, of_link;
};

enum class ServeState : uint8_t {
  kNegative,  // answer `outcome`, then forget
  kAdd,       // put the output in place, then answer OK
  kServed,    // answered OK
  kEnded,     // tell Ended, then forget
  kRemove,    // take the output away, then forget
};

// A peer's request to us, while it is in hand or being served.
struct Serve {
  LinkId link = kNoLink;
  ServeState state = ServeState::kNegative;
  bool has_output = false;
  Outcome outcome = Outcome::not_here;
  uint64_t id = 0;
  core::TrackId track{};
  Label label{};
  CoreId core{};
  uint32_t publication = kNil;
  uint64_t generation = 0;  // kNegative, kEnded: what to say
  uint32_t view = 0;        // the link's view in which it was last asked for
  Flow flow;                // that the output is on
  Hook of_publication, of_link, queue;
};

}  // namespace trunkline::relay::mesh
