// `trunkline keys`: makes and shows the keys of a cluster and its nodes.
//
//   keys cluster --name prod --out DIR           the key that signs certificates, and its public half
//   keys node --cluster-key FILE --node 7 ...    a node's key, and the certificate that the cluster's key
//   signs for it keys show FILE                               what a file holds; of a secret only what is
//   public keys public FILE                             the public line of any key or certificate
//
// The only place that holds a cluster's secret key is where these commands run; no node needs it. No file is
// overwritten. Exit codes: 0 done, 1 something was wrong and nothing was left behind; the text says what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::tools {

struct KeysClusterCommand {
  std::string name;  // as in node.cluster
  std::string out;   // directory; made when its parent exists
};
int run_keys_cluster(const KeysClusterCommand& command);

struct KeysNodeCommand {
  std::string cluster_key;         // file: trunkline-cluster-secret-1
  std::string node_key;            // file with the node's own key, secret or public; empty: a new one is made
  uint64_t node = 0;               // as node.id
  std::string region;              // as node.region
  std::vector<std::string> roles;  // publish, acquire, relay; empty: all
  uint32_t days = 30;              // valid from a day ago, until so many days from now
  std::string out;
};
int run_keys_node(const KeysNodeCommand& command);

struct KeysShowCommand {
  std::string file;
  std::vector<std::string> trusted;  // files: trunkline-cluster-public-1; a certificate is judged by them
};
int run_keys_show(const KeysShowCommand& command);

int run_keys_public(const std::string& file);

}  // namespace trunkline::tools
