// ClusterKeys: keys and certificates of a simulated cluster whose nodes seal for real. All from the seed.
//
// Nodes that come back from a snapshot draw the same random numbers again, as all that they draw from is a
// function of the seed, the node and its incarnation.
#pragma once

#include <memory>
#include <vector>

#include "relay/certificate.h"
#include "relay/crypto.h"
#include "relay/noise.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

class ClusterKeys {
 public:
  explicit ClusterKeys(const Options& options);

  // What a sealed node's configuration says of keys, its own and its peers'. `config` is of that node.
  void put_into(relay::NodeConfig& config) const;
  // Contract: put_into(config) was called. `unix_s`: the time of day at `now`, as the node believes.
  std::unique_ptr<relay::Crypto> make(const relay::NodeConfig& config, uint64_t incarnation, uint64_t unix_s,
                                      Nanos now) const;

 private:
  uint64_t seed_;
  relay::SigningKey signer_;
  std::vector<relay::noise::KeyPair> keys_;  // by node
};

}  // namespace trunkline::sim
