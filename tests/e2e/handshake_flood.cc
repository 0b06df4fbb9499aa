// A flood of handshakes at a node, from many addresses of 127/8 that are all ours, so that answers come back
// and are counted.
//
//   handshake_flood KIND PUBLIC_KEY PORT SOURCES PER_S SECONDS          to 127.0.0.1:PORT
//
// KIND is what the attacker can do:
//   wrong     a msg1 of the right size, and nothing in it is right
//   right     knows the node's public key, so mac1 is right; has no certificate, and answers no cookie reply
//   cookies   the same, and answers it: its address is proven, and the node reads what it sends
//
// Prints one JSON object: what was sent, and what came back. One thread; runs of messages by one system call
// (UDP_SEGMENT) when the rate asks for it. Bounded by SECONDS and a quarter of one.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "core/rng.h"
#include "relay/handshake_messages.h"
#include "relay/key_files.h"
#include "relay/sealed_envelope.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace {

using namespace trunkline;
using relay::kHeaderBytes;

constexpr uint32_t kBytes = kHeaderBytes + relay::kMaxHandshakeBytes;
constexpr uint32_t kMac1At = kBytes - relay::kMacsBytes;
constexpr uint32_t kPool = 512, kLongestRun = 50;
constexpr int64_t kSecond = 1'000'000'000, kNap = 200'000;

enum class Kind { wrong, right, cookies };

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

struct Source {
  int fd = -1;
  bool proven = false;  // its message bears the cookie
};

class Flood {
 public:
  Flood(Kind kind, const relay::Key& key, uint16_t port, uint32_t sources)
      : kind_(kind), key_(key), sources_(sources) {
    to_.sin_family = AF_INET;
    to_.sin_port = htons(port);
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (uint32_t i = 0; i < sources; ++i) sources_[i].fd = open_source(i);
    // Whoever proves its address sends one message again and again; the others draw from a pool.
    const uint32_t messages = kind == Kind::cookies ? sources : kPool + kLongestRun;
    pool_.resize(size_t{messages} * kBytes);
    for (uint32_t i = 0; i < messages; ++i) write(&pool_[size_t{i} * kBytes]);
  }

  void run(double per_s, double seconds) {
    const auto step =
        kind_ == Kind::cookies ? 1u : std::clamp(static_cast<uint32_t>(per_s / 4'000), 1u, kLongestRun);
    const int64_t begin = now_ns();
    const auto end = begin + static_cast<int64_t>(seconds * 1e9);
    for (int64_t now = begin; now < end; now = now_ns()) {
      const auto due = static_cast<uint64_t>(static_cast<double>(now - begin) / 1e9 * per_s);
      for (uint32_t i = 0; i < 64 && sent_ + step <= due; ++i) send(step);
      if (sent_ + step > due) nap();
    }
    took_ns_ = now_ns() - begin;
    for (int i = 0; i < 250; ++i) nap();
    for (uint32_t i = 0; i < sources_.size(); ++i) receive(i);
  }

  void print() const {
    std::printf(
        "{\"sent\":%llu,\"sent_bytes\":%llu,\"refused\":%llu,\"received\":%llu,\"received_bytes\":%llu,"
        "\"proven\":%u,\"per_s\":%.0f}\n",
        ull(sent_ - failed_), ull((sent_ - failed_) * kBytes), ull(failed_), ull(received_),
        ull(received_bytes_), proven_,
        static_cast<double>(sent_ - failed_) * 1e9 / static_cast<double>(took_ns_));
  }

 private:
  static unsigned long long ull(uint64_t value) { return value; }
  static void nap() {
    const timespec nap{0, kNap};
    nanosleep(&nap, nullptr);
  }

  static int open_source(uint32_t number) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int bytes = 1 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + (1u << 16) + (number / 250 << 8) + number % 250);  // 127.1.x.y
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) {
      std::perror("bind");
      std::exit(1);
    }
    return fd;
  }

  // A header as a stranger's, an ephemeral key and what would be encrypted, mac1, and no mac2.
  void write(uint8_t* at) {
    for (uint32_t i = 0; i < kBytes; ++i) at[i] = static_cast<uint8_t>(rng_.next());
    relay::encode_header(at, {.type = relay::DatagramType::kHandshake1, .counter = rng_.next() >> 32});
    std::memset(at + kMac1At + relay::kMacBytes, 0, relay::kMacBytes);
    if (kind_ == Kind::wrong) return;
    put(at + kMac1At, relay::message_mac(relay::mac1_key(key_), relay::kMsg1, body(at, kMac1At)));
  }
  static relay::Bytes body(const uint8_t* at, uint32_t to) { return {at + kHeaderBytes, to - kHeaderBytes}; }
  static void put(uint8_t* at, const relay::Mac& mac) { std::memcpy(at, mac.data(), mac.size()); }

  void send(uint32_t count) {
    const uint32_t number = turn_++ % static_cast<uint32_t>(sources_.size());
    receive(number);
    const uint64_t from = kind_ == Kind::cookies ? number : rng_.below(kPool);
    iovec iov{&pool_[from * kBytes], size_t{count} * kBytes};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
    msghdr m{};
    m.msg_name = &to_;
    m.msg_namelen = sizeof to_;
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    if (count > 1) {
      m.msg_control = control;
      m.msg_controllen = sizeof control;
      cmsghdr* const c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_UDP;
      c->cmsg_type = UDP_SEGMENT;
      c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      const auto size = static_cast<uint16_t>(kBytes);
      std::memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    sent_ += count;
    if (sendmsg(sources_[number].fd, &m, MSG_DONTWAIT) < 0) failed_ += count;
  }

  // What came back to a source; a cookie is put into its message.
  void receive(uint32_t number) {
    Source& source = sources_[number];
    uint8_t reply[2'048];
    for (int i = 0; i < 1'024; ++i) {
      const ssize_t length = recv(source.fd, reply, sizeof reply, MSG_DONTWAIT);
      if (length < 0) return;
      ++received_;
      received_bytes_ += static_cast<uint64_t>(length);
      if (kind_ != Kind::cookies || source.proven || length <= kHeaderBytes) continue;
      uint8_t* const message = &pool_[size_t{number} * kBytes];
      relay::Cookie cookie;
      const relay::Bytes sealed{reply + kHeaderBytes, static_cast<size_t>(length) - kHeaderBytes};
      if (!relay::open_cookie(relay::cookie_reply_key(key_), {message + kMac1At, relay::kMacBytes}, sealed,
                              cookie))
        continue;
      const uint32_t mac2_at = kMac1At + relay::kMacBytes;
      put(message + mac2_at, relay::message_mac(cookie, relay::kMsg1, body(message, mac2_at)));
      source.proven = true;
      ++proven_;
    }
  }

  Kind kind_;
  relay::Key key_;
  core::Rng rng_{20261130};
  sockaddr_in to_{};
  std::vector<Source> sources_;
  std::vector<uint8_t> pool_;
  uint32_t turn_ = 0, proven_ = 0;
  uint64_t sent_ = 0, failed_ = 0, received_ = 0, received_bytes_ = 0;
  int64_t took_ns_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr,
                 "usage: handshake_flood wrong|right|cookies PUBLIC_KEY PORT SOURCES PER_S SECONDS\n");
    return 2;
  }
  const std::string_view what = argv[1];
  const Kind kind = what == "right" ? Kind::right : what == "cookies" ? Kind::cookies : Kind::wrong;
  const auto key = relay::parse_node_public(argv[2]);
  const auto number = [&](int i) { return static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10)); };
  if (!key || number(4) == 0 || number(4) > 10'000) return 2;
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  Flood flood(kind, *key, static_cast<uint16_t>(number(3)), number(4));
  flood.run(std::atof(argv[5]), std::atof(argv[6]));
  flood.print();
  return 0;
}
