// The judge of keys, fed with false facts: what it must notice, it notices.
#include "tools/sim/auditor_keys.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "relay/model_suite.h"
#include "relay/wire.h"
#include "tools/sim/audited_crypto.h"
#include "tools/sim/builds.h"
#include "tools/sim/world.h"

namespace trunkline::sim {
namespace {

using core::CoreId;
using relay::Suite;

class Keys : public testing::Test {
 protected:
  static std::vector<uint8_t> datagram(uint64_t counter, uint8_t tag = 1) {
    std::vector<uint8_t> bytes(relay::kHeaderBytes + 32 + relay::kTagBytes, tag);
    relay::DatagramHeader header;
    header.counter = counter;
    relay::encode_header(bytes.data(), header);
    return bytes;
  }
  static uint64_t tag_word(uint8_t tag) { return 0x0101010101010101u * tag; }
  KeyAuditor::Life life(NodeIndex node) {
    const Options options = plain_options(1, {Region::kLondon, Region::kTokyo});
    return auditor_.starts(node_config(options, node, {}));
  }
  std::string said() const { return complaints_.empty() ? "" : complaints_.front(); }

  std::vector<std::string> complaints_;
  KeyAuditor auditor_{[this](std::string text) { complaints_.push_back(std::move(text)); }};
  KeyAuditor::Life a_ = life(0), b_ = life(1);
  KeyAuditor::Secret secret_{1, 2, 3};
};

TEST_F(Keys, WhatIsRightIsPassedOver) {
  auto& sends = auditor_.sends(a_, Suite::kAes128Gcm, secret_);
  auto& receives = auditor_.receives(b_, Suite::kAes128Gcm, secret_);
  auditor_.sealed(sends, {0}, {0}, datagram(0));
  auditor_.sealed(sends, {0}, {1}, datagram(0, 2));  // another lane
  auditor_.sealed(sends, {0}, {0}, datagram(7, 3));
  auditor_.opened(receives, {0}, {0}, 7, tag_word(3));
  auditor_.opened(receives, {0}, {0}, 0, tag_word(1));
  auditor_.wrote(a_, 1, datagram(0));
  auditor_.read(b_, 1, KeyAuditor::message_hash(1, datagram(0)), true);
  EXPECT_EQ(said(), "");
  EXPECT_EQ(auditor_.totals().sealed, 3u);
  EXPECT_EQ(auditor_.totals().lanes, 2u);
}

TEST_F(Keys, ACounterIsSpentOnce) {
  auto& sends = auditor_.sends(a_, Suite::kAes128Gcm, secret_);
  auditor_.sealed(sends, {0}, {0}, datagram(5));
  auditor_.sealed(sends, {0}, {0}, datagram(5, 2));
  EXPECT_EQ(said(), "S6: node 1 seals a second time with counter 5 of lane 0 to 0");
}

TEST_F(Keys, ASecretIsOneLifesToSealWith) {
  auditor_.sends(a_, Suite::kAes128Gcm, secret_);
  auditor_.sends(life(0), Suite::kAes128Gcm, secret_);
  EXPECT_EQ(said(), "S6: node 1 seals with a key that node 1 sealed with in another life");
  auditor_.receives(b_, Suite::kAes128Gcm, {9});
  auditor_.receives(a_, Suite::kAes128Gcm, {9});
  EXPECT_EQ(complaints_.size(), 2u);
}

TEST_F(Keys, WhatNobodySealedIsNotGenuine) {
  auto& sends = auditor_.sends(a_, Suite::kAes128Gcm, secret_);
  auditor_.sealed(sends, {0}, {0}, datagram(5));
  auto& receives = auditor_.receives(b_, Suite::kAes128Gcm, secret_);
  const auto complains = [&](CoreId from, CoreId to, uint64_t counter, uint8_t tag) {
    const size_t before = complaints_.size();
    auditor_.opened(receives, from, to, counter, tag_word(tag));
    return complaints_.size() > before;
  };
  EXPECT_FALSE(complains({0}, {0}, 5, 1));
  EXPECT_TRUE(complains({0}, {0}, 5, 2)) << "another content";
  EXPECT_TRUE(complains({0}, {0}, 6, 1)) << "another counter";
  EXPECT_TRUE(complains({0}, {1}, 5, 1)) << "another lane";
}

TEST_F(Keys, AHandshakeMessageIsSomebodyElses) {
  auditor_.read(b_, 1, 77, true);
  EXPECT_EQ(said(), "S7: node 2 takes a handshake message 1 for genuine that nobody wrote");
  auditor_.wrote(b_, 2, datagram(0));
  auditor_.read(b_, 2, KeyAuditor::message_hash(2, datagram(0)), true);
  EXPECT_EQ(complaints_.size(), 2u) << "its own";
  auditor_.read(a_, 1, 78, false);
  EXPECT_EQ(complaints_.size(), 2u) << "what is refused may be anything";
}

TEST_F(Keys, WhoShareASecretAgree) {
  auditor_.sends(a_, Suite::kAes128Gcm, secret_);
  auditor_.receives(b_, Suite::kAes256Gcm, secret_);
  EXPECT_EQ(said(), "S8: two ends of a session seal with different suites");
  Options options = plain_options(1, {Region::kLondon, Region::kTokyo});
  relay::NodeConfig other = node_config(options, 1, {});
  other.wire[0].current = "else";
  other.wire[0].accepted = {"else"};
  auditor_.sends(a_, Suite::kModel, {4});
  auditor_.receives(auditor_.starts(other), Suite::kModel, {4});
  EXPECT_EQ(complaints_.back(), "S8: node 1 and node 2 share a secret and disagree on track_namespace");
  auditor_.sends(a_, Suite::kModel, {5});
  auditor_.receives(a_, Suite::kModel, {5});
  EXPECT_EQ(complaints_.back(), "S8: node 1 has a session with itself");
}

// Cryptography that takes everything for genuine, and that counts from zero again, under the same judge.
class Careless final : public relay::SessionCrypto {
 public:
  void seal(CoreId, CoreId, std::span<relay::SealJob>) noexcept override {}
  void open(CoreId, CoreId, std::span<relay::OpenJob> jobs) noexcept override {
    for (relay::OpenJob& job : jobs) job.authentic = true;
  }
};
class CarelessCrypto final : public relay::Crypto {
 public:
  std::unique_ptr<relay::Handshake> make_handshake() override { return nullptr; }
  std::unique_ptr<relay::SessionCrypto> make_session() override { return std::make_unique<Careless>(); }
  void key_session(relay::SessionCrypto&, const relay::SessionKeys&) noexcept override {}
};

TEST_F(Keys, WrappedCryptographyIsJudged) {
  const Options options = plain_options(1, {Region::kLondon, Region::kTokyo});
  AuditedCrypto crypto(std::make_unique<CarelessCrypto>(), auditor_, node_config(options, 0, {}));
  auto session = crypto.make_session();
  crypto.key_session(*session, {Suite::kModel, {1}, {2}});
  auto bytes = datagram(3);
  relay::SealJob seal{bytes.data(), static_cast<uint32_t>(bytes.size()) - relay::kTagBytes};
  session->seal({0}, {0}, {&seal, 1});
  EXPECT_EQ(said(), "");
  session->seal({0}, {0}, {&seal, 1});
  EXPECT_EQ(complaints_.size(), 1u) << "the counter a second time";
  relay::OpenJob open{bytes.data(), static_cast<uint32_t>(bytes.size()), false};
  session->open({0}, {0}, {&open, 1});
  EXPECT_TRUE(open.authentic);
  EXPECT_EQ(complaints_.size(), 2u) << "nobody sealed it toward this node";
}

// Seeds with strangers are run twice; that it is noticed when they have an effect is shown by what is one: a
// path that damages what it carries, in one of the two runs.
TEST(Strangers, AnEffectIsNoticed) {
  Options options = plain_options(3, {Region::kLondon, Region::kTokyo, Region::kMadrid});
  options.faults = 1u << static_cast<uint32_t>(Fault::stranger);
  Report report;
  EXPECT_TRUE(run_world(options, {}, report).violations.empty());
  EXPECT_GT(report.marks.count(Mark::stranger_flipped), 0u);
  World with(options, {}, report), without(options, {}, report);
  with.run();
  Options other = options;
  other.media_every = other.media_every + core::from_ns(1);
  World different(other, {}, report);
  without.run();
  different.run();
  EXPECT_EQ(parted(with, without), "");
  EXPECT_EQ(parted(with, different).substr(0, 3), "S7:");
}

}  // namespace
}  // namespace trunkline::sim
