// Reserved ports: nobody else gets them, nobody is told that they are closed, and what arrives costs nothing.
#include "io/dpdk/steering/reserved_ports.h"

#include <signal.h>

#include <cstdio>

#include "tests/io/namespace_world.h"

namespace trunkline::io {
namespace {

// The errno of binding an address, 0 when it works.
int try_to_bind(const UdpAddress& wanted) {
  const FileDescriptor made(::socket(wanted.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketAddress address;
  const socklen_t length = to_socket_address(wanted, address);
  return ::bind(made.get(), &address.base, length) == 0 ? 0 : errno;
}

// What happens to who sends to an address: the errno of the next call on its connected socket, 0 when there
// is none within the limit.
int answer_to(const UdpAddress& to, int limit_ms) {
  const FileDescriptor sender(::socket(to.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketAddress address;
  const socklen_t length = to_socket_address(to, address);
  EXPECT_EQ(::connect(sender.get(), &address.base, length), 0);
  EXPECT_EQ(::send(sender.get(), "hello", 5, 0), 5);
  pollfd one{sender.get(), POLLIN, 0};
  if (::poll(&one, 1, limit_ms) == 0) return 0;
  char byte = 0;
  return ::recv(sender.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

// What waits in the socket of a port, as /proc tells it; -1 when there is none.
long queued_bytes(uint16_t port) {
  std::FILE* table = std::fopen("/proc/thread-self/net/udp", "r");
  char line[512];
  long bytes = -1;
  while (table != nullptr && std::fgets(line, sizeof line, table) != nullptr) {
    unsigned local = 0;
    unsigned long queue = 0;
    if (std::sscanf(line, " %*[^:]: %*8x:%4x %*s %*s %*8x:%8lx", &local, &queue) == 2 && local == port)
      bytes = static_cast<long>(queue);
  }
  if (table != nullptr) std::fclose(table);
  return bytes;
}

TEST(ReservedPorts, CanBeBoundByNobodyElse) {
  NamespaceWorld world;
  if (const std::string why = world.make(); !why.empty()) GTEST_SKIP() << why;
  const Inside near(world.near());
  ReservedPorts ports;
  for (const char* text : {"198.18.7.1:5004", "[2001:2:0:7::1]:5004"}) {
    const auto reserved = ports.reserve(at(text));
    ASSERT_TRUE(reserved) << reserved.error().text;
    EXPECT_EQ(*reserved, at(text));
    EXPECT_EQ(try_to_bind(at(text)), EADDRINUSE);
  }
  EXPECT_EQ(try_to_bind(at("0.0.0.0:5004")), EADDRINUSE);
  EXPECT_EQ(try_to_bind(at("[::]:5004")), EADDRINUSE);
  EXPECT_EQ(try_to_bind(at("127.0.0.1:5004")), 0) << "another address is another matter";
  EXPECT_EQ(try_to_bind(at("198.18.7.1:5005")), 0);

  const auto chosen = ports.reserve(at("198.18.7.1:0"));
  ASSERT_TRUE(chosen);
  EXPECT_NE(chosen->port, 0);
  EXPECT_EQ(try_to_bind(*chosen), EADDRINUSE);
  ports.release();
  EXPECT_EQ(try_to_bind(at("0.0.0.0:5004")), 0);
}

TEST(ReservedPorts, SayWhoHasThemAlready) {
  NamespaceWorld world;
  if (const std::string why = world.make(); !why.empty()) GTEST_SKIP() << why;
  const Inside near(world.near());
  for (const char* held : {"198.18.7.1:5004", "0.0.0.0:5004", "[::]:5004"}) {
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    const pid_t holder = ::fork();
    if (holder == 0) {
      const FileDescriptor socket = open_socket(at(held), SOCK_DGRAM);
      if (::write(ready[1], "y", 1) == 1)
        for (;;) ::pause();
      ::_exit(1);
    }
    char answer = 0;
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    ReservedPorts ports;
    const auto refused = ports.reserve(at("198.18.7.1:5004"));
    EXPECT_FALSE(refused) << held;
    if (!refused) {
      EXPECT_NE(refused.error().text.find("UDP port 5004"), std::string::npos) << refused.error().text;
      EXPECT_NE(refused.error().text.find("in use by process " + std::to_string(holder) + " ("),
                std::string::npos)
          << refused.error().text;
    }
    ::kill(holder, SIGKILL);
    ::waitpid(holder, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    EXPECT_TRUE(ports.reserve(at("198.18.7.1:5004"))) << "after " << held;
  }
  ReservedPorts ports;
  const auto foreign = ports.reserve(at("198.18.7.200:5004"));
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().text.find("no interface of this host has that address"), std::string::npos)
      << foreign.error().text;
}

TEST(ReservedPorts, AnswerNobodyAndKeepNothing) {
  NamespaceWorld world;
  if (const std::string why = world.make(); !why.empty()) GTEST_SKIP() << why;
  const Inside near(world.near());
  // So that the kernel's limits of ICMP are not what keeps it silent.
  run("cd /proc/sys/net && echo 0 >ipv4/icmp_ratemask && echo >ipv6/icmp/ratemask");
  ReservedPorts ports;
  ASSERT_TRUE(ports.reserve(at("198.18.7.1:5004")));
  ASSERT_TRUE(ports.reserve(at("[2001:2:0:7::1]:5004")));
  {
    const Inside far(world.far());
    for (const char* host : {"198.18.7.1", "[2001:2:0:7::1]"}) {
      EXPECT_EQ(answer_to(at(std::string(host) + ":5005"), 2000), ECONNREFUSED)
          << host << ": what a closed port answers";
      EXPECT_EQ(answer_to(at(std::string(host) + ":5004"), 100), 0);
    }
    const FileDescriptor sender = open_socket(at("0.0.0.0:0"), SOCK_DGRAM);
    for (int i = 0; i < 100; ++i) send_to(sender, at("198.18.7.1:5004"), 1000);
  }
  EXPECT_EQ(queued_bytes(5004), 0);
}

}  // namespace
}  // namespace trunkline::io
