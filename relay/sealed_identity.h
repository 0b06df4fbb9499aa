// SealedIdentity: what all sealed handshakes of one node share: who it is, whom it believes, what time it is,
// whether it is under load, and what it then gives out. relay/sealed_handshake.h works with it.
//
// No clock inside. The monotonic time comes with each call; Unix time, by which alone certificates are
// judged, is what set_unix_time() last said, and 0 before: then no certificate is valid yet. A caller that
// must not depend on steps of the wall clock derives it: the time read at start, and the monotonic time
// since. A clock that is wrong by more than a certificate's rest of life keeps this node from new handshakes;
// sessions that stand are not asked for certificates.
//
// Owner: the mesh thread. Allocates when made, never later.
#pragma once

#include <memory>

#include "core/counters.h"
#include "core/result.h"
#include "relay/certificate.h"
#include "relay/handshake_limiter.h"
#include "relay/noise.h"
#include "relay/sealed_envelope.h"

namespace trunkline::relay {

// What became of handshake messages. Each is an event, counted once, by the mesh thread.
// clang-format off
#define TRUNKLINE_SEALED_COUNTERS(X)                                                                   \
  X(malformed,           "handshake messages of a length that none has")                               \
  X(wrong_mac1,          "handshake messages that were not meant for this node's key")                 \
  X(forged,              "those that were, and that no holder of the right key wrote, or of another exchange") \
  X(certificate_refused, "handshake messages that are authentic, of a node whose certificate is not accepted") \
  X(cookies_sent,        "msg1 under load without a good cookie: answered with one")                   \
  X(limited,             "msg1 under load with one, of a source that asks too often: not read")
// clang-format on

enum class SealedCounter : uint32_t {
#define X(name, text) name,
  TRUNKLINE_SEALED_COUNTERS(X)
#undef X
      kCount
};
const char* sealed_counter_name(SealedCounter counter) noexcept;
using SealedCounters = core::CounterSet<SealedCounter, static_cast<std::size_t>(SealedCounter::kCount)>;

class SealedIdentity {
 public:
  // An error when `certificate` is not one that `trust` accepts at `unix_s`, or not of this key. `trust`'s
  // views and `randomness` outlive the object.
  static core::Result<std::unique_ptr<SealedIdentity>> make(const noise::KeyPair& key,
                                                            const CertificateBytes& certificate,
                                                            const Trust& trust, uint64_t unix_s,
                                                            Randomness& randomness);
  SealedIdentity(const SealedIdentity&) = delete;
  SealedIdentity& operator=(const SealedIdentity&) = delete;
  ~SealedIdentity();

  // ---- what the caller says
  void set_unix_time(uint64_t unix_s) noexcept { unix_s_ = unix_s; }
  // The monotonic time, which fresh_key_pair() mixes in.
  void set_time(core::Nanos now) noexcept { now_ = now; }
  // Under load, strangers prove their address before their msg1 is read.
  void set_under_load(bool under_load) noexcept { under_load_ = under_load; }
  // A newer certificate for the same key, or what is believed from now on; kNone, or why nothing has changed.
  CertificateFault renew(const CertificateBytes& certificate) noexcept;
  void set_trust(const Trust& trust) noexcept { trust_ = trust; }

  // ---- what handshakes ask
  const noise::KeyPair& key() const noexcept { return *key_; }
  const CertificateBytes& certificate() const noexcept { return certificate_; }
  const Certificate& own() const noexcept { return own_; }
  const Key& own_mac1_key() const noexcept { return mac1_key_; }
  // Of one exchange. What is random is hashed with the time, a count and this node's secret, as RFC 8937
  // proposes: a machine that came back from a snapshot, and whose generator gives again what it gave then,
  // does not get the key again.
  noise::KeyPair fresh_key_pair() noexcept;
  bool under_load() const noexcept { return under_load_; }
  // Of the next msg1: 1, 2, 3 and so on, whoever it is for.
  uint64_t next_order() noexcept { return ++order_; }
  uint64_t last_order() const noexcept { return order_; }  // 0: there was none
  // Of a peer's certificate, now.
  CertificateFault judge(Bytes certificate, const Key& key, Certificate& out) const noexcept;
  // Whether `mac2`, keyed by a cookie for `from`, stands at the end of this message. The secret behind
  // cookies changes each 120 s; cookies of the secret before count too, so one is good for at least as long.
  bool check_mac2(Bytes msg1, const core::UdpAddress& from, core::Nanos now) noexcept;
  void write_cookie_reply(Bytes mac1, const core::UdpAddress& from, core::Nanos now,
                          std::span<uint8_t> out) noexcept;
  HandshakeLimiter& limiter() noexcept { return limiter_; }

  SealedCounters counts;  // read by any thread

 private:
  SealedIdentity(const noise::KeyPair& key, const Trust& trust, uint64_t unix_s, Randomness& randomness);
  void turn_cookie_secret(core::Nanos now) noexcept;

  SecretBytes memory_;  // where *key_ lies
  noise::KeyPair* key_;
  Key mac1_key_, cookie_key_;
  CertificateBytes certificate_{};
  Certificate own_;
  Trust trust_;
  uint64_t unix_s_;
  bool under_load_ = false;
  uint64_t order_ = 0;
  core::Nanos now_{};
  uint64_t fresh_keys_ = 0;
  Randomness& randomness_;
  Secret cookie_secret_, former_cookie_secret_;
  core::Nanos cookie_secret_since_{};
  HandshakeLimiter limiter_;
};

// For how long a cookie is good at the side that got it: less than at the one that gave it.
inline constexpr core::Nanos kCookieSecretLife = core::from_s(120);
inline constexpr core::Nanos kCookieLife = core::from_s(115);

}  // namespace trunkline::relay
