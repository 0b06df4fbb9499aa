// See relay/node_keys.h.
#include "relay/node_keys.h"

#include "relay/key_files.h"
#include "relay/sealed_suite.h"

namespace trunkline::relay {
namespace {

core::Error about(const std::string& key, const std::string& what) {
  return core::Error{0, "security." + key + ": " + what};
}

core::Result<void> read_anchors(const NodeConfig& config, NodeKeys& keys) {
  for (const std::string& file : config.security.anchors) {
    const auto anchor = read_cluster_public(file);
    if (!anchor) return about("anchors", anchor.error().text);
    if (anchor->cluster.view() != config.cluster) {
      return about("anchors", file + " is the key of cluster '" + std::string(anchor->cluster.view()) +
                                  "', and node.cluster is '" + config.cluster +
                                  "': give the public key of this cluster");
    }
    keys.anchors[keys.anchor_count++] = anchor->public_key;
  }
  return {};
}

// What the certificate says of the node, and what the configuration says, are one thing.
core::Result<void> compare(const NodeConfig& config, const Certificate& own) {
  const std::string& file = config.security.certificate;
  if (own.node != config.id) {
    return about("certificate", file + " is for node " + std::to_string(own.node.value) +
                                    ", and node.id is " + std::to_string(config.id.value) +
                                    ": give this node's certificate");
  }
  if (own.region.view() != config.region) {
    return about("certificate", file + " is for region '" + std::string(own.region.view()) +
                                    "', and node.region is '" + config.region +
                                    "': have it signed anew, or correct node.region");
  }
  return {};
}

// What the configuration has the node do, its certificate allows; else each of these would be refused for as
// long as the node runs.
core::Result<void> check_roles(const NodeConfig& config, const Certificate& own) {
  const auto lacks = [&](Role role, const char* tables, const char* what) {
    const std::string name = role_name(role);
    return about("certificate", config.security.certificate + " has no role '" + name + "', and " + tables +
                                    " " + what +
                                    " tracks: have one signed that has it (trunkline keys node --role " +
                                    name + ", and those that it has), or take out " + tables);
  };
  if (!config.ingest.empty() && !own.has(Role::kPublish))
    return lacks(Role::kPublish, "[[ingest]]", "publishes");
  if (!config.egress.empty() && !own.has(Role::kAcquire))
    return lacks(Role::kAcquire, "[[egress]]", "acquires");
  return {};
}

}  // namespace

Trust NodeKeys::trust() const noexcept {
  return {.cluster = cluster, .anchors = anchors, .anchor_count = anchor_count, .revoked = revoked};
}

bool seals(const NodeConfig& config) noexcept {
  const WireSetting* const setting = config.find_setting("suite");
  if (setting == nullptr) return false;
  for (const std::string& value : setting->accepted) {
    if (sealed_suite_named(value)) return true;
  }
  return false;
}

core::Result<NodeKeys> read_node_keys(const NodeConfig& config, uint64_t unix_s) {
  NodeKeys keys;
  keys.cluster = config.cluster;
  keys.revoked = config.security.revoked;
  if (auto read = read_anchors(config, keys); !read) return read.error();
  auto key = read_node_secret(config.security.secret);
  if (!key) return about("secret", key.error().text);
  keys.key = *key;
  const auto certificate = read_certificate(config.security.certificate);
  if (!certificate) return about("certificate", certificate.error().text);
  keys.certificate = *certificate;
  Certificate own;
  const CertificateFault fault = verify(keys.certificate, keys.trust(), unix_s, own);
  if (fault != CertificateFault::kNone)
    return about("certificate", config.security.certificate + ": " + certificate_fault_text(fault));
  if (own.public_key != keys.key.public_key) {
    return about("certificate", config.security.certificate + ": " +
                                    certificate_fault_text(CertificateFault::kWrongKey) +
                                    " (security.secret is " + config.security.secret + ")");
  }
  if (auto same = compare(config, own); !same) return same.error();
  if (auto allowed = check_roles(config, own); !allowed) return allowed.error();
  return keys;
}

}  // namespace trunkline::relay
