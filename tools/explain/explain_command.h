// `trunkline explain TRACK` and `trunkline flights`: questions to a running node over its admin socket.
//
// The first line of `explain` is the one cause in one sentence. When no node answers on the socket, that is
// the cause, and since a node that does not run is often one that could not start, the configuration is
// checked the way `trunkline node --check-config` does: what is wrong with it then stands in the first line.
//
// Exit codes: 0 answered, 1 wrong usage or configuration, 3 no node answered.
#pragma once

#include <cstdint>
#include <string>

namespace trunkline::tools {

struct ExplainCommand {
  std::string config_path;  // says where the admin socket is; one of these two is given
  std::string admin_path;
  std::string track;  // a name; or, with 32 hexadecimal digits, an id
  bool json = false;
};
int run_explain(const ExplainCommand& command);

struct FlightsCommand {
  std::string config_path;
  std::string admin_path;
  uint32_t count = 20;
  std::string track;  // empty: of all tracks
};
int run_flights(const FlightsCommand& command);

}  // namespace trunkline::tools
