// Feedback: keyframe requests and retransmission requests on their way to the publisher, and nothing else.
//
// The idea: what a subscriber reports about its own last hop (RR, REMB, TWCC) ends here. What only the
// publisher can answer goes one hop upstream, rebuilt as the smallest RTCP that says it, and merged on the
// way: of all subscribers that miss the same key frame, one asks.
//   PLI, FIR  at most one per flow and keyframe_interval (max(RTT, 200 ms), given by the mesh thread)
//   NACK      at most one per (flow, sequence number) and round trip. The memory is a small direct-mapped
//             table: when two collide the older is forgotten, and the worst that happens is a repeated
//             request.
//
// Owned by one data core. Bounded work: RtcpView bounds the packets of a compound; of one compound at most
// kMaxNacks sequence numbers are passed on.
#pragma once

#include <array>
#include <span>

#include "relay/edge_writer.h"
#include "relay/flow_table.h"
#include "relay/host_outputs.h"
#include "relay/lane_writer.h"
#include "relay/session_table.h"

namespace trunkline::relay {

class Feedback {
 public:
  Feedback(FlowTable& flows, SessionTable& sessions, LaneWriter& lanes, EdgeWriter& edge, HostOutputs& hosts,
           Accounting& accounting);

  // One RTCP compound of a subscriber of `flow`: one unit, forwarded or a counted drop.
  void take(FlowId flow, std::span<const uint8_t> rtcp, Nanos now) noexcept;

  // We dropped a part of a frame of `flow` ourselves. When the last request is younger than the interval, the
  // new one waits for retry(): the key frame on its way may be the one that was cut.
  void request_keyframe(FlowId flow, uint32_t media_ssrc, Nanos now) noexcept;
  // Sends what waits, if its time has come.
  void retry(FlowId flow, Nanos now) noexcept;

 private:
  // NACKs name at most 17 packets per entry; a compound that asks for more than this asks again.
  static constexpr uint32_t kMaxNacks = 64;
  static constexpr uint32_t kNackSlots = 4096;
  // Round trip assumed towards a local publisher, and the least towards a peer: an encoder's queue.
  static constexpr Nanos kLeastNackInterval = core::from_ms(10);
  // Before the mesh thread says anything better (FlowOpen.keyframe_interval zero).
  static constexpr Nanos kDefaultKeyframeInterval = core::from_ms(200);

  struct Wish {
    uint32_t sender_ssrc = 0;
    uint32_t media_ssrc = 0;
    bool keyframe = false;
    bool merged = false;  // something was asked for that was just sent
    uint32_t nacks = 0;
    std::array<uint16_t, kMaxNacks> sequences;
  };
  enum class Sent : uint8_t { kYes, kNoUpstream, kNoRoom };

  bool keyframe_allowed(const FlowDetail& detail, Nanos now) const noexcept;
  bool nack_is_new(const Flow& flow, uint16_t sequence, Nanos interval, Nanos now) noexcept;
  Nanos nack_interval(const Flow& flow) noexcept;
  // `own`: not a unit of conservation.
  Sent send(FlowId flow, const Wish& wish, bool own, Nanos now) noexcept;
  Sent deliver(FlowId flow, std::span<const uint8_t> rtcp, bool own, Nanos now) noexcept;

  struct NackSlot {
    uint64_t key;  // label, sequence, 1
    Nanos sent;
  };
  FlowTable& flows_;
  SessionTable& sessions_;
  LaneWriter& lanes_;
  EdgeWriter& edge_;
  HostOutputs& hosts_;
  Accounting& accounting_;
  LazyArray<NackSlot> nacks_;
};

}  // namespace trunkline::relay
