// See system_probe.h. Order of this file: sockets, then the machine. The io_uring probes are in
// uring_probe.cc.
#include "io/system_probe.h"

#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "io/udp_socket.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // Linux 4.18
#endif
#ifndef UDP_GRO
#define UDP_GRO 104  // Linux 5.0
#endif

namespace trunkline::io {
namespace {

// First line of a file under /proc or /sys, empty when there is none.
std::string first_line(const char* path) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return {};
  char line[4096];
  const bool read = std::fgets(line, sizeof line, file) != nullptr;
  std::fclose(file);
  if (!read) return {};
  line[std::strcspn(line, "\n")] = '\0';
  return line;
}

uint64_t number_in(const char* path) {
  uint64_t value = 0;
  const std::string line = first_line(path);
  for (const char c : line) {
    if (c < '0' || c > '9') break;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// Whether the flags of the first processor in /proc/cpuinfo have the word.
bool cpu_has(const char* flag) {
  std::FILE* file = std::fopen("/proc/cpuinfo", "re");
  if (file == nullptr) return false;
  char line[8192];
  bool found = false;
  for (int i = 0; i < 64 && std::fgets(line, sizeof line, file) != nullptr; ++i) {
    if (std::strncmp(line, "flags", 5) != 0) continue;
    found = std::strstr(line, flag) != nullptr;
    break;
  }
  std::fclose(file);
  return found;
}

// A run of four datagrams from one socket to another over loopback, in one send.
struct LoopbackRun {
  static constexpr uint16_t kSegment = 200;
  static constexpr uint32_t kCount = 4;
  std::string error;        // of a step, empty when all went well
  uint32_t first_size = 0;  // what the first receive returned
  int gro_size = 0;         // and its control message, 0 when absent
};

std::string failed(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

bool send_run(int fd, const core::UdpAddress& to) {
  char bytes[LoopbackRun::kSegment * LoopbackRun::kCount] = {};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
  SocketAddress address;
  iovec payload{bytes, sizeof bytes};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = to_socket_address(to, address);
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const uint16_t segment = LoopbackRun::kSegment;
  std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
  return sendmsg(fd, &message, MSG_DONTWAIT) == static_cast<ssize_t>(sizeof bytes);
}

LoopbackRun loopback_run(bool gro) {
  LoopbackRun run;
  EndpointOptions options;
  options.bind = core::UdpAddress::v4(127, 0, 0, 1, 0);
  options.gro = gro;
  core::Result<UdpSocket> sender = open_udp_socket(options);
  core::Result<UdpSocket> receiver = open_udp_socket(options);
  if (!sender || !receiver) {
    run.error = sender ? receiver.error().text : sender.error().text;
    return run;
  }
  if (gro && !receiver->gro) {
    run.error = "the kernel refuses UDP_GRO";
    return run;
  }
  if (!send_run(sender->fd.get(), receiver->address)) {
    run.error = failed("sending with UDP_SEGMENT");
    return run;
  }
  pollfd ready{receiver->fd.get(), POLLIN, 0};
  ::poll(&ready, 1, 100);  // loopback delivers within the send; the wait is for a busy machine

  char bytes[2048];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec payload{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(receiver->fd.get(), &message, MSG_DONTWAIT);
  if (size < 0) {
    run.error = failed("receiving from myself over loopback");
    return run;
  }
  run.first_size = static_cast<uint32_t>(size);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
      std::memcpy(&run.gro_size, CMSG_DATA(c), sizeof(int));
  return run;
}

}  // namespace

Feature probe_udp_socket() {
  EndpointOptions options;
  options.bind = core::UdpAddress::v4(127, 0, 0, 1, 0);
  const core::Result<UdpSocket> opened = open_udp_socket(options);
  if (opened) return {true, "can be opened and bound", {}};
  return {false, opened.error().text,
          "raise the limit of open files (ulimit -n), and allow socket() in the container's profile"};
}

Feature probe_udp_gso() {
  const LoopbackRun run = loopback_run(false);
  const char* remedy = "needs Linux 4.18 or later; without it every datagram is a send of its own";
  if (!run.error.empty()) return {false, run.error, remedy};
  if (run.first_size != LoopbackRun::kSegment) return {false, "a run was not split into datagrams", remedy};
  return {true, "a run of datagrams leaves in one send", {}};
}

Feature probe_udp_gro() {
  const LoopbackRun run = loopback_run(true);
  const char* remedy = "needs Linux 5.0 or later; without it every datagram is received by itself";
  if (!run.error.empty()) return {false, run.error, remedy};
  if (run.gro_size != LoopbackRun::kSegment || run.first_size != LoopbackRun::kSegment * LoopbackRun::kCount)
    return {false, "a run arrived as single datagrams", remedy};
  return {true, "a run of datagrams arrives in one receive", {}};
}

Feature probe_receive_buffer() {
  constexpr uint32_t kWanted = 4u << 20;  // EndpointOptions::receive_buffer_bytes
  EndpointOptions options;
  options.bind = core::UdpAddress::v4(127, 0, 0, 1, 0);
  options.receive_buffer_bytes = kWanted;
  const core::Result<UdpSocket> socket = open_udp_socket(options);
  if (!socket) return {false, socket.error().text, {}};
  const std::string granted = std::to_string(socket->receive_buffer_bytes >> 10) +
                              " KiB per socket (net.core.rmem_max " +
                              std::to_string(number_in("/proc/sys/net/core/rmem_max") >> 10) + " KiB)";
  if (socket->receive_buffer_bytes >= kWanted) return {true, granted, {}};
  return {false, granted, "sysctl -w net.core.rmem_max=" + std::to_string(kWanted)};
}

Feature probe_huge_pages() {
  const uint64_t total = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
  const uint64_t free_pages = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  const std::string detail =
      std::to_string(free_pages) + " of " + std::to_string(total) + " pages of 2 MiB free";
  if (free_pages != 0) return {true, detail, {}};
  return {false, detail, "sysctl -w vm.nr_hugepages=128"};
}

Feature probe_memlock() {
  constexpr rlim_t kEnough = 64u << 20;
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {true, "unlimited", {}};
  const std::string detail = std::to_string(limit.rlim_cur >> 10) + " KiB";
  if (limit.rlim_cur >= kEnough) return {true, detail, {}};
  return {false, detail, "ulimit -l unlimited (or LimitMEMLOCK=infinity in the service)"};
}

Feature probe_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {false, failed("sched_getaffinity"), {}};
  const int count = CPU_COUNT(&set);
  const std::string detail = std::to_string(count) + (count == 1 ? " core" : " cores") + " for this process";
  if (count >= 2) return {true, detail, {}};
  return {false, detail, "give the process a second core: a data core that spins leaves none for the rest"};
}

Feature probe_isolation() {
  const std::string isolated = first_line("/sys/devices/system/cpu/isolated");
  const std::string tickless = first_line("/sys/devices/system/cpu/nohz_full");
  const bool has_ticks = tickless.empty() || tickless == "(null)";
  if (!isolated.empty() && !has_ticks) return {true, "CPUs " + isolated + ", without ticks " + tickless, {}};
  return {false,
          isolated.empty() ? "no CPU is kept free of other work" : "CPUs " + isolated + ", with timer ticks",
          "boot with isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3, and node.pin = [2, 3]"};
}

Feature probe_clock() {
  const std::string source = first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  timespec from{};
  timespec to{};
  constexpr int kReads = 2000;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < kReads; ++i) clock_gettime(CLOCK_MONOTONIC, &to);
  const int64_t spent_ns = (to.tv_sec - from.tv_sec) * 1'000'000'000 + (to.tv_nsec - from.tv_nsec);
  const int64_t read_ns = spent_ns / kReads;
  const bool invariant = cpu_has("constant_tsc") && cpu_has("nonstop_tsc");
  const std::string detail = "clocksource " + (source.empty() ? "unknown" : source) +
                             (invariant ? ", invariant TSC, " : ", TSC not invariant, ") +
                             std::to_string(read_ns) + " ns per reading";
  // A reading that is a system call costs more than 100 ns everywhere; one by the vDSO 20 to 40 ns.
  constexpr int64_t kDearNs = 100;
  if (read_ns < kDearNs) return {true, detail, {}};
  return {false, detail, "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"};
}

}  // namespace trunkline::io
