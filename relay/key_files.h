// Keys and certificates as files that a person can look at: comments, and one line.
//
//   # Secret key of node 7. Whoever reads it can pass for that node.
//   trunkline-node-secret-1 mJ0...=
//
// The first word says what it is and in which version; the rest is base64 (RFC 4648, padded). A secret is
// read only from a file that nobody else can read, and no file is ever overwritten. What is read from a
// secret file lies in locked memory and is overwritten after use (relay/secret.h).
//
//   kind                       what the base64 holds
//   trunkline-cluster-secret-1 Ed25519 seed 32 | cluster's name
//   trunkline-cluster-public-1 Ed25519 public key 32 | cluster's name
//   trunkline-node-secret-1    X25519 secret key 32
//   trunkline-node-public-1    X25519 public key 32
//   trunkline-certificate-1    a certificate, 240 bytes (relay/certificate.h)
//
// Control path: blocks on files, allocates. Errors are `file: what` or `file:line: what`, each with what to
// do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "relay/certificate.h"
#include "relay/noise.h"
#include "relay/secret.h"

namespace trunkline::relay {

enum class KeyKind : uint8_t { kClusterSecret, kClusterPublic, kNodeSecret, kNodePublic, kCertificate };
inline constexpr uint32_t kKeyKinds = 5;
std::string_view key_kind_word(KeyKind kind) noexcept;  // "trunkline-node-secret-1"
constexpr bool is_secret(KeyKind kind) noexcept {
  return kind == KeyKind::kClusterSecret || kind == KeyKind::kNodeSecret;
}

using ClusterName = CertificateText<kMaxClusterBytes>;

struct ClusterPublic {
  Key public_key{};  // Ed25519; an anchor of Trust
  ClusterName cluster;
};
struct ClusterSecret {
  SigningKey key;
  ClusterName cluster;
};

// Whatever a file holds. Of the wrong length for its kind: an error already.
struct KeyFile {
  KeyKind kind = KeyKind::kNodePublic;
  SecretBytes payload;
};
core::Result<KeyFile> read_key_file(const std::string& path);
// The same, and an error when it is of another kind.
core::Result<ClusterSecret> read_cluster_secret(const std::string& path);
core::Result<ClusterPublic> read_cluster_public(const std::string& path);
core::Result<noise::KeyPair> read_node_secret(const std::string& path);
core::Result<Key> read_node_public(const std::string& path);
// Its form is checked; whom to believe is for verify().
core::Result<CertificateBytes> read_certificate(const std::string& path);

// Of a cluster key's payload: the name behind the 32 bytes. Nothing assigned: empty, or no plain text.
ClusterName cluster_of(const KeyFile& file);
// The payload of a cluster's files: `key` and the name.
SecretBytes cluster_payload(const Key& key, const ClusterName& cluster);

// "trunkline-node-public-1 BASE64\n".
std::string public_line(KeyKind kind, Bytes payload);
// Of such a line, or of the base64 alone; nullopt: it is none, or of no 32 bytes.
std::optional<Key> parse_node_public(std::string_view text);
// Makes a file of `comment` (lines without '#') and the key's line: mode 0600 for a secret, else 0644. An
// error when there is one already, or the system refuses; then there is no new file.
core::Result<void> write_key_file(const std::string& path, KeyKind kind, Bytes payload,
                                  std::string_view comment);

}  // namespace trunkline::relay
