// What a node's certificate does not allow, it cannot do: neither the peer that tries, whatever runs there,
// nor the host of the node itself. Each refusal comes at once, names the role and the certificate, and is
// counted.
#include <gtest/gtest.h>

#include "relay/explain.h"
#include "tests/relay/mesh/mesh_fixture.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

constexpr uint32_t kPublish = 1, kAcquire = 2, kRelay = 4;

class SealedRoles : public MeshNodeTest {
 protected:
  struct Holder {
    uint32_t roles = kAllRoles;
    bool honest = true;                  // false: it does not look at its own certificate
    std::optional<uint32_t> believes{};  // ... or looks at another one than its peers
  };

  void make(const std::vector<Holder>& holders) {
    const auto n = static_cast<uint32_t>(holders.size());
    mesh_.make(n);
    own_.resize(n);
    for (uint32_t i = 0; i < n; ++i) {
      const auto key = noise::KeyPair::generate(cluster_.random);
      identities_.push_back(cluster_.node(i + 1, key, holders[i].roles));
      own_[i] = identities_[i]->own();
      own_[i].roles = holders[i].believes.value_or(holders[i].roles);
      honest_.push_back(holders[i].honest);
    }
    for (uint32_t i = 0; i < n; ++i) {
      for (PeerConfig& peer : mesh_.config(i).peers)
        peer.public_key = identities_[peer.id.value - 1]->key().public_key;
    }
    mesh_.make_crypto = [this](MeshHarness::Node& node) {
      const size_t i = node.config.id.value - 1;
      return std::make_unique<test::SealedTestCrypto>(*identities_[i], honest_[i] ? &own_[i] : nullptr);
    };
  }
  void start() {
    mesh_.start_all();
    mesh_.run_for(from_s(1));
  }
  // In a row: each can reach its neighbours only.
  void chain(const std::vector<Holder>& holders) {
    make(holders);
    for (uint32_t i = 0; i < mesh_.size(); ++i) {
      mesh_.config(i).full_mesh = false;
      for (uint32_t j = 0; j < mesh_.size(); ++j)
        mesh_.wire(i, j) = {from_ms(5), 0, i + 1 != j && j + 1 != i};
    }
    start();
  }
  // From the next session on, which the rekeying of its links brings, its certificate says so.
  void renew(uint32_t i, uint32_t roles) {
    const CertificateBytes renewed =
        cluster_.certificate(i + 1, identities_[i]->key().public_key, test::kUnixNow + 3'600, roles);
    ASSERT_EQ(identities_[i]->renew(renewed), CertificateFault::kNone);
  }
  void rekey_each(Nanos span) {
    for (uint32_t i = 0; i < mesh_.size(); ++i) mesh_.config(i).link.rekey = span;
  }
  Explanation explain(uint32_t i) {
    Explanation e;
    mesh_.mesh(i).explain(mesh_.now(), a_, e);
    return e;
  }
  bool located(uint32_t i, uint64_t node) {
    const Explanation e = explain(i);
    const auto peers = e.shown_peers();
    return std::any_of(peers.begin(), peers.end(),
                       [&](const PeerView& p) { return p.link.node.value == node && p.located; });
  }
  // One RTT and a tick: an answer, and no time-out.
  void expect_refused(uint32_t i, uint64_t handle, uint64_t holder, const std::string& role) {
    const Heard heard = mesh_.only(i, handle);
    EXPECT_EQ(heard.outcome, Outcome::unauthorized) << outcome_name(heard.outcome) << ": " << heard.text;
    EXPECT_EQ(heard.text, "the certificate of node " + std::to_string(holder) + " has no role '" + role +
                              "' (trunkline keys node --role " + role + ")");
    EXPECT_LE(heard.elapsed, kRoundTrip * 2 + from_ms(5));
  }

  test::SealedCluster cluster_;
  std::vector<std::unique_ptr<SealedIdentity>> identities_;
  std::vector<Certificate> own_;
  std::vector<bool> honest_;
};

// ---- publish

TEST_F(SealedRoles, APeerThatMayNotPublishCannotMakeItsTracksKnown) {
  make({{}, {kAcquire | kRelay, false}, {}});
  start();
  mesh_.publish(1, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  EXPECT_EQ(counter(0, MeshCounter::announcements_unauthorized), 1u);
  EXPECT_FALSE(located(0, 2));
  EXPECT_EQ(mesh_.mesh(0).usage().tracks, 0u);
  expect_no_leak();
}

// The track is published with every right elsewhere, and flows.
TEST_F(SealedRoles, WhatSuchAPeerAnnouncesTakesNoTrackFromItsPublisher) {
  make({{}, {kAcquire | kRelay, false}, {}});
  start();
  mesh_.publish(2, 1, a_, 1);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(kRoundTrip * 2);
  ASSERT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  mesh_.publish(1, 1, a_, 9);
  mesh_.run_for(from_ms(500));
  EXPECT_EQ(mesh_.count(0, HostEventKind::kEnded), 0u);
  EXPECT_EQ(counter(0, MeshCounter::feeds_superseded), 0u);
  mesh_.send_media(2, a_);
  mesh_.run_for(kRoundTrip);
  EXPECT_EQ(mesh_.node(0).packets[7], 1u);
}

// It is asked with everybody, since it may relay; its own track it may not give.
TEST_F(SealedRoles, APeerThatMayNotPublishIsNotBelievedWhenItSaysYes) {
  make({{}, {kAcquire | kRelay, false}});
  start();
  mesh_.publish(1, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(100));
  expect_refused(0, 7, 2, "publish");
  EXPECT_EQ(counter(0, MeshCounter::answers_unauthorized), 1u);
  EXPECT_EQ(counter(0, MeshCounter::answers_fenced), 0u);
  EXPECT_EQ(mesh_.link_outputs(1), 0u) << "what it had begun is taken back";
  EXPECT_EQ(
      first_line(explain(0), "cam"),
      "track 'cam' does not flow: not between node 2 and this node: the certificate of node 2 has no role "
      "'publish' (trunkline keys node --role publish), 90 ms ago");
  expect_no_leak();
}

TEST_F(SealedRoles, AHostThatMayNotPublishIsToldSoAtOnce) {
  make({{}, {kAcquire | kRelay}});
  start();
  mesh_.publish(1, 1, a_);
  const Heard heard = mesh_.only(1, 1, HostEventKind::kPublishFailed);
  EXPECT_EQ(heard.outcome, Outcome::unauthorized);
  EXPECT_EQ(heard.text,
            "the certificate of node 2 has no role 'publish' (trunkline keys node --role publish)");
  EXPECT_EQ(counter(1, MeshCounter::host_unauthorized), 1u);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(counter(0, MeshCounter::announcements_received), 0u);
  expect_no_leak();
}

// ---- acquire

TEST_F(SealedRoles, APeerThatMayNotAcquireIsRefusedAtOnceAndHearsTheRole) {
  make({{}, {kPublish | kRelay, false}});
  start();
  mesh_.publish(0, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(1, 7, a_);
  mesh_.run_for(from_ms(100));
  expect_refused(1, 7, 2, "acquire");
  EXPECT_EQ(counter(0, MeshCounter::requests_unauthorized), 1u);
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  expect_no_leak();
}

TEST_F(SealedRoles, AHostThatMayNotAcquireIsToldSoAtOnceAndNobodyIsAsked) {
  make({{}, {kPublish}});
  start();
  mesh_.publish(0, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(1, 7, a_);
  expect_refused(1, 7, 2, "acquire");
  EXPECT_EQ(mesh_.only(1, 7).elapsed, Nanos{});
  EXPECT_EQ(counter(1, MeshCounter::host_unauthorized), 1u);
  EXPECT_EQ(mesh_.mesh(1).outcomes(Outcome::unauthorized), 1u);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(counter(1, MeshCounter::requests_sent), 0u);
  EXPECT_EQ(first_line(explain(1), "cam"),
            "track 'cam' does not flow: the certificate of this node has no role 'acquire'");
  expect_no_leak();
}

TEST_F(SealedRoles, AHostThatMayDoesNotNoticeRoles) {
  make({{kPublish}, {kAcquire}});
  start();
  flowing(0, 1, a_);
  mesh_.acquire(1, 7, a_);
  stream(0, from_ms(200));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  EXPECT_GT(mesh_.node(1).packets[7], 5u);
  expect_no_leak();
}

TEST_F(SealedRoles, WhoHasNothingToGiveIsNotAsked) {
  make({{}, {kAcquire}, {}});
  start();
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(100));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::not_here);
  EXPECT_EQ(counter(1, MeshCounter::requests_received), 0u);
  EXPECT_EQ(counter(2, MeshCounter::requests_received), 1u);
  expect_no_leak();
}

// ---- relay

TEST_F(SealedRoles, APeerThatMayNotRelayIsNotAskedTo) {
  chain({{}, {kPublish | kAcquire}, {}});
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(500));
  const Heard heard = mesh_.only(0, 7);
  EXPECT_EQ(heard.outcome, Outcome::moved) << heard.text;
  EXPECT_EQ(heard.text,
            "node 2 knows who has it, and may not relay it: the certificate of node 2 has no role 'relay' "
            "(trunkline keys node --role relay)");
  EXPECT_LE(heard.elapsed, kRoundTrip * 2);
  EXPECT_EQ(counter(0, MeshCounter::relays_asked), 0u);
  EXPECT_EQ(counter(0, MeshCounter::relays_unauthorized), 1u);
  expect_no_leak();
}

// Its peers hold a certificate of it that allows it, so they ask; it has a newer one that does not.
TEST_F(SealedRoles, ANodeThatMayNotRelaySaysSoWhenItIsAskedTo) {
  chain({{}, {kAllRoles, true, kPublish | kAcquire}, {}});
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(500));
  expect_refused(0, 7, 2, "relay");
  EXPECT_EQ(counter(1, MeshCounter::relaying_unauthorized), 1u);
  EXPECT_EQ(counter(2, MeshCounter::requests_received), 0u);
  expect_no_leak();
}

// It has the track for its own subscribers.
TEST_F(SealedRoles, ANodeThatMayNotRelayKeepsWhatItIsFed) {
  chain({{}, {kAllRoles, true, kPublish | kAcquire}, {}});
  flowing(2, 1, a_);
  mesh_.acquire(1, 7, a_);
  stream(2, from_ms(100));
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  mesh_.acquire(0, 7, a_);
  stream(2, from_ms(500));
  EXPECT_NE(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.link_outputs(1), 0u);
  EXPECT_GE(counter(1, MeshCounter::relaying_unauthorized), 1u);
  EXPECT_GT(mesh_.node(1).packets[7], 40u);
  expect_no_leak();
}

TEST_F(SealedRoles, WhatAPeerPassesOnThatMayNotRelayIsNotTaken) {
  chain({{}, {kPublish | kAcquire, false}, {}});
  flowing(2, 1, a_);
  mesh_.acquire(1, 7, a_);
  stream(2, from_ms(100));
  ASSERT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
  mesh_.acquire(0, 7, a_);
  stream(2, from_ms(500));
  expect_refused(0, 7, 2, "relay");
  EXPECT_EQ(counter(0, MeshCounter::answers_unauthorized), 1u);
  EXPECT_EQ(mesh_.node(0).packets[7], 0u);
  expect_no_leak();
}

// Node 1 allows everybody whom it asks to ask further, as no node does: so node 2 asks for it.
TEST_F(SealedRoles, APeerThatMayNotRelayIsNotServedForOthers) {
  make({{}, {kPublish | kAcquire, false}, {}});
  mesh_.config(0).rules.loop_check = false;
  for (uint32_t i = 0; i < 3; ++i) mesh_.config(i).full_mesh = false;
  mesh_.both_ways(0, 2, {.cut = true});
  start();
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_, from_ms(300));
  stream(2, from_ms(500));
  EXPECT_NE(mesh_.only(0, 7).outcome, Outcome::ok);
  EXPECT_EQ(counter(1, MeshCounter::requests_relayed), 1u);
  EXPECT_GE(counter(2, MeshCounter::requests_unauthorized), 1u);
  EXPECT_EQ(mesh_.link_outputs(2), 0u);
  // What it wants for itself it gets.
  mesh_.acquire(1, 7, a_);
  stream(2, from_ms(100));
  EXPECT_EQ(mesh_.only(1, 7).outcome, Outcome::ok);
}

// It asks for others only, and goes on when its sessions are replaced, when nobody waits any more.
TEST_F(SealedRoles, ARelayNeedsNoOtherRole) {
  make({{kAcquire}, {kRelay}, {kPublish}});
  rekey_each(from_s(2));
  for (uint32_t i = 0; i < 3; ++i) mesh_.config(i).full_mesh = false;
  mesh_.both_ways(0, 2, {.cut = true});
  start();
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_);
  stream(2, from_ms(200));
  ASSERT_EQ(mesh_.only(0, 7).outcome, Outcome::ok) << mesh_.only(0, 7).text;
  const uint64_t before = mesh_.node(0).packets[7];
  stream(2, from_s(6));
  EXPECT_GE(counter(1, MeshCounter::rekeys) + counter(2, MeshCounter::rekeys), 2u);
  EXPECT_GE(mesh_.node(0).packets[7] - before, 590u);
  EXPECT_EQ(counter(2, MeshCounter::requests_unauthorized), 0u);
  EXPECT_EQ(mesh_.count(0, HostEventKind::kEnded), 0u);
  expect_no_leak();
}

// ---- a certificate that is replaced by one with fewer roles

TEST_F(SealedRoles, WhoLosesTheRolePublishStopsFeeding) {
  make({{}, {kAllRoles, false}});
  rekey_each(from_s(2));
  start();
  flowing(1, 1, a_);
  mesh_.acquire(0, 7, a_);
  stream(1, from_ms(200));
  ASSERT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  renew(1, kAcquire);
  stream(1, from_s(3));
  EXPECT_EQ(mesh_.only(0, 7, HostEventKind::kEnded).outcome, Outcome::unauthorized);
  EXPECT_FALSE(located(0, 2));
  const uint64_t packets = mesh_.node(0).packets[7];
  stream(1, from_ms(200));
  EXPECT_EQ(mesh_.node(0).packets[7], packets);
  EXPECT_GE(counter(0, MeshCounter::answers_unauthorized), 1u);
}

// The peer says nothing in the new session: what it had said before does not stand for that.
TEST_F(SealedRoles, WhatANewCertificateDoesNotAllowEndsWithoutThePeersWord) {
  make({{}, {kAllRoles, false}});
  rekey_each(from_s(2));
  start();
  flowing(0, 1, b_);
  mesh_.publish(1, 1, a_);
  mesh_.run_for(kRoundTrip * 2);
  mesh_.acquire(1, 7, b_);
  mesh_.acquire(0, 8, a_);
  mesh_.run_for(from_ms(100));
  ASSERT_EQ(mesh_.link_outputs(0), 1u);
  ASSERT_EQ(mesh_.only(0, 8).outcome, Outcome::ok);
  ASSERT_TRUE(located(0, 2));
  renew(1, kRelay);
  mesh_.node(0).deaf_control = true;
  mesh_.run_for(from_s(2) + from_ms(200));
  EXPECT_EQ(mesh_.link_outputs(0), 0u);
  EXPECT_FALSE(located(0, 2));
  EXPECT_EQ(mesh_.only(0, 8, HostEventKind::kEnded).outcome, Outcome::unauthorized);
}

}  // namespace
}  // namespace trunkline::relay
