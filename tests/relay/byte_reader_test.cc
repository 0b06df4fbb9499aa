// The sticky reader and writer under every parser and builder of the relay.
#include "relay/byte_reader.h"

#include <gtest/gtest.h>

#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using test::Buffer;
using test::hex;

TEST(ByteReader, ReadsNetworkOrderUpToTheLastByte) {
  const Buffer bytes = hex("01 0203 04050607 0809");
  ByteReader in(bytes);
  EXPECT_EQ(in.u8(), 0x01);
  EXPECT_EQ(in.u16(), 0x0203);
  EXPECT_EQ(in.u32(), 0x04050607u);
  EXPECT_EQ(in.remaining(), 2u);
  const Bytes rest = in.take(2);
  EXPECT_EQ(Buffer(rest.begin(), rest.end()), hex("0809"));
  EXPECT_TRUE(in.ok());
  EXPECT_TRUE(in.take(0).empty());
  EXPECT_TRUE(in.ok()) << "taking nothing at the end is fine";
}

TEST(ByteReader, StaysFailedAfterAReadPastTheEnd) {
  const Buffer bytes = hex("010203");
  ByteReader in(bytes);
  EXPECT_EQ(in.u32(), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.remaining(), 0u) << "what was left is not read in its place";
  EXPECT_EQ(in.u8(), 0);
  EXPECT_TRUE(in.take(0).empty());
  EXPECT_FALSE(in.ok());
}

TEST(ByteReader, RefusesTheLargestLength) {
  const Buffer bytes = hex("010203");
  ByteReader in(bytes);
  in.u8();
  EXPECT_TRUE(in.take(SIZE_MAX).empty());
  EXPECT_FALSE(in.ok());
}

TEST(ByteWriter, WritesNetworkOrderAndCounts) {
  Buffer out(7);
  ByteWriter writer(out);
  writer.u8(0x01);
  writer.u16(0x0203);
  writer.u32(0x04050607);
  EXPECT_EQ(writer.length(), 7u);
  EXPECT_EQ(out, hex("01020304050607"));
}

TEST(ByteWriter, HasNoLengthOnceSomethingDidNotFit) {
  Buffer out(4, 0xee);
  ByteWriter writer(std::span<uint8_t>(out).first(3));
  writer.u32(0x01020304);
  EXPECT_EQ(writer.length(), 0u);
  writer.u8(1);
  EXPECT_EQ(writer.length(), 0u);
  EXPECT_EQ(out[3], 0xee) << "not a byte beyond the span";
}

}  // namespace
}  // namespace trunkline::relay
