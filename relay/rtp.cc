// The RTP half of the edge: see relay/rtp.h for the contract. Read parse() first; it follows the packet from
// its first byte to its last, and each refusal names what was wrong.
#include "relay/rtp.h"

#include <array>

namespace trunkline::relay {
namespace {

struct FaultText {
  std::string_view name;
  std::string_view text;
};
constexpr std::array kFaultTexts = {
#define X(enumerator, name, text) FaultText{name, text},
    TRUNKLINE_RTP_FAULTS(X)
#undef X
};
static_assert(kFaultTexts.size() == static_cast<size_t>(RtpFault::kCount));

constexpr uint8_t kVersionMask = 0xc0;
constexpr uint8_t kVersion2 = 0x80;
constexpr uint8_t kPaddingBit = 0x20;
constexpr uint8_t kExtensionBit = 0x10;

// RFC 6184 section 5.2, table 1: the NAL unit types that matter here.
constexpr uint8_t kNalIdr = 5;
constexpr uint8_t kNalSps = 7;
constexpr uint8_t kNalStapA = 24;
constexpr uint8_t kNalFuA = 28;

constexpr bool begins_keyframe(uint8_t nal_header) noexcept {
  const uint8_t type = nal_header & 0x1f;
  return type == kNalIdr || type == kNalSps;
}

}  // namespace

std::string_view rtp_fault_name(RtpFault fault) noexcept {
  return fault < RtpFault::kCount ? kFaultTexts[static_cast<size_t>(fault)].name : "unknown";
}

std::string_view rtp_fault_text(RtpFault fault) noexcept {
  return fault < RtpFault::kCount ? kFaultTexts[static_cast<size_t>(fault)].text : "unknown";
}

EdgeKind classify(Bytes datagram) noexcept {
  if (datagram.size() < 2 || (datagram[0] & kVersionMask) != kVersion2) return EdgeKind::kNeither;
  const bool rtcp = datagram[1] >= 192 && datagram[1] <= 223;
  return rtcp ? EdgeKind::kRtcp : EdgeKind::kRtp;
}

std::optional<RtpView> RtpView::parse(Bytes datagram, RtpFault& fault) noexcept {
  const auto refuse = [&fault](RtpFault why) {
    fault = why;
    return std::nullopt;
  };
  if (datagram.size() > kMaxDatagram) return refuse(RtpFault::kTooLong);
  ByteReader in(datagram);
  const Bytes fixed = in.take(kFixedHeader);
  if (!in.ok()) return refuse(RtpFault::kTooShort);
  if ((fixed[0] & kVersionMask) != kVersion2) return refuse(RtpFault::kVersion);

  in.take(size_t{4} * (fixed[0] & 0x0f));
  if (!in.ok()) return refuse(RtpFault::kCsrcPastEnd);

  // RFC 3550 section 5.3.1: 16 bits of profile, then the length in 32-bit words, which may be 0.
  if ((fixed[0] & kExtensionBit) != 0) {
    const uint16_t profile = in.u16();
    const size_t words = in.u16();
    const Bytes block = in.take(4 * words);
    if (!in.ok()) return refuse(RtpFault::kExtensionPastEnd);
    if (!walk_extension_elements(profile, block, [](uint8_t, Bytes) {})) {
      return refuse(RtpFault::kExtensionElement);
    }
  }

  // RFC 3550 section 5.1: the last octet counts the padding, itself included; it cannot reach into the
  // header.
  const size_t header_length = datagram.size() - in.remaining();
  uint8_t padding = 0;
  if ((fixed[0] & kPaddingBit) != 0) {
    padding = datagram.back();
    if (padding == 0 || padding > in.remaining()) return refuse(RtpFault::kPadding);
  }
  fault = RtpFault::kNone;
  return RtpView(datagram, header_length, padding);
}

std::optional<Bytes> RtpView::extension(uint8_t id) const noexcept {
  std::optional<Bytes> found;
  for_each_extension([&](uint8_t element, Bytes data) {
    if (element == id && !found) found = data;
  });
  return found;
}

bool vp8_keyframe_start(Bytes payload) noexcept {
  // RFC 7741 section 4.2: |X|R|N|S|R|PID|, then what X announces.
  ByteReader in(payload);
  const uint8_t required = in.u8();
  const bool starts_partition_0 = (required & 0x10) != 0 && (required & 0x07) == 0;
  if ((required & 0x80) != 0) {
    const uint8_t present = in.u8();                                 // |I|L|T|K|RSV|
    if ((present & 0x80) != 0 && (in.u8() & 0x80) != 0) in.take(1);  // PictureID of 7 or 15 bits
    if ((present & 0x40) != 0) in.take(1);                           // TL0PICIDX
    if ((present & 0x30) != 0) in.take(1);                           // TID, Y and KEYIDX share one byte
  }
  const uint8_t frame_header = in.u8();  // section 4.3: bit 0 is P, "inverse key frame flag"
  return in.ok() && starts_partition_0 && (frame_header & 0x01) == 0;
}

bool h264_keyframe_start(Bytes payload) noexcept {
  ByteReader in(payload);
  const uint8_t header = in.u8();
  if (!in.ok()) return false;
  switch (header & 0x1f) {
    case kNalStapA:  // section 5.7.1: {16-bit size, NAL unit} until the end; each step consumes at least two
                     // bytes
      while (in.remaining() > 0) {
        const Bytes nal = in.take(in.u16());
        if (!in.ok()) return false;
        if (!nal.empty() && begins_keyframe(nal[0])) return true;
      }
      return false;
    case kNalFuA: {  // section 5.8: |S|E|R|Type| after the indicator; S is set in the first fragment only
      const uint8_t fragment = in.u8();
      return (fragment & 0x80) != 0 && begins_keyframe(fragment);
    }
    default:
      return begins_keyframe(header);
  }
}

}  // namespace trunkline::relay
