// What strangers, and peers that have gone wrong, can put into certificates and sealed handshakes. Nothing
// may read outside its input; what is damaged is refused, and leaves the reader able to read the true
// message; what a certificate decodes to encodes to the very bytes it came from.
//
// Of a handshake message most of the work lies behind mac1 and behind Noise. So inputs come at three depths:
// as they are, with a mac1 that fits, and as the plaintext of a Noise message that is authentic.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "relay/text.h"
#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/mutator.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using fuzz::ExactCopy;
using fuzz::Mutator;
using Buffer = std::vector<uint8_t>;

constexpr uint64_t kSeed = 20261129;

// Sets mac1 as anybody can who knows the receiver's public key.
void set_mac1(uint8_t message, const SealedIdentity& receiver, Buffer& bytes) {
  const size_t behind = message == kConfirm ? kMacBytes : kMacsBytes;
  if (bytes.size() < behind) return;
  const size_t covered = bytes.size() - behind;
  const Mac mac = message_mac(receiver.own_mac1_key(), message, Bytes(bytes).first(covered));
  std::copy(mac.begin(), mac.end(), bytes.begin() + static_cast<std::ptrdiff_t>(covered));
}

TEST(SealedFuzz, CertificatesThatDecodeAreCanonicalAndOnlyTheSignedOneIsAccepted) {
  test::SealedCluster cluster;
  const auto node = cluster.node(1);
  const CertificateBytes& whole = node->certificate();
  Mutator mutator(kSeed);
  ExactCopy copy;
  uint64_t decoded = 0;
  for (int i = 0; i < 300'000 && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    const Bytes bytes =
        copy.of(mutator.below(16) == 0 ? mutator.random(2 * kCertificateBytes) : mutator.mutate(whole));
    Certificate c;
    if (decode(bytes, c) != CertificateFault::kNone) continue;
    ++decoded;
    CertificateBytes again;
    const uint64_t signer = c.signer;
    ASSERT_TRUE(sign(c, cluster.signer, again));
    store_be64(again.data() + 40, signer);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + kCertificateSignedBytes, again.begin()));
    Certificate ignored;
    const bool same = std::equal(bytes.begin(), bytes.end(), whole.begin(), whole.end());
    EXPECT_EQ(verify(bytes, cluster.trust, test::kUnixNow, ignored) == CertificateFault::kNone, same);
  }
  EXPECT_GT(decoded, 10'000u) << "mutations should leave a share of certificates readable";
}

class SealedMessages : public testing::Test {
 protected:
  SealedMessages() {
    a_.expect(test::peer_of(*b_node_));
    b_.expect(test::peer_of(*a_node_));
  }
  // Feeds mutations of `whole` to `reader`, half of them with a mac1 that fits; then `whole` itself, which
  // must still be read.
  void torment(Handshake& reader, const SealedIdentity& receiver, uint8_t message, const Buffer& whole,
               int inputs) {
    // mac2 of a msg1 is looked at under load only, by admit().
    const size_t judged = whole.size() - (message == kMsg1 ? kMacBytes : 0);
    for (int i = 0; i < inputs; ++i) {
      Buffer bytes = mutator_.below(32) == 0 ? mutator_.random(kMaxHandshakeBytes) : mutator_.mutate(whole);
      if (mutator_.below(2) == 0) set_mac1(message, receiver, bytes);
      const bool same =
          bytes.size() == whole.size() &&
          std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(judged), whole.begin());
      if (same) continue;
      Buffer exact(bytes);  // ends where its block ends, which AddressSanitizer sees
      ASSERT_FALSE(reader.read(message, exact).ok) << "message " << int{message} << ", input " << i;
    }
    Buffer last = whole;
    ASSERT_TRUE(reader.read(message, last).ok) << "message " << int{message};
  }

  test::SealedCluster cluster_;
  std::unique_ptr<SealedIdentity> a_node_ = cluster_.node(1), b_node_ = cluster_.node(2);
  SealedHandshake a_{*a_node_, Suite::kAes128Gcm}, b_{*b_node_, Suite::kAes128Gcm};
  Mutator mutator_{kSeed + 1};
  const Buffer hello_ = Buffer(200, 0x17);
};

TEST_F(SealedMessages, WhateverIsReadBeforeThemTheTrueOnesStillCount) {
  const Buffer msg1 = test::written(a_, kMsg1, hello_);
  ASSERT_NO_FATAL_FAILURE(torment(b_, *b_node_, kMsg1, msg1, 20'000));
  const Buffer msg2 = test::written(b_, kMsg2, hello_);
  ASSERT_NO_FATAL_FAILURE(torment(a_, *a_node_, kMsg2, msg2, 20'000));
  const Buffer confirm = test::written(a_, kConfirm, hello_);
  ASSERT_NO_FATAL_FAILURE(torment(b_, *b_node_, kConfirm, confirm, 20'000));
  EXPECT_EQ(a_.keys().send_secret, b_.keys().receive_secret);
  EXPECT_GT(b_node_->counts.value(SealedCounter::forged), 1'000u)
      << "mac1 must let enough of them through to Noise";
}

TEST_F(SealedMessages, CookieRepliesAreReadWholeOrNotAtAll) {
  b_node_->set_under_load(true);
  const Buffer msg1 = test::written(a_, kMsg1, hello_);
  Buffer reply(kCookieReplyBytes);
  const auto from = core::UdpAddress::v4(192, 0, 2, 1, 7'000);
  ASSERT_EQ(b_.admit(msg1, from, {}, reply).verdict, Handshake::Admission::Verdict::kReply);
  ExactCopy copy;
  for (int i = 0; i < 50'000; ++i) {
    const Buffer bytes = mutator_.mutate(reply);
    ASSERT_TRUE(bytes == reply || !a_.read_cookie(copy.of(bytes), {})) << i;
  }
  EXPECT_TRUE(a_.read_cookie(reply, {}));
}

// A peer with a key, and a certificate or none, that writes rubbish inside an authentic Noise message.
TEST_F(SealedMessages, RubbishOfAnAuthenticatedPeerIsRefused) {
  constexpr size_t kPlaintext = kMaxHandshakeBytes - kMacsBytes - noise::kMessage1Overhead;
  Buffer good(a_node_->certificate().begin(), a_node_->certificate().end());
  good.resize(kPlaintext);
  good[kCertificateBytes + 7] = 1;  // order
  good[kCertificateBytes + 9] = 100;
  std::fill_n(good.begin() + kCertificateBytes + kSealedFieldBytes, 100, uint8_t{0x17});
  const std::string_view prologue = "trunkline handshake 1";
  uint64_t accepted = 0, faults = 0;
  for (int i = 0; i < 6'000; ++i) {
    Buffer plaintext = i % 8 == 0 ? good : mutator_.mutate(good);
    plaintext.resize(kPlaintext);
    auto state =
        noise::HandshakeState::initiator(as_bytes(prologue), a_node_->key(), b_node_->key().public_key);
    Buffer msg1(kMaxHandshakeBytes);
    ASSERT_NE(state.write(noise::KeyPair::generate(cluster_.random), plaintext,
                          std::span(msg1).first(msg1.size() - kMacsBytes)),
              0u);
    set_mac1(kMsg1, *b_node_, msg1);
    SealedHandshake reader(*b_node_, Suite::kAes128Gcm);
    const Handshake::Read read = reader.read(kMsg1, msg1);
    const size_t length = load_be16(plaintext.data() + kCertificateBytes + 8);
    const auto rest = plaintext.begin() + kCertificateBytes + kSealedFieldBytes;
    const bool fits = load_be64(plaintext.data() + kCertificateBytes) != 0 &&
                      length <= static_cast<size_t>(plaintext.end() - rest) &&
                      std::all_of(rest + static_cast<std::ptrdiff_t>(length), plaintext.end(),
                                  [](uint8_t byte) { return byte == 0; });
    const bool certified = std::equal(plaintext.begin(), plaintext.begin() + kCertificateBytes, good.begin());
    ASSERT_EQ(read.ok, fits && certified) << i;
    ASSERT_EQ(read.fault != CertificateFault::kNone, fits && !certified) << i;
    ASSERT_EQ(read.payload.size(), read.ok ? length : 0);
    accepted += read.ok ? 1 : 0;
    faults += read.fault != CertificateFault::kNone ? 1 : 0;
  }
  EXPECT_GT(accepted, 750u);
  EXPECT_GT(faults, 300u);
}

}  // namespace
}  // namespace trunkline::relay
