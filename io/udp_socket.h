// One UDP socket as every socket port wants it: unconnected, never fragmenting, with buffers as
// large as the kernel grants, and a refusal that tells the operator what to do.
//
// Owned by the port that opened it. Opening is control path (it may allocate and it makes system calls); the
// conversions between core::UdpAddress and sockaddr are data path: no call, no allocation, some 5 ns each.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"
#include "core/udp_address.h"
#include "io/port.h"

namespace trunkline::io {

// A sockaddr of either family, without the 128 bytes of sockaddr_storage: arrays of them stay in the cache.
union SocketAddress {
  sockaddr base;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// Returns the length to hand to the kernel. Contract: address.family is 4 or 6.
socklen_t to_socket_address(const core::UdpAddress& address, SocketAddress& out) noexcept;
// False for a family other than IPv4 and IPv6; `out` is then the unset address.
bool from_socket_address(const SocketAddress& address, core::UdpAddress& out) noexcept;

// Owns a file descriptor; -1 is none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { reset(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();

 private:
  int fd_ = -1;
};

struct UdpSocket {
  FileDescriptor fd;
  core::UdpAddress address;  // as bound, with the port the kernel chose
  uint32_t receive_buffer_bytes =
      0;                           // granted; the kernel doubles what is asked and charges its own overhead
  uint32_t send_buffer_bytes = 0;  // granted
  bool gro = false;                // UDP_GRO was asked for and accepted
  bool gso = false;                // the kernel knows UDP_SEGMENT
};

// io_uring reads O_NONBLOCK as "fail rather than wait for me", so its sockets must block.
enum class SocketMode : uint8_t { kNonBlocking, kBlocking };

// Opens and binds. The error names the address, the cause and the remedy.
core::Result<UdpSocket> open_udp_socket(const EndpointOptions& options,
                                        SocketMode mode = SocketMode::kNonBlocking);

// "3 endpoints, GRO yes, GSO yes, socket buffers 4096 KiB in and 4096 KiB out": the least of what was
// granted.
std::string describe_sockets(std::span<const UdpSocket> sockets, bool gso_in_use);

// "cannot open UDP 198.18.0.1:5004: the address already in use: ..." for an errno of socket() or bind().
std::string explain_socket_error(const core::UdpAddress& address, int error);

}  // namespace trunkline::io
