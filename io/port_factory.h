// Makes the socket port that the configuration names, or the best one that is there, and says why.
// Control path; any thread (the port then belongs to the data core that first uses it).
#pragma once

#include <memory>
#include <string>

#include "core/result.h"
#include "io/port_options.h"

namespace trunkline::io {

enum class PortKind : uint8_t {
  kAuto,  // uring when everything it needs is there, else mmsg
  kMmsg,
  kUring,  // an error when it is not to be had
};

// `why`, if given, receives one sentence for the operator: which port it is and for what reason.
core::Result<std::unique_ptr<Port>> make_port(PortKind kind, const PortOptions& options, std::string* why);

}  // namespace trunkline::io
