// The arrays that recvmmsg fills and sendmmsg reads: the kernel's view of a burst, laid out once, so that per
// message only what changes is written. For mmsg_port.cc alone; owned by its port, about 40 KiB in all.
#pragma once

#include <netinet/udp.h>
#include <sys/socket.h>

#include <cstring>

#include "core/packet.h"
#include "io/gso.h"
#include "io/udp_socket.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // Linux 4.18
#endif
#ifndef UDP_GRO
#define UDP_GRO 104  // Linux 5.0
#endif

namespace trunkline::io {

// Slot i always refers to its own name, iovec and control area; only what the kernel overwrites is reset.
struct MmsgReceiveSlots {
  static constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int));  // UDP_GRO: the size of each datagram

  mmsghdr messages[kMaxBurst]{};
  iovec payloads[kMaxBurst]{};
  SocketAddress names[kMaxBurst]{};
  alignas(cmsghdr) uint8_t controls[kMaxBurst][kControlBytes]{};
  core::Buffer* buffers[kMaxBurst]{};  // nullptr: to be filled before the next receive

  MmsgReceiveSlots() {
    for (uint32_t i = 0; i < kMaxBurst; ++i) {
      msghdr& header = messages[i].msg_hdr;
      header.msg_name = &names[i];
      header.msg_iov = &payloads[i];
      header.msg_iovlen = 1;
      header.msg_control = controls[i];
      reset(i);
    }
  }
  void reset(uint32_t i) noexcept {
    messages[i].msg_hdr.msg_namelen = sizeof names[i];
    messages[i].msg_hdr.msg_controllen = kControlBytes;
  }
  // The size of each datagram in slot i, 0 when it is a single one.
  uint16_t segment_size(uint32_t i) noexcept {
    msghdr& header = messages[i].msg_hdr;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO) continue;
      int size = 0;
      std::memcpy(&size, CMSG_DATA(c), sizeof size);
      return size > 0 && static_cast<uint32_t>(size) < messages[i].msg_len ? static_cast<uint16_t>(size) : 0;
    }
    return 0;
  }
};

struct MmsgSendSlots {
  static constexpr size_t kControlBytes = CMSG_SPACE(sizeof(uint16_t));

  // What a message carries: packets [first, first + run.packets) of the group, or, when `part` is set, the
  // next run.bytes of packet `first` alone. `ends`: with it these packets are done.
  struct Message {
    uint32_t first;
    SendRun run;
    bool part;
    bool ends;
  };

  mmsghdr headers[kMaxBurst]{};
  SocketAddress names[kMaxBurst]{};
  alignas(cmsghdr) uint8_t controls[kMaxBurst][kControlBytes]{};
  Message messages[kMaxBurst]{};
  iovec payloads[2 * kMaxBurst]{};  // one per packet of whole runs, one per part
  uint32_t count = 0;
  uint32_t payload_count = 0;

  MmsgSendSlots() {
    for (uint32_t i = 0; i < kMaxBurst; ++i) {
      headers[i].msg_hdr.msg_name = &names[i];
      auto* c = reinterpret_cast<cmsghdr*>(controls[i]);
      c->cmsg_level = SOL_UDP;
      c->cmsg_type = UDP_SEGMENT;
      c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    }
  }
  void clear() noexcept { count = payload_count = 0; }
  void add_payload(uint8_t* data, uint32_t length) noexcept { payloads[payload_count++] = {data, length}; }
  // Closes a message over the payloads added since the last one.
  void add_message(const Message& message, const core::UdpAddress& to, uint32_t payloads_used) noexcept {
    msghdr& header = headers[count].msg_hdr;
    header.msg_namelen = to_socket_address(to, names[count]);
    header.msg_iov = &payloads[payload_count - payloads_used];
    header.msg_iovlen = payloads_used;
    header.msg_control = message.run.segment_size != 0 ? controls[count] : nullptr;
    header.msg_controllen = message.run.segment_size != 0 ? kControlBytes : 0;
    auto* c = reinterpret_cast<cmsghdr*>(controls[count]);
    std::memcpy(CMSG_DATA(c), &message.run.segment_size, sizeof message.run.segment_size);
    messages[count++] = message;
  }
};

}  // namespace trunkline::io
