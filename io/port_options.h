// What a socket port is given when it is made. Everything is fixed from here on: the data path allocates
// nothing.
#pragma once

#include <cstdint>

#include "core/page_source.h"
#include "io/port.h"

namespace trunkline::io {

struct PortOptions {
  // Where receive buffers come from; outlives the port. Contract: not null.
  core::PageSource* pages = nullptr;

  // Two bursts: one in the caller's hands and one being filled. A buffer that was never filled costs address
  // space only.
  uint32_t receive_buffers = 2 * kMaxBurst;

  // A GRO slab is up to 65 535 bytes. With smaller buffers GRO is not asked for, and a longer datagram is
  // lost.
  uint32_t receive_buffer_bytes = 64u << 10;

  // Runs leave as runs where the kernel can (UDP_SEGMENT). Off: every datagram is sent by itself.
  bool gso = true;

  // uring only: sends that the kernel may hold at once. Beyond it transmit_burst() refuses.
  uint32_t sends_in_flight = 256;

  // Packet::owner_core of what is received.
  uint8_t core = 0;
};

}  // namespace trunkline::io
