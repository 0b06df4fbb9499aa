// Makes the socket port that the configuration names, or the best one that is there, and says why.
// When both work they cost the same here: 204 and 211 ns of CPU per 1200-byte datagram forwarded in runs, one
// copy included, and 4.0 against 4.3 us at a paced 50 000 single datagrams a second over 500 endpoints
// (bench/io/port_floor.sh; medians of three, which differ by less than the runs do). `auto` then takes uring,
// because it makes a fifth of the system calls with many endpoints and none at all when idle.
//
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
