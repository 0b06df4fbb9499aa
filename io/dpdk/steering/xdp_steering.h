// XdpSteering: tells the XDP program on an interface which endpoints are ours, and reads what it counted.
//
// The idea: the port (net_af_xdp with xdp_prog=...) loads and attaches the program and puts its sockets into
// xsks_map; it hands out no descriptor. The program is found through the interface instead, its maps through
// the program, and our own process' descriptors of them through /proc/self/fd, which takes no right beyond
// those that loading took. From then on each call is some bpf(2) calls.
//
// Owned by whoever opened the port, on a thread that may block (some 100 us per call); never a data core.
// Closing it leaves the program and its maps as they are: the port takes them along when it closes.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"
#include "core/udp_address.h"
#include "io/dpdk/steering/xdp_attachment.h"

namespace trunkline::io {

// Packets since the program was attached, over all CPUs.
struct SteeringCounts {
  uint64_t redirected_packets = 0;  // to a data core's socket
  uint64_t no_socket_packets = 0;  // to an endpoint of ours, on a queue without a socket: the kernel got them
  uint64_t fragment_packets = 0;   // UDP (IPv4) or any (IPv6) in fragments: the kernel got them
};

// What set() takes at most (TRUNKLINE_MAX_BINDS): 64 ports on four addresses.
inline constexpr size_t kMaxSteered = 256;

class XdpSteering {
 public:
  // After the port is open on the interface. The error says what is attached instead, which right is missing,
  // or that nothing is attached.
  core::Result<void> open(const std::string& interface);

  // From now on exactly these addresses and ports are ours; an unspecified address (0.0.0.0, ::) stands for
  // every address of its family, those of routed traffic included. New ones work before old ones end. An
  // error leaves a mixture of both.
  core::Result<void> set(std::span<const core::UdpAddress> endpoints);
  // Nothing is ours any longer: the kernel gets everything.
  core::Result<void> clear() { return set({}); }

  core::Result<SteeringCounts> counts() const;

  // "native" is the driver's, "generic" works everywhere and costs more.
  XdpMode mode() const noexcept { return mode_; }

 private:
  core::Error failed(const char* doing, int error) const;
  int add_binds(std::span<const core::UdpAddress> endpoints) const;
  int write_ports(std::span<const core::UdpAddress> endpoints) const;
  int erase_other_binds(std::span<const core::UdpAddress> endpoints) const;

  std::string interface_;
  XdpMode mode_ = XdpMode::kNone;
  OurProgram program_;
};

}  // namespace trunkline::io
