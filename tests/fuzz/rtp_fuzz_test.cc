// Random and mutated datagrams against the RTP and RTCP parsers. Each input is copied so that nothing follows
// its last byte, parsed, and held against what must hold for every datagram.
//
//   TRUNKLINE_FUZZ_RUNS=n   inputs in total (default 1 000 000)
//   TRUNKLINE_FUZZ_SEED=n   first seed (default 1); a failure prints the seed and the input
//
// The properties are those of rtp_properties.h, which the libFuzzer targets share.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/rtp_properties.h"
#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using namespace properties;

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
