// The io_uring port: receives are armed once and never asked for again, sends are queued in shared memory,
// and at most one system call per run of the loop does both directions for all endpoints.
//
// The idea. A multishot recvmsg per endpoint delivers each datagram, or GRO slab of up to 64 KiB, into a
// buffer that the kernel picks from a shared ring; its name and the UDP_GRO size lie in front of the bytes.
// Sends are GSO runs whose message headers live in slots fixed at start. Work that the kernel has finished is
// collected when this thread enters the kernel (DEFER_TASKRUN), and a flag in shared memory says whether that
// is worth it: an idle loop makes no system call at all.
//
// What it costs and gives (bench/io/port_floor.cc): per packet about what mmsg costs, because the kernel's
// UDP stack dominates both; its gain is many endpoints (no epoll_wait and no receive call per endpoint).
//
// Back-pressure: when a socket is full the kernel keeps the send and repeats it; when sends_in_flight are
// kept, transmit_burst() refuses. Two sends that both had to wait may leave in either order.
//
// Owner: one data core's thread from its first call of receive_burst, transmit_burst, poll or wait on (the
// ring is enabled by that call); endpoints may be opened on another thread before. wake() from any thread.
#pragma once

#include <memory>

#include "core/result.h"
#include "io/port_options.h"

namespace trunkline::io {

// An error says which kernel feature is missing, or that this build has no io_uring.
core::Result<std::unique_ptr<Port>> make_uring_port(const PortOptions& options);

}  // namespace trunkline::io
