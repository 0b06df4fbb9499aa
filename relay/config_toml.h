// A node's configuration file: TOML text to NodeConfig, strictly.
//
// Strict means: an unknown key, a value of the wrong type or out of its range, an address that is none, a
// peer named twice or a required key that is absent is an error, never a default. The text is for the person
// who wrote the file: file:line:column, the key with its table, what is wrong, and what would be right
// ("did you mean 'x'?"). The first error ends the reading.
//
// The whole schema, with comments, is tools/examples/node.toml. Called at start and by --check-config, on
// any thread; may allocate. toml++ stays inside config_toml.cc.
#pragma once

#include <string_view>

#include "core/result.h"
#include "relay/config.h"

namespace trunkline::relay {

// `file_name` is for the error text only. What comes back has passed validate().
core::Result<NodeConfig> parse_config(std::string_view text, std::string_view file_name);

// The same with the file's text read here. Errors: it cannot be read (the system's words), or the above.
core::Result<NodeConfig> load_config(const char* path);

}  // namespace trunkline::relay
