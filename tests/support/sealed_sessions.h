// SealedSessions: a Crypto whose sessions are those of a sealed suite, for tests and benches that install
// sessions by hand, as the mesh thread would. There are no handshakes, and nobody to ask for one.
//
// A process makes its own after it has forked: keys do not go with a fork (relay/key_memory.h).
#pragma once

#include <memory>

#include "core/check.h"
#include "relay/sealed_suite.h"

namespace trunkline::tests {

class SealedSessions final : public relay::Crypto {
 public:
  // Contract: this build and this CPU have the suite, as relay::SealedSuite::make() says. `cores`: with how
  // many ids its sessions are called.
  explicit SealedSessions(relay::Suite suite, uint32_t cores = 1) {
    auto made = relay::SealedSuite::make(suite, cores);
    TL_CHECK(made);
    suite_ = std::move(*made);
  }

  std::unique_ptr<relay::Handshake> make_handshake() override { return nullptr; }
  std::unique_ptr<relay::SessionCrypto> make_session() override { return suite_->make_session(); }
  void key_session(relay::SessionCrypto& session, const relay::SessionKeys& keys) noexcept override {
    suite_->key_session(session, keys);
  }

 private:
  std::unique_ptr<relay::SealedSuite> suite_;
};

}  // namespace trunkline::tests
