// The records of the mesh state machine and how they hang together. All live in slabs (relay/mesh/slab.h) and
// refer to each other by index; what each may do is in the file named beside it.
//
//   Track ---- locations   who is said to have it                        locations.cc
//     |------- publication we have it: flow, generation                  publish.cc
//     |------- waiters     local subscribers, each with its own deadline acquire.cc
//     |------- asks        requests to peers                             search.cc, candidates.cc, answers.cc
//     |------- feed        the ask that was accepted: it feeds all       feed.cc
//     `------- serves      peers that get it from us, or wait for it     serve.cc
//
// A track has a record while any of these exists, or a negative answer about it is remembered.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "relay/certificate.h"
#include "relay/mesh/labels.h"
#include "relay/mesh/mesh_node.h"
#include "relay/mesh/messages.h"
#include "relay/mesh/slab.h"

namespace trunkline::relay::mesh {

inline constexpr LinkId kNoLink = UINT16_MAX;
inline constexpr uint16_t kNoEgress = UINT16_MAX;

// Whether a request, or media, has come through `node`.
inline bool passes(std::span<const core::NodeId> path, core::NodeId node) {
  return std::find(path.begin(), path.end(), node) != path.end();
}

// How a search ended, or would end if it ended now.
struct Verdict {
  Outcome outcome = Outcome::not_here;
  bool authoritative = false;
  LinkId link = kNoLink;  // the peer that said so, or that could not be asked
};

// The role that the certificate of `node` has not: what an UNAUTHORIZED is about. Node 0: of something else.
struct Lack {
  core::NodeId node{};
  Role role = Role::kRelay;
};

// "Node `link` has the track": announced by it, hinted by configuration or host (generation 0), or told by a
// peer that answered MOVED (until the search ends).
struct Location {
  uint32_t track = kNil;
  LinkId link = kNoLink;
  bool hint = false;  // not its own word
  bool told = false;  // ... but a peer's
  TrafficClass traffic_class = TrafficClass::kRest;
  uint64_t generation = 0;
  uint64_t incarnation = 0;  // of the announcing session
  uint32_t view = 0;         // the link's view in which it was last said; older than valid: dead
  Hook of_track, of_link;
};

// The search: whether somebody is being asked.
enum class Phase : uint8_t {
  kQuiet,       // nobody waits, or all waiters have what they want
  kSearching,   // asking peers
  kConcluding,  // the verdict is being told to the waiters
  kRendezvous,  // nobody has it; some waiters wait for an announcement
};

// The feed: whether a peer sends us the track. Independent of the search: while a feed's link is silent, a
// search for another one goes on behind it.
enum class FeedState : uint8_t {
  kNone,
  kWatching,     // a peer said OK and flowing; its first packet is awaited
  kEstablished,  // media came, or the track is muted
};

struct Track {
  core::TrackId id{};
  ListHead locations;
  uint64_t highest_generation = 0;
  uint32_t publication = kNil;
  uint32_t version = 0;  // counts what was learned about its locations

  // ---- waiters (acquire.cc)
  ListHead waiters;
  uint32_t pending = 0;      // waiters without an outcome
  uint32_t settle_left = 0;  // waiters that have not yet been shown the present state

  // ---- search (search.cc, candidates.cc)
  Phase phase = Phase::kQuiet;
  bool news = false;      // a location came while the verdict was being told
  uint8_t redirects = 0;  // MOVED, STALE_EPOCH and the like that were followed
  uint8_t relays = 0;     // peers asked to ask further
  ListHead asks;
  uint32_t winner = kNil;  // the ask that was answered OK, to be accepted
  Verdict verdict;
  Nanos search_deadline{};        // the latest of those who wait
  Nanos joined{};                 // when the youngest of them came
  Nanos search_began{};           // its first round, or the present one: forget_old_answers
  Nanos negative_until{};         // the verdict is remembered until then
  uint32_t negative_version = 0;  // ... if nothing was learned since
  Nanos replace_at{};             // a search behind a feed may begin from here on
  uint32_t asked = 0;             // requests sent in this search

  // ---- feed (feed.cc)
  Flow flow;  // where media is to go; while asking or fed
  FeedState feed_state = FeedState::kNone;
  uint32_t feed = kNil;                       // the ask that feeds us
  bool feed_over = false;                     // ... and has been ended since, for the reason in `ended`
  bool media = false;                         // it arrives
  bool idle_while_flowing = false;            // it should and does not, or cannot: its way is too long
  bool doubted = false;                       // who it comes through asks where else it is
  uint32_t fed_waiters = 0;                   // waiters with an output on `flow`
  uint32_t fed_serves = 0;                    // peers with one
  Nanos watch_until{};                        // media must have come by then; 0: nothing is awaited
  uint64_t generation = 0;                    // of what feeds us
  Outcome ended = Outcome::gone;              // why the last feed ended
  core::NodeId ended_by{};                    // MOVED: who has it now
  std::array<core::NodeId, kMaxPath> path{};  // of the feed: the publisher first, who feeds us last
  uint8_t path_length = 0;
  uint16_t descriptor_bytes = 0;

  // ---- peers that want it from us (serve.cc)
  ListHead serves;
  uint32_t waiting_serves = 0;  // those for which we ask further

  Hook dirty;  // to be looked at in this or the next step

  std::span<const core::NodeId> feed_path() const { return {path.data(), path_length}; }
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
  bool buries = false;  // the tombstone of a former one, of which not everybody had heard
  Flow flow;
  UdpAddress address{};  // of an ingest tap
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
  kOk,        // answered OK: the winner, or the feed
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
  bool blamed = false;         // its silence was counted against the peer
  bool was_busy = false;       // it answered, and asked to be asked again
  bool pending = false;        // the peer asks further, and said so
  bool probe = false;          // of an ejected peer that is half open
  bool queued = false;         // not sent yet, or to be sent again
  bool passed = false;         // sent for a peer whose question had passed there already
  uint8_t hop_limit = 0;
  uint8_t tries = 0;                 // attempts whose time is over, and answers that said "later"
  uint32_t sent_session = 0;         // the link's session it was last sent in; 0: never
  uint64_t believed = 0;             // the generation that STALE_EPOCH told; 0: what the locations say
  uint64_t incarnation = 0;          // of the peer, when it answered OK
  core::NodeId moved_to{};           // kNegative, MOVED
  uint64_t moved_generation = 0;     // that is announced there; 0: the peer was told so, and does not know
  Nanos until{};                     // kWaiting: the attempt's end; kBusy: when to ask again
  Nanos promised_at{};               // a feed's, and what is remembered of one that stalled: its yes
  Nanos alone_until{};               // hop_limit > 0: no other peer is to ask as well
  Nanos asked_until = core::kNever;  // the soonest deadline that a copy's budget was computed from
  Label label{};                     // ours
  CoreId core{};
  Label feedback_label{};  // the peer's
  CoreId feedback_core{};
  bool flowing = false;
  uint64_t generation = 0;
  std::array<core::NodeId, kMaxPath> path{};  // kOk
  uint8_t path_length = 0;
  Hook of_track, of_link;

  // It may still be answered.
  bool open() const { return state == AskState::kWaiting || state == AskState::kBusy; }
  // A no for the sake of the peer that it was sent for: it says nothing to others.
  bool looped_for_peer() const { return state == AskState::kNegative && outcome == Outcome::loop && passed; }
};

enum class ServeState : uint8_t {
  kNegative,  // answer `outcome`, then forget
  kWaiting,   // we ask further: PENDING now and then
  kAdd,       // put the output in place, then answer OK; or answer OK again
  kServed,    // answered OK
  kEnded,     // tell Ended, then forget
  kRemove,    // take the output away, then forget
};

// A peer's request to us, while it is in hand or being served.
struct Serve {
  LinkId link = kNoLink;
  ServeState state = ServeState::kNegative;
  bool has_output = false;
  bool told_ok = false;
  bool carried = false;  // from a feed rather than from a publication
  Outcome outcome = Outcome::not_here;
  bool authoritative = false;
  uint64_t id = 0;
  core::TrackId track_id{};
  uint32_t track = kNil;  // in whose list it is
  Label label{};
  CoreId core{};
  uint8_t hop_limit = 0;
  uint64_t believed = 0;                      // the generation that it was asked for with; 0: any
  Nanos deadline{};                           // the asker's budget
  Nanos renew_at{};                           // kWaiting: PENDING is due
  uint64_t generation = 0;                    // kNegative, kEnded: what to say
  core::NodeId node{};                        // MOVED, DRAINING: whom to name
  Lack lack{};                                // UNAUTHORIZED: the role
  uint32_t view = 0;                          // the link's view in which it was last asked for
  Flow flow;                                  // that the output is on
  std::array<core::NodeId, kMaxPath> path{};  // of the request
  uint8_t path_length = 0;
  Hook of_track, of_link, queue;

  std::span<const core::NodeId> request_path() const { return {path.data(), path_length}; }
};

}  // namespace trunkline::relay::mesh
