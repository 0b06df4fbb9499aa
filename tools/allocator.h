// Which allocator this executable runs on. The executables link mimalloc (the libraries never name it); the
// data path does not allocate at all, so this is about start-up and the control plane.
#pragma once

#include "io/system_probe.h"

namespace trunkline::tools {

io::Feature allocator_in_use();

}  // namespace trunkline::tools
