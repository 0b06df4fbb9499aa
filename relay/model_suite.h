// The model suite, for the simulator only: behaves towards chance as an AEAD would, and is no cryptography.
// The tag is a fast keyed hash over the whole datagram, lane included, so that corruption, truncation, a
// wrong session and a wrong lane are all refused; contents stay readable. The handshake is the null suite's.
// About 0.2 ns per byte. Owners as in relay/null_suite.h.
#pragma once

#include "relay/null_suite.h"

namespace trunkline::relay {

class ModelSession final : public SessionCrypto {
 public:
  void seal(core::CoreId from, core::CoreId to, std::span<SealJob> jobs) noexcept override;
  void open(core::CoreId from, core::CoreId to, std::span<OpenJob> jobs) noexcept override;
  void key(const SessionKeys& keys) noexcept;

 private:
  uint64_t send_[2]{};
  uint64_t receive_[2]{};
};

class ModelCrypto final : public Crypto {
 public:
  explicit ModelCrypto(core::Rng& rng) noexcept : rng_(rng) {}

  std::unique_ptr<Handshake> make_handshake() override;
  std::unique_ptr<SessionCrypto> make_session() override;
  // `session` is one that make_session() made.
  void key_session(SessionCrypto& session, const SessionKeys& keys) noexcept override;

 private:
  core::Rng& rng_;
};

}  // namespace trunkline::relay
