// The sealed suites as the packet path uses them: what opens, what does not, and that OpenSSL, which was told
// docs/protocol.md and nothing of our code, seals and opens the same bytes.
#include "relay/sealed_suite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/rng.h"
#include "relay/wire.h"
#include "tests/relay/hex.h"
#include "tests/support/openssl_seal.h"

namespace trunkline::relay {
namespace {

using core::CoreId;
using test::Buffer;
using test::hex;

constexpr uint32_t kLeast = kHeaderBytes + kTagBytes;

class SealedSuites : public testing::TestWithParam<Suite> {
 protected:
  SealedSuites() : rng_(5) {
    auto made = SealedSuite::make(GetParam(), core::kMaxCores);
    EXPECT_TRUE(made) << made.error().text;
    suite_ = std::move(*made);
    a_ = suite_->make_session();
    b_ = suite_->make_session();
    connect();
  }
  // Both ends of a session with fresh secrets.
  void connect() {
    keys_.suite = GetParam();
    for (uint8_t& byte : keys_.send_secret) byte = static_cast<uint8_t>(rng_.next());
    for (uint8_t& byte : keys_.receive_secret) byte = static_cast<uint8_t>(rng_.next());
    suite_->key_session(*a_, keys_);
    suite_->key_session(*b_, {keys_.suite, keys_.receive_secret, keys_.send_secret});
  }
  // header | random records | room for the tag, `length` bytes in all.
  Buffer datagram(uint32_t length, uint64_t counter, uint8_t lane = 0) {
    Buffer bytes(length);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng_.next());
    encode_header(bytes.data(),
                  {.lane = lane, .counter = counter, .session_index = static_cast<uint32_t>(rng_.next())});
    return bytes;
  }
  static Buffer sealed(SessionCrypto& session, Buffer bytes, CoreId from = {0}, CoreId to = {0}) {
    SealJob job{bytes.data(), static_cast<uint32_t>(bytes.size()) - kTagBytes};
    session.seal(from, to, {&job, 1});
    return bytes;
  }
  // header | records, or empty: not authentic.
  static Buffer opened(SessionCrypto& session, Buffer bytes, CoreId from = {0}, CoreId to = {0}) {
    OpenJob job{bytes.data(), static_cast<uint32_t>(bytes.size()), true};
    session.open(from, to, {&job, 1});
    if (!job.authentic) return {};
    bytes.resize(bytes.size() - kTagBytes);
    return bytes;
  }
  static bool opens(SessionCrypto& session, const Buffer& bytes, CoreId from = {0}, CoreId to = {0}) {
    return !opened(session, bytes, from, to).empty();
  }
  static Buffer plain(const Buffer& bytes) { return Buffer(bytes.begin(), bytes.end() - kTagBytes); }

  core::Rng rng_;
  std::unique_ptr<SealedSuite> suite_;
  std::unique_ptr<SessionCrypto> a_, b_;
  SessionKeys keys_;  // a's
};

TEST_P(SealedSuites, AWholeDatagramHasTheBytesThatTheProtocolNames) {
  SessionKeys keys{GetParam(), {}, {}};
  std::iota(keys.send_secret.begin(), keys.send_secret.end(), uint8_t{0});
  suite_->key_session(*a_, keys);
  const char* const kPlain =
      "2003 000000123456 50071234  00000401 14 30 0010  7369787465656e206f66206d65646961";
  const char* const kSealed[] = {
      "2003 000000123456 50071234  0eadbcbfa0b9dfcb 958dd39ad6f8fc7114de612d1e2a7984"
      "55a2a489f986069e30cf0b9e4d15e43f",
      "2003 000000123456 50071234  ded8f46970867bb9 6057cfb3da699c52ce6df7fa1ea692e0"
      "57e65168f8eb7ca8aa79f0c2ab7b7383",
      "2003 000000123456 50071234  44fa4870048ee485 b1031a9eecbda833be121c4bedc89630"
      "c4e95b0c76ecb5a452e5076de258dcc3"};
  Buffer bytes = hex(kPlain);
  bytes.resize(bytes.size() + kTagBytes);
  EXPECT_EQ(sealed(*a_, bytes, CoreId{3}, CoreId{5}), hex(kSealed[static_cast<size_t>(GetParam()) - 1]));
}

TEST_P(SealedSuites, OpensslSealsAndOpensTheSameBytesAtEveryLengthInBothDirections) {
  const CoreId x{2}, y{9};
  tests::OpensslLane out(GetParam(), keys_.send_secret, x.value, y.value);
  tests::OpensslLane back(GetParam(), keys_.receive_secret, y.value, x.value);
  for (uint32_t length = kLeast; length <= 1500; ++length) {
    const Buffer sent = datagram(length, rng_.below(datagram_limit(GetParam())), x.value);
    const Buffer ours = sealed(*a_, sent, x, y);
    ASSERT_EQ(ours, out.seal(plain(sent))) << length;
    ASSERT_EQ(out.open(ours), plain(sent)) << length;
    ASSERT_EQ(opened(*b_, ours, x, y), plain(sent)) << length;

    const Buffer answer = datagram(length, rng_.below(datagram_limit(GetParam())), y.value);
    const Buffer theirs = back.seal(plain(answer));
    ASSERT_EQ(opened(*a_, theirs, y, x), plain(answer)) << length;
    ASSERT_EQ(sealed(*b_, answer, y, x), theirs) << length;
  }
}

TEST_P(SealedSuites, SealingOutOfOtherMemoryGivesTheSameBytesAndLeavesThatMemoryAlone) {
  for (const uint32_t length : {kLeast, kLeast + 1, kLeast + 16, 300u, 1464u}) {
    const Buffer bytes = datagram(length, length);
    const Buffer records(bytes.begin() + kHeaderBytes, bytes.end() - kTagBytes);
    const Buffer before = records;
    Buffer out(length, 0xee);
    std::copy_n(bytes.begin(), kHeaderBytes, out.begin());
    SealJob job{out.data(), length - kTagBytes, records.data()};
    a_->seal({0}, {0}, {&job, 1});
    EXPECT_EQ(out, sealed(*a_, bytes)) << length;
    EXPECT_EQ(records, before);
    Buffer in_place = bytes;
    job = {in_place.data(), length - kTagBytes, in_place.data() + kHeaderBytes};
    a_->seal({0}, {0}, {&job, 1});
    EXPECT_EQ(in_place, out) << "records where they would be anyway";
  }
}

TEST_P(SealedSuites, EveryDamagedBitAndEveryCutIsRefused) {
  const Buffer bytes = sealed(*a_, datagram(kLeast + 45, 77));
  ASSERT_TRUE(opens(*b_, bytes));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Buffer damaged = bytes;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_FALSE(opens(*b_, damaged)) << "bit " << bit;
  }
  for (size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_FALSE(opens(*b_, Buffer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))))
        << length;
  }
}

TEST_P(SealedSuites, ADatagramOfOneLaneOpensInNoOther) {
  const Buffer bytes = sealed(*a_, datagram(100, 5, 1), CoreId{1}, CoreId{2});
  for (uint8_t from = 0; from < core::kMaxCores; ++from) {
    for (uint8_t to = 0; to < core::kMaxCores; ++to) {
      EXPECT_EQ(opens(*b_, bytes, CoreId{from}, CoreId{to}), from == 1 && to == 2)
          << int{from} << " -> " << int{to};
    }
  }
}

TEST_P(SealedSuites, AReflectedDatagramIsRefused) {
  const Buffer bytes = sealed(*a_, datagram(100, 5));
  EXPECT_FALSE(opens(*a_, bytes)) << "the direction back has another secret";
  EXPECT_TRUE(opens(*b_, bytes));
}

TEST_P(SealedSuites, ADatagramOfOneSessionOpensInNoOther) {
  const Buffer before = sealed(*a_, datagram(100, 5));
  ASSERT_TRUE(opens(*b_, before));
  connect();
  EXPECT_FALSE(opens(*b_, before)) << "the same objects, and new keys";
  EXPECT_TRUE(opens(*b_, sealed(*a_, datagram(100, 5))));
}

TEST_P(SealedSuites, RunsOfEveryLengthOpenAndOneBadDatagramSpoilsNoOther) {
  for (size_t count = 1; count <= 64; ++count) {
    std::vector<Buffer> sent, bytes;
    for (size_t i = 0; i < count; ++i)
      sent.push_back(datagram(kLeast + static_cast<uint32_t>(rng_.below(1400)), i));
    bytes = sent;
    std::vector<SealJob> seals;
    for (Buffer& b : bytes) seals.push_back({b.data(), static_cast<uint32_t>(b.size()) - kTagBytes});
    a_->seal({0}, {0}, seals);
    const size_t bad = rng_.below(count), cut = rng_.below(count);
    bytes[bad].back() ^= 1;
    bytes[cut].resize(rng_.below(kLeast));
    std::vector<OpenJob> opens;
    for (Buffer& b : bytes)
      opens.push_back({b.data(), static_cast<uint32_t>(b.size()), opens.size() % 2 == 0});
    b_->open({0}, {0}, opens);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(opens[i].authentic, i != bad && i != cut) << i << " of " << count;
      if (opens[i].authentic) {
        ASSERT_EQ(plain(bytes[i]), plain(sent[i]));
      }
    }
  }
}

TEST_P(SealedSuites, ARunLongerThanAPortTakesIsSealedWhole) {
  std::vector<Buffer> bytes;
  std::vector<SealJob> seals;
  for (size_t i = 0; i < 200; ++i) bytes.push_back(datagram(100, i));
  const std::vector<Buffer> sent = bytes;
  for (Buffer& b : bytes) seals.push_back({b.data(), static_cast<uint32_t>(b.size()) - kTagBytes});
  a_->seal({0}, {0}, seals);
  for (size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(opened(*b_, bytes[i]), plain(sent[i])) << i;
  a_->seal({0}, {0}, {});
  b_->open({0}, {0}, {});
}

TEST_P(SealedSuites, LanesInTurnKeepTheirKeys) {
  for (uint64_t round = 0; round < 3; ++round) {
    for (uint8_t peer = 0; peer < core::kMaxCores; ++peer) {
      const Buffer sent = datagram(300, round);
      ASSERT_EQ(opened(*b_, sealed(*a_, sent, CoreId{4}, CoreId{peer}), CoreId{4}, CoreId{peer}),
                plain(sent));
      ASSERT_EQ(opened(*a_, sealed(*b_, sent, CoreId{peer}, CoreId{4}), CoreId{peer}, CoreId{4}),
                plain(sent));
    }
  }
}

TEST_P(SealedSuites, WithoutKeysNothingOpensAndWhatWasToBeSealedIsErased) {
  const auto fresh = suite_->make_session();
  const Buffer sent = datagram(200, 1);
  Buffer bytes = sealed(*fresh, sent);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + kHeaderBytes, sent.begin()));
  EXPECT_EQ(std::count(bytes.begin() + kHeaderBytes, bytes.end(), 0), std::ptrdiff_t{200 - kHeaderBytes});
  EXPECT_FALSE(opens(*fresh, bytes));
  EXPECT_FALSE(opens(*fresh, sealed(*a_, sent)));
}

TEST_P(SealedSuites, CountersBeyondTheLimitAreErasedAndNeverOpened) {
  const uint64_t limit = datagram_limit(GetParam());
  std::vector<uint64_t> counters = {limit - 2, limit - 1};
  if (limit <= kMaxCounter) counters.insert(counters.begin() + 1, {limit, limit + 1, kMaxCounter});
  std::vector<Buffer> bytes;
  std::vector<SealJob> seals;
  for (const uint64_t counter : counters) bytes.push_back(datagram(100, counter));
  for (Buffer& b : bytes) seals.push_back({b.data(), static_cast<uint32_t>(b.size()) - kTagBytes});
  a_->seal({0}, {0}, seals);
  tests::OpensslLane openssl(GetParam(), keys_.send_secret, 0, 0);
  for (size_t i = 0; i < counters.size(); ++i) {
    const bool within = counters[i] < limit;
    EXPECT_EQ(opens(*b_, bytes[i]), within) << counters[i];
    EXPECT_EQ(openssl.open(bytes[i]).has_value(), within) << counters[i];
    if (!within) {
      EXPECT_EQ(std::count(bytes[i].begin() + kHeaderBytes, bytes[i].end(), 0),
                std::ptrdiff_t{100 - kHeaderBytes});
      EXPECT_FALSE(opens(*b_, openssl.seal(plain(datagram(100, counters[i])))))
          << "sealed by a peer that goes on";
    }
  }
}

std::string name_of(const testing::TestParamInfo<Suite>& test) {
  constexpr const char* kNames[] = {"aes_128_gcm", "aes_256_gcm", "chacha20_poly1305"};
  return kNames[static_cast<size_t>(test.param) - 1];
}
INSTANTIATE_TEST_SUITE_P(All, SealedSuites,
                         testing::Values(Suite::kAes128Gcm, Suite::kAes256Gcm, Suite::kChaCha20Poly1305),
                         name_of);

TEST(SealedSuite, NamesAreThoseOfTheConfiguration) {
  EXPECT_EQ(sealed_suite_named("aes-128-gcm"), Suite::kAes128Gcm);
  EXPECT_EQ(sealed_suite_named("aes-256-gcm"), Suite::kAes256Gcm);
  EXPECT_EQ(sealed_suite_named("chacha20-poly1305"), Suite::kChaCha20Poly1305);
  for (const char* other : {"", "null", "model", "AES-128-GCM", "aes-128-gcm "}) {
    EXPECT_EQ(sealed_suite_named(other), std::nullopt) << other;
  }
}

TEST(SealedSuite, ItsNumbersArePartOfTheWire) {
  EXPECT_EQ(static_cast<int>(Suite::kNull), 0);
  EXPECT_EQ(static_cast<int>(Suite::kAes128Gcm), 1);
  EXPECT_EQ(static_cast<int>(Suite::kAes256Gcm), 2);
  EXPECT_EQ(static_cast<int>(Suite::kChaCha20Poly1305), 3);
  EXPECT_EQ(static_cast<int>(Suite::kModel), 15);
}

}  // namespace
}  // namespace trunkline::relay
