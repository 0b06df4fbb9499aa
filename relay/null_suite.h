// The null suite, for laboratories: it AUTHENTICATES NOTHING and HIDES NOTHING. Anyone who sees one datagram
// can forge the next. It exists so that the packet path, the mesh and their measurements run without
// cryptography, at the sizes that they will have with it. validate() allows it only with lab = true, in a
// cluster named lab-*, between laboratory addresses.
//
// Datagrams. The tag is 16 bytes computed from the session's secret, the lane and the header's first eight
// bytes (which hold the counter), not from the contents: a few nanoseconds whatever the size. open() checks
// its value, so datagrams of another session or lane are refused; corrupted contents are NOT noticed.
//
// Handshake. Each message:
//
//   nonce 256 | payload length 16 | payload | zero padding | crc 32       crc: CRC-32C of all before it and
//                                                                         the message's number
//   msg1      nonce: the initiator's, random. Padded to kMaxHandshakeBytes, so that no reply is ever longer
//             than what asked for it: an amplification of at most 1.0
//   msg2      nonce: the responder's, random
//   confirm   nonce: a function of both, so that a confirm of another exchange is refused
//
// The secrets of a session are a function of both nonces. Owner: the mesh thread (handshakes), a data core
// (sessions). The Rng is drawn from in begin() only, by the thread that calls it.
#pragma once

#include <memory>

#include "core/rng.h"
#include "relay/crypto.h"
#include "relay/handshake_messages.h"

namespace trunkline::relay {

inline constexpr uint32_t kNullHandshakeOverhead = 32 + 2 + 4;

class NullHandshake final : public Handshake {
 public:
  // `suite` is what keys() says. `rng` must outlive the object.
  NullHandshake(core::Rng& rng, Suite suite) noexcept : rng_(rng), suite_(suite) { begin(); }

  void begin() noexcept override;
  std::size_t write(uint8_t message, std::span<const uint8_t> payload,
                    std::span<uint8_t> out) noexcept override;
  Read read(uint8_t message, std::span<uint8_t> in) noexcept override;
  void take_over(Handshake& reader) noexcept override;
  SessionKeys keys() const noexcept override;

 private:
  using Nonce = std::array<uint8_t, 32>;
  enum class Role : uint8_t { kNone, kInitiator, kResponder };

  Nonce derive(uint64_t purpose) const noexcept;

  core::Rng& rng_;
  Suite suite_;
  Role role_ = Role::kNone;
  bool have_peer_ = false;
  Nonce mine_{};
  Nonce peer_{};
};

class NullSession final : public SessionCrypto {
 public:
  void seal(core::CoreId from, core::CoreId to, std::span<SealJob> jobs) noexcept override;
  void open(core::CoreId from, core::CoreId to, std::span<OpenJob> jobs) noexcept override;
  void key(const SessionKeys& keys) noexcept;

 private:
  struct Secret {
    uint64_t a = 0, b = 0;
  };
  Secret send_{};
  Secret receive_{};
};

class NullCrypto final : public Crypto {
 public:
  explicit NullCrypto(core::Rng& rng) noexcept : rng_(rng) {}

  std::unique_ptr<Handshake> make_handshake() override;
  std::unique_ptr<SessionCrypto> make_session() override;
  // `session` is one that make_session() made.
  void key_session(SessionCrypto& session, const SessionKeys& keys) noexcept override;

 private:
  core::Rng& rng_;
};

}  // namespace trunkline::relay
