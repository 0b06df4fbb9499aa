// What holds for every datagram that the RTP and RTCP parsers are given, whatever it says. It needs no
// knowledge of the implementation: a second, deliberately plain reading of the RFCs must agree on what is
// accepted; header, payload and padding must add up to the datagram; packets must tile the compound; what is
// read out of a NACK must come back from the builder.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "relay/rtcp.h"
#include "relay/rtp.h"

namespace trunkline::relay::properties {

using Broken = const char*;  // the property that does not hold, or nullptr

inline bool inside(Bytes part, Bytes whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Keeps the compiler from leaving out reads whose value nobody wants.
inline void consume(uint32_t value) {
  static volatile uint32_t sink;
  sink = value;
  (void)sink;
}

// RFC 3550 section 5.1 and RFC 8285 once more, with an index and wide signed integers instead of readers and
// views.
inline bool reference_accepts_rtp(Bytes b) {
  const auto size = static_cast<int64_t>(b.size());
  const auto at = [&](int64_t i) { return int64_t{b[static_cast<size_t>(i)]}; };
  if (size < 12 || size > 65'535 || at(0) / 64 != 2) return false;
  int64_t offset = 12 + at(0) % 16 * 4;
  if (offset > size) return false;
  if (at(0) / 16 % 2 == 1) {
    if (offset + 4 > size) return false;
    const int64_t profile = at(offset) * 256 + at(offset + 1);
    const int64_t end = offset + 4 + 4 * (at(offset + 2) * 256 + at(offset + 3));
    if (end > size) return false;
    int64_t i = offset + 4;
    while (profile == 0xbede && i < end) {
      const int64_t id = at(i) / 16;
      if (at(i) == 0) {
        i += 1;
      } else if (id == 0 || id == 15) {
        break;
      } else {
        i += 2 + at(i) % 16;
        if (i > end) return false;
      }
    }
    while (profile / 16 == 0x100 && i < end) {
      if (at(i) == 0) {
        i += 1;
      } else {
        if (i + 1 >= end) return false;
        i += 2 + at(i + 1);
        if (i > end) return false;
      }
    }
    offset = end;
  }
  if (at(0) / 32 % 2 == 0) return true;
  return size > offset && at(size - 1) >= 1 && at(size - 1) <= size - offset;
}

// RFC 3550 section 6.4.1 and appendix A.2: the framing of a compound, without the bodies.
inline bool reference_accepts_rtcp_framing(Bytes b) {
  const auto size = static_cast<int64_t>(b.size());
  const auto at = [&](int64_t i) { return int64_t{b[static_cast<size_t>(i)]}; };
  int64_t offset = 0;
  int64_t packets = 0;
  while (offset < size) {
    if (size - offset < 4 || at(offset) / 64 != 2 || at(offset + 1) < 192 || at(offset + 1) > 223)
      return false;
    const int64_t length = 4 + 4 * (at(offset + 2) * 256 + at(offset + 3));
    if (offset + length > size) return false;
    if (at(offset) / 32 % 2 == 1) {
      if (offset + length != size) return false;
      const int64_t padding = at(size - 1);
      if (length == 4 || padding == 0 || padding % 4 != 0 || padding > length - 4) return false;
    }
    offset += length;
    ++packets;
  }
  return packets >= 1 && packets <= 64 && size <= 65'535;
}

inline Broken check_rtp(Bytes datagram, bool& accepted) {
  RtpFault fault = RtpFault::kCount;
  const auto view = RtpView::parse(datagram, fault);
  accepted = view.has_value();
  if (accepted != (fault == RtpFault::kNone)) return "an RTP view exists exactly when the fault is kNone";
  if (fault >= RtpFault::kRtcpTooShort) return "an RTP refusal has an RTP reason";
  if (accepted != reference_accepts_rtp(datagram)) return "RTP acceptance agrees with the reference";
  if (!view) return nullptr;
  const size_t sum = view->header_length() + view->payload().size() + view->padding_length();
  if (sum != datagram.size()) return "header, payload and padding add up to the datagram";
  if (!inside(view->payload(), datagram)) return "the payload is inside the datagram";
  const Bytes header = datagram.first(view->header_length());
  if (!inside(view->extension_block(), header)) return "the extension is inside the header";
  uint32_t mixed = view->ssrc() ^ view->timestamp() ^ view->sequence() ^ view->payload_type();
  for (size_t i = 0; i < view->csrc_count(); ++i) mixed ^= view->csrc(i);
  bool elements_inside = true;
  view->for_each_extension([&](uint8_t id, Bytes data) {
    elements_inside =
        elements_inside && inside(data, view->extension_block()) && view->extension(id).has_value();
    for (const uint8_t byte : data) mixed += byte;
  });
  if (!elements_inside) return "each extension element is inside the block and found by its id";
  consume(mixed + vp8_keyframe_start(view->payload()) + h264_keyframe_start(view->payload()));
  return nullptr;
}

// What a NACK names, built again, names the same.
inline Broken check_nack(const RtcpPacket& packet) {
  std::vector<uint16_t> named;
  packet.for_each_nack([&](uint16_t sequence) { named.push_back(sequence); });
  if (named.empty() || named.size() > kMaxNackSequences) return nullptr;
  std::vector<uint8_t> out(nack_length_bound(named.size()));
  const size_t length = build_nack(out, *packet.sender_ssrc(), *packet.media_ssrc(), named);
  const auto again = RtcpView::parse(Bytes(out).first(length));
  if (!again || again->size() != 1) return "a built NACK is one valid packet";
  std::set<uint16_t> rebuilt;
  (*again->begin()).for_each_nack([&](uint16_t sequence) { rebuilt.insert(sequence); });
  if (rebuilt != std::set<uint16_t>(named.begin(), named.end()))
    return "a rebuilt NACK names the same packets";
  if ((*again->begin()).sender_ssrc() != packet.sender_ssrc()) return "a rebuilt NACK has the same sender";
  if ((*again->begin()).media_ssrc() != packet.media_ssrc()) return "a rebuilt NACK is about the same source";
  return nullptr;
}

inline Broken check_packet(const RtcpPacket& packet, Bytes datagram) {
  if (!inside(packet.bytes(), datagram) || !inside(packet.body(), packet.bytes()))
    return "packets are inside";
  if (4 + packet.body().size() + packet.padding_length() != packet.bytes().size())
    return "a packet's parts add up";
  size_t blocks = 0;
  packet.for_each_report_block([&](const ReportBlock&) { ++blocks; });
  if (blocks > 31) return "at most 31 report blocks";
  size_t wanted = 0;
  packet.for_each_keyframe_request([&](uint32_t) { ++wanted; });
  const bool asks = packet.kind() == RtcpKind::kPli || packet.kind() == RtcpKind::kFir;
  if (asks != (wanted > 0)) return "PLI and FIR, and only they, name a source";
  if ((packet.kind() == RtcpKind::kRemb) != packet.remb().has_value()) return "REMB is readable";
  if (packet.remb() && !inside(packet.remb()->sources, packet.body())) return "REMB sources are inside";
  if ((packet.kind() == RtcpKind::kTransportCc) != packet.transport_cc().has_value())
    return "feedback is readable";
  return packet.kind() == RtcpKind::kNack ? check_nack(packet) : nullptr;
}

inline Broken check_rtcp(Bytes datagram, bool& accepted) {
  RtpFault fault = RtpFault::kCount;
  const auto view = RtcpView::parse(datagram, fault);
  accepted = view.has_value();
  if (accepted != (fault == RtpFault::kNone)) return "an RTCP view exists exactly when the fault is kNone";
  if (!accepted && fault < RtpFault::kRtcpTooShort) return "an RTCP refusal has an RTCP reason";
  const bool framed = reference_accepts_rtcp_framing(datagram);
  if (accepted && !framed) return "accepted RTCP is framed as the reference says";
  if (!accepted && framed && fault < RtpFault::kRtcpReport)
    return "framing is refused only where the reference does";
  if (!view) return nullptr;
  size_t packets = 0;
  size_t bytes = 0;
  for (const RtcpPacket packet : *view) {
    if (const Broken broken = check_packet(packet, datagram)) return broken;
    ++packets;
    bytes += packet.bytes().size();
  }
  if (packets != view->size() || packets > RtcpView::kMaxPackets) return "iteration visits size() packets";
  if (bytes != datagram.size()) return "packets tile the datagram";
  const FeedbackSummary sum = summarize(*view);
  const uint32_t counted = sum.sender_reports + sum.receiver_reports + sum.source_descriptions +
                           sum.goodbyes + sum.applications + sum.nacks + sum.transport_ccs + sum.plis +
                           sum.firs + sum.rembs + sum.extended_reports + sum.others;
  return counted == packets ? nullptr : "each packet is summarized once";
}

struct Accepted {
  bool rtp = false;
  bool rtcp = false;
};

// All properties of one input. Payload parsers also see it raw, as if a decoder had handed it over.
inline Broken check(Bytes datagram, Accepted& accepted) {
  if (const Broken broken = check_rtp(datagram, accepted.rtp)) return broken;
  if (const Broken broken = check_rtcp(datagram, accepted.rtcp)) return broken;
  const EdgeKind kind = classify(datagram);
  if (accepted.rtcp && kind != EdgeKind::kRtcp) return "what parses as RTCP is classified as RTCP";
  if (accepted.rtp && kind == EdgeKind::kNeither) return "what parses as RTP is classified";
  consume(vp8_keyframe_start(datagram) || h264_keyframe_start(datagram));
  return nullptr;
}

}  // namespace trunkline::relay::properties
