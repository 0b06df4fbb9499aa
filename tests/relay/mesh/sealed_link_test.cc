// The mesh's state machine over the sealed handshake: links come up with the same keys at both ends, whatever
// is lost, repeated or simultaneous; nodes that are not of the cluster get no link.
#include <gtest/gtest.h>

#include "tests/support/mesh_harness.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

// The handshakes of one node: MeshNode asks for one per peer, in the order of its configuration, then for the
// one that reads strangers' msg1.
class TestCrypto final : public Crypto {
 public:
  TestCrypto(SealedIdentity& identity, std::vector<ExpectedPeer> peers)
      : identity_(identity), peers_(std::move(peers)) {}
  std::unique_ptr<Handshake> make_handshake() override {
    auto made = std::make_unique<SealedHandshake>(identity_, Suite::kAes128Gcm);
    if (next_ < peers_.size()) made->expect(peers_[next_++]);
    return made;
  }
  std::unique_ptr<SessionCrypto> make_session() override { return std::make_unique<NullSession>(); }
  void key_session(SessionCrypto&, const SessionKeys&) noexcept override {}

 private:
  SealedIdentity& identity_;
  std::vector<ExpectedPeer> peers_;
  size_t next_ = 0;
};

class SealedLinks : public testing::TestWithParam<uint64_t> {
 protected:
  SealedLinks() : mesh_(GetParam()) {}
  void make(uint32_t n) {
    mesh_.make(n);
    for (uint32_t i = 0; i < n; ++i) identities_.push_back(cluster_.node(i + 1));
    mesh_.make_crypto = [this](MeshHarness::Node& node) {
      std::vector<ExpectedPeer> peers;
      for (const PeerConfig& peer : node.config.peers)
        peers.push_back(test::peer_of(*identities_[peer.id.value - 1]));
      return std::make_unique<TestCrypto>(*identities_[node.config.id.value - 1], std::move(peers));
    };
  }
  bool all_up() {
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      for (uint32_t j = 0; j < mesh_.size(); ++j) {
        if (i != j && mesh_.link(i, j).state != LinkState::kUp) return false;
      }
    }
    return true;
  }
  // Each end of each link seals with what the other opens with, and no two links have a secret in common.
  void expect_keys() {
    std::set<std::array<uint8_t, 32>> secrets;
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      for (uint32_t j = 0; j < mesh_.size(); ++j) {
        if (i == j) continue;
        const SessionKeys mine = keys(i, j), theirs = keys(j, i);
        EXPECT_EQ(mine.suite, Suite::kAes128Gcm);
        EXPECT_EQ(mine.send_secret, theirs.receive_secret) << i << " to " << j;
        EXPECT_TRUE(secrets.insert(mine.send_secret).second) << i << " to " << j;
      }
    }
  }
  SessionKeys keys(uint32_t i, uint32_t j) {
    MeshHarness::Node& node = mesh_.node(i);
    return node.sessions[node.active[MeshHarness::link_to(i, j)]].keys;
  }

  test::SealedCluster cluster_;
  std::vector<std::unique_ptr<SealedIdentity>> identities_;
  MeshHarness mesh_;
};

TEST_P(SealedLinks, ComeUpWithTheSameKeysAtBothEnds) {
  make(4);
  mesh_.start_all();
  mesh_.run_for(from_s(1));
  ASSERT_TRUE(all_up());
  expect_keys();
}

TEST_P(SealedLinks, ComeUpOverWiresThatLoseAThird) {
  make(3);
  mesh_.all_wires({from_ms(20), 0.33, false});
  mesh_.start_all();
  mesh_.run_for(from_s(10));
  mesh_.all_wires({from_ms(20), 0, false});
  mesh_.run_for(from_s(5));
  ASSERT_TRUE(all_up());
  expect_keys();
}

TEST_P(SealedLinks, ARestartedNodeComesBackWithNewKeys) {
  make(3);
  mesh_.start_all();
  mesh_.run_for(from_s(1));
  ASSERT_TRUE(all_up());
  const SessionKeys before = keys(0, 1);
  mesh_.crash(1);
  mesh_.run_for(from_ms(500));
  mesh_.restart(1);
  mesh_.run_for(from_s(3));
  ASSERT_TRUE(all_up());
  EXPECT_NE(keys(0, 1).send_secret, before.send_secret);
  expect_keys();
}

// Keys are replaced while media flows, both ways: every packet arrives once, and no link is ever down.
TEST_P(SealedLinks, KeysAreReplacedUnderTraffic) {
  make(2);
  for (uint32_t i = 0; i < 2; ++i) mesh_.node(i).config.link.rekey = from_s(2);
  mesh_.start_all();
  mesh_.publish(0, 7, test_track(7));
  mesh_.publish(1, 8, test_track(8));
  mesh_.run_for(from_s(1));
  mesh_.acquire(1, 7, test_track(7));
  mesh_.acquire(0, 8, test_track(8));
  mesh_.run_for(from_s(1));
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  ASSERT_EQ(mesh_.only(0, 8).outcome, Outcome::ok);
  std::set<std::array<uint8_t, 32>> secrets;
  constexpr uint32_t kPackets = 3'000;
  for (uint32_t i = 0; i < kPackets; ++i) {
    mesh_.send_media(0, test_track(7));
    mesh_.send_media(1, test_track(8));
    mesh_.run_for(from_ms(10));
    secrets.insert(keys(0, 1).send_secret);
    ASSERT_EQ(mesh_.link(0, 1).state, LinkState::kUp) << i;
    ASSERT_EQ(mesh_.link(1, 0).state, LinkState::kUp) << i;
  }
  mesh_.run_for(from_ms(10));
  EXPECT_EQ(mesh_.node(1).packets[7], kPackets);
  EXPECT_EQ(mesh_.node(0).packets[8], kPackets);
  EXPECT_GE(secrets.size(), 13u) << "in 30 s, each 2 s";
  EXPECT_LE(secrets.size(), 17u);
  expect_keys();
}

// Whoever answered a rekey never gets the confirm: the first datagram of the new session shows as much.
TEST_P(SealedLinks, ARekeyWhoseConfirmIsAlwaysLostLosesNothing) {
  make(2);
  for (uint32_t i = 0; i < 2; ++i) mesh_.node(i).config.link.rekey = from_s(2);
  mesh_.start_all();
  mesh_.publish(0, 7, test_track(7));
  mesh_.run_for(from_s(1));
  mesh_.acquire(1, 7, test_track(7));
  mesh_.run_for(from_ms(500));
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  mesh_.lose_handshake = [](std::span<const uint8_t> datagram) {
    return decode_header(datagram.data()).type == DatagramType::kHandshakeConfirm;
  };
  std::set<std::array<uint8_t, 32>> secrets;
  constexpr uint32_t kPackets = 1'200;
  for (uint32_t i = 0; i < kPackets; ++i) {
    mesh_.send_media(0, test_track(7));
    mesh_.run_for(from_ms(10));
    secrets.insert(keys(1, 0).send_secret);
    ASSERT_TRUE(all_up()) << i;
  }
  EXPECT_EQ(mesh_.node(1).packets[7], kPackets);
  EXPECT_GE(secrets.size(), 5u) << "in 12 s, each 2 s";
  expect_keys();
}

// The wire is cut while a rekey is under way, at each of its messages, for less and for more than the
// exchange lasts. Afterwards both ends have one session, the same, and the track flows as if nothing had
// been.
TEST_P(SealedLinks, ARekeyThatAPartitionCutsShortEndsInOneSession) {
  for (const int64_t after_ms : {0, 3, 7, 12, 17}) {
    for (const int64_t cut_ms : {400, 1'500, 6'000}) {
      SCOPED_TRACE(testing::Message() << "cut " << after_ms << " ms into it, for " << cut_ms << " ms");
      mesh_ = MeshHarness(GetParam());
      identities_.clear();
      make(2);
      for (uint32_t i = 0; i < 2; ++i) mesh_.node(i).config.link.rekey = from_s(2);
      bool begun = false;
      mesh_.see_handshake = [&](MeshHarness::Node&, const UdpAddress&, std::span<const uint8_t>) {
        begun = true;
      };
      mesh_.start_all();
      mesh_.publish(0, 7, test_track(7));
      mesh_.run_for(from_ms(500));
      mesh_.acquire(1, 7, test_track(7));
      mesh_.run_for(from_ms(500));
      ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
      begun = false;
      for (int i = 0; i < 5'000 && !begun; ++i) mesh_.run_for(from_ms(1));
      ASSERT_TRUE(begun);
      mesh_.run_for(from_ms(after_ms));
      mesh_.both_ways(0, 1, {.cut = true});
      mesh_.run_for(from_ms(cut_ms));
      mesh_.both_ways(0, 1, {});
      mesh_.run_for(from_s(3));
      ASSERT_TRUE(all_up());
      mesh_.run_for(from_ms(1'100));  // what was replaced has had its time
      expect_keys();
      const uint64_t before = mesh_.node(1).packets[7];
      mesh_.send_media(0, test_track(7));
      mesh_.run_for(from_ms(100));
      EXPECT_EQ(mesh_.node(1).packets[7], before + 1);
    }
  }
}

TEST_P(SealedLinks, MediaFindsItsWay) {
  make(2);
  mesh_.start_all();
  mesh_.publish(0, 7, test_track(7));
  mesh_.run_for(from_s(1));
  mesh_.acquire(1, 7, test_track(7));
  mesh_.run_for(from_s(1));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  mesh_.send_media(0, test_track(7));
  mesh_.run_for(from_s(1));
  EXPECT_EQ(mesh_.node(1).packets[7], 1u);
}

TEST_P(SealedLinks, ANodeOfAnotherClustersKeyGetsNoLink) {
  make(2);
  test::SealedCluster foreign(99);
  const auto stranger = foreign.node(2);
  // It has node 2's place and knows node 1; node 1 knows the key of the true node 2.
  mesh_.make_crypto = [&](MeshHarness::Node& node) {
    const bool first = node.config.id.value == 1;
    return std::make_unique<TestCrypto>(first ? *identities_[0] : *stranger,
                                        std::vector{test::peer_of(*identities_[first ? 1 : 0])});
  };
  mesh_.start_all();
  mesh_.run_for(from_s(5));
  EXPECT_NE(mesh_.link(0, 1).state, LinkState::kUp);
  EXPECT_NE(mesh_.link(1, 0).state, LinkState::kUp);
  EXPECT_GT(identities_[0]->counts.value(SealedCounter::certificate_refused), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SealedLinks, testing::Range<uint64_t>(1, 6));

}  // namespace
}  // namespace trunkline::relay
