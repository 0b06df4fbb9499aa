// Noise IK against a published vector, byte for byte, and what it refuses. tests/relay/noise_interop_test.py
// holds it against another implementation, live.
#include "relay/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/rng.h"
#include "tests/relay/hex.h"
#include "tests/support/seeded_randomness.h"

namespace trunkline::relay::noise {
namespace {

using test::Buffer;
using test::hex;

// Noise_IK_25519_ChaChaPoly_SHA256 of the vectors that cacophony publishes and other implementations test
// with.
constexpr const char* kPrologue = "4a6f686e2047616c74";
constexpr const char* kInitiatorStatic = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
constexpr const char* kInitiatorEphemeral =
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
constexpr const char* kResponderStatic = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
constexpr const char* kResponderPublic = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";
constexpr const char* kResponderEphemeral =
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
// What the vectors call handshake_hash is h after message 1; h after message 2 is what dissononce has then.
constexpr const char* kHashAfterMessage1 = "49fb1c059808ceb4f40d9f0ffc65d71b6cc3b6e2d02d5db7f698137e0b068799";
constexpr const char* kHashAfterMessage2 = "0b0f68fb0c27e03ce9b97565995ed4838cc0581b762ef72b062f6a546419fad7";
struct Message {
  const char* payload;
  const char* ciphertext;
};
constexpr Message kMessages[] = {
    {"4c756477696720766f6e204d69736573",
     "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944718da798efbcd91528520204f904b9bd"
     "6c7413dccdc214d951e15253e39987f18146e8cd0873654207148333479d4d16c289f0294b29960a72f48e0b7bba2e89"
     "083169825e59642148d492020664ccf7"},
    {"4d757272617920526f746862617264",
     "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088435361e70b2ed446e6c9ec387d1d6b3b84"
     "0f194e373979d241b203c4acafccf5"},
    {"462e20412e20486179656b", "050e9f3c8fac16b68dbce8f8c4bfbf6617c897f9ada4aa29aa19c8"},
    {"4361726c204d656e676572", "344233a6cabb7141d80f3da2fedc311d9646bbb0f505afe403a667"},
    {"4a65616e2d426170746973746520536179",
     "62cdeeb172ad7ade7aa7d9e069da5790f12331bfa00177787a1d0810c67dc3b2b4"},
    {"457567656e2042f6686d20766f6e2042617765726b",
     "029bead1b40992327044d409d9a1f3ad8f36c3c452775d557e18bbeb2e8dfcead32d514024"},
};

Key key(const char* text) {
  const Buffer bytes = hex(text);
  Key out{};
  EXPECT_EQ(bytes.size(), out.size());
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}
KeyPair pair(const char* secret) {
  return KeyPair::of(Secret(key(secret)));
}
Buffer written(HandshakeState& state, const KeyPair& ephemeral, const Buffer& payload) {
  Buffer out(payload.size() + kMessage1Overhead);
  out.resize(state.write(ephemeral, payload, out));
  return out;
}

TEST(Noise, IkMatchesThePublishedVector) {
  const Buffer prologue = hex(kPrologue);
  ASSERT_EQ(pair(kResponderStatic).public_key, key(kResponderPublic));
  const KeyPair a_static = pair(kInitiatorStatic), b_static = pair(kResponderStatic);
  HandshakeState a = HandshakeState::initiator(prologue, a_static, key(kResponderPublic));
  HandshakeState b = HandshakeState::responder(prologue, b_static);
  const Buffer payload1 = hex(kMessages[0].payload), payload2 = hex(kMessages[1].payload);

  const Buffer message1 = written(a, pair(kInitiatorEphemeral), payload1);
  EXPECT_EQ(message1, hex(kMessages[0].ciphertext));
  Buffer read1(payload1.size());
  ASSERT_TRUE(b.read(message1, read1));
  EXPECT_EQ(read1, payload1);
  EXPECT_EQ(b.peer(), pair(kInitiatorStatic).public_key);

  EXPECT_EQ(a.hash(), key(kHashAfterMessage1));
  EXPECT_EQ(b.hash(), key(kHashAfterMessage1));

  const Buffer message2 = written(b, pair(kResponderEphemeral), payload2);
  EXPECT_EQ(message2, hex(kMessages[1].ciphertext));
  Buffer read2(payload2.size());
  ASSERT_TRUE(a.read(message2, read2));
  EXPECT_EQ(read2, payload2);

  EXPECT_EQ(a.hash(), key(kHashAfterMessage2));
  EXPECT_EQ(b.hash(), key(kHashAfterMessage2));
  SymmetricState::Split from_a = a.split(), from_b = b.split();
  for (size_t i = 2; i < std::size(kMessages); ++i) {
    const bool initiator_sends = i % 2 == 0;
    const Buffer payload = hex(kMessages[i].payload);
    Buffer sealed(payload.size() + kTagBytes), opened(payload.size());
    (initiator_sends ? from_a.initiator_sends : from_a.responder_sends).encrypt({}, payload, sealed);
    EXPECT_EQ(sealed, hex(kMessages[i].ciphertext)) << i;
    ASSERT_TRUE(
        (initiator_sends ? from_b.initiator_sends : from_b.responder_sends).decrypt({}, sealed, opened));
    EXPECT_EQ(opened, payload) << i;
  }
}

class NoisePair : public testing::Test {
 protected:
  NoisePair() : a_static_(KeyPair::generate(random_)), b_static_(KeyPair::generate(random_)) {}
  HandshakeState initiator(const Key& peer) const { return HandshakeState::initiator({}, a_static_, peer); }
  HandshakeState initiator() const { return initiator(b_static_.public_key); }
  HandshakeState responder() const { return HandshakeState::responder({}, b_static_); }

  test::SeededRandomness random_{5};
  KeyPair a_static_, b_static_;
  const Buffer payload_ = {1, 2, 3};
};

TEST_F(NoisePair, EveryDamagedBitAndEveryCutOfAMessageIsRefused) {
  HandshakeState a = initiator();
  const Buffer message1 = written(a, KeyPair::generate(random_), payload_);
  Buffer out(payload_.size());
  for (size_t bit = 0; bit < message1.size() * 8; ++bit) {
    Buffer damaged = message1;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    // X25519 ignores a public key's highest bit, but the transcript does not.
    EXPECT_FALSE(responder().read(damaged, out)) << bit;
  }
  for (size_t length = 0; length < message1.size(); ++length) {
    const Bytes cut = Bytes(message1).first(length);
    Buffer rest(length < kMessage1Overhead ? 0 : length - kMessage1Overhead);
    EXPECT_FALSE(responder().read(cut, rest)) << length;
  }
  HandshakeState b = responder();
  ASSERT_TRUE(b.read(message1, out));
  const Buffer message2 = written(b, KeyPair::generate(random_), payload_);
  for (size_t bit = 0; bit < message2.size() * 8; ++bit) {
    Buffer damaged = message2;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    HandshakeState copy = a;
    EXPECT_FALSE(copy.read(damaged, out)) << bit;
  }
  EXPECT_TRUE(a.read(message2, out));
}

TEST_F(NoisePair, AMessageOutOfTurnIsNeitherWrittenNorRead) {
  HandshakeState a = initiator(), b = responder();
  Buffer out(payload_.size());
  EXPECT_TRUE(written(b, KeyPair::generate(random_), payload_).empty()) << "nothing to answer";
  const Buffer message1 = written(a, KeyPair::generate(random_), payload_);
  ASSERT_FALSE(message1.empty());
  EXPECT_TRUE(written(a, KeyPair::generate(random_), payload_).empty()) << "it has been written";
  HandshakeState unused;
  EXPECT_FALSE(unused.read(message1, out));
  ASSERT_TRUE(b.read(message1, out));
  EXPECT_FALSE(b.read(message1, out)) << "it has been read";
}

TEST_F(NoisePair, AnotherPrologueOrAnotherStaticKeyGivesNoHandshake) {
  HandshakeState a = initiator();
  const Buffer message1 = written(a, KeyPair::generate(random_), payload_);
  Buffer out(payload_.size());
  EXPECT_FALSE(HandshakeState::responder(payload_, b_static_).read(message1, out));
  EXPECT_FALSE(HandshakeState::responder({}, a_static_).read(message1, out));
  EXPECT_TRUE(responder().read(message1, out));
}

// The points of small order on Curve25519 and its twist, and their encodings above the prime: the result of a
// Diffie-Hellman with any of them does not depend on the secret.
constexpr const char* kLowOrder[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

TEST_F(NoisePair, KeysOfLowOrderAreRefusedWhereverTheyStand) {
  HandshakeState honest = initiator();
  const Buffer message1 = written(honest, KeyPair::generate(random_), payload_);
  Buffer out(payload_.size());
  for (const char* text : kLowOrder) {
    HandshakeState a = initiator(key(text));
    EXPECT_TRUE(written(a, KeyPair::generate(random_), payload_).empty()) << "the peer's static key " << text;

    // As the initiator's ephemeral key, in a message that is otherwise what an attacker would make of it.
    Buffer forged = message1;
    const Key low = key(text);
    std::copy(low.begin(), low.end(), forged.begin());
    EXPECT_FALSE(responder().read(forged, out)) << text;

    // As the responder's ephemeral key.
    Buffer reply(kMessage2Overhead + payload_.size());
    std::copy(low.begin(), low.end(), reply.begin());
    HandshakeState copy = honest;
    EXPECT_FALSE(copy.read(reply, out)) << text;

    // As the initiator's own static key: it says so itself, and can compute every key of message 1.
    const KeyPair low_static{a_static_.secret, low};
    HandshakeState liar = HandshakeState::initiator({}, low_static, b_static_.public_key);
    const Buffer message = written(liar, KeyPair::generate(random_), payload_);
    ASSERT_FALSE(message.empty());
    EXPECT_FALSE(responder().read(message, out)) << text;
  }
}

TEST_F(NoisePair, PayloadsOfEverySizeArrive) {
  for (size_t size : {0u, 1u, 15u, 16u, 17u, 64u, 1'000u}) {
    const Buffer payload(size, 0x5a);
    HandshakeState a = initiator(), b = responder();
    Buffer out(size), tight(size + kMessage1Overhead);
    EXPECT_EQ(HandshakeState(a).write(KeyPair::generate(random_), payload,
                                      std::span(tight).first(tight.size() - 1)),
              0u);
    ASSERT_EQ(a.write(KeyPair::generate(random_), payload, tight), tight.size());
    ASSERT_TRUE(b.read(tight, out));
    EXPECT_EQ(out, payload);
    const Buffer message2 = written(b, KeyPair::generate(random_), payload);
    ASSERT_EQ(message2.size(), size + kMessage2Overhead);
    ASSERT_TRUE(a.read(message2, out));
    EXPECT_EQ(a.split().initiator_sends.key().bytes(), b.split().initiator_sends.key().bytes());
    EXPECT_EQ(a.split().responder_sends.key().bytes(), b.split().responder_sends.key().bytes());
    EXPECT_NE(a.split().initiator_sends.key().bytes(), a.split().responder_sends.key().bytes());
  }
}

TEST(NoiseCipherState, CountsANonceOnlyForWhatWasAuthentic) {
  test::SeededRandomness random(9);
  const Secret secret = KeyPair::generate(random).secret;
  CipherState sender(secret), receiver(secret);
  const Buffer text = {1, 2, 3, 4};
  Buffer first(text.size() + kTagBytes), second(first.size()), out(text.size());
  sender.encrypt({}, text, first);
  sender.encrypt({}, text, second);
  EXPECT_NE(first, second) << "a nonce of its own each";
  EXPECT_FALSE(receiver.decrypt({}, second, out)) << "not in order";
  EXPECT_EQ(out, Buffer(text.size())) << "of what is not authentic nothing is shown";
  EXPECT_TRUE(receiver.decrypt({}, first, out));
  EXPECT_TRUE(receiver.decrypt({}, second, out));
}

TEST(Secret, IsOverwrittenWhenItGoes) {
  alignas(Secret) std::array<uint8_t, sizeof(Secret)> memory;
  auto* secret = new (memory.data()) Secret();
  secret->bytes().fill(0x5a);
  secret->~Secret();
  EXPECT_TRUE(std::all_of(memory.begin(), memory.end(), [](uint8_t b) { return b == 0; }));
}

TEST(Secret, BytesOfTheProcessMoveAndAreNotCopied) {
  SecretBytes a(40);
  a.bytes()[39] = 7;
  const uint8_t* const where = a.bytes().data();
  SecretBytes b(std::move(a));
  EXPECT_EQ(b.bytes().data(), where);
  SecretBytes c;
  c = std::move(b);
  EXPECT_EQ(c.size(), 40u);
  EXPECT_EQ(c.bytes()[39], 7);
}

}  // namespace
}  // namespace trunkline::relay::noise
