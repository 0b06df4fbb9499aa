// See udp_socket.h. Order of this file: options, conversions, what to tell the operator, opening.
#include "io/udp_socket.h"

#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // Linux 4.18; older headers lack the name
#endif
#ifndef UDP_GRO
#define UDP_GRO 104  // Linux 5.0; older headers lack the name
#endif

namespace trunkline::io {
namespace {

using core::Error;
using core::Result;
using core::UdpAddress;

constexpr core::Nanos kBindPause = core::from_ms(5);  // between two tries for an address in use

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

// Asks for `bytes` past the system's limit (needs CAP_NET_ADMIN), then up to it. Returns what was granted.
uint32_t size_buffer(int fd, int forced_name, int name, uint32_t bytes) {
  const int wanted = static_cast<int>(std::min<uint32_t>(bytes, 1u << 30));
  if (!set_option(fd, SOL_SOCKET, forced_name, wanted)) set_option(fd, SOL_SOCKET, name, wanted);
  int granted = 0;
  socklen_t size = sizeof granted;
  if (getsockopt(fd, SOL_SOCKET, name, &granted, &size) != 0) return 0;
  return static_cast<uint32_t>(granted / 2);  // socket(7): the kernel reports the doubled value
}

// DF on every datagram, and no look at the path-MTU cache: a forged ICMP "fragmentation needed" cannot shrink
// what we send. A datagram over the device's MTU is refused with EMSGSIZE, which the port counts.
bool forbid_fragments(int fd, uint16_t family) {
  return family == 4 ? set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
                     : set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
}

Error refusal(const UdpAddress& address, int error) {
  return Error{0, explain_socket_error(address, error)};
}

}  // namespace

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

socklen_t to_socket_address(const UdpAddress& address, SocketAddress& out) noexcept {
  if (address.family == 4) {
    out.v4 = {};
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(address.port);
    std::memcpy(&out.v4.sin_addr, address.ip, 4);
    return sizeof out.v4;
  }
  out.v6 = {};
  out.v6.sin6_family = AF_INET6;
  out.v6.sin6_port = htons(address.port);
  std::memcpy(&out.v6.sin6_addr, address.ip, 16);
  return sizeof out.v6;
}

bool from_socket_address(const SocketAddress& address, UdpAddress& out) noexcept {
  out = {};
  if (address.base.sa_family == AF_INET) {
    out.family = 4;
    out.port = ntohs(address.v4.sin_port);
    std::memcpy(out.ip, &address.v4.sin_addr, 4);
    return true;
  }
  if (address.base.sa_family == AF_INET6) {
    out.family = 6;
    out.port = ntohs(address.v6.sin6_port);
    std::memcpy(out.ip, &address.v6.sin6_addr, 16);
    return true;
  }
  return false;
}

std::string explain_socket_error(const UdpAddress& address, int error) {
  std::string text = "cannot open UDP " + address.to_string() + ": ";
  switch (error) {
    case EADDRINUSE:
      return text + "the address is in use; stop what holds it (ss -ulpn shows it), or choose another port";
    case EADDRNOTAVAIL:
      return text +
             "no interface of this host has that address; 'ip address' lists those it has, and 0.0.0.0 "
             "or [::] takes all of them";
    case EACCES:
      return text +
             "permission denied; ports below net.ipv4.ip_unprivileged_port_start (1024) need "
             "CAP_NET_BIND_SERVICE, or choose a higher port";
    case EAFNOSUPPORT:
      return text +
             "this host has no such address family; IPv6 may be disabled (sysctl "
             "net.ipv6.conf.all.disable_ipv6), use an IPv4 address instead";
    case EMFILE:
    case ENFILE:
      return text + "too many open files; raise the limit (ulimit -n) above the number of endpoints";
    default:
      return text + std::strerror(error);
  }
}

std::string describe_sockets(std::span<const UdpSocket> sockets, bool gso_in_use) {
  std::string text = std::to_string(sockets.size()) + (sockets.size() == 1 ? " endpoint" : " endpoints");
  if (sockets.empty()) return text;
  bool gro = true;
  uint32_t receive_bytes = UINT32_MAX;
  uint32_t send_bytes = UINT32_MAX;
  for (const UdpSocket& socket : sockets) {
    gro = gro && socket.gro;
    receive_bytes = std::min(receive_bytes, socket.receive_buffer_bytes);
    send_bytes = std::min(send_bytes, socket.send_buffer_bytes);
  }
  return text + ", GRO " + (gro ? "yes" : "no") + ", GSO " + (gso_in_use ? "yes" : "no") +
         ", socket buffers " + std::to_string(receive_bytes >> 10) + " KiB in and " +
         std::to_string(send_bytes >> 10) + " KiB out";
}

Result<UdpSocket> open_udp_socket(const EndpointOptions& options, SocketMode mode) {
  const UdpAddress& wanted = options.bind;
  if (wanted.family != 4 && wanted.family != 6)
    return Error{0, "cannot open a UDP endpoint: no address given; name an IPv4 or IPv6 address to bind to"};

  UdpSocket socket;
  const int domain = wanted.family == 4 ? AF_INET : AF_INET6;
  const int type = SOCK_DGRAM | SOCK_CLOEXEC | (mode == SocketMode::kNonBlocking ? SOCK_NONBLOCK : 0);
  socket.fd = FileDescriptor(::socket(domain, type, IPPROTO_UDP));
  if (!socket.fd) return refusal(wanted, errno);
  const int fd = socket.fd.get();

  // Each family has its own socket, so an IPv6 one must not take the IPv4 port as well.
  if (wanted.family == 6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) return refusal(wanted, errno);
  if (!forbid_fragments(fd, wanted.family)) return refusal(wanted, errno);
  socket.receive_buffer_bytes = size_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer_bytes);
  socket.send_buffer_bytes = size_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_buffer_bytes);
  socket.gro = options.gro && set_option(fd, SOL_UDP, UDP_GRO, 1);

  int segment = 0;
  socklen_t segment_size = sizeof segment;
  socket.gso = getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &segment_size) == 0;

  SocketAddress address;
  const socklen_t length = to_socket_address(wanted, address);
  int64_t tries = 1 + options.patience.ns / kBindPause.ns;
  while (::bind(fd, &address.base, length) != 0) {
    if (errno != EADDRINUSE || --tries <= 0) return refusal(wanted, errno);
    ::usleep(static_cast<useconds_t>(kBindPause.us()));
  }
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.base, &size) != 0) return refusal(wanted, errno);
  from_socket_address(address, socket.address);
  return socket;
}

}  // namespace trunkline::io
