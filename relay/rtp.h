// RTP at the edges: what a client, an encoder or a tap hands us is either proven to be a well-formed packet
// or refused with a counted reason. The idea: construction is the proof. An RtpView exists only if every
// length in the packet (CSRC list, header extension and its elements, padding) stays inside the datagram, so
// nothing downstream checks again, and nothing malformed is passed on to the next node, where it would meet a
// second parser.
//
// A view owns nothing: it points into the datagram, which must outlive it and stay unchanged. Any thread, no
// state. Cost: no allocation, no recursion; one pass over the header, the payload is not touched except its
// last byte when the padding bit is set. Standards: RFC 3550 (RTP), RFC 5761 (RTP and RTCP on one port), RFC
// 8285 (header extensions). RTCP is in relay/rtcp.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "relay/byte_reader.h"

namespace trunkline::relay {

// Every reason for refusing RTP or RTCP: enumerator, counter name, the text a person reads. Append only.
#define TRUNKLINE_RTP_FAULTS(X)                                                                              \
  X(kNone, "none", "well-formed")                                                                            \
  X(kTooShort, "rtp_too_short", "shorter than the 12-byte fixed RTP header")                                 \
  X(kTooLong, "rtp_too_long", "longer than any UDP datagram")                                                \
  X(kVersion, "rtp_version", "RTP version is not 2")                                                         \
  X(kCsrcPastEnd, "rtp_csrc_past_end", "CSRC list reaches past the end of the datagram")                     \
  X(kExtensionPastEnd, "rtp_extension_past_end", "header extension reaches past the end")                    \
  X(kExtensionElement, "rtp_extension_element", "a header extension element reaches past its block")         \
  X(kPadding, "rtp_padding", "padding count is 0 or larger than the payload")                                \
  X(kRtcpTooShort, "rtcp_too_short", "fewer than the 4 bytes of an RTCP header are left")                    \
  X(kRtcpTooLong, "rtcp_too_long", "RTCP compound is longer than any UDP datagram")                          \
  X(kRtcpVersion, "rtcp_version", "RTCP version is not 2")                                                   \
  X(kRtcpType, "rtcp_type", "RTCP packet type is not in 192..223")                                           \
  X(kRtcpLength, "rtcp_length", "RTCP packet length reaches past the end of the datagram")                   \
  X(kRtcpPaddingNotLast, "rtcp_padding_not_last", "an RTCP packet other than the last has padding")          \
  X(kRtcpPadding, "rtcp_padding", "RTCP padding is 0, not a multiple of 4 or larger than the packet")        \
  X(kRtcpTooMany, "rtcp_too_many", "more RTCP packets in one compound than the bound")                       \
  X(kRtcpReport, "rtcp_report", "SR or RR is shorter than its report count says")                            \
  X(kRtcpSdes, "rtcp_sdes", "an SDES chunk or item reaches past the end of its packet")                      \
  X(kRtcpBye, "rtcp_bye", "BYE sources or reason reach past the end of the packet")                          \
  X(kRtcpApp, "rtcp_app", "APP is too short for its SSRC and name")                                          \
  X(kRtcpFeedback, "rtcp_feedback", "feedback is too short for its two SSRCs")                               \
  X(kRtcpNack, "rtcp_nack", "generic NACK names no packet")                                                  \
  X(kRtcpFir, "rtcp_fir", "FIR entries are missing or cut short")                                            \
  X(kRtcpRemb, "rtcp_remb", "REMB is cut short or its bit rate exceeds 64 bits")                             \
  X(kRtcpTransportCc, "rtcp_transport_cc", "transport-wide feedback is cut short or uses a reserved symbol") \
  X(kRtcpXr, "rtcp_xr", "an XR block reaches past the end of its packet")

enum class RtpFault : uint8_t {
#define X(enumerator, name, text) enumerator,
  TRUNKLINE_RTP_FAULTS(X)
#undef X
      kCount
};

// Name of the counter ("rtp_padding") and the sentence for a person. Static storage; "unknown" outside the
// list.
std::string_view rtp_fault_name(RtpFault fault) noexcept;
std::string_view rtp_fault_text(RtpFault fault) noexcept;

// Which parser a datagram that arrived on a multiplexed port belongs to.
enum class EdgeKind : uint8_t { kRtp, kRtcp, kNeither };

// RFC 5761 section 4: with version 2, a second byte of 192..223 is an RTCP packet type (an RTP payload type
// of 64..95 with the marker bit set, which must not be assigned on such a port); all else is RTP. Version
// bits other than 2, or fewer than two bytes, are neither (RFC 7983: STUN, DTLS, TURN). Proves nothing beyond
// that: parse decides.
EdgeKind classify(Bytes datagram) noexcept;

// Serial-number order on 16 bits (RFC 1982): a is newer when it lies 1..32767 ahead of b. At a distance of
// exactly 32768 the RFC leaves the order undefined; here neither is newer.
constexpr bool seq_newer(uint16_t a, uint16_t b) noexcept {
  const auto ahead = static_cast<uint16_t>(a - b);
  return ahead != 0 && ahead < 0x8000;
}
// Signed steps from `from` to `to`, in -32768..32767: positive when `to` is newer.
constexpr int seq_distance(uint16_t from, uint16_t to) noexcept {
  return static_cast<int16_t>(static_cast<uint16_t>(to - from));
}

// Calls visit(uint8_t id, Bytes data) for each element of an RFC 8285 block; false when an element reaches
// past the block. Blocks of any other profile are opaque: no calls, true. Bounded: each step consumes at
// least one byte.
template <class Visitor>
bool walk_extension_elements(uint16_t profile, Bytes block, Visitor&& visit) {
  constexpr uint16_t kOneByteProfile = 0xbede;  // section 4.2
  constexpr uint16_t kTwoByteProfile = 0x100;   // section 4.3; the low 4 bits are "appbits"
  constexpr uint8_t kOneByteStop = 15;          // section 4.2: stop here, ignore the rest
  const bool one_byte = profile == kOneByteProfile;
  if (!one_byte && (profile >> 4) != kTwoByteProfile) return true;
  ByteReader in(block);
  while (in.remaining() > 0) {
    const uint8_t first = in.u8();
    if (first == 0) continue;  // a padding byte, in both forms without a length
    const auto id = one_byte ? static_cast<uint8_t>(first >> 4) : first;
    // Section 4.2: id 15, or id 0 with a length, ends processing; what came before it stands.
    if (one_byte && (id == kOneByteStop || id == 0)) return true;
    const size_t length = one_byte ? (first & 0x0fu) + 1u : in.u8();
    const Bytes data = in.take(length);
    if (!in.ok()) return false;
    visit(id, data);
  }
  return in.ok();
}

class RtpView {
 public:
  static constexpr size_t kFixedHeader = 12;      // RFC 3550 section 5.1
  static constexpr size_t kMaxDatagram = 65'535;  // the 16-bit length fields of UDP and of our records

  // Refuses with a reason in `fault` (kNone when accepted), so that the caller counts it. A padding-only
  // packet (empty payload, as bandwidth probes send) is well-formed; a payload type of 64..95 is classify()'s
  // business, not ours.
  static std::optional<RtpView> parse(Bytes datagram, RtpFault& fault) noexcept;
  static std::optional<RtpView> parse(Bytes datagram) noexcept {
    RtpFault ignored = RtpFault::kNone;
    return parse(datagram, ignored);
  }

  bool marker() const noexcept { return (datagram_[1] & 0x80) != 0; }
  uint8_t payload_type() const noexcept { return datagram_[1] & 0x7f; }
  uint16_t sequence() const noexcept { return load_u16(datagram_, 2); }
  uint32_t timestamp() const noexcept { return load_u32(datagram_, 4); }
  uint32_t ssrc() const noexcept { return load_u32(datagram_, 8); }

  size_t csrc_count() const noexcept { return datagram_[0] & 0x0f; }
  // Contract: i < csrc_count().
  uint32_t csrc(size_t i) const noexcept { return load_u32(datagram_, kFixedHeader + 4 * i); }

  bool has_extension() const noexcept { return (datagram_[0] & 0x10) != 0; }
  // The 16 bits "defined by profile" (0xbede: RFC 8285 one-byte elements), 0 without an extension.
  uint16_t extension_profile() const noexcept {
    return has_extension() ? load_u16(datagram_, extension_offset()) : 0;
  }
  // The block after the 4-byte extension header; empty without an extension.
  Bytes extension_block() const noexcept {
    if (!has_extension()) return {};
    return datagram_.subspan(extension_offset() + 4, header_length_ - extension_offset() - 4);
  }
  // visit(uint8_t id, Bytes data) for each RFC 8285 element; parse() has proven that all are inside the
  // block.
  template <class Visitor>
  void for_each_extension(Visitor&& visit) const {
    walk_extension_elements(extension_profile(), extension_block(), visit);
  }
  // The first element with this id; its data may be empty (two-byte form).
  std::optional<Bytes> extension(uint8_t id) const noexcept;

  // header_length() + payload().size() + padding_length() == datagram().size(), always.
  size_t header_length() const noexcept { return header_length_; }
  size_t padding_length() const noexcept { return padding_length_; }
  Bytes payload() const noexcept {
    return datagram_.subspan(header_length_, datagram_.size() - header_length_ - padding_length_);
  }
  Bytes datagram() const noexcept { return datagram_; }

 private:
  RtpView(Bytes datagram, size_t header_length, uint8_t padding_length) noexcept
      : datagram_(datagram),
        header_length_(static_cast<uint16_t>(header_length)),
        padding_length_(padding_length) {}
  size_t extension_offset() const noexcept { return kFixedHeader + 4 * csrc_count(); }

  Bytes datagram_;
  uint16_t header_length_;
  uint8_t padding_length_;
};

// True when this RTP payload begins a VP8 key frame (RFC 7741 section 4.2 and 4.3: first packet of partition
// 0 and the inverse key frame bit clear). False for anything cut short.
bool vp8_keyframe_start(Bytes payload) noexcept;

// True when this RTP payload carries, or begins to carry, an H.264 IDR picture or the SPS in front of one
// (RFC 6184: single NAL unit, STAP-A, FU-A; the packetization modes 0 and 1). False for anything cut short
// before that is seen.
bool h264_keyframe_start(Bytes payload) noexcept;

}  // namespace trunkline::relay
