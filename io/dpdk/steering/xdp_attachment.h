// What XDP program an interface has, whether it is ours, and how to get rid of one that a dead process left.
//
// The idea: net_af_xdp attaches its program through netlink, so the program belongs to the interface and not
// to a process. A process that closes its port takes it along; one that is killed does not. Its AF_XDP
// sockets do die with it and leave the map, so what is left passes everything into the kernel: harmless to
// the host, but the next start finds the place taken (EBUSY), as AF_XDP never replaces a program.
// detach_leftover() clears that, and nothing else: only a program of ours, by the names of it and of its
// maps, that no process holds and that no socket is in.
//
// Control path, any thread, in the calling thread's network namespace. Takes up to some milliseconds, as it
// looks through /proc.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "io/dpdk/steering/bpf_call.h"
#include "io/system_probe.h"

namespace trunkline::io {

enum class XdpMode : uint8_t {
  kNone,     // no program
  kNative,   // in the driver
  kGeneric,  // in the kernel's network stack: works everywhere, after the packet has cost an allocation
  kOffload,  // in the network card
  kSeveral,  // one program for each of several modes
};
const char* xdp_mode_name(XdpMode mode) noexcept;

struct XdpAttachment {
  int interface_index = 0;
  XdpMode mode = XdpMode::kNone;
  uint32_t program_id = 0;  // 0: none, or several
};

// An error when there is no such interface.
core::Result<XdpAttachment> query_xdp(const std::string& interface);

// An attached program of ours with what it has open: found by the names in steer_maps.h.
struct OurProgram {
  FileDescriptor program, sockets, ports, binds, count;
};
// The error names what is attached instead, or which right is missing, and what to do.
core::Result<OurProgram> open_our_program(const std::string& interface, const XdpAttachment& attachment);

// Removes a program of ours that nobody uses. True: removed; false: there was none. An error when another's
// program is attached, or when ours is in use (and by which processes, as far as /proc tells). A node calls
// this before it starts the port on the interface; needs CAP_NET_ADMIN and, as the maps were made by another
// process, CAP_SYS_ADMIN.
core::Result<bool> detach_leftover(const std::string& interface);

// Whether this process could run an AF_XDP port on the interface: it is there and up, its place for a program
// is free (or holds a leftover of ours), and the kernel lets us load a program, make a map of sockets and
// open an AF_XDP socket. Attaches nothing.
Feature probe_xdp(const std::string& interface);

}  // namespace trunkline::io
