// Random and mutated datagrams against the RTP and RTCP parsers. Each input is copied so that nothing follows
// its last byte, parsed, and held against properties that need no knowledge of the implementation: a second,
// deliberately plain reading of the RFCs must agree on what is accepted; header, payload and padding must add
// up to the datagram; packets must tile the compound; what is read out of a NACK must come back from the
// builder.
//
//   TRUNKLINE_FUZZ_RUNS=n   inputs in total (default 1 000 000)
//   TRUNKLINE_FUZZ_SEED=n   first seed (default 1); a failure prints the seed and the input
//
// The same properties as a libFuzzer target:
//   clang++ -std=c++20 -g -O1 -I. -DTRUNKLINE_LIBFUZZER -fsanitize=fuzzer,address,undefined
//     tests/fuzz/rtp_fuzz_test.cc relay/rtp.cc relay/rtcp.cc -o rtp_fuzz
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "relay/rtcp.h"
#include "relay/rtp.h"
#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/mutator.h"
#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using Broken = const char*;  // the property that does not hold, or nullptr

bool inside(Bytes part, Bytes whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Keeps the compiler from leaving out reads whose value nobody wants.
void consume(uint32_t value) {
  static volatile uint32_t sink;
  sink = value;
  (void)sink;
}

// RFC 3550 section 5.1 and RFC 8285 once more, with an index and wide signed integers instead of readers and
// views.
bool reference_accepts_rtp(Bytes b) {
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
bool reference_accepts_rtcp_framing(Bytes b) {
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

Broken check_rtp(Bytes datagram, bool& accepted) {
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
Broken check_nack(const RtcpPacket& packet) {
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

Broken check_packet(const RtcpPacket& packet, Bytes datagram) {
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

Broken check_rtcp(Bytes datagram, bool& accepted) {
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
Broken check(Bytes datagram, Accepted& accepted) {
  if (const Broken broken = check_rtp(datagram, accepted.rtp)) return broken;
  if (const Broken broken = check_rtcp(datagram, accepted.rtcp)) return broken;
  const EdgeKind kind = classify(datagram);
  if (accepted.rtcp && kind != EdgeKind::kRtcp) return "what parses as RTCP is classified as RTCP";
  if (accepted.rtp && kind == EdgeKind::kNeither) return "what parses as RTP is classified";
  consume(vp8_keyframe_start(datagram) || h264_keyframe_start(datagram));
  return nullptr;
}

}  // namespace
}  // namespace trunkline::relay

#ifdef TRUNKLINE_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trunkline::relay::Accepted accepted;
  if (const char* broken = trunkline::relay::check({data, size}, accepted)) {
    std::fprintf(stderr, "does not hold: %s\n", broken);
    std::abort();
  }
  return 0;
}

#else

#include <gtest/gtest.h>

namespace trunkline::relay {
namespace {

// Valid inputs, one for each shape that the parsers tell apart.
const std::vector<test::Buffer>& corpus() {
  using test::hex;
  static const std::vector<test::Buffer> inputs = {
      hex("8060 1234 01020304 deadbeef 10 50 01 02"),
      hex("90e0 1234 01020304 deadbeef bede 0002 10aa 00 21bbcc 0000 65 88 84 00"),
      hex("b260 1234 01020304 deadbeef 00000001 00000002 1000 0002 0502aabb 0600 0000 7c85 0000 0004"),
      hex("8060 1234 01020304 deadbeef 90e0 8505 07 40 10 02 00"),
      hex("8060 1234 01020304 deadbeef 78 0002 6742 0002 68ce 0002 6588"),
      hex("81c8 000c 0000000a 1111111122222222 33333333 00000010 00000400 0000000b 40fffffe 00010005 "
          "00000007 00000008"
          "00000009 81ca 0003 0000000a 01026162 00000000"),
      hex("81c9 0007 0000000a 0000000b 80000102 00010005 00000007 00000008 00000009 81ce 0002 0000000a "
          "0000000b"),
      hex("82ca 0006 0000000a 01016100 0000000b 01026162 00000000 00000000 81cb 0002 0000000a 03627965"),
      hex("80cc 0002 0000000a 4e414d45 80cf 0004 0000000a 04000002 1122334455667788"),
      hex("81cd 0004 0000000a 0000000b fffe 0005 0100 8001"),
      hex("84ce 0006 0000000a 00000000 0000000b 01000000 0000000c 02000000"),
      hex("8fce 0006 0000000a 00000000 52454d42 020bf423 0000000b 0000000c"),
      hex("8fcd 0006 0000000a 0000000b 0001 0003 000002 07 2003 040404 000000"),
      hex("8fcd 0007 0000000a 0000000b 0001 0015 000002 07 9000 d800 04040404 00000000"),
      hex("80c9 0001 0000000a a1ce 0004 0000000a 0000000b 0000000000000008"),
  };
  return inputs;
}

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string as_hex(Bytes bytes) {
  std::string text;
  char digits[3];
  for (const uint8_t byte : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

TEST(RtpFuzz, CorpusIsAcceptedAsItStands) {
  fuzz::ExactCopy exact;
  for (const test::Buffer& input : corpus()) {
    Accepted accepted;
    EXPECT_EQ(check(exact.of(input), accepted), nullptr) << as_hex(input);
    EXPECT_TRUE(accepted.rtp || accepted.rtcp) << as_hex(input);
    EXPECT_EQ(accepted.rtcp, classify(input) == EdgeKind::kRtcp) << as_hex(input);
  }
}

TEST(RtpFuzz, HoldsItsPropertiesOnRandomAndMutatedInput) {
  const uint64_t runs = number_from("TRUNKLINE_FUZZ_RUNS", 1'000'000);
  const uint64_t seed = number_from("TRUNKLINE_FUZZ_SEED", 1);
  std::printf("seed %llu, %llu inputs\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(runs));
  fuzz::Mutator mutator(seed);
  fuzz::ExactCopy exact;
  uint64_t rtp = 0;
  uint64_t rtcp = 0;
  uint64_t refused = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    // One in eight is noise; most noise fails at the version, so half of it gets a plausible first byte and
    // type.
    std::vector<uint8_t> input;
    if (mutator.below(8) == 0) {
      input = mutator.random(512);
      if (input.size() >= 2 && mutator.below(2) == 0) {
        input[0] = static_cast<uint8_t>(0x80 | (input[0] & 0x3f));
        input[1] = static_cast<uint8_t>(mutator.below(2) == 0 ? 200 + mutator.below(8) : input[1]);
      }
    } else {
      input = mutator.mutate(corpus()[mutator.below(corpus().size())]);
    }
    Accepted accepted;
    const Broken broken = check(exact.of(input), accepted);
    ASSERT_EQ(broken, nullptr) << broken << "; seed " << seed << ", run " << run << ", input "
                               << as_hex(input);
    rtp += accepted.rtp;
    rtcp += accepted.rtcp;
    refused += !accepted.rtp && !accepted.rtcp;
  }
  std::printf("accepted as RTP %llu, as RTCP %llu; refused %llu\n", static_cast<unsigned long long>(rtp),
              static_cast<unsigned long long>(rtcp), static_cast<unsigned long long>(refused));
  // The mutator must keep reaching both sides of the border, or the properties above were never asked.
  if (runs >= 1'000) {
    EXPECT_GT(rtp, runs / 50);
    EXPECT_GT(rtcp, runs / 50);
    EXPECT_GT(refused, runs / 50);
  }
}

TEST(Mutator, RepeatsItselfFromTheSameSeed) {
  const test::Buffer input = corpus().front();
  fuzz::Mutator one(7);
  fuzz::Mutator two(7);
  fuzz::Mutator other(8);
  std::vector<std::vector<uint8_t> > from_one, from_two, from_other;
  for (int i = 0; i < 100; ++i) {
    from_one.push_back(one.mutate(input));
    from_two.push_back(two.mutate(input));
    from_other.push_back(other.mutate(input));
  }
  EXPECT_EQ(from_one, from_two);
  EXPECT_NE(from_one, from_other);
}

TEST(Mutator, ShortensGrowsAndChangesInputs) {
  const test::Buffer input(64, 0x55);
  fuzz::Mutator mutator(1);
  size_t shorter = 0;
  size_t longer = 0;
  size_t changed_in_place = 0;
  for (int i = 0; i < 1'000; ++i) {
    const std::vector<uint8_t> output = mutator.mutate(input);
    shorter += output.size() < input.size();
    longer += output.size() > input.size();
    changed_in_place += output.size() == input.size() && output != input;
  }
  EXPECT_GT(shorter, 100u);
  EXPECT_GT(longer, 100u);
  EXPECT_GT(changed_in_place, 100u);
}

}  // namespace
}  // namespace trunkline::relay

#endif
