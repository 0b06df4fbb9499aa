// How an acquire ends. Exactly one of these, at or before the deadline plus one timer tick; never silence.
// "Nobody answered" and "it is not there" are different things and are never confused.
#pragma once

#include <cstdint>

namespace trunkline::relay {

// clang-format off
// The numbers are on the wire (ANSWER) and in the ABI: append only.
#define TRUNKLINE_OUTCOMES(X)                                                                                    \
  X(ok,               0, "OK",               "the track is here; packets follow when its publisher sends")       \
  X(not_here,         1, "NOT_HERE",         "the asked node does not have the track")                           \
  X(moved,            2, "MOVED",            "another node has it")                                              \
  X(gone,             3, "GONE",             "it was published there, and is no longer")                         \
  X(stale_epoch,      4, "STALE_EPOCH",      "the location asked with is older than the publication")            \
  X(future_epoch,     5, "FUTURE_EPOCH",     "the location asked with is newer than what the node knows")        \
  X(loop,             6, "LOOP",             "the path already contains the asked node")                         \
  X(busy,             7, "BUSY",             "the asked node has no room for another request now")               \
  X(draining,         8, "DRAINING",         "the asked node is leaving")                                        \
  X(unsupported,      9, "UNSUPPORTED",      "no wire version or feature in common")                             \
  X(config_mismatch, 10, "CONFIG_MISMATCH",  "a wire-relevant setting differs")                                  \
  X(unauthorized,    11, "UNAUTHORIZED",     "not allowed")                                                      \
  X(deadline,        12, "DEADLINE",         "the asked node had to ask further and could not find out")      \
  X(internal,        13, "INTERNAL",         "the asked node met a defect of its own")                           \
  X(no_reply,        32, "NO_REPLY",         "asked, and nobody answered before the deadline")                   \
  X(link_down,       33, "LINK_DOWN",        "no link to the node that has it")                                  \
  X(cancelled,       34, "CANCELLED",        "released by the host before it ended")                             \
  X(local_limit,     35, "LOCAL_LIMIT",      "this node has no room for another acquire (limits.max_acquires)")  \
  X(stalled,         36, "STALLED",          "said to be flowing, and no packet came")
// clang-format on

enum class Outcome : uint8_t {
#define X(name, number, label, text) name = number,
  TRUNKLINE_OUTCOMES(X)
#undef X
};

inline constexpr uint32_t kOutcomeNumbers = 37;  // array size for counting by outcome

// "NOT_HERE"; "?" for a number that is none.
const char* outcome_name(Outcome) noexcept;
const char* outcome_text(Outcome) noexcept;

}  // namespace trunkline::relay
