// `trunkline node --dev N`: node N of a mesh that exists on this machine only, without a file to write:
// addresses, peers and throw-away keys are the same for every node that one user starts so, whichever is
// first.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace trunkline::tools {

inline constexpr uint64_t kDevNodes = 4;  // node N listens on 127.0.0.1:7100 + N

// Its configuration, as a file would have it. Makes the keys where they are missing: blocks on files.
core::Result<std::string> dev_config(uint64_t id);

}  // namespace trunkline::tools
