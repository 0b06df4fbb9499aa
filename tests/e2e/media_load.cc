// Media at a steady rate into the ingest taps of one node and out of the egress taps of another, every packet
// looked at: each once, in order, every byte as it was sent.
//
//   media_load TRACKS BYTES PACKETS_PER_S SECONDS SINK_PORT FIRST_INGEST_PORT     (all on 127.0.0.1)
//
// Track i is sent to FIRST_INGEST_PORT + i, in runs of kRun packets by one system call (UDP_SEGMENT); what
// comes back, of all tracks, comes to SINK_PORT and is taken in runs, too (UDP_GRO). It sends a quarter of a
// second of media first, which is not counted, and prints one JSON object at the end: what was sent, lost,
// repeated, out of order and damaged; what the kernel dropped at the sink's socket for want of room
// (SO_RXQ_OVFL); how far it fell behind its own rate; and the time that packets took.
//
// One thread, asleep between runs. Bounded by SECONDS and four more.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/histogram.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace {

constexpr uint32_t kRun = 16;                                    // packets: a video frame of 19 kB
constexpr uint32_t kRtpBytes = 12, kHeadBytes = kRtpBytes + 16;  // then serial number and time
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kWarmUp = kSecond / 4, kLast = kSecond / 2;  // what is on its way arrives within the latter
constexpr int64_t kNap = 500'000;
constexpr int kBufferBytes = 64 << 20;

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

int udp_socket(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof kBufferBytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kBufferBytes, sizeof kBufferBytes);
  const sockaddr_in a = loopback(port);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) {
    std::perror("bind");
    std::exit(1);
  }
  return fd;
}

uint64_t word_of(uint32_t track, uint64_t serial) {
  return (serial + 1) * 0x9e3779b97f4a7c15u ^ track;
}

struct Options {
  uint32_t tracks, bytes;
  double rate, seconds;
  uint16_t sink, ingest;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), source_(udp_socket(0)), sink_(udp_socket(options.sink)), tracks_(options.tracks) {
    const int on = 1;
    setsockopt(sink_, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    setsockopt(sink_, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    // All of it now: to grow under load stops the load, and a node that waits for its CPU, for tens of ms.
    const double media_s = options.seconds + static_cast<double>(kWarmUp) / 1e9;
    const auto most = static_cast<size_t>(media_s * options.rate / options.tracks) + 2 * size_t{kRun};
    for (Track& track : tracks_) track.seen.resize(most);
  }

  void run() {
    const int64_t begin = now_ns(), counted = begin + kWarmUp;
    const auto end = counted + static_cast<int64_t>(options_.seconds * 1e9);
    for (int64_t now = begin; now < end; now = now_ns()) {
      if (!counting_ && now >= counted) count_from_here();
      // No more than so much at once: who was kept from running does not make up for it by a flood.
      const auto due = static_cast<uint64_t>(static_cast<double>(now - begin) / 1e9 * options_.rate);
      if (due > sent_ + skipped_ + kMostBehind) skipped_ = due - sent_ - kMostBehind;
      while (sent_ + skipped_ + kRun <= due) {
        send_run(now_ns());
        if (sent_ % (8 * kRun) == 0) receive();
      }
      receive();
      pollfd p{sink_, POLLIN, 0};
      const timespec nap{0, kNap};
      ppoll(&p, 1, &nap, nullptr);
    }
    sent_for_ns_ = now_ns() - counted;
    for (const int64_t last = now_ns() + kLast; now_ns() < last;) {
      receive();
      const timespec nap{0, kNap};
      nanosleep(&nap, nullptr);
    }
  }

  void print() const {
    uint64_t sent = 0, lost = 0, got = 0;
    for (const Track& track : tracks_) {
      sent += track.next - track.first;
      got += track.got;
      lost += track.next - track.first - track.got;
    }
    const auto us = [this](double percent) { return static_cast<double>(took_.percentile(percent)) / 1e3; };
    std::printf(
        "{\"sent\":%llu,\"got\":%llu,\"lost\":%llu,\"repeated\":%llu,\"disordered\":%llu,"
        "\"damaged\":%llu,\"sink_drops\":%u,\"per_s\":%.0f,\"skipped\":%llu,\"send_errors\":%llu,"
        "\"us\":{\"p50\":%.0f,\"p99\":%.0f,\"p99.9\":%.0f,\"max\":%.0f}}\n",
        ull(sent), ull(got), ull(lost), ull(repeated_), ull(disordered_), ull(damaged_), sink_drops_,
        static_cast<double>(sent) * 1e9 / static_cast<double>(sent_for_ns_), ull(skipped_), ull(send_errors_),
        us(50), us(99), us(99.9), static_cast<double>(took_.max()) / 1e3);
  }

 private:
  // Some 10 ms of media: a frame of each of some hundred tracks.
  static constexpr uint64_t kMostBehind = 4'096;

  struct Track {
    uint64_t next = 0, first = 0, got = 0;  // serials: to be sent; the first that counts
    uint64_t expected = 0;                  // at the sink
    std::vector<bool> seen;                 // by serial
  };

  static unsigned long long ull(uint64_t value) { return value; }

  void count_from_here() {
    counting_ = true;
    for (Track& track : tracks_) track.first = track.next;
    skipped_before_ = skipped_;
  }

  void send_run(int64_t now) {
    const uint32_t index = turn_++ % options_.tracks;
    Track& track = tracks_[index];
    for (uint32_t i = 0; i < kRun; ++i)
      write(&buffer_[size_t{i} * options_.bytes], index, track.next + i, now);
    iovec iov{buffer_.data(), size_t{kRun} * options_.bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
    sockaddr_in to = loopback(static_cast<uint16_t>(options_.ingest + index));
    msghdr m{};
    m.msg_name = &to;
    m.msg_namelen = sizeof to;
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    cmsghdr* const c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto size = static_cast<uint16_t>(options_.bytes);
    std::memcpy(CMSG_DATA(c), &size, sizeof size);
    sent_ += kRun;
    if (sendmsg(source_, &m, 0) < 0) {
      ++send_errors_;  // what was not sent has no serial number
      return;
    }
    track.next += kRun;
  }

  void write(uint8_t* at, uint32_t index, uint64_t serial, int64_t now) const {
    const uint64_t word = word_of(index, serial);
    for (uint32_t i = kHeadBytes; i + 8 <= options_.bytes; i += 8) std::memcpy(at + i, &word, 8);
    at[0] = 0x80;
    at[1] = serial % kRun == kRun - 1 ? 0x80 | 96 : 96;
    const uint16_t sequence = htons(static_cast<uint16_t>(serial));
    const uint32_t timestamp = htonl(static_cast<uint32_t>(serial / kRun * 3'000)), ssrc = htonl(index + 1);
    std::memcpy(at + 2, &sequence, 2);
    std::memcpy(at + 4, &timestamp, 4);
    std::memcpy(at + 8, &ssrc, 4);
    std::memcpy(at + kRtpBytes, &serial, 8);
    std::memcpy(at + kRtpBytes + 8, &now, 8);
  }

  // All that is there.
  void receive() {
    for (int rounds = 0; rounds < 256; ++rounds) {
      iovec iov{slab_.data(), slab_.size()};
      alignas(cmsghdr) char control[128];
      msghdr m{};
      m.msg_iov = &iov;
      m.msg_iovlen = 1;
      m.msg_control = control;
      m.msg_controllen = sizeof control;
      const ssize_t length = recvmsg(sink_, &m, MSG_DONTWAIT);
      if (length <= 0) return;
      auto segment = static_cast<size_t>(length);
      for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
        int value;
        std::memcpy(&value, CMSG_DATA(c), sizeof value);
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) segment = static_cast<size_t>(value);
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
          sink_drops_ = static_cast<uint32_t>(value);
      }
      const int64_t now = now_ns();
      for (size_t at = 0; at < static_cast<size_t>(length); at += segment)
        take(&slab_[at], std::min(segment, static_cast<size_t>(length) - at), now);
    }
  }

  void take(const uint8_t* at, size_t length, int64_t now) {
    if (length >= 2 && at[1] >= 192 && at[1] <= 223) return;  // RTCP (RFC 5761, section 4)
    uint32_t ssrc = 0;
    if (length >= kHeadBytes) std::memcpy(&ssrc, at + 8, 4);
    const uint32_t index = ntohl(ssrc) - 1;
    if (length != options_.bytes || index >= options_.tracks) {
      ++damaged_;
      return;
    }
    Track& track = tracks_[index];
    uint64_t serial;
    int64_t sent_at;
    std::memcpy(&serial, at + kRtpBytes, 8);
    std::memcpy(&sent_at, at + kRtpBytes + 8, 8);
    const uint64_t word = word_of(index, serial);
    for (uint32_t i = kHeadBytes; i + 8 <= options_.bytes; i += 8) {
      if (std::memcmp(at + i, &word, 8) == 0) continue;
      ++damaged_;
      return;
    }
    if (serial >= track.next) return static_cast<void>(++damaged_);
    if (serial < track.first || !counting_) {
      track.expected = std::max(track.expected, serial + 1);
      return;
    }
    if (track.seen[serial]) return static_cast<void>(++repeated_);
    track.seen[serial] = true;
    ++track.got;
    if (serial < track.expected) ++disordered_;
    track.expected = std::max(track.expected, serial + 1);
    took_.record(now - sent_at);
  }

  Options options_;
  int source_, sink_;
  std::vector<Track> tracks_;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(size_t{kRun} * 2'048),
                       slab_ = std::vector<uint8_t>(65'536);
  trunkline::core::Histogram took_;
  bool counting_ = false;
  uint32_t turn_ = 0;
  uint64_t sent_ = 0, skipped_ = 0, skipped_before_ = 0, send_errors_ = 0;
  uint64_t repeated_ = 0, disordered_ = 0, damaged_ = 0;
  uint32_t sink_drops_ = 0;
  int64_t sent_for_ns_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr,
                 "usage: media_load TRACKS BYTES PACKETS_PER_S SECONDS SINK_PORT FIRST_INGEST_PORT\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10)); };
  const Options options{number(1),
                        number(2),
                        std::atof(argv[3]),
                        std::atof(argv[4]),
                        static_cast<uint16_t>(number(5)),
                        static_cast<uint16_t>(number(6))};
  if (options.tracks == 0 || options.bytes < kHeadBytes || options.bytes > 1'400) return 2;
  Load load(options);
  load.run();
  load.print();
  return 0;
}
