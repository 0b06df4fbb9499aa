// Network namespaces for tests: a near one and a far one, joined by a veth pair, and the questions that tests
// ask of them.
//
// Namespaces have no name: they live as long as a descriptor or a process of the test, so that even a killed
// test leaves none behind. One thread. Needs root and iproute2; whoever cannot have them skips with the
// reason.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "core/udp_address.h"
#include "io/udp_socket.h"

namespace trunkline::io {

using core::UdpAddress;

inline FileDescriptor this_namespace() {
  return FileDescriptor(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

// Inside its scope new sockets and processes of this thread belong to the namespace.
class Inside {
 public:
  explicit Inside(int namespace_fd) : home_(this_namespace()) {
    EXPECT_EQ(::setns(namespace_fd, CLONE_NEWNET), 0) << std::strerror(errno);
  }
  ~Inside() { EXPECT_EQ(::setns(home_.get(), CLONE_NEWNET), 0) << std::strerror(errno); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  FileDescriptor home_;
};

inline void run(const std::string& command) {
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

// near: `tl0`, 198.18.7.1 and 2001:2:0:7::1, our side. far: `tl1`, .2 and ::2.
class NamespaceWorld {
 public:
  // Empty when the world is there, else why it cannot be.
  std::string make() {
    if (::geteuid() != 0) return "needs root: it makes network namespaces";
    if (std::system("ip -V >/dev/null 2>&1") != 0) return "needs iproute2: apt-get install iproute2";
    const FileDescriptor home = this_namespace();
    for (FileDescriptor* made : {&near_, &far_}) {
      if (::unshare(CLONE_NEWNET) != 0)
        return std::string("needs network namespaces: ") + std::strerror(errno);
      *made = this_namespace();
      run("ip link set lo up");
    }
    // Still in the far one. No duplicate address detection: addresses work at once.
    const std::string near_path =
        "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(near_.get());
    const int added =
        std::system(("ip link add tl1 type veth peer name tl0 netns " + near_path + " 2>/dev/null").c_str());
    if (added == 0) {
      run("echo 0 >/proc/sys/net/ipv6/conf/tl1/accept_dad");
      run("ip address add 198.18.7.2/24 dev tl1 && ip address add 2001:2:0:7::2/64 dev tl1 nodad");
      run("ip link set tl1 up");
      const Inside near(near_.get());
      run("echo 0 >/proc/sys/net/ipv6/conf/tl0/accept_dad");
      run("ip address add 198.18.7.1/24 dev tl0 && ip address add 2001:2:0:7::1/64 dev tl0 nodad");
      run("ip link set tl0 up");
    }
    if (added == 0) {
      wait_until_up(near_.get(), "tl0");
      wait_until_up(far_.get(), "tl1");
    }
    EXPECT_EQ(::setns(home.get(), CLONE_NEWNET), 0);
    return added == 0 ? "" : "needs veth devices";
  }
  int near() const { return near_.get(); }
  int far() const { return far_.get(); }

 private:
  // The kernel notices a carrier up to a second late, and until then the interface sends nothing and IPv6 on
  // it does not hear multicast: what is asked for before that is lost, and repeated only after another
  // second.
  static void wait_until_up(int namespace_fd, const std::string& interface) {
    const Inside there(namespace_fd);
    const std::string is_up = "ip link show dev " + interface +
                              " | grep -q 'state UP' && ip -6 route show table all dev " + interface +
                              " | grep -q ^multicast";
    for (int tries = 0; tries < 500; ++tries) {
      if (std::system(is_up.c_str()) == 0) return;
      ::usleep(10'000);
    }
    ADD_FAILURE() << interface << " is not up";
  }

  FileDescriptor near_, far_;
};

inline UdpAddress at(std::string_view text) {
  const auto address = UdpAddress::parse(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(UdpAddress{});
}

// A bound socket that the test reads or sends from.
inline FileDescriptor open_socket(const UdpAddress& bind, int type) {
  FileDescriptor made(::socket(bind.family == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0));
  SocketAddress address;
  const socklen_t length = to_socket_address(bind, address);
  EXPECT_EQ(::bind(made.get(), &address.base, length), 0) << bind.to_string() << ": " << std::strerror(errno);
  return made;
}

inline void send_to(const FileDescriptor& socket, const UdpAddress& to, size_t bytes) {
  const std::string payload(bytes, 'x');
  SocketAddress address;
  const socklen_t length = to_socket_address(to, address);
  EXPECT_EQ(::sendto(socket.get(), payload.data(), bytes, 0, &address.base, length),
            static_cast<ssize_t>(bytes))
      << to.to_string() << ": " << std::strerror(errno);
}

inline bool readable(int fd, int limit_ms) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, limit_ms) == 1 && (one.revents & POLLIN) != 0;
}

// The size of the next datagram, nothing when none comes within the limit.
inline std::optional<size_t> receive(const FileDescriptor& socket, int limit_ms) {
  if (!readable(socket.get(), limit_ms)) return std::nullopt;
  char bytes[9000];
  const ssize_t got = ::recv(socket.get(), bytes, sizeof bytes, 0);
  return got < 0 ? std::nullopt : std::optional<size_t>(static_cast<size_t>(got));
}

// Whether an echo request is answered within a second. The port of `to` is not used.
inline bool ping(const UdpAddress& to) {
  const bool v4 = to.family == 4;
  const FileDescriptor raw(::socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
                                    v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}));
  uint16_t request[4] = {htons(static_cast<uint16_t>(v4 ? ICMP_ECHO << 8 : ICMP6_ECHO_REQUEST << 8)), 0,
                         0x1234, 1};
  uint32_t sum = 0;
  for (const uint16_t word : request) sum += word;
  request[1] = static_cast<uint16_t>(~(sum + (sum >> 16)));  // RFC 792; for IPv6 the kernel replaces it
  SocketAddress address;
  UdpAddress host = to;
  host.port = 0;
  const socklen_t length = to_socket_address(host, address);
  if (::sendto(raw.get(), request, sizeof request, 0, &address.base, length) < 0) return false;
  for (int tries = 0; tries < 20 && readable(raw.get(), 1000); ++tries) {
    uint8_t answer[256];
    const ssize_t got = ::recv(raw.get(), answer, sizeof answer, 0);
    const size_t skip = v4 ? 20 : 0;
    if (got > static_cast<ssize_t>(skip) && answer[skip] == (v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY))
      return true;
  }
  return false;
}

}  // namespace trunkline::io
