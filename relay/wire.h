// Wire format, version 1: what one datagram between two nodes looks like, byte for byte (docs/protocol.md).
//
//   datagram   header 12 | one or more records | tag 16            UDP, no fragments
//   header     version 3, type 3, phase 2 | lane 8 | counter 48 | receiver's session index 32 authenticated
//   record     label 32 | kind 4, class 2, keyframe 1, frame end 1 | ttl 4, layer 4 | length 16 | payload
//   encrypted
//
// Integers are big-endian. A record of kind kPadding ends the datagram: it and all that follows are zero
// bytes, so that the datagrams of one GSO run get equal sizes. An unknown kind is skipped by its length.
// Codec only: no state, no allocation, no decision about what a record means. Any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "core/ids.h"

namespace trunkline::relay {

using core::Label;

inline constexpr uint8_t kWireVersion = 1;
inline constexpr uint32_t kHeaderBytes = 12;
inline constexpr uint32_t kRecordHeaderBytes = 8;
inline constexpr uint32_t kTagBytes = 16;
// What one lone record costs on top of its payload: 36 bytes, 3 % of a 1200-byte packet.
inline constexpr uint32_t kLoneRecordOverhead = kHeaderBytes + kRecordHeaderBytes + kTagBytes;
static_assert(kLoneRecordOverhead == 36);
inline constexpr uint32_t kIpv4UdpBytes = 28;  // RFC 791 without options, RFC 768
inline constexpr uint32_t kIpv6UdpBytes = 48;  // RFC 8200
inline constexpr uint64_t kMaxCounter = (uint64_t{1} << 48) - 1;

enum class DatagramType : uint8_t {
  kData = 0,
  kHandshake1 = 1,
  kHandshake2 = 2,
  kHandshakeConfirm = 3,
  // Of a busy responder, instead of msg2: ask again with this cookie. Three bits from kData, so that damage
  // to one bit makes none of a media datagram.
  kCookieReply = 7,
};
// One for the mesh thread, without records. What is neither this nor kData has no meaning yet.
constexpr bool is_handshake(DatagramType type) noexcept {
  return (type >= DatagramType::kHandshake1 && type <= DatagramType::kHandshakeConfirm) ||
         type == DatagramType::kCookieReply;
}

enum class RecordKind : uint8_t {
  kPadding = 0,    // end of records; zero bytes follow
  kMedia = 1,      // RTP or downstream RTCP, byte for byte
  kFeedback = 2,   // RTCP feedback, upstream
  kControl = 3,    // one segment of the control stream; label 0
  kHeartbeat = 4,  // liveness, round-trip time, what the other end heard; label 0
  kPathProbe = 5,  // answered by an equal record with the direction bit set; label 0
};

// Which records go first when there is room for some only. Greater is more important.
enum class TrafficClass : uint8_t { kRest = 0, kVideoBase = 1, kAudio = 2, kControl = 3 };

struct DatagramHeader {
  uint8_t version = kWireVersion;
  DatagramType type = DatagramType::kData;
  uint8_t phase = 0;
  uint8_t lane = 0;            // the sender's core
  uint64_t counter = 0;        // 48 bits, per lane, from 0
  uint32_t session_index = 0;  // the receiver's; names the receiver's core
};

// Published packets may cross this many links (the first one included): a chain of relays is two or three
// long. The acquire's path vector keeps loops out, and longer chains; this is the last guard.
inline constexpr uint8_t kPublishedTtl = 4;

struct RecordHeader {
  Label label{};
  RecordKind kind = RecordKind::kPadding;
  TrafficClass traffic_class = TrafficClass::kRest;
  bool keyframe = false;
  bool frame_end = false;
  uint8_t ttl = 0;
  uint8_t layer = 0;
  uint16_t length = 0;
};

inline uint32_t load_be32(const uint8_t* p) noexcept {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return __builtin_bswap32(v);
}
inline uint64_t load_be64(const uint8_t* p) noexcept {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}
inline uint16_t load_be16(const uint8_t* p) noexcept {
  uint16_t v;
  std::memcpy(&v, p, 2);
  return __builtin_bswap16(v);
}
inline void store_be32(uint8_t* p, uint32_t v) noexcept {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, 4);
}
inline void store_be64(uint8_t* p, uint64_t v) noexcept {
  v = __builtin_bswap64(v);
  std::memcpy(p, &v, 8);
}
inline void store_be16(uint8_t* p, uint16_t v) noexcept {
  v = __builtin_bswap16(v);
  std::memcpy(p, &v, 2);
}

// p has kHeaderBytes readable. Every bit pattern decodes; the caller judges version, type and index.
inline DatagramHeader decode_header(const uint8_t* p) noexcept {
  const uint64_t first = load_be64(p);
  DatagramHeader h;
  h.version = static_cast<uint8_t>(first >> 61);
  h.type = static_cast<DatagramType>((first >> 58) & 7);
  h.phase = static_cast<uint8_t>((first >> 56) & 3);
  h.lane = static_cast<uint8_t>(first >> 48);
  h.counter = first & kMaxCounter;
  h.session_index = load_be32(p + 8);
  return h;
}

// p has kHeaderBytes writable.
inline void encode_header(uint8_t* p, const DatagramHeader& h) noexcept {
  const uint64_t first = (uint64_t{h.version} << 61) | ((static_cast<uint64_t>(h.type) & 7) << 58) |
                         ((uint64_t{h.phase} & 3) << 56) | (uint64_t{h.lane} << 48) |
                         (h.counter & kMaxCounter);
  store_be64(p, first);
  store_be32(p + 8, h.session_index);
}

// A record's header as one number, for those who read or change a part of it where it lies.
struct RecordWord {
  uint64_t bits;  // as on the wire, most significant byte first

  static constexpr RecordWord of(const RecordHeader& r) noexcept {
    return {uint64_t{r.label.value} << 32 | (static_cast<uint64_t>(r.kind) & 15) << 28 |
            (static_cast<uint64_t>(r.traffic_class) & 3) << 26 | uint64_t{r.keyframe} << 25 |
            uint64_t{r.frame_end} << 24 | (uint64_t{r.ttl} & 15) << 20 | (uint64_t{r.layer} & 15) << 16 |
            r.length};
  }

  // p has kRecordHeaderBytes readable, or writable.
  static RecordWord load(const uint8_t* p) noexcept { return {load_be64(p)}; }
  void store(uint8_t* p) const noexcept { store_be64(p, bits); }

  constexpr Label label() const noexcept { return {static_cast<uint32_t>(bits >> 32)}; }
  constexpr RecordKind kind() const noexcept { return static_cast<RecordKind>((bits >> 28) & 15); }
  constexpr TrafficClass traffic_class() const noexcept {
    return static_cast<TrafficClass>((bits >> 26) & 3);
  }
  constexpr bool keyframe() const noexcept { return (bits >> 25 & 1) != 0; }
  constexpr bool frame_end() const noexcept { return (bits >> 24 & 1) != 0; }
  constexpr uint32_t ttl() const noexcept { return (bits >> 20) & 15; }
  constexpr uint8_t layer() const noexcept { return (bits >> 16) & 15; }
  constexpr uint32_t length() const noexcept { return bits & 0xffff; }
  // A packet of a flow that has frames (has_frames()): of class 0 or 1, video base or the rest.
  constexpr bool is_video() const noexcept { return (bits & 0xf800'0000) == 0x1000'0000; }
  // One hop further, under the label by which the next node knows it. Contract: ttl() > 0.
  constexpr RecordWord sent_on(uint32_t next_label) const noexcept {
    return {(uint64_t{next_label} << 32) | (static_cast<uint32_t>(bits) - (1u << 20))};
  }
};

// p has kRecordHeaderBytes readable. Every bit pattern decodes.
inline RecordHeader decode_record(const uint8_t* p) noexcept {
  const RecordWord word = RecordWord::load(p);
  return {.label = word.label(),
          .kind = word.kind(),
          .traffic_class = word.traffic_class(),
          .keyframe = word.keyframe(),
          .frame_end = word.frame_end(),
          .ttl = static_cast<uint8_t>(word.ttl()),
          .layer = word.layer(),
          .length = static_cast<uint16_t>(word.length())};
}
// p has kRecordHeaderBytes writable.
inline void encode_record(uint8_t* p, const RecordHeader& r) noexcept {
  RecordWord::of(r).store(p);
}

// The session index names the receiver's core (4 bits) and the slot in that core's session table (12 bits),
// so a look-up is an array access; the rest is random and must match in full.
struct SessionIndex {
  static constexpr uint32_t make(core::CoreId core, uint32_t slot, uint16_t random) noexcept {
    return (uint32_t{core.value} << 28) | ((slot & 0xfff) << 16) | random;
  }
  static constexpr uint8_t core(uint32_t index) noexcept { return static_cast<uint8_t>(index >> 28); }
  static constexpr uint32_t slot(uint32_t index) noexcept { return (index >> 16) & 0xfff; }
};
inline constexpr uint32_t kMaxSessions = 4096;  // 12 bits of slot

// A heartbeat's payload. Times are the sender's monotonic clock in microseconds and mean nothing to the
// receiver but to be echoed.
//   sent_us 64 | echo_us 64 (newest sent_us received; 0: none) | echo_hold_us 32 (between its arrival and
//   now) | heard_age_us 32 (since anything authenticated arrived, on this session or, where only keys were
//   replaced, on the one before; kNothingHeard: nothing yet) | received 64 (datagrams, this lane)
inline constexpr uint32_t kNothingHeard = 0xffffffff;
struct Heartbeat {
  uint64_t sent_us = 0;
  uint64_t echo_us = 0;
  uint32_t echo_hold_us = 0;
  uint32_t heard_age_us = kNothingHeard;
  uint64_t received = 0;
};
inline constexpr uint32_t kHeartbeatBytes = 32;

inline void encode_heartbeat(uint8_t* p, const Heartbeat& h) noexcept {
  store_be64(p, h.sent_us);
  store_be64(p + 8, h.echo_us);
  store_be32(p + 16, h.echo_hold_us);
  store_be32(p + 20, h.heard_age_us);
  store_be64(p + 24, h.received);
}
inline Heartbeat decode_heartbeat(const uint8_t* p) noexcept {
  return {load_be64(p), load_be64(p + 8), load_be32(p + 16), load_be32(p + 20), load_be64(p + 24)};
}

}  // namespace trunkline::relay
