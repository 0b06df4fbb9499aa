// The sealed handshake, message by message: what it carries and shows, what it refuses, and that whatever it
// refuses leaves no trace.
#include "relay/sealed_handshake.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "relay/text.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using test::kUnixNow;
using Buffer = std::vector<uint8_t>;

class Sealed : public testing::Test {
 protected:
  Sealed() {
    a_.expect(test::peer_of(*b_node_));
    b_.expect(test::peer_of(*a_node_));
  }
  static Buffer written(Handshake& handshake, uint8_t message, std::string_view payload = "") {
    return test::written(handshake, message, as_bytes(payload));
  }
  static bool reads(Handshake& handshake, uint8_t message, Buffer bytes) {
    return handshake.read(message, bytes).ok;
  }
  static std::string text(Handshake& handshake, uint8_t message, Buffer bytes) {
    const auto read = handshake.read(message, bytes);
    return read.ok ? std::string(as_text(read.payload)) : "refused";
  }
  static CertificateFault fault(Handshake& handshake, uint8_t message, Buffer bytes) {
    const auto read = handshake.read(message, bytes);
    EXPECT_FALSE(read.ok);
    return read.fault;
  }
  // What anybody can do who knows the receiver's public key.
  static Buffer with_mac1(uint8_t message, const SealedIdentity& receiver, Buffer bytes) {
    const size_t covered = bytes.size() - (message == kConfirm ? kMacBytes : kMacsBytes);
    const Mac mac = message_mac(receiver.own_mac1_key(), message, Bytes(bytes).first(covered));
    std::copy(mac.begin(), mac.end(), bytes.begin() + static_cast<std::ptrdiff_t>(covered));
    return bytes;
  }
  void connect() {
    a_.begin();
    b_.begin();
    ASSERT_TRUE(reads(b_, kMsg1, written(a_, kMsg1)));
    ASSERT_TRUE(reads(a_, kMsg2, written(b_, kMsg2)));
  }

  test::SealedCluster cluster_;
  std::unique_ptr<SealedIdentity> a_node_ = cluster_.node(1), b_node_ = cluster_.node(2);
  SealedHandshake a_{*a_node_, Suite::kAes128Gcm}, b_{*b_node_, Suite::kAes128Gcm};
};

TEST_F(Sealed, AnExchangeCarriesPayloadsAndNamesBothEnds) {
  EXPECT_EQ(text(b_, kMsg1, written(a_, kMsg1, "hello from a")), "hello from a");
  ASSERT_NE(b_.peer(), nullptr);
  EXPECT_EQ(b_.peer()->node, core::NodeId{1});
  EXPECT_EQ(b_.peer()->region.view(), "ams");
  EXPECT_EQ(a_.peer(), nullptr) << "nobody has answered yet";
  EXPECT_EQ(text(a_, kMsg2, written(b_, kMsg2, "hello from b")), "hello from b");
  ASSERT_NE(a_.peer(), nullptr);
  EXPECT_EQ(a_.peer()->node, core::NodeId{2});
  EXPECT_EQ(text(b_, kConfirm, written(a_, kConfirm, "a refusal")), "a refusal");

  const SessionKeys a = a_.keys(), b = b_.keys();
  EXPECT_EQ(a.suite, Suite::kAes128Gcm);
  EXPECT_EQ(a.send_secret, b.receive_secret);
  EXPECT_EQ(a.receive_secret, b.send_secret);
  EXPECT_NE(a.send_secret, a.receive_secret);
  const auto zero = decltype(a.send_secret){};
  EXPECT_NE(a.send_secret, zero);
}

TEST_F(Sealed, EachExchangeAndEachSuiteHasKeysOfItsOwn) {
  connect();
  const SessionKeys first = a_.keys();
  connect();
  EXPECT_NE(a_.keys().send_secret, first.send_secret);
  EXPECT_NE(a_.keys().receive_secret, first.receive_secret);
  // Two ends that believe in different suites share no key.
  SealedHandshake other(*b_node_, Suite::kAes256Gcm);
  a_.begin();
  ASSERT_TRUE(reads(other, kMsg1, written(a_, kMsg1)));
  ASSERT_TRUE(reads(a_, kMsg2, written(other, kMsg2)));
  EXPECT_NE(a_.keys().send_secret, other.keys().receive_secret);
  a_.begin();
  EXPECT_EQ(a_.keys().send_secret, decltype(first.send_secret){}) << "begin() forgets";
}

TEST_F(Sealed, AReplyIsNeverLongerThanWhatAskedForIt) {
  const std::string largest_hello(kMaxHelloBytes, 'x');
  const std::string most1(kMaxHandshakeBytes - kSealedMsg1Overhead, 'x');
  const std::string most2(kMaxHandshakeBytes - kSealedMsg2Overhead, 'x');
  for (const std::string& payload : {std::string(), largest_hello, most1}) {
    a_.begin();
    const Buffer msg1 = written(a_, kMsg1, payload);
    ASSERT_EQ(msg1.size(), kMaxHandshakeBytes);
    ASSERT_EQ(text(b_, kMsg1, msg1), payload);
    EXPECT_EQ(written(b_, kMsg2, payload).size(), kSealedMsg2Overhead + payload.size());
  }
  EXPECT_EQ(written(b_, kMsg2, most2).size(), kMaxHandshakeBytes);
  EXPECT_TRUE(written(b_, kMsg2, most2 + "x").empty());
  EXPECT_TRUE(written(a_, kMsg1, most1 + "x").empty());
  Buffer tight(kMaxHandshakeBytes - 1);
  EXPECT_EQ(a_.write(kMsg1, {}, tight), 0u);
  EXPECT_EQ(b_.write(kMsg2, {}, std::span(tight).first(kSealedMsg2Overhead - 1)), 0u);
}

// Flips every byte and cuts at every length, once as a stranger would and once with a mac1 that fits, and
// asks after each that the state is as it was: the true message, read last, still counts.
TEST_F(Sealed, ForgedAndCutMessagesChangeNothing) {
  const auto damage = [](Handshake& reader, const SealedIdentity& receiver, uint8_t message,
                         const Buffer& whole, size_t checked) {
    for (size_t at = 0; at < checked; ++at) {
      Buffer bytes = whole;
      bytes[at] ^= static_cast<uint8_t>(1 << at % 8);
      ASSERT_FALSE(reads(reader, message, bytes)) << at;
      if (at >= whole.size() - kMacsBytes) continue;
      ASSERT_FALSE(reads(reader, message, with_mac1(message, receiver, bytes))) << at << " with mac1";
    }
    for (size_t length = 0; length < whole.size(); ++length) {
      const Buffer cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      ASSERT_FALSE(reads(reader, message, cut)) << length;
      if (length < kMacsBytes) continue;
      ASSERT_FALSE(reads(reader, message, with_mac1(message, receiver, cut))) << length << " with mac1";
    }
    Buffer longer = whole;
    longer.push_back(0);
    ASSERT_FALSE(reads(reader, message, longer));
  };
  const Buffer msg1 = written(a_, kMsg1, "one");
  // The last 16 bytes, mac2, count under load only; SealedUnderLoad looks at them.
  ASSERT_NO_FATAL_FAILURE(damage(b_, *b_node_, kMsg1, msg1, msg1.size() - kMacBytes));
  EXPECT_EQ(b_.peer(), nullptr);
  EXPECT_TRUE(written(b_, kMsg2).empty()) << "no msg1 was read";
  ASSERT_EQ(text(b_, kMsg1, msg1), "one");

  const Buffer msg2 = written(b_, kMsg2, "two");
  const SessionKeys keys = b_.keys();
  ASSERT_NO_FATAL_FAILURE(damage(a_, *a_node_, kMsg2, msg2, msg2.size()));
  EXPECT_EQ(a_.peer(), nullptr);
  EXPECT_TRUE(written(a_, kConfirm).empty()) << "no msg2 was read";
  ASSERT_EQ(text(a_, kMsg2, msg2), "two");

  const Buffer confirm = written(a_, kConfirm, "three");
  ASSERT_NO_FATAL_FAILURE(damage(b_, *b_node_, kConfirm, confirm, confirm.size()));
  ASSERT_NO_FATAL_FAILURE(damage(b_, *b_node_, kMsg1, msg1, msg1.size() - kMacBytes)) << "late, and forged";
  EXPECT_EQ(b_.keys().send_secret, keys.send_secret);
  EXPECT_EQ(text(b_, kConfirm, confirm), "three");
  const SealedCounters& counts = b_node_->counts;
  EXPECT_GT(counts.value(SealedCounter::malformed), 0u);
  EXPECT_GT(counts.value(SealedCounter::wrong_mac1), 0u);
  EXPECT_GT(counts.value(SealedCounter::forged), 0u);
  EXPECT_EQ(counts.value(SealedCounter::certificate_refused), 0u)
      << "nothing forged gets as far as its certificate";
}

TEST_F(Sealed, MessagesOutOfOrderOrOfAnotherExchangeAreRefused) {
  EXPECT_TRUE(written(a_, kConfirm).empty()) << "nothing to confirm";
  EXPECT_TRUE(written(a_, kMsg2).empty()) << "nothing to answer";
  EXPECT_TRUE(written(a_, 0).empty());
  EXPECT_TRUE(written(a_, 4).empty());
  const Buffer msg1 = written(a_, kMsg1);
  EXPECT_FALSE(reads(a_, kMsg1, msg1)) << "an initiator awaits msg2";
  EXPECT_FALSE(reads(b_, kMsg2, msg1));
  EXPECT_FALSE(reads(b_, kConfirm, msg1));
  EXPECT_FALSE(reads(b_, 0, msg1));
  ASSERT_TRUE(reads(b_, kMsg1, msg1));
  EXPECT_TRUE(written(b_, kMsg1).empty()) << "a responder does not begin";
  const Buffer msg2 = written(b_, kMsg2);
  EXPECT_FALSE(reads(b_, kMsg2, msg2)) << "its own message";
  ASSERT_TRUE(reads(a_, kMsg2, msg2));
  EXPECT_TRUE(reads(a_, kMsg2, msg2)) << "a repeat is the same reply";

  SealedHandshake third(*b_node_, Suite::kAes128Gcm);
  ASSERT_TRUE(reads(third, kMsg1, msg1));
  const Buffer other_msg2 = written(third, kMsg2);
  const SessionKeys keys = a_.keys();
  EXPECT_FALSE(reads(a_, kMsg2, other_msg2)) << "a second, different reply";
  EXPECT_EQ(a_.keys().send_secret, keys.send_secret);
  const Buffer confirm = written(a_, kConfirm);
  EXPECT_TRUE(written(a_, kConfirm, "another").empty()) << "its key has one nonce";
  EXPECT_FALSE(reads(third, kConfirm, confirm)) << "the confirm of another exchange";
  EXPECT_TRUE(reads(b_, kConfirm, confirm));
  EXPECT_TRUE(reads(b_, kConfirm, confirm)) << "a repeat";
}

TEST_F(Sealed, AMsg2WrittenAgainIsOfAFreshKeyAndTheLastOneCounts) {
  const Buffer msg1 = written(a_, kMsg1);
  ASSERT_TRUE(reads(b_, kMsg1, msg1));
  const Buffer first = written(b_, kMsg2), second = written(b_, kMsg2);
  EXPECT_FALSE(std::equal(first.begin(), first.begin() + 32, second.begin())) << "the ephemeral key";
  ASSERT_TRUE(reads(a_, kMsg2, second));
  EXPECT_EQ(a_.keys().send_secret, b_.keys().receive_secret);
  EXPECT_TRUE(reads(b_, kConfirm, written(a_, kConfirm)));
}

// The one for strangers reads msg1 of whoever comes, one after the other.
TEST_F(Sealed, AnObjectForStrangersReadsAnyNodeOfTheCluster) {
  SealedHandshake stranger(*b_node_, Suite::kAes128Gcm);
  EXPECT_TRUE(written(stranger, kMsg1).empty()) << "it was not told whom to ask";
  auto c_node = cluster_.node(3);
  SealedHandshake c(*c_node, Suite::kAes128Gcm);
  c.expect(test::peer_of(*b_node_));
  ASSERT_TRUE(reads(stranger, kMsg1, written(a_, kMsg1)));
  EXPECT_EQ(stranger.peer()->node, core::NodeId{1});
  const Buffer from_c = written(c, kMsg1);
  ASSERT_TRUE(reads(stranger, kMsg1, from_c));
  EXPECT_EQ(stranger.peer()->node, core::NodeId{3});
  EXPECT_EQ(fault(b_, kMsg1, from_c), CertificateFault::kWrongNode) << "the link to node 1 is not for node 3";
}

TEST_F(Sealed, ALinksObjectGoesOnWithWhatTheStrangersReadIfItIsOfItsPeer) {
  SealedHandshake stranger(*b_node_, Suite::kAes128Gcm);
  ASSERT_TRUE(reads(stranger, kMsg1, written(a_, kMsg1)));
  ASSERT_FALSE(written(b_, kMsg1).empty()) << "it has a msg1 of its own under way, which ends";
  b_.take_over(stranger);
  ASSERT_NE(b_.peer(), nullptr);
  EXPECT_EQ(b_.peer()->node, core::NodeId{1});
  EXPECT_EQ(stranger.peer(), nullptr) << "the stranger's exchange is over";
  EXPECT_TRUE(written(stranger, kMsg2).empty());
  ASSERT_TRUE(reads(a_, kMsg2, written(b_, kMsg2)));
  EXPECT_EQ(a_.keys().send_secret, b_.keys().receive_secret);
  EXPECT_TRUE(reads(b_, kConfirm, written(a_, kConfirm)));

  const auto c_node = cluster_.node(3);
  SealedHandshake c(*c_node, Suite::kAes128Gcm);
  c.expect(test::peer_of(*b_node_));
  ASSERT_TRUE(reads(stranger, kMsg1, written(c, kMsg1)));
  b_.take_over(stranger);
  EXPECT_EQ(b_.peer(), nullptr) << "the link to node 1 is not for node 3";
  EXPECT_TRUE(written(b_, kMsg2).empty());
  b_.take_over(stranger);
  EXPECT_TRUE(written(b_, kMsg2).empty()) << "nothing was read";
}

// It can be told so, by the object that has read it, and by no other.
TEST_F(Sealed, ARefusedMsg1IsNotTakenOver) {
  SealedHandshake stranger(*b_node_, Suite::kAes128Gcm);
  const Buffer msg1 = written(a_, kMsg1);
  b_node_->set_unix_time(test::kUnixNow + 7'200);
  EXPECT_EQ(fault(stranger, kMsg1, msg1), CertificateFault::kExpired);
  b_.take_over(stranger);
  EXPECT_EQ(b_.peer(), nullptr);
  EXPECT_TRUE(written(b_, kMsg2).empty());
}

TEST_F(Sealed, OnlyTheExpectedNodeAnswers) {
  // Node 3's certificate is in order, and it even has node 2's place in the configuration: not its key.
  auto c_node = cluster_.node(3);
  SealedHandshake c(*c_node, Suite::kAes128Gcm);
  EXPECT_FALSE(reads(c, kMsg1, written(a_, kMsg1))) << "msg1 is to node 2's key";
  // The key is the configured one, the certificate says another node.
  a_.begin();
  a_.expect({core::NodeId{2}, c_node->key().public_key});
  ASSERT_TRUE(reads(c, kMsg1, written(a_, kMsg1)));
  EXPECT_EQ(fault(a_, kMsg2, written(c, kMsg2)), CertificateFault::kWrongNode);
  EXPECT_EQ(a_.keys().send_secret, SessionKeys{}.send_secret) << "no keys, only a refusal";
  a_.expect({core::NodeId{}, c_node->key().public_key});
  a_.begin();
  ASSERT_TRUE(reads(c, kMsg1, written(a_, kMsg1)));
  EXPECT_TRUE(reads(a_, kMsg2, written(c, kMsg2))) << "node 0: whoever has this key";
}

TEST_F(Sealed, APeerMayComeWithANewKeyAndANewCertificate) {
  const auto renewed = cluster_.node(1);  // node 1 again, with another key
  SealedHandshake a(*renewed, Suite::kAes128Gcm);
  a.expect(test::peer_of(*b_node_));
  ASSERT_TRUE(reads(b_, kMsg1, written(a, kMsg1)));
  EXPECT_EQ(b_.peer()->public_key, renewed->key().public_key);
  EXPECT_TRUE(reads(a, kMsg2, written(b_, kMsg2)));
}

TEST_F(Sealed, ACertificateOfAnotherKeyGivesNothing) {
  // A thief has node 1's certificate, which everybody it spoke to has, but not its key.
  const auto thief_key = noise::KeyPair::generate(cluster_.random);
  EXPECT_FALSE(
      SealedIdentity::make(thief_key, a_node_->certificate(), cluster_.trust, kUnixNow, cluster_.random));
  std::array<uint8_t, kMaxHandshakeBytes - kMacsBytes - noise::kMessage1Overhead> plaintext{};
  std::copy(a_node_->certificate().begin(), a_node_->certificate().end(), plaintext.begin());
  plaintext[kCertificateBytes + 7] = 1;  // order
  const std::string_view prologue = "trunkline handshake 1";
  auto state = noise::HandshakeState::initiator(as_bytes(prologue), thief_key, b_node_->key().public_key);
  Buffer msg1(kMaxHandshakeBytes);
  ASSERT_NE(state.write(noise::KeyPair::generate(cluster_.random), plaintext,
                        std::span(msg1).first(msg1.size() - kMacsBytes)),
            0u);
  EXPECT_EQ(fault(b_, kMsg1, with_mac1(kMsg1, *b_node_, msg1)), CertificateFault::kWrongKey);
  EXPECT_EQ(b_.peer(), nullptr);
  EXPECT_TRUE(written(b_, kMsg2, "a refusal").empty()) << "a thief is told nothing";
  EXPECT_EQ(b_node_->counts.value(SealedCounter::certificate_refused), 1u);
}

TEST_F(Sealed, ExpiryTrustAndRevocationAreJudgedByTheReaderAndItsTime) {
  const Buffer msg1 = written(a_, kMsg1);
  b_node_->set_unix_time(kUnixNow + 3'600);
  EXPECT_EQ(fault(b_, kMsg1, msg1), CertificateFault::kExpired);
  b_node_->set_unix_time(0);
  EXPECT_EQ(fault(b_, kMsg1, msg1), CertificateFault::kNotYetValid);
  b_node_->set_unix_time(kUnixNow);
  Trust trust = cluster_.trust;
  const uint64_t revoked[] = {1'001};
  trust.revoked = revoked;
  b_node_->set_trust(trust);
  EXPECT_EQ(fault(b_, kMsg1, msg1), CertificateFault::kRevoked);
  trust.revoked = {};
  trust.anchor_count = 0;
  b_node_->set_trust(trust);
  EXPECT_EQ(fault(b_, kMsg1, msg1), CertificateFault::kUnknownSigner);
  b_node_->set_trust(cluster_.trust);
  EXPECT_TRUE(reads(b_, kMsg1, msg1)) << "none of it left a trace";
  // The answerer's certificate is judged, too.
  const Buffer msg2 = written(b_, kMsg2);
  a_node_->set_unix_time(kUnixNow + 3'600);
  EXPECT_EQ(fault(a_, kMsg2, msg2), CertificateFault::kExpired);
  a_node_->set_unix_time(kUnixNow);
  EXPECT_TRUE(reads(a_, kMsg2, msg2));
}

TEST_F(Sealed, ANodesOwnCertificateIsJudgedAtItsStartAndRenewedInPlace) {
  const noise::KeyPair& key = a_node_->key();
  const auto expired = cluster_.certificate(1, key.public_key, kUnixNow);
  const auto made = SealedIdentity::make(key, expired, cluster_.trust, kUnixNow, cluster_.random);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().text, certificate_fault_text(CertificateFault::kExpired));
  const CertificateBytes before = a_node_->certificate();
  EXPECT_EQ(a_node_->renew(expired), CertificateFault::kExpired);
  EXPECT_EQ(a_node_->renew(b_node_->certificate()), CertificateFault::kWrongKey);
  EXPECT_EQ(a_node_->renew(cluster_.certificate(9, key.public_key)), CertificateFault::kWrongNode);
  EXPECT_EQ(a_node_->certificate(), before);
  const auto renewed = cluster_.certificate(1, key.public_key, kUnixNow + 7'200);
  EXPECT_EQ(a_node_->renew(renewed), CertificateFault::kNone);
  ASSERT_TRUE(reads(b_, kMsg1, written(a_, kMsg1)));
  EXPECT_EQ(b_.peer()->expires, kUnixNow + 7'200);
}

// Both ends of a link read what is wrong: the peer that a trusted signer once vouched for is told.
TEST_F(Sealed, APeerWithACertificateThatIsNotAcceptedAnyMoreCanBeTold) {
  const SessionKeys none;
  const Buffer msg1 = written(a_, kMsg1);
  b_node_->set_unix_time(kUnixNow + 3'600);
  ASSERT_EQ(fault(b_, kMsg1, msg1), CertificateFault::kExpired);
  EXPECT_EQ(b_.peer(), nullptr);
  const Buffer msg2 = written(b_, kMsg2, "expired");
  ASSERT_FALSE(msg2.empty());
  EXPECT_EQ(b_.keys().send_secret, none.send_secret) << "there is no session to be had of it";
  EXPECT_EQ(text(a_, kMsg2, msg2), "expired");

  // And the answerer, in the confirm.
  b_node_->set_unix_time(kUnixNow);
  a_.begin();
  b_.begin();
  ASSERT_TRUE(reads(b_, kMsg1, written(a_, kMsg1)));
  a_node_->set_unix_time(kUnixNow + 3'600);
  const Buffer answer = written(b_, kMsg2);
  ASSERT_EQ(fault(a_, kMsg2, answer), CertificateFault::kExpired);
  EXPECT_EQ(a_.keys().send_secret, none.send_secret);
  EXPECT_EQ(a_.peer(), nullptr);
  const Buffer confirm = written(a_, kConfirm, "expired");
  EXPECT_EQ(text(b_, kConfirm, confirm), "expired");
  a_node_->set_unix_time(kUnixNow);
  EXPECT_TRUE(reads(a_, kMsg2, answer));
  EXPECT_TRUE(written(a_, kConfirm).empty()) << "the one nonce of its key has been used";
}

TEST_F(Sealed, WhomNoTrustedSignerVouchedForIsToldNothing) {
  const Buffer msg1 = written(a_, kMsg1);
  b_node_->set_trust({});
  ASSERT_EQ(fault(b_, kMsg1, msg1), CertificateFault::kUnknownSigner);
  EXPECT_TRUE(written(b_, kMsg2, "unknown").empty());
}

TEST_F(Sealed, ARefusedMsg1TakesNoExchangesPlace) {
  ASSERT_TRUE(reads(b_, kMsg1, written(a_, kMsg1)));
  ASSERT_TRUE(reads(a_, kMsg2, written(b_, kMsg2)));
  const SessionKeys keys = b_.keys();
  SealedHandshake again(*a_node_, Suite::kAes128Gcm);
  again.expect(test::peer_of(*b_node_));
  b_node_->set_unix_time(kUnixNow + 3'600);
  ASSERT_EQ(fault(b_, kMsg1, written(again, kMsg1)), CertificateFault::kExpired);
  EXPECT_EQ(b_.keys().send_secret, keys.send_secret);
  EXPECT_TRUE(reads(b_, kConfirm, written(a_, kConfirm)));
}

TEST_F(Sealed, TheOrderOfMsg1TellsACopyFromANewOne) {
  const auto order = [&](Buffer bytes) { return b_.read(kMsg1, bytes).order; };
  const Buffer first = written(a_, kMsg1);
  const Buffer second = written(a_, kMsg1);
  SealedHandshake to_another(*a_node_, Suite::kAes128Gcm);
  to_another.expect(test::peer_of(*b_node_));
  const Buffer third = written(to_another, kMsg1);
  EXPECT_GT(order(first), 0u);
  EXPECT_LT(order(first), order(second));
  EXPECT_LT(order(second), order(third)) << "whichever object of the node wrote it";
  EXPECT_EQ(order(first), order(first));
}

// A machine that was restored from a snapshot: the same secret, the same random numbers, another moment.
TEST_F(Sealed, ACopyOfAMachineDoesNotDrawTheKeysOfItsOriginal) {
  const auto ephemeral_at = [&](core::Nanos now) {
    test::SealedCluster same(7);
    const auto node = same.node(1);
    node->set_time(now);
    SealedHandshake handshake(*node, Suite::kAes128Gcm);
    handshake.expect(test::peer_of(*b_node_));
    Buffer msg1 = written(handshake, kMsg1);
    msg1.resize(kKeyBytes);
    return msg1;
  };
  EXPECT_EQ(ephemeral_at(core::from_s(1)), ephemeral_at(core::from_s(1))) << "the test repeats itself";
  EXPECT_NE(ephemeral_at(core::from_s(1)), ephemeral_at(core::from_s(1) + core::from_ns(1)));
}

TEST_F(Sealed, AStaticKeyOfLowOrderIsNotWrittenTo) {
  a_.expect({core::NodeId{2}, Key{}});
  EXPECT_TRUE(written(a_, kMsg1).empty());
  a_.expect(test::peer_of(*b_node_));
  EXPECT_FALSE(written(a_, kMsg1).empty());
}

}  // namespace
}  // namespace trunkline::relay
