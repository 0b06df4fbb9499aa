// DataCore: one data core as a thread. A port, a packet path, and the loop that runs them; when there is
// nothing to do, the art of sleeping.
//
//   busy       never sleeps: the lowest latency, and a whole CPU
//   adaptive   an idle turn, then a sleep: until a batch arrives while traffic flows (each wake-up costs
//              4 to 5 us, so single packets do not get one), until anything arrives when it does not
//
// Whoever puts something into a ring of this core, another data core included, calls wake() afterwards. The
// loop announces its sleep, looks at the rings again, and only then waits in the port (core/wake_word.h has
// the argument).
//
// Everything is made on the starting thread; from run() on it belongs to the core's thread, counters and
// wake() excepted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/atomic.h"
#include "core/counters.h"
#include "core/wake_word.h"
#include "io/port.h"
#include "relay/packet_path.h"
#include "relay/sleeper.h"
#include "relay/topology.h"

namespace trunkline::relay {

class DataCore {
 public:
  // `mesh`, the channels' hosts and `all`, the data cores by number, are whom this core wakes. All references
  // outlive it; `all` is complete before the first run.
  DataCore(const NodeConfig& config, CoreId id, std::unique_ptr<io::Port> port, Crypto& crypto,
           core::PageSource& pages, NodeRings& rings, Sleeper& mesh,
           const std::vector<std::unique_ptr<DataCore>>& all);
  ~DataCore();

  core::Result<UdpAddress> open_mesh(const UdpAddress& listen) { return path_->open_mesh(listen); }
  // The address of another core of this node, whose datagrams a device may deliver here.
  core::Result<void> listen_for(const UdpAddress& other) { return path_->listen_for(other); }

  // The thread: returns soon after stop().
  void run() noexcept;
  // From any thread.
  void stop() noexcept;
  void wake() noexcept {
    if (word_.should_wake()) port_->wake();  // R1
  }

  CoreId id() const { return id_; }
  const io::Port& port() const { return *port_; }
  const PacketPath& path() const { return *path_; }
  uint64_t turns() const { return turns_.value(); }
  uint64_t sleeps() const { return sleeps_.value(); }
  const StageTimes& stages() const { return *stages_; }
  // Valid when the thread has ended.
  Conservation conservation() const { return path_->conservation(); }

 private:
  // Idle turns before a sleep. An idle turn is one empty receive call. While traffic flows the sleep is short
  // and bounded by itself, and when it does not the next packet ends it: more turns would only cost.
  static constexpr uint32_t kSpins = 1;
  // "Traffic flows" while something was done this recently.
  static constexpr Nanos kTrafficWindow = core::from_ms(10);
  // No sleep is longer: a timer of the path that were forgotten would cost no more than this.
  static constexpr Nanos kLongestSleep = core::from_ms(50);

  void wake_others() noexcept;
  bool has_input() const noexcept;
  void sleep(Nanos now, Nanos last_work) noexcept;

  const NodeConfig& config_;
  CoreId id_;
  NodeRings& rings_;
  CoreRings& mine_;
  Sleeper& mesh_;
  const std::vector<std::unique_ptr<DataCore>>& all_;
  std::unique_ptr<io::Port> port_;
  std::unique_ptr<StageTimes> stages_ = std::make_unique<StageTimes>();
  std::unique_ptr<PacketPath> path_;
  core::WakeWord<> word_;
  core::Atomic<bool> stop_{false};
  core::Counter turns_;
  core::Counter sleeps_;
};

}  // namespace trunkline::relay
