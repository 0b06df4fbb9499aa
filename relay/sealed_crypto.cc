// See relay/sealed_crypto.h.
#include "relay/sealed_crypto.h"

#include <utility>

#include "relay/sealed_handshake.h"

namespace trunkline::relay {

core::Result<std::unique_ptr<SealedCrypto>> SealedCrypto::make(const NodeConfig& config, NodeKeys keys,
                                                               uint64_t unix_s, core::Nanos now,
                                                               Randomness& randomness) {
  const WireSetting& setting = *config.find_setting("suite");
  std::vector<Suite> accepted;
  for (const std::string& value : setting.accepted) {
    if (const auto suite = sealed_suite_named(value)) accepted.push_back(*suite);
  }
  auto suites = SealedSuite::make(accepted, config.data_cores);
  if (!suites) return core::Error{0, "wire.suite: " + suites.error().text};

  std::unique_ptr<SealedCrypto> made(new SealedCrypto(std::move(keys), unix_s, now));
  made->suites_ = std::move(suites).value();
  if (const auto own = sealed_suite_named(setting.current)) made->suite_ = *own;
  auto identity =
      SealedIdentity::make(made->keys_.key, made->keys_.certificate, made->keys_.trust(), unix_s, randomness);
  if (!identity) return core::Error{0, "security.certificate: " + identity.error().text};
  made->identity_ = std::move(identity).value();
  made->keys_.key = {};
  for (const PeerConfig& peer : config.peers) made->identity_->limiter().keep_place_for(peer.address);
  return made;
}

std::unique_ptr<Handshake> SealedCrypto::make_handshake() {
  return std::make_unique<SealedHandshake>(*identity_, suite_);
}

void SealedCrypto::at(core::Nanos now) noexcept {
  identity_->set_time(now);
  identity_->set_unix_time(unix_s_ + static_cast<uint64_t>((now - since_).ns / 1'000'000'000));
}

}  // namespace trunkline::relay
