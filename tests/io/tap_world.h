// A network of one tap interface in a namespace of its own, in which a test decides when a socket is full.
//
// On loopback a send buffer never fills: the receiver takes the bytes over at once. Here datagrams go to a
// neighbour whose link address is unknown, so the kernel holds them, charged to the sender, until the test
// reveals the address. What then leaves can be read from the tap, frame by frame.
//
// The namespace belongs to the thread that called enter(); run the test on a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "io/udp_socket.h"

namespace trunkline::io {

class TapWorld {
 public:
  // 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
  static core::UdpAddress here() { return core::UdpAddress::v4(198, 18, 0, 1, 0); }
  static core::UdpAddress neighbour() { return core::UdpAddress::v4(198, 18, 0, 2, 5000); }

  // Empty, or why there can be no such world here.
  std::string enter() {
    if (unshare(CLONE_NEWNET) != 0) return why("unshare(CLONE_NEWNET)");
    tap_ = FileDescriptor(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!tap_) return why("/dev/net/tun");
    ifreq request = named();
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(tap_.get(), TUNSETIFF, &request) != 0) return why("TUNSETIFF");
    control_ = FileDescriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    request = named();
    set_ip(request.ifr_addr, "198.18.0.1");
    if (ioctl(control_.get(), SIOCSIFADDR, &request) != 0) return why("SIOCSIFADDR");
    request = named();
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(control_.get(), SIOCSIFFLAGS, &request) != 0) return why("SIOCSIFFLAGS");
    return {};
  }

  // From now on the neighbour can be reached: what the kernel holds leaves.
  bool reveal_neighbour() {
    arpreq entry{};
    set_ip(entry.arp_pa, "198.18.0.2");
    entry.arp_ha.sa_family = ARPHRD_ETHER;
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};
    std::memcpy(entry.arp_ha.sa_data, mac, sizeof mac);
    entry.arp_flags = ATF_PERM | ATF_COM;
    std::strncpy(entry.arp_dev, kName, sizeof entry.arp_dev - 1);
    return ioctl(control_.get(), SIOCSARP, &entry) == 0;
  }

  // The UDP payloads that have left for the neighbour so far; ARP and the rest is skipped.
  std::vector<std::string> left() {
    constexpr size_t kEthernet = 14;
    constexpr size_t kPayload = kEthernet + 20 + 8;
    std::vector<std::string> payloads;
    char frame[4096];
    ssize_t size = 0;
    while ((size = ::read(tap_.get(), frame, sizeof frame)) > 0) {
      const auto length = static_cast<size_t>(size);
      if (length < kPayload || frame[12] != 8 || frame[13] != 0 || frame[kEthernet + 9] != IPPROTO_UDP)
        continue;
      payloads.emplace_back(frame + kPayload, length - kPayload);
    }
    return payloads;
  }

 private:
  static constexpr const char* kName = "tap0";

  static ifreq named() {
    ifreq request{};
    std::strncpy(request.ifr_name, kName, IFNAMSIZ - 1);
    return request;
  }
  static void set_ip(sockaddr& out, const char* text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, text, &address.sin_addr);
    std::memcpy(&out, &address, sizeof address);
  }
  static std::string why(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

  FileDescriptor tap_;
  FileDescriptor control_;
};

}  // namespace trunkline::io
