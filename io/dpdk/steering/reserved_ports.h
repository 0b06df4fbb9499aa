// ReservedPorts: UDP ports that a port beside the kernel receives on, held in the kernel so that nobody else
// gets them.
//
// The idea: what is redirected by XDP never meets the kernel's sockets, so the kernel would hand our ports to
// the next process that asks, and answer "port unreachable" whenever a datagram passes after all (a fragment,
// a queue without a socket, the moments before and after the program is attached). A bound socket settles
// both. It is never read: a filter drops every datagram before it costs memory; /proc/net/snmp counts those
// as Udp InErrors.
//
// Owned by whoever opens the port, for as long as that is open; one thread. Control path only.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "core/time.h"
#include "core/udp_address.h"
#include "io/udp_socket.h"

namespace trunkline::io {

class ReservedPorts {
 public:
  // Reserves one address and port, in the calling thread's network namespace; port 0: the kernel chooses.
  // Returns it with its port. An unspecified address (0.0.0.0, ::) reserves the port on all addresses of its
  // family. Waits up to `patience` for an address in use: a predecessor's sockets may live some milliseconds
  // longer than it. The error names address, cause, remedy and, where /proc tells, the process that has it.
  core::Result<core::UdpAddress> reserve(const core::UdpAddress& address, core::Nanos patience = {});
  // Gives all of them back.
  void release() noexcept { sockets_.clear(); }

 private:
  std::vector<FileDescriptor> sockets_;
};

// "process 4711 (dnsmasq)", "processes 4711 (nginx), 4712 (nginx)": who has a UDP socket that an address
// cannot be bound beside. Empty when nobody has, or when /proc does not tell (another user's process, another
// container's).
std::string udp_holder(const core::UdpAddress& address);

}  // namespace trunkline::io
