// Why a packet was not delivered: one list that makes the enum, the operator's text and the counter. Every
// exit of the packet path that is not delivery names one of these; received = forwarded + drops + held,
// always.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/counters.h"

namespace trunkline::relay {

// clang-format off
#define TRUNKLINE_DROP_REASONS(X)                                                                                    \
  /* datagrams */                                                                                                    \
  X(short_datagram,     "datagram shorter than a header and a tag")                                                  \
  X(bad_version,        "datagram of another wire version")                                                          \
  X(bad_type,           "datagram of a type that this version does not have")                                        \
  X(no_session,         "session index is not one of ours")                                                          \
  X(wrong_core,         "session index names a core that this node does not have")                                   \
  X(handover_full,      "belongs to another core of this node, which has all buffers that may be lent to it")         \
  X(bad_lane,           "lane is not one of the peer's cores")                                                       \
  X(not_authentic,      "tag does not match: forged, corrupted, or of an old key")                                   \
  X(replayed,           "counter was seen before: duplicated on the way, or replayed")                               \
  X(too_old,            "counter is behind the replay window")                                                       \
  X(handshake_full,     "handshake datagram while the ring to the mesh thread was full")                             \
  /* records */                                                                                                      \
  X(bad_record,         "record reaches past the end of its datagram, or padding is not zero")                       \
  X(unknown_kind,       "record of an unknown kind, skipped")                                                        \
  X(control_full,       "control segment while the ring to the mesh thread was full; the stream repeats it")         \
  X(no_route,           "label stands for nothing here")                                                             \
  X(stale_label,        "label of an older generation: its track was released")                                      \
  X(foreign_label,      "label belongs to another link")                                                             \
  X(wrong_direction,    "media on a feedback label, or feedback on a media label")                                   \
  X(ttl_expired,        "record had no hop left")                                                                    \
  X(repeated,           "a track's new source repeats what the old one has delivered")                            \
  X(no_output,          "track has nobody to deliver to (any more)")                                                 \
  /* edges */                                                                                                        \
  X(not_rtp,            "arrived at an edge and is neither RTP nor RTCP")                                            \
  X(bad_rtp,            "RTP whose header, extension or padding does not fit its length (RFC 3550)")                 \
  X(bad_rtcp,           "RTCP compound whose lengths do not add up (RFC 3550, 6.4.1)")                               \
  X(unknown_source,     "arrived at an edge from an address or SSRC that nobody configured")                         \
  X(too_big,            "payload does not fit one datagram of this path's MTU")                                      \
  X(feedback_ended,     "RTCP that ends at this hop (RR, SDES, REMB, TWCC)")                                         \
  X(feedback_merged,    "keyframe request or NACK that repeats one just sent upstream")                              \
  X(no_upstream,        "feedback for a track whose source cannot be told")                                          \
  /* outputs */                                                                                                      \
  X(queue_full,         "host queue was full")                                                                       \
  X(no_buffer,          "no transmit buffer free for this class")                                                    \
  X(tx_full,            "port did not take the datagram")                                                            \
  X(rest_of_frame,      "belongs to a frame of which a packet was already dropped")                                  \
  X(link_gone,          "the link has no session (any more), or another than this was for")
// clang-format on

enum class DropReason : uint32_t {
#define X(name, text) name,
  TRUNKLINE_DROP_REASONS(X)
#undef X
      kCount
};
const char* drop_reason_name(DropReason) noexcept;
const char* drop_reason_text(DropReason) noexcept;

using DropCounters = core::CounterSet<DropReason, static_cast<std::size_t>(DropReason::kCount)>;

}  // namespace trunkline::relay
