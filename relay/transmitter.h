// Transmitter: the last stage. Owns the transmit buffers, decides who gets one when they run short, gathers
// finished runs, and hands them to the port in order of importance.
//
// When the port is full the most important runs go and the rest is dropped, counted per record. What a
// refused run carried for video flows is remembered as Losses, so that the path drops the rest of those
// frames and asks for a keyframe: half a frame is worth nothing to anyone.
//
// Owned by one data core. Buffers: `transmit_buffers` of 64 KiB; where each can be: filling in a lane or the
// edge arena, waiting here until the end of the loop's run, or at the port until it releases it. Where the
// port has frames of its own (io/port.h, FrameSource), lanes fill those, one datagram each.
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
  uint8_t notes = 0;         // in the buffer's notes (links)
  bool inline_note = false;  // one, in `note`
  uint32_t units = 0;        // media, feedback and control records that count (relay/packet_path.h)
  uint32_t own = 0;          // heartbeats, probes, requests of our own
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
  ~Transmitter();
  Transmitter(const Transmitter&) = delete;
  Transmitter& operator=(const Transmitter&) = delete;

  // A 64 KiB buffer with one reference; nullptr when this class must leave the remaining ones to its betters.
  // Before it says no, finished runs are sent early, for their buffers come back.
  core::Buffer* try_alloc(TrafficClass traffic_class, Nanos now) noexcept;
  // The same for the run of a lane, of at most lane_segments() datagrams: a frame, where the port has them.
  core::Buffer* try_alloc_lane(TrafficClass traffic_class, Nanos now) noexcept {
    return frames_ == nullptr ? try_alloc(traffic_class, now) : try_alloc_frame(traffic_class, now);
  }
  // A frame, or nullptr rather than sending anything early: for who has queued what is not sealed yet.
  core::Buffer* try_stocked_frame(TrafficClass traffic_class) noexcept {
    return stock_count_ != 0 || restock(traffic_class) ? stock_[--stock_count_] : nullptr;
  }
  uint32_t lane_segments() const noexcept { return frames_ == nullptr ? io::kMaxRunSegments : 1; }
  // Received packets lie in frames, which may be sent instead of given back.
  bool sends_received() const noexcept { return frames_ != nullptr; }
  void retain(core::Buffer* buffer) noexcept { pool_.retain(buffer); }
  void release(core::Buffer* buffer) noexcept {
    buffer->pool != nullptr ? pool_.release(buffer) : frames_->free_frames({&buffer, 1});
  }

  // Notes of the run that fills `buffer`, max_notes() of them. What does not fit is not remembered: its
  // keyframe is then asked for by those who miss it.
  static uint32_t max_notes(const core::Buffer* buffer) noexcept {
    return buffer->pool != nullptr ? kRunNotes : kFrameNotes;
  }
  FrameNote* notes(const core::Buffer* buffer) noexcept {
    return buffer->pool != nullptr ? &notes_[buffer->index * kRunNotes]
                                   : &frame_notes_[buffer->index * kFrameNotes];
  }

  // A finished run. packet.buffer's reference goes with it; packet.traffic_class is its importance.
  void queue(const core::Packet& packet, const RunInfo& info, Nanos now) noexcept;
  // How many runs may be queued before some are sent early.
  uint32_t room() const noexcept { return kMaxRuns - run_count_; }
  // queue() in place: between begin() and end() the caller fills so many of both, and end() is told of which
  // importance they are. Contract: room() >= count.
  struct Slots {
    core::Packet* packets;
    RunInfo* infos;
  };
  Slots begin([[maybe_unused]] uint32_t count) noexcept {
    TL_DCHECK(count <= room());
    return {&runs_[run_count_], &infos_[run_count_]};
  }
  void end(uint32_t count, const std::array<uint32_t, 4>& per_class) noexcept {
    run_count_ += count;
    for (uint32_t c = 0; c < per_class.size(); ++c) per_class_[c] += per_class[c];
  }
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
  static constexpr uint32_t kRunNotes = 32;
  static constexpr uint32_t kFrameNotes = 2;  // video packets that share a datagram: hardly ever two
  static constexpr uint32_t kStock = io::kMaxBurst;

  core::Buffer* try_alloc_frame(TrafficClass traffic_class, Nanos now) noexcept;
  bool restock(TrafficClass traffic_class) noexcept;
  uint32_t hand_over(core::Packet* packets, const RunInfo* infos, uint32_t count, Nanos now) noexcept;
  void refuse(const core::Packet& packet, const RunInfo& info) noexcept;

  core::PacketPool pool_;
  io::Port& port_;
  Accounting& accounting_;
  LazyArray<core::Packet> runs_;
  LazyArray<core::Packet> sorted_;
  LazyArray<RunInfo> infos_;
  LazyArray<RunInfo> sorted_infos_;
  LazyArray<FrameNote> notes_;
  std::array<uint32_t, 4> reserve_{};  // buffers that a class leaves free
  std::array<uint32_t, 4> per_class_{};
  uint32_t run_count_ = 0;
  std::array<Loss, kMaxLosses> losses_;
  uint32_t loss_count_ = 0;

  // Frames: nullptr and empty where the port has none.
  io::FrameSource* frames_;
  LazyArray<FrameNote> frame_notes_;
  std::array<uint32_t, 4> frame_reserve_{};
  uint32_t stock_count_ = 0;
  std::array<core::Buffer*, kStock> stock_;
};

}  // namespace trunkline::relay
