// `trunkline node`: the core as a process, on the same C ABI that a host embeds. Starts from a TOML file,
// serves the admin socket, ends cleanly on SIGTERM or SIGINT. Exit codes: 0 ended cleanly, 1 wrong usage or
// configuration, 3 the system refused something.
#pragma once

#include <string>

namespace trunkline::tools {

struct NodeCommand {
  std::string config_path;
  uint64_t dev = 0;             // instead of a file: node N of this machine's own mesh (dev_node.h)
  bool check_config = false;    // validate, print OK or the error, open no socket
  bool print_topology = false;  // print the wiring and the memory sum, start nothing
  std::string log_format = "human";
  std::string log_level = "info";
};

int run_node(const NodeCommand& command);

}  // namespace trunkline::tools
