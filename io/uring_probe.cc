// The io_uring half of system_probe.h: sets up what the port sets up, and lets two datagrams arrive by one
// submission. Any thread; each probe makes and closes a ring of its own.
#include <sys/socket.h>

#include "io/system_probe.h"
#include "io/udp_socket.h"
#include "io/uring.h"

namespace trunkline::io {
namespace {

constexpr const char* kAllow =
    "sysctl -w kernel.io_uring_disabled=0; in a container also a seccomp profile that allows io_uring_setup, "
    "io_uring_enter and io_uring_register";

std::string kernel_needed(const char* version) {
  return std::string("needs Linux ") + version + " or later";
}

struct Loopback {
  UdpSocket receiver;
  UdpSocket sender;
};

core::Result<Loopback> make_loopback() {
  EndpointOptions options;
  options.bind = core::UdpAddress::v4(127, 0, 0, 1, 0);
  auto receiver = open_udp_socket(options, SocketMode::kBlocking);
  if (!receiver) return receiver.error();
  auto sender = open_udp_socket(options);
  if (!sender) return sender.error();
  return Loopback{std::move(*receiver), std::move(*sender)};
}

// How many of two datagrams a multishot recvmsg delivered; negative errno when it was refused.
int receive_two(Uring& uring, ProvidedBuffers& provided, const Loopback& loopback) {
  static constexpr uint32_t kBytes = 512;
  alignas(64) static uint8_t
      memory[2][kBytes];  // static: the kernel lets go of it some time after the ring closes
  provided.add(memory[0], kBytes, 0);
  provided.add(memory[1], kBytes, 1);
  provided.publish();
  msghdr message{};
  message.msg_namelen = sizeof(sockaddr_in6);
  io_uring_sqe* sqe = io_uring_get_sqe(uring.get());
  io_uring_prep_recvmsg_multishot(sqe, loopback.receiver.fd.get(), &message, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = ProvidedBuffers::kGroup;
  if (uring.enter() < 0) return -EIO;

  SocketAddress to;
  const socklen_t size = to_socket_address(loopback.receiver.address, to);
  int received = 0;
  for (int i = 0; i < 2; ++i) {
    if (::sendto(loopback.sender.fd.get(), "probe", 5, 0, &to.base, size) != 5) return -errno;
    __kernel_timespec bound{0, 100'000'000};
    io_uring_cqe* cqe = nullptr;
    if (const int error = io_uring_wait_cqe_timeout(uring.get(), &cqe, &bound); error < 0) return error;
    const int result = cqe->res;
    io_uring_cqe_seen(uring.get(), cqe);
    if (result < 0) return result;
    ++received;
  }
  return received;
}

}  // namespace

Feature probe_io_uring() {
  const auto uring = Uring::make(8, 16);
  if (!uring) return {false, uring.error().text, kAllow};
  return {true, std::string("a ring can be set up, ") + (*uring)->mode(), {}};
}

Feature probe_uring_defer_taskrun() {
  const auto uring = Uring::make(8, 16);
  if (!uring) return {false, uring.error().text, kAllow};
  if (!(*uring)->defers_taskrun()) return {false, (*uring)->mode(), kernel_needed("6.1")};
  return {true, "completions are posted when the loop asks", {}};
}

Feature probe_uring_buffer_ring() {
  auto uring = Uring::make(8, 16);
  if (!uring) return {false, uring.error().text, kAllow};
  const auto provided = ProvidedBuffers::make(**uring, 2);
  if (!provided) return {false, provided.error().text, kernel_needed("5.19")};
  return {true, "the kernel picks receive buffers from shared memory", {}};
}

Feature probe_uring_multishot_recvmsg() {
  std::unique_ptr<ProvidedBuffers> provided;  // before the ring: outlives it
  auto uring = Uring::make(8, 16);
  if (!uring) return {false, uring.error().text, kAllow};
  auto made = ProvidedBuffers::make(**uring, 2);
  if (!made) return {false, made.error().text, kernel_needed("5.19")};
  provided = std::move(*made);
  const auto loopback = make_loopback();
  if (!loopback) return {false, loopback.error().text, {}};
  if (!(*uring)->enable()) return {false, "io_uring: the ring cannot be enabled", kAllow};
  const int received = receive_two(**uring, *provided, *loopback);
  if (received == 2) return {true, "one submission receives many datagrams", {}};
  return {false, std::string("io_uring: multishot recvmsg refused: ") + std::strerror(-received),
          kernel_needed("6.0")};
}

}  // namespace trunkline::io
