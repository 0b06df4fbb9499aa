// RTCP at the edges: reading what subscribers and encoders report, and building the two requests that travel
// upstream (key frame, retransmission). As with RTP, construction is the proof: an RtcpView exists only if
// every packet of the compound lies inside the datagram and every count inside a packet of a known type
// (report blocks, SDES items, BYE reason, feedback entries) lies inside that packet. Unknown types are
// skipped by their length.
//
// Views own nothing: the datagram must outlive them and stay unchanged. Any thread, no state, no allocation,
// no recursion. Cost: one pass over the compound at parse; iterating afterwards only adds up lengths already
// proven. Standards: RFC 3550 section 6, RFC 4585 (NACK, PLI), RFC 5104 (FIR), RFC 5506 (reduced size: any
// type may come first), RFC 3611 (XR), draft-alvestrand-rmcat-remb,
// draft-holmer-rmcat-transport-wide-cc-extensions-01.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>

#include "relay/byte_reader.h"
#include "relay/rtp.h"

namespace trunkline::relay {

// What a packet is, from its type and, for feedback, its format.
enum class RtcpKind : uint8_t {
  kSenderReport,       // 200
  kReceiverReport,     // 201
  kSourceDescription,  // 202
  kGoodbye,            // 203
  kApplication,        // 204
  kNack,               // 205 format 1
  kTransportCc,        // 205 format 15
  kPli,                // 206 format 1
  kFir,                // 206 format 4
  kRemb,               // 206 format 15 whose entry begins "REMB"
  kExtendedReport,     // 207
  kOther               // well-framed; its content is not looked at
};

// One report block of an SR or RR (RFC 3550 section 6.4.1).
struct ReportBlock {
  uint32_t ssrc;
  uint8_t fraction_lost;    // 1/256 of the packets since the last report
  int32_t cumulative_lost;  // 24 bits, sign-extended
  uint32_t extended_highest_sequence;
  uint32_t jitter;               // in RTP timestamp units
  uint32_t last_sr;              // middle 32 bits of the NTP time of the last SR
  uint32_t delay_since_last_sr;  // in 1/65536 s
};

// Receiver's estimate of the bit rate that all `sources` together may use.
struct Remb {
  uint64_t bitrate_bps;
  Bytes sources;  // 4 bytes each, network order
};

// The fixed part of a transport-wide feedback packet; its chunks and deltas are proven to be complete.
struct TransportCc {
  uint16_t base_sequence;
  uint16_t status_count;
  uint32_t reference_time;  // 24 bits, in 64 ms
  uint8_t feedback_count;
};

// One packet of a validated compound. Only RtcpView makes these.
class RtcpPacket {
 public:
  uint8_t type() const noexcept { return bytes_[1]; }
  // The 5 bits after the padding bit: report, source or chunk count, or the feedback format (FMT).
  uint8_t count() const noexcept { return bytes_[0] & 0x1f; }
  RtcpKind kind() const noexcept;

  // Header, body and padding; then only what stands between header and padding.
  Bytes bytes() const noexcept { return bytes_; }
  Bytes body() const noexcept { return bytes_.subspan(4, bytes_.size() - 4 - padding_length_); }
  size_t padding_length() const noexcept { return padding_length_; }

  // First word of the body: who reports. Absent only when the body is empty (SDES or BYE of no source).
  std::optional<uint32_t> sender_ssrc() const noexcept;
  // Second word of a feedback packet (205, 206): whom it is about; 0 where the format names it in its entries
  // (FIR, REMB).
  std::optional<uint32_t> media_ssrc() const noexcept;

  std::optional<Remb> remb() const noexcept;
  std::optional<TransportCc> transport_cc() const noexcept;

  // visit(const ReportBlock&) for each block of an SR or RR; at most 31. No calls for other kinds.
  template <class Visitor>
  void for_each_report_block(Visitor&& visit) const {
    const RtcpKind is = kind();
    if (is != RtcpKind::kSenderReport && is != RtcpKind::kReceiverReport) return;
    const size_t first = is == RtcpKind::kSenderReport ? kSenderInfo : kReceiverInfo;
    for (size_t i = 0; i < count(); ++i) visit(report_block(body().subspan(first + i * kReportBlock)));
  }
  // visit(uint16_t sequence) for each packet a generic NACK asks for, in the order it names them; at most 17
  // per entry (RFC 4585 section 6.2.1: PID, then a bit for each of the 16 that follow). No calls for other
  // kinds.
  template <class Visitor>
  void for_each_nack(Visitor&& visit) const {
    if (kind() != RtcpKind::kNack) return;
    const Bytes entries = feedback_entries();
    for (size_t at = 0; at < entries.size(); at += 4) {
      const uint16_t pid = load_u16(entries, at);
      const uint16_t following = load_u16(entries, at + 2);
      visit(pid);
      for (unsigned bit = 0; bit < 16; ++bit) {
        if ((following >> bit & 1u) != 0) visit(static_cast<uint16_t>(pid + bit + 1));
      }
    }
  }
  // visit(uint32_t ssrc) for each source of which a key frame is wanted: the media SSRC of a PLI, each entry
  // of a FIR (RFC 5104 section 4.3.1). No calls for other kinds.
  template <class Visitor>
  void for_each_keyframe_request(Visitor&& visit) const {
    const RtcpKind is = kind();
    if (is == RtcpKind::kPli) visit(load_u32(body(), 4));
    if (is != RtcpKind::kFir) return;
    const Bytes entries = feedback_entries();
    for (size_t at = 0; at < entries.size(); at += 8) visit(load_u32(entries, at));
  }

 private:
  friend class RtcpView;
  static constexpr size_t kSenderInfo = 24;   // SSRC and sender info, before the first report block of an SR
  static constexpr size_t kReceiverInfo = 4;  // SSRC, before the first report block of an RR
  static constexpr size_t kReportBlock = 24;
  static constexpr size_t kFeedbackSsrcs = 8;

  RtcpPacket(Bytes bytes, uint8_t padding_length) noexcept : bytes_(bytes), padding_length_(padding_length) {}
  // The packet at the start of `rest`. Contract: validated framing.
  static RtcpPacket front_of(Bytes rest) noexcept;
  RtpFault check_body() const noexcept;
  bool is_feedback() const noexcept;
  // What follows the two SSRCs of a feedback packet (FCI).
  Bytes feedback_entries() const noexcept { return body().subspan(kFeedbackSsrcs); }
  static ReportBlock report_block(Bytes block) noexcept;

  Bytes bytes_;
  uint8_t padding_length_;
};

class RtcpView {
 public:
  // Real compounds hold a handful of packets; the bound keeps one datagram of 4-byte packets from costing
  // thousands of turns. The longest libwebrtc sends are below 20.
  static constexpr size_t kMaxPackets = 64;
  static constexpr size_t kMaxDatagram = RtpView::kMaxDatagram;

  // Refuses with a reason in `fault` (kNone when accepted). All or nothing: a compound with one bad packet is
  // refused whole, for after a wrong length nothing behind it can be trusted.
  static std::optional<RtcpView> parse(Bytes datagram, RtpFault& fault) noexcept;
  static std::optional<RtcpView> parse(Bytes datagram) noexcept {
    RtpFault ignored = RtpFault::kNone;
    return parse(datagram, ignored);
  }

  class Iterator {
   public:
    RtcpPacket operator*() const noexcept { return RtcpPacket::front_of(rest_); }
    Iterator& operator++() noexcept {
      rest_ = rest_.subspan((**this).bytes().size());
      return *this;
    }
    bool operator==(std::default_sentinel_t) const noexcept { return rest_.empty(); }

   private:
    friend class RtcpView;
    explicit Iterator(Bytes rest) noexcept : rest_(rest) {}
    Bytes rest_;
  };

  Iterator begin() const noexcept { return Iterator(datagram_); }
  std::default_sentinel_t end() const noexcept { return {}; }
  // Packets in the compound, 1..kMaxPackets.
  size_t size() const noexcept { return size_; }
  Bytes datagram() const noexcept { return datagram_; }

 private:
  RtcpView(Bytes datagram, size_t size) noexcept : datagram_(datagram), size_(size) {}

  Bytes datagram_;
  size_t size_;
};

// How often each kind occurs in one compound: what an edge adds to its counters.
struct FeedbackSummary {
  uint32_t sender_reports = 0;
  uint32_t receiver_reports = 0;
  uint32_t source_descriptions = 0;
  uint32_t goodbyes = 0;
  uint32_t applications = 0;
  uint32_t nacks = 0;
  uint32_t nacked_packets = 0;  // sequence numbers named by all NACKs together
  uint32_t transport_ccs = 0;
  uint32_t plis = 0;
  uint32_t firs = 0;
  uint32_t rembs = 0;
  uint32_t extended_reports = 0;
  uint32_t others = 0;
};
FeedbackSummary summarize(const RtcpView& compound) noexcept;

// Builders write one packet (RFC 5506 reduced size) into `out` and return its length, 0 when it does not fit:
// then nothing in `out` may be sent.

inline constexpr size_t kPliLength = 12;
size_t build_pli(std::span<uint8_t> out, uint32_t sender_ssrc, uint32_t media_ssrc) noexcept;

// Packs `sequences` into PID and bit-mask pairs: each pair takes the next sequence not yet covered and those
// after it in the span that lie within 16 ahead. Any order is correct, ascending order is smallest. An empty
// span asks for nothing and builds nothing (0). nack_length_bound(n) bytes always suffice for n sequences of
// at most kMaxNackSequences. The pairs that fit into the largest UDP payload (65 507 bytes), one for each
// sequence at worst; more build nothing.
inline constexpr size_t kMaxNackSequences = (65'507 - 12) / 4;
constexpr size_t nack_length_bound(size_t sequence_count) noexcept {
  return 12 + 4 * sequence_count;
}
size_t build_nack(std::span<uint8_t> out, uint32_t sender_ssrc, uint32_t media_ssrc,
                  std::span<const uint16_t> sequences) noexcept;

}  // namespace trunkline::relay
