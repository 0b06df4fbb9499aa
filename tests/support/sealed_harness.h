// Nodes with keys and certificates of one cluster, for tests and benches of the sealed handshake. Everything
// random repeats itself from the seed.
#pragma once

#include <memory>
#include <vector>

#include "core/check.h"
#include "relay/null_suite.h"
#include "relay/sealed_handshake.h"
#include "tests/support/seeded_randomness.h"

namespace trunkline::relay::test {

inline constexpr uint64_t kUnixNow = 1'800'000'000;

class SealedCluster {
 public:
  explicit SealedCluster(uint64_t seed = 1) : random(seed) {
    Secret seed_bytes;
    random.fill(seed_bytes.bytes());
    signer = SigningKey::of(seed_bytes);
    trust.cluster = "prod";
    trust.anchors[0] = signer.public_key;
    trust.anchor_count = 1;
  }
  CertificateBytes certificate(uint64_t node, const Key& key, uint64_t expires = kUnixNow + 3'600,
                               uint32_t roles = kAllRoles) {
    Certificate c;
    c.node = {node};
    c.serial = 1'000 + node;
    c.not_before = kUnixNow - 3'600;
    c.expires = expires;
    c.roles = roles;
    c.public_key = key;
    TL_CHECK(c.cluster.assign("prod") && c.region.assign("ams"));
    CertificateBytes bytes{};
    TL_CHECK(sign(c, signer, bytes));
    return bytes;
  }
  std::unique_ptr<SealedIdentity> node(uint64_t id) {
    const auto key = noise::KeyPair::generate(random);
    return node(id, key);
  }
  std::unique_ptr<SealedIdentity> node(uint64_t id, const noise::KeyPair& key, uint32_t roles = kAllRoles) {
    const CertificateBytes signed_for = certificate(id, key.public_key, kUnixNow + 3'600, roles);
    auto made = SealedIdentity::make(key, signed_for, trust, kUnixNow, random);
    TL_CHECK(made.has_value());
    return std::move(made).value();
  }

  SeededRandomness random;
  SigningKey signer;
  Trust trust;
};

// What a node of MeshHarness needs of cryptography: sealed handshakes, and sessions that are books. `own` is
// the certificate that the node goes by itself, if it does.
class SealedTestCrypto final : public Crypto {
 public:
  explicit SealedTestCrypto(SealedIdentity& identity, const Certificate* own = nullptr)
      : identity_(identity), own_(own) {}
  std::unique_ptr<Handshake> make_handshake() override {
    return std::make_unique<SealedHandshake>(identity_, Suite::kAes128Gcm);
  }
  std::unique_ptr<SessionCrypto> make_session() override { return std::make_unique<NullSession>(); }
  void key_session(SessionCrypto&, const SessionKeys&) noexcept override {}
  const Certificate* own() const noexcept override { return own_; }

 private:
  SealedIdentity& identity_;
  const Certificate* own_;
};

inline ExpectedPeer peer_of(const SealedIdentity& identity) {
  return {identity.own().node, identity.key().public_key};
}

inline std::vector<uint8_t> written(Handshake& handshake, uint8_t message, Bytes payload) {
  std::vector<uint8_t> out(kMaxHandshakeBytes);
  out.resize(handshake.write(message, payload, out));
  return out;
}

}  // namespace trunkline::relay::test
