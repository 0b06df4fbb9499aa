// MeshDriver: what stands between the rings and MeshNode. It takes inputs out of the rings, steps the
// machine, and writes what comes out into rings again. The mesh thread is a loop around run_once(); the
// simulator calls the same run_once() at the same instants of virtual time.
//
// One pass is bounded: due timers first (a deadline must not wait behind traffic), then at most kBurst inputs
// from each ring. Before each step every ring that the step may write into has room for all it may write
// (MeshNode::kMaxOutputs), so nothing is ever lost between the machine and its data cores; when a core is so
// far behind that there is no room, the pass ends and is tried again kBlockedRetry later. Log lines are the
// exception: they may be lost, and are counted.
//
// Closing a host queue is done here too: the host lets go at once, and the sweep takes back, a few per pass,
// whatever the queue still had.
//
// Owned by one thread. No clock, no system call, no allocation after construction (log lines excepted).
#pragma once

#include <cstdint>
#include <vector>

#include "core/counters.h"
#include "relay/key_log.h"
#include "relay/lazy_array.h"
#include "relay/mesh/mesh_node.h"
#include "relay/static_tracks.h"
#include "relay/topology.h"

namespace trunkline::relay {

// Who got something to do in a pass, and must be woken if asleep: one bit each.
struct Touched {
  uint32_t cores = 0;     // by CoreId
  uint64_t channels = 0;  // by host queue
  bool log = false;
  bool asker = false;  // who waits for a reply (relay/question.h)
};
static_assert(core::kMaxCores <= 32);
inline constexpr uint32_t kMaxHostQueues = 64;

class MeshDriver final : private MeshSink {
 public:
  // Inputs per ring and pass: a pass over all rings stays well below a tick.
  static constexpr uint32_t kBurst = 32;
  static constexpr Nanos kBlockedRetry = core::from_us(100);

  // All outlive the driver.
  MeshDriver(const NodeConfig& config, MeshNode& node, NodeRings& rings);

  // The secrets of every session from now on go there; it outlives the driver. Before the first run.
  void log_keys_to(KeyLog* log) { key_log_ = log; }

  // Returns how many inputs were stepped; 0: nothing to do before next_deadline() or new input.
  uint32_t run_once(Nanos now);
  // The second look before sleeping: is there input that could be taken now?
  bool has_input() const;
  Nanos next_deadline() const;
  // Since the last call.
  Touched take_touched();

  // From now on everything that hosts and configuration asked for is taken back.
  void begin_shutdown() noexcept;
  // It has been: every handle has had its last event, and the peers were told.
  bool shut_down(Nanos now) const;

  struct Gauges {
    MeshNode::Usage usage{};
    MeshNode::Draining draining{};
    uint64_t passes_blocked = 0;  // passes that ended early because a core was behind
  };
  Gauges gauges() const { return {node_.usage(), node_.draining(), passes_blocked_}; }

 private:
  // What one host queue still has, seen from this side.
  struct Live {
    explicit Live(uint32_t handles) : by_slot(handles), swept(handles) {}
    LazyArray<uint64_t> by_slot;  // the handle in use, or 0
    LazyArray<uint8_t> swept;     // asked to end by sweep()
    uint32_t count = 0;
    uint32_t sweep = 0;
  };

  bool connecting(Nanos now) const;
  bool has_room() const;
  bool step(Nanos now, const MeshInput& input);
  uint32_t run_timers(Nanos now);
  uint32_t run_core(Nanos now, CoreRings& core);
  uint32_t run_channel(uint16_t queue);
  uint32_t run_static(Nanos now);
  uint32_t run_questions(Nanos now);
  bool begin_reply(Nanos now, const Question& question, Reply& reply);
  void end_reply();
  bool take_facts(const CoreEvent& event);
  uint32_t sweep(Nanos now, uint16_t queue);
  bool admit(const HostCommand& command, Live& live);

  // MeshSink
  Evidence evidence(CoreId core, uint32_t slot) const override {
    return rings_.cores[core.value]->evidence.read(slot);
  }
  void command(CoreId core, const CoreCommand& command) override;
  void control(LinkId link, uint32_t session_index, std::span<const uint8_t> bytes) override;
  void handshake(const UdpAddress& to, std::span<const uint8_t> datagram) override;
  void event(const HostEvent& event) override;
  void log(LogLevel level, std::string_view text) override;
  void send(const Frame& header, std::span<const uint8_t> bytes);
  void log_keys(CoreId core, const SessionInstall& session);

  MeshNode& node_;
  NodeRings& rings_;
  StaticTracks static_;
  KeyLog* key_log_ = nullptr;
  std::vector<std::unique_ptr<Live>> live_;
  Nanos facts_due_{};  // a reply waits for its data core until then; 0: none does
  Touched touched_;
  Nanos now_{};
  const bool never_blocks_;    // rules.never_blocks: off in a naive variant only
  Nanos connecting_until_{0};  //   which does nothing else until a peer has answered its msg1
  bool blocked_ = false;
  bool shutting_down_ = false;
  uint64_t passes_blocked_ = 0;
};

}  // namespace trunkline::relay
