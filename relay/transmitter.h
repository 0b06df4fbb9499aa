// Transmitter: the last stage. Owns the transmit buffers, decides who gets one when they run short, gathers
// finished runs, and hands them to the port in order of importance.
//
// When the port is full the most important runs go and the rest is dropped, counted per record. What a
// refused run carried for video flows is remembered as Losses, so that the path drops the rest of those
// frames and asks for a keyframe: half a frame is worth nothing to anyone.
//
// Owned by one data core. Buffers: `transmit_buffers` of 64 KiB; where each can be: filling in a lane or the
// edge arena, waiting here until the end of the loop's run, or at the port until it releases it.
#pragma once

#include <array>
#include <span>

#include "core/packet_pool.h"
#include "io/port.h"
#include "relay/core_counters.h"
#include "relay/flow_table.h"
#include "relay/lazy_array.h"

namespace trunkline::relay {

inline constexpr uint32_t kRunBufferBytes = 64 * 1024;
static_assert(kRunBufferBytes >= io::kMaxRunBytes);
// Buffers that lie a power of two apart begin in the same sets of every cache, and thirty short runs, one per
// peer, would throw each other out. So each begins three lines after the multiple of 64 KiB of the one
// before.
inline constexpr uint32_t kRunBufferStride = kRunBufferBytes + 3 * core::kCacheLine;

// A video flow of which a packet lies in a run: enough to drop the rest of its frame and to ask again.
struct FrameNote {
  FlowId flow;
  uint32_t ssrc;
  uint32_t timestamp;
  bool frame_open;  // the frame goes on after this run
};

// Which output a run belongs to; kNone: our own or the mesh thread's.
struct RunInfo {
  OutputKind kind = OutputKind::kNone;
  uint16_t target = 0;
  uint8_t remote_core = 0;
  uint8_t notes = 0;   // in the buffer's notes (links), or 1 in `note` (egress)
  uint32_t units = 0;  // media, feedback and control records that count (relay/packet_path.h)
  uint32_t own = 0;    // heartbeats, probes, requests of our own
  FrameNote note{};
};

struct Loss {
  OutputKind kind;
  uint16_t target;
  uint8_t remote_core;
  FrameNote note;
};

class Transmitter {
 public:
  Transmitter(uint32_t buffers, core::PageSource& pages, io::Port& port, Accounting& accounting);

  // A 64 KiB buffer with one reference; nullptr when this class must leave the remaining ones to its betters.
  // Before it says no, finished runs are sent early, for their buffers come back.
  core::Buffer* try_alloc(TrafficClass traffic_class, Nanos now) noexcept;
  void retain(core::Buffer* buffer) noexcept { pool_.retain(buffer); }
  void release(core::Buffer* buffer) noexcept { pool_.release(buffer); }

  // Notes of the run that fills `buffer`, kMaxNotes of them. What does not fit is not remembered: its
  // keyframe is then asked for by those who miss it.
  static constexpr uint32_t kMaxNotes = 32;
  FrameNote* notes(const core::Buffer* buffer) noexcept { return &notes_[buffer->index * kMaxNotes]; }

  // A finished run. packet.buffer's reference goes with it; packet.traffic_class is its importance.
  void queue(const core::Packet& packet, const RunInfo& info, Nanos now) noexcept;
  // Hands everything to the port; returns how many runs it took.
  uint32_t flush(Nanos now) noexcept;

  // What was lost since the last call.
  std::span<const Loss> take_losses() noexcept {
    const uint32_t count = loss_count_;
    loss_count_ = 0;
    return {losses_.data(), count};
  }
  uint64_t units_queued() const noexcept;  // in finished runs that are not at the port yet
  const core::PacketPool& pool() const noexcept { return pool_; }

 private:
  // Runs gathered before they are sent early: sixteen of the port's bursts.
  static constexpr uint32_t kMaxRuns = 1024;
  static constexpr uint32_t kMaxLosses = 512;

  void refuse(const core::Packet& packet, const RunInfo& info) noexcept;

  core::PacketPool pool_;
  io::Port& port_;
  Accounting& accounting_;
  LazyArray<core::Packet> runs_;
  LazyArray<core::Packet> sorted_;
  LazyArray<RunInfo> infos_;
  LazyArray<uint16_t> order_;
  LazyArray<FrameNote> notes_;
  std::array<uint32_t, 4> reserve_{};  // buffers that a class leaves free
  std::array<uint32_t, 4> per_class_{};
  uint32_t run_count_ = 0;
  std::array<Loss, kMaxLosses> losses_;
  uint32_t loss_count_ = 0;
};

}  // namespace trunkline::relay
