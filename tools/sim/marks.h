// Marks: situations that a long run must have met, each by name. "Sometimes" is as much a promise as "never":
// a simulation that never refuses a stale label proves nothing about stale labels.
//
// The idea (Antithesis' "sometimes" assertions): a list of situations; every one is counted where it is seen;
// a batch of seeds that is long enough and has missed one fails and names it. Three sources, three lists:
//
//   what the nodes count        a counter of the mesh, by its name
//   what the packet path drops  a drop reason, by its name
//   what the auditor sees       said by the auditor, who knows the truth on all nodes at once
//
// One thread per set; sets of several threads add up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "relay/drop_reason.h"
#include "relay/mesh/mesh_node.h"
#include "tools/sim/marks_seen.h"

namespace trunkline::sim {

// clang-format off
// Counters of the mesh whose growth is a situation of its own. control_rejected is none: what does not parse
// comes of a peer that holds keys and lies (tests/relay/mesh/sealed_insider_test.cc), and none does here.
#define TRUNKLINE_SIM_COUNTER_MARKS(X)                                                                   \
  X(requests_repeated,     "a request came that was already in hand")                                    \
  X(answers_late,          "an answer came after its acquire had ended")                                 \
  X(announcements_sent,    "tracks were announced")                                                      \
  X(handshakes_ignored,    "a handshake datagram came out of order, or damaged")                         \
  X(links_up,              "a link came up")                                                             \
  X(links_down,            "a link went down")                                                           \
  X(control_repeats,       "a control segment was sent again")                                           \
  X(control_duplicates,    "a control segment came twice")                                               \
  /* over hops */                                                                                        \
  X(pendings_sent,         "a node asked further for a peer, and said so")                               \
  X(pendings_received,     "a node was told that it is asked further for it")                            \
  X(redirects_followed,    "an answer that named another node or generation was followed")               \
  X(relays_asked,          "a peer was asked to ask further")                                            \
  X(requests_relayed,      "a request of a peer was passed on")                                          \
  X(requests_expired,      "a request's budget was over before its turn came")                           \
  X(requests_looped,       "a request came back to a node that it had passed")                           \
  X(feeds_looped,          "a feed ended because its way came to pass the node that it feeds")           \
  X(answers_fenced,        "an OK was refused: older than what is known, or media in a circle")          \
  /* retries, memory, ejection */                                                                        \
  X(retries,               "a request was repeated because its answer was late or BUSY")                 \
  X(retries_refused,       "the retry budget refused a repetition")                                      \
  X(negatives_cached,      "a search ended with what was remembered")                                    \
  X(peers_ejected,         "a peer was ejected for its outcomes")                                        \
  X(peers_returned,        "an ejected peer came back")                                                  \
  X(ejections_capped,      "a peer was not ejected because a third of the peers were")                   \
  /* feeds and leases */                                                                                 \
  X(stalls,                "a feed that was said to flow did not")                                       \
  X(feeds_replaced,        "a feed got another source without its subscribers' knowledge")               \
  X(feeds_superseded,      "a newer generation elsewhere ended a feed or a publication")                 \
  X(leases_over,           "a peer's silence outlasted its lease")                                       \
  X(handshakes_refused,    "a handshake was refused for a setting or a version")                         \
  X(rekeys,                "a session was replaced for the age of its keys")                             \
  X(table_full,            "the track table was full")                                                   \
  X(labels_resting,        "every free label still rested")

// Drops of the packet path.
#define TRUNKLINE_SIM_DROP_MARKS(X)                                                                      \
  X(bad_version,           "a datagram of another wire version was dropped")                             \
  X(bad_type,              "a datagram of no known type was dropped")                                    \
  X(no_session,            "a datagram for a session that is over was dropped")                          \
  X(wrong_core,            "a datagram for a core that is not there was dropped")                        \
  X(bad_lane,              "a datagram of a lane that its peer lacks was dropped")                       \
  X(not_authentic,         "a damaged datagram was dropped")                                             \
  X(replayed,              "a datagram that came twice was dropped")                                     \
  X(no_route,              "media on a label that stands for nothing was dropped")                       \
  X(stale_label,           "media on a label of an older generation was dropped")                        \
  X(foreign_label,         "media on a label of another link was dropped")                               \
  X(no_output,             "media that nobody wants any more was dropped")                               \
  X(queue_full,            "a host's full queue cost a packet")                                          \
  X(link_gone,             "media found that its output's link had no session")
// clang-format on

enum class Mark : uint32_t {
#define X(name, text) counted_##name,
  TRUNKLINE_SIM_COUNTER_MARKS(X)
#undef X
#define X(name, text) dropped_##name,
      TRUNKLINE_SIM_DROP_MARKS(X)
#undef X
#define X(name, text) name,
          TRUNKLINE_SIM_SEEN_MARKS(X)
#undef X
              kCount
};
inline constexpr uint32_t kMarks = static_cast<uint32_t>(Mark::kCount);
static_assert(kMarks >= 80);

const char* mark_name(Mark mark);
const char* mark_text(Mark mark);

class Marks {
 public:
  void hit(Mark mark, uint64_t times = 1) { counts_[static_cast<size_t>(mark)] += times; }
  uint64_t count(Mark mark) const { return counts_[static_cast<size_t>(mark)]; }
  // What a node counted in its life, at the end of it.
  void collect(const relay::MeshCounters& counters);
  void collect(const relay::DropCounters& drops);
  void add(const Marks& other);
  std::vector<Mark> missed() const;

 private:
  std::array<uint64_t, kMarks> counts_{};
};

}  // namespace trunkline::sim
