// HKDF beside RFC 5869, appendix A; lane keys beside OpenSSL, and pinned so that the wire cannot change
// silently.
#include "relay/lane_key.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>

#include "tests/relay/hex.h"
#include "tests/support/openssl_seal.h"

namespace trunkline::relay {
namespace {

using core::CoreId;
using test::Buffer;
using test::hex;

constexpr Suite kSealed[] = {Suite::kAes128Gcm, Suite::kAes256Gcm, Suite::kChaCha20Poly1305};

std::array<uint8_t, 32> ascending() {
  std::array<uint8_t, 32> secret;
  std::iota(secret.begin(), secret.end(), uint8_t{0});
  return secret;
}

Buffer key_of(const LaneKey& lane, Suite suite) {
  return Buffer(lane.key.begin(), lane.key.begin() + static_cast<std::ptrdiff_t>(cipher_key_bytes(suite)));
}
Buffer iv_of(const LaneKey& lane) {
  return Buffer(lane.iv.begin(), lane.iv.end());
}

void expect_expands(const char* secret, const Buffer& info, const char* expected) {
  const Buffer prk = hex(secret), okm = hex(expected);
  Buffer out(okm.size());
  hkdf_expand(std::span<const uint8_t, kHkdfSecretBytes>(prk), info, out);
  EXPECT_EQ(out, okm);
}

TEST(Hkdf, ExpandsAsTheRfcSays) {
  expect_expands("077709362c2e32df0ddc3f0dc47bba63 90b6c73bb50f9c3122ec844ad7c2b3e5",
                 hex("f0f1f2f3f4f5f6f7f8f9"),
                 "3cb25f25faacd57a90434f64d0362f2a 2d2d0a90cf1a5a4c5db02d56ecc4c5bf 34007208d5b887185865");
  Buffer info(80);
  std::iota(info.begin(), info.end(), uint8_t{0xb0});
  expect_expands(
      "06a6b88c5853361a06104c9ceb35b45c ef760014904671014a193f40c15fc244", info,
      "b11e398dc80327a1c8e7f78c596a4934 4f012eda2d4efad8a050cc4c19afa97c 59045a99cac7827271cb41c65e590e09"
      "da3275600c2f09b8367793a9aca3db71 cc30c58179ec3e87c14c01d5c1f3434f 1d87");
  expect_expands("19ef24a32c717b167f33a91d6f648bdf 96596776afdb6377ac434c1c293ccb04", {},
                 "8da4e775a563c18f715f802a063c5a31 b8a11f5c5ee1879ec3454e5f3c738d2d 9d201395faa4b61a96c8");
}

TEST(LaneKey, IsTheOneThatTheProtocolNames) {
  struct Known {
    Suite suite;
    const char *key, *iv;
  };
  constexpr Known kKnown[] = {
      {Suite::kAes128Gcm, "7161f6d3a388bd19684cb82c8beb8ed9", "1d0a77fd2b03b024e520ae21"},
      {Suite::kAes256Gcm, "4b0a87c1d9e1d47d63e953ae3b4b3e50 47ad8c94c7a9ced7d5eb0ab1b1910f11",
       "21225a4b1335460eae0c75f1"},
      {Suite::kChaCha20Poly1305, "fe119fbb07f591071cd4fac58406a82e 4df16bc87ec1c6796ebfcf1d1c5e1773",
       "c43102b2014e0add25aec73c"},
  };
  for (const Known& known : kKnown) {
    const LaneKey lane = derive_lane_key(ascending(), known.suite, CoreId{3}, CoreId{5});
    EXPECT_EQ(key_of(lane, known.suite), hex(known.key));
    EXPECT_EQ(iv_of(lane), hex(known.iv));
  }
}

TEST(LaneKey, OpensslDerivesTheSame) {
  for (const Suite suite : kSealed) {
    for (uint8_t from = 0; from < core::kMaxCores; ++from) {
      const auto to = static_cast<uint8_t>(15 - from);
      std::string info = "trunkline lane";
      for (const uint8_t byte : {static_cast<uint8_t>(suite), from, to}) info += static_cast<char>(byte);
      const Buffer expected = tests::openssl_expand(ascending(), info, cipher_key_bytes(suite) + 12);
      const LaneKey lane = derive_lane_key(ascending(), suite, CoreId{from}, CoreId{to});
      EXPECT_EQ(test::join({key_of(lane, suite), iv_of(lane)}), expected);
    }
  }
}

TEST(LaneKey, DiffersForEachLaneSuiteAndSecret) {
  std::set<Buffer> keys, ivs;
  size_t derived = 0;
  std::array<uint8_t, 32> secret = ascending();
  for (int i = 0; i < 2; ++i, secret[31] ^= 1) {
    for (const Suite suite : kSealed) {
      for (uint8_t lane = 0; lane < 0xff; ++lane, ++derived) {
        const LaneKey made = derive_lane_key(secret, suite, CoreId{static_cast<uint8_t>(lane >> 4)},
                                             CoreId{static_cast<uint8_t>(lane & 15)});
        keys.insert(Buffer(made.key.begin(), made.key.begin() + 16));
        ivs.insert(iv_of(made));
      }
    }
  }
  EXPECT_EQ(keys.size(), derived);
  EXPECT_EQ(ivs.size(), derived);
}

}  // namespace
}  // namespace trunkline::relay
