// See uring_sends.h.
#include "io/uring_sends.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "core/packet_pool.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103  // Linux 4.18
#endif

namespace trunkline::io {

using core::Buffer;
using core::Packet;

struct UringSends::Slot {
  msghdr header{};
  SocketAddress name{};
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))]{};
  iovec payloads[kMaxRunSegments]{};
  Buffer* buffers[kMaxRunSegments]{};
  SendRun run{};
  uint16_t endpoint = 0;
};

void UringSends::SlotArray::operator()(Slot* slots) const {
  delete[] slots;
}

UringSends::UringSends(Uring& uring, PortCounters& counters, uint32_t slots)
    : uring_(uring), counters_(counters), slots_(new Slot[slots]) {
  for (uint32_t i = slots; i > 0; --i) free_.push_back(i - 1);
}

void UringSends::queue(std::span<const Packet> packets, const SendRun& run) noexcept {
  io_uring_sqe* sqe = io_uring_get_sqe(uring_.get());
  TL_CHECK(sqe != nullptr && !free_.empty());
  const uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  const Packet& first = packets.front();
  slot.run = run;
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
  if (run.segment_size != 0) {
    auto* control = reinterpret_cast<cmsghdr*>(slot.control);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof run.segment_size);
    std::memcpy(CMSG_DATA(control), &run.segment_size, sizeof run.segment_size);
    slot.header.msg_control = slot.control;
    slot.header.msg_controllen = sizeof slot.control;
  }
  io_uring_prep_sendmsg(sqe, slot.endpoint, &slot.header, 0);
  sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = uring_tag(UringWork::kSend, index);
  ++in_flight_;
}

void UringSends::complete(int result, uint32_t index, std::span<const UdpSocket> endpoints) noexcept {
  Slot& slot = slots_[index];
  if (result >= 0) {
    counters_.add(PortCounter::tx_runs);
    counters_.add(PortCounter::tx_datagrams, slot.run.datagrams);
    counters_.add(PortCounter::tx_bytes, slot.run.bytes);
  } else if (slot.run.segment_size != 0 && (result == -EIO || result == -EINVAL)) {
    send_singly(slot, endpoints[slot.endpoint].fd.get());
  } else {
    counters_.add(PortCounter::tx_errors, slot.run.datagrams);
  }
  for (uint32_t i = 0; i < slot.run.packets; ++i)
    if (Buffer* buffer = slot.buffers[i]; buffer != nullptr) buffer->pool->release(buffer);
  free_.push_back(index);
  --in_flight_;
}

// The way to this destination cannot take runs (no checksum offload, IPsec): a rare case, sent at once by
// ordinary calls. In a run every payload but the last is a whole number of segments.
void UringSends::send_singly(const Slot& slot, int fd) noexcept {
  for (uint32_t i = 0; i < slot.run.packets; ++i) {
    const iovec& payload = slot.payloads[i];
    const auto* data = static_cast<const uint8_t*>(payload.iov_base);
    for (size_t offset = 0; offset < payload.iov_len; offset += slot.run.segment_size) {
      const size_t bytes = std::min<size_t>(slot.run.segment_size, payload.iov_len - offset);
      counters_.add(PortCounter::syscalls);
      const bool sent =
          ::sendto(fd, data + offset, bytes, MSG_DONTWAIT, &slot.name.base, slot.header.msg_namelen) >= 0;
      counters_.add(sent ? PortCounter::tx_datagrams : PortCounter::tx_errors);
      if (!sent) continue;
      counters_.add(PortCounter::tx_runs);
      counters_.add(PortCounter::tx_bytes, bytes);
    }
  }
}

}  // namespace trunkline::io
