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
#include "io/wake_event.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // Linux 4.18
#endif
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

// What a completion is about: kind in the upper half of user_data, endpoint or slot in the lower.
enum class Kind : uint32_t { kReceive = 1, kSend = 2, kCancel = 3 };
constexpr uint64_t tag(Kind kind, uint32_t index) {
  return (static_cast<uint64_t>(kind) << 32) | index;
}

// One send in flight; everything the kernel may read until it completes.
struct SendSlot {
  msghdr header{};
  SocketAddress name{};
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))]{};
  iovec payloads[kMaxRunSegments]{};
  Buffer* buffers[kMaxRunSegments]{};
  SendRun run{};
  uint16_t endpoint = 0;
};

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
  void on_sent(int result, uint32_t slot) noexcept;
  void refill() noexcept;
  void arm() noexcept;
  bool to_packet(const Arrival& arrival, Packet& packet, Nanos now) noexcept;

  SendSlot* next_slot() noexcept;
  bool send_parts(Packet& packet) noexcept;
  void send(SendSlot& slot, std::span<const Packet> packets) noexcept;
  void send_singly(const SendSlot& slot) noexcept;

  core::PacketPool pool_;
  std::unique_ptr<ProvidedBuffers> provided_;  // before uring_: outlives it
  std::unique_ptr<SendSlot[]> slots_;
  std::vector<uint32_t> free_slots_;  // a stack: the slot used last is still in the cache
  std::unique_ptr<Uring> uring_;
  std::vector<UdpSocket> endpoints_;
  std::vector<uint16_t> unarmed_;  // endpoints whose receive has to be armed (again)
  std::vector<Arrival> arrivals_;  // a ring of as many as there are buffers
  uint32_t arrivals_head_ = 0;
  uint32_t arrivals_tail_ = 0;
  uint32_t provide_ = kMostProvided;  // buffers the kernel is to have
  uint32_t with_kernel_ = 0;          // buffers provided and not yet filled
  uint32_t in_flight_ = 0;            // sends
  uint32_t receiving_ = 0;            // receives armed
  uint32_t lent_ = 0;
  uint32_t core_;
  msghdr receive_template_{};
  WakeEvent wake_event_;
  PortCounters counters_;
  bool gso_wanted_;
  bool gso_ = false;
  bool started_ = false;
  bool collected_ = false;  // poll() has just asked the kernel: receive_burst() need not
};

UringPort::UringPort(const PortOptions& options, std::unique_ptr<Uring> uring,
                     std::unique_ptr<ProvidedBuffers> provided)
    : pool_(options.receive_buffers, options.receive_buffer_bytes + kHeadroom, *options.pages),
      provided_(std::move(provided)),
      slots_(std::make_unique<SendSlot[]>(options.sends_in_flight)),
      uring_(std::move(uring)),
      arrivals_(std::bit_ceil(options.receive_buffers)),
      core_(options.core),
      gso_wanted_(options.gso) {
  receive_template_.msg_namelen = kNameBytes;
  receive_template_.msg_controllen = kControlBytes;
  for (uint32_t i = options.sends_in_flight; i > 0; --i) free_slots_.push_back(i - 1);
}

// Takes back what the kernel still holds, so that it writes into no freed memory and the addresses are free
// at once (closing a ring lets go of both some time later): bounded, and only on the owning thread, as the
// kernel refuses any other.
UringPort::~UringPort() {
  if (io_uring_sqe* sqe = started_ ? io_uring_get_sqe(uring_->get()) : nullptr; sqe != nullptr) {
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = tag(Kind::kCancel, 0);
    for (int attempt = 0; attempt < 100 && (in_flight_ != 0 || receiving_ != 0); ++attempt) {
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
    switch (static_cast<Kind>(cqe->user_data >> 32)) {
      case Kind::kReceive:
        on_receive(*cqe, static_cast<uint16_t>(index));
        break;
      case Kind::kSend:
        on_sent(cqe->res, index);
        break;
      case Kind::kCancel:
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
    sqe->user_data = tag(Kind::kReceive, endpoint);
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

// A slot for one send, and room for its submission; nullptr when the kernel holds as much as it may.
SendSlot* UringPort::next_slot() noexcept {
  if (free_slots_.empty() || io_uring_sq_space_left(uring_->get()) == 0) enter();
  if (free_slots_.empty() || io_uring_sq_space_left(uring_->get()) == 0) return nullptr;
  return &slots_[free_slots_.back()];
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
    SendSlot* slot = next_slot();
    if (slot == nullptr) break;
    const auto rest = packets.subspan(taken);
    slot->run = gso_ ? next_run(rest) : SendRun{1, 1, rest.front().length, 0};
    send(*slot, rest.first(slot->run.packets));
    taken += slot->run.packets;
  }
  uint64_t refused = 0;
  for (const Packet& packet : packets.subspan(taken)) refused += packet.datagrams();
  if (refused != 0) counters_.add(PortCounter::tx_refused, refused);
  return taken;
}

// Sends a run datagram by datagram; false when no slot was left, and the packet is what remains of it.
bool UringPort::send_parts(Packet& packet) noexcept {
  while (true) {
    SendSlot* slot = next_slot();
    if (slot == nullptr) return false;
    Packet part = packet;
    part.length = std::min<uint32_t>(packet.segment_size, packet.length);
    const bool last = part.length == packet.length;
    if (!last && packet.buffer != nullptr) packet.buffer->pool->retain(packet.buffer);
    slot->run = {1, 1, part.length, 0};
    send(*slot, {&part, 1});
    packet.data += part.length;
    packet.length -= part.length;
    if (last) return true;
  }
}

// Queues slot->run, which is `packets`. The slot is the top of free_slots_.
void UringPort::send(SendSlot& slot, std::span<const Packet> packets) noexcept {
  io_uring_sqe* sqe = io_uring_get_sqe(uring_->get());
  TL_CHECK(sqe != nullptr);  // next_slot() saw room for it
  const Packet& first = packets.front();
  slot.endpoint = first.owner_port;
  for (size_t i = 0; i < packets.size(); ++i) {
    slot.payloads[i] = {packets[i].data, packets[i].length};
    slot.buffers[i] = packets[i].buffer;
  }
  slot.header.msg_name = &slot.name;
  slot.header.msg_namelen = to_socket_address(first.address, slot.name);
  slot.header.msg_iov = slot.payloads;
  slot.header.msg_iovlen = packets.size();
  slot.header.msg_control = nullptr;
  slot.header.msg_controllen = 0;
  if (slot.run.segment_size != 0) {
    auto* control = reinterpret_cast<cmsghdr*>(slot.control);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    std::memcpy(CMSG_DATA(control), &slot.run.segment_size, sizeof slot.run.segment_size);
    slot.header.msg_control = slot.control;
    slot.header.msg_controllen = sizeof slot.control;
  }
  io_uring_prep_sendmsg(sqe, slot.endpoint, &slot.header, 0);
  sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = tag(Kind::kSend, free_slots_.back());
  free_slots_.pop_back();
  ++in_flight_;
}

void UringPort::on_sent(int result, uint32_t index) noexcept {
  SendSlot& slot = slots_[index];
  if (result >= 0) {
    counters_.add(PortCounter::tx_runs);
    counters_.add(PortCounter::tx_datagrams, slot.run.datagrams);
    counters_.add(PortCounter::tx_bytes, slot.run.bytes);
  } else if (slot.run.segment_size != 0 && (result == -EIO || result == -EINVAL)) {
    send_singly(slot);
  } else {
    counters_.add(PortCounter::tx_errors, slot.run.datagrams);
  }
  for (uint32_t i = 0; i < slot.run.packets; ++i)
    if (Buffer* buffer = slot.buffers[i]; buffer != nullptr) buffer->pool->release(buffer);
  free_slots_.push_back(index);
  --in_flight_;
}

// The way to this destination cannot take runs (no checksum offload, IPsec): a rare case, sent at once by
// ordinary calls. In a run every payload but the last is a whole number of segments.
void UringPort::send_singly(const SendSlot& slot) noexcept {
  const int fd = endpoints_[slot.endpoint].fd.get();
  for (uint32_t i = 0; i < slot.run.packets; ++i) {
    const iovec& payload = slot.payloads[i];
    for (size_t offset = 0; offset < payload.iov_len; offset += slot.run.segment_size) {
      const size_t bytes = std::min<size_t>(slot.run.segment_size, payload.iov_len - offset);
      counters_.add(PortCounter::syscalls);
      const bool sent = ::sendto(fd, static_cast<const uint8_t*>(payload.iov_base) + offset, bytes,
                                 MSG_DONTWAIT, &slot.name.base, slot.header.msg_namelen) >= 0;
      counters_.add(sent ? PortCounter::tx_datagrams : PortCounter::tx_errors);
      if (!sent) continue;
      counters_.add(PortCounter::tx_runs);
      counters_.add(PortCounter::tx_bytes, bytes);
    }
  }
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
  // The ring is readable when a completion, or work that leads to one, is there. kBatch leaves it out: work
  // gathers in the kernel without waking this thread.
  pollfd watched[2] = {{wake_event_.fd(), POLLIN, 0}, {uring_->get()->ring_fd, POLLIN, 0}};
  const int64_t ns = std::max<int64_t>(bound.ns, 0);
  const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
  ppoll(watched, until == SleepUntil::kAnyPacket ? 2 : 1, &timeout, nullptr);
  counters_.add(PortCounter::wakeups);
  counters_.add(PortCounter::syscalls);
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
