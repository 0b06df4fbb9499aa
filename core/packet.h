// Packet: the one packet type. Every port receives and transmits arrays of it, every stage of the packet path
// reads it: one cache line that says where the bytes are, where they came from or go to, and who must get the
// buffer back.
//
// A Packet owns nothing by itself: it stands for one reference on its Buffer. Whoever holds it last releases
// that reference, on the core that owns the pool (owner_core).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/cacheline.h"
#include "core/ids.h"
#include "core/time.h"
#include "core/udp_address.h"

namespace trunkline::core {

class PacketPool;

// Header of one pool buffer. The headers lie side by side, apart from the bytes, so that a device or the
// kernel may be given the bytes whole. The counts are plain: only the core that owns the pool touches them.
struct Buffer {
  uint8_t* data = nullptr;     // first byte, 64-byte aligned
  PacketPool* pool = nullptr;  // where it goes back to
  uint32_t capacity = 0;       // bytes at data
  uint32_t refs = 0;           // packets (and ports) that still need the bytes; 0: in the pool
  uint32_t index = 0;          // position in the pool, 0 .. count-1
  uint32_t lent = 0;           // of `refs`, those that other cores hold (packet_return.h)
};
static_assert(sizeof(Buffer) == 32, "two to a line");

struct alignas(kCacheLine) Packet {
  uint8_t* data = nullptr;    // first byte of this packet, somewhere inside the buffer
  Buffer* buffer = nullptr;   // what `data` points into; nullptr: bytes that belong to someone else
  uint32_t length = 0;        // bytes at data
  uint16_t segment_size = 0;  // 0: one datagram; else `length` bytes are a run of datagrams of this size
                              // (UDP GRO or GSO), the last of which may be shorter
  uint8_t traffic_class = 0;  // of the wire record: control, audio, video base, rest
  uint8_t flags = 0;          // of the wire record: keyframe, frame end
  Label label{};              // of the wire record, in the receiver's number space
  uint16_t owner_port = 0;    // the port that received it, to which the buffer returns
  uint8_t owner_core = 0;     // the core whose pool the buffer is of
  uint8_t reserved = 0;
  UdpAddress address{};     // received: source; to transmit: destination
  uint32_t reserved_2 = 0;  // makes the layout explicit; zero
  Nanos time{};             // received: arrival; to transmit: when it is due, zero for now

  // How many datagrams the bytes are; an empty packet is one empty datagram.
  uint32_t datagrams() const noexcept {
    return segment_size == 0 || length <= segment_size ? 1 : (length + segment_size - 1) / segment_size;
  }
};

static_assert(sizeof(Packet) == 64 && alignof(Packet) == 64);
static_assert(offsetof(Packet, label) == 24 && offsetof(Packet, address) == 32 &&
              offsetof(Packet, time) == 56);
static_assert(std::is_trivially_copyable_v<Packet>);

}  // namespace trunkline::core
