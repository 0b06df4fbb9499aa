// Attacks on links of the real state machine over the sealed handshake: by who has recorded everything that
// was ever sent, by who knows nodes' public keys and floods, by who reflects. What must not happen: that a
// link goes down, that a session is replaced, that anything is sent to where nobody asked from, or more than
// came from there.
#include <gtest/gtest.h>

#include "tests/relay/mesh/sealed_attack_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;
using test::kAttacker;
using test::SealedAttack;

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
  const std::vector<uint8_t> old = first_msg1(0);
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.all_wires({.delay = from_ms(25)});
  mesh_.restart(0);
  mesh_.run_for(from_s(2));
  ASSERT_TRUE(up());
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.restart(0);
  EXPECT_LT(until_up_despite(1, old), from_s(1));
}

// The same of a life with other settings, whose clock was ahead, and which the other end, started anew
// itself, knows nothing of. Each end's exchange is under way: node 1's own, and the answer of node 2.
TEST_F(SealedAttack, AMsg1WithOtherSettingsDoesNotEndTheExchangeUnderWay) {
  NodeConfig other = mesh_.config(0);
  other.wire[0].current = "another";
  other.wire[0].accepted = {"another"};
  bring_up();
  const std::vector<uint8_t> bytes = msg1_of(*identities_[0], 1, other, 1'000'000);
  for (uint32_t i = 0; i < 2; ++i) mesh_.crash(i);
  mesh_.all_wires({.delay = from_ms(25)});
  for (uint32_t i = 0; i < 2; ++i) mesh_.restart(i);
  EXPECT_LT(until_up_despite(1, bytes), from_ms(300));
  mesh_.run_for(from_s(1));
  EXPECT_TRUE(up());
  EXPECT_LE(to_attacker_, from_attacker_);
}

// A recording of the life before the present one, whose msg1 is being answered. The end that is asked has
// heard of no later life than the recorded one.
TEST_F(SealedAttack, TheLastLifesMsg1DoesNotEndTheExchangeUnderWay) {
  bring_up();
  const std::vector<uint8_t> old = first_msg1(0);
  mesh_.crash(0);
  mesh_.run_for(from_s(1));
  mesh_.all_wires({.delay = from_ms(25)});
  mesh_.restart(0);
  EXPECT_LT(until_up_despite(1, old), from_s(1));
}

// What no key covers: bits of the datagram's header. Each msg1 of node 1 comes a second time, a moment later,
// with one of them changed.
TEST_F(SealedAttack, ACopyOfAMsg1UnderAnotherHeaderIsTheSameMsg1) {
  for (uint32_t i = 0; i < 2; ++i) mesh_.config(i).link.rekey = from_s(1);
  mesh_.all_wires({.delay = from_ms(25)});
  mesh_.start_all();
  size_t seen = 0;
  std::vector<std::pair<Nanos, std::vector<uint8_t>>> copies;
  Nanos down{};
  for (Nanos waited{}; waited < from_s(6); waited = waited + from_ms(1)) {
    for (; seen < sent_.size(); ++seen) {
      if (sent_[seen].from != 0 || type_of(sent_[seen]) != DatagramType::kHandshake1) continue;
      copies.emplace_back(waited + from_ms(26), sent_[seen].bytes);
      copies.back().second[1 + seen % 11] ^= 0x04;
    }
    for (auto& [due, bytes] : copies) {
      if (due == waited) inject(1, bytes);
    }
    mesh_.run_for(from_ms(1));
    if (waited > from_s(1) && !up()) down = down + from_ms(1);
  }
  EXPECT_GE(copies.size(), 5u);
  EXPECT_EQ(down, Nanos{});
}

// What the peer said before it ever answered is over, though nobody has read it: its answers say how many
// msg1 it had written by then.
TEST_F(SealedAttack, WhoHasOnlyAskedTakesNoRecordingOfItsPeerForNew) {
  mesh_.config(0).link.rekey = from_s(3);  // and for two of them no replaced session is received
  mesh_.config(1).link.rekey = from_s(100);
  bring_up();
  mesh_.run_for(from_s(4));
  const std::vector<Sent> recorded = sent_;
  const uint64_t before = to_attacker_;
  uint32_t injected = 0;
  for (int round = 0; round < 30; ++round) {
    for (const Sent& sent : recorded) {
      if (sent.from != 1 || type_of(sent) != DatagramType::kHandshake1) continue;
      inject(0, sent.bytes);
      ++injected;
    }
    mesh_.run_for(from_ms(110));
  }
  EXPECT_GE(injected, 30u);
  EXPECT_EQ(to_attacker_, before) << "none is answered";
  EXPECT_TRUE(up());
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
  EXPECT_NE(mesh_.link(1, 0).state, LinkState::kUp) << "nobody has shown that it has the keys";
  mesh_.run_for(from_s(4));
  EXPECT_EQ(to_attacker_, answered);
  mesh_.both_ways(0, 1, {});
  mesh_.run_for(from_s(3));
  EXPECT_TRUE(up());
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
