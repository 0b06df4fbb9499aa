// Host queues: how the SFU's packets reach a data core, and a data core's packets reach the SFU.
//
// Per host queue and data core there are two rings of 2 KiB slots, one per direction. A slot holds the bytes
// themselves: the host copies in and out, so no buffer of either side is ever owned by the other, and a host
// that stops reading costs nothing but its own counted queue_full.
//
// Threads: to_core is filled by the host's thread and emptied by the data core, to_host the other way round.
// CoreRings are all rings at which one data core meets others; the runtime or the simulator owns them, and
// they outlive the PacketPath.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/spsc_ring.h"
#include "core/time.h"
#include "relay/config.h"
#include "relay/core_link.h"
#include "relay/evidence_board.h"
#include "relay/handover.h"

namespace trunkline::relay {

enum class HostPacketKind : uint8_t {
  kMedia,  // RTP, or a publisher's RTCP. To core: of publication `handle`. To host: of acquisition `handle`
  kFeedback,  // RTCP upstream. To core: from acquisition `handle`. To host: for publication `handle`
};

// "As the track": the publisher's packet does not say its class.
inline constexpr uint8_t kClassOfTrack = 0xff;

struct HostPacket {
  static constexpr uint32_t kSlotBytes = 2048;
  static constexpr uint32_t kMaxBytes = kSlotBytes - 40;

  // The bytes stay unwritten: a ring of slots costs memory when it is used.
  HostPacket() noexcept {}

  uint64_t handle = 0;  // the host's name for the publication or acquisition
  Nanos time{};         // to host: when the core received it
  FlowId flow = 0;      // to core: from the event that announced the publication or acquisition
  uint16_t length = 0;
  HostPacketKind kind = HostPacketKind::kMedia;
  uint8_t traffic_class = kClassOfTrack;
  bool keyframe = false;
  bool frame_end = false;
  uint8_t layer = 0;
  uint8_t reserved[13] = {};
  uint8_t bytes[kMaxBytes];
};
static_assert(sizeof(HostPacket) == HostPacket::kSlotBytes && offsetof(HostPacket, bytes) == 40);

using HostPacketRing = core::SpscRing<HostPacket>;

struct HostQueue {
  explicit HostQueue(uint32_t depth) : to_core(std::bit_ceil(depth)), to_host(std::bit_ceil(depth)) {}
  HostPacketRing to_core;
  HostPacketRing to_host;
};

struct CoreRings {
  CoreRings(const NodeLimits& limits, uint32_t host_queues)
      : commands(std::bit_ceil(limits.core_ring_depth)),
        frames_in(std::bit_ceil(limits.frame_ring_depth)),
        events(std::bit_ceil(limits.core_ring_depth)),
        evidence(sessions(limits)),
        frames_out(std::bit_ceil(limits.frame_ring_depth)) {
    for (uint32_t i = 0; i < host_queues; ++i) {
      queues.push_back(std::make_unique<HostQueue>(limits.queue_depth));
    }
  }

  static constexpr uint32_t sessions(const NodeLimits& limits) noexcept {
    return std::min(2 * limits.max_peers, kMaxSessions);
  }

  // The data core will look at all of them soon.
  void prefetch(uint32_t session_slot) const noexcept {
    commands.prefetch();
    frames_in.prefetch();
    events.prefetch();
    frames_out.prefetch();
    evidence.prefetch(session_slot);
    for (const auto& queue : queues) queue->to_core.prefetch();
  }

  core::SpscRing<CoreCommand> commands;  // mesh -> core
  core::SpscRing<Frame> frames_in;       // mesh -> core: to be sent
  core::SpscRing<CoreEvent> events;      // core -> mesh
  EvidenceBoard evidence;                // core -> mesh: not a ring, the newest word on each session
  core::SpscRing<Frame> frames_out;      // core -> mesh: received
  std::vector<std::unique_ptr<HostQueue>> queues;
  Handover* handover = nullptr;  // core -> other cores, and back; nullptr: there are no others
};

}  // namespace trunkline::relay
