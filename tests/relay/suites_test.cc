// The laboratory suites: what they refuse, and what the null suite, as it says, does not notice.
#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "relay/crc32c.h"
#include "relay/model_suite.h"
#include "relay/null_suite.h"
#include "relay/text.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

using Bytes = std::vector<uint8_t>;
using core::CoreId;

Bytes written(Handshake& handshake, uint8_t message, std::string_view payload) {
  Bytes out(kMaxHandshakeBytes);
  out.resize(handshake.write(message, as_bytes(payload), out));
  return out;
}

class Suites : public testing::TestWithParam<Suite> {
 protected:
  Suites() : rng_(11) {
    if (GetParam() == Suite::kNull) {
      crypto_ = std::make_unique<NullCrypto>(rng_);
    } else {
      crypto_ = std::make_unique<ModelCrypto>(rng_);
    }
    initiator_ = crypto_->make_handshake();
    responder_ = crypto_->make_handshake();
  }
  // Both directions of one session, keyed by a whole handshake.
  void connect() {
    initiator_->begin();
    responder_->begin();
    Bytes msg1 = written(*initiator_, kMsg1, "a");
    ASSERT_TRUE(responder_->read(kMsg1, msg1).ok);
    Bytes msg2 = written(*responder_, kMsg2, "b");
    ASSERT_TRUE(initiator_->read(kMsg2, msg2).ok);
    a_ = crypto_->make_session();
    b_ = crypto_->make_session();
    crypto_->key_session(*a_, initiator_->keys());
    crypto_->key_session(*b_, responder_->keys());
  }
  Bytes datagram(uint64_t counter, size_t payload) const {
    Bytes bytes(kHeaderBytes + payload + kTagBytes, 0x5a);
    DatagramHeader header;
    header.counter = counter;
    encode_header(bytes.data(), header);
    return bytes;
  }
  static void seal(SessionCrypto& session, Bytes& bytes, CoreId from = {0}, CoreId to = {0}) {
    SealJob job{bytes.data(), static_cast<uint32_t>(bytes.size()) - kTagBytes};
    session.seal(from, to, {&job, 1});
  }
  static bool opens(SessionCrypto& session, Bytes bytes, CoreId from = {0}, CoreId to = {0}) {
    OpenJob job{bytes.data(), static_cast<uint32_t>(bytes.size()), true};
    session.open(from, to, {&job, 1});
    return job.authentic;
  }

  core::Rng rng_;
  std::unique_ptr<Crypto> crypto_;
  std::unique_ptr<Handshake> initiator_, responder_;
  std::unique_ptr<SessionCrypto> a_, b_;
};

TEST_P(Suites, SealingOutOfOtherMemoryIsACopyToo) {
  connect();
  Bytes in_place = datagram(7, 100);
  Bytes apart(in_place.begin(), in_place.begin() + kHeaderBytes);
  const Bytes records(in_place.begin() + kHeaderBytes, in_place.end() - kTagBytes);
  apart.resize(in_place.size());
  SealJob job{apart.data(), static_cast<uint32_t>(apart.size()) - kTagBytes, records.data()};
  a_->seal({0}, {0}, {&job, 1});
  seal(*a_, in_place);
  EXPECT_EQ(apart, in_place);
  EXPECT_TRUE(opens(*b_, apart));
}

TEST_P(Suites, AHandshakeGivesMirroredKeysAndCarriesPayloads) {
  Bytes msg1 = written(*initiator_, kMsg1, "hello from a");
  const auto read1 = responder_->read(kMsg1, msg1);
  ASSERT_TRUE(read1.ok);
  EXPECT_EQ(as_text(read1.payload), "hello from a");
  Bytes msg2 = written(*responder_, kMsg2, "hello from b");
  const auto read2 = initiator_->read(kMsg2, msg2);
  ASSERT_TRUE(read2.ok);
  EXPECT_EQ(as_text(read2.payload), "hello from b");
  Bytes confirm = written(*initiator_, kConfirm, "");
  ASSERT_FALSE(confirm.empty());
  EXPECT_TRUE(responder_->read(kConfirm, confirm).ok);

  const SessionKeys a = initiator_->keys(), b = responder_->keys();
  EXPECT_EQ(a.suite, GetParam());
  EXPECT_EQ(a.send_secret, b.receive_secret);
  EXPECT_EQ(a.receive_secret, b.send_secret);
  EXPECT_NE(a.send_secret, a.receive_secret);
}

TEST_P(Suites, EachExchangeHasKeysOfItsOwn) {
  connect();
  const SessionKeys first = initiator_->keys();
  connect();
  EXPECT_NE(initiator_->keys().send_secret, first.send_secret);
}

TEST_P(Suites, AReplyIsNeverLongerThanWhatAskedForIt) {
  const uint32_t overhead = GetParam() == Suite::kNull ? kNullHandshakeOverhead : kModelHandshakeOverhead;
  const std::string large(kMaxHandshakeBytes - overhead, 'x');
  Bytes msg1 = written(*initiator_, kMsg1, "");
  EXPECT_EQ(msg1.size(), kMaxHandshakeBytes);
  ASSERT_TRUE(responder_->read(kMsg1, msg1).ok);
  EXPECT_LE(written(*responder_, kMsg2, large).size(), msg1.size());
  EXPECT_TRUE(written(*responder_, kMsg2, large + "x").empty());
  EXPECT_LT(written(*responder_, kMsg2, "short").size(), 100u);
}

// With a correct checksum, as anybody can compute it.
TEST(NullSuite, AShortMsg1IsNotReadSoThatNoReplyIsLonger) {
  core::Rng rng(13);
  NullCrypto crypto(rng);
  auto other = crypto.make_handshake();
  other->begin();
  Bytes shorter = {kMsg1};  // the checksum is of the message's number too
  shorter.resize(1 + kNullHandshakeOverhead - 4, 0x5a);
  std::fill_n(shorter.end() - 2, 2, uint8_t{0});  // an empty payload
  const uint32_t checksum = crc32c(shorter);
  shorter.resize(shorter.size() + 4);
  store_be32(&*(shorter.end() - 4), checksum);
  shorter.erase(shorter.begin());
  EXPECT_FALSE(other->read(kMsg1, shorter).ok);
  shorter.insert(shorter.end() - 4, kMaxHandshakeBytes - shorter.size(), uint8_t{0});
  Bytes numbered = {kMsg1};
  numbered.insert(numbered.end(), shorter.begin(), shorter.end() - 4);
  store_be32(&*(shorter.end() - 4), crc32c(numbered));
  EXPECT_TRUE(other->read(kMsg1, shorter).ok) << "at its full length it is in order";
}

TEST_P(Suites, DamagedHandshakesChangeNothing) {
  Bytes msg1 = written(*initiator_, kMsg1, "hello");
  for (size_t bit = 0; bit < msg1.size() * 8; bit += 3) {
    Bytes bytes = msg1;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_FALSE(responder_->read(kMsg1, bytes).ok) << bit;
  }
  for (size_t length = 0; length < msg1.size(); length += 5) {
    ASSERT_FALSE(responder_->read(kMsg1, std::span(msg1).first(length)).ok) << length;
  }
  EXPECT_FALSE(responder_->read(kMsg2, msg1).ok) << "another message's number";
  EXPECT_TRUE(written(*responder_, kMsg2, "").empty()) << "no msg1 was read";
  EXPECT_TRUE(responder_->read(kMsg1, msg1).ok);
}

TEST_P(Suites, MessagesOutOfOrderOrOfAnotherExchangeAreRefused) {
  EXPECT_TRUE(written(*initiator_, kConfirm, "").empty()) << "nothing to confirm";
  EXPECT_TRUE(written(*initiator_, 0, "").empty());
  EXPECT_TRUE(written(*initiator_, 4, "").empty());
  Bytes msg1 = written(*initiator_, kMsg1, "");
  EXPECT_FALSE(initiator_->read(kMsg1, msg1).ok) << "an initiator awaits msg2";
  ASSERT_TRUE(responder_->read(kMsg1, msg1).ok);
  EXPECT_TRUE(written(*responder_, kMsg1, "").empty()) << "a responder does not begin";
  Bytes msg2 = written(*responder_, kMsg2, "");
  ASSERT_TRUE(initiator_->read(kMsg2, msg2).ok);
  EXPECT_TRUE(initiator_->read(kMsg2, msg2).ok) << "a repeat is the same reply";
  Bytes confirm = written(*initiator_, kConfirm, "");

  auto third = crypto_->make_handshake();
  ASSERT_TRUE(third->read(kMsg1, msg1).ok);
  Bytes other_msg2 = written(*third, kMsg2, "");
  const SessionKeys keys = initiator_->keys();
  EXPECT_FALSE(initiator_->read(kMsg2, other_msg2).ok) << "a second, different reply";
  EXPECT_EQ(initiator_->keys().send_secret, keys.send_secret);
  EXPECT_FALSE(third->read(kConfirm, confirm).ok) << "the confirm of another exchange";
  EXPECT_TRUE(responder_->read(kConfirm, confirm).ok);
}

TEST_P(Suites, AnotherObjectGoesOnWithAMsg1ThatWasRead) {
  auto reader = crypto_->make_handshake();
  Bytes msg1 = written(*initiator_, kMsg1, "a");
  ASSERT_TRUE(reader->read(kMsg1, msg1).ok);
  ASSERT_FALSE(written(*responder_, kMsg1, "").empty()) << "it is in an exchange of its own, which ends";
  responder_->take_over(*reader);
  EXPECT_TRUE(written(*reader, kMsg2, "").empty()) << "the reader's is over";
  Bytes msg2 = written(*responder_, kMsg2, "b");
  ASSERT_TRUE(initiator_->read(kMsg2, msg2).ok);
  EXPECT_EQ(initiator_->keys().send_secret, responder_->keys().receive_secret);
  EXPECT_EQ(initiator_->keys().receive_secret, responder_->keys().send_secret);
  Bytes confirm = written(*initiator_, kConfirm, "");
  EXPECT_TRUE(responder_->read(kConfirm, confirm).ok);
  responder_->take_over(*reader);
  EXPECT_TRUE(written(*responder_, kMsg2, "").empty()) << "nothing was read, so there is nothing to answer";
}

TEST_P(Suites, WhatOneEndSealsTheOtherOpens) {
  connect();
  for (size_t payload : {0u, 1u, 7u, 8u, 15u, 16u, 17u, 1200u}) {
    Bytes bytes = datagram(payload, payload);
    seal(*a_, bytes);
    EXPECT_TRUE(opens(*b_, bytes)) << payload;
    EXPECT_FALSE(opens(*a_, bytes)) << "the other direction has another key";
    seal(*b_, bytes);
    EXPECT_TRUE(opens(*a_, bytes)) << payload;
  }
}

TEST_P(Suites, AnotherLaneCounterSessionOrTagIsRefused) {
  connect();
  Bytes bytes = datagram(5, 100);
  seal(*a_, bytes, {1}, {2});
  EXPECT_TRUE(opens(*b_, bytes, {1}, {2}));
  EXPECT_FALSE(opens(*b_, bytes, {2}, {1}));
  EXPECT_FALSE(opens(*b_, bytes, {1}, {3}));
  Bytes other = bytes;
  DatagramHeader header = decode_header(other.data());
  ++header.counter;
  encode_header(other.data(), header);
  EXPECT_FALSE(opens(*b_, other, {1}, {2}));
  for (size_t bit = 0; bit < kTagBytes * 8; ++bit) {
    other = bytes;
    other[other.size() - kTagBytes + bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(opens(*b_, other, {1}, {2})) << bit;
  }
  EXPECT_FALSE(opens(*b_, Bytes(kHeaderBytes + kTagBytes - 1))) << "too short";
  connect();
  EXPECT_FALSE(opens(*b_, bytes, {1}, {2})) << "another session";
}

INSTANTIATE_TEST_SUITE_P(All, Suites, testing::Values(Suite::kNull, Suite::kModel),
                         [](const auto& test) { return test.param == Suite::kNull ? "null" : "model"; });

class ModelSuite : public Suites {};
TEST_P(ModelSuite, NoticesEveryDamagedBitAndEveryCut) {
  connect();
  for (const size_t payload : {3u, 16u, 200u}) {
    Bytes bytes = datagram(1, payload);
    seal(*a_, bytes);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      Bytes damaged = bytes;
      damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      ASSERT_FALSE(opens(*b_, damaged)) << payload << " bytes, bit " << bit;
    }
    for (size_t length = kHeaderBytes + kTagBytes; length < bytes.size(); ++length) {
      ASSERT_FALSE(opens(*b_, Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))));
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Only, ModelSuite, testing::Values(Suite::kModel));

TEST(NullSuite, DoesNotNoticeDamagedContentsAndSaysSo) {
  NullSession a, b;
  SessionKeys keys;
  keys.send_secret.fill(1);
  keys.receive_secret.fill(1);
  a.key(keys);
  b.key(keys);
  Bytes bytes(kHeaderBytes + 50 + kTagBytes);
  SealJob seal{bytes.data(), kHeaderBytes + 50};
  a.seal({0}, {0}, {&seal, 1});
  bytes[kHeaderBytes + 10] ^= 1;
  OpenJob open{bytes.data(), static_cast<uint32_t>(bytes.size()), false};
  b.open({0}, {0}, {&open, 1});
  EXPECT_TRUE(open.authentic);
}

// What the sealed handshake does, and the simulator relies on.
class Model : public testing::Test {
 protected:
  core::Rng rng_{12};
  ModelCrypto a_node_{rng_, {1}}, b_node_{rng_, {2}}, c_node_{rng_, {3}};
  std::unique_ptr<Handshake> a_ = a_node_.make_handshake(), b_ = b_node_.make_handshake(),
                             c_ = c_node_.make_handshake();
};

TEST_F(Model, AMsg1IsForWhomItWasWritten) {
  a_->expect({{2}, {}});
  Bytes msg1 = written(*a_, kMsg1, "for b");
  EXPECT_FALSE(c_->read(kMsg1, msg1).ok);
  EXPECT_TRUE(b_->read(kMsg1, msg1).ok);
}

TEST_F(Model, AnAnswerFitsOneMsg1AndAConfirmOneAnswer) {
  a_->expect({{2}, {}});
  Bytes first = written(*a_, kMsg1, "");
  ASSERT_TRUE(b_->read(kMsg1, first).ok);
  Bytes to_first = written(*b_, kMsg2, "");
  a_->begin();
  Bytes second = written(*a_, kMsg1, "");
  EXPECT_FALSE(a_->read(kMsg2, to_first).ok);
  b_->begin();
  ASSERT_TRUE(b_->read(kMsg1, second).ok);
  Bytes to_second = written(*b_, kMsg2, "");
  ASSERT_TRUE(a_->read(kMsg2, to_second).ok);
  Bytes confirm = written(*a_, kConfirm, "");
  b_->begin();
  ASSERT_TRUE(b_->read(kMsg1, second).ok);
  EXPECT_FALSE(b_->read(kConfirm, confirm).ok) << "nothing was answered yet";
  ASSERT_FALSE(written(*b_, kMsg2, "another").empty());
  EXPECT_FALSE(b_->read(kConfirm, confirm).ok) << "it confirms what was said before";
}

TEST_F(Model, TheOrderOfMsg1Grows) {
  a_->expect({{2}, {}});
  Bytes first = written(*a_, kMsg1, ""), second = written(*a_, kMsg1, "");
  EXPECT_LT(b_->read(kMsg1, first).order, b_->read(kMsg1, second).order);
}

TEST_F(Model, KeysAreOfAllThatWasSaid) {
  const auto keys_after = [&](std::string_view answer) {
    core::Rng same(3);
    ModelCrypto one(same, {1}), other(same, {2});
    auto asks = one.make_handshake(), answers = other.make_handshake();
    asks->expect({{2}, {}});
    Bytes msg1 = written(*asks, kMsg1, "");
    EXPECT_TRUE(answers->read(kMsg1, msg1).ok);
    EXPECT_FALSE(written(*answers, kMsg2, answer).empty());
    return answers->keys().send_secret;
  };
  EXPECT_EQ(keys_after("yes"), keys_after("yes"));
  EXPECT_NE(keys_after("yes"), keys_after("no"));
}

TEST_F(Model, ACopyOfAMachineDoesNotDrawTheKeysOfItsOriginal) {
  const auto nonce_at = [](core::Nanos now) {
    core::Rng same(3);
    ModelCrypto node(same, {1});
    node.at(now);
    auto handshake = node.make_handshake();
    handshake->begin();
    Bytes msg1 = written(*handshake, kMsg1, "");
    msg1.resize(32);
    return msg1;
  };
  EXPECT_EQ(nonce_at(core::from_s(1)), nonce_at(core::from_s(1)));
  EXPECT_NE(nonce_at(core::from_s(1)), nonce_at(core::from_s(2)));
}

}  // namespace
}  // namespace trunkline::relay
