// The situations that the auditor itself sees, because it knows the truth on all nodes at once (marks.h).
#pragma once

// clang-format off
// What the auditor sees.
#define TRUNKLINE_SIM_SEEN_MARKS(X)                                                                      \
  /* acquires */                                                                                         \
  X(ok_local,              "a subscriber and its publisher were on one node")                            \
  X(ok_joined,             "an acquire was served by what an earlier one had brought")                   \
  X(ok_muted,              "a track was acquired whose publisher was silent")                            \
  X(ok_flowing,            "a track was acquired whose media was flowing")                               \
  X(ok_second,             "the second peer that was asked had it")                                      \
  X(ok_after_many,         "the fourth or a later request had it")                                       \
  X(ok_near_deadline,      "an OK came in the last tenth of its time")                                   \
  X(ok_published_later,    "a track was acquired that was published after it was asked for")             \
  X(ok_superseded,         "an OK named a publication that had a younger one by then")                   \
  X(outlived_leader,       "a waiter got the track after one that had asked before it got nothing")      \
  X(crowd,                 "ten subscribers of one node waited for one track at once")                   \
  X(negative_cached,       "a denial was answered from memory")                                          \
  X(negative_by_all,       "everybody denied")                                                           \
  X(negative_by_owner,     "the named owner itself denied")                                              \
  X(ended_at_deadline,     "an acquire ended in the tick of its deadline")                               \
  X(ended_after_pause,     "an acquire fell due while its node stood still")                             \
  X(asked_while_cut_off,   "a node asked that could reach nobody")                                       \
  X(cancelled_early,       "an acquire was released before it had an answer")                            \
  X(released_fed,          "a subscriber that was fed let go")                                           \
  X(lost_with_crash,       "a node crashed with acquires open")                                          \
  X(ended_gone,            "a subscription ended because its track went")                                \
  X(ended_link_down,       "a subscription ended because its link went")                                 \
  X(ended_moved,           "a subscription ended because a newer publication had appeared elsewhere")    \
  X(ok_while_draining,     "a track was acquired while its publisher drained")                           \
  X(ok_over_hops,          "an OK named a publisher that the asking node had no link to")                \
  /* media */                                                                                            \
  X(media_lost,            "a subscriber missed a packet")                                               \
  X(media_while_down,      "media came over a link that was down")                                       \
  X(media_resumed,         "media came again after a second of silence")                                 \
  /* publications */                                                                                     \
  X(published_twice,       "two nodes published one track at once")                                      \
  X(republished,           "a node published a track again")                                             \
  X(published_elsewhere,   "a track moved to another node")                                              \
  X(crashed_publishing,    "a node crashed with its tracks published")                                   \
  /* links and nodes */                                                                                  \
  X(half_open,             "one end of a link said up, the other did not")                               \
  X(link_again,            "a link came back by itself")                                                 \
  X(link_flapped,          "a link went down four times in one life of its node")                        \
  X(isolated,              "a node had no link up, long after its start")                                \
  X(reborn,                "a node started again with a younger incarnation")                            \
  X(reborn_unnoticed,      "a node was back before its peers had missed it")                             \
  X(woke_a_stranger,       "a node went on after its peers had given it up")                             \
  /* the mesh as a whole */                                                                              \
  X(relayed,               "media came by way of a third node")                                          \
  X(relayed_far,           "media came by way of two nodes or more")                                     \
  X(kept_waiting,          "a node held a peer's request until others had answered")                     \
  X(waited_in_a_row,       "a node waited for a node that itself waited for another")                    \
  X(source_changed,        "a node's feed came from another peer than a moment before")                  \
  X(epochs_apart,          "two nodes were fed one track by different generations of it")                \
  X(served_while_draining, "a node that drained went on serving")                                        \
  X(fed_many,              "a node was fed five tracks or more by its peers")                            \
  X(served_many,           "a node served one track to all others")                                      \
  X(waited_for_many,       "a node had five requests open at once")                                      \
  X(served_and_fed,        "a node was fed one track by the very node that it served another")            \
  /* keys */                                                                                             \
  X(stranger_cut,          "a stranger sent a part of a datagram")                                        \
  X(stranger_flipped,      "a stranger changed a bit")                                                    \
  X(stranger_noise,        "a stranger sent noise")                                                       \
  X(stranger_reflected,    "a stranger sent a datagram back to who had sent it")                          \
  X(stranger_counted,      "a stranger counted ahead of a sender")                                        \
  X(stranger_reindexed,    "a stranger sent a datagram to another session")                               \
  X(stranger_spliced,      "a stranger put two datagrams together")
// clang-format on
