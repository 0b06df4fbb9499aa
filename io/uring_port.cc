// See uring_port.h. Order of this file: opening, the one system call, receive, transmit, sleep.
#include "io/uring_port.h"

#include <netinet/udp.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "core/check.h"
#include "core/packet_pool.h"
#include "io/gso.h"
#include "io/udp_socket.h"
#include "io/uring.h"
#include "io/uring_sends.h"
#include "io/wake_event.h"

#ifndef UDP_GRO
#define UDP_GRO 104  // Linux 5.0
#endif

namespace trunkline::io {
namespace {

using core::Buffer;
using core::Error;
using core::Packet;
using core::Result;

// What the kernel writes in front of the payload of a multishot recvmsg: its header (16 bytes), the source,
// the control message with the GRO size. 28 + 20 are exactly what the two need, so all of it is one cache
// line and the payload begins on the next.
constexpr uint32_t kNameBytes = sizeof(sockaddr_in6);
constexpr uint32_t kControlBytes = CMSG_LEN(sizeof(int));
constexpr uint32_t kHeadroom = sizeof(io_uring_recvmsg_out) + kNameBytes + kControlBytes;
static_assert(kHeadroom == 64);

// How many buffers the kernel has to choose from: few while slabs are large (see next_burst), because it
// fills the oldest first and would walk through the cache with many. When they run out, receives end and are
// armed again with the next call.
constexpr uint32_t kLeastProvided = 16;
constexpr uint32_t kMostProvided = 128;
constexpr uint32_t kMaxEndpoints = 4096;
constexpr uint32_t kSubmissions = 512;
constexpr uint32_t kCompletions = 4096;

// A filled buffer that the caller has not taken yet.
struct Arrival {
  uint32_t bytes;  // headroom included
  uint16_t buffer;
  uint16_t endpoint;
};

class UringPort final : public Port {
 public:
  UringPort(const PortOptions& options, std::unique_ptr<Uring> uring,
            std::unique_ptr<ProvidedBuffers> provided);
  ~UringPort() override;

  Result<uint16_t> open_endpoint(const EndpointOptions& options) override;
  core::UdpAddress endpoint_address(uint16_t endpoint) const override {
    return endpoint < endpoints_.size() ? endpoints_[endpoint].address : core::UdpAddress{};
  }
  uint32_t receive_burst(std::span<Packet> out, Nanos now) noexcept override;
  void give_back(std::span<Packet> packets) noexcept override;
  uint32_t transmit_burst(std::span<Packet> packets, Nanos now) noexcept override;
  void poll(Nanos now) noexcept override;
  void wait(SleepUntil until, Nanos bound) noexcept override;
  void wake() noexcept override { wake_event_.signal(); }
  const PortCounters& counters() const noexcept override { return counters_; }
  const char* name() const noexcept override { return "uring"; }
  std::string describe() const override {
    return std::string("uring: multishot receives, ") + uring_->mode() + ", " +
           describe_sockets(endpoints_, gso_);
  }

 private:
  void start() noexcept;
  void run() noexcept;
  void enter() noexcept;
  void collect() noexcept;
  void on_receive(const io_uring_cqe& cqe, uint16_t endpoint) noexcept;
  void refill() noexcept;
  void arm() noexcept;
  bool to_packet(const Arrival& arrival, Packet& packet, Nanos now) noexcept;

  bool ready_to_send() noexcept;
  bool send_parts(Packet& packet) noexcept;

  core::PacketPool pool_;
  std::unique_ptr<ProvidedBuffers> provided_;  // before uring_: outlives it
  PortCounters counters_;
  UringSends sends_;  // before uring_: outlives it
  std::unique_ptr<Uring> uring_;
  std::vector<UdpSocket> endpoints_;
  std::vector<uint16_t> unarmed_;  // endpoints whose receive has to be armed (again)
  std::vector<Arrival> arrivals_;  // a ring of as many as there are buffers
  uint32_t arrivals_head_ = 0;
  uint32_t arrivals_tail_ = 0;
  uint32_t provide_ = kMostProvided;  // buffers the kernel is to have
  uint32_t with_kernel_ = 0;          // buffers provided and not yet filled
  uint32_t receiving_ = 0;            // receives armed
  uint32_t lent_ = 0;
  uint32_t core_;
  msghdr receive_template_{};
  WakeEvent wake_event_;
  WakeEvent work_event_;  // signalled by the kernel, only while wait() listens
  bool gso_wanted_;
  bool gso_ = false;
  bool started_ = false;
  bool collected_ = false;  // poll() has just asked the kernel: receive_burst() need not
};

UringPort::UringPort(const PortOptions& options, std::unique_ptr<Uring> uring,
                     std::unique_ptr<ProvidedBuffers> provided)
    : pool_(options.receive_buffers, options.receive_buffer_bytes + kHeadroom, *options.pages),
      provided_(std::move(provided)),
      sends_(*uring, counters_, options.sends_in_flight),
      uring_(std::move(uring)),
      arrivals_(std::bit_ceil(options.receive_buffers)),
      core_(options.core),
      gso_wanted_(options.gso) {
  receive_template_.msg_namelen = kNameBytes;
  receive_template_.msg_controllen = kControlBytes;
}

// Takes back what the kernel still holds, so that it writes into no freed memory and the addresses are free
// at once (closing a ring lets go of both some time later): bounded, and only on the owning thread, as the
// kernel refuses any other.
UringPort::~UringPort() {
  if (io_uring_sqe* sqe = started_ ? io_uring_get_sqe(uring_->get()) : nullptr; sqe != nullptr) {
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = uring_tag(UringWork::kCancel, 0);
    for (int attempt = 0; attempt < 100 && (sends_.in_flight() != 0 || receiving_ != 0); ++attempt) {
      if (uring_->enter() < 0) break;
      collect();
    }
  }
  io_uring_unregister_files(uring_->get());
}

Result<uint16_t> UringPort::open_endpoint(const EndpointOptions& options) {
  if (endpoints_.size() >= kMaxEndpoints)
    return Error{
        0, "io_uring: cannot open more than " + std::to_string(kMaxEndpoints) + " endpoints on one port"};
  Result<UdpSocket> socket = open_udp_socket(options, SocketMode::kBlocking);
  if (!socket) return socket.error();
  const auto endpoint = static_cast<uint16_t>(endpoints_.size());
  const int fd = socket->fd.get();
  if (const int error = -io_uring_register_files_update(uring_->get(), endpoint, &fd, 1); error > 0)
    return Error{0, "io_uring: cannot register " + socket->address.to_string() + ": " + std::strerror(error)};
  if (endpoints_.empty()) gso_ = gso_wanted_ && socket->gso;
  endpoints_.push_back(std::move(*socket));
  unarmed_.reserve(endpoints_.size());
  unarmed_.push_back(endpoint);
  return endpoint;
}

// ---- the one system call

void UringPort::start() noexcept {
  TL_CHECK(uring_->enable());
  io_uring_cq_eventfd_toggle(uring_->get(), false);
  io_uring_register_eventfd(uring_->get(), work_event_.fd());  // refused: idle waits last to their bound
  started_ = true;
}

// Takes what is complete, arms what has ended, and enters the kernel when there is a reason to.
void UringPort::run() noexcept {
  if (!started_) start();
  collect();
  refill();
  arm();
  if (uring_->wants_enter()) enter();
}

void UringPort::enter() noexcept {
  counters_.add(PortCounter::syscalls);
  uring_->enter();  // EBUSY, EAGAIN, EINTR: what was not submitted stays queued for the next call
  collect();
}

void UringPort::collect() noexcept {
  io_uring* ring = uring_->get();
  uint32_t head = 0;
  uint32_t seen = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(ring, head, cqe) {
    ++seen;
    const auto index = static_cast<uint32_t>(cqe->user_data);
    switch (static_cast<UringWork>(cqe->user_data >> 32)) {
      case UringWork::kReceive:
        on_receive(*cqe, static_cast<uint16_t>(index));
        break;
      case UringWork::kSend:
        sends_.complete(cqe->res, index, endpoints_);
        break;
      case UringWork::kCancel:
        break;
    }
  }
  io_uring_cq_advance(ring, seen);
}

// ---- receive

void UringPort::on_receive(const io_uring_cqe& cqe, uint16_t endpoint) noexcept {
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
    --receiving_;
    unarmed_.push_back(endpoint);
  }
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    const uint32_t mask = static_cast<uint32_t>(arrivals_.size()) - 1;
    const auto buffer = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    arrivals_[arrivals_tail_++ & mask] = {static_cast<uint32_t>(std::max(cqe.res, 0)), buffer, endpoint};
    --with_kernel_;
  } else if (cqe.res == -ENOBUFS) {
    counters_.add(PortCounter::rx_no_buffer);
  } else if (cqe.res < 0 && cqe.res != -ECANCELED) {
    counters_.add(PortCounter::rx_errors);
  }
}

void UringPort::refill() noexcept {
  while (with_kernel_ < provide_ && pool_.free_count() != 0) {
    Buffer* buffer = pool_.try_alloc();
    provided_->add(buffer->data, buffer->capacity, static_cast<uint16_t>(buffer->index));
    ++with_kernel_;
  }
  provided_->publish();
}

// Arms every receive that has ended, once there are buffers to receive into.
void UringPort::arm() noexcept {
  if (with_kernel_ == 0) return;
  while (!unarmed_.empty()) {
    io_uring_sqe* sqe = io_uring_get_sqe(uring_->get());
    if (sqe == nullptr) return;  // the rest with the next call
    const uint16_t endpoint = unarmed_.back();
    unarmed_.pop_back();
    io_uring_prep_recvmsg_multishot(sqe, endpoint, &receive_template_, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = ProvidedBuffers::kGroup;
    sqe->user_data = uring_tag(UringWork::kReceive, endpoint);
    ++receiving_;
  }
}

uint32_t UringPort::receive_burst(std::span<Packet> out, Nanos now) noexcept {
  if (!collected_) run();
  collected_ = false;
  const uint32_t mask = static_cast<uint32_t>(arrivals_.size()) - 1;
  uint64_t datagrams = 0;
  uint64_t bytes = 0;
  uint32_t packets = 0;
  while (packets < out.size() && arrivals_head_ != arrivals_tail_) {
    const Arrival& arrival = arrivals_[arrivals_head_++ & mask];
    Packet& packet = out[packets];
    if (!to_packet(arrival, packet, now)) continue;
    datagrams += packet.datagrams();
    bytes += packet.length;
    ++packets;
  }
  if (packets == 0) return 0;
  lent_ += packets;
  provide_ = next_burst(packets, bytes, kLeastProvided, kMostProvided);
  counters_.add(PortCounter::rx_runs, packets);
  counters_.add(PortCounter::rx_datagrams, datagrams);
  counters_.add(PortCounter::rx_bytes, bytes);
  return packets;
}

// False: truncated, counted, its buffer free again.
bool UringPort::to_packet(const Arrival& arrival, Packet& packet, Nanos now) noexcept {
  Buffer* buffer = pool_.at(arrival.buffer);
  io_uring_recvmsg_out head{};
  const bool whole = arrival.bytes >= kHeadroom;
  if (whole) std::memcpy(&head, buffer->data, sizeof head);
  if (!whole || (head.flags & MSG_TRUNC) != 0) {
    counters_.add(PortCounter::rx_truncated);
    pool_.release(buffer);
    return false;
  }
  packet = Packet{};
  packet.buffer = buffer;
  packet.data = buffer->data + kHeadroom;
  packet.length = arrival.bytes - kHeadroom;
  packet.owner_port = arrival.endpoint;
  packet.owner_core = static_cast<uint8_t>(core_);
  packet.time = now;

  SocketAddress name{};
  std::memcpy(&name, buffer->data + sizeof head, kNameBytes);
  from_socket_address(name, packet.address);
  if (head.controllen >= kControlBytes) {
    const uint8_t* control = buffer->data + sizeof head + kNameBytes;
    cmsghdr message{};
    int size = 0;
    std::memcpy(&message, control, sizeof message);
    std::memcpy(&size, control + CMSG_LEN(0), sizeof size);
    const bool is_gro = message.cmsg_level == SOL_UDP && message.cmsg_type == UDP_GRO;
    if (is_gro && size > 0 && static_cast<uint32_t>(size) < packet.length)
      packet.segment_size = static_cast<uint16_t>(size);
  }
  return true;
}

void UringPort::give_back(std::span<Packet> packets) noexcept {
  TL_CHECK(packets.size() <= lent_);
  lent_ -= static_cast<uint32_t>(packets.size());
  for (Packet& packet : packets) {
    pool_.release(packet.buffer);
    packet.buffer = nullptr;
  }
}

// ---- transmit

// Room for one more send, if need be after one entry into the kernel.
bool UringPort::ready_to_send() noexcept {
  if (sends_.full()) enter();
  return !sends_.full();
}

uint32_t UringPort::transmit_burst(std::span<Packet> packets, Nanos) noexcept {
  if (!started_) start();
  uint32_t taken = 0;
  while (taken < packets.size()) {
    TL_DCHECK(packets[taken].owner_port < endpoints_.size());
    if (!gso_ && packets[taken].datagrams() > 1) {
      if (!send_parts(packets[taken])) break;
      ++taken;
      continue;
    }
    if (!ready_to_send()) break;
    const auto rest = packets.subspan(taken);
    const SendRun run = gso_ ? next_run(rest) : SendRun{1, 1, rest.front().length, 0};
    sends_.queue(rest.first(run.packets), run);
    taken += run.packets;
  }
  uint64_t refused = 0;
  for (const Packet& packet : packets.subspan(taken)) refused += packet.datagrams();
  if (refused != 0) counters_.add(PortCounter::tx_refused, refused);
  return taken;
}

// Sends a run datagram by datagram; false when there was no more room, and the packet is what remains of it.
bool UringPort::send_parts(Packet& packet) noexcept {
  while (ready_to_send()) {
    Packet part = packet;
    part.length = std::min<uint32_t>(packet.segment_size, packet.length);
    const bool last = part.length == packet.length;
    if (!last && packet.buffer != nullptr) packet.buffer->pool->retain(packet.buffer);
    sends_.queue({&part, 1}, {1, 1, part.length, 0});
    packet.data += part.length;
    packet.length -= part.length;
    if (last) return true;
  }
  return false;
}

void UringPort::poll(Nanos) noexcept {
  run();
  collected_ = true;
}

// ---- sleep

void UringPort::wait(SleepUntil until, Nanos bound) noexcept {
  run();
  const uint32_t arrived = arrivals_tail_ - arrivals_head_;
  if (arrived >= (until == SleepUntil::kAnyPacket ? 1 : kMaxBurst)) return;
  static thread_local bool timers_sharp = false;
  if (!timers_sharp) {
    sharpen_thread_timers();
    timers_sharp = true;
  }
  // The ring is readable when a completion, or work that leads to one, is there; but while its owner defers
  // that work, a ring does not end a poll that has begun before. The registered event does, so the ring is
  // for what was there already. kBatch leaves both out: work gathers in the kernel without waking this
  // thread.
  const bool any = until == SleepUntil::kAnyPacket;
  pollfd watched[3] = {
      {wake_event_.fd(), POLLIN, 0}, {uring_->get()->ring_fd, POLLIN, 0}, {work_event_.fd(), POLLIN, 0}};
  const int64_t ns = std::max<int64_t>(bound.ns, 0);
  const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
  if (any) io_uring_cq_eventfd_toggle(uring_->get(), true);
  ppoll(watched, any ? 3 : 1, &timeout, nullptr);
  if (any) io_uring_cq_eventfd_toggle(uring_->get(), false);
  counters_.add(PortCounter::wakeups);
  counters_.add(PortCounter::syscalls);
  if ((watched[2].revents & POLLIN) != 0) {
    work_event_.drain();
    counters_.add(PortCounter::syscalls);
  }
  if ((watched[0].revents & POLLIN) != 0) {
    wake_event_.drain();
    counters_.add(PortCounter::syscalls);
  }
}

}  // namespace

Result<std::unique_ptr<Port>> make_uring_port(const PortOptions& options) {
  auto uring = Uring::make(kSubmissions, kCompletions);
  if (!uring) return uring.error();
  auto provided = ProvidedBuffers::make(**uring, kMostProvided);
  if (!provided) return provided.error();
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const auto slots = static_cast<unsigned>(std::min<rlim_t>(files.rlim_cur, kMaxEndpoints));
  if (const int error = -io_uring_register_files_sparse((*uring)->get(), slots); error != 0)
    return Error{0, std::string("io_uring: cannot register files: ") + std::strerror(error)};
  return std::unique_ptr<Port>(std::make_unique<UringPort>(options, std::move(*uring), std::move(*provided)));
}

}  // namespace trunkline::io
