// Attacks by who belongs to the cluster, or did: peers with other words, other keys, other certificates,
// older lives; and what each is told. With tests/relay/mesh/sealed_attack_test.cc, which is about strangers.
#include <gtest/gtest.h>

#include "tests/relay/mesh/sealed_attack_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;
using test::kAttacker;
using test::SealedAttack;

// Node 2 comes back with a new key and a certificate for it. Node 1, whose msg1 counts where both have one
// under way, still writes to the old key.
TEST_F(SealedAttack, APeerWithANewKeyGetsItsLinkBack) {
  bring_up();
  mesh_.crash(1);
  mesh_.run_for(from_s(1));
  identities_[1] = cluster_.node(2);
  mesh_.restart(1);
  mesh_.run_for(from_s(3));
  EXPECT_TRUE(up());
}

// One after the other: each is told in words that it can read.
TEST_F(SealedAttack, TwoThatAreRefusedInARowAreBothTold) {
  bring_up();
  for (const uint64_t id : {3u, 4u}) {
    const auto insider = cluster_.node(id);
    SealedHandshake asks(*insider, Suite::kAes128Gcm);
    asks.expect(test::peer_of(*identities_[1]));
    std::vector<uint8_t> msg1 = msg1_of(*insider, 1, mesh_.config(0), 1);
    const auto noise = test::written(asks, kMsg1, {});
    std::copy(noise.begin(), noise.end(), msg1.begin() + kHeaderBytes);
    identities_[1]->set_unix_time(test::kUnixNow + 10 * 3'600);  // theirs have expired
    const uint64_t refused = counter(1, MeshCounter::handshakes_refused);
    inject(1, msg1);
    identities_[1]->set_unix_time(test::kUnixNow);
    EXPECT_EQ(counter(1, MeshCounter::handshakes_refused), refused + 1);
    ASSERT_EQ(sent_.back().to, kAttacker);
    std::vector<uint8_t> msg2(sent_.back().bytes.begin() + kHeaderBytes, sent_.back().bytes.end());
    const auto read = asks.read(kMsg2, msg2);
    ASSERT_TRUE(read.ok) << id;
    const auto refusal = decode_refusal(read.payload);
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->code, RefusalCode::kCertificate);
  }
}

TEST_F(SealedAttack, ARefusalForASettingIsCountedOnce) {
  bring_up();
  NodeConfig other = mesh_.config(0);
  other.wire[0].current = "another";
  other.wire[0].accepted = {"another"};
  const uint64_t refused = counter(1, MeshCounter::handshakes_refused);
  inject(1, msg1_of(*identities_[0], 1, other, 1'000'000));
  EXPECT_EQ(counter(1, MeshCounter::handshakes_refused), refused + 1);
  EXPECT_TRUE(up()) << "it may be an old one: what stands goes on";
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  inject(1, msg1_of(*identities_[0], 1, other, 1'000'000));
  EXPECT_EQ(counter(1, MeshCounter::handshakes_refused), refused + 2);
  EXPECT_EQ(mesh_.link(1, 0).state, LinkState::kIncompatible);
}

// A node of the cluster that says in its HELLO that it is another one, with other settings: its certificate
// says who it is, and what it says of the other is not believed. Of the lower id, as above.
TEST_F(SealedAttack, AHelloIsWorthWhatTheCertificateSays) {
  bring_up();
  mesh_.crash(0);
  mesh_.run_for(from_s(2));
  const auto insider = cluster_.node(3);
  NodeConfig config = mesh_.config(0);
  config.wire[0].current = "another";
  config.wire[0].accepted = {"another"};
  inject(1, msg1_of(*insider, 1, config, 5'000));
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(to_attacker_, 0u);
  EXPECT_NE(mesh_.link(1, 0).state, LinkState::kIncompatible);
}

TEST_F(SealedAttack, ARestoredNodeOfTheLowerIdGetsNoKeyTwice) {
  restore_again_and_again(0);
}

TEST_F(SealedAttack, ARestoredNodeOfTheHigherIdGetsNoKeyTwice) {
  restore_again_and_again(1);
}

// The node that is restored has written many msg1 since its snapshot was taken: those that it writes now are
// numbered as copies of theirs. It gets its link back all the same.
TEST_F(SealedAttack, ANodeRestoredFromAnOldSnapshotComesBack) {
  for (uint32_t i = 0; i < 2; ++i) mesh_.config(i).link.rekey = from_s(1);
  bring_up();
  mesh_.run_for(from_s(60));
  ASSERT_TRUE(up());
  const noise::KeyPair key = identities_[0]->key();
  mesh_.crash(0);
  identities_[0] = cluster_.node(1, key);
  mesh_.run_for(from_ms(300));
  mesh_.start(0);
  mesh_.run_for(from_s(5));
  EXPECT_TRUE(up());
}

// Who knows the indexes of one session knows nothing of those of the next.
TEST_F(SealedAttack, TheIndexOfASessionDoesNotFollowFromTheOneBefore) {
  for (uint32_t i = 0; i < 2; ++i) mesh_.config(i).link.rekey = from_s(1);
  bring_up();
  std::set<uint32_t> indexes;
  std::set<std::array<uint8_t, 32>> sessions;
  for (int i = 0; i < 300; ++i) {
    mesh_.run_for(from_ms(100));
    for (const auto& [slot, session] : mesh_.node(0).sessions) {
      indexes.insert(session.receive_index);
      sessions.insert(session.keys.send_secret);
    }
  }
  EXPECT_GE(sessions.size(), 20u);
  EXPECT_EQ(indexes.size(), sessions.size());
  uint32_t neighbours = 0;
  for (const uint32_t index : indexes) neighbours += indexes.count(index + 1) != 0 ? 1 : 0;
  EXPECT_LE(neighbours, 1u);
}

// A node with keys and a certificate of its own gives another reason to be refused each time, more often than
// anybody should. Of the lower id, whose msg1 is always read.
TEST_F(SealedAttack, APeerThatIsRefusedForAnotherReasonEachTimeDoesNotFillTheLog) {
  bring_up();
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  NodeConfig config = mesh_.config(0);
  const size_t before = mesh_.node(1).errors.size();
  constexpr int kSeconds = 10, kPerSecond = 100;
  for (int i = 0; i < kSeconds * kPerSecond; ++i) {
    config.wire[0].current = "reason " + std::to_string(i);
    config.wire[0].accepted = {config.wire[0].current};
    inject(1, msg1_of(*identities_[0], 1, config, 1'000));
    mesh_.run_for(from_ms(1'000 / kPerSecond));
  }
  EXPECT_GE(counter(1, MeshCounter::handshakes_refused), uint64_t{kSeconds * kPerSecond / 2});
  EXPECT_GE(mesh_.node(1).errors.size() - before, 2u) << "what is new is said";
  EXPECT_LE(mesh_.node(1).errors.size() - before, size_t{kSeconds + 1});
  EXPECT_LE(to_attacker_, from_attacker_);
}

// The other way round: whatever this node says of itself, such a peer remembers a later start of it.
TEST_F(SealedAttack, APeerThatRemembersEverLaterStartsDoesNotKeepThisNodeAsking) {
  bring_up();
  mesh_.crash(1);
  mesh_.run_for(from_s(1));
  SealedHandshake liar(*identities_[1], Suite::kAes128Gcm);
  uint64_t remembered = 1'000'000;
  const uint64_t before = counter(0, MeshCounter::handshakes_sent);
  for (int ms = 0; ms < 5'000; ++ms) {
    const size_t seen = sent_.size();
    mesh_.run_for(from_ms(1));
    for (size_t i = seen; i < sent_.size(); ++i) {
      if (type_of(sent_[i]) != DatagramType::kHandshake1) continue;
      liar.begin();
      std::vector<uint8_t> msg1(sent_[i].bytes.begin() + kHeaderBytes, sent_[i].bytes.end());
      const auto read = liar.read(kMsg1, msg1);
      ASSERT_TRUE(read.ok);
      std::array<uint8_t, kMaxHelloBytes> payload;
      const size_t length = encode(outlived(remembered += 1'000, 1), payload);
      std::vector<uint8_t> answer(kHeaderBytes);
      DatagramHeader header;
      header.type = DatagramType::kHandshake2;
      header.session_index = static_cast<uint32_t>(decode_header(sent_[i].bytes.data()).counter);
      encode_header(answer.data(), header);
      const auto message = test::written(liar, kMsg2, Bytes(payload).first(length));
      answer.insert(answer.end(), message.begin(), message.end());
      inject(0, answer);
    }
  }
  EXPECT_LE(counter(0, MeshCounter::handshakes_sent) - before, 20u);
}

// Another life of node 1, here played by hand, answers before it has asked anybody for anything. What its
// former life had counted is not what it counts from.
TEST_F(SealedAttack, APeerThatAnsweredBeforeItEverAskedMayAskLater) {
  bring_up();
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  const noise::KeyPair key = identities_[0]->key();
  const auto made = SealedIdentity::make(key, cluster_.certificate(1, key.public_key), cluster_.trust,
                                         test::kUnixNow, cluster_.random);
  SealedIdentity& anew = *made.value();
  ASSERT_EQ(type_of(sent_.back()), DatagramType::kHandshake1);
  std::vector<uint8_t> msg1(sent_.back().bytes.begin() + kHeaderBytes, sent_.back().bytes.end());
  DatagramHeader header;
  header.type = DatagramType::kHandshake2;
  header.session_index = static_cast<uint32_t>(decode_header(sent_.back().bytes.data()).counter);
  SealedHandshake answers(anew, Suite::kAes128Gcm);
  answers.expect(test::peer_of(*identities_[1]));
  ASSERT_TRUE(answers.read(kMsg1, msg1).ok);
  Hello hello = make_hello(mesh_.config(0), 1'000'000);
  hello.core_count = 1;
  hello.cores[0] = {7'000, SessionIndex::make({0}, 0, 1)};
  std::array<uint8_t, kMaxHelloBytes> payload;
  const size_t length = encode(hello, payload);
  std::vector<uint8_t> msg2(kHeaderBytes);
  encode_header(msg2.data(), header);
  const auto message = test::written(answers, kMsg2, Bytes(payload).first(length));
  msg2.insert(msg2.end(), message.begin(), message.end());
  inject(1, msg2);
  ASSERT_EQ(mesh_.link(1, 0).state, LinkState::kUp);
  mesh_.run_for(from_s(2));
  const uint64_t refused = counter(1, MeshCounter::handshakes_refused);
  inject(1, msg1_of(anew, 1, mesh_.config(0), 1'000'000));
  EXPECT_EQ(type_of(sent_.back()), DatagramType::kHandshake2);
  EXPECT_EQ(counter(1, MeshCounter::handshakes_refused), refused) << "it is answered, and not refused";
}

}  // namespace
}  // namespace trunkline::relay
