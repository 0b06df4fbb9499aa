// The RTCP half of the edge: see relay/rtcp.h for the contract. parse() proves the framing of the compound
// and asks check_body() about each packet; the functions above it each prove one kind of body, straight down,
// with a reader that cannot leave it. Every loop consumes bytes of the datagram or counts to a field of at
// most 31.
#include "relay/rtcp.h"

#include <algorithm>

namespace trunkline::relay {
namespace {

constexpr uint8_t kVersionMask = 0xc0;
constexpr uint8_t kVersion2 = 0x80;
constexpr uint8_t kPaddingBit = 0x20;
constexpr size_t kHeader = 4;

// Packet types (IANA "RTCP Control Packet Types") and feedback formats.
constexpr uint8_t kTypeFirst = 192;  // RFC 5761 section 4: the range that can be told from RTP
constexpr uint8_t kTypeLast = 223;
constexpr uint8_t kTypeSr = 200;
constexpr uint8_t kTypeRr = 201;
constexpr uint8_t kTypeSdes = 202;
constexpr uint8_t kTypeBye = 203;
constexpr uint8_t kTypeApp = 204;
constexpr uint8_t kTypeTransportFeedback = 205;
constexpr uint8_t kTypePayloadFeedback = 206;
constexpr uint8_t kTypeXr = 207;
constexpr uint8_t kFormatNack = 1;
constexpr uint8_t kFormatTransportCc = 15;
constexpr uint8_t kFormatPli = 1;
constexpr uint8_t kFormatFir = 4;
constexpr uint8_t kFormatApplication = 15;
constexpr uint32_t kRembName = 0x52454d42;  // "REMB"

// RFC 3550 section 6.5: `chunks` times an SSRC and items {type, length, text}; an item of type 0 (one byte)
// ends the chunk, which is then filled to a 32-bit boundary. The body begins on one.
bool sdes_in_bounds(Bytes body, size_t chunks) noexcept {
  ByteReader in(body);
  for (size_t i = 0; i < chunks && in.ok(); ++i) {
    in.u32();
    while (in.ok() && in.u8() != 0) in.take(in.u8());
    in.take(in.remaining() % 4);
  }
  return in.ok();
}

// RFC 3550 section 6.6: `sources` SSRCs, then, if anything is left, a counted reason.
bool bye_in_bounds(Bytes body, size_t sources) noexcept {
  ByteReader in(body);
  in.take(4 * sources);
  if (in.remaining() > 0) in.take(in.u8());
  return in.ok();
}

// RFC 3611 section 3: after the sender's SSRC, blocks {type, specific, length in words}.
bool xr_in_bounds(Bytes body) noexcept {
  ByteReader in(body);
  in.u32();
  while (in.ok() && in.remaining() > 0) {
    in.u16();
    in.take(size_t{4} * in.u16());
  }
  return in.ok();
}

// draft-alvestrand-rmcat-remb section 2.2: "REMB", 8 bits of source count, 6 of exponent, 18 of mantissa, the
// sources. Nothing when it is cut short or the rate does not fit 64 bits.
std::optional<Remb> read_remb(Bytes entries) noexcept {
  ByteReader in(entries);
  in.u32();
  const uint32_t word = in.u32();
  const Bytes sources = in.take(size_t{4} * (word >> 24));
  const uint32_t exponent = (word >> 18) & 0x3f;
  const uint64_t mantissa = word & 0x3ffff;
  const uint64_t bitrate_bps = mantissa << exponent;
  if (!in.ok() || bitrate_bps >> exponent != mantissa) return std::nullopt;
  return Remb{.bitrate_bps = bitrate_bps, .sources = sources};
}

// Bytes of receive deltas that `symbols` two-bit status symbols announce; -1 for the reserved symbol.
constexpr int delta_bytes(unsigned symbol) noexcept {
  return symbol == 3 ? -1 : static_cast<int>(symbol);
}

// draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1: 16-bit chunks until they cover the status
// count, then a delta of one byte for each small symbol (1) and two for each large one (2).
bool transport_cc_in_bounds(Bytes entries) noexcept {
  ByteReader in(entries);
  in.u16();
  size_t uncovered = in.u16();
  in.u32();
  size_t deltas = 0;
  while (in.ok() && uncovered > 0) {
    const unsigned chunk = in.u16();
    const bool run_length = (chunk & 0x8000) == 0;
    const bool two_bits = (chunk & 0x4000) != 0;
    if (run_length) {
      const int each = delta_bytes(chunk >> 13);
      if (each < 0) return false;
      const size_t run = std::min<size_t>(chunk & 0x1fff, uncovered);
      deltas += run * static_cast<size_t>(each);
      uncovered -= run;
      continue;
    }
    const unsigned width = two_bits ? 2 : 1;
    for (unsigned shift = 14; shift >= width && uncovered > 0; --uncovered) {
      shift -= width;
      const int each = delta_bytes((chunk >> shift) & (two_bits ? 3u : 1u));
      if (each < 0) return false;
      deltas += static_cast<size_t>(each);
    }
  }
  in.take(deltas);
  return in.ok();
}

// RFC 4585 section 6.1: the header and both SSRCs of a feedback packet.
void write_feedback_header(ByteWriter& out, uint8_t type, uint8_t format, size_t total_bytes,
                           uint32_t sender_ssrc, uint32_t media_ssrc) noexcept {
  out.u8(static_cast<uint8_t>(kVersion2 | format));
  out.u8(type);
  out.u16(static_cast<uint16_t>(total_bytes / 4 - 1));
  out.u32(sender_ssrc);
  out.u32(media_ssrc);
}

}  // namespace

std::optional<RtcpView> RtcpView::parse(Bytes datagram, RtpFault& fault) noexcept {
  const auto refuse = [&fault](RtpFault why) {
    fault = why;
    return std::nullopt;
  };
  if (datagram.size() > kMaxDatagram) return refuse(RtpFault::kRtcpTooLong);
  if (datagram.empty()) return refuse(RtpFault::kRtcpTooShort);
  size_t size = 0;
  ByteReader in(datagram);
  while (in.remaining() > 0) {
    if (size == kMaxPackets) return refuse(RtpFault::kRtcpTooMany);
    const size_t start = datagram.size() - in.remaining();
    const uint8_t first = in.u8();
    const uint8_t type = in.u8();
    const size_t words = in.u16();
    if (!in.ok()) return refuse(RtpFault::kRtcpTooShort);
    if ((first & kVersionMask) != kVersion2) return refuse(RtpFault::kRtcpVersion);
    if (type < kTypeFirst || type > kTypeLast) return refuse(RtpFault::kRtcpType);
    in.take(4 * words);
    if (!in.ok()) return refuse(RtpFault::kRtcpLength);

    // RFC 3550 section 6.4.1: padding only on the last packet, in multiples of four, its last octet counting
    // it.
    const Bytes whole = datagram.subspan(start, kHeader + 4 * words);
    const bool padded = (first & kPaddingBit) != 0;
    if (padded && in.remaining() > 0) return refuse(RtpFault::kRtcpPaddingNotLast);
    const uint8_t padding = padded ? whole.back() : uint8_t{0};
    if (padded && (words == 0 || padding == 0 || padding % 4 != 0 || padding > 4 * words)) {
      return refuse(RtpFault::kRtcpPadding);
    }
    const RtpFault body = RtcpPacket(whole, padding).check_body();
    if (body != RtpFault::kNone) return refuse(body);
    ++size;
  }
  fault = RtpFault::kNone;
  return RtcpView(datagram, size);
}

RtcpPacket RtcpPacket::front_of(Bytes rest) noexcept {
  const Bytes whole = rest.first(kHeader + size_t{4} * load_u16(rest, 2));
  const bool padded = (whole[0] & kPaddingBit) != 0;
  return RtcpPacket(whole, padded ? whole.back() : uint8_t{0});
}

bool RtcpPacket::is_feedback() const noexcept {
  return type() == kTypeTransportFeedback || type() == kTypePayloadFeedback;
}

RtcpKind RtcpPacket::kind() const noexcept {
  switch (type()) {
    case kTypeSr:
      return RtcpKind::kSenderReport;
    case kTypeRr:
      return RtcpKind::kReceiverReport;
    case kTypeSdes:
      return RtcpKind::kSourceDescription;
    case kTypeBye:
      return RtcpKind::kGoodbye;
    case kTypeApp:
      return RtcpKind::kApplication;
    case kTypeXr:
      return RtcpKind::kExtendedReport;
    case kTypeTransportFeedback:
      if (count() == kFormatNack) return RtcpKind::kNack;
      return count() == kFormatTransportCc ? RtcpKind::kTransportCc : RtcpKind::kOther;
    case kTypePayloadFeedback: {
      if (count() == kFormatPli) return RtcpKind::kPli;
      if (count() == kFormatFir) return RtcpKind::kFir;
      const Bytes entries = feedback_entries();
      const bool named_remb = entries.size() >= 4 && load_u32(entries, 0) == kRembName;
      return count() == kFormatApplication && named_remb ? RtcpKind::kRemb : RtcpKind::kOther;
    }
    default:
      return RtcpKind::kOther;
  }
}

RtpFault RtcpPacket::check_body() const noexcept {
  const auto require = [](bool holds, RtpFault otherwise) { return holds ? RtpFault::kNone : otherwise; };
  // kind() reads the entries of feedback, so their presence is proven first.
  if (is_feedback() && body().size() < kFeedbackSsrcs) return RtpFault::kRtcpFeedback;
  switch (kind()) {
    case RtcpKind::kSenderReport:
      return require(body().size() >= kSenderInfo + kReportBlock * count(), RtpFault::kRtcpReport);
    case RtcpKind::kReceiverReport:
      return require(body().size() >= kReceiverInfo + kReportBlock * count(), RtpFault::kRtcpReport);
    case RtcpKind::kSourceDescription:
      return require(sdes_in_bounds(body(), count()), RtpFault::kRtcpSdes);
    case RtcpKind::kGoodbye:
      return require(bye_in_bounds(body(), count()), RtpFault::kRtcpBye);
    case RtcpKind::kApplication:
      return require(body().size() >= 8, RtpFault::kRtcpApp);
    case RtcpKind::kExtendedReport:
      return require(xr_in_bounds(body()), RtpFault::kRtcpXr);
    case RtcpKind::kNack:  // RFC 4585 section 6.2.1: at least one entry of four bytes
      return require(!feedback_entries().empty(), RtpFault::kRtcpNack);
    case RtcpKind::kFir: {  // RFC 5104 section 4.3.1.1: at least one entry of eight bytes
      const size_t length = feedback_entries().size();
      return require(length > 0 && length % 8 == 0, RtpFault::kRtcpFir);
    }
    case RtcpKind::kRemb:
      return require(read_remb(feedback_entries()).has_value(), RtpFault::kRtcpRemb);
    case RtcpKind::kTransportCc:
      return require(transport_cc_in_bounds(feedback_entries()), RtpFault::kRtcpTransportCc);
    case RtcpKind::kPli:
    case RtcpKind::kOther:
      break;
  }
  return RtpFault::kNone;
}

std::optional<uint32_t> RtcpPacket::sender_ssrc() const noexcept {
  if (body().size() < 4) return std::nullopt;
  return load_u32(body(), 0);
}

std::optional<uint32_t> RtcpPacket::media_ssrc() const noexcept {
  if (!is_feedback()) return std::nullopt;
  return load_u32(body(), 4);
}

std::optional<Remb> RtcpPacket::remb() const noexcept {
  if (kind() != RtcpKind::kRemb) return std::nullopt;
  return read_remb(feedback_entries());
}

std::optional<TransportCc> RtcpPacket::transport_cc() const noexcept {
  if (kind() != RtcpKind::kTransportCc) return std::nullopt;
  const Bytes entries = feedback_entries();
  return TransportCc{.base_sequence = load_u16(entries, 0),
                     .status_count = load_u16(entries, 2),
                     .reference_time = load_u32(entries, 4) >> 8,
                     .feedback_count = entries[7]};
}

ReportBlock RtcpPacket::report_block(Bytes block) noexcept {
  const uint32_t lost = load_u32(block, 4);
  const auto cumulative = static_cast<int32_t>(lost << 8) >> 8;  // keeps the sign of the 24 bits
  return ReportBlock{.ssrc = load_u32(block, 0),
                     .fraction_lost = static_cast<uint8_t>(lost >> 24),
                     .cumulative_lost = cumulative,
                     .extended_highest_sequence = load_u32(block, 8),
                     .jitter = load_u32(block, 12),
                     .last_sr = load_u32(block, 16),
                     .delay_since_last_sr = load_u32(block, 20)};
}

FeedbackSummary summarize(const RtcpView& compound) noexcept {
  FeedbackSummary sum;
  for (const RtcpPacket packet : compound) {
    switch (packet.kind()) {
      case RtcpKind::kSenderReport:
        ++sum.sender_reports;
        break;
      case RtcpKind::kReceiverReport:
        ++sum.receiver_reports;
        break;
      case RtcpKind::kSourceDescription:
        ++sum.source_descriptions;
        break;
      case RtcpKind::kGoodbye:
        ++sum.goodbyes;
        break;
      case RtcpKind::kApplication:
        ++sum.applications;
        break;
      case RtcpKind::kNack:
        ++sum.nacks;
        packet.for_each_nack([&sum](uint16_t) { ++sum.nacked_packets; });
        break;
      case RtcpKind::kTransportCc:
        ++sum.transport_ccs;
        break;
      case RtcpKind::kPli:
        ++sum.plis;
        break;
      case RtcpKind::kFir:
        ++sum.firs;
        break;
      case RtcpKind::kRemb:
        ++sum.rembs;
        break;
      case RtcpKind::kExtendedReport:
        ++sum.extended_reports;
        break;
      case RtcpKind::kOther:
        ++sum.others;
        break;
    }
  }
  return sum;
}

size_t build_pli(std::span<uint8_t> out, uint32_t sender_ssrc, uint32_t media_ssrc) noexcept {
  ByteWriter writer(out);
  write_feedback_header(writer, kTypePayloadFeedback, kFormatPli, kPliLength, sender_ssrc, media_ssrc);
  return writer.length();
}

size_t build_nack(std::span<uint8_t> out, uint32_t sender_ssrc, uint32_t media_ssrc,
                  std::span<const uint16_t> sequences) noexcept {
  constexpr size_t kPairsAt = nack_length_bound(0);
  if (sequences.empty() || sequences.size() > kMaxNackSequences || out.size() < kPairsAt) return 0;
  ByteWriter pairs(out.subspan(kPairsAt));
  for (size_t i = 0; i < sequences.size();) {
    const uint16_t pid = sequences[i++];
    unsigned following = 0;
    for (; i < sequences.size(); ++i) {
      const auto ahead = static_cast<uint16_t>(sequences[i] - pid);
      if (ahead > 16) break;
      if (ahead > 0) following |= 1u << (ahead - 1);  // 0 repeats the PID itself
    }
    pairs.u16(pid);
    pairs.u16(static_cast<uint16_t>(following));
  }
  if (pairs.length() == 0) return 0;
  ByteWriter header(out.first(kPairsAt));
  const size_t length = kPairsAt + pairs.length();
  write_feedback_header(header, kTypeTransportFeedback, kFormatNack, length, sender_ssrc, media_ssrc);
  return length;
}

}  // namespace trunkline::relay
