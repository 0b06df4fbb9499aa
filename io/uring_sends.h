// The sends that the kernel holds for an io_uring port: a fixed number of slots, each with everything the
// kernel may read until the send completes (message header, address, control message, the list of bytes).
//
// Free slots are a stack, so the one used last, still in the cache, is used next. Owned by its port, same
// thread. Memory: 1.7 KiB per slot, of which a send touches what its run needs.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/packet.h"
#include "io/gso.h"
#include "io/udp_socket.h"
#include "io/uring.h"

namespace trunkline::io {

class UringSends {
 public:
  // Both outlive it in use; the slots themselves must outlive the ring.
  UringSends(Uring& uring, PortCounters& counters, uint32_t slots);

  // No slot, or no room in the submission ring.
  bool full() noexcept { return free_.empty() || io_uring_sq_space_left(uring_.get()) == 0; }
  uint32_t in_flight() const noexcept { return in_flight_; }

  // Takes over `packets`, which are one run, and queues their send; the kernel sees it with the next entry.
  // Contract: !full().
  void queue(std::span<const core::Packet> packets, const SendRun& run) noexcept;

  // The kernel is done with `slot`: counts, releases the buffers, frees the slot.
  void complete(int result, uint32_t slot, std::span<const UdpSocket> endpoints) noexcept;

 private:
  struct Slot;
  void send_singly(const Slot& slot, int fd) noexcept;

  struct SlotArray {  // deletes where Slot is known
    void operator()(Slot* slots) const;
  };
  Uring& uring_;
  PortCounters& counters_;
  std::unique_ptr<Slot[], SlotArray> slots_;
  std::vector<uint32_t> free_;
  uint32_t in_flight_ = 0;
};

}  // namespace trunkline::io
