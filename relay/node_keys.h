// NodeKeys: what the files of [security] say, read and judged: this node's key and certificate, and whom it
// believes.
//
// Every fault ends in a sentence that names the key of the configuration, the file, and what to do: a secret
// that others can read, a certificate that is expired, of another cluster, node, region or key, a signer that
// is not trusted, a role that the configured tracks need and the certificate has not.
//
// Control path: blocks on files, allocates. The secret lies in locked memory (relay/secret.h) once a
// SealedIdentity has it; until then in a Secret, which is overwritten when it goes.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "relay/certificate.h"
#include "relay/config.h"
#include "relay/noise.h"

namespace trunkline::relay {

struct NodeKeys {
  noise::KeyPair key;
  CertificateBytes certificate{};
  std::string cluster;
  std::array<Key, kMaxAnchors> anchors{};
  uint8_t anchor_count = 0;
  std::vector<uint64_t> revoked;

  // Views this object.
  Trust trust() const noexcept;
};

// Whether datagrams are sealed, by one suite that is accepted at least.
bool seals(const NodeConfig& config) noexcept;

// Contract: seals(config), and validate() found nothing. `unix_s`: the time by which the certificate is
// judged.
core::Result<NodeKeys> read_node_keys(const NodeConfig& config, uint64_t unix_s);

}  // namespace trunkline::relay
