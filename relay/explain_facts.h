// Questions that the judgement and the wording of an explanation both ask of its facts. For relay/explain*.cc
// only.
#pragma once

#include "relay/explain.h"

namespace trunkline::relay {

// As long as a data core waits before it calls a flow idle: a publisher that sends, sends more often.
inline constexpr Nanos kFlowing = core::from_s(1);
// Over a link that is down: five audio packets, and less than the shortest silence by which a link is called
// down.
inline constexpr Nanos kProvesFlowing = core::from_ms(100);

// Who was asked in the present search; if there was none since the record was made, in that of the last
// acquire.
struct Requests {
  std::span<const Attempt> attempts{};
  uint32_t peers = 0;    // asked in all
  uint32_t without = 0;  // of those: who said NOT_HERE or GONE
};
Requests requests(const Explanation& e);

// nullptr: there is none, or it is not among those that the explanation shows.
const PeerView* find_peer(const Explanation& e, core::NodeId node);
const PeerView* find_refused(const Explanation& e);
const Attempt* find_attempt(const Explanation& e, core::NodeId node);

Nanos last_answer(const Explanation& e);    // when the newest answer came; < 0: none
bool is_wanted(const Explanation& e);       // somebody here waits for an outcome
bool packets_arrive(const Explanation& e);  // as the data core says, or, before it has, as the mesh knows

}  // namespace trunkline::relay
