// The XDP program in a real kernel: what it takes, what it leaves, and what a killed process leaves behind.
// Two network namespaces, the program on the near end of the veth pair between them, and a minimal AF_XDP
// socket.
#include "io/dpdk/steering/xdp_steering.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/syscall.h>

#include <tuple>

#include "tests/io/namespace_world.h"
#include "tests/io/xdp_user.h"

namespace trunkline::io {
namespace {

constexpr int kSoon_ms = 1000;  // arrives, on a machine that is busy
constexpr int kNever_ms = 50;   // does not arrive

#define NEEDS_WORLD(world)                                    \
  NamespaceWorld world;                                       \
  if (const std::string why = world.make(); !why.empty()) {   \
    GTEST_SKIP() << why;                                      \
  }                                                           \
  if (std::getenv("TRUNKLINE_STEER") == nullptr) {            \
    GTEST_SKIP() << "needs the program: set TRUNKLINE_STEER"; \
  }

// "udp 4 5004" of a frame, for messages and comparisons.
std::string kind_of(const std::string& frame) {
  const auto byte = [&](size_t i) { return i < frame.size() ? static_cast<uint8_t>(frame[i]) : 0u; };
  const bool v4 = byte(12) == 0x08 && byte(13) == 0x00;
  const size_t udp = 14 + (v4 ? (byte(14) & 15) * 4 : 40);
  if (byte(v4 ? 23 : 20) != IPPROTO_UDP) return "not udp";
  return std::string("udp ") + (v4 ? "4 " : "6 ") + std::to_string(byte(udp + 2) * 256 + byte(udp + 3));
}

// Whether a connection to `to` is made; the listener is here, the client in the namespace `from`.
bool connects(const UdpAddress& to, int from) {
  const FileDescriptor listener = open_socket(to, SOCK_STREAM);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  const Inside client_side(from);
  const FileDescriptor client(::socket(to.family == 4 ? AF_INET : AF_INET6, SOCK_STREAM, 0));
  SocketAddress address;
  const socklen_t length = to_socket_address(to, address);
  return ::connect(client.get(), &address.base, length) == 0 && readable(listener.get(), kSoon_ms);
}

class Steering : public ::testing::TestWithParam<uint32_t> {};

TEST_P(Steering, LeavesEverythingToTheKernelWhenTheQueueHasNoSocket) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  const AttachedProgram program("tl0", GetParam());
  if (program.error() != 0) GTEST_SKIP() << "this mode is not there: " << std::strerror(-program.error());
  XdpSteering steering;
  const auto opened = steering.open("tl0");
  ASSERT_TRUE(opened) << opened.error().text;
  EXPECT_STREQ(xdp_mode_name(steering.mode()), GetParam() == XDP_FLAGS_DRV_MODE ? "native" : "generic");
  const UdpAddress ours[] = {at("198.18.7.1:5004"), at("[2001:2:0:7::1]:5004")};
  ASSERT_TRUE(steering.set(ours));

  for (const char* text :
       {"198.18.7.1:5004", "[2001:2:0:7::1]:5004", "198.18.7.1:5005", "[2001:2:0:7::1]:22"}) {
    const FileDescriptor socket = open_socket(at(text), SOCK_DGRAM);
    const Inside far(world.far());
    const FileDescriptor sender = open_socket(at(text[0] == '[' ? "[::]:0" : "0.0.0.0:0"), SOCK_DGRAM);
    send_to(sender, at(text), 100);
    EXPECT_EQ(receive(socket, kSoon_ms), 100u) << text;
  }
  EXPECT_TRUE(connects(at("198.18.7.1:22"), world.far()));
  EXPECT_TRUE(connects(at("[2001:2:0:7::1]:5004"), world.far())) << "TCP to our port's number";
  EXPECT_TRUE(ping(at("198.18.7.2:0")));
  EXPECT_TRUE(ping(at("[2001:2:0:7::2]:0")));
  const auto counts = steering.counts();
  ASSERT_TRUE(counts) << counts.error().text;
  EXPECT_EQ(counts->redirected_packets, 0u);
  EXPECT_EQ(counts->no_socket_packets, 2u);
}

TEST_P(Steering, TakesOurEndpointsAndNothingElse) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  run("ip address add 198.18.7.9/24 dev tl0");
  const AttachedProgram program("tl0", GetParam());
  if (program.error() != 0) GTEST_SKIP() << "this mode is not there: " << std::strerror(-program.error());
  XdpSocket ours("tl0", program.sockets());
  XdpSteering steering;
  ASSERT_TRUE(steering.open("tl0"));
  const UdpAddress binds[] = {at("198.18.7.1:5004"), at("[2001:2:0:7::1]:5004"), at("[::]:6000")};
  ASSERT_TRUE(steering.set(binds));

  struct Row {
    const char* to;
    size_t bytes;
    const char* kind;  // what our socket gets; nullptr: the kernel gets it
  };
  const Row rows[] = {
      {"198.18.7.1:5004", 1200, "udp 4 5004"},    {"[2001:2:0:7::1]:5004", 1200, "udp 6 5004"},
      {"[2001:2:0:7::1]:6000", 20, "udp 6 6000"},  // any address
      {"198.18.7.1:6000", 100, nullptr},           // of IPv6 only
      {"198.18.7.1:5005", 100, nullptr},           // a neighbour in the same word of the bit set
      {"198.18.7.9:5004", 100, nullptr},           // an address that is not ours
      {"[2001:2:0:7::1]:5068", 100, nullptr},     {"198.18.7.1:5004", 4000, nullptr},    // in fragments
      {"[2001:2:0:7::1]:5004", 4000, nullptr},    {"198.18.7.1:5004", 0, "udp 4 5004"},  // and again, empty
  };
  for (const Row& row : rows) {
    const UdpAddress to = at(row.to);
    const FileDescriptor kernels = open_socket(to, SOCK_DGRAM);
    {
      const Inside far(world.far());
      const FileDescriptor sender = open_socket(at(to.family == 6 ? "[::]:0" : "0.0.0.0:0"), SOCK_DGRAM);
      send_to(sender, to, row.bytes);
    }
    const std::string frame = ours.receive(row.kind ? kSoon_ms : 0);
    EXPECT_EQ(frame.empty() ? "" : kind_of(frame), row.kind ? row.kind : "") << row.to;
    if (row.kind != nullptr) {
      EXPECT_EQ(frame.size() - 14 - (to.family == 4 ? 28 : 48), row.bytes) << row.to;
    }
    const auto passed = receive(kernels, row.kind ? kNever_ms : kSoon_ms);
    EXPECT_EQ(passed.has_value(), row.kind == nullptr) << row.to;
  }
  // IPv4 options do not hide a datagram, whatever their length.
  for (const socklen_t bytes : {4u, 20u, 40u}) {
    const Inside far(world.far());
    const FileDescriptor sender = open_socket(at("0.0.0.0:0"), SOCK_DGRAM);
    const std::string no_operation(bytes, '\1');
    ASSERT_EQ(setsockopt(sender.get(), IPPROTO_IP, IP_OPTIONS, no_operation.data(), bytes), 0);
    send_to(sender, at("198.18.7.1:5004"), 100);
    const std::string frame = ours.receive(kSoon_ms);
    EXPECT_EQ(kind_of(frame), "udp 4 5004") << bytes;
    EXPECT_EQ(frame.size(), 14 + 20 + bytes + 8 + 100);
  }
  {
    // ARP, neighbour discovery, ICMP and TCP, from nothing.
    const Inside far(world.far());
    run("ip neigh flush all");
    EXPECT_TRUE(ping(at("198.18.7.1:0")));
    EXPECT_TRUE(ping(at("[2001:2:0:7::1]:0")));
  }
  EXPECT_TRUE(connects(at("198.18.7.1:5004"), world.far()));
  EXPECT_EQ(ours.receive(kNever_ms), "");
  const auto counts = steering.counts();
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->redirected_packets, 7u);
  EXPECT_EQ(counts->no_socket_packets, 0u);
  EXPECT_EQ(counts->fragment_packets, 6u);  // twice 4000 bytes in three
}

TEST_P(Steering, ForgetsWhatIsNoLongerSet) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  const AttachedProgram program("tl0", GetParam());
  if (program.error() != 0) GTEST_SKIP() << "this mode is not there: " << std::strerror(-program.error());
  XdpSocket ours("tl0", program.sockets());
  XdpSteering steering;
  ASSERT_TRUE(steering.open("tl0"));
  // As many as there may be, so that the second set needs the places of the first.
  std::vector<UdpAddress> many;
  for (uint16_t i = 0; i < kMaxSteered; ++i)
    many.push_back(UdpAddress::v4(198, 18, 7, 1, static_cast<uint16_t>(5004 + i)));
  ASSERT_TRUE(steering.set(many));
  many.push_back(at("198.18.7.1:9"));
  const auto refused = steering.set(many);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("at most 256"), std::string::npos) << refused.error().text;

  const auto taken = [&](const char* to) {
    const Inside far(world.far());
    send_to(open_socket(at("0.0.0.0:0"), SOCK_DGRAM), at(to), 10);
    return !ours.receive(100).empty();
  };
  EXPECT_TRUE(taken("198.18.7.1:5004"));
  const UdpAddress other[] = {at("198.18.7.1:7000")};
  ASSERT_TRUE(steering.set(other));
  EXPECT_FALSE(taken("198.18.7.1:5004"));
  EXPECT_TRUE(taken("198.18.7.1:7000"));
  ASSERT_TRUE(steering.clear());
  EXPECT_FALSE(taken("198.18.7.1:7000"));
}

INSTANTIATE_TEST_SUITE_P(Modes, Steering, ::testing::Values(XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE),
                         [](const auto& row) {
                           return std::string(row.param == XDP_FLAGS_DRV_MODE ? "native" : "generic");
                         });

// A process with the program and a socket; says when it is ready. `hidden`: without descriptors of the
// program, as a process that /proc does not show.
class PortProcess {
 public:
  explicit PortProcess(bool hidden) {
    int ready[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      auto* program = new AttachedProgram("tl0", XDP_FLAGS_SKB_MODE);
      const XdpSocket socket("tl0", program->sockets());
      XdpSteering steering;
      const UdpAddress ours[] = {at("198.18.7.1:5004")};
      bool good = steering.open("tl0") && steering.set(ours);
      program->leave();
      if (hidden) {
        steering = {};
        delete program;
      }
      good = ::write(ready[1], good ? "y" : "n", 1) == 1;
      for (;;) ::pause();
    }
    char answer = 0;
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~PortProcess() { kill(); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  int pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST(SteeringLeftover, OfAKilledProcessPassesEverythingAndIsRemoved) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  PortProcess port(false);
  const auto in_use = detach_leftover("tl0");
  ASSERT_FALSE(in_use);
  EXPECT_NE(in_use.error().text.find("in use by process " + std::to_string(port.pid())), std::string::npos)
      << in_use.error().text;

  port.kill();
  const auto left = query_xdp("tl0");
  ASSERT_TRUE(left);
  EXPECT_EQ(left->mode, XdpMode::kGeneric) << "the program belongs to the interface, not to the process";
  EXPECT_EQ(AttachedProgram("tl0", XDP_FLAGS_SKB_MODE).error(), -EBUSY)
      << "and is in the way of the next start";
  const FileDescriptor kernels = open_socket(at("198.18.7.1:5004"), SOCK_DGRAM);
  {
    const Inside far(world.far());
    send_to(open_socket(at("0.0.0.0:0"), SOCK_DGRAM), at("198.18.7.1:5004"), 10);
  }
  EXPECT_EQ(receive(kernels, kSoon_ms), 10u);

  const auto removed = detach_leftover("tl0");
  ASSERT_TRUE(removed) << removed.error().text;
  EXPECT_TRUE(*removed);
  EXPECT_EQ(query_xdp("tl0")->mode, XdpMode::kNone);
  const auto again = detach_leftover("tl0");
  ASSERT_TRUE(again);
  EXPECT_FALSE(*again);
}

TEST(SteeringLeftover, WithASocketOfAProcessThatIsNotSeenStays) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  PortProcess port(true);
  const auto in_use = detach_leftover("tl0");
  ASSERT_FALSE(in_use);
  EXPECT_NE(in_use.error().text.find("cannot see"), std::string::npos) << in_use.error().text;
  EXPECT_EQ(query_xdp("tl0")->mode, XdpMode::kGeneric);
  port.kill();
  const auto removed = detach_leftover("tl0");
  ASSERT_TRUE(removed) << removed.error().text;
  EXPECT_TRUE(*removed);
}

TEST(SteeringLeftover, OfSomebodyElseStays) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  const FileDescriptor other = bpf_make_pass_program();
  ASSERT_TRUE(other) << std::strerror(errno);
  const int index = static_cast<int>(::if_nametoindex("tl0"));
  ASSERT_EQ(bpf_xdp_attach(index, other.get(), XDP_FLAGS_SKB_MODE, nullptr), 0);
  const auto refused = detach_leftover("tl0");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("another program"), std::string::npos) << refused.error().text;
  EXPECT_NE(refused.error().text.find("ip link set dev tl0 xdp off"), std::string::npos)
      << refused.error().text;
  EXPECT_FALSE(XdpSteering().open("tl0"));
  EXPECT_FALSE(probe_xdp("tl0").present);
  EXPECT_EQ(query_xdp("tl0")->mode, XdpMode::kGeneric);
}

// The rights that a service is given; neither CAP_SYS_ADMIN nor CAP_PERFMON is among them.
bool keep_four_rights() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (const int right : {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_IPC_LOCK})
    data[right / 32].effective |= 1u << (right % 32);
  for (auto& word : data) word.permitted = word.effective;
  return ::syscall(SYS_capset, &header, data) == 0;
}

TEST(SteeringRights, FourAreEnoughForAPortAndItsProgram) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  const pid_t child = ::fork();
  if (child == 0) {
    if (!keep_four_rights()) ::_exit(1);
    const AttachedProgram program("tl0", XDP_FLAGS_SKB_MODE);
    if (program.error() != 0) ::_exit(2);
    const XdpSocket socket("tl0", program.sockets());
    XdpSteering steering;
    const UdpAddress ours[] = {at("198.18.7.1:5004")};
    const auto opened = steering.open("tl0");
    if (!opened) std::printf("%s\n", opened.error().text.c_str());
    ::_exit(!opened ? 3 : !steering.set(ours) ? 4 : !steering.counts() ? 5 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // The program is still there: nobody detached it. Without CAP_SYS_ADMIN it cannot be told whose it is.
  const pid_t second = ::fork();
  if (second == 0) {
    if (!keep_four_rights()) ::_exit(1);
    const auto left = detach_leftover("tl0");
    ::_exit(!left && left.error().text.find("CAP_SYS_ADMIN") != std::string::npos ? 0 : 2);
  }
  ::waitpid(second, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const auto removed = detach_leftover("tl0");
  ASSERT_TRUE(removed) << removed.error().text;
  EXPECT_TRUE(*removed);
}

TEST(SteeringProbe, SaysWhatIsThereAndWhatToDo) {
  NEEDS_WORLD(world);
  const Inside near(world.near());
  EXPECT_TRUE(probe_xdp("tl0").present) << probe_xdp("tl0").detail;
  EXPECT_EQ(query_xdp("tl0")->mode, XdpMode::kNone) << "a probe attaches nothing";
  const Feature absent = probe_xdp("tl7");
  EXPECT_FALSE(absent.present);
  EXPECT_NE(absent.detail.find("no such interface"), std::string::npos) << absent.detail;
  run("ip link set tl0 down");
  const Feature down = probe_xdp("tl0");
  EXPECT_FALSE(down.present);
  EXPECT_EQ(down.remedy, "ip link set dev tl0 up");
  const auto nothing = XdpSteering().open("tl0");
  ASSERT_FALSE(nothing);
  EXPECT_NE(nothing.error().text.find("no program is attached"), std::string::npos) << nothing.error().text;
}

}  // namespace
}  // namespace trunkline::io
