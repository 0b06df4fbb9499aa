// The C ABI, part 3: packets. A packet is copied into a slot of the ring of the data core that owns its
// track, or written there by the host itself (claim, commit); received ones are read in place.
//
// Owned by the one host thread that has the queue open. No call blocks, allocates, or enters the kernel, but
// to wake a data core that sleeps.
#include <algorithm>

#include "relay/abi_state.h"

namespace {

using namespace trunkline;
using relay::abi_error;
using relay::HandleTable;
using relay::HostPacket;
using relay::HostPacketKind;

// Why a packet cannot be taken; the handle's entry when it can.
struct Checked {
  int error = 0;
  const HandleTable::Entry* entry = nullptr;
};

Checked check_handle(tl_queue* queue, uint64_t handle, const char* function) {
  const HandleTable::Entry* entry = queue->channel->handles.find(handle);
  if (entry == nullptr || entry->ending)
    return {abi_error(TL_ENOHANDLE, "%s: no publication or acquisition of this queue has the handle %#llx",
                      function, static_cast<unsigned long long>(handle))};
  if (!entry->ready)
    return {abi_error(TL_ENOTREADY, "%s: the handle %#llx is not confirmed yet: wait for its first event",
                      function, static_cast<unsigned long long>(handle))};
  return {0, entry};
}

int check_packet(const tl_packet& packet, bool publication, const char* function) {
  if (packet.length > HostPacket::kMaxBytes)
    return abi_error(TL_ETOOBIG, "%s: the packet has %u bytes; at most %u fit a slot", function,
                     packet.length, HostPacket::kMaxBytes);
  if (packet.length == 0) return abi_error(TL_EINVAL, "%s: the packet has no bytes", function);
  if (packet.traffic_class > TL_CLASS_AUDIO)
    return abi_error(TL_EINVAL, "%s: traffic_class is %u; it must be one of TL_CLASS_..., 0 to 2", function,
                     packet.traffic_class);
  const bool feedback = (packet.flags & TL_PACKET_FEEDBACK) != 0;
  if (feedback == publication)
    return abi_error(TL_EINVAL, "%s: %s", function,
                     publication ? "TL_PACKET_FEEDBACK belongs to packets of an acquisition"
                                 : "packets of an acquisition must carry TL_PACKET_FEEDBACK");
  return 0;
}

void fill_header(HostPacket& slot, const tl_packet& packet, const HandleTable::Entry& entry) {
  slot.handle = packet.handle;
  slot.flow = entry.flow;
  slot.length = static_cast<uint16_t>(packet.length);
  slot.kind = relay::is_publication(packet.handle) ? HostPacketKind::kMedia : HostPacketKind::kFeedback;
  slot.traffic_class = packet.traffic_class == TL_CLASS_REST ? relay::kClassOfTrack : packet.traffic_class;
  slot.keyframe = (packet.flags & TL_PACKET_KEYFRAME) != 0;
  slot.frame_end = (packet.flags & TL_PACKET_FRAME_END) != 0;
  slot.layer = packet.layer & 15;
}

uint32_t flags_of(const HostPacket& slot) {
  uint32_t flags = 0;
  if (slot.keyframe) flags |= TL_PACKET_KEYFRAME;
  if (slot.frame_end) flags |= TL_PACKET_FRAME_END;
  if (slot.kind == HostPacketKind::kFeedback) flags |= TL_PACKET_FEEDBACK;
  return flags;
}

int check_open(const tl_queue* queue, const char* function) {
  if (queue == nullptr) return abi_error(TL_EINVAL, "%s: queue is NULL", function);
  if (!queue->open) return abi_error(TL_EINVAL, "%s: the queue was closed", function);
  return 0;
}

}  // namespace

int tl_tx_burst(tl_queue* queue, const tl_packet* packets, uint32_t n) {
  if (const int error = check_open(queue, "tl_tx_burst")) return error;
  if (packets == nullptr && n != 0) return abi_error(TL_EINVAL, "tl_tx_burst: packets is NULL");
  if (!queue->claimed.empty())
    return abi_error(TL_EINVAL, "tl_tx_burst: a claim is open: tl_tx_commit it first, with 0 to drop it");
  uint32_t taken = 0;
  int error = 0;
  while (taken < n && error == 0) {
    // A run of packets for one core is published, and the core woken, once.
    Checked at = check_handle(queue, packets[taken].handle, "tl_tx_burst");
    if ((error = at.error) != 0) break;
    const core::CoreId core = at.entry->core;
    relay::HostPacketRing& ring = queue->rings[core.value]->to_core;
    const std::span<HostPacket> slots = ring.claim(n - taken);
    if (slots.empty()) break;
    uint32_t filled = 0;
    while (filled < slots.size()) {
      const tl_packet& packet = packets[taken + filled];
      if (filled > 0 && packet.handle != packets[taken + filled - 1].handle) {
        at = check_handle(queue, packet.handle, "tl_tx_burst");
        if ((error = at.error) != 0 || at.entry->core != core) break;
      }
      if ((error = check_packet(packet, relay::is_publication(packet.handle), "tl_tx_burst")) != 0) break;
      if (packet.data == nullptr) {
        error = abi_error(TL_EINVAL, "tl_tx_burst: packet %u has no data", taken + filled);
        break;
      }
      fill_header(slots[filled], packet, *at.entry);
      std::memcpy(slots[filled].bytes, packet.data, packet.length);
      ++filled;
    }
    ring.commit(filled);
    taken += filled;
    if (filled > 0) queue->runtime->wake_core(core);
  }
  return taken > 0 ? static_cast<int>(taken) : error;
}

int tl_tx_claim(tl_queue* queue, uint64_t handle, tl_packet* packets, uint32_t n) {
  if (const int error = check_open(queue, "tl_tx_claim")) return error;
  if (packets == nullptr && n != 0) return abi_error(TL_EINVAL, "tl_tx_claim: packets is NULL");
  if (!queue->claimed.empty())
    return abi_error(TL_EINVAL, "tl_tx_claim: a claim is open: tl_tx_commit it first, with 0 to drop it");
  const Checked at = check_handle(queue, handle, "tl_tx_claim");
  if (at.error != 0) return at.error;
  queue->claimed = queue->rings[at.entry->core.value]->to_core.claim(n);
  queue->claim_handle = handle;
  for (size_t i = 0; i < queue->claimed.size(); ++i) {
    packets[i] = tl_packet{};
    packets[i].data = queue->claimed[i].bytes;
    packets[i].capacity = HostPacket::kMaxBytes;
    packets[i].handle = handle;
    if (!relay::is_publication(handle)) packets[i].flags = TL_PACKET_FEEDBACK;
  }
  return static_cast<int>(queue->claimed.size());
}

int tl_tx_commit(tl_queue* queue, const tl_packet* packets, uint32_t n) {
  if (const int error = check_open(queue, "tl_tx_commit")) return error;
  if (packets == nullptr && n != 0) return abi_error(TL_EINVAL, "tl_tx_commit: packets is NULL");
  if (n > queue->claimed.size())
    return abi_error(TL_EINVAL, "tl_tx_commit: %u packets, and %zu were claimed", n, queue->claimed.size());
  const std::span<HostPacket> claimed = std::exchange(queue->claimed, {});
  const HandleTable::Entry* entry = queue->channel->handles.find(queue->claim_handle);
  if (n == 0) return 0;
  if (entry == nullptr)
    return abi_error(TL_ENOHANDLE, "tl_tx_commit: the handle %#llx ended since the claim",
                     static_cast<unsigned long long>(queue->claim_handle));
  uint32_t filled = 0;
  int error = 0;
  for (; filled < n; ++filled) {
    const tl_packet& packet = packets[filled];
    if (packet.data != claimed[filled].bytes || packet.handle != queue->claim_handle) {
      error = abi_error(TL_EINVAL, "tl_tx_commit: packet %u is not the one that was claimed", filled);
      break;
    }
    if ((error = check_packet(packet, relay::is_publication(packet.handle), "tl_tx_commit")) != 0) break;
    fill_header(claimed[filled], packet, *entry);
  }
  queue->rings[entry->core.value]->to_core.commit(filled);
  if (filled > 0) queue->runtime->wake_core(entry->core);
  return filled > 0 ? static_cast<int>(filled) : error;
}

int tl_rx_burst(tl_queue* queue, tl_packet* packets, uint32_t n) {
  if (const int error = check_open(queue, "tl_rx_burst")) return error;
  if (packets == nullptr && n != 0) return abi_error(TL_EINVAL, "tl_rx_burst: packets is NULL");
  if (queue->rx_total != 0)
    return abi_error(TL_EINVAL, "tl_rx_burst: the last burst was not returned: call tl_rx_release first");
  uint32_t count = 0;
  const auto cores = static_cast<uint32_t>(queue->rings.size());
  for (uint32_t i = 0; i < cores && count < n; ++i) {
    const uint32_t core = (queue->rx_first + i) % cores;
    const std::span<HostPacket> slots = queue->rings[core]->to_host.peek(n - count);
    for (HostPacket& slot : slots) {
      // Of a handle that has ended, or of the queue's former life: returned with the rest, shown to nobody.
      if (queue->channel->handles.find(slot.handle) == nullptr) continue;
      tl_packet& packet = packets[count++] = tl_packet{};
      packet.data = slot.bytes;
      packet.length = slot.length;
      packet.capacity = slot.length;
      packet.handle = slot.handle;
      packet.flags = flags_of(slot);
      packet.layer = slot.layer;
      packet.traffic_class = std::min<uint8_t>(slot.traffic_class, TL_CLASS_AUDIO);
      packet.time_ns = static_cast<uint64_t>(slot.time.ns);
    }
    queue->rx_taken[core] = static_cast<uint32_t>(slots.size());
    queue->rx_total += static_cast<uint32_t>(slots.size());
  }
  queue->rx_first = (queue->rx_first + 1) % cores;  // no core is always last
  if (count == 0) tl_rx_release(queue);             // nothing to show, so nothing to hold
  return static_cast<int>(count);
}

int tl_rx_release(tl_queue* queue) {
  if (const int error = check_open(queue, "tl_rx_release")) return error;
  for (size_t core = 0; core < queue->rings.size(); ++core)
    queue->rings[core]->to_host.release(std::exchange(queue->rx_taken[core], 0));
  queue->rx_total = 0;
  return 0;
}
