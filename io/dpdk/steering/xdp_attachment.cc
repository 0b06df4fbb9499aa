// See xdp_attachment.h. Order of this file: asking the kernel, recognising our program, whether a socket is
// in it, removing it, the probe.
#include "io/dpdk/steering/xdp_attachment.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "io/dpdk/steering/netlink.h"
#include "io/dpdk/steering/steer_maps.h"

#ifndef AF_XDP
#define AF_XDP 44  // Linux 4.18; older headers lack the name
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace trunkline::io {
namespace {

using core::Error;
using core::Result;

// For the sockets, the program and its maps, and the memory that the sockets receive into.
constexpr const char* kRights =
    "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_IPC_LOCK (root has them; for a service: "
    "AmbientCapabilities=)";

Error on(const std::string& interface, const std::string& text) {
  return Error{0, "XDP on " + interface + ": " + text};
}

std::string off(const std::string& interface) {
  return "'ip link set dev " + interface + " xdp off'";
}

// The link's message about an interface, reduced to its XDP part.
int ask_xdp(NetlinkSocket& socket, XdpAttachment& out, bool& up) {
  ifinfomsg fixed{};
  fixed.ifi_index = out.interface_index;
  NetlinkRequest request(RTM_GETLINK, 0, fixed);
  return socket.ask(request, [&](const nlmsghdr& message) {
    const auto* link = fixed_part<ifinfomsg>(message);
    if (message.nlmsg_type != RTM_NEWLINK || link == nullptr) return;
    up = (link->ifi_flags & IFF_UP) != 0;
    const NetlinkAttributes<IFLA_XDP> attributes(message, link);
    const auto nested = attributes.bytes(IFLA_XDP);
    const NetlinkAttributes<IFLA_XDP_MAX> xdp(nested.data(), nested.size());
    uint8_t mode = XDP_ATTACHED_NONE;
    xdp.read(IFLA_XDP_ATTACHED, mode);
    xdp.read(IFLA_XDP_PROG_ID, out.program_id);
    out.mode = mode == XDP_ATTACHED_NONE  ? XdpMode::kNone
               : mode == XDP_ATTACHED_DRV ? XdpMode::kNative
               : mode == XDP_ATTACHED_SKB ? XdpMode::kGeneric
               : mode == XDP_ATTACHED_HW  ? XdpMode::kOffload
                                          : XdpMode::kSeveral;
  });
}

Result<XdpAttachment> query(const std::string& interface, bool& up) {
  XdpAttachment found;
  found.interface_index = static_cast<int>(::if_nametoindex(interface.c_str()));
  if (found.interface_index == 0)
    return on(interface,
              "there is no such interface in this network namespace; 'ip link' lists those there are");
  const auto socket = std::make_unique<NetlinkSocket>();
  int error = socket->open();
  if (error == 0) error = ask_xdp(*socket, found, up);
  if (error != 0)
    return on(interface, std::string("the kernel does not describe the interface: ") + std::strerror(error));
  return found;
}

bool is_ours(const BpfMapInfo& map, const char* name, uint32_t type, size_t key_bytes, size_t value_bytes) {
  return map.name == name && map.type == type && map.key_bytes == key_bytes && map.value_bytes == value_bytes;
}

// Files the map under its name; one that we do not know is closed.
void keep(OurProgram& ours, FileDescriptor map, const BpfMapInfo& info) {
  if (is_ours(info, TRUNKLINE_SOCKETS, BPF_MAP_TYPE_XSKMAP, 4, 4))
    ours.sockets = std::move(map);
  else if (is_ours(info, TRUNKLINE_PORTS, BPF_MAP_TYPE_ARRAY, 4, 8))
    ours.ports = std::move(map);
  else if (is_ours(info, TRUNKLINE_BINDS, BPF_MAP_TYPE_HASH, sizeof(trunkline_bind), 4))
    ours.binds = std::move(map);
  else if (is_ours(info, TRUNKLINE_COUNT, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8))
    ours.count = std::move(map);
}

Error no_right(const std::string& interface, const char* what) {
  return on(interface, std::string("not allowed to open ") + what +
                           " of another process; that needs CAP_SYS_ADMIN. If no trunkline node runs on this "
                           "interface, " +
                           off(interface) + " removes the program");
}

// Whether an AF_XDP socket is in a map. A map of sockets cannot be read from here, so one of our own is
// offered to every place that is empty (BPF_NOEXIST), never bound, and leaves with its descriptor; for these
// microseconds a datagram of that queue is lost instead of passed. An errno when it cannot be told.
int find_socket(int sockets, uint32_t places, bool& found) {
  const FileDescriptor socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  const int ring_entries = 64;  // the kernel takes no socket without a ring into a map
  if (setsockopt(socket.get(), SOL_XDP, XDP_RX_RING, &ring_entries, sizeof ring_entries) != 0) return errno;
  const auto value = static_cast<uint32_t>(socket.get());
  for (uint32_t queue = 0; queue < places; ++queue) {
    const int error = bpf_map_update(sockets, &queue, &value, BPF_NOEXIST);
    if (error == EEXIST) {
      found = true;
      return 0;
    }
    if (error != 0) return error;
  }
  return 0;
}

std::string list(const std::vector<int>& processes) {
  std::string text = processes.size() == 1 ? "process " : "processes ";
  for (size_t i = 0; i < processes.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(processes[i]);
  return text;
}

// Replaces program `ours` by none; EEXIST when it is no longer the one that is attached.
int detach(const XdpAttachment& attachment, const FileDescriptor& ours) {
  const auto socket = std::make_unique<NetlinkSocket>();
  if (const int error = socket->open()) return error;
  ifinfomsg fixed{};
  fixed.ifi_index = attachment.interface_index;
  NetlinkRequest request(RTM_SETLINK, NLM_F_ACK, fixed);
  const size_t mark = request.begin(IFLA_XDP);
  request.add(IFLA_XDP_FD, int32_t{-1});
  const uint32_t mode = attachment.mode == XdpMode::kNative    ? XDP_FLAGS_DRV_MODE
                        : attachment.mode == XdpMode::kGeneric ? XDP_FLAGS_SKB_MODE
                                                               : XDP_FLAGS_HW_MODE;
  request.add(IFLA_XDP_FLAGS, uint32_t{XDP_FLAGS_REPLACE | mode});
  request.add(IFLA_XDP_EXPECTED_FD, int32_t{ours.get()});
  request.end(mark);
  return socket->tell(request);
}

Feature missing(std::string detail, std::string remedy) {
  return {false, std::move(detail), std::move(remedy)};
}

// The kernel's side of AF_XDP: whether we may, and whether it can.
Feature probe_rights() {
  const FileDescriptor socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket && errno == EAFNOSUPPORT)
    return missing("this kernel has no AF_XDP sockets",
                   "use a kernel with CONFIG_XDP_SOCKETS, or port = \"auto\"");
  if (!socket)
    return missing(std::string("no AF_XDP socket: ") + std::strerror(errno), std::string("grant ") + kRights);
  const FileDescriptor map = bpf_make_map(BPF_MAP_TYPE_XSKMAP, 1);
  const int map_error = map ? 0 : errno;
  const FileDescriptor program = bpf_make_pass_program();
  const int program_error = program ? 0 : errno;
  if (map && program) return {true, "", ""};
  const int error = map ? program_error : map_error;
  if (error == ENOSYS || error == EINVAL)
    return missing("this kernel is too old for AF_XDP", "use Linux 5.10 or later, or port = \"auto\"");
  return missing(
      std::string(map ? "no XDP program" : "no map of sockets") + " may be loaded: " + std::strerror(error),
      std::string("grant ") + kRights + "; before Linux 5.11 also raise 'ulimit -l'");
}

}  // namespace

const char* xdp_mode_name(XdpMode mode) noexcept {
  switch (mode) {
    case XdpMode::kNone:
      return "none";
    case XdpMode::kNative:
      return "native";
    case XdpMode::kGeneric:
      return "generic";
    case XdpMode::kOffload:
      return "offloaded";
    case XdpMode::kSeveral:
      return "several";
  }
  return "?";
}

Result<XdpAttachment> query_xdp(const std::string& interface) {
  bool up = false;
  return query(interface, up);
}

Result<OurProgram> open_our_program(const std::string& interface, const XdpAttachment& attachment) {
  if (attachment.mode == XdpMode::kNone)
    return on(interface,
              "no program is attached; the port on this interface attaches it, so start that first");
  if (attachment.program_id == 0)
    return on(interface, "programs of several modes are attached; " + off(interface) + " removes them");
  OurProgram ours;
  ours.program = bpf_program_by_id(attachment.program_id);
  if (!ours.program) return no_right(interface, "the program");
  BpfProgramInfo program;
  if (const int error = read_program_info(ours.program.get(), program))
    return on(interface, std::string("the kernel does not describe its program: ") + std::strerror(error));
  for (const uint32_t id : program.map_ids) {
    FileDescriptor map = bpf_map_by_id(id);
    if (!map) return no_right(interface, "a map");
    BpfMapInfo info;
    if (read_map_info(map.get(), info) == 0) keep(ours, std::move(map), info);
  }
  if (program.name != TRUNKLINE_PROGRAM || !ours.sockets || !ours.ports || !ours.binds || !ours.count)
    return on(interface, "another program is attached ('" + program.name + "', id " +
                             std::to_string(program.id) + "); if nobody needs it, " + off(interface) +
                             " removes it, else choose another interface");
  return ours;
}

Result<bool> detach_leftover(const std::string& interface) {
  const Result<XdpAttachment> attachment = query_xdp(interface);
  if (!attachment) return attachment.error();
  if (attachment->mode == XdpMode::kNone) return false;
  // First who holds it, then our own descriptor of it.
  const std::vector<int> holders = processes_holding_program(attachment->program_id);
  const Result<OurProgram> ours = open_our_program(interface, *attachment);
  if (!ours) return ours.error();
  if (!holders.empty())
    return on(interface,
              "the program is in use by " + list(holders) + "; stop it, or choose another interface");
  BpfMapInfo sockets;
  bool used = false;
  int error = read_map_info(ours->sockets.get(), sockets);
  if (error == 0) error = find_socket(ours->sockets.get(), sockets.entries_max, used);
  if (error != 0)
    return on(interface, std::string("cannot tell whether the program is in use: ") + std::strerror(error) +
                             "; it needs " + kRights);
  if (used)
    return on(interface,
              "the program is in use by a process that this one cannot see (of another container); "
              "stop it, or choose another interface");
  error = detach(*attachment, ours->program);
  if (error != 0)
    return on(interface, std::string("the program that a dead process left cannot be removed: ") +
                             std::strerror(error) + "; try " + off(interface));
  return true;
}

Feature probe_xdp(const std::string& interface) {
  bool up = false;
  const Result<XdpAttachment> attachment = query(interface, up);
  if (!attachment) return missing(attachment.error().text, "name an interface that 'ip link' shows");
  if (!up) return missing(interface + " is down", "ip link set dev " + interface + " up");
  Feature rights = probe_rights();
  if (!rights.present) return rights;
  if (attachment->mode == XdpMode::kNone) return {true, interface + " is up, AF_XDP can be used", ""};
  const Result<OurProgram> ours = open_our_program(interface, *attachment);
  if (!ours) return missing(ours.error().text, "ip link set dev " + interface + " xdp off");
  const std::string what =
      std::string("Trunkline's program is attached (") + xdp_mode_name(attachment->mode) + "): ";
  return {true, interface + " is up, AF_XDP can be used; " + what + "a node's, or left by a killed one", ""};
}

}  // namespace trunkline::io
