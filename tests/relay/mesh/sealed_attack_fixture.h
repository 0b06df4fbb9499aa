// The fixture of attacks on links: two nodes of the real state machine over the sealed handshake, and an
// attacker who sees everything that is sent, keeps it, and sends what it likes.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/mesh_harness.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay::test {

using core::from_ms;
using core::from_s;

inline const UdpAddress kAttacker = UdpAddress::v4(198, 18, 9, 200, 6'666);

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
  // The first msg1 that node `from` sent. Contract: there is one.
  std::vector<uint8_t> first_msg1(uint32_t from) const {
    const auto found = std::find_if(sent_.begin(), sent_.end(), [from](const Sent& sent) {
      return sent.from == from && type_of(sent) == DatagramType::kHandshake1;
    });
    TL_CHECK(found != sent_.end());
    return found->bytes;
  }
  // How long until the link is up, five seconds at most, while node `to` gets these bytes each 5 ms.
  Nanos until_up_despite(uint32_t to, const std::vector<uint8_t>& bytes) {
    Nanos waited{};
    for (; !up() && waited < from_s(5); waited = waited + from_ms(5)) {
      inject(to, bytes);
      mesh_.run_for(from_ms(5));
    }
    return waited;
  }

  test::SealedCluster cluster_;
  std::vector<std::unique_ptr<SealedIdentity>> identities_;
  MeshHarness mesh_{7};
  std::vector<Sent> sent_;
  uint64_t to_attacker_ = 0, from_attacker_ = 0;
};

}  // namespace trunkline::relay::test
