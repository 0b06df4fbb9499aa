// Makes the socket port that the configuration names, or the best one that is there, and says why.
// When both work they cost the same here: per 1200-byte datagram forwarded in saturated runs, one copy
// included, mmsg takes 204 ns of CPU and uring 211; at a paced 50 000 single datagrams a second over 500 taps
// neither wins (bench/io/port_floor.sh; medians of three, which differ by less than the runs do). What breaks
// the tie is system calls: uring makes a fifth of them with many endpoints, and none at all when idle. So
// `auto` takes uring (docs/decisions/0004).
//
// Control path; any thread (the port then belongs to the data core that first uses it).
#pragma once

#include <memory>
#include <string>

#include "core/result.h"
#include "io/device.h"
#include "io/port_options.h"

namespace trunkline::io {

enum class PortKind : uint8_t {
  kAuto,  // uring when everything it needs is there, else mmsg
  kMmsg,
  kUring,  // an error when it is not to be had
};

// `why`, if given, receives one sentence for the operator: which port it is and for what reason.
core::Result<std::unique_ptr<Port>> make_port(PortKind kind, const PortOptions& options, std::string* why);

// A data core's port on a device: what is addressed to or from other addresses than the device's goes through
// kernel sockets beside it (io/split_port.h).
core::Result<std::unique_ptr<Port>> make_device_port(Device& device, uint32_t queue,
                                                     const PortOptions& options, std::string* why);

}  // namespace trunkline::io
