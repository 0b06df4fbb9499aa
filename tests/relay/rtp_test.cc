// RTP at the edges. Truth is written by hand from the RFCs' diagrams: each row gives the bytes and what a
// reader of RFC 3550 or RFC 8285 with a pencil would say about them.
#include "relay/rtp.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using test::Buffer;
using test::hex;
using test::join;

// Fixed headers: version 2, sequence 0x1234, timestamp 0x01020304, SSRC 0xdeadbeef, and the first two bytes
// as said.
Buffer header(std::string_view first_two) {
  return join({hex(first_two), hex("1234 01020304 deadbeef")});
}

struct Case {
  const char* name;
  Buffer bytes;
  RtpFault fault;
  size_t header_length = 0;
  size_t payload_length = 0;
  size_t padding_length = 0;
};

const std::vector<Case>& cases() {
  using enum RtpFault;
  static const std::vector<Case> table = {
      {"header only", header("8060"), kNone, 12, 0, 0},
      {"one payload byte", join({header("8060"), hex("77")}), kNone, 12, 1, 0},
      {"two CSRCs", join({header("8260"), hex("00000001 00000002 aabb")}), kNone, 20, 2, 0},
      {"fifteen CSRCs and nothing else", join({header("8f60"), Buffer(60, 9)}), kNone, 72, 0, 0},
      {"extension of no words", join({header("9060"), hex("bede 0000 77")}), kNone, 16, 1, 0},
      {"extension of an opaque profile", join({header("9060"), hex("abcd 0001 ffffffff 77")}), kNone, 20, 1,
       0},
      {"one-byte element filling its block", join({header("9060"), hex("bede 0001 12aabbcc")}), kNone, 20, 0,
       0},
      {"one-byte id 15 stops before garbage", join({header("9060"), hex("bede 0001 ffffffff")}), kNone, 20, 0,
       0},
      {"one-byte id 0 with length stops", join({header("9060"), hex("bede 0001 0fffffff")}), kNone, 20, 0, 0},
      {"two-byte elements of length 0", join({header("9060"), hex("1000 0001 05000600")}), kNone, 20, 0, 0},
      {"two-byte padding between elements", join({header("9060"), hex("100f 0002 0000 0501 aa 0000 00")}),
       kNone, 24, 0, 0},
      {"CSRC, extension and padding together",
       join({header("b160"), hex("00000007 bede 0001 10aa0000 5566 0002")}), kNone, 24, 2, 2},
      {"padding of one", join({header("a060"), hex("7701")}), kNone, 12, 1, 1},
      {"padding only, as probes send", join({header("a060"), hex("00000004")}), kNone, 12, 0, 4},
      {"padding of 255", join({header("a060"), Buffer(255, 255)}), kNone, 12, 0, 255},

      {"nothing", {}, kTooShort},
      {"one byte", hex("80"), kTooShort},
      {"eleven bytes", hex("8060 1234 01020304 deadbe"), kTooShort},
      {"longer than a datagram", join({header("8060"), Buffer(65'536 - 12, 0)}), kTooLong},
      {"version 0", header("0060"), kVersion},
      {"version 1", header("4060"), kVersion},
      {"version 3", header("c060"), kVersion},
      {"one CSRC that is not there", header("8160"), kCsrcPastEnd},
      {"fifteen CSRCs but one byte", join({header("8f60"), Buffer(59, 9)}), kCsrcPastEnd},
      {"extension bit and nothing behind", header("9060"), kExtensionPastEnd},
      {"extension header cut", join({header("9060"), hex("bede 00")}), kExtensionPastEnd},
      {"extension one byte short", join({header("9060"), hex("bede 0001 100000")}), kExtensionPastEnd},
      {"extension of 65535 words", join({header("9060"), hex("bede ffff 10000000")}), kExtensionPastEnd},
      {"one-byte element past its block", join({header("9060"), hex("bede 0001 13aabbcc dd")}),
       kExtensionElement},
      {"one-byte element with no data", join({header("9060"), hex("bede 0001 00000010 dd")}),
       kExtensionElement},
      {"two-byte element past its block", join({header("9060"), hex("1000 0001 0503aabb cc")}),
       kExtensionElement},
      {"two-byte element without its length", join({header("9060"), hex("1000 0001 00000005 00")}),
       kExtensionElement},
      {"padding of 0", join({header("a060"), hex("7700")}), kPadding},
      {"padding of exactly the payload", join({header("a060"), hex("000003")}), kNone, 12, 0, 3},
      {"padding that eats the last header byte", join({header("a060"), hex("000004")}), kPadding},
      {"padding of 255 over a payload of 4", join({header("a060"), hex("000000ff")}), kPadding},
      {"padding bit and no payload", header("a060"), kPadding},
      {"padding that eats the extension", join({header("b060"), hex("bede 0001 10aa0000 02")}), kPadding},
  };
  return table;
}

TEST(RtpView, AcceptsAndRefusesAsTheRfcsSay) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    RtpFault fault = RtpFault::kCount;
    const auto view = RtpView::parse(c.bytes, fault);
    EXPECT_EQ(fault, c.fault) << rtp_fault_text(fault);
    ASSERT_EQ(view.has_value(), c.fault == RtpFault::kNone);
    EXPECT_EQ(RtpView::parse(c.bytes).has_value(), view.has_value());
    if (!view) continue;
    EXPECT_EQ(view->header_length(), c.header_length);
    EXPECT_EQ(view->payload().size(), c.payload_length);
    EXPECT_EQ(view->padding_length(), c.padding_length);
    EXPECT_EQ(view->payload().data(), c.bytes.data() + c.header_length);
  }
}

TEST(RtpView, ReachesEveryReasonForRefusal) {
  std::set<RtpFault> reached;
  for (const Case& c : cases()) reached.insert(c.fault);
  for (auto fault = RtpFault::kNone; fault < RtpFault::kRtcpTooShort;
       fault = static_cast<RtpFault>(static_cast<int>(fault) + 1)) {
    EXPECT_TRUE(reached.contains(fault)) << rtp_fault_name(fault);
  }
}

TEST(RtpView, RefusesEveryTruncationOfItsHeader) {
  const Buffer whole = join({header("9260"), hex("00000001 00000002 bede 0002 12aabbcc 20dd0000 99")});
  ASSERT_TRUE(RtpView::parse(whole));
  for (size_t length = 0; length + 1 < whole.size(); ++length) {
    EXPECT_FALSE(RtpView::parse(Bytes(whole).first(length))) << length;
  }
}

TEST(RtpView, ReadsEachHeaderField) {
  const Buffer bytes = join({header("92e1"), hex("0a0b0c0d 11223344 bede 0001 50660000 99")});
  const auto view = RtpView::parse(bytes);
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->marker());
  EXPECT_EQ(view->payload_type(), 0x61);
  EXPECT_EQ(view->sequence(), 0x1234);
  EXPECT_EQ(view->timestamp(), 0x01020304u);
  EXPECT_EQ(view->ssrc(), 0xdeadbeefu);
  ASSERT_EQ(view->csrc_count(), 2u);
  EXPECT_EQ(view->csrc(0), 0x0a0b0c0du);
  EXPECT_EQ(view->csrc(1), 0x11223344u);
  EXPECT_TRUE(view->has_extension());
  EXPECT_EQ(view->extension_profile(), 0xbede);
  EXPECT_EQ(view->extension_block().size(), 4u);
  const auto plain = header("8060");
  EXPECT_FALSE(RtpView::parse(plain)->has_extension());
  EXPECT_EQ(RtpView::parse(plain)->extension_profile(), 0);
  EXPECT_TRUE(RtpView::parse(plain)->extension_block().empty());
}

TEST(RtpView, ListsExtensionElementsOfBothForms) {
  struct Row {
    const char* name;
    const char* extension;
    std::vector<std::pair<int, Buffer>> elements;
  };
  const Row rows[] = {
      {"one-byte",
       "bede 0003 10aa 00 21bbcc 00 32ddeeff 00",
       {{1, hex("aa")}, {2, hex("bbcc")}, {3, hex("ddeeff")}}},
      {"one-byte, stop at 15", "bede 0002 10aa f0 00 20bb 0000", {{1, hex("aa")}}},
      {"one-byte, stop at 0 with length", "bede 0002 10aa 01 00 20bb 0000", {{1, hex("aa")}}},
      {"one-byte, sixteen bytes",
       "bede 0005 ef 000102030405060708090a0b0c0d0e0f 000000",
       {{14, hex("000102030405060708090a0b0c0d0e0f")}}},
      {"two-byte", "1003 0003 0102aabb 00 0f00 ff01 cc 0000", {{1, hex("aabb")}, {15, {}}, {255, hex("cc")}}},
      {"another profile", "0bed 0001 10aa0000", {}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const Buffer bytes = join({header("9060"), hex(row.extension)});
    const auto view = RtpView::parse(bytes);
    ASSERT_TRUE(view);
    std::vector<std::pair<int, Buffer>> found;
    view->for_each_extension(
        [&](uint8_t id, Bytes data) { found.emplace_back(id, Buffer(data.begin(), data.end())); });
    EXPECT_EQ(found, row.elements);
    for (const auto& [id, data] : row.elements) {
      const auto element = view->extension(static_cast<uint8_t>(id));
      ASSERT_TRUE(element);
      EXPECT_EQ(Buffer(element->begin(), element->end()), data);
    }
    EXPECT_FALSE(view->extension(99));
  }
}

TEST(Classify, DividesTheSecondByteAsRfc5761Says) {
  for (int second = 0; second < 256; ++second) {
    const Buffer bytes = {0x80, static_cast<uint8_t>(second)};
    const EdgeKind expected = second >= 192 && second <= 223 ? EdgeKind::kRtcp : EdgeKind::kRtp;
    EXPECT_EQ(classify(bytes), expected) << second;
  }
}

TEST(Classify, KnowsWhatIsNeither) {
  EXPECT_EQ(classify({}), EdgeKind::kNeither);
  EXPECT_EQ(classify(hex("80")), EdgeKind::kNeither);
  EXPECT_EQ(classify(hex("0001 0000 2112a442")), EdgeKind::kNeither) << "STUN binding request";
  EXPECT_EQ(classify(hex("16fe fd00")), EdgeKind::kNeither) << "DTLS handshake";
  EXPECT_EQ(classify(hex("40c8")), EdgeKind::kNeither) << "TURN channel";
  EXPECT_EQ(classify(hex("c0c8")), EdgeKind::kNeither) << "version 3";
  EXPECT_EQ(classify(hex("bfc9")), EdgeKind::kRtcp) << "padding and count bits do not matter";
}

TEST(Sequence, OrdersAcrossTheWrap) {
  struct Row {
    uint16_t a, b;
    bool newer;
  };
  const Row rows[] = {{1, 0, true},        {0, 1, false},       {0, 0, false},     {0, 65535, true},
                      {65535, 0, false},   {32767, 0, true},    {32768, 0, false}, {0, 32768, false},
                      {32769, 0, false},   {0, 32769, true},    {5, 65530, true},  {65530, 5, false},
                      {40000, 7233, true}, {40000, 7232, false}};
  for (const Row& row : rows) EXPECT_EQ(seq_newer(row.a, row.b), row.newer) << row.a << " after " << row.b;
  EXPECT_EQ(seq_distance(65535, 0), 1);
  EXPECT_EQ(seq_distance(0, 65535), -1);
  EXPECT_EQ(seq_distance(10, 32777), 32767);
  EXPECT_EQ(seq_distance(0, 32768), -32768);
}

TEST(Vp8, RecognisesTheFirstPacketOfAKeyFrame) {
  const std::pair<const char*, bool> rows[] = {
      {"10 10", true},                // S, partition 0; P bit clear
      {"10 11", false},               // P bit set: an interframe
      {"00 10", false},               // not the start of a partition
      {"11 10", false},               // partition 1
      {"30 10", true},                // non-reference bit is irrelevant
      {"90 80 05 10", true},          // 7-bit PictureID
      {"90 80 8505 10", true},        // 15-bit PictureID
      {"90 80 8505 11", false},       //
      {"90 c0 8505 07 10", true},     // + TL0PICIDX
      {"90 e0 8505 07 41 10", true},  // + TID
      {"90 f0 8505 07 41 10", true},  // TID and KEYIDX share one byte
      {"90 10 41 10", true},          // KEYIDX alone
      {"90 00 10", true},             // extension byte that announces nothing
      {"", false},
      {"10", false},
      {"90", false},
      {"90 80", false},
      {"90 80 85", false},
      {"90 80 8505", false},
      {"90 f0 8505 07 40", false},
  };
  for (const auto& [payload, keyframe] : rows)
    EXPECT_EQ(vp8_keyframe_start(hex(payload)), keyframe) << payload;
}

TEST(H264, RecognisesIdrAndSpsInEachPacketization) {
  const std::pair<const char*, bool> rows[] = {
      {"65 88", true},                 // IDR slice
      {"67 42", true},                 // SPS
      {"68 ce", false},                // PPS
      {"41 9a", false},                // non-IDR slice
      {"25 88", true},                 // other NRI
      {"78 0002 6742 0001 68", true},  // STAP-A: SPS, PPS
      {"78 0001 68 0002 6588", true},  // STAP-A: PPS, IDR
      {"78 0001 68 0001 41", false},   // STAP-A without either
      {"78 0000 0001 67", true},       // an empty unit is stepped over
      {"78 0003 6742", false},         // size past the end
      {"78 00", false},
      {"78", false},        // cut
      {"7c 85 00", true},   // FU-A, start, IDR
      {"7c 87 00", true},   // FU-A, start, SPS
      {"7c 05 00", false},  // FU-A, middle
      {"7c 45 00", false},  // FU-A, end
      {"7c 81 00", false},  // FU-A, start, non-IDR
      {"7c", false},
      {"", false},
  };
  for (const auto& [payload, keyframe] : rows)
    EXPECT_EQ(h264_keyframe_start(hex(payload)), keyframe) << payload;
}

TEST(RtpFault, HasAUniqueNameAndATextForEach) {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(RtpFault::kCount); ++i) {
    const auto fault = static_cast<RtpFault>(i);
    EXPECT_TRUE(names.insert(rtp_fault_name(fault)).second) << rtp_fault_name(fault);
    EXPECT_FALSE(rtp_fault_text(fault).empty());
  }
  EXPECT_EQ(rtp_fault_name(RtpFault::kCount), "unknown");
  EXPECT_EQ(rtp_fault_text(RtpFault::kCount), "unknown");
}

}  // namespace
}  // namespace trunkline::relay
