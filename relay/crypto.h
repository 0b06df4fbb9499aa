// The two faces of cryptography, so that the packet path and the mesh state machine are the same for every
// suite.
//
//   Handshake      msg1 / msg2 / confirm, driven by MeshNode on the mesh thread. Carries HELLO inside.
//   SessionCrypto  seals and opens the datagrams of one session on one data core; called once per run of
//   datagrams.
//
// Suites: the sealed ones have the sealed handshake (relay/sealed_handshake.h) and differ in what encrypts
// and authenticates the datagrams (relay/sealed_suite.h). `null` (relay/null_suite.h) is for laboratories: it
// authenticates nothing and hides nothing. The simulator has one of its own that detects corruption.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "core/ids.h"
#include "core/time.h"
#include "core/udp_address.h"

namespace trunkline::relay {

struct Certificate;                     // relay/certificate.h
enum class CertificateFault : uint8_t;  // the same; 0: none

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
// behind it. With `records` only the header is there, and the plaintext is read from `records`, which stay as
// they are: sealing is then the copy. They lie right behind the header after all, or nowhere in `data`.
struct SealJob {
  SealJob() = default;  // unwritten: runs of them lie on the stack
  SealJob(uint8_t* datagram, uint32_t bytes, const uint8_t* plain = nullptr) noexcept
      : data(datagram), length(bytes), records(plain) {}

  uint8_t* data;
  uint32_t length;
  const uint8_t* records;
};
// For suites that seal in place; the first `header` bytes are there.
inline void copy_records(const SealJob& job, uint32_t header) noexcept {
  if (job.records != nullptr && job.records != job.data + header)
    std::memcpy(job.data + header, job.records, job.length - header);
}
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

// Whom an exchange is to be with: what the configuration says of a peer, or an earlier certificate of it.
struct ExpectedPeer {
  core::NodeId node{};
  std::array<uint8_t, 32> public_key{};  // X25519
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
    // Of one that is not ok: the sender does hold its key, but its certificate is not accepted. Where a
    // signer that is trusted has signed it all the same, the object can now write msg2, or the confirm, with
    // a refusal as its payload; it has no keys.
    CertificateFault fault{};
    // Of a msg1 that is ok: grows with each that the sender's process writes. One whose order is not above
    // that of an answered msg1 of the same incarnation is a copy that somebody kept, or the sender came back
    // from a snapshot. Of a msg2: that of the last msg1 which its sender wrote. 0: the suite does not say, or
    // there was none.
    uint64_t order = 0;
  };
  virtual Read read(uint8_t message, std::span<uint8_t> in) noexcept = 0;
  // Goes on with the exchange whose msg1 `reader` has just read, as if this object had begun and read it.
  // Whose a msg1 is, is known only when it has been read, and to read it twice would cost twice. `reader` is
  // of the same Crypto and expects nobody (below); its exchange is over. After a read that was not ok:
  // begin().
  virtual void take_over(Handshake& reader) noexcept = 0;
  // After msg2 was written or read.
  virtual SessionKeys keys() const noexcept = 0;

  // ---- what only suites with keys need; to the laboratory's it means nothing

  // Whom the exchanges of this object are with, until it is said again. Who writes msg1 needs it first. What
  // is read is accepted of this node only, and of msg2 only with this key; a peer that writes msg1 may have a
  // new key, with a certificate for it. An object that was never told reads msg1 of any node.
  virtual void expect(const ExpectedPeer& peer) noexcept { (void)peer; }
  // What seals the datagrams of this exchange, until begin(): the initiator's choice. A responder says it
  // between reading msg1 and writing msg2; otherwise it is the object's own.
  virtual void use(Suite suite) noexcept { (void)suite; }
  // The certificate that was verified in the last read() that was ok, of msg1 or msg2; valid until the next
  // one or begin(). Who is told a node id in a payload compares. nullptr: nobody is authenticated.
  virtual const Certificate* peer() const noexcept { return nullptr; }

  // What to do with a msg1, before anything that costs: read it, ignore it, or, as a responder under load,
  // send the `reply_length` bytes in `reply`, behind a header of type kCookieReply.
  struct Admission {
    enum class Verdict : uint8_t { kRead, kIgnore, kReply } verdict = Verdict::kRead;
    std::size_t reply_length = 0;
  };
  virtual Admission admit(std::span<const uint8_t> msg1, const core::UdpAddress& from, core::Nanos now,
                          std::span<uint8_t> reply) noexcept {
    (void)msg1, (void)from, (void)now, (void)reply;
    return {};
  }
  // Reads such a reply to the msg1 that this object wrote last. False: it is not one; nothing has changed.
  virtual bool read_cookie(std::span<const uint8_t> in, core::Nanos now) noexcept {
    (void)in, (void)now;
    return false;
  }
  // Puts the cookie that was read, if it is still good, into a msg1 that this object wrote. To be called
  // before each sending of it.
  virtual void stamp(std::span<uint8_t> msg1, core::Nanos now) noexcept { (void)msg1, (void)now; }
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
  // Its session has ended: what keys there were need not stay. The session's data core.
  virtual void forget_session(SessionCrypto& session) noexcept { (void)session; }

  // This node's own certificate, by which its host's publishes and acquires are judged. nullptr: there is
  // none, and everything is allowed. The mesh thread.
  virtual const Certificate* own() const noexcept { return nullptr; }

  // ---- the mesh thread, before handshakes are read or written; to the laboratory's suites it means nothing
  // The monotonic time, of which those that judge certificates know what time of day it is.
  virtual void at(core::Nanos now) noexcept { (void)now; }
  // More handshakes come in than there is time for: strangers are to prove their address first.
  virtual void under_load(bool under_load) noexcept { (void)under_load; }
};

}  // namespace trunkline::relay
