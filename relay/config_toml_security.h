// The table [security] of a configuration file. Only relay/config_toml.cc includes this; it has included
// toml++.
#pragma once

#include "relay/config.h"
#include "relay/toml_section.h"

namespace trunkline::relay {

void read_security(TomlReader& reader, const toml::table& table, NodeConfig& config);

}  // namespace trunkline::relay
