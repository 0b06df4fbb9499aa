// PacketPath: the life of a packet on one data core. relay/packet_path.cc reads top to bottom in the order in
// which a packet meets it; what each stage stands on has a file of its own:
//
//   handover                       datagrams of other data cores
//   session_table, replay_window   which session a datagram is of, and whether it was seen
//   flow_table                     label -> flow, and the flow's outputs
//   lane_writer                    records -> sealed runs of datagrams for peers (the one copy)
//   edge_writer, taps              plain RTP in and out
//   host_outputs, host_queue       the SFU's rings
//   feedback, liveness             requests to publishers; heartbeats and evidence
//   transmitter                    buffers, importance, the port
//
// One thread runs it to completion and shares nothing with other cores. It meets them, the mesh thread and
// the hosts in CoreRings, the world in the Port, and time in its argument, so the simulator runs the same
// object file. Nothing waits (bundle_wait apart), nothing allocates after construction (opening a tap apart),
// nothing calls the system but the port.
//
// Conservation. What is counted is units:
//   * a datagram that is dropped whole, is a handshake, or is handed to another data core: 1
//   * a record of an opened datagram: 1; of media that found its flow: one per output, at least 1
//   * a packet from a host queue, an ingest tap or an egress tap's far end: the same
//   * a frame from the mesh thread: 1
//   and always  received == forwarded + dropped + held.
// forwarded: taken by the port, put into a host queue, handed to the mesh thread or to another data core, or
// consumed here (heartbeats, probes). Who takes a datagram over counts it as if it had arrived there, so over
// all cores handed_over == taken_over + what waits in between. held: lies in an open datagram or an unsent
// run. Heartbeats and requests that we make ourselves are not units; their loss is own_records_lost.
#pragma once

#include <array>
#include <span>

#include "core/page_source.h"
#include "core/result.h"
#include "io/port.h"
#include "relay/config.h"
#include "relay/core_counters.h"
#include "relay/crypto.h"
#include "relay/edge_writer.h"
#include "relay/feedback.h"
#include "relay/flow_table.h"
#include "relay/host_outputs.h"
#include "relay/host_queue.h"
#include "relay/lane_writer.h"
#include "relay/liveness.h"
#include "relay/record.h"
#include "relay/session_table.h"
#include "relay/taps.h"
#include "relay/transmitter.h"

namespace trunkline::relay {

struct Conservation {
  uint64_t received = 0;
  uint64_t forwarded = 0;
  uint64_t dropped = 0;
  uint64_t held = 0;
  bool holds() const { return received == forwarded + dropped + held; }
};

class PacketPath {
 public:
  // `config` was validated. References must outlive the path.
  PacketPath(const NodeConfig& config, CoreId core, io::Port& port, Crypto& crypto, core::PageSource& pages,
             CoreRings& rings);
  // Checks conservation one last time: a packet that nobody can account for ends the process.
  ~PacketPath();
  PacketPath(const PacketPath&) = delete;
  PacketPath& operator=(const PacketPath&) = delete;

  // Before the first run: binds this core's mesh address, once per family. Returns what was bound.
  core::Result<UdpAddress> open_mesh(const UdpAddress& listen);
  // Also receives what is sent to another core of this node, where a device spreads datagrams over its queues
  // as it likes.
  core::Result<void> listen_for(const UdpAddress& other);
  // As open_mesh(), with an endpoint of the port that the caller has opened.
  void attach_mesh(uint16_t endpoint) noexcept;

  // One turn of the loop. Returns how much there was to do; 0: idle.
  uint32_t run_once(Nanos now) noexcept;
  // When run_once() must be called again at the latest, if nothing arrives.
  Nanos next_due() const noexcept;

  // Host queues that got packets since the last call, one bit each, for whoever wakes the hosts.
  uint64_t take_touched_queues() noexcept { return hosts_.take_touched(); }

  // A run that opens a datagram of this session comes soon: what it will touch is asked for. For who drives
  // many paths by turns (the simulator); one that runs all the time has it in its caches.
  void prefetch(uint32_t session_slot) const noexcept;

  // Where the time of one run in 64 is written, stage by stage (relay/stage_clock.h); nullptr, as at first:
  // nowhere. Control path; `times` outlives the path.
  void time_stages(StageTimes* times) noexcept { accounting_.clock.record_into(times); }

  // Exact when asked by the owning thread between two runs.
  Conservation conservation() const noexcept;
  // Any thread.
  const CoreCounters& counters() const noexcept { return accounting_.counters; }
  const DropCounters& drops() const noexcept { return accounting_.drops; }
  uint32_t transmit_buffers_in_use() const noexcept { return transmitter_.pool().in_use(); }

 private:
  // Received packets per turn. With GRO this is up to 2 MiB, which the second-level cache still holds
  // together with the runs made from it; without, it amortises the system call as well as 64 would.
  static constexpr uint32_t kReceiveBurst = 32;
  // Records in hand at a time: enough to hide the memory latency of their flows, few enough for the
  // first-level cache.
  static constexpr uint32_t kBatch = 256;
  // A fan-out of this many links at a time is sealed in batches; 1 KiB each.
  static constexpr uint32_t kForwardings = 16;
  static constexpr uint32_t kCommandsPerRun = 256;
  static constexpr uint32_t kFramesPerRun = 64;
  static constexpr uint32_t kHostPacketsPerRun = 64;
  static constexpr Nanos kFlowIdleAfter = core::from_s(1);
  // On the beats of heartbeats, as they are by default: no core wakes for it alone.
  static constexpr Nanos kFlowCheckInterval = LinkTiming{}.beat();
  static constexpr Nanos kTooBigInterval = core::from_s(1);
  // The session index of no datagram: one that does not fit into its 32 bits.
  static constexpr uint64_t kNoSession = uint64_t{1} << 32;

  using Group = std::span<const Record>;
  using Bytes = std::span<const uint8_t>;
  using Flows = std::array<Flow*, io::kMaxRunSegments>;  // of the datagrams that are opened together

  // relay/packet_path.cc
  uint32_t receive() noexcept;

  // relay/packet_path_open.cc, in this order
  void open_received(uint32_t count) noexcept;
  void open(const core::Packet& packet, uint8_t frame) noexcept;
  void open_datagram(const core::Packet& packet, uint8_t* data, uint32_t length, uint8_t frame) noexcept;
  bool turn_to_lane(const core::Packet& packet, uint8_t* data, uint32_t length) noexcept;
  void open_batch() noexcept;
  void prefetch_flows(std::span<const OpenJob> jobs) const noexcept;
  uint32_t split(Session& session, std::span<uint8_t> records, uint8_t frame) noexcept;
  void take_record(Session& session, const uint8_t* at, uint8_t alone_in) noexcept;
  bool flows_on(const Flow& flow, Label label, LinkId from) const noexcept;
  void note_straight(Flow& flow, const uint8_t* record) noexcept;
  uint32_t forward_alone(const Session& session, std::span<const OpenJob> jobs) noexcept;
  uint32_t judge_alone(const Session& session, const LaneWriter::Forwarding& to,
                       std::span<const OpenJob> jobs, const Flows& flows, uint32_t first) noexcept;
  void take_alone(LaneWriter::Forwarding& to, std::span<const OpenJob> jobs, const Flows& flows,
                  uint32_t first, uint32_t end) noexcept;
  bool fan_out_alone(const Session& session, Flow& flow, uint32_t at) noexcept;
  void fan_out_straight(Flow& flow, uint8_t* record, core::Packet& packet) noexcept;
  bool all_straight(Flow& flow, uint32_t plain) noexcept;
  LaneWriter::Forwarding* forwarding_to(const OutputSlot& output) noexcept;
  bool begin_forwarding(const OutputSlot& output) noexcept;
  void seal_all_forwarded() noexcept;
  bool append_straight(const Session& session, const uint8_t* record, RecordWord header) noexcept;
  bool append_to_all(Flow& flow, const uint8_t* record, RecordWord header) noexcept;
  void append_to(LaneWriter::Stream& stream, FlowId id, OutputSlot& output, const uint8_t* record,
                 RecordWord header) noexcept;
  LaneWriter::Stream* stream_to(const OutputSlot& output, LaneWriter::StreamKind kind,
                                uint32_t plain) noexcept;
  void lost_straight(FlowId id, OutputSlot& output, const uint8_t* at, DropReason reason) noexcept;
  void finish_straight() noexcept;

  // relay/packet_path.cc, in this order
  void relay_batch() noexcept;
  uint32_t locate() noexcept;
  DropReason find_flow(Record& record) noexcept;
  void fan_out(uint32_t count) noexcept;
  void deliver(Flow& flow, FlowId id, Group group) noexcept;
  void to_queue(FlowId id, OutputSlot& output, uint64_t handle, Group group) noexcept;
  void to_tap(FlowId id, OutputSlot& output, Group group) noexcept;
  template <bool kInPlace>
  void to_link(FlowId id, OutputSlot& output, Group group) noexcept;
  DropReason forward(FlowId id, const OutputSlot& output, const Record& record) noexcept;
  bool in_broken_frame(OutputSlot& output, const Record& record) noexcept;
  void lost(FlowId id, OutputSlot& output, const Record& record, DropReason reason) noexcept;

  // relay/packet_path_edges.cc
  uint32_t take_frames() noexcept;
  void send_handshake(const Frame& frame) noexcept;
  uint32_t take_host_packets() noexcept;
  void take_host_packet(uint16_t queue, const HostPacket& packet) noexcept;
  void take_published(const core::Packet& packet, FlowId flow) noexcept;
  void take_from_subscriber(const core::Packet& packet) noexcept;
  void hand_over(const core::Packet& packet, Bytes datagram, CoreId to) noexcept;
  uint32_t take_over() noexcept;
  void take_handshake(const core::Packet& packet, Bytes datagram) noexcept;
  void take_link_record(Session& session, uint8_t lane, const RecordHeader& header,
                        const uint8_t* payload) noexcept;

  // relay/packet_path_control.cc
  uint32_t take_commands() noexcept;
  bool apply(const CoreCommand& command) noexcept;
  bool open_flow(const FlowOpen& open) noexcept;
  bool close_flow(FlowId flow) noexcept;
  bool change_output(const OutputChange& change, bool add) noexcept;
  bool open_ingest(const IngestOpen& open) noexcept;
  bool open_egress(const EgressOpen& open) noexcept;
  void look_after_flows() noexcept;
  void break_frames_of_lost_runs() noexcept;
  void report_started(FlowId id) noexcept;
  void report_too_big(FlowId id, uint32_t size, uint32_t size_max) noexcept;
  bool report_facts(FlowId id) noexcept;
  bool try_report(const CoreEvent& event) noexcept;

  void refuse(DropReason reason) noexcept {
    accounting_.received(1);
    accounting_.drop(reason);
  }
  Record& next_record() noexcept {
    if (record_count_ == kBatch) relay_batch();
    Record& record = records_[record_count_];
    record = Record{};
    return record;
  }
  uint16_t mesh_endpoint(uint16_t family) const noexcept { return mesh_endpoints_[family == 6 ? 1 : 0]; }

  CoreId core_;
  io::Port& port_;
  CoreRings& rings_;
  Accounting accounting_;
  Transmitter transmitter_;
  SessionTable sessions_;
  FlowTable flows_;
  Taps taps_;
  HostOutputs hosts_;
  LaneWriter lanes_;
  EdgeWriter edge_;
  Feedback feedback_;
  Liveness liveness_;
  std::array<uint16_t, 2> mesh_endpoints_{LaneWriter::kNoEndpoint, LaneWriter::kNoEndpoint};

  Nanos now_{};  // of the run in progress
  Nanos flow_check_at_{};
  FlowId flow_check_from_ = 0;
  bool unfinished_ = false;  // the next turn has something to do at once

  // What took the short way since open_batch() began.
  struct Straight {
    uint32_t packets = 0;
    uint32_t outputs = 0;  // of all of them
    uint32_t lost = 0;     // outputs that did not get theirs
    uint32_t in_place = 0;
    uint64_t bytes = 0;
  };
  Straight straight_;
  // The stream that the last one was appended to, and for which outputs it is. Good until a command is
  // carried out.
  struct Appending {
    uint32_t where = 0;
    LaneWriter::StreamKind kind{};
    LaneWriter::Stream* stream = nullptr;
  };
  Appending appending_;
  // Where packets go that leave in frames, by link; one bit for each that was begun for this batch.
  LazyArray<LaneWriter::Forwarding> forwardings_;
  uint32_t forwardings_begun_ = 0;

  // In hand. Datagrams of one session and lane that wait for one call of open(); what their first words and
  // their session index have in common, and the lane's window. Good until a command is carried out.
  Session* opening_ = nullptr;
  LaneReplayWindow* opening_window_ = nullptr;
  uint64_t opening_word_ = 0;
  uint64_t opening_index_ = kNoSession;
  uint8_t opening_lane_ = 0;
  uint32_t open_count_ = 0;
  std::array<OpenJob, io::kMaxRunSegments> open_jobs_;
  std::array<uint64_t, io::kMaxRunSegments> open_counters_;
  std::array<uint8_t, io::kMaxRunSegments> open_frames_;  // 1 + which received packet it lies in; 0: no frame
  // and records that wait for their flow:
  uint32_t record_count_ = 0;
  std::array<Record, kBatch> records_;
  std::array<core::Packet, kReceiveBurst> received_;
};

}  // namespace trunkline::relay
