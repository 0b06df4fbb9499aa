// See tools/node/dev_node.h.
#include "tools/node/dev_node.h"

#include <unistd.h>

#include <sstream>

#include "tools/keys/dev_cluster.h"

namespace trunkline::tools {
namespace {

constexpr uint64_t kFirstPort = 7'100;

std::string address_of(uint64_t id) {
  return "127.0.0.1:" + std::to_string(kFirstPort + id);
}

}  // namespace

core::Result<std::string> dev_config(uint64_t id) {
  const std::string directory = "/tmp/trunkline-dev-" + std::to_string(geteuid());
  std::vector<DevNode> nodes;
  for (uint64_t i = 1; i <= kDevNodes; ++i) nodes.push_back({i, "dev"});
  const auto keys = DevCluster::open(directory, "dev", nodes);
  if (!keys) return keys.error();
  std::ostringstream out;
  out << "[node]\nid = " << id << "\ncluster = \"dev\"\nregion = \"dev\"\nlisten = \"" << address_of(id)
      << "\"\nadmin = \"" << directory << "/node-" << id << ".sock\"\n\n[wire]\ntrack_namespace = \"dev\"\n"
      << "mtu = 1500\nsuite = \"" << DevCluster::suite() << "\"\n\n"
      << keys->security(id);
  for (uint64_t i = 1; i <= kDevNodes; ++i) {
    if (i == id) continue;
    out << "\n[[peer]]\nid = " << i << "\naddress = \"" << address_of(i) << "\"\n" << keys->public_key(i);
  }
  return out.str();
}

}  // namespace trunkline::tools
