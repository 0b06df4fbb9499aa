// SealedCrypto: a node's cryptography where datagrams are sealed: the handshake's identity on the mesh
// thread, the suites on the data cores.
//
// Certificates are judged by the time of day. It is read once, at start, and goes on with the monotonic
// clock, so that nothing that sets the wall clock while the node runs can lock it out, or let an expired peer
// in.
#pragma once

#include <memory>

#include "relay/crypto.h"
#include "relay/node_keys.h"
#include "relay/sealed_identity.h"
#include "relay/sealed_suite.h"

namespace trunkline::relay {

class SealedCrypto final : public Crypto {
 public:
  // `unix_s` is the time of day at the monotonic time `now`. The error is a sentence for the operator.
  // Contract: seals(config), and read_node_keys(config) gave the keys. `randomness` outlives the object.
  static core::Result<std::unique_ptr<SealedCrypto>> make(const NodeConfig& config, NodeKeys keys,
                                                          uint64_t unix_s, core::Nanos now,
                                                          Randomness& randomness);

  std::unique_ptr<Handshake> make_handshake() override;
  std::unique_ptr<SessionCrypto> make_session() override { return suites_->make_session(); }
  void key_session(SessionCrypto& session, const SessionKeys& keys) noexcept override {
    suites_->key_session(session, keys);
  }
  void forget_session(SessionCrypto& session) noexcept override { suites_->forget_session(session); }
  const Certificate* own() const noexcept override { return &identity_->own(); }
  void at(core::Nanos now) noexcept override;
  void under_load(bool under_load) noexcept override { identity_->set_under_load(under_load); }

  // The mesh thread's.
  const SealedIdentity& identity() const noexcept { return *identity_; }

 private:
  SealedCrypto(NodeKeys keys, uint64_t unix_s, core::Nanos now) noexcept
      : keys_(std::move(keys)), unix_s_(unix_s), since_(now) {}

  NodeKeys keys_;  // without the secret, which the identity has
  uint64_t unix_s_;
  core::Nanos since_;
  Suite suite_ = Suite::kAes128Gcm;  // of exchanges that this node begins
  std::unique_ptr<SealedIdentity> identity_;
  std::unique_ptr<SealedSuite> suites_;
};

}  // namespace trunkline::relay
