// The port contract: moving bursts of datagrams between the wire and memory.
//
// A Port belongs to one data core and is used by that core's thread only (wake() excepted). It has endpoints:
// local UDP addresses that were opened before the loop starts (the mesh address per family, one per ingest
// tap, ...); Packet::owner_port names the endpoint on both receive and transmit. Virtual calls are per burst,
// never per packet.
//
// Who owns what, until when
// - Receive: a received packet (its buffer and bytes) belongs to the caller until give_back(). One packet is
// one
//   datagram, or a GRO run of equal datagrams from one source (`segment_size`, the last may be shorter). The
//   caller may write into the bytes (it opens datagrams in place) and gives every packet back in the run of
//   the loop in which it received it: received memory never waits for anything.
// - Transmit: an accepted packet belongs to the port until the port releases its buffer to the pool it came
//   from (Buffer::pool, on this same thread), which may be at once or in a later call: such pools outlive the
//   port. What was not accepted (the tail of the span) stays the caller's, who counts it as a drop or tries
//   again. A run that had to leave datagram by datagram and met a full socket is shortened to what is left of
//   it.
//
// Nothing here blocks except wait(), which is bounded by its argument.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/counters.h"
#include "core/packet.h"
#include "core/result.h"
#include "core/time.h"
#include "core/udp_address.h"

namespace trunkline::io {

using core::Nanos;

// The longest burst that the loop asks for; ports size their arrays by it.
inline constexpr uint32_t kMaxBurst = 64;

// A GRO run or GSO run is one UDP payload of at most this many bytes to the kernel (65 535 - IP - UDP
// headers), and at most this many datagrams (UDP_MAX_SEGMENTS before Linux 6.9).
inline constexpr uint32_t kMaxRunBytes = 65'000;
inline constexpr uint32_t kMaxRunSegments = 64;

// What a port has done since it was opened; written by the owning core, readable from any thread.
// The list makes the fields, their names for operators, and the JSON.
#define TRUNKLINE_PORT_COUNTERS(X)                                                  \
  X(rx_datagrams, "datagrams received")                                             \
  X(rx_bytes, "UDP payload bytes received")                                         \
  X(rx_runs, "buffers received; rx_datagrams / rx_runs is the GRO gain")            \
  X(rx_truncated, "drop: datagram longer than the receive buffer")                  \
  X(rx_no_buffer, "times no buffer was free to receive or to copy into")            \
  X(rx_errors, "receive calls that failed; frames that a device could not deliver") \
  X(rx_no_endpoint, "drop: datagrams to a UDP port of ours that nobody has opened") \
  X(tx_datagrams, "datagrams accepted by the kernel or device")                     \
  X(tx_bytes, "UDP payload bytes accepted")                                         \
  X(tx_runs, "transmit operations; tx_datagrams / tx_runs is the GSO gain")         \
  X(tx_refused, "datagrams not accepted because the socket or queue was full")      \
  X(tx_errors, "drop: datagrams the kernel or device refused for another reason")   \
  X(syscalls, "system calls made by this port")                                     \
  X(wakeups, "returns from a sleep")                                                \
  X(impaired_lost, "drop: datagrams lost on purpose by an impaired wire")           \
  X(impaired_duplicated, "datagrams duplicated on purpose by an impaired wire")     \
  X(impaired_corrupted, "datagrams corrupted on purpose by an impaired wire")       \
  X(impaired_overflow, "drop: an impaired wire's queue was full")

enum class PortCounter : uint32_t {
#define X(name, text) name,
  TRUNKLINE_PORT_COUNTERS(X)
#undef X
      kCount
};
const char* port_counter_name(PortCounter) noexcept;
const char* port_counter_text(PortCounter) noexcept;

using PortCounters = core::CounterSet<PortCounter, static_cast<std::size_t>(PortCounter::kCount)>;

// What a port counts beyond that, for operators.
struct NamedCounter {
  const char* name;
  const char* text;
  uint64_t value;
};

struct EndpointOptions {
  core::UdpAddress bind;                     // port 0: the kernel chooses; see Port::endpoint_address
  uint32_t receive_buffer_bytes = 4u << 20;  // asked of the socket; what the kernel gave is in describe()
  uint32_t send_buffer_bytes = 4u << 20;
  bool gro = true;  // receive runs as slabs where the kernel can
  // How long open_endpoint() may wait for an address that is in use. The kernel lets go of an io_uring's
  // sockets some milliseconds after the process that had them: whoever takes its place at once needs
  // patience.
  core::Nanos patience{};
};

enum class SleepUntil : uint8_t {
  kAnyPacket,  // return as soon as anything arrives, wake() is called, or the bound passes
  kBatch,      // return on wake() or the bound, or when a batch has arrived where the port can tell: single
           // packets do not wake the core, because at a paced load each wake-up costs as much as ten packets
};

// Frames: buffers for one datagram each, with room in front for the headers that the port writes there, so
// that what is sealed in one goes to the device as it lies. A port that drives a device has them, and its
// received buffers are frames too. Buffer::pool of a frame is nullptr. The owning thread; no call per packet.
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // Fills the front of `out` with frames; returns how many there were. Nobody counts references on them.
  virtual uint32_t alloc_frames(std::span<core::Buffer*> out) noexcept = 0;
  virtual void free_frames(std::span<core::Buffer* const> frames) noexcept = 0;
  // How many more may be had, at least.
  virtual uint32_t free_frames_at_least() const noexcept = 0;
  // All there are; Buffer::index is below it.
  virtual uint32_t frame_count() const noexcept = 0;
};

// A packet to transmit that lies in a frame of the port says so, and is known without a look at its buffer.
inline void mark_frame(core::Packet& packet) noexcept {
  packet.reserved_2 = 1;
}
inline bool is_frame(const core::Packet& packet) noexcept {
  return packet.reserved_2 != 0;
}

class Port {
 public:
  virtual ~Port() = default;

  // Before the loop: opens a local address. Errors say which address, why, and what to do (in use, no such
  // interface, needs a capability). Returns the endpoint's number, counted from 0.
  virtual core::Result<uint16_t> open_endpoint(const EndpointOptions& options) = 0;
  // The bound address, with the port the kernel chose.
  virtual core::UdpAddress endpoint_address(uint16_t endpoint) const = 0;

  // Fills `out` from its start; returns how many. Never blocks.
  virtual uint32_t receive_burst(std::span<core::Packet> out, Nanos now) noexcept = 0;
  // Returns received packets. In any order, each exactly once, but those whose buffer is nullptr: a frame may
  // be kept for being transmitted, and is then the port's again as any other.
  virtual void give_back(std::span<core::Packet> packets) noexcept = 0;

  // Queues and sends; packets[i].address is the destination, owner_port the endpoint. `length` bytes at
  // `data` are one datagram, or with segment_size != 0 a run (<= kMaxRunBytes, <= kMaxRunSegments). Returns
  // how many, from the front, were taken over.
  virtual uint32_t transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept = 0;
  // nullptr: transmitted packets lie in the caller's own buffers.
  virtual FrameSource* frames() noexcept { return nullptr; }
  // Work that is due without new traffic: completions, delayed datagrams. Called once per run of the loop.
  virtual void poll(Nanos now) noexcept = 0;
  // When poll() next has something to do by itself (an impaired wire's next datagram); kNever if only on
  // completion.
  virtual Nanos next_due() const noexcept { return core::kNever; }

  // Sleeps for at most `bound`; see SleepUntil. Counts wakeups.
  virtual void wait(SleepUntil until, Nanos bound) noexcept = 0;
  // From any thread: ends a wait() of the owning core, now or the next one.
  virtual void wake() noexcept = 0;

  // The owning thread, before its first call of the above and after its last one.
  virtual void enter_thread() noexcept {}
  virtual void leave_thread() noexcept {}

  virtual const PortCounters& counters() const noexcept = 0;
  // Any thread; allocates.
  virtual std::vector<NamedCounter> more_counters() const { return {}; }
  // "mmsg" | "uring" | "dpdk" | "sim" | "impaired(mmsg)"
  virtual const char* name() const noexcept = 0;
  // One sentence for the operator: what is in use and why (GRO yes, GSO yes, socket buffers granted, ...).
  virtual std::string describe() const = 0;
};

}  // namespace trunkline::io
