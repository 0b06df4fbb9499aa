// See reserved_ports.h.
#include "io/dpdk/steering/reserved_ports.h"

#include <dirent.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace trunkline::io {
namespace {

using core::Error;
using core::Result;
using core::UdpAddress;

constexpr uint32_t kReceiveBufferBytes =
    1;                                // as little as there is: the kernel makes it its minimum, some 2 KiB
constexpr int kDatagramsAtMost = 64;  // may arrive between bind and filter; more than the buffer holds

// Keeps 0 bytes of every datagram, which is to drop it.
bool drop_everything(int fd) {
  sock_filter keep_nothing{BPF_RET | BPF_K, 0, 0, 0};
  const sock_fprog program{1, &keep_nothing};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

struct FileCloser {
  std::FILE* file;
  ~FileCloser() {
    if (file != nullptr) std::fclose(file);
  }
};

// An address as /proc/net/udp writes it: 32-bit words in hexadecimal, each as this machine would print it.
bool parse_local(const char* text, uint16_t family, UdpAddress& out) {
  out = {};
  out.family = family;
  for (int word = 0; word < (family == 4 ? 1 : 4); ++word, text += 8) {
    unsigned value = 0;
    if (std::sscanf(text, "%8x", &value) != 1) return false;
    std::memcpy(out.ip + 4 * word, &value, 4);
  }
  unsigned port = 0;
  if (std::sscanf(text, ":%4x", &port) != 1) return false;
  out.port = static_cast<uint16_t>(port);
  return true;
}

// Whether the kernel lets `wanted` not be bound beside `held`. A socket on [::] may hold IPv4 as well; /proc
// does not say whether it does.
bool collide(const UdpAddress& wanted, const UdpAddress& held) {
  if (wanted.port != held.port) return false;
  if (held.family == 6 && held.is_unspecified()) return true;
  if (wanted.family != held.family) return false;
  return wanted == held || wanted.is_unspecified() || held.is_unspecified();
}

// The inodes of sockets that are in the way.
void find_sockets(const char* path, uint16_t family, const UdpAddress& wanted,
                  std::vector<unsigned long>& out) {
  const FileCloser table{std::fopen(path, "re")};
  char line[512];
  while (table.file != nullptr && std::fgets(line, sizeof line, table.file) != nullptr) {
    // sl, local address, remote, state, queues, timer, retransmissions, user, timeout, inode
    char local[64];
    unsigned long inode = 0;
    UdpAddress held;
    if (std::sscanf(line, " %*[^:]: %63s %*s %*s %*s %*s %*s %*s %*s %lu", local, &inode) == 2 &&
        parse_local(local, family, held) && collide(wanted, held))
      out.push_back(inode);
  }
}

bool holds(const char* process, const std::vector<unsigned long>& inodes) {
  const std::string directory = std::string("/proc/") + process + "/fd";
  DIR* descriptors = ::opendir(directory.c_str());
  if (descriptors == nullptr) return false;
  bool found = false;
  while (const dirent* entry = found ? nullptr : ::readdir(descriptors)) {
    char target[64];
    const ssize_t length = ::readlink((directory + "/" + entry->d_name).c_str(), target, sizeof target - 1);
    if (length <= 0) continue;
    target[length] = 0;
    unsigned long inode = 0;
    if (std::sscanf(target, "socket:[%lu]", &inode) != 1) continue;
    for (const unsigned long wanted : inodes) found = found || wanted == inode;
  }
  ::closedir(descriptors);
  return found;
}

std::string name_of(const char* process) {
  const FileCloser file{std::fopen((std::string("/proc/") + process + "/comm").c_str(), "re")};
  char name[64] = "";
  if (file.file == nullptr || std::fgets(name, sizeof name, file.file) == nullptr) return "";
  name[std::strcspn(name, "\n")] = 0;
  return name;
}

}  // namespace

std::string udp_holder(const UdpAddress& address) {
  std::vector<unsigned long> inodes;
  find_sockets("/proc/thread-self/net/udp", 4, address, inodes);
  find_sockets("/proc/thread-self/net/udp6", 6, address, inodes);
  if (inodes.empty()) return "";
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return "";
  std::string text;
  int count = 0;
  while (const dirent* entry = ::readdir(processes)) {
    if (std::strspn(entry->d_name, "0123456789") != std::strlen(entry->d_name)) continue;
    if (!holds(entry->d_name, inodes)) continue;
    const std::string name = name_of(entry->d_name);
    text += (count++ == 0 ? "" : ", ") + std::string(entry->d_name) + (name.empty() ? "" : " (" + name + ")");
  }
  ::closedir(processes);
  if (count == 0) return "";
  return (count == 1 ? "process " : "processes ") + text;
}

Result<UdpAddress> ReservedPorts::reserve(const UdpAddress& address, core::Nanos patience) {
  EndpointOptions options;
  options.bind = address;
  options.receive_buffer_bytes = options.send_buffer_bytes = kReceiveBufferBytes;
  options.gro = false;
  options.patience = patience;
  Result<UdpSocket> socket = open_udp_socket(options);
  if (!socket) {
    const std::string holder = address.port == 0 ? "" : udp_holder(address);
    if (holder.empty()) return socket.error();
    return Error{0, "cannot reserve UDP port " + std::to_string(address.port) + " (" + address.to_string() +
                        "): it is in use by " + holder + "; stop it, or choose another port"};
  }
  const int fd = socket->fd.get();
  if (!drop_everything(fd))
    return Error{0, "cannot reserve UDP " + address.to_string() +
                        ": no filter on its socket: " + std::strerror(errno) + "; raise net.core.optmem_max"};
  char byte = 0;
  for (int i = 0; i < kDatagramsAtMost && ::recv(fd, &byte, 1, MSG_DONTWAIT) >= 0; ++i) {
  }
  sockets_.push_back(std::move(socket->fd));
  return socket->address;
}

}  // namespace trunkline::io
