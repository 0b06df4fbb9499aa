// See certificate.h.
#include "relay/certificate.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_sign_ed25519.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

static_assert(kKeyBytes == crypto_sign_ed25519_PUBLICKEYBYTES && kKeyBytes == crypto_sign_ed25519_SEEDBYTES);
static_assert(kSignatureBytes == crypto_sign_ed25519_BYTES);

constexpr std::string_view kSignedLabel = "trunkline certificate 1";
constexpr std::string_view kSignerLabel = "trunkline signer 1";

// Where the fields are; docs/protocol.md draws them.
constexpr size_t kClusterLengthAt = 1, kRegionLengthAt = 2, kZeroAt = 3, kRolesAt = 4, kNodeAt = 8,
                 kSerialAt = 16, kNotBeforeAt = 24, kExpiresAt = 32, kSignerAt = 40, kPublicKeyAt = 48,
                 kClusterAt = 80, kRegionAt = 144;
static_assert(kPublicKeyAt + kKeyBytes == kClusterAt);
static_assert(kClusterAt + kMaxClusterBytes == kRegionAt);
static_assert(kRegionAt + kMaxNameBytes == kCertificateSignedBytes);

// What is signed: a label, so that no signature of the key for another purpose can stand for this one.
using SignedMessage = std::array<uint8_t, kSignedLabel.size() + kCertificateSignedBytes>;
SignedMessage signed_message(Bytes fields) noexcept {
  SignedMessage message;
  std::copy(kSignedLabel.begin(), kSignedLabel.end(), message.begin());
  std::copy(fields.begin(), fields.end(), message.begin() + kSignedLabel.size());
  return message;
}

template <uint32_t kCapacity>
bool read_text(Bytes field, size_t length, CertificateText<kCapacity>& out) noexcept {
  if (length > kCapacity || !out.assign(as_text(field.first(length)))) return false;
  return std::all_of(field.begin() + static_cast<std::ptrdiff_t>(length), field.end(),
                     [](uint8_t byte) { return byte == 0; });
}

bool in_range(const Certificate& c) noexcept {
  return c.node.value != 0 && c.not_before < c.expires && c.roles != 0 && (c.roles & ~kAllRoles) == 0 &&
         c.public_key != Key{} && !c.cluster.view().empty() && !c.region.view().empty();
}

}  // namespace

const char* certificate_fault_text(CertificateFault fault) noexcept {
  switch (fault) {
    case CertificateFault::kNone:
      return "the certificate is accepted";
    case CertificateFault::kTooShort:
      return "the certificate is cut off: copy the whole of its line";
    case CertificateFault::kTrailingBytes:
      return "the certificate has bytes behind its end: copy its line alone";
    case CertificateFault::kVersion:
      return "the certificate has a version that this build does not know: issue it with this build, or use "
             "a "
             "build that knows it";
    case CertificateFault::kNotCanonical:
      return "the certificate has a field out of its range: issue it again";
    case CertificateFault::kUnknownSigner:
      return "the certificate was signed by a cluster key that this node does not trust: add that key's "
             "public "
             "file to the node's trusted ones, or issue the certificate with a trusted key";
    case CertificateFault::kBadSignature:
      return "the certificate's signature is wrong: it was changed after it was issued; issue it again";
    case CertificateFault::kWrongCluster:
      return "the certificate is of another cluster: issue one for this cluster";
    case CertificateFault::kRevoked:
      return "the certificate has been revoked: issue a new one, with a new node key";
    case CertificateFault::kNotYetValid:
      return "the certificate is not valid yet: set the clock of the machine that says so, or wait";
    case CertificateFault::kExpired:
      return "the certificate has expired: issue a new one; if it should be valid, set the clock of the "
             "machine "
             "that says so";
    case CertificateFault::kWrongKey:
      return "the certificate is of another key than the one in use: put the node's key and the certificate "
             "that "
             "was issued with it side by side";
    case CertificateFault::kWrongNode:
      return "the certificate is of another node id than the one expected: each node needs the one issued "
             "for it";
  }
  return "unknown fault";
}

const char* certificate_fault_name(CertificateFault fault) noexcept {
  static constexpr const char* kNames[kCertificateFaults] = {"valid",          "cut off",
                                                             "too long",       "of another version",
                                                             "not canonical",  "of an unknown signer",
                                                             "wrongly signed", "of another cluster",
                                                             "revoked",        "not valid yet",
                                                             "expired",        "of another key",
                                                             "of another node"};
  const auto index = static_cast<size_t>(fault);
  return index < kCertificateFaults ? kNames[index] : "?";
}

Refusal certificate_refusal(CertificateFault fault) noexcept {
  return {RefusalCode::kCertificate, "certificate", certificate_fault_name(CertificateFault::kNone),
          certificate_fault_name(fault)};
}

SigningKey SigningKey::of(const Secret& seed) noexcept {
  SigningKey key{seed, {}};
  uint8_t expanded[crypto_sign_ed25519_SECRETKEYBYTES];
  TL_CHECK(crypto_sign_ed25519_seed_keypair(key.public_key.data(), expanded, seed.data()) == 0);
  wipe(expanded);
  return key;
}

uint64_t signer_id(const Key& public_key) noexcept {
  crypto_hash_sha256_state state;
  uint8_t hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, as_bytes(kSignerLabel).data(), kSignerLabel.size());
  crypto_hash_sha256_update(&state, public_key.data(), public_key.size());
  crypto_hash_sha256_final(&state, hash);
  return load_be64(hash);
}

bool sign(Certificate& certificate, const SigningKey& key, CertificateBytes& out) noexcept {
  certificate.signer = signer_id(key.public_key);
  const Certificate& c = certificate;
  if (!in_range(c)) return false;
  out = {};
  uint8_t* const p = out.data();
  p[0] = kCertificateVersion;
  p[kClusterLengthAt] = static_cast<uint8_t>(c.cluster.view().size());
  p[kRegionLengthAt] = static_cast<uint8_t>(c.region.view().size());
  store_be32(p + kRolesAt, c.roles);
  store_be64(p + kNodeAt, c.node.value);
  store_be64(p + kSerialAt, c.serial);
  store_be64(p + kNotBeforeAt, c.not_before);
  store_be64(p + kExpiresAt, c.expires);
  store_be64(p + kSignerAt, c.signer);
  std::memcpy(p + kPublicKeyAt, c.public_key.data(), kKeyBytes);
  std::memcpy(p + kClusterAt, c.cluster.view().data(), c.cluster.view().size());
  std::memcpy(p + kRegionAt, c.region.view().data(), c.region.view().size());

  uint8_t expanded[crypto_sign_ed25519_SECRETKEYBYTES];
  Key public_key;
  crypto_sign_ed25519_seed_keypair(public_key.data(), expanded, key.seed.data());
  const SignedMessage message = signed_message(Bytes(out).first(kCertificateSignedBytes));
  crypto_sign_ed25519_detached(p + kCertificateSignedBytes, nullptr, message.data(), message.size(),
                               expanded);
  wipe(expanded);
  return true;
}

const char* role_name(Role role) noexcept {
  switch (role) {
    case Role::kPublish:
      return "publish";
    case Role::kAcquire:
      return "acquire";
    case Role::kRelay:
      return "relay";
  }
  return "?";
}

CertificateFault decode(Bytes bytes, Certificate& out) noexcept {
  // The version comes first, so that a later one, which may have another length, is named as such.
  if (bytes.empty()) return CertificateFault::kTooShort;
  if (bytes[0] != kCertificateVersion) return CertificateFault::kVersion;
  if (bytes.size() < kCertificateBytes) return CertificateFault::kTooShort;
  if (bytes.size() > kCertificateBytes) return CertificateFault::kTrailingBytes;
  const uint8_t* const p = bytes.data();
  out.roles = load_be32(p + kRolesAt);
  out.node = {load_be64(p + kNodeAt)};
  out.serial = load_be64(p + kSerialAt);
  out.not_before = load_be64(p + kNotBeforeAt);
  out.expires = load_be64(p + kExpiresAt);
  out.signer = load_be64(p + kSignerAt);
  std::memcpy(out.public_key.data(), p + kPublicKeyAt, kKeyBytes);
  const bool whole =
      p[kZeroAt] == 0 &&
      read_text(bytes.subspan(kClusterAt, kMaxClusterBytes), p[kClusterLengthAt], out.cluster) &&
      read_text(bytes.subspan(kRegionAt, kMaxNameBytes), p[kRegionLengthAt], out.region) && in_range(out);
  return whole ? CertificateFault::kNone : CertificateFault::kNotCanonical;
}

CertificateFault verify(Bytes bytes, const Trust& trust, uint64_t unix_s, Certificate& out) noexcept {
  TL_CHECK(trust.anchor_count <= trust.anchors.size());
  const CertificateFault form = decode(bytes, out);
  if (form != CertificateFault::kNone) return form;

  const auto trusted = std::span(trust.anchors).first(trust.anchor_count);
  const auto anchor = std::find_if(trusted.begin(), trusted.end(),
                                   [&](const Key& key) { return signer_id(key) == out.signer; });
  if (anchor == trusted.end()) return CertificateFault::kUnknownSigner;
  const SignedMessage message = signed_message(bytes.first(kCertificateSignedBytes));
  if (crypto_sign_ed25519_verify_detached(bytes.data() + kCertificateSignedBytes, message.data(),
                                          message.size(), anchor->data()) != 0) {
    return CertificateFault::kBadSignature;
  }
  if (out.cluster.view() != trust.cluster) return CertificateFault::kWrongCluster;
  if (std::find(trust.revoked.begin(), trust.revoked.end(), out.serial) != trust.revoked.end()) {
    return CertificateFault::kRevoked;
  }
  if (unix_s < out.not_before) return CertificateFault::kNotYetValid;
  if (unix_s >= out.expires) return CertificateFault::kExpired;
  return CertificateFault::kNone;
}

}  // namespace trunkline::relay
