// AuditedCrypto: any cryptography, and beside it the judge of keys (auditor_keys.h), who is told what is
// derived, sealed, opened, written and read. Changes nothing of it.
//
// One thread, unlike what it wraps.
#pragma once

#include <memory>

#include "relay/crypto.h"
#include "tools/sim/auditor_keys.h"

namespace trunkline::sim {

class AuditedCrypto final : public relay::Crypto {
 public:
  // `auditor` outlives the object. `config` is what the node starts with.
  AuditedCrypto(std::unique_ptr<relay::Crypto> inner, KeyAuditor& auditor, const relay::NodeConfig& config)
      : inner_(std::move(inner)), auditor_(auditor), life_(auditor.starts(config)) {}

  std::unique_ptr<relay::Handshake> make_handshake() override;
  std::unique_ptr<relay::SessionCrypto> make_session() override;
  void key_session(relay::SessionCrypto& session, const relay::SessionKeys& keys) noexcept override;
  void forget_session(relay::SessionCrypto& session) noexcept override;
  const relay::Certificate* own() const noexcept override { return inner_->own(); }
  void at(core::Nanos now) noexcept override { inner_->at(now); }
  void under_load(bool under_load) noexcept override { inner_->under_load(under_load); }

 private:
  std::unique_ptr<relay::Crypto> inner_;
  KeyAuditor& auditor_;
  KeyAuditor::Life life_;
};

}  // namespace trunkline::sim
