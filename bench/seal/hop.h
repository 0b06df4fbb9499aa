// A hop: datagrams that are sealed under one key come in, and leave sealed under another. Ours is the whole
// relay step; the peers are what a relay would be if it were nothing but its cryptography, and what it would
// be on SRTP (RFC 7714).
//
// The bytes are prepared slice by slice, outside of the time that is measured, with the next counters, so
// that every tag and every replay window says yes for a reason. A slice stays in the second-level cache. All
// take bursts of 32 of it, from frames that lie alike, and nobody is charged for a device.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/page_source.h"

namespace trunkline::bench {

inline constexpr uint32_t kHopBurst = 32;
inline constexpr uint32_t kHopSlice = 256;    // packets
inline constexpr uint32_t kHopFlows = 4'096;  // in turn

// Ends the process, with the reason.
[[noreturn]] void give_up(const std::string& why);

class Hop {
 public:
  virtual ~Hop() = default;
  // Packets that prepare() writes and run() takes.
  virtual uint32_t slice() const { return kHopSlice; }
  virtual void prepare() = 0;
  virtual void run() = 0;
  // Ends the process when anything was lost, or left as nobody could open it.
  virtual void check() = 0;
};

// The time of about so many packets; then check().
inline double ns_per_packet(Hop& hop, uint64_t packets) {
  using Clock = std::chrono::steady_clock;
  const uint64_t slices = packets / hop.slice() + 1;
  Clock::duration took{};
  for (uint64_t i = 0; i < slices; ++i) {
    hop.prepare();
    const Clock::time_point begin = Clock::now();
    hop.run();
    took += Clock::now() - begin;
  }
  hop.check();
  return std::chrono::duration<double, std::nano>(took).count() / static_cast<double>(slices * hop.slice());
}

// Memory for packets as a device's driver lays it out.
class Frames {
 public:
  static constexpr uint32_t kStride = 37 * 64;         // DPDK's: 2 KiB, room in front, an mbuf; odd in lines
  static constexpr uint32_t kHeaders = 14 + 20 + 8;    // Ethernet, IPv4, UDP
  static constexpr uint32_t kRoom = 2'048 - kHeaders;  // behind them

  Frames(uint32_t count, core::PageSource& pages) : bytes_(pages.take(size_t{count} * kStride)) {
    if (bytes_.empty()) give_up("no memory for frames");
  }
  // The UDP payload of frame i.
  uint8_t* payload(uint32_t i) const noexcept { return bytes_.data() + size_t{i} * kStride + kHeaders; }

 private:
  std::span<uint8_t> bytes_;
};

// PacketPath with AES-128-GCM sessions on both sides: received, opened, located, re-framed, sealed,
// transmitted to `outputs` links. `payload`: RTP bytes; audio below 400, which shares datagrams.
std::unique_ptr<Hop> make_relay_hop(uint32_t payload, uint32_t outputs, uint32_t slice);

// The same datagrams opened and sealed by the bare library: keys expanded and nonces written before.
std::unique_ptr<Hop> make_bare_hop(uint32_t payload);
// Sealed only, a run of 32 in place again and again.
std::unique_ptr<Hop> make_bare_sealer(uint32_t payload);

// An SRTP hop composed on Intel's library, AEAD_AES_128_GCM: SSRC -> stream, index, replay, open, protect.
std::unique_ptr<Hop> make_srtp_hop(uint32_t payload);
// The same by libsrtp2, 16 streams: it searches them one by one. nullptr: this build has it not.
std::unique_ptr<Hop> make_libsrtp_hop(uint32_t payload);

}  // namespace trunkline::bench
