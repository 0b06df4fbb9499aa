// A node's certificate: the cluster's word on which X25519 key belongs to which node, and what that node may
// be. Fixed layout, big-endian; one certificate has one encoding (docs/protocol.md).
//
//   0    version 8 (1) | cluster length 8 | region length 8 | zero 8 | roles 32
//   8    node id 64 | serial 64 | not before 64 | expires 64 | signer 64        times: Unix seconds
//   48   X25519 public key 256
//   80   cluster, 64 bytes, filled with zeros
//   144  region, 32 bytes, filled with zeros
//   176  Ed25519 signature over "trunkline certificate 1" and bytes 0 to 175
//
// What the signer says is believed for as long as the certificate says. The time comes as an argument, from
// whoever calls; this is the only thing between two nodes that a wall clock decides. Two signers may be
// trusted at once, so that a cluster key is replaced without a gap: first both are trusted, then the new one
// signs.
//
// Values and functions: any thread, no allocation. Cost of verify(): one Ed25519 verification, about 50 us.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/ids.h"
#include "relay/byte_reader.h"
#include "relay/mesh/hello.h"
#include "relay/secret.h"
#include "relay/text.h"

namespace trunkline::relay {

inline constexpr uint8_t kCertificateVersion = 1;
inline constexpr uint32_t kCertificateSignedBytes = 176;
inline constexpr uint32_t kSignatureBytes = 64;  // Ed25519
inline constexpr uint32_t kCertificateBytes = kCertificateSignedBytes + kSignatureBytes;
static_assert(kCertificateBytes == 240);
using CertificateBytes = std::array<uint8_t, kCertificateBytes>;

// A short text with its storage.
template <uint32_t kCapacity>
class CertificateText {
 public:
  // False: empty, too long, or with a control character; nothing has changed then.
  bool assign(std::string_view text) noexcept {
    if (text.empty() || text.size() > kCapacity || !is_plain_text(text)) return false;
    text_ = {};
    for (size_t i = 0; i < text.size(); ++i) text_[i] = text[i];
    length_ = static_cast<uint8_t>(text.size());
    return true;
  }
  std::string_view view() const noexcept { return {text_.data(), length_}; }
  bool operator==(const CertificateText&) const = default;

 private:
  std::array<char, kCapacity> text_{};
  uint8_t length_ = 0;
};

// What a node may be. Bits of the field `roles`.
enum class Role : uint32_t {
  kPublish = 1,  // offers tracks of its own
  kAcquire = 2,  // asks for tracks
  kRelay = 4,    // passes on tracks of others
};
inline constexpr uint32_t kAllRoles = 7;
// "publish". Static storage.
const char* role_name(Role role) noexcept;

struct Certificate {
  core::NodeId node{};  // not 0
  uint64_t serial = 0;
  uint64_t not_before = 0;  // Unix seconds; valid from here
  uint64_t expires = 0;     // to before here; greater than not_before
  uint64_t signer = 0;      // signer_id() of the key that signed it; sign() sets it
  uint32_t roles = 0;       // at least one
  Key public_key{};         // X25519, not 0
  CertificateText<kMaxClusterBytes> cluster;
  CertificateText<kMaxNameBytes> region;

  bool has(Role role) const noexcept { return (roles & static_cast<uint32_t>(role)) != 0; }
  bool operator==(const Certificate&) const = default;
};

// Why a certificate is not accepted. In the order in which verify() looks.
enum class CertificateFault : uint8_t {
  kNone,
  kTooShort,
  kTrailingBytes,
  kVersion,
  kNotCanonical,
  kUnknownSigner,
  kBadSignature,
  kWrongCluster,
  kRevoked,
  kNotYetValid,
  kExpired,
  kWrongKey,
  kWrongNode,
};
inline constexpr uint32_t kCertificateFaults = 13;
// A sentence: what is wrong and what to do about it. Static storage.
const char* certificate_fault_text(CertificateFault fault) noexcept;
// A word or two of it: "expired". Static storage.
const char* certificate_fault_name(CertificateFault fault) noexcept;
// A trusted signer did sign it, for the key in use: whoever holds that key may be told what is wrong.
constexpr bool may_be_told(CertificateFault fault) noexcept {
  return fault > CertificateFault::kBadSignature && fault != CertificateFault::kWrongKey;
}
// What to tell the peer: "certificate: mine 'valid', theirs 'expired'".
Refusal certificate_refusal(CertificateFault fault) noexcept;

// A cluster's signing key, Ed25519: 32 bytes of seed, and the public key that nodes trust.
struct SigningKey {
  Secret seed;
  Key public_key{};

  static SigningKey of(const Secret& seed) noexcept;
};
// The number by which a certificate names its signer: the first 8 bytes of SHA-256("trunkline signer 1" |
// key).
uint64_t signer_id(const Key& public_key) noexcept;

// Whom a node believes. `cluster` and `revoked` belong to the caller and outlive the object.
struct Trust {
  std::string_view cluster;
  std::array<Key, 2> anchors{};  // Ed25519 public keys; the first `anchor_count` count
  uint8_t anchor_count = 0;
  std::span<const uint64_t> revoked;  // serials, in any order
};

// Signs. False: a field is out of its range (above), and nothing was written. `certificate.signer` is set.
bool sign(Certificate& certificate, const SigningKey& key, CertificateBytes& out) noexcept;
// Reads the fields and judges nothing but their form: kNone, or one of the first five faults. `out` is whole
// only with kNone.
CertificateFault decode(Bytes bytes, Certificate& out) noexcept;
// decode(), then everything else but kWrongKey and kWrongNode, which only the caller can know. `unix_s` is
// the time now. `out` is whole also with a fault after kNotCanonical, so that it can be named, but then only
// from kWrongCluster on is it what a trusted signer said.
CertificateFault verify(Bytes bytes, const Trust& trust, uint64_t unix_s, Certificate& out) noexcept;

}  // namespace trunkline::relay
