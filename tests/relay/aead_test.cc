// The ciphers beside published vectors: the GCM specification's (McGrew and Viega, appendix B; its cases with
// nonces of 96 bits) and RFC 8439, section 2.8.2.
#include "relay/aead.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>

#include "relay/wire.h"
#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using test::Buffer;
using test::hex;
using test::join;

struct Vector {
  const char* name;
  Suite suite;
  const char *key, *nonce, *header, *plain, *sealed, *tag;
};

constexpr const char* kKey128 = "feffe9928665731c 6d6a8f9467308308";
constexpr const char* kKey256 = "feffe9928665731c 6d6a8f9467308308 feffe9928665731c 6d6a8f9467308308";
constexpr const char* kZeros128 = "00000000000000000000000000000000";
constexpr const char* kZeros256 = "00000000000000000000000000000000 00000000000000000000000000000000";
constexpr const char* kZeroNonce = "000000000000000000000000";
constexpr const char* kNonce = "cafebabefacedbaddecaf888";
constexpr const char* kHeader = "feedfacedeadbeef feedfacedeadbeef abaddad2";
constexpr const char* kPlain60 =
    "d9313225f88406e5 a55909c5aff5269a 86a7a9531534f7da 2e4c303d8a318a72"
    "1c3c0c9595680953 2fcf0e2449a6b525 b16aedf5aa0de657 ba637b39";
constexpr const char* kPlain64 =
    "d9313225f88406e5 a55909c5aff5269a 86a7a9531534f7da 2e4c303d8a318a72"
    "1c3c0c9595680953 2fcf0e2449a6b525 b16aedf5aa0de657 ba637b391aafd255";

constexpr Vector kVectors[] = {
    {"GCM case 1", Suite::kAes128Gcm, kZeros128, kZeroNonce, "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {"GCM case 2", Suite::kAes128Gcm, kZeros128, kZeroNonce, "", kZeros128,
     "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
    {"GCM case 3", Suite::kAes128Gcm, kKey128, kNonce, "", kPlain64,
     "42831ec221777424 4b7221b784d0d49c e3aa212f2c02a4e0 35c17e2329aca12e"
     "21d514b25466931c 7d8f6a5aac84aa05 1ba30b396a0aac97 3d58e091473f5985",
     "4d5c2af327cd64a62cf35abd2ba6fab4"},
    {"GCM case 4", Suite::kAes128Gcm, kKey128, kNonce, kHeader, kPlain60,
     "42831ec221777424 4b7221b784d0d49c e3aa212f2c02a4e0 35c17e2329aca12e"
     "21d514b25466931c 7d8f6a5aac84aa05 1ba30b396a0aac97 3d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"GCM case 13", Suite::kAes256Gcm, kZeros256, kZeroNonce, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"GCM case 14", Suite::kAes256Gcm, kZeros256, kZeroNonce, "", kZeros128,
     "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"GCM case 15", Suite::kAes256Gcm, kKey256, kNonce, "", kPlain64,
     "522dc1f099567d07 f47f37a32a84427d 643a8cdcbfe5c0c9 7598a2bd2555d1aa"
     "8cb08e48590dbb3d a7b08b1056828838 c5f61e6393ba7a0a bcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"GCM case 16", Suite::kAes256Gcm, kKey256, kNonce, kHeader, kPlain60,
     "522dc1f099567d07 f47f37a32a84427d 643a8cdcbfe5c0c9 7598a2bd2555d1aa"
     "8cb08e48590dbb3d a7b08b1056828838 c5f61e6393ba7a0a bcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {"RFC 8439, 2.8.2", Suite::kChaCha20Poly1305,
     "8081828384858687 88898a8b8c8d8e8f 9091929394959697 98999a9b9c9d9e9f", "07000000 4041424344454647",
     "50515253c0c1c2c3c4c5c6c7",
     // "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen
     // would be it."
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173 73206f66202739393a204966204920636f756c"
     "64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865 206675747572652c2073756e73637265656e20"
     "776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6 3dbea45e8ca9671282fafb69da92728b"
     "1a71de0a9e060b2905d6a5b67ecd3b36 92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b 6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

class AeadVectors : public testing::TestWithParam<Vector> {
 protected:
  void SetUp() override {
    const Vector& vector = GetParam();
    auto made = Aead::make(vector.suite, 1);
    ASSERT_TRUE(made) << made.error().text;
    aead_ = std::move(*made);
    Buffer key = hex(vector.key);
    key.resize(32);
    aead_->expand(std::span<const uint8_t, 32>(key), key_);
    const Buffer nonce = hex(vector.nonce);
    ASSERT_EQ(nonce.size(), 12u);
    std::memcpy(nonce_.bytes, nonce.data(), nonce.size());
    header_ = hex(vector.header);
    sealed_ = join({header_, hex(vector.sealed), hex(vector.tag)});
  }
  bool open(Buffer& datagram) {
    OpenJob job{datagram.data(), static_cast<uint32_t>(datagram.size()), false};
    aead_->open({0}, key_, {&nonce_, 1}, static_cast<uint32_t>(header_.size()), {&job, 1});
    return job.authentic;
  }

  std::unique_ptr<Aead> aead_;
  AeadKey key_{};
  AeadNonce nonce_{};
  Buffer header_, sealed_;
};

TEST_P(AeadVectors, SealsToTheseBytes) {
  Buffer datagram = join({header_, hex(GetParam().plain), Buffer(kTagBytes)});
  SealJob job{datagram.data(), static_cast<uint32_t>(datagram.size()) - kTagBytes};
  aead_->seal({0}, key_, {&nonce_, 1}, static_cast<uint32_t>(header_.size()), {&job, 1});
  EXPECT_EQ(datagram, sealed_);
}

TEST_P(AeadVectors, OpensTheseBytesAndNoOthers) {
  Buffer datagram = sealed_;
  ASSERT_TRUE(open(datagram));
  datagram.resize(datagram.size() - kTagBytes);
  EXPECT_EQ(datagram, join({header_, hex(GetParam().plain)}));
  for (size_t bit = 0; bit < sealed_.size() * 8; ++bit) {
    datagram = sealed_;
    datagram[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_FALSE(open(datagram)) << "bit " << bit;
  }
}

INSTANTIATE_TEST_SUITE_P(All, AeadVectors, testing::ValuesIn(kVectors), [](const auto& test) {
  std::string name = test.param.name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

// relay/ipsec_mb.h: the code of four copies is mapped four times.
TEST(Aead, CoresOfOneNodeHaveCopiesOfTheLibraryOfTheirOwn) {
  ASSERT_TRUE(Aead::make(Suite::kAes128Gcm, 4));
  int copies = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    copies +=
        line.find("libIPSec_MB") != std::string::npos && line.find(" r-xp ") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(copies, 4);
}

TEST(Aead, EveryCoreSealsTheSameBytes) {
  for (const Suite suite : {Suite::kAes128Gcm, Suite::kAes256Gcm, Suite::kChaCha20Poly1305}) {
    const auto made = Aead::make(suite, core::kMaxCores);
    ASSERT_TRUE(made) << made.error().text;
    AeadKey key;
    const std::array<uint8_t, 32> secret{1, 2, 3};
    (*made)->expand(secret, key);
    const AeadNonce nonce{{4, 5, 6}};
    Buffer first;
    for (uint8_t core = 0; core < core::kMaxCores; ++core) {
      Buffer datagram(700, 0x33);
      SealJob job{datagram.data(), 700 - kTagBytes};
      (*made)->seal({core}, key, {&nonce, 1}, kHeaderBytes, {&job, 1});
      if (core == 0) first = datagram;
      EXPECT_EQ(datagram, first) << int{core};
    }
  }
}

TEST(Aead, IsMadeForSealedSuitesOnlyAndSaysWhichThereAre) {
  for (const Suite suite : {Suite::kNull, Suite::kModel, static_cast<Suite>(7)}) {
    const auto made = Aead::make(suite, 1);
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().text.find("is not a sealed one"), std::string::npos) << made.error().text;
    EXPECT_NE(made.error().text.find("aes-128-gcm"), std::string::npos) << made.error().text;
  }
}

}  // namespace
}  // namespace trunkline::relay
