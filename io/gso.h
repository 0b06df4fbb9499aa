// Which neighbours in a burst can leave as one GSO run, and how large a burst should be.
//
// The kernel's cost of a datagram is mostly paid per send operation, not per byte: a run of 16 datagrams in
// one operation costs about an eighth of 16 operations (docs/performance.md). A caller that already hands
// over runs keeps them; single datagrams of equal size to the same place, in neighbouring positions, are
// gathered into a run here without copying (one iovec each). Nothing is reordered and nothing waits.
//
// Pure functions over the caller's span; a few comparisons per packet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "core/packet.h"
#include "io/port.h"

namespace trunkline::io {

// The packets [0, packets) of a span, as one operation.
struct SendRun {
  uint32_t packets = 0;
  uint32_t datagrams = 0;
  uint32_t bytes = 0;
  uint16_t segment_size = 0;  // 0: one datagram, no UDP_SEGMENT
};

// The size of each datagram in `packet` but the last, which may be shorter.
inline uint32_t segment_bytes(const core::Packet& packet) noexcept {
  const bool is_run = packet.segment_size != 0 && packet.segment_size < packet.length;
  return is_run ? packet.segment_size : packet.length;
}

// The longest run from the front of `rest`. Contract: `rest` is not empty.
inline SendRun next_run(std::span<const core::Packet> rest) noexcept {
  const core::Packet& first = rest.front();
  const uint32_t segment = segment_bytes(first);
  SendRun run{1, first.datagrams(), first.length, 0};
  // UDP_SEGMENT is a 16-bit field, and only the last datagram of a run may be shorter than the others.
  bool open = segment != 0 && run.bytes == run.datagrams * segment && segment <= UINT16_MAX;
  for (uint32_t i = 1; open && i < rest.size(); ++i) {
    const core::Packet& next = rest[i];
    const uint32_t next_segment = segment_bytes(next);
    if (next.length == 0 || next_segment > segment || (next_segment < segment && next_segment != next.length))
      break;
    const uint32_t more = next.datagrams();
    if (run.datagrams + more > kMaxRunSegments || run.bytes + next.length > kMaxRunBytes) break;
    if (next.owner_port != first.owner_port || !(next.address == first.address)) break;
    run.packets += 1;
    run.datagrams += more;
    run.bytes += next.length;
    open = run.bytes == run.datagrams * segment;
  }
  if (run.datagrams > 1) run.segment_size = static_cast<uint16_t>(segment);
  return run;
}

// How many buffers of the average size of the last burst to ask for in the next one. The bytes of one burst
// should stay in the second-level cache (1 MiB on the cores we know) between the kernel's copy, the loop's
// work and the kernel's next copy: half of it, which leaves room for the outputs. Follows the last burst; a
// port that turns from audio to video overshoots once. Contract: count > 0.
inline uint32_t next_burst(uint32_t count, uint64_t bytes, uint32_t least, uint32_t most) noexcept {
  constexpr uint64_t kBurstBytes = 512u << 10;
  return static_cast<uint32_t>(std::clamp<uint64_t>(kBurstBytes * count / (bytes + 1), least, most));
}

}  // namespace trunkline::io
