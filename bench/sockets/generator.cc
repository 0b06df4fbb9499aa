// The generator's loop: patch a run, send it, watch the clock. One system call per run.
#include "bench/sockets/generator.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace trunkline::bench {
namespace {

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

int open_source(const Load& load, uint32_t index) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int bytes = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(static_cast<uint16_t>(load.first_source_port + index));
  inet_pton(AF_INET, load.source_ip, &a.sin_addr);
  if (bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) return -1;
  a.sin_port = htons(load.destination_port);
  inet_pton(AF_INET, load.destination_ip, &a.sin_addr);
  if (connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) return -1;
  return fd;
}

bool send_run(int fd, uint8_t* bytes, uint32_t segments, uint32_t segment_bytes) {
  iovec iov{bytes, std::size_t{segments} * segment_bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  if (segments > 1) {
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto size = static_cast<uint16_t>(segment_bytes);
    std::memcpy(CMSG_DATA(c), &size, sizeof size);
  }
  return sendmsg(fd, &m, 0) >= 0;
}

}  // namespace

uint64_t generate(const Load& load) {
  std::vector<int> sockets;
  for (uint32_t i = 0; i < load.sources; ++i) sockets.push_back(open_source(load, i));
  std::vector<uint8_t> buffer(65'536);
  const uint64_t start = now_ns();
  const uint64_t end = start + static_cast<uint64_t>(load.seconds * 1e9);
  uint64_t sent = 0;
  for (std::size_t next = 0;; next = (next + 1) % load.runs.size()) {
    const Load::Run& run = load.runs[next];
    uint64_t now = now_ns();
    if (load.datagrams_per_s > 0) {
      const uint64_t due =
          start + static_cast<uint64_t>(static_cast<double>(sent) / load.datagrams_per_s * 1e9);
      while (now < due && now < end) now = now_ns();
    }
    if (now >= end) break;
    run.fill(buffer.data(), now);
    if (sockets[run.source] >= 0 &&
        send_run(sockets[run.source], buffer.data(), run.segments, run.segment_bytes)) {
      sent += run.segments;
    }
  }
  for (int fd : sockets) {
    if (fd >= 0) close(fd);
  }
  return sent;
}

}  // namespace trunkline::bench
