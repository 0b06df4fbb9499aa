// The two faces of cryptography, so that the packet path and the mesh state machine are the same for every
// suite.
//
//   Handshake      msg1 / msg2 / confirm, driven by MeshNode on the mesh thread. Carries HELLO inside.
//   SessionCrypto  seals and opens the datagrams of one session on one data core; called once per run of
//   datagrams.
//
// Suites: the sealed ones (relay/sealed_suite.h) encrypt and authenticate. `null` (relay/null_suite.h) is for
// laboratories: it authenticates nothing and hides nothing. The simulator has one of its own that detects
// corruption.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "core/ids.h"

namespace trunkline::relay {

// The numbers are part of the wire: lane keys are derived from them (docs/protocol.md).
enum class Suite : uint8_t {
  kNull = 0,
  kAes128Gcm = 1,
  kAes256Gcm = 2,
  kChaCha20Poly1305 = 3,
  kModel = 15,
};

// What a completed handshake gives. `secret` values differ per direction; lane keys are derived from them
// over (sender core, receiver core).
struct SessionKeys {
  Suite suite = Suite::kNull;
  std::array<uint8_t, 32> send_secret{};
  std::array<uint8_t, 32> receive_secret{};
};

// One datagram to seal: `data` is header | plaintext records (`length` bytes); kTagBytes more are writable
// behind it.
struct SealJob {
  uint8_t* data;
  uint32_t length;
};
// One datagram to open in place: header | ciphertext | tag, `length` bytes, at least header + tag.
struct OpenJob {
  uint8_t* data;
  uint32_t length;
  bool authentic;  // result; when false the bytes are unspecified
};

class SessionCrypto {
 public:
  virtual ~SessionCrypto() = default;
  // All jobs are of one lane. The header is already encoded and is the associated data.
  virtual void seal(core::CoreId from, core::CoreId to, std::span<SealJob> jobs) noexcept = 0;
  virtual void open(core::CoreId from, core::CoreId to, std::span<OpenJob> jobs) noexcept = 0;
};

// One exchange at a time; begin() forgets the last one. Never allocates after construction.
class Handshake {
 public:
  virtual ~Handshake() = default;
  virtual void begin() noexcept = 0;
  // Writes one handshake message that carries `payload` (a HELLO or a refusal) into `out`; returns its
  // length, 0 if it does not fit. The message excludes the datagram header.
  virtual std::size_t write(uint8_t message, std::span<const uint8_t> payload,
                            std::span<uint8_t> out) noexcept = 0;
  // Authenticates and opens; the payload is a part of `in` or of the object, valid until the next call.
  // An empty span with ok == false: not for us, forged or truncated; count it, change nothing.
  struct Read {
    bool ok = false;
    std::span<const uint8_t> payload{};
  };
  virtual Read read(uint8_t message, std::span<uint8_t> in) noexcept = 0;
  // After msg2 was written or read.
  virtual SessionKeys keys() const noexcept = 0;
};

// Given to a node at start: makes the objects above. May allocate; called at construction (handshakes, one
// per peer and one for strangers) and when a data core installs a session (adopt re-keys an object that
// exists).
class Crypto {
 public:
  virtual ~Crypto() = default;
  virtual std::unique_ptr<Handshake> make_handshake() = 0;
  // One per session slot and data core, made at start; re-keyed for each new session without allocation.
  virtual std::unique_ptr<SessionCrypto> make_session() = 0;
  virtual void key_session(SessionCrypto& session, const SessionKeys& keys) noexcept = 0;
};

}  // namespace trunkline::relay
