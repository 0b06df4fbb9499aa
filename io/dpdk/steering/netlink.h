// Netlink without a library: one request as bytes, one socket, and the attributes of an answer.
//
// The idea: rtnetlink answers a request inside the send that makes it, so "asking" is a send and then
// receives that find their data already there; only another holder of the kernel's RTNL lock makes it slower,
// and a receive gives up after kAnswerLimit. A socket that follows groups never waits at all. Errors are
// errnos here: who asks knows what they mean and says it.
//
// Control path, one thread per socket. A question costs some microseconds and allocates nothing.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/time.h"
#include "io/udp_socket.h"

namespace trunkline::io {

// How long an answer may take before the question has failed with ETIMEDOUT.
inline constexpr core::Nanos kAnswerLimit = core::from_s(2);

// One request: the header, the family's fixed part, then attributes, each aligned to 4 bytes.
class NetlinkRequest {
 public:
  // `flags` besides NLM_F_REQUEST: NLM_F_ACK for a change, NLM_F_DUMP for a list.
  template <class Fixed>
  NetlinkRequest(uint16_t type, uint16_t flags, const Fixed& fixed) noexcept {
    static_assert(sizeof(Fixed) <= 64);
    header().nlmsg_type = type;
    header().nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
    header().nlmsg_len = NLMSG_LENGTH(sizeof fixed);
    std::memcpy(bytes_ + NLMSG_HDRLEN, &fixed, sizeof fixed);
  }
  // Contract: what is added fits into the 512 bytes there are.
  void add(uint16_t type, const void* value, size_t bytes) noexcept;
  template <class T>
  void add(uint16_t type, const T& value) noexcept {
    add(type, &value, sizeof value);
  }
  // Attributes added between the two calls are inside of `type`. begin() returns what end() wants.
  size_t begin(uint16_t type) noexcept;
  void end(size_t mark) noexcept;

  nlmsghdr& header() noexcept { return *reinterpret_cast<nlmsghdr*>(bytes_); }

 private:
  alignas(nlmsghdr) uint8_t bytes_[512]{};
};

// The attributes of a message or of an attribute that nests some: the last of each type up to Max.
template <uint16_t Max>
class NetlinkAttributes {
 public:
  NetlinkAttributes(const void* first, size_t bytes) noexcept {
    auto* at = static_cast<const uint8_t*>(first);
    while (bytes >= sizeof(rtattr)) {
      rtattr head;
      std::memcpy(&head, at, sizeof head);
      if (head.rta_len < sizeof head || head.rta_len > bytes) return;
      const uint16_t type = head.rta_type & NLA_TYPE_MASK;
      if (type <= Max) values_[type] = {at + sizeof head, head.rta_len - sizeof head};
      const size_t step = RTA_ALIGN(static_cast<size_t>(head.rta_len));
      if (step >= bytes) return;
      at += step;
      bytes -= step;
    }
  }
  // Of the message's part behind its fixed part.
  template <class Fixed>
  NetlinkAttributes(const nlmsghdr& message, const Fixed*) noexcept
      : NetlinkAttributes(reinterpret_cast<const uint8_t*>(&message) + NLMSG_LENGTH(sizeof(Fixed)),
                          message.nlmsg_len < NLMSG_LENGTH(sizeof(Fixed))
                              ? 0
                              : message.nlmsg_len - NLMSG_LENGTH(sizeof(Fixed))) {}

  // Empty when it is absent.
  std::span<const uint8_t> bytes(uint16_t type) const noexcept { return values_[type]; }
  // False when it is absent or has another size.
  template <class T>
  bool read(uint16_t type, T& out) const noexcept {
    if (values_[type].size() != sizeof out) return false;
    std::memcpy(&out, values_[type].data(), sizeof out);
    return true;
  }

 private:
  std::array<std::span<const uint8_t>, Max + 1> values_{};
};

// The fixed part of a message; nullptr when the message is too short for it.
template <class Fixed>
const Fixed* fixed_part(const nlmsghdr& message) noexcept {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(Fixed))) return nullptr;
  return reinterpret_cast<const Fixed*>(reinterpret_cast<const uint8_t*>(&message) + NLMSG_HDRLEN);
}

class NetlinkSocket {
 public:
  // A NETLINK_ROUTE socket in the calling thread's network namespace. Returns 0 or an errno.
  int open() noexcept;
  // Follows a group (RTNLGRP_...). Returns 0 or an errno.
  int follow(unsigned group) noexcept;
  int fd() const noexcept { return fd_.get(); }

  // Asks, and hands every message of the answer to take(const nlmsghdr&). Returns 0, or the kernel's errno.
  // EINTR: a list changed while it was read and has to be asked for again.
  template <class Take>
  int ask(NetlinkRequest& request, Take&& take) noexcept {
    if (const int error = send(request)) return error;
    for (;;) {
      const std::span<const uint8_t> datagram = receive(0);
      if (datagram.empty()) return errno;
      bool interrupted = false;
      int verdict = kMore;
      each(datagram, [&](const nlmsghdr& message) {
        if (message.nlmsg_seq != sequence_ || verdict != kMore) return;
        interrupted = interrupted || (message.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        verdict = verdict_of(message);
        if (message.nlmsg_type < NLMSG_MIN_TYPE) return;
        take(message);
        if ((message.nlmsg_flags & NLM_F_MULTI) == 0) verdict = 0;
      });
      if (interrupted) interrupted_ = true;
      if (verdict != kMore) return interrupted_ && verdict == 0 ? EINTR : verdict;
    }
  }
  // The same, of a change: nothing but whether it was made.
  int tell(NetlinkRequest& request) noexcept {
    return ask(request, [](const nlmsghdr&) {});
  }

  // Hands over what has arrived of the followed groups, without waiting, at most `datagrams` of them. Returns
  // 0 when nothing is left, EAGAIN when something may be, ENOBUFS when the kernel had to drop some.
  template <class Take>
  int drain(uint32_t datagrams, Take&& take) noexcept {
    for (uint32_t i = 0; i < datagrams; ++i) {
      const std::span<const uint8_t> datagram = receive(MSG_DONTWAIT);
      if (datagram.empty()) return errno == EAGAIN ? 0 : errno;
      each(datagram, take);
    }
    return EAGAIN;
  }

 private:
  static constexpr int kMore = -1;  // no errno

  int send(NetlinkRequest& request) noexcept;
  // Empty, with errno, when there is nothing.
  std::span<const uint8_t> receive(int flags) noexcept;
  // kMore, or the end of an answer.
  static int verdict_of(const nlmsghdr& message) noexcept;

  template <class Take>
  static void each(std::span<const uint8_t> datagram, Take&& take) noexcept {
    size_t left = datagram.size();
    auto* message = reinterpret_cast<const nlmsghdr*>(datagram.data());
    while (left >= sizeof(nlmsghdr) && message->nlmsg_len >= sizeof(nlmsghdr) && message->nlmsg_len <= left) {
      take(*message);
      const size_t step = NLMSG_ALIGN(static_cast<size_t>(message->nlmsg_len));
      if (step >= left) return;
      left -= step;
      message = reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const uint8_t*>(message) + step);
    }
  }

  FileDescriptor fd_;
  uint32_t sequence_ = 0;
  bool interrupted_ = false;
  alignas(
      nlmsghdr) uint8_t buffer_[32'768];  // the kernel's largest datagram of a list (NLMSG_GOODSIZE and more)
};

}  // namespace trunkline::io
