// The peer forwarders: plain loops on plain sockets, as short as they can be made without being slow.
#include "bench/sockets/forwarders.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/histogram.h"
#include "relay/wire.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace trunkline::bench {
namespace {

constexpr uint32_t kBatch = 32;

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

void set_timeout(int fd, int milliseconds) {
  timeval tv{0, milliseconds * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
}

int open_socket(const ForwarderOptions& o) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int bytes = 4 << 20, on = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  if (o.kind == Forwarder::kGroGso) setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(o.listen_port);
  inet_pton(AF_INET, o.listen_ip, &a.sin_addr);
  if (bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) {
    std::perror("bench forwarder: bind");
    std::exit(3);
  }
  set_timeout(fd, 20);  // so that the loop sees its end
  return fd;
}

std::vector<sockaddr_in> destinations(const ForwarderOptions& o) {
  std::vector<sockaddr_in> out(o.destinations);
  for (uint32_t i = 0; i < o.destinations; ++i) {
    out[i].sin_family = AF_INET;
    out[i].sin_port = htons(static_cast<uint16_t>(o.to_port + i));
    inet_pton(AF_INET, o.to_ip, &out[i].sin_addr);
  }
  return out;
}

void idle(const ForwarderOptions& o) {
  if (o.pace == Pace::kSleep) {
    timespec t{0, static_cast<long>(o.sleep_us) * 1000};
    nanosleep(&t, nullptr);
  }
}

uint64_t run_mmsg(int fd, const ForwarderOptions& o, uint64_t end, core::Histogram& took) {
  static uint8_t bytes[kBatch][2048];
  std::vector<sockaddr_in> to = destinations(o);
  sockaddr_in from[kBatch];
  mmsghdr in[kBatch], out[kBatch];
  iovec iov[kBatch];
  const int flags = o.pace == Pace::kBlock ? MSG_WAITFORONE : MSG_DONTWAIT;
  uint64_t packets = 0;
  while (now_ns() < end) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      iov[i] = {bytes[i], sizeof bytes[i]};
      in[i] = {};
      in[i].msg_hdr.msg_iov = &iov[i];
      in[i].msg_hdr.msg_iovlen = 1;
      in[i].msg_hdr.msg_name = &from[i];
      in[i].msg_hdr.msg_namelen = sizeof from[i];
    }
    const int n = recvmmsg(fd, in, kBatch, flags, nullptr);
    if (n <= 0) {
      idle(o);
      continue;
    }
    for (int i = 0; i < n; ++i) {
      iov[i].iov_len = in[i].msg_len;
      out[i] = {};
      out[i].msg_hdr.msg_iov = &iov[i];
      out[i].msg_hdr.msg_iovlen = 1;
      out[i].msg_hdr.msg_name = &to[ntohs(from[i].sin_port) % to.size()];
      out[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
    }
    for (int i = 0; o.stamp && i < n; ++i) {
      took.record(static_cast<int64_t>(now_ns() - relay::load_be64(bytes[i] + 12)));
    }
    const int sent = sendmmsg(fd, out, static_cast<unsigned>(n), 0);
    if (sent > 0) packets += static_cast<uint64_t>(sent);
  }
  return packets;
}

uint64_t run_gro_gso(int fd, const ForwarderOptions& o, uint64_t end) {
  static uint8_t bytes[65'536];
  std::vector<sockaddr_in> to = destinations(o);
  uint64_t packets = 0;
  while (now_ns() < end) {
    sockaddr_in from;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec iov{bytes, sizeof bytes};
    msghdr m{};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_name = &from;
    m.msg_namelen = sizeof from;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(fd, &m, o.pace == Pace::kBlock ? 0 : MSG_DONTWAIT);
    if (n <= 0) {
      idle(o);
      continue;
    }
    int segment = static_cast<int>(n);
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
        std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
    }
    iov.iov_len = static_cast<std::size_t>(n);
    alignas(cmsghdr) char out_control[CMSG_SPACE(sizeof(uint16_t))] = {};
    msghdr out{};
    out.msg_iov = &iov;
    out.msg_iovlen = 1;
    out.msg_name = &to[ntohs(from.sin_port) % to.size()];
    out.msg_namelen = sizeof(sockaddr_in);
    if (segment < n) {
      out.msg_control = out_control;
      out.msg_controllen = sizeof out_control;
      cmsghdr* c = CMSG_FIRSTHDR(&out);
      c->cmsg_level = SOL_UDP;
      c->cmsg_type = UDP_SEGMENT;
      c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      const auto size = static_cast<uint16_t>(segment);
      std::memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    if (sendmsg(fd, &out, 0) >= 0) packets += static_cast<uint64_t>((n + segment - 1) / segment);
  }
  return packets;
}

}  // namespace

uint64_t thread_cpu_ns() {
  char text[128] = {};
  const int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? std::strtoull(text, nullptr, 10) : 0;
}

ForwarderResult forward(const ForwarderOptions& options) {
  prctl(PR_SET_TIMERSLACK, 1000);
  const int fd = open_socket(options);
  const uint64_t start = now_ns(), cpu = thread_cpu_ns();
  const uint64_t end = start + static_cast<uint64_t>(options.seconds * 1e9);
  ForwarderResult result;
  core::Histogram took;
  result.packets =
      options.kind == Forwarder::kMmsg ? run_mmsg(fd, options, end, took) : run_gro_gso(fd, options, end);
  result.p99_us = static_cast<double>(took.percentile(99)) * 1e-3;
  result.cpu_ns = thread_cpu_ns() - cpu;
  result.seconds = static_cast<double>(now_ns() - start) * 1e-9;
  close(fd);
  return result;
}

}  // namespace trunkline::bench
