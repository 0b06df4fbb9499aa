// The sealed handshake: Noise IK (relay/noise.h) in WireGuard's envelope (relay/sealed_envelope.h), with a
// certificate in each direction (relay/certificate.h). Bytes, in full in docs/protocol.md:
//
//   msg1      Noise message 1 around {certificate | order 64 | length 16 | payload | zeros} | mac1 | mac2
//   msg2      Noise message 2 around {certificate | order 64 | length 16 | payload} | mac1 | mac2
//   confirm   payload, encrypted with a key of its own, and tag 16 | mac1
//
// What each read() shows to the caller is authentic: the sender holds the static key that its certificate
// names, a trusted signer has signed that certificate, and it is in its time. Of msg1 one thing is not known:
// that it is not a copy that somebody kept. Its `order` tells that to a caller who remembers the newest. And
// still a msg1 must change nothing that counts: a confirm, or any datagram of the session, shows that the
// initiator has the keys, and only then may a session replace another.
//
// A peer whose certificate a trusted signer did sign, but that is not accepted (expired, revoked, of another
// cluster), may be told so, in msg2 or the confirm; such an exchange has no keys.
//
// A message is read on a copy of the state, which becomes the state when all of it is in order: forged,
// damaged, late and foreign messages change counters (SealedIdentity::counts), nothing else.
//
// msg2's order is that of the last msg1 which its sender wrote: those up to it are copies from then on. It
// has room for mac2 and does not use it, that is zeros: an initiator reads msg2 only under an index that it
// gave out and for an exchange of its own, so nobody can put it under load with them.
//
// Secrets: the session's two are HMAC-SHA256(k, "trunkline session 1" | suite), the key of the confirm is
// HMAC-SHA256(k, "trunkline confirm 1"), where k is the Noise key of the direction. Ephemeral keys are drawn
// in write() only.
//
// Whose a msg1 is, is known when it has been read: an object that reads anybody's does that, and the peer's
// own goes on with what was read (take_over), so that no msg1 is read twice.
//
// Owner: the mesh thread. One object per peer, and one for strangers. No allocation. Cost: a msg1 or msg2 is
// two X25519 to write (three with the ephemeral key), and two and an Ed25519 verification to read:
// 120 and 130 us. A forged msg1 costs 42 us, one with a wrong mac1 1.5 us, a cookie reply 6 us
// (bench/relay/handshake_bench.cc).
#pragma once

#include "relay/crypto.h"
#include "relay/sealed_identity.h"

namespace trunkline::relay {

// What the handshake wraps around a payload; msg1's is the larger one.
inline constexpr uint32_t kSealedFieldBytes = 8 + 2;  // order, length
inline constexpr uint32_t kSealedMsg1Overhead =
    noise::kMessage1Overhead + kCertificateBytes + kSealedFieldBytes + kMacsBytes;
inline constexpr uint32_t kSealedMsg2Overhead =
    noise::kMessage2Overhead + kCertificateBytes + kSealedFieldBytes + kMacsBytes;
inline constexpr uint32_t kSealedConfirmOverhead = noise::kTagBytes + kMacBytes;
static_assert(kSealedMsg1Overhead == 378 && kSealedMsg2Overhead == 330 && kSealedConfirmOverhead == 32);
static_assert(kSealedMsg1Overhead <= kHandshakeEnvelopeBytes, "the largest HELLO fits with a certificate");

class SealedHandshake final : public Handshake {
 public:
  // `suite` is what keys() says, unless use() said another. `identity` outlives the object.
  SealedHandshake(SealedIdentity& identity, Suite suite) noexcept
      : identity_(identity), own_suite_(suite), suite_(suite) {}
  ~SealedHandshake() override;

  void begin() noexcept override;
  std::size_t write(uint8_t message, std::span<const uint8_t> payload,
                    std::span<uint8_t> out) noexcept override;
  Read read(uint8_t message, std::span<uint8_t> in) noexcept override;
  void take_over(Handshake& reader) noexcept override;
  SessionKeys keys() const noexcept override;

  void expect(const ExpectedPeer& peer) noexcept override;
  void use(Suite suite) noexcept override { suite_ = suite; }
  const Certificate* peer() const noexcept override { return has_peer_ ? &peer_ : nullptr; }
  Admission admit(std::span<const uint8_t> msg1, const core::UdpAddress& from, core::Nanos now,
                  std::span<uint8_t> reply) noexcept override;
  bool read_cookie(std::span<const uint8_t> in, core::Nanos now) noexcept override;
  void stamp(std::span<uint8_t> msg1, core::Nanos now) noexcept override;

 private:
  enum class Step : uint8_t {
    kIdle,
    kSentMsg1,     // an initiator, noise_ after message 1
    kEstablished,  // the same, and msg2 was read
    kGotMsg1,      // a responder, noise_ after message 1
    kSentMsg2,     // the same, and msg2 was written
  };
  bool initiates() const noexcept { return step_ == Step::kSentMsg1 || step_ == Step::kEstablished; }
  bool has_keys() const noexcept {
    return !refused_ && (step_ == Step::kEstablished || step_ == Step::kSentMsg2);
  }
  const Key& responder_key() const noexcept;

  size_t write_msg1(Bytes payload, std::span<uint8_t> out) noexcept;
  size_t write_msg2(Bytes payload, std::span<uint8_t> out) noexcept;
  size_t write_confirm(Bytes payload, std::span<uint8_t> out) noexcept;
  Read read_msg1(Bytes in) noexcept;
  Read read_msg2(Bytes in) noexcept;
  Read read_confirm(Bytes in) noexcept;
  void established(const noise::HandshakeState& after_msg2) noexcept;
  bool check_mac1(uint8_t message, const Key& key, Bytes covered, Bytes mac1) noexcept;
  size_t fill_plaintext(uint64_t order, Bytes payload, std::span<uint8_t> out) const noexcept;
  Read open_plaintext(uint8_t message, Bytes plaintext, const Key& sender, Certificate& certificate) noexcept;

  SealedIdentity& identity_;
  const Suite own_suite_;
  Suite suite_;
  ExpectedPeer expected_{};  // node 0: anybody
  bool has_expected_ = false;

  Step step_ = Step::kIdle;
  bool refused_ = false;         // the peer's certificate is not accepted, and it may be told so
  bool confirmed_ = false;       // the key of the confirm has been used, and is not used again
  noise::HandshakeState noise_;  // after message 1; message 2 is done on copies
  Secret initiator_sends_, responder_sends_, confirm_key_;
  noise::Hash transcript_{};  // of the whole exchange
  Certificate peer_;
  bool has_peer_ = false;

  Mac sent_mac1_{};  // of the msg1 that was written last
  bool awaits_cookie_ = false;
  Cookie cookie_{};
  core::Nanos cookie_at_{};
  bool has_cookie_ = false;

  std::array<uint8_t, kMaxHandshakeBytes> opened_;  // the payload of the last message that was read
};

}  // namespace trunkline::relay
