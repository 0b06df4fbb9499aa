// FlowTable: what a data core knows about each track it owns, and where the track's packets go.
//
// The idea: a label's index is the flow's number, so locating a record is one array access; the one cache
// line it touches holds all that delivering to one output needs: the label to compare, the source to check,
// the first output, the counters. Further outputs lie in chunks of seven from a bounded slab, always packed,
// so a fan-out of 16 reads three more double lines. What only rare events need (feedback, taps) lies apart.
//
// Owned by one data core. Nothing here allocates after construction, and memory is touched when used.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/cacheline.h"
#include "relay/config.h"
#include "relay/core_link.h"
#include "relay/lazy_array.h"
#include "relay/record.h"

namespace trunkline::relay {

// One output, a quarter of a line.
struct OutputSlot {
  OutputKind kind;
  uint8_t remote_core;
  uint16_t target;
  // A packet of the video frame with this RTP timestamp was dropped here: its rest goes the same way.
  uint32_t broken_timestamp;
  uint32_t label;  // kLink
  bool broken;
  uint8_t reserved[3];

  // Kind, core and target as one number; what is on its way to one place, is to one such number.
  uint32_t where() const noexcept {
    uint32_t first;
    std::memcpy(&first, this, sizeof first);
    return first;
  }
};
static_assert(sizeof(OutputSlot) == 16 && offsetof(OutputSlot, broken_timestamp) == 4);

// The newest RTP packet of a flow.
struct NewestPacket {
  uint32_t ssrc;
  uint16_t sequence;
};

// Whether packets flow, as far as the mesh thread is to know.
enum class FlowStart : uint8_t {
  kNone = 0,  // not for a second, or not yet
  kReported = 2,
  kUnreported = 3,  // they do, and kFlowStarted waits for room
};
inline constexpr uint8_t kFlowStarted = 2;  // a bit of those that mean that they do

struct alignas(core::kCacheLine) Flow {
  Label label;    // 0: free
  uint16_t peer;  // kUpstream: the link it comes from. kLocal: its host queue, kNoQueue for a tap
  uint16_t output_count;
  FlowSource source;
  TrafficClass traffic_class;
  FlowStart start;
  bool resuming;  // its source was exchanged: what it repeats is dropped (FlowDetail::resume_*)
  uint32_t more;  // first chunk of further outputs + 1; 0: none
  OutputSlot first;
  union {
    uint64_t handle;      // kLocal: what the host calls this publication
    NewestPacket newest;  // kUpstream: so that a later source cannot repeat it
  };
  uint64_t packets;
  uint64_t bytes;
  Nanos last_packet;

  // Whether a packet under this label, from this link, needs no second thought: its source is neither new nor
  // another than it was, and there is somebody to send it to. All but the label is compared at once.
  bool flows(Label packet_label, LinkId from) const noexcept {
    constexpr uint64_t kCompared = 0xff02'00ff'0000'ffffu;  // not output_count, nor traffic_class
    constexpr uint64_t kExpected = uint64_t{static_cast<uint8_t>(FlowSource::kUpstream)}
                                       << (8 * (offsetof(Flow, source) - 4)) |
                                   uint64_t{kFlowStarted} << (8 * (offsetof(Flow, start) - 4));
    static_assert(offsetof(Flow, peer) == 4 && offsetof(Flow, output_count) == 6 &&
                  offsetof(Flow, traffic_class) == 9 && offsetof(Flow, resuming) == 11);
    static_assert(std::endian::native == std::endian::little);
    uint64_t state;
    std::memcpy(&state, &peer, sizeof state);
    return label == packet_label && (state & kCompared) == (kExpected | from) && output_count != 0;
  }
};
static_assert(sizeof(Flow) == core::kCacheLine);

// What only feedback, taps and events need.
struct FlowDetail {
  Label upstream_label;
  CoreId upstream_core;
  Nanos keyframe_interval;
  Nanos keyframe_sent;     // when the last request went upstream
  uint32_t keyframe_ssrc;  // what the one that waits is for
  bool keyframe_asked;     // keyframe_sent means something
  bool keyframe_waits;     // a drop of ours wants one as soon as the interval has passed
  bool has_tap;
  uint16_t tap_endpoint;
  uint32_t tap_ssrc;    // 0: any
  UdpAddress tap_from;  // IngestOpen::from
  bool tap_vp8, tap_h264;
  UdpAddress tap_source;     // where its last packet came from: feedback goes there. family 0: none yet
  uint32_t resume_ssrc;      // of the old source's newest packet
  uint16_t resume_sequence;  // what is not after it was delivered already
  Nanos resume_until;
  Nanos too_big_reported;
  bool too_big_told;
};

class FlowTable {
 public:
  FlowTable(const NodeLimits& limits, CoreId core, uint32_t cores);

  // Commands; false when they name what does not exist or when the slab of outputs is full.
  bool open(const FlowOpen& open) noexcept;
  bool redirect(const FlowRedirect& redirect, Nanos now) noexcept;
  bool close(FlowId flow) noexcept;
  bool add_output(FlowId flow, const Output& output) noexcept;
  bool remove_output(FlowId flow, const Output& output) noexcept;

  // For a label from the wire. Any 32 bits may come in: a label of another core or beyond the table is flow
  // `none()`, a line that is always free.
  FlowId flow_of(Label label) const noexcept {
    const FlowId flow = label_flow(label, core_bits_);
    const bool ours = (label.index() & core_mask_) == core_.value;
    return ours && flow < limit_ ? flow : limit_;
  }
  void prefetch(Label label) const noexcept { __builtin_prefetch(&flows_[flow_of(label)], 1); }
  FlowId none() const noexcept { return limit_; }
  // Contract: flow <= none().
  Flow& at(FlowId flow) noexcept { return flows_[flow]; }
  FlowId id_of(const Flow& flow) const noexcept { return static_cast<FlowId>(&flow - &flows_[0]); }
  FlowDetail& detail(FlowId flow) noexcept { return details_[flow]; }
  bool is_open(FlowId flow) const noexcept { return flow < limit_ && flows_[flow].label.value != 0; }
  // One above the highest flow that was ever open: bounds scans.
  FlowId high_water() const noexcept { return high_water_; }
  uint32_t outputs_in_use() const noexcept { return outputs_in_use_; }

  // visit(OutputSlot&, uint64_t& handle) for each output, in a stable order; returns when visit returns
  // false.
  template <class Visitor>
  void for_each_output(Flow& flow, Visitor&& visit) noexcept {
    uint32_t left = flow.output_count;
    if (left == 0) return;
    if (!visit(flow.first, first_handles_[id_of(flow)])) return;
    --left;
    for (uint32_t at = flow.more; left > 0;) {
      Chunk& chunk = chunks_[at - 1];
      for (uint32_t i = 0; i < kPerChunk && left > 0; ++i, --left) {
        if (!visit(chunk.outputs[i], chunk.handles[i])) return;
      }
      at = chunk.next;
    }
  }
  // So that a later source cannot repeat it. Sequence numbers wrap (RFC 3550, A.1): newer is less than half
  // the circle ahead. Tracks of several SSRCs are known by the latest one.
  static void note_newest(Flow& flow, std::span<const Record> group) noexcept {
    for (const Record& record : group) {
      if (!record_is_rtcp(record)) note_newest(flow, record_ssrc(record), record_sequence(record));
    }
  }
  static void note_newest(Flow& flow, uint32_t ssrc, uint16_t sequence) noexcept {
    const auto ahead = static_cast<uint16_t>(sequence - flow.newest.sequence);
    if (ssrc != flow.newest.ssrc || ahead < 0x8000) flow.newest = {ssrc, sequence};
  }
  // For a flow that is resuming: did the old source deliver this?
  bool repeats(Flow& flow, const Record& record, Nanos now) noexcept;
  // The output of this kind, target and (links) core; nullptr: none.
  OutputSlot* find_output(Flow& flow, OutputKind kind, uint16_t target, uint8_t remote_core) noexcept;

 private:
  static constexpr uint32_t kPerChunk = 7;
  struct alignas(core::kCacheLine) Chunk {
    OutputSlot outputs[kPerChunk];
    uint32_t next;  // + 1; also links the free chunks
    uint32_t reserved[3];
    uint64_t handles[kPerChunk];
  };
  struct Place {  // of one output
    OutputSlot* slot;
    uint64_t* handle;
  };
  Place place(FlowId flow, uint32_t position) noexcept;
  uint32_t take_chunk() noexcept;
  void free_chunk(uint32_t chunk) noexcept;

  CoreId core_;
  uint32_t core_bits_;
  uint32_t core_mask_;
  uint32_t limit_;
  uint32_t outputs_max_;
  uint32_t outputs_in_use_ = 0;
  FlowId high_water_ = 0;
  LazyArray<Flow> flows_;
  LazyArray<FlowDetail> details_;
  LazyArray<uint64_t> first_handles_;  // of Flow::first, apart: queues alone need it
  LazyArray<Chunk> chunks_;
  uint32_t chunks_used_ = 0;  // chunks_[chunks_used_ ..] were never taken
  uint32_t free_chunks_ = 0;  // + 1
};

}  // namespace trunkline::relay
