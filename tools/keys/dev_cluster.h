// DevCluster: throw-away keys for nodes of one machine and one user: a cluster's key, and a key and a
// certificate for each node, as files in one directory. The demo and `trunkline node --dev` are sealed by
// them; nothing else should be, for whoever may read the directory may be any node.
//
// What the directory has is used again, by several processes at a time; what is missing, or expired, is made.
// Blocks on files. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/result.h"

namespace trunkline::tools {

struct DevNode {
  uint64_t id = 0;
  std::string region;
};

class DevCluster {
 public:
  // `directory` is made with mode 0700 where it is not there; one that belongs to somebody else is an error.
  static core::Result<DevCluster> open(const std::string& directory, const std::string& cluster,
                                       const std::vector<DevNode>& nodes);

  // TOML: the table [security] of this node.
  std::string security(uint64_t id) const;
  // TOML: the line `public_key = ...` of a [[peer]] that is this node.
  std::string public_key(uint64_t id) const;
  // The strongest ordinary suite that this machine has: as `wire.suite` names it.
  static const std::string& suite();

  // The directory and all in it goes when the object does.
  void remove_at_end() { remove_ = true; }
  DevCluster(DevCluster&& other) noexcept;
  ~DevCluster();

 private:
  explicit DevCluster(std::string directory) : directory_(std::move(directory)) {}
  core::Result<void> make(const std::string& cluster, const std::vector<DevNode>& nodes);
  std::string file(uint64_t id, const char* what) const;

  std::string directory_;
  std::map<uint64_t, std::string> public_lines_;
  bool remove_ = false;
};

}  // namespace trunkline::tools
