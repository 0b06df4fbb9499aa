// See tools/keys/new_keys.h.
#include "tools/keys/new_keys.h"

#include "relay/wire.h"

namespace trunkline::tools {

relay::ClusterSecret new_cluster(const relay::ClusterName& name) {
  relay::KernelRandomness randomness;
  relay::Secret seed;
  randomness.fill(seed.bytes());
  return {relay::SigningKey::of(seed), name};
}

relay::noise::KeyPair new_node_key() {
  relay::KernelRandomness randomness;
  return relay::noise::KeyPair::generate(randomness);
}

std::optional<relay::CertificateBytes> new_certificate(const relay::ClusterSecret& cluster,
                                                       const Holder& holder, uint64_t now, uint64_t days) {
  relay::KernelRandomness randomness;
  uint8_t serial[8];
  randomness.fill(serial);
  relay::Certificate certificate;
  certificate.node = {holder.node};
  certificate.serial = relay::load_be64(serial);
  certificate.not_before = now - kDaySeconds;
  certificate.expires = now + days * kDaySeconds;
  certificate.roles = holder.roles;
  certificate.public_key = holder.public_key;
  certificate.cluster = cluster.cluster;
  relay::CertificateBytes bytes;
  if (!certificate.region.assign(holder.region) || !relay::sign(certificate, cluster.key, bytes))
    return std::nullopt;
  return bytes;
}

}  // namespace trunkline::tools
