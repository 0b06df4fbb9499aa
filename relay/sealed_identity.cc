// See sealed_identity.h.
#include "relay/sealed_identity.h"

#include <sodium/crypto_generichash.h>

#include <new>

#include "core/check.h"

namespace trunkline::relay {
namespace {

core::HashKey hash_key(Randomness& randomness) noexcept {
  uint8_t bytes[16];
  randomness.fill(bytes);
  return {load_be64(bytes), load_be64(bytes + 8)};
}

// BLAKE2b-256 of the node's secret and the moment, keyed by what was drawn: as good as the best of the three.
Secret hedged(const Secret& drawn, const Secret& own, Bytes moment) noexcept {
  crypto_generichash_state state;
  Secret out;
  TL_CHECK(crypto_generichash_init(&state, drawn.data(), kKeyBytes, kKeyBytes) == 0);
  TL_CHECK(crypto_generichash_update(&state, own.data(), kKeyBytes) == 0);
  TL_CHECK(crypto_generichash_update(&state, moment.data(), moment.size()) == 0);
  TL_CHECK(crypto_generichash_final(&state, out.data(), kKeyBytes) == 0);
  wipe(&state, sizeof state);
  return out;
}

}  // namespace

SealedIdentity::SealedIdentity(const noise::KeyPair& key, const Trust& trust, uint64_t unix_s,
                               Randomness& randomness)
    : memory_(sizeof(noise::KeyPair)),
      key_(new (memory_.bytes().data()) noise::KeyPair(key)),
      mac1_key_(mac1_key(key.public_key)),
      cookie_key_(cookie_reply_key(key.public_key)),
      trust_(trust),
      unix_s_(unix_s),
      randomness_(randomness),
      limiter_(hash_key(randomness)) {
  randomness_.fill(cookie_secret_.bytes());
  randomness_.fill(former_cookie_secret_.bytes());
}

SealedIdentity::~SealedIdentity() {
  key_->~KeyPair();
}

core::Result<std::unique_ptr<SealedIdentity>> SealedIdentity::make(const noise::KeyPair& key,
                                                                   const CertificateBytes& certificate,
                                                                   const Trust& trust, uint64_t unix_s,
                                                                   Randomness& randomness) {
  std::unique_ptr<SealedIdentity> made(new SealedIdentity(key, trust, unix_s, randomness));
  const CertificateFault fault = made->renew(certificate);
  if (fault != CertificateFault::kNone) return core::Error{0, certificate_fault_text(fault)};
  return made;
}

CertificateFault SealedIdentity::renew(const CertificateBytes& certificate) noexcept {
  Certificate read;
  const CertificateFault fault = judge(certificate, key_->public_key, read);
  if (fault != CertificateFault::kNone) return fault;
  if (own_.node.value != 0 && read.node != own_.node) return CertificateFault::kWrongNode;
  own_ = read;
  certificate_ = certificate;
  return CertificateFault::kNone;
}

CertificateFault SealedIdentity::judge(Bytes certificate, const Key& key, Certificate& out) const noexcept {
  const CertificateFault form = decode(certificate, out);
  if (form != CertificateFault::kNone) return form;
  // Before the signature: what somebody says with another's certificate is not worth verifying it.
  if (out.public_key != key) return CertificateFault::kWrongKey;
  return verify(certificate, trust_, unix_s_, out);
}

noise::KeyPair SealedIdentity::fresh_key_pair() noexcept {
  Secret drawn;
  randomness_.fill(drawn.bytes());
  uint8_t moment[16];
  store_be64(moment, static_cast<uint64_t>(now_.ns));
  store_be64(moment + 8, ++fresh_keys_);
  return noise::KeyPair::of(hedged(drawn, key_->secret, moment));
}

void SealedIdentity::turn_cookie_secret(core::Nanos now) noexcept {
  const core::Nanos age = now - cookie_secret_since_;
  if (age < kCookieSecretLife) return;
  former_cookie_secret_ = cookie_secret_;
  // Nobody was given a cookie for so long that those of the present secret have had their time, too.
  if (age >= kCookieSecretLife * 2) randomness_.fill(former_cookie_secret_.bytes());
  randomness_.fill(cookie_secret_.bytes());
  cookie_secret_since_ = now;
}

bool SealedIdentity::check_mac2(Bytes msg1, const core::UdpAddress& from, core::Nanos now) noexcept {
  TL_CHECK(msg1.size() > kMacBytes);
  turn_cookie_secret(now);
  const Bytes covered = msg1.first(msg1.size() - kMacBytes), mac2 = msg1.last(kMacBytes);
  for (const Secret* secret : {&cookie_secret_, &former_cookie_secret_}) {
    if (equal_in_constant_time(message_mac(cookie_of(*secret, from), kMsg1, covered), mac2)) return true;
  }
  return false;
}

void SealedIdentity::write_cookie_reply(Bytes mac1, const core::UdpAddress& from, core::Nanos now,
                                        std::span<uint8_t> out) noexcept {
  turn_cookie_secret(now);
  seal_cookie(cookie_key_, mac1, cookie_of(cookie_secret_, from), randomness_, out);
}

const char* sealed_counter_name(SealedCounter counter) noexcept {
  static constexpr const char* kNames[] = {
#define X(name, text) #name,
      TRUNKLINE_SEALED_COUNTERS(X)
#undef X
  };
  return kNames[static_cast<size_t>(counter)];
}

}  // namespace trunkline::relay
