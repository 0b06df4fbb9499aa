// LaneWriter: from records to sealed runs of datagrams. This is the one place where a relayed payload is
// copied: from where it was received straight into the transmit buffer that is sealed in place.
//
// A lane is (link, remote core); on each lane there are two streams, because tracks of like sizes make GSO
// runs, and unlike ones break them: audio and control (small records, bundled up to the MTU) and video. A
// track stays on one stream, so its order is kept.
//
// A stream fills one 64 KiB buffer: closed datagrams, all of the run's segment size, then the open one.
//   * A datagram is closed when the next record does not fit it any more.
//   * The first closed datagram sets the segment size; later ones are not filled beyond it, and a shorter one
//   is
//     padded to it with zeros when that costs at most 3 %; otherwise it ends the run as its short last
//     segment, which the kernel allows. A record that needs a longer datagram begins a new run.
//   * Where sizes vary by a little (video packets of one frame differ by a byte), the next run begins with
//   the
//     longer size at once, so that one odd packet does not cut runs in two for ever.
// By default nothing waits: finish() closes everything at the end of the loop's run. With bundle_wait an
// audio stream may stay open that long after its first record, unless it holds control.
//
// Owned by one data core. One virtual seal() per run. Memory: 128 bytes per stream, touched when used.
#pragma once

#include <array>

#include "relay/core_counters.h"
#include "relay/flow_table.h"
#include "relay/session_table.h"
#include "relay/transmitter.h"

namespace trunkline::relay {

inline constexpr DropReason kNoDrop = DropReason::kCount;

class LaneWriter {
 public:
  enum class StreamKind : uint8_t { kSmall = 0, kVideo = 1 };
  static constexpr StreamKind stream_of(TrafficClass c) noexcept {
    return has_frames(c) ? StreamKind::kVideo : StreamKind::kSmall;
  }

  struct alignas(core::kCacheLine) Stream {
    core::Buffer* buffer;  // nullptr: idle
    uint32_t closed;       // bytes of closed datagrams
    uint16_t open;         // bytes of the open one, header included, tag not; 0: none
    uint16_t limit;        // to which the open one may grow
    uint16_t segment;      // sealed size of the run's datagrams; 0: none closed yet
    uint16_t hint;         // segment size that the last run should have had; 0: its own
    uint16_t max_plain;    // what fits the MTU, without tag
    LinkId link;
    uint8_t remote_core;
    StreamKind kind;
    uint8_t segments;
    uint8_t notes;
    TrafficClass traffic_class;  // greatest in the run
    bool listed;
    bool reached;  // a datagram of this run had the segment size by itself
    uint8_t reserved;
    uint32_t units;
    uint32_t own;
    Nanos since;  // first record of the run
  };

  LaneWriter(const NodeConfig& config, CoreId core, SessionTable& sessions, Transmitter& transmitter,
             Accounting& accounting);

  // The endpoint and with it the families that can be sent to.
  void set_endpoint(uint16_t family, uint16_t endpoint) noexcept;

  // Contract: link < max_peers and sessions.active(link) != nullptr.
  Stream& stream(LinkId link, CoreId remote, StreamKind kind) noexcept;
  // Appends; kNoDrop, or why not: too_big, no_buffer. The record is copied.
  DropReason append(Stream& stream, RecordWord header, const uint8_t* payload, Nanos now) noexcept {
    if (try_append(stream, header, payload)) return kNoDrop;
    const DropReason reason =
        make_room(stream, kRecordHeaderBytes + header.length(), header.traffic_class(), now);
    if (reason == kNoDrop) try_append(stream, header, payload);
    return reason;
  }
  DropReason append(Stream& stream, const RecordHeader& header, const uint8_t* payload, Nanos now) noexcept {
    return append(stream, RecordWord::of(header), payload, now);
  }
  // Where it fits what is open.
  bool try_append(Stream& stream, RecordWord header, const uint8_t* payload) noexcept {
    const uint32_t length = header.length();
    const TrafficClass traffic_class = header.traffic_class();
    if (stream.open + kRecordHeaderBytes + length > stream.limit) return false;
    uint8_t* const at = stream.buffer->data + stream.closed + stream.open;
    std::memcpy(at + kRecordHeaderBytes, payload, length);
    stream.open = static_cast<uint16_t>(stream.open + kRecordHeaderBytes + length);
    if (traffic_class > stream.traffic_class) stream.traffic_class = traffic_class;
    header.store(at);
    return true;
  }
  // Video packets that leave in a frame, alone: in the one that they came in, with new headers over the old
  // ones, or in a copy of it. For a burst of them, one lane at a time:
  //
  //   begin_forwarding(link, remote, lane)   false: no session, or no endpoint
  //   forward(...)                           each; the frame is the lane's from here on
  //   seal_forwarded(lane)                   before anything else is queued, appended or flushed
  //
  // Contract: Transmitter::sends_received().
  struct Forwarding {
    // A record as it was received, its header in front of it, and where its datagram will be: around it, or
    // apart from it. The latter leaves the record as it is but for its header, which is `next` then.
    struct Waiting {
      uint8_t* record;
      uint8_t* datagram;
      core::Buffer* frame;  // of the datagram
      RecordWord next;      // the record's header as it leaves
      FlowId flow;
    };
    static Waiting in_place(uint8_t* record, core::Buffer* frame, RecordWord next, FlowId flow) noexcept {
      return {record, record - kHeaderBytes, frame, next, flow};
    }
    LinkId link = kNoLink;  // kNoLink: none
    uint8_t remote_core = 0;
    SessionLane* lane = nullptr;
    SessionCrypto* crypto = nullptr;
    uint64_t header = 0;     // a datagram's first word, counter 0
    uint32_t max_plain = 0;  // what fits the MTU, without tag
    core::Packet packet{};   // as each of them, but for bytes, length and class
    RunInfo info{};          // as each of them, but for the note
    uint32_t count = 0;
    std::array<Waiting, io::kMaxRunSegments> waiting;

    bool is_to(const OutputSlot& output) const noexcept {
      return output.target == link && output.remote_core == remote_core;
    }
  };
  bool begin_forwarding(LinkId link, CoreId remote, Forwarding& to, Nanos now) noexcept;
  // Contract: it is a media record with a hop left and an RTP header, it fits max_plain, no other that waits
  // there is the same record, to.count < waiting.size(), and forwarded() < Transmitter::room(). The record
  // stays where it is until it is sealed.
  void forward(Forwarding& to, const Forwarding::Waiting& record) noexcept {
    to.waiting[to.count++] = record;
    ++forwarded_;
  }
  void seal_forwarded(Forwarding& to) noexcept;
  // On all lanes, since they were sealed.
  uint32_t forwarded() const noexcept { return forwarded_; }
  // Small records for core 0 of this peer come soon.
  void prefetch(LinkId link) const noexcept {
    if (link >= sessions_.links()) return;
    core::prefetch_line(&streams_[index(link, 0, StreamKind::kSmall)]);
    transmitter_.pool().prefetch(2);
  }
  // A unit is what conservation counts; own records are not.
  static void add_units(Stream& stream, uint32_t n) noexcept { stream.units += n; }
  // Remembers which frame of `flow` the run holds last, for a refusal.
  void note(Stream& stream, const FrameNote& note) noexcept;

  // One record of our own, or a counted own_records_lost.
  bool append_own(LinkId link, CoreId remote, const RecordHeader& header, const uint8_t* payload,
                  Nanos now) noexcept;

  // The largest payload that fits one datagram to this stream's peer.
  static uint32_t max_payload(const Stream& stream) noexcept {
    return stream.max_plain - kHeaderBytes - kRecordHeaderBytes;
  }

  // End of the loop's run: closes, seals and queues what may not wait.
  void finish(Nanos now) noexcept;
  // Everything of this link, at once: its session is about to change.
  void finish_link(LinkId link, Nanos now) noexcept;
  // When finish() must be called for a waiting stream; kNever: nothing waits.
  Nanos next_due() const noexcept { return next_due_; }
  uint64_t units_held() const noexcept;

 private:
  static constexpr uint32_t kStreamsPerLink = core::kMaxCores * 2;
  // By lane first: the streams in use, of a core or two of each peer, lie side by side.
  size_t index(LinkId link, uint8_t remote, StreamKind kind) const noexcept {
    return (remote * 2u + static_cast<uint32_t>(kind)) * size_t{sessions_.links()} + link;
  }

  DropReason make_room(Stream& stream, uint32_t need, TrafficClass traffic_class, Nanos now) noexcept;
  void close_datagram(Stream& stream, Nanos now) noexcept;
  void end_run(Stream& stream, Nanos now) noexcept;
  void seal(Stream& stream, Session& session) noexcept;
  bool may_wait(const Stream& stream, Nanos now) const noexcept;

  CoreId core_;
  Nanos bundle_wait_;
  uint32_t mtu_;
  SessionTable& sessions_;
  Transmitter& transmitter_;
  Accounting& accounting_;
  std::array<uint16_t, 2> endpoints_{kNoEndpoint, kNoEndpoint};  // IPv4, IPv6
  Nanos next_due_ = core::kNever;
  LazyArray<Stream> streams_;
  LazyArray<uint32_t> active_;  // streams that hold a buffer
  uint32_t active_count_ = 0;
  uint32_t forwarded_ = 0;

 public:
  static constexpr uint16_t kNoEndpoint = 0xffff;
};

}  // namespace trunkline::relay
