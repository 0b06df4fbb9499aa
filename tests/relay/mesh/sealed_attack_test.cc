// Attacks on links of the real state machine over the sealed handshake: by who has recorded everything that
// was ever sent, by who knows nodes' public keys and floods, by who reflects. What must not happen: that a
// link goes down, that a session is replaced, that anything is sent to where nobody asked from, or more than
// came from there.
#include <gtest/gtest.h>

#include "tests/support/mesh_harness.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

const UdpAddress kAttacker = UdpAddress::v4(198, 18, 9, 200, 6'666);

class AttackCrypto final : public Crypto {
 public:
  explicit AttackCrypto(SealedIdentity& identity) : identity_(identity) {}
  std::unique_ptr<Handshake> make_handshake() override {
    return std::make_unique<SealedHandshake>(identity_, Suite::kAes128Gcm);
  }
  std::unique_ptr<SessionCrypto> make_session() override { return std::make_unique<NullSession>(); }
  void key_session(SessionCrypto&, const SessionKeys&) noexcept override {}
  void under_load(bool under_load) noexcept override { identity_.set_under_load(under_load); }

 private:
  SealedIdentity& identity_;
};

class SealedAttack : public testing::Test {
 protected:
  struct Sent {
    uint32_t from;
    UdpAddress to;
    std::vector<uint8_t> bytes;
  };

  SealedAttack() {
    mesh_.make(2);
    for (uint32_t i = 0; i < 2; ++i) identities_.push_back(cluster_.node(i + 1));
    for (uint32_t i = 0; i < 2; ++i)
      mesh_.config(i).peers[0].public_key = test::peer_of(*identities_[1 - i]).public_key;
    mesh_.make_crypto = [this](MeshHarness::Node& node) {
      return std::make_unique<AttackCrypto>(*identities_[node.config.id.value - 1]);
    };
    mesh_.see_handshake = [this](MeshHarness::Node& node, const UdpAddress& to,
                                 std::span<const uint8_t> bytes) {
      if (to == kAttacker) to_attacker_ += bytes.size();
      sent_.push_back({static_cast<uint32_t>(node.config.id.value - 1), to, {bytes.begin(), bytes.end()}});
    };
  }
  void bring_up() {
    mesh_.start_all();
    mesh_.run_for(from_s(1));
    ASSERT_TRUE(up());
  }
  bool up() { return mesh_.link(0, 1).state == LinkState::kUp && mesh_.link(1, 0).state == LinkState::kUp; }
  // As it came from the attacker's address.
  void inject(uint32_t to, std::span<const uint8_t> bytes, const UdpAddress& from = kAttacker) {
    Frame frame;
    frame.kind = FrameKind::kHandshake;
    frame.address = from;
    frame.length = static_cast<uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), frame.bytes.begin());
    if (from == kAttacker) from_attacker_ += bytes.size();
    mesh_.give_foreign_frame(to, frame);
  }
  // What the holder of this identity writes as msg1 to node `to`, saying in its HELLO what `config` says.
  std::vector<uint8_t> msg1_of(SealedIdentity& holder, uint32_t to, const NodeConfig& config,
                               uint64_t incarnation) {
    SealedHandshake handshake(holder, Suite::kAes128Gcm);
    handshake.expect(test::peer_of(*identities_[to]));
    Hello hello = make_hello(config, incarnation);
    hello.core_count = 1;
    hello.cores[0] = {7'000, SessionIndex::make({0}, 0, 1)};
    std::array<uint8_t, kMaxHelloBytes> payload;
    const size_t length = encode(hello, payload);
    EXPECT_GT(length, 0u);
    handshake.begin();
    std::vector<uint8_t> datagram(kHeaderBytes);
    DatagramHeader header;
    header.type = DatagramType::kHandshake1;
    encode_header(datagram.data(), header);
    const auto message = test::written(handshake, kMsg1, Bytes(payload).first(length));
    datagram.insert(datagram.end(), message.begin(), message.end());
    return datagram;
  }
  // Node `who` is a machine that is restored from one snapshot again and again: each life has the same
  // incarnation, the same keys and the same random numbers. No life may get a key of another.
  void restore_again_and_again(uint32_t who) {
    const noise::KeyPair key = identities_[who]->key();
    std::vector<std::unique_ptr<test::SeededRandomness>> dice;
    mesh_.make_crypto = [&](MeshHarness::Node& node) {
      const auto i = static_cast<uint32_t>(node.config.id.value - 1);
      if (i == who) {
        *node.rng = core::Rng(77);
        dice.push_back(std::make_unique<test::SeededRandomness>(78));
        auto same = SealedIdentity::make(key, cluster_.certificate(who + 1, key.public_key), cluster_.trust,
                                         test::kUnixNow, *dice.back());
        identities_[who] = std::move(same).value();
      }
      return std::make_unique<AttackCrypto>(*identities_[i]);
    };
    mesh_.start_all();
    std::set<std::array<uint8_t, 32>> secrets;
    for (const int64_t pause_ms : {20, 120, 400, 2'000, 11'000, 20, 400}) {
      mesh_.run_for(from_s(5));
      ASSERT_TRUE(up()) << "restored " << secrets.size() / 2 << " times";
      EXPECT_TRUE(secrets.insert(keys(who).send_secret).second);
      EXPECT_TRUE(secrets.insert(keys(who).receive_secret).second);
      mesh_.crash(who);
      mesh_.run_for(from_ms(pause_ms));
      mesh_.start(who);
    }
    mesh_.crash(who);  // its identity goes with this function's random numbers
  }
  SessionKeys keys(uint32_t i) { return mesh_.node(i).sessions[mesh_.node(i).active[0]].keys; }
  uint64_t counter(uint32_t i, MeshCounter which) { return mesh_.mesh(i).counters().value(which); }
  static DatagramType type_of(const Sent& sent) { return decode_header(sent.bytes.data()).type; }

  test::SealedCluster cluster_;
  std::vector<std::unique_ptr<SealedIdentity>> identities_;
  MeshHarness mesh_{7};
  std::vector<Sent> sent_;
  uint64_t to_attacker_ = 0, from_attacker_ = 0;
};

TEST_F(SealedAttack, WhatWasRecordedAndIsRepeatedChangesNothing) {
  bring_up();
  for (int i = 0; i < 3; ++i) {  // more to record: exchanges that were, and are over
    mesh_.crash(1);
    mesh_.run_for(from_s(1));
    mesh_.restart(1);
    mesh_.run_for(from_s(2));
    ASSERT_TRUE(up());
  }
  const std::vector<Sent> recorded = sent_;
  const SessionKeys before[] = {keys(0), keys(1)};
  const uint64_t sent_before = sent_.size();
  for (int round = 0; round < 20; ++round) {
    for (const Sent& sent : recorded) {
      inject(1 - sent.from, sent.bytes);
      mesh_.run_for(from_ms(1));
      ASSERT_TRUE(up());
    }
  }
  EXPECT_EQ(keys(0).send_secret, before[0].send_secret);
  EXPECT_EQ(keys(1).send_secret, before[1].send_secret);
  EXPECT_LE(to_attacker_, from_attacker_);
  EXPECT_GT(counter(0, MeshCounter::handshakes_ignored), recorded.size());
  // An earlier life of a peer is told that it is over, and who asks so often for its address: nobody else is.
  for (size_t i = sent_before; i < sent_.size(); ++i) {
    EXPECT_EQ(sent_[i].to, kAttacker);
    EXPECT_TRUE(type_of(sent_[i]) == DatagramType::kHandshake2 ||
                type_of(sent_[i]) == DatagramType::kCookieReply);
  }
}

// A link that comes up while everything recorded rains on both ends comes up as soon.
TEST_F(SealedAttack, NoRecordingKeepsALinkFromComingUp) {
  bring_up();
  mesh_.crash(1);
  mesh_.run_for(from_s(1));
  mesh_.restart(1);
  mesh_.run_for(from_s(2));
  ASSERT_TRUE(up());
  const std::vector<Sent> recorded = sent_;
  mesh_.crash(1);
  mesh_.run_for(from_s(1));
  mesh_.restart(1);
  Nanos waited{};
  while (!up() && waited < from_s(5)) {
    for (const Sent& sent : recorded) inject(1 - sent.from, sent.bytes);
    mesh_.run_for(from_ms(5));
    waited = waited + from_ms(5);
  }
  EXPECT_LT(waited, from_s(2));
  EXPECT_LE(to_attacker_, from_attacker_);
}

// Only the last msg1 of a peer that is gone is new; whoever sends it again gets the answer that the peer
// would get, and the link stays with the peer's address.
TEST_F(SealedAttack, ARecordedMsg1DoesNotMoveThePeer) {
  bring_up();
  mesh_.crash(1);
  mesh_.run_for(from_s(2));
  for (const Sent& sent : std::vector<Sent>(sent_)) {
    if (sent.from == 1) inject(0, sent.bytes);
  }
  const uint64_t before = to_attacker_;
  mesh_.run_for(from_s(5));
  EXPECT_EQ(to_attacker_, before) << "what comes later goes to the peer";
  mesh_.restart(1);
  mesh_.run_for(from_s(3));
  EXPECT_TRUE(up());
}

// Of one life of a peer: what was answered and has done its work, and what came before it, is not answered
// again. One msg1 of which nothing came (both began, and the other's counted) may be, with the same answer
// each time.
TEST_F(SealedAttack, AnEarlierMsg1OfTheSameLifeIsNotAnswered) {
  for (uint32_t i = 0; i < 2; ++i) mesh_.config(i).link.rekey = from_s(1);
  bring_up();
  mesh_.run_for(from_s(6));
  const std::vector<Sent> recorded = sent_;
  const auto repeat_all = [&] {
    uint32_t injected = 0;
    for (const Sent& sent : recorded) {
      if (type_of(sent) != DatagramType::kHandshake1) continue;
      inject(1 - sent.from, sent.bytes);
      mesh_.run_for(from_ms(20));
      ++injected;
    }
    return injected;
  };
  EXPECT_GE(repeat_all(), 6u);
  const uint64_t once = to_attacker_;
  EXPECT_LE(once, kMaxFrameBytes);
  for (int round = 0; round < 5; ++round) repeat_all();
  EXPECT_LE(to_attacker_, 6 * once);
  EXPECT_TRUE(up());
}

// Over a long way, one old msg1 each 5 ms: an exchange takes ten times as long. Of the lower id, whose msg1
// the other answers whatever it does itself.
TEST_F(SealedAttack, AnOldLifesMsg1DoesNotEndTheExchangeUnderWay) {
  bring_up();
  const std::vector<Sent> recorded = sent_;
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.all_wires({.delay = from_ms(25)});
  mesh_.restart(0);
  mesh_.run_for(from_s(2));
  ASSERT_TRUE(up());
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.restart(0);
  const auto old = std::find_if(recorded.begin(), recorded.end(), [](const Sent& sent) {
    return sent.from == 0 && type_of(sent) == DatagramType::kHandshake1;
  });
  ASSERT_NE(old, recorded.end());
  Nanos waited{};
  for (; !up() && waited < from_s(5); waited = waited + from_ms(5)) {
    inject(1, old->bytes);
    mesh_.run_for(from_ms(5));
  }
  EXPECT_LT(waited, from_s(1));
}

// The same of a life with other settings, which the other end, started anew itself, knows nothing of. Each
// end's exchange is under way: node 1's own, and the answer of node 2.
TEST_F(SealedAttack, AMsg1WithOtherSettingsDoesNotEndTheExchangeUnderWay) {
  const std::vector<WireSetting> right = mesh_.config(0).wire;
  mesh_.config(0).wire[0].current = "another";
  mesh_.config(0).wire[0].accepted = {"another"};
  mesh_.start_all();
  mesh_.run_for(from_s(1));
  ASSERT_EQ(mesh_.link(1, 0).state, LinkState::kIncompatible);
  ASSERT_EQ(mesh_.link(0, 1).state, LinkState::kIncompatible);
  const auto old = std::find_if(sent_.begin(), sent_.end(), [](const Sent& sent) {
    return sent.from == 0 && type_of(sent) == DatagramType::kHandshake1;
  });
  ASSERT_NE(old, sent_.end());
  const std::vector<uint8_t> bytes = old->bytes;
  for (uint32_t i = 0; i < 2; ++i) mesh_.crash(i);
  mesh_.config(0).wire = right;
  mesh_.all_wires({.delay = from_ms(25)});
  for (uint32_t i = 0; i < 2; ++i) mesh_.restart(i);
  Nanos waited{};
  for (; !up() && waited < from_s(5); waited = waited + from_ms(5)) {
    inject(1, bytes);
    mesh_.run_for(from_ms(5));
  }
  EXPECT_LT(waited, from_ms(300));
  mesh_.run_for(from_s(1));
  EXPECT_TRUE(up());
  EXPECT_LE(to_attacker_, from_attacker_);
}

// Node 1 is gone, and its last msg1, which nobody has answered yet, is sent by another: a session is made for
// it, and nobody has its keys. What node 2 sends otherwise, it sends to node 1.
TEST_F(SealedAttack, AMsg1FromElsewhereMovesNobodyWithoutProof) {
  bring_up();
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.both_ways(0, 1, {.cut = true});
  mesh_.restart(0);
  mesh_.run_for(from_ms(300));
  const auto msg1 = std::find_if(sent_.rbegin(), sent_.rend(), [](const Sent& sent) {
    return sent.from == 0 && type_of(sent) == DatagramType::kHandshake1;
  });
  ASSERT_NE(msg1, sent_.rend());
  const std::vector<uint8_t> bytes = msg1->bytes;
  inject(1, bytes);
  const uint64_t answered = to_attacker_;
  EXPECT_GT(answered, 0u) << "whoever sends a new msg1 is answered where it came from";
  mesh_.run_for(from_s(4));
  EXPECT_EQ(to_attacker_, answered);
  mesh_.both_ways(0, 1, {});
  mesh_.run_for(from_s(3));
  EXPECT_TRUE(up());
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

TEST_F(SealedAttack, WhatIsReflectedIsNotForOneself) {
  bring_up();
  const SessionKeys before = keys(0);
  for (const Sent& sent : std::vector<Sent>(sent_)) inject(sent.from, sent.bytes, sent.to);
  mesh_.run_for(from_s(1));
  EXPECT_TRUE(up());
  EXPECT_EQ(keys(0).send_secret, before.send_secret);
}

// Strangers who know node 1's public key, with keys of another cluster: each msg1 has a right mac1 and costs
// an X25519 to refuse. Node 2 comes back in the middle of it.
TEST_F(SealedAttack, AFloodIsAnsweredWithCookiesAndPeersGetThrough) {
  bring_up();
  test::SealedCluster foreign(99);
  const auto stranger = foreign.node(2);
  SealedHandshake flood(*stranger, Suite::kAes128Gcm);
  flood.expect(test::peer_of(*identities_[0]));
  mesh_.crash(1);
  mesh_.run_for(from_s(1));
  uint64_t from_flood = 0;
  const auto pour = [&](int count) {
    for (int i = 0; i < count; ++i) {
      flood.begin();
      std::vector<uint8_t> datagram(kHeaderBytes);
      DatagramHeader header;
      header.type = DatagramType::kHandshake1;
      encode_header(datagram.data(), header);
      const std::vector<uint8_t> message = test::written(flood, kMsg1, {});
      datagram.insert(datagram.end(), message.begin(), message.end());
      inject(0, datagram);
      ++from_flood;
    }
  };
  for (int i = 0; i < 20; ++i) {
    pour(25);
    mesh_.run_for(from_ms(25));
  }
  mesh_.restart(1);
  Nanos waited{};
  while (!up() && waited < from_s(5)) {
    pour(25);
    mesh_.run_for(from_ms(25));
    waited = waited + from_ms(25);
  }
  EXPECT_LT(waited, from_s(2)) << "a peer proves its address and is heard";
  EXPECT_LE(to_attacker_, from_attacker_);
  const SealedCounters& counts = identities_[0]->counts;
  EXPECT_GT(counts.value(SealedCounter::cookies_sent), from_flood / 2);
  EXPECT_LT(counts.value(SealedCounter::certificate_refused) + counts.value(SealedCounter::forged),
            from_flood / 2)
      << "most were not read";
}

}  // namespace
}  // namespace trunkline::relay
