// The model suite, for the simulator only: towards chance, and towards whoever does not know its key, it
// behaves as the sealed suites do, and is no cryptography: contents stay readable, and the key is a constant.
//
// Datagrams: the tag is a fast keyed hash over the whole datagram, lane included, so that corruption,
// truncation, a wrong session and a wrong lane are all refused. About 0.2 ns per byte.
//
// Handshake, as the sealed one is (relay/sealed_handshake.h), each message:
//
//   nonce 256 | order 64 | payload length 16 | payload | zero padding | tag 64
//
//   tag     of all before it, of the messages before this one, and of whom msg1 is for: nobody outside writes
//           one, alters one, or gives one to somebody else; an answer fits one msg1 only
//   nonce   random, and hashed with the time: a copy of a machine does not draw what its original drew
//   order   of msg1: Handshake::Read::order
//
// The secrets of a session are a function of all that was said in msg1 and msg2. Owners as in
// relay/null_suite.h. The Rng is drawn from in begin() only.
#pragma once

#include "core/ids.h"
#include "relay/null_suite.h"

namespace trunkline::relay {

inline constexpr uint32_t kModelHandshakeOverhead = 32 + 8 + 2 + 8;

class ModelCrypto;

class ModelHandshake final : public Handshake {
 public:
  explicit ModelHandshake(ModelCrypto& node) noexcept : node_(node) { begin(); }

  void begin() noexcept override;
  std::size_t write(uint8_t message, std::span<const uint8_t> payload,
                    std::span<uint8_t> out) noexcept override;
  Read read(uint8_t message, std::span<uint8_t> in) noexcept override;
  void take_over(Handshake& reader) noexcept override;
  SessionKeys keys() const noexcept override;
  void expect(const ExpectedPeer& peer) noexcept override { expected_ = peer.node; }

 private:
  enum class Step : uint8_t { kIdle, kSentMsg1, kGotMsg1, kGotMsg2 };

  uint64_t tag(uint8_t message, core::NodeId for_whom, std::span<const uint8_t> bytes) const noexcept;

  ModelCrypto& node_;
  core::NodeId expected_{};
  Step step_ = Step::kIdle;
  bool initiates_ = false;
  uint64_t asked_ = 0, said_ = 0;  // hashes: of msg1; of msg1 and msg2. 0: there is none yet
  std::array<uint8_t, 32> nonce_{};
};

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
  // `own`: this node, as others say it to expect(). Where nobody says it, all are node 0. `rng` outlives the
  // object.
  explicit ModelCrypto(core::Rng& rng, core::NodeId own = {}) noexcept : rng_(rng), own_(own) {}

  std::unique_ptr<Handshake> make_handshake() override;
  std::unique_ptr<SessionCrypto> make_session() override;
  // `session` is one that make_session() made.
  void key_session(SessionCrypto& session, const SessionKeys& keys) noexcept override;
  void at(core::Nanos now) noexcept override { now_ = now; }

 private:
  friend class ModelHandshake;

  core::Rng& rng_;
  core::NodeId own_;
  core::Nanos now_{};
  uint64_t orders_ = 0;  // how many msg1 were written
};

}  // namespace trunkline::relay
