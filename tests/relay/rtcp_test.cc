// RTCP at the edges. Truth is written by hand from the diagrams of RFC 3550, 3611, 4585, 5104 and the two
// drafts.
#include "relay/rtcp.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <vector>

#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using test::Buffer;
using test::hex;
using test::join;

const char* const kSr = "80c8 0006 0000000a 1111111122222222 33333333 00000010 00000400";
const char* const kSr1 =
    "81c8 000c 0000000a 1111111122222222 33333333 00000010 00000400 0000000b 40fffffe 00010005 00000007 "
    "00000008 00000009";
const char* const kRr = "80c9 0001 0000000a";
const char* const kRr1 = "81c9 0007 0000000a 0000000b 80000102 00010005 00000007 00000008 00000009";
const char* const kSdes = "81ca 0003 0000000a 01026162 00000000";
const char* const kBye = "81cb 0001 0000000a";
const char* const kByeReason = "81cb 0002 0000000a 03627965";
const char* const kApp = "80cc 0002 0000000a 4e414d45";
const char* const kPli = "81ce 0002 0000000a 0000000b";
const char* const kFir = "84ce 0006 0000000a 00000000 0000000b 01000000 0000000c 02000000";
const char* const kNack = "81cd 0003 0000000a 0000000b fffe 0005";
const char* const kRemb = "8fce 0006 0000000a 00000000 52454d42 020bf423 0000000b 0000000c";
const char* const kTwcc = "8fcd 0006 0000000a 0000000b 0001 0003 000002 07 2003 040404 000000";
const char* const kXr = "80cf 0004 0000000a 04000002 1122334455667788";

struct Case {
  const char* name;
  Buffer bytes;
  RtpFault fault;
  size_t packets = 0;
};

Buffer many(size_t count) {
  Buffer bytes;
  for (size_t i = 0; i < count; ++i) bytes.insert(bytes.end(), {0x80, 0xcb, 0, 0});  // BYE of no source
  return bytes;
}

const std::vector<Case>& cases() {
  using enum RtpFault;
  static const std::vector<Case> table = {
      {"sender report", hex(kSr), kNone, 1},
      {"sender report with a block", hex(kSr1), kNone, 1},
      {"receiver report", hex(kRr), kNone, 1},
      {"receiver report with a block", hex(kRr1), kNone, 1},
      {"receiver report with a profile extension", hex("80c9 0002 0000000a ffffffff"), kNone, 1},
      {"SDES", hex(kSdes), kNone, 1},
      {"SDES of no chunk", hex("80ca 0000"), kNone, 1},
      {"SDES chunk without items", hex("81ca 0002 0000000a 00000000"), kNone, 1},
      {"SDES of two chunks", hex("82ca 0006 0000000a 01016100 0000000b 01026162 00000000 00000000"), kNone,
       1},
      {"SDES whose second chunk begins on a word",
       hex("82ca 0005 0000000a 01000000 00000101 ff026161 00000000"), kNone, 1},
      {"BYE", hex(kBye), kNone, 1},
      {"BYE with a reason", hex(kByeReason), kNone, 1},
      {"APP", hex(kApp), kNone, 1},
      {"PLI", hex(kPli), kNone, 1},
      {"FIR", hex(kFir), kNone, 1},
      {"NACK", hex(kNack), kNone, 1},
      {"REMB", hex(kRemb), kNone, 1},
      {"transport-wide feedback", hex(kTwcc), kNone, 1},
      {"XR", hex(kXr), kNone, 1},
      {"lowest and highest type", hex("80c0 0000 80df 0000"), kNone, 2},
      {"compound of report, SDES and PLI", join({hex(kRr), hex(kSdes), hex(kPli)}), kNone, 3},
      {"padding on the only packet", hex("a0c9 0002 0000000a 00000004"), kNone, 1},
      {"padding on the last packet", join({hex(kRr), hex("a1ce 0004 0000000a 0000000b 0000000000000008")}),
       kNone, 2},
      {"as many packets as the bound", many(RtcpView::kMaxPackets), kNone, RtcpView::kMaxPackets},

      {"nothing", {}, kRtcpTooShort},
      {"three bytes", hex("80c900"), kRtcpTooShort},
      {"trailing byte", join({hex(kRr), hex("80")}), kRtcpTooShort},
      {"longer than a datagram", join({hex("80cc 3fff"), Buffer(65'532, 0)}), kRtcpTooLong},
      {"version 1", hex("40c9 0001 0000000a"), kRtcpVersion},
      {"version 3", hex("c0c9 0001 0000000a"), kRtcpVersion},
      {"second packet of version 0", join({hex(kRr), hex("00c9 0001 0000000a")}), kRtcpVersion},
      {"type 191", hex("80bf 0000"), kRtcpType},
      {"type 224", hex("80e0 0000"), kRtcpType},
      {"length one word too long", hex("80c9 0002 0000000a"), kRtcpLength},
      {"length of 65535 words", hex("80c9 ffff 0000000a"), kRtcpLength},
      {"length that ends in the middle of a packet", hex("81ce 0001 0000000a 0000000b"), kRtcpFeedback},
      {"padding on the first of two", join({hex("a0c9 0002 0000000a 00000004"), hex(kPli)}),
       kRtcpPaddingNotLast},
      {"padding of 0", hex("a0c9 0002 0000000a 00000000"), kRtcpPadding},
      {"padding of 3", hex("a0c9 0002 0000000a 00000003"), kRtcpPadding},
      {"padding of 12 in 8", hex("a0c9 0002 0000000a 0000000c"), kRtcpPadding},
      {"padding bit on a bare header", hex("a0cb 0000"), kRtcpPadding},
      {"padding that leaves too little", hex("a0c9 0002 0000000a 00000008"), kRtcpReport},
      {"one packet above the bound", many(RtcpView::kMaxPackets + 1), kRtcpTooMany},
      {"SR one word short", hex("80c8 0005 0000000a 1111111122222222 33333333 00000010"), kRtcpReport},
      {"SR with a block that is not there",
       hex("81c8 0006 0000000a 1111111122222222 33333333 00000010 00000400"), kRtcpReport},
      {"RR without its SSRC", hex("80c9 0000"), kRtcpReport},
      {"RR of 31 blocks that are not there", hex("9fc9 0001 0000000a"), kRtcpReport},
      {"SDES chunk that is not there", hex("81ca 0000"), kRtcpSdes},
      {"SDES item past the end", hex("81ca 0002 0000000a 01ff6161"), kRtcpSdes},
      {"SDES item without its length", hex("81ca 0002 0000000a 01016101"), kRtcpSdes},
      {"SDES without terminator", hex("81ca 0002 0000000a 01026162"), kRtcpSdes},
      {"BYE source that is not there", hex("81cb 0000"), kRtcpBye},
      {"BYE reason past the end", hex("81cb 0002 0000000a 04627965"), kRtcpBye},
      {"BYE reason of 255", hex("81cb 0002 0000000a ff000000"), kRtcpBye},
      {"APP without its name", hex("80cc 0001 0000000a"), kRtcpApp},
      {"PLI without its media SSRC", hex("81ce 0001 0000000a"), kRtcpFeedback},
      {"feedback of unknown format, bare", hex("9fcd 0000"), kRtcpFeedback},
      {"NACK that names nothing", hex("81cd 0002 0000000a 0000000b"), kRtcpNack},
      {"FIR without entries", hex("84ce 0002 0000000a 00000000"), kRtcpFir},
      {"FIR with half an entry", hex("84ce 0003 0000000a 00000000 0000000b"), kRtcpFir},
      {"REMB cut after its name", hex("8fce 0003 0000000a 00000000 52454d42"), kRtcpRemb},
      {"REMB with a source that is not there", hex("8fce 0004 0000000a 00000000 52454d42 010bf423"),
       kRtcpRemb},
      {"REMB of 2^64", hex("8fce 0004 0000000a 00000000 52454d42 00fc0002"), kRtcpRemb},
      {"transport-wide feedback cut in its head", hex("8fcd 0003 0000000a 0000000b 0001 0003"),
       kRtcpTransportCc},
      {"transport-wide feedback without chunks", hex("8fcd 0004 0000000a 0000000b 0001 0003 00000207"),
       kRtcpTransportCc},
      {"transport-wide feedback one delta short",
       hex("8fcd 0005 0000000a 0000000b 0001 0003 00000207 2003 0404"), kRtcpTransportCc},
      {"transport-wide feedback of 8191 large deltas",
       hex("8fcd 0005 0000000a 0000000b 0001 ffff 00000207 5fff 0404"), kRtcpTransportCc},
      {"transport-wide feedback with the reserved symbol in a run",
       hex("8fcd 0006 0000000a 0000000b 0001 0001 00000207 6001 000000000000"), kRtcpTransportCc},
      {"transport-wide feedback with the reserved symbol in a vector",
       hex("8fcd 0006 0000000a 0000000b 0001 0001 00000207 f000 000000000000"), kRtcpTransportCc},
      {"XR without its SSRC", hex("80cf 0000"), kRtcpXr},
      {"XR block past the end", hex("80cf 0003 0000000a 04000002 11223344"), kRtcpXr},
  };
  return table;
}

TEST(RtcpView, AcceptsAndRefusesAsTheRfcsSay) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    RtpFault fault = RtpFault::kCount;
    const auto view = RtcpView::parse(c.bytes, fault);
    EXPECT_EQ(fault, c.fault) << rtp_fault_text(fault);
    ASSERT_EQ(view.has_value(), c.fault == RtpFault::kNone);
    EXPECT_EQ(RtcpView::parse(c.bytes).has_value(), view.has_value());
    if (!view) continue;
    EXPECT_EQ(view->size(), c.packets);
    size_t packets = 0;
    size_t bytes = 0;
    for (const RtcpPacket packet : *view) {
      ++packets;
      bytes += packet.bytes().size();
    }
    EXPECT_EQ(packets, c.packets);
    EXPECT_EQ(bytes, c.bytes.size());
  }
}

TEST(RtcpView, ReachesEveryReasonForRefusal) {
  std::set<RtpFault> reached;
  for (const Case& c : cases()) reached.insert(c.fault);
  for (int i = static_cast<int>(RtpFault::kRtcpTooShort); i < static_cast<int>(RtpFault::kCount); ++i) {
    EXPECT_TRUE(reached.contains(static_cast<RtpFault>(i))) << rtp_fault_name(static_cast<RtpFault>(i));
  }
}

TEST(RtcpView, RefusesEveryTruncationOfEachPacket) {
  for (const char* text : {kSr1, kRr1, kSdes, kByeReason, kApp, kPli, kFir, kNack, kRemb, kTwcc, kXr}) {
    const Buffer whole = hex(text);
    for (size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(RtcpView::parse(Bytes(whole).first(length))) << text << " cut to " << length;
    }
  }
}

RtcpPacket only(const RtcpView& view) {
  return *view.begin();
}

TEST(RtcpPacket, NamesItsKindAndItsSources) {
  struct Row {
    const char* text;
    RtcpKind kind;
    uint8_t type, count;
    bool has_media;
    uint32_t media;
  };
  const Row rows[] = {
      {kSr, RtcpKind::kSenderReport, 200, 0, false, 0},
      {kRr1, RtcpKind::kReceiverReport, 201, 1, false, 0},
      {kSdes, RtcpKind::kSourceDescription, 202, 1, false, 0},
      {kBye, RtcpKind::kGoodbye, 203, 1, false, 0},
      {kApp, RtcpKind::kApplication, 204, 0, false, 0},
      {kNack, RtcpKind::kNack, 205, 1, true, 0xb},
      {kTwcc, RtcpKind::kTransportCc, 205, 15, true, 0xb},
      {kPli, RtcpKind::kPli, 206, 1, true, 0xb},
      {kFir, RtcpKind::kFir, 206, 4, true, 0},
      {kRemb, RtcpKind::kRemb, 206, 15, true, 0},
      {kXr, RtcpKind::kExtendedReport, 207, 0, false, 0},
      {"8fce 0003 0000000a 00000000 41414141", RtcpKind::kOther, 206, 15, true, 0},
      {"83cd 0002 0000000a 0000000b", RtcpKind::kOther, 205, 3, true, 0xb},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const Buffer bytes = hex(row.text);
    const auto view = RtcpView::parse(bytes);
    ASSERT_TRUE(view);
    const RtcpPacket packet = only(*view);
    EXPECT_EQ(packet.kind(), row.kind);
    EXPECT_EQ(packet.type(), row.type);
    EXPECT_EQ(packet.count(), row.count);
    EXPECT_EQ(packet.sender_ssrc(), 0xau);
    EXPECT_EQ(packet.media_ssrc().has_value(), row.has_media);
    EXPECT_EQ(packet.media_ssrc().value_or(0), row.media);
  }
  const Buffer bare = hex("80cb 0000");
  EXPECT_FALSE(only(*RtcpView::parse(bare)).sender_ssrc());
}

TEST(RtcpPacket, ReadsReportBlocks) {
  std::vector<ReportBlock> blocks;
  const auto keep = [&](const ReportBlock& block) { blocks.push_back(block); };
  const Buffer sr = hex(kSr1);
  const Buffer rr = hex(kRr1);
  const Buffer pli = hex(kPli);
  only(*RtcpView::parse(sr)).for_each_report_block(keep);
  only(*RtcpView::parse(rr)).for_each_report_block(keep);
  only(*RtcpView::parse(pli)).for_each_report_block(keep);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0].ssrc, 0xbu);
  EXPECT_EQ(blocks[0].fraction_lost, 0x40);
  EXPECT_EQ(blocks[0].cumulative_lost, -2) << "duplicates make it negative";
  EXPECT_EQ(blocks[1].fraction_lost, 0x80);
  EXPECT_EQ(blocks[1].cumulative_lost, 0x102);
  EXPECT_EQ(blocks[1].extended_highest_sequence, 0x10005u);
  EXPECT_EQ(blocks[1].jitter, 7u);
  EXPECT_EQ(blocks[1].last_sr, 8u);
  EXPECT_EQ(blocks[1].delay_since_last_sr, 9u);
}

std::vector<uint16_t> nacked(Bytes bytes) {
  std::vector<uint16_t> sequences;
  const auto view = RtcpView::parse(bytes);
  EXPECT_TRUE(view);
  for (const RtcpPacket packet : *view) {
    packet.for_each_nack([&](uint16_t sequence) { sequences.push_back(sequence); });
  }
  return sequences;
}

TEST(RtcpPacket, ListsNackedSequencesAcrossTheWrap) {
  EXPECT_EQ(nacked(hex(kNack)), (std::vector<uint16_t>{0xfffe, 0xffff, 1}));
  EXPECT_EQ(nacked(hex("81cd 0004 0000000a 0000000b 0100 8000 0200 0000")),
            (std::vector<uint16_t>{0x100, 0x110, 0x200}));
  EXPECT_EQ(nacked(hex("81cd 0003 0000000a 0000000b 0000 ffff")).size(), 17u);
  EXPECT_TRUE(nacked(hex(kPli)).empty());
}

TEST(RtcpPacket, ListsSourcesWhoseKeyFrameIsWanted) {
  std::vector<uint32_t> wanted;
  const Buffer bytes = join({hex(kRr), hex(kPli), hex(kFir), hex(kNack)});
  const auto view = RtcpView::parse(bytes);
  ASSERT_TRUE(view);
  for (const RtcpPacket packet : *view) {
    packet.for_each_keyframe_request([&](uint32_t ssrc) { wanted.push_back(ssrc); });
  }
  EXPECT_EQ(wanted, (std::vector<uint32_t>{0xb, 0xb, 0xc}));
}

TEST(RtcpPacket, ReadsRembAndTransportCc) {
  const Buffer remb = hex(kRemb);
  const auto estimate = only(*RtcpView::parse(remb)).remb();
  ASSERT_TRUE(estimate);
  EXPECT_EQ(estimate->bitrate_bps, 259'107u * 4) << "0x0bf423: exponent 2, mantissa 0x3f423";
  EXPECT_EQ(estimate->sources.size(), 8u);
  const Buffer largest = hex("8fce 0004 0000000a 00000000 52454d42 00fc0001");
  EXPECT_EQ(only(*RtcpView::parse(largest)).remb()->bitrate_bps, uint64_t{1} << 63);

  const Buffer twcc = hex(kTwcc);
  const auto feedback = only(*RtcpView::parse(twcc)).transport_cc();
  ASSERT_TRUE(feedback);
  EXPECT_EQ(feedback->base_sequence, 1);
  EXPECT_EQ(feedback->status_count, 3);
  EXPECT_EQ(feedback->reference_time, 2u);
  EXPECT_EQ(feedback->feedback_count, 7);
  EXPECT_FALSE(only(*RtcpView::parse(twcc)).remb());
  EXPECT_FALSE(only(*RtcpView::parse(remb)).transport_cc());
}

TEST(RtcpView, AcceptsEachChunkFormOfTransportCc) {
  // One-bit vector 1 01000000000000 over 14 packets: one small delta. Two-bit vector 11 01 10 00.. over 7:
  // three bytes.
  EXPECT_TRUE(RtcpView::parse(hex("8fcd 0005 0000000a 0000000b 0001 000e 00000207 9000 0400")));
  EXPECT_TRUE(RtcpView::parse(hex("8fcd 0006 0000000a 0000000b 0001 0007 00000207 d800 040404 000000")));
  EXPECT_FALSE(RtcpView::parse(hex("8fcd 0005 0000000a 0000000b 0001 0007 00000207 d800 0404")));
  // The longest run, of packets that did not arrive.
  EXPECT_TRUE(RtcpView::parse(hex("8fcd 0005 0000000a 0000000b 0001 1fff 00000207 1fff 0000")));
  // A run may announce more packets than the status count leaves.
  EXPECT_TRUE(RtcpView::parse(hex("8fcd 0005 0000000a 0000000b 0001 0002 00000207 3fff 0404")));
}

TEST(FeedbackSummary, CountsEachKindOnce) {
  const Buffer bytes = join({hex(kSr), hex(kRr), hex(kSdes), hex(kApp), hex(kNack), hex(kTwcc), hex(kPli),
                             hex(kFir), hex(kRemb), hex(kXr), hex("83cd 0002 0000000a 0000000b"), hex(kBye)});
  const auto view = RtcpView::parse(bytes);
  ASSERT_TRUE(view);
  const FeedbackSummary sum = summarize(*view);
  for (const uint32_t count :
       {sum.sender_reports, sum.receiver_reports, sum.source_descriptions, sum.goodbyes, sum.applications,
        sum.nacks, sum.transport_ccs, sum.plis, sum.firs, sum.rembs, sum.extended_reports, sum.others}) {
    EXPECT_EQ(count, 1u);
  }
  EXPECT_EQ(sum.nacked_packets, 3u);
}

TEST(BuildPli, WritesTheTwelveBytesOfRfc4585) {
  Buffer out(kPliLength);
  ASSERT_EQ(build_pli(out, 0xa, 0xb), kPliLength);
  EXPECT_EQ(out, hex(kPli));
  Buffer small(kPliLength - 1);
  EXPECT_EQ(build_pli(small, 0xa, 0xb), 0u);
}

TEST(BuildNack, PacksSequencesIntoPairs) {
  struct Row {
    const char* name;
    std::vector<uint16_t> sequences;
    const char* expected;
  };
  const Row rows[] = {
      {"one", {7}, "81cd 0003 0000000a 0000000b 0007 0000"},
      {"across the wrap", {0xfffe, 0xffff, 1}, "81cd 0003 0000000a 0000000b fffe 0005"},
      {"sixteen ahead fits", {0, 16}, "81cd 0003 0000000a 0000000b 0000 8000"},
      {"seventeen ahead does not", {0, 17}, "81cd 0004 0000000a 0000000b 0000 0000 0011 0000"},
      {"repeats vanish", {5, 5, 6, 6}, "81cd 0003 0000000a 0000000b 0005 0001"},
      {"descending is correct, not small", {6, 5}, "81cd 0004 0000000a 0000000b 0006 0000 0005 0000"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Buffer out(nack_length_bound(row.sequences.size()));
    const size_t length = build_nack(out, 0xa, 0xb, row.sequences);
    ASSERT_LE(length, out.size());
    out.resize(length);
    EXPECT_EQ(out, hex(row.expected));
  }
}

TEST(BuildNack, BuildsNothingWhenItDoesNotFit) {
  const std::vector<uint16_t> two = {0, 100};
  for (size_t room = 0; room < 20; ++room) {
    Buffer out(room);
    EXPECT_EQ(build_nack(out, 1, 2, two), 0u) << room;
  }
  Buffer exact(20);
  EXPECT_EQ(build_nack(exact, 1, 2, two), 20u);
  EXPECT_EQ(build_nack(exact, 1, 2, {}), 0u);
}

TEST(BuildNack, FillsAtMostOneDatagram) {
  std::vector<uint16_t> sparse;
  for (size_t i = 0; i < kMaxNackSequences + 1; ++i) sparse.push_back(static_cast<uint16_t>(i * 20));
  Buffer out(nack_length_bound(sparse.size()));
  EXPECT_EQ(build_nack(out, 1, 2, sparse), 0u);
  sparse.pop_back();
  const size_t length = build_nack(out, 1, 2, sparse);
  EXPECT_EQ(length, nack_length_bound(kMaxNackSequences));
  EXPECT_LE(length, 65'507u);
  out.resize(length);
  EXPECT_EQ(nacked(out), sparse);
}

}  // namespace
}  // namespace trunkline::relay
