// See cluster_keys.h.
#include "tools/sim/cluster_keys.h"

#include "core/check.h"
#include "relay/sealed_crypto.h"
#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

constexpr uint64_t kValidFrom = 1'577'836'800,
                   kExpires = 2'208'988'800;  // 2020 and 2040, by any node's clock

class StreamRandomness final : public relay::Randomness {
 public:
  explicit StreamRandomness(core::Rng rng) : rng_(rng) {}
  void fill(std::span<uint8_t> out) noexcept override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(rng_.next());
  }

 private:
  core::Rng rng_;
};

relay::noise::KeyPair key_pair(uint64_t seed, std::string_view name, uint64_t index) {
  StreamRandomness randomness(stream(seed, name, index));
  return relay::noise::KeyPair::generate(randomness);
}

// The production cryptography, and what it draws from.
class SeededCrypto final : public relay::Crypto {
 public:
  SeededCrypto(const relay::NodeConfig& config, relay::NodeKeys keys, core::Rng rng, uint64_t unix_s,
               Nanos now)
      : randomness_(rng) {
    auto made = relay::SealedCrypto::make(config, std::move(keys), unix_s, now, randomness_);
    TL_CHECK(made.has_value());
    sealed_ = std::move(made).value();
  }
  std::unique_ptr<relay::Handshake> make_handshake() override { return sealed_->make_handshake(); }
  std::unique_ptr<relay::SessionCrypto> make_session() override { return sealed_->make_session(); }
  void key_session(relay::SessionCrypto& session, const relay::SessionKeys& keys) noexcept override {
    sealed_->key_session(session, keys);
  }
  void forget_session(relay::SessionCrypto& session) noexcept override { sealed_->forget_session(session); }
  const relay::Certificate* own() const noexcept override { return sealed_->own(); }
  void at(Nanos now) noexcept override { sealed_->at(now); }
  void under_load(bool under_load) noexcept override { sealed_->under_load(under_load); }

 private:
  StreamRandomness randomness_;
  std::unique_ptr<relay::SealedCrypto> sealed_;
};

}  // namespace

ClusterKeys::ClusterKeys(const Options& options)
    : seed_(options.seed), signer_(relay::SigningKey::of(key_pair(seed_, "keys.signer", 0).secret)) {
  for (NodeIndex node = 0; node < options.nodes.size(); ++node)
    keys_.push_back(key_pair(seed_, "keys.node", node));
}

void ClusterKeys::put_into(relay::NodeConfig& config) const {
  const char* const kSuite = "aes-128-gcm";
  for (relay::WireSetting& setting : config.wire) {
    if (setting.name == "suite") setting = {"suite", kSuite, {kSuite}};
  }
  config.security.secret = config.security.certificate = "of the seed";
  config.security.anchors = {"of the seed"};
  for (relay::PeerConfig& peer : config.peers) peer.public_key = keys_[peer.id.value - 1].public_key;
}

std::unique_ptr<relay::Crypto> ClusterKeys::make(const relay::NodeConfig& config, uint64_t incarnation,
                                                 uint64_t unix_s, Nanos now) const {
  relay::NodeKeys keys;
  keys.key = keys_[config.id.value - 1];
  keys.cluster = config.cluster;
  keys.anchors[0] = signer_.public_key;
  keys.anchor_count = 1;
  relay::Certificate certificate;
  certificate.node = config.id;
  certificate.serial = config.id.value;
  certificate.not_before = kValidFrom;
  certificate.expires = kExpires;
  certificate.roles = relay::kAllRoles;
  certificate.public_key = keys.key.public_key;
  TL_CHECK(certificate.cluster.assign(config.cluster) && certificate.region.assign(config.region));
  TL_CHECK(relay::sign(certificate, signer_, keys.certificate));
  return std::make_unique<SeededCrypto>(config, std::move(keys),
                                        stream(seed_, "keys.random", incarnation * 1'000 + config.id.value),
                                        unix_s, now);
}

}  // namespace trunkline::sim
