// The relay of path.afxdp as a process of its own: DPDK starts once per process and keeps to the namespace in
// which it did.
#pragma once

namespace trunkline::bench {

// As this program was called for that: relays for `seconds` on net_af_xdp over the relay's interface of
// bench/sockets/veth_lab.h, says "ready" when it may be sent to, and at the end one line of what it did.
// Returns the exit code.
int run_afxdp_relay(double seconds);
inline constexpr const char* kAfxdpRelay = "--afxdp-relay";

}  // namespace trunkline::bench
