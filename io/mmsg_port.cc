// See mmsg_port.h. Order of this file: opening, receive, transmit, sleep.
#include "io/mmsg_port.h"

#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "core/check.h"
#include "io/mmsg_slots.h"

namespace trunkline::io {

using core::Buffer;
using core::Error;
using core::Packet;
using core::Result;

namespace {

// Fewer would cost a system call for too little.
constexpr uint32_t kLeastBurst = 8;

// With smaller buffers than this GRO would turn a long slab into a truncated one, so it is not asked for.
constexpr uint32_t kLargestSlab = 65'535;

Error no_memory() {
  return Error{0,
               "cannot open an endpoint: the page source had no memory for the receive buffers; lower "
               "receive_buffers, or give the process more memory"};
}

}  // namespace

MmsgPort::MmsgPort(const PortOptions& options)
    : pool_(options.receive_buffers, options.receive_buffer_bytes, *options.pages),
      receive_(std::make_unique<MmsgReceiveSlots>()),
      send_(std::make_unique<MmsgSendSlots>()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      burst_limit_(kMaxBurst),
      core_(options.core),
      receive_fits_slabs_(options.receive_buffer_bytes >= kLargestSlab),
      gso_wanted_(options.gso) {
  TL_CHECK(epoll_);
}

MmsgPort::~MmsgPort() {
  for (Buffer* buffer : receive_->buffers)
    if (buffer != nullptr) pool_.release(buffer);
}

Result<uint16_t> MmsgPort::open_endpoint(const EndpointOptions& options) {
  if (pool_.count() == 0) return no_memory();
  if (endpoints_.size() >= UINT16_MAX) return Error{0, "cannot open more than 65535 endpoints on one port"};
  EndpointOptions granted = options;
  granted.gro = options.gro && receive_fits_slabs_;
  Result<UdpSocket> socket = open_udp_socket(granted);
  if (!socket) return socket.error();
  const int fd = socket->fd.get();

  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = static_cast<uint32_t>(endpoints_.size());
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return Error{0, explain_socket_error(socket->address, errno)};

  if (endpoints_.empty()) gso_ = gso_wanted_ && socket->gso;
  endpoints_.push_back(std::move(*socket));
  return static_cast<uint16_t>(endpoints_.size() - 1);
}

core::UdpAddress MmsgPort::endpoint_address(uint16_t endpoint) const {
  return endpoint < endpoints_.size() ? endpoints_[endpoint].address : core::UdpAddress{};
}

// ---- receive

uint32_t MmsgPort::receive_burst(std::span<Packet> out, Nanos now) noexcept {
  const uint32_t wanted =
      std::min(burst_limit_, static_cast<uint32_t>(std::min<size_t>(out.size(), kMaxBurst)));
  const uint32_t slots = fill_slots(wanted);
  if (slots == 0) return 0;
  return endpoints_.size() <= kDirectEndpoints ? receive_direct(slots, out, now)
                                               : receive_ready(slots, out, now);
}

// Gives a buffer to each of the first `wanted` slots that lacks one; returns how many slots are ready.
uint32_t MmsgPort::fill_slots(uint32_t wanted) noexcept {
  for (uint32_t i = 0; i < wanted; ++i) {
    if (receive_->buffers[i] != nullptr) continue;
    Buffer* buffer = pool_.try_alloc();
    if (buffer == nullptr) {
      counters_.add(PortCounter::rx_no_buffer);
      return i;
    }
    receive_->buffers[i] = buffer;
    receive_->payloads[i] = {buffer->data, buffer->capacity};
  }
  return wanted;
}

uint32_t MmsgPort::receive_direct(uint32_t slots, std::span<Packet> out, Nanos now) noexcept {
  uint32_t used = 0;
  uint32_t packets = 0;
  const auto count = static_cast<uint32_t>(endpoints_.size());
  for (uint32_t i = 0; i < count && used < slots; ++i) {
    const auto endpoint = static_cast<uint16_t>((first_endpoint_ + i) % count);
    const uint32_t got = receive_from(endpoint, used, slots - used);
    packets += take_slots(endpoint, used, got, out.data() + packets, now);
    used += got;
  }
  if (count > 1) first_endpoint_ = static_cast<uint16_t>((first_endpoint_ + 1u) % count);
  return packets;
}

// Level-triggered epoll puts each endpoint it reported at the end of its ready list, so every endpoint that
// it reports must get at least one slot in this burst: no more are asked for than there are slots.
uint32_t MmsgPort::receive_ready(uint32_t slots, std::span<Packet> out, Nanos now) noexcept {
  epoll_event events[kMaxBurst];
  counters_.add(PortCounter::syscalls);
  const int ready = epoll_wait(epoll_.get(), events, static_cast<int>(slots), 0);
  uint32_t used = 0;
  uint32_t packets = 0;
  for (int i = 0; i < ready; ++i) {
    // What the earlier ones left unused is shared among those that are still to be asked.
    const uint32_t share = (slots - used) / static_cast<uint32_t>(ready - i);
    const auto endpoint = static_cast<uint16_t>(events[i].data.u32);
    const uint32_t got = receive_from(endpoint, used, share);
    packets += take_slots(endpoint, used, got, out.data() + packets, now);
    used += got;
  }
  return packets;
}

uint32_t MmsgPort::receive_from(uint16_t endpoint, uint32_t first, uint32_t count) noexcept {
  counters_.add(PortCounter::syscalls);
  const int got =
      recvmmsg(endpoints_[endpoint].fd.get(), &receive_->messages[first], count, MSG_DONTWAIT, nullptr);
  if (got >= 0) return static_cast<uint32_t>(got);
  if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) counters_.add(PortCounter::rx_errors);
  return 0;
}

// Turns filled slots into packets; returns how many, which is less than `count` when some were truncated.
uint32_t MmsgPort::take_slots(uint16_t endpoint, uint32_t first, uint32_t count, Packet* out,
                              Nanos now) noexcept {
  uint64_t bytes = 0;
  uint64_t datagrams = 0;
  uint32_t packets = 0;
  for (uint32_t i = first; i < first + count; ++i) {
    const mmsghdr& message = receive_->messages[i];
    const bool truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    const uint16_t segment_size = receive_->segment_size(i);
    receive_->reset(i);
    if (truncated) {  // the slot keeps its buffer
      counters_.add(PortCounter::rx_truncated);
      continue;
    }
    Packet& packet = out[packets];
    packet = Packet{};
    packet.buffer = receive_->buffers[i];
    packet.data = packet.buffer->data;
    packet.length = message.msg_len;
    packet.segment_size = segment_size;
    packet.owner_port = endpoint;
    packet.owner_core = core_;
    packet.time = now;
    from_socket_address(receive_->names[i], packet.address);
    receive_->buffers[i] = nullptr;
    bytes += packet.length;
    datagrams += packet.datagrams();
    ++packets;
  }
  if (count == 0) return 0;
  lent_ += packets;
  counters_.add(PortCounter::rx_runs, packets);
  counters_.add(PortCounter::rx_datagrams, datagrams);
  counters_.add(PortCounter::rx_bytes, bytes);
  if (packets != 0) burst_limit_ = next_burst(packets, bytes, kLeastBurst, kMaxBurst);
  return packets;
}

void MmsgPort::give_back(std::span<Packet> packets) noexcept {
  TL_CHECK(packets.size() <= lent_);
  lent_ -= static_cast<uint32_t>(packets.size());
  for (Packet& packet : packets) {
    pool_.release(packet.buffer);
    packet.buffer = nullptr;
  }
}

// ---- transmit

uint32_t MmsgPort::transmit_burst(std::span<Packet> packets, Nanos) noexcept {
  uint32_t taken = 0;
  while (taken < packets.size()) {
    const uint16_t endpoint = packets[taken].owner_port;
    uint32_t size = 1;
    while (size < kMaxBurst && taken + size < packets.size() && packets[taken + size].owner_port == endpoint)
      ++size;
    const uint32_t sent = send_group(packets.subspan(taken, size));
    taken += sent;
    if (sent < size) {
      count_refused(packets.subspan(taken));
      break;
    }
  }
  return taken;
}

// All of one endpoint, at most kMaxBurst packets. Returns how many, from the front, were taken over.
uint32_t MmsgPort::send_group(std::span<Packet> group) noexcept {
  const uint16_t endpoint = group.front().owner_port;
  TL_CHECK(endpoint < endpoints_.size());
  const int fd = endpoints_[endpoint].fd.get();

  uint32_t done = 0;                                                      // packets finished
  uint32_t split_until = gso_ ? 0 : static_cast<uint32_t>(group.size());  // those before it leave singly
  // Bounded: each turn finishes at least one message, refuses the rest, or turns one run into single
  // datagrams.
  while (done < group.size()) {
    const uint32_t count = prepare(group, done, split_until);
    for (uint32_t next = 0; next < count;) {
      counters_.add(PortCounter::syscalls);
      const int sent = sendmmsg(fd, &send_->headers[next], count - next, MSG_DONTWAIT);
      if (sent > 0) {
        for (const uint32_t end = next + static_cast<uint32_t>(sent); next < end; ++next)
          done = finish(group, next, true);
        continue;
      }
      const int error = sent == 0 ? EAGAIN : errno;
      if (error == EINTR) continue;
      if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM) return done;
      // EIO, EINVAL: the way to this destination cannot take runs (no checksum offload, IPsec).
      const MmsgSendSlots::Message& refused = send_->messages[next];
      if (refused.run.segment_size != 0 && (error == EIO || error == EINVAL)) {
        split_until = refused.first + refused.run.packets;
        break;
      }
      done = finish(group, next++, false);
    }
  }
  return done;
}

// Lays out up to kMaxBurst messages over group[from...]; returns how many.
uint32_t MmsgPort::prepare(std::span<Packet> group, uint32_t from, uint32_t split_until) noexcept {
  send_->clear();
  uint32_t i = from;
  while (i < group.size() && send_->count < kMaxBurst) {
    if (i >= split_until) {
      const SendRun run = next_run(group.subspan(i));
      for (uint32_t k = i; k < i + run.packets; ++k) send_->add_payload(group[k].data, group[k].length);
      send_->add_message({i, run, false, true}, group[i].address, run.packets);
      i += run.packets;
      continue;
    }
    const uint32_t segment = segment_bytes(group[i]);
    uint32_t offset = 0;
    do {
      const uint32_t bytes = std::min(segment, group[i].length - offset);
      const bool ends = offset + bytes == group[i].length;
      send_->add_payload(group[i].data + offset, bytes);
      send_->add_message({i, {1, 1, bytes, 0}, true, ends}, group[i].address, 1);
      offset += bytes;
    } while (offset < group[i].length && send_->count < kMaxBurst);
    ++i;
  }
  return send_->count;
}

// The kernel has taken or refused a message: counts it and releases what it completes. Returns how many
// packets of the group are finished.
uint32_t MmsgPort::finish(std::span<Packet> group, uint32_t message, bool sent) noexcept {
  const MmsgSendSlots::Message& done = send_->messages[message];
  if (sent) {
    counters_.add(PortCounter::tx_runs);
    counters_.add(PortCounter::tx_datagrams, done.run.datagrams);
    counters_.add(PortCounter::tx_bytes, done.run.bytes);
  } else {
    counters_.add(PortCounter::tx_errors, done.run.datagrams);
  }
  if (done.part) {  // what is left of the packet, should the socket be full before its end
    group[done.first].data += done.run.bytes;
    group[done.first].length -= done.run.bytes;
  }
  if (!done.ends) return done.first;
  for (uint32_t i = done.first; i < done.first + done.run.packets; ++i)
    if (Buffer* buffer = group[i].buffer; buffer != nullptr) buffer->pool->release(buffer);
  return done.first + done.run.packets;
}

void MmsgPort::count_refused(std::span<const Packet> packets) noexcept {
  uint64_t datagrams = 0;
  for (const Packet& packet : packets) datagrams += packet.datagrams();
  counters_.add(PortCounter::tx_refused, datagrams);
}

void MmsgPort::poll(Nanos) noexcept {}  // sending is synchronous: nothing is ever pending

// ---- sleep

void MmsgPort::wait(SleepUntil until, Nanos bound) noexcept {
  if (!timers_sharp_) {
    sharpen_thread_timers();
    timers_sharp_ = true;
  }
  // kBatch does not look at the sockets at all: they fill while this core sleeps, and one wake-up at the
  // bound takes everything that came.
  pollfd watched[1 + kDirectEndpoints];
  nfds_t count = 0;
  watched[count++] = {wake_event_.fd(), POLLIN, 0};
  if (until == SleepUntil::kAnyPacket) {
    if (endpoints_.size() > kDirectEndpoints) {
      watched[count++] = {epoll_.get(), POLLIN, 0};
    } else {
      for (const UdpSocket& endpoint : endpoints_) watched[count++] = {endpoint.fd.get(), POLLIN, 0};
    }
  }
  const int64_t ns = std::max<int64_t>(bound.ns, 0);
  const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
  ppoll(watched, count, &timeout, nullptr);
  counters_.add(PortCounter::wakeups);
  counters_.add(PortCounter::syscalls);
  if ((watched[0].revents & POLLIN) != 0) {
    wake_event_.drain();
    counters_.add(PortCounter::syscalls);
  }
}

std::string MmsgPort::describe() const {
  return "mmsg: recvmmsg and sendmmsg, " + describe_sockets(endpoints_, gso_);
}

}  // namespace trunkline::io
