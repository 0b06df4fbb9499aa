// Record: one record in hand, between the stage that found it and the stages that deliver it. Half a cache
// line; the payload stays where it was received (a GRO slab, a host queue's slot) and is copied once, into
// what leaves. Lives within one run of the loop.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/packet.h"
#include "relay/core_link.h"
#include "relay/wire.h"

namespace trunkline::relay {

// A record that came in at an edge has no link; one whose flow the edge has already told is not located
// again.
inline constexpr LinkId kNoLink = 0xffff;

struct Record {
  const uint8_t* payload;
  Label label;  // as received; 0 from an edge
  FlowId flow;  // from an edge at once, else from locate() on
  uint16_t length;
  LinkId link;  // it came on; kNoLink: an edge
  RecordKind kind;
  TrafficClass traffic_class;
  uint8_t ttl;  // hops left, this node's outputs included
  uint8_t layer;
  bool keyframe;
  bool frame_end;
  uint8_t alone_in;  // 1 + which received packet it is alone in, so that it may leave in its frame; 0: none
  uint8_t reserved[5];
};
static_assert(sizeof(Record) == 32);

inline constexpr uint32_t kRtpHeaderBytes = 12;  // RFC 3550 section 5.1

// What tells one video frame from the next: RFC 3550 section 5.1 (timestamp at byte 4, SSRC at byte 8).
// RFC 5761 section 4 tells RTCP apart, which belongs to no frame. 0 for what is too short.
inline bool record_is_rtcp(const Record& r) noexcept {
  return r.length >= 2 && r.payload[1] >= 192 && r.payload[1] <= 223;
}
inline uint32_t record_timestamp(const Record& r) noexcept {
  return r.length >= 8 ? load_be32(r.payload + 4) : 0;
}
inline uint16_t record_sequence(const Record& r) noexcept {
  return r.length >= 4 ? load_be16(r.payload + 2) : uint16_t{0};
}
inline uint32_t record_ssrc(const Record& r) noexcept {
  return r.length >= 12 ? load_be32(r.payload + 8) : 0;
}
// Only video has frames: a marker in audio starts a talk spurt (RFC 3551 section 4.1).
constexpr bool has_frames(TrafficClass traffic_class) noexcept {
  return traffic_class == TrafficClass::kVideoBase || traffic_class == TrafficClass::kRest;
}

// Calls each(uint8_t* data, uint32_t length) for every datagram of a packet: one, or those of a GRO run.
template <class Each>
void for_each_datagram(const core::Packet& packet, Each&& each) {
  const uint32_t step = packet.segment_size == 0 ? packet.length : packet.segment_size;
  if (packet.length == 0) return each(packet.data, 0u);
  for (uint32_t at = 0; at < packet.length; at += step) {
    each(packet.data + at, std::min(step, packet.length - at));
  }
}

}  // namespace trunkline::relay
