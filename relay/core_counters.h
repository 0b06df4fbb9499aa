// What a data core has done, in numbers: one list that makes the enum, the name and the sentence for an
// operator. Drops have a list of their own (relay/drop_reason.h). Written by the core, read from any thread.
//
// Accounting holds both lists and the sum that must always come out (see PacketPath):
//   received == forwarded + all drops + held
// and the clock that says which stage took how long.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/counters.h"
#include "relay/drop_reason.h"
#include "relay/stage_clock.h"

namespace trunkline::relay {

// clang-format off
#define TRUNKLINE_CORE_COUNTERS(X)                                                                    \
  X(units_received,      "units received: see received = forwarded + drops + held")                   \
  X(units_forwarded,     "units delivered: taken by a port, a host queue, or the mesh thread")        \
  X(datagrams_opened,    "mesh datagrams that were authentic and new")                                \
  X(handed_over,         "mesh datagrams that arrived here and were handed to the core that they belong to") \
  X(handed_over_bytes,   "bytes of those, each copied once more for it")                              \
  X(taken_over,          "mesh datagrams that other cores handed to this one")                        \
  X(records_in,          "records in those datagrams")                                                \
  X(media_in,            "media records and edge packets that found their flow")                      \
  X(media_bytes_in,      "payload bytes of those")                                                    \
  X(media_to_links,      "media records appended to datagrams for peers")                             \
  X(media_in_place,      "of these, packets that left in the frame that they had arrived in")           \
  X(media_to_queues,     "media packets copied into host queues")                                     \
  X(media_to_taps,       "media packets appended to runs for egress taps")                            \
  X(feedback_in,         "feedback records and RTCP from subscribers")                                \
  X(feedback_upstream,   "feedback sent towards a publisher")                                         \
  X(keyframe_requests,   "keyframe requests sent towards a publisher, ours after a drop included")    \
  X(nacks_upstream,      "sequence numbers asked for again, towards a publisher")                     \
  X(rtcp_downstream,     "publishers' RTCP (SR, SDES, BYE) passed on with their media")               \
  X(datagrams_sealed,    "mesh datagrams sealed")                                                     \
  X(runs_sent,           "transmit runs that the port took; datagrams / runs is the GSO gain")        \
  X(padded_bytes,        "zero bytes added so that the datagrams of a run are equal (at most 3 %)")   \
  X(heartbeats_sent,     "heartbeat records sent")                                                    \
  X(heartbeats_received, "heartbeat records received")                                                \
  X(probes_answered,     "path probes answered")                                                      \
  X(own_records_lost,    "heartbeats and requests of our own that found no buffer, session or room")  \
  X(commands,            "commands of the mesh thread carried out")                                   \
  X(commands_refused,    "commands that name a slot, flow, output or tap beyond the configured limits") \
  X(events_retried,      "events that waited because the ring to the mesh thread was full")           \
  X(events_lost,         "events dropped because the ring to the mesh thread was full")               \
  X(early_flushes,       "transmit bursts sent early because buffers or places ran out")
// clang-format on

enum class CoreCounter : uint32_t {
#define X(name, text) name,
  TRUNKLINE_CORE_COUNTERS(X)
#undef X
      kCount
};
const char* core_counter_name(CoreCounter) noexcept;
const char* core_counter_text(CoreCounter) noexcept;

using CoreCounters = core::CounterSet<CoreCounter, static_cast<std::size_t>(CoreCounter::kCount)>;

class Accounting {
 public:
  void received(uint64_t units) noexcept { counters.add(CoreCounter::units_received, units); }
  void forwarded(uint64_t units) noexcept { counters.add(CoreCounter::units_forwarded, units); }
  void drop(DropReason reason, uint64_t units = 1) noexcept { drops.add(reason, units); }
  void count(CoreCounter which, uint64_t n = 1) noexcept { counters.add(which, n); }

  CoreCounters counters;
  DropCounters drops;
  StageClock clock;
};

}  // namespace trunkline::relay
