// See netlink.h.
#include "io/dpdk/steering/netlink.h"

#include <sys/time.h>

#include "core/check.h"

namespace trunkline::io {

void NetlinkRequest::add(uint16_t type, const void* value, size_t bytes) noexcept {
  const size_t at = NLMSG_ALIGN(static_cast<size_t>(header().nlmsg_len));
  TL_CHECK(at + RTA_SPACE(bytes) <= sizeof bytes_);
  rtattr head{};
  head.rta_type = type;
  head.rta_len = static_cast<uint16_t>(RTA_LENGTH(bytes));
  std::memcpy(bytes_ + at, &head, sizeof head);
  if (bytes != 0) std::memcpy(bytes_ + at + sizeof head, value, bytes);
  header().nlmsg_len = static_cast<uint32_t>(at + RTA_SPACE(bytes));
}

size_t NetlinkRequest::begin(uint16_t type) noexcept {
  const size_t mark = NLMSG_ALIGN(static_cast<size_t>(header().nlmsg_len));
  add(static_cast<uint16_t>(type | NLA_F_NESTED), nullptr, 0);
  return mark;
}

void NetlinkRequest::end(size_t mark) noexcept {
  const auto bytes = static_cast<uint16_t>(header().nlmsg_len - mark);
  std::memcpy(bytes_ + mark, &bytes, sizeof bytes);  // rta_len is an attribute's first field
}

int NetlinkSocket::open() noexcept {
  fd_ = FileDescriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd_) return errno;
  const timeval limit{kAnswerLimit.ns / 1'000'000'000, 0};
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return errno;
  // Refusals then come without a copy of the question, and requests are checked strictly (Linux 4.20); what
  // an older kernel does instead is read just as well.
  const int on = 1;
  setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  return ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self) == 0 ? 0 : errno;
}

int NetlinkSocket::follow(unsigned group) noexcept {
  return setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0 ? 0 : errno;
}

int NetlinkSocket::send(NetlinkRequest& request) noexcept {
  request.header().nlmsg_seq = ++sequence_;
  interrupted_ = false;
  const size_t bytes = request.header().nlmsg_len;
  return ::send(fd_.get(), &request.header(), bytes, 0) == static_cast<ssize_t>(bytes) ? 0 : errno;
}

std::span<const uint8_t> NetlinkSocket::receive(int flags) noexcept {
  for (;;) {
    sockaddr_nl from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        ::recvfrom(fd_.get(), buffer_, sizeof buffer_, flags, reinterpret_cast<sockaddr*>(&from), &size);
    if (got > 0 && from.nl_pid != 0) continue;  // not from the kernel: any process may send to us
    if (got > 0) return {buffer_, static_cast<size_t>(got)};
    if (got == 0 || errno == EINTR) continue;
    if (errno == EAGAIN && (flags & MSG_DONTWAIT) == 0) errno = ETIMEDOUT;
    return {};
  }
}

int NetlinkSocket::verdict_of(const nlmsghdr& message) noexcept {
  if (message.nlmsg_type == NLMSG_DONE) return 0;
  if (message.nlmsg_type != NLMSG_ERROR) return kMore;
  const auto* answer = fixed_part<nlmsgerr>(message);
  return answer == nullptr ? EPROTO : -answer->error;
}

}  // namespace trunkline::io
