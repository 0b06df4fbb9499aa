// NodeRuntime: a node as threads. N data cores, one mesh thread that drives MeshNode and nothing else, one
// service thread for what may block. The C ABI and the tests stand on it; the simulator does without.
//
// start() binds the sockets, makes everything that has a size, and only then starts threads; on failure
// nothing is left behind. stop() takes back what was published and acquired, waits for that (bounded), stops
// the threads in the order in which they feed each other, and checks that nothing was lost: each core's
// packets add up, and every slab of the mesh is empty again.
//
// The mesh thread sleeps in ppoll with nanoseconds and a timer slack of 1 us, so that its deadlines fire
// within a fraction of a tick; how late they were is measured (timer_lateness).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/atomic.h"
#include "core/histogram.h"
#include "core/result.h"
#include "core/rng.h"
#include "io/impaired_port.h"
#include "io/page_source.h"
#include "io/thread.h"
#include "relay/data_core.h"
#include "relay/mesh/mesh_node.h"
#include "relay/node_driver.h"
#include "relay/null_suite.h"
#include "relay/sealed_identity.h"
#include "relay/secret.h"
#include "relay/snapshot.h"
#include "relay/topology.h"

namespace trunkline::relay {

// Called with one zero-terminated line at a time, on the service thread; it may block.
struct LogTarget {
  void (*write)(void* user, int level, const char* line) = nullptr;  // nullptr: stderr
  void* user = nullptr;
};

// [[lab.impair]] as an io::ImpairedPort takes it.
std::vector<io::ImpairedPath> impaired_paths(const NodeConfig& config);

class NodeRuntime {
 public:
  // `config` was validated. Blocks for as long as binding sockets takes. Errors: TL_ESYSTEM.
  static core::Result<std::unique_ptr<NodeRuntime>> start(NodeConfig config, LogTarget log);
  ~NodeRuntime();
  NodeRuntime(const NodeRuntime&) = delete;
  NodeRuntime& operator=(const NodeRuntime&) = delete;

  struct StopReport {
    bool drained = false;  // everything was taken back in time
    bool conserved = true;
    MeshNode::Usage usage{};
    std::vector<Conservation> cores;
  };
  // Once. Takes at most `drain` and what a thread needs to notice, 50 ms.
  StopReport stop(Nanos drain);

  // ---- any thread

  // Has the mesh thread answer; waits for it at most QuestionRings::kPatience. Errors: TL_ETIMEOUT;
  // TL_EINUSE: another thread is asking.
  core::Result<void> ask(Question question, Reply& reply);

  const NodeConfig& config() const { return config_; }
  uint64_t incarnation() const { return incarnation_; }
  Nanos started() const { return started_; }
  const std::string& description() const { return description_; }
  UdpAddress listen_address() const { return listen_; }

  NodeRings& rings() { return *rings_; }
  const NodeRings& rings() const { return *rings_; }
  void wake_core(CoreId core) noexcept { cores_[core.value]->wake(); }
  void wake_mesh() noexcept { mesh_wake_.wake(); }

  const std::vector<std::unique_ptr<DataCore>>& cores() const { return cores_; }
  // What became of sealed handshakes; nullptr where nothing is sealed.
  const SealedCounters* sealed_counters() const {
    return identity_ != nullptr ? &identity_->counts : nullptr;
  }
  const MeshNode& mesh() const { return *mesh_; }  // its counters and histograms only
  // As of the mesh thread's last pass or a few ms ago.
  bool read_gauges(MeshDriver::Gauges& gauges) const { return gauges_.read(gauges); }
  uint32_t link_count() const { return static_cast<uint32_t>(links_.size()); }
  bool read_link(LinkId link, LinkStatus& status) const { return links_[link]->read(status); }
  // How much later than asked for the mesh thread's timers ran, in nanoseconds.
  const core::Histogram& timer_lateness() const { return timer_lateness_; }

 private:
  NodeRuntime(NodeConfig config, LogTarget log);
  core::Result<void> make_crypto();
  core::Result<void> open_device();
  core::Result<void> make_cores();
  core::Result<void> start_device();
  core::Result<std::unique_ptr<io::Port>> make_wire(uint32_t core, std::string& why);
  core::Result<void> start_threads();
  bool handover_adds_up() const;
  void say(LogLevel level, const std::string& text);
  void announce();

  void run_mesh() noexcept;
  void run_service() noexcept;
  void wake(const Touched& touched) noexcept;
  void publish_state(Nanos now) noexcept;
  void write_log(int level, const char* line) noexcept;
  void write_device_log() noexcept;

  // The mesh thread's own state is written at most this often.
  static constexpr Nanos kStateInterval = core::from_ms(5);

  const NodeConfig config_;
  LogTarget log_;
  uint64_t incarnation_ = 0;
  Nanos started_{};
  std::string description_;
  std::string security_;
  UdpAddress listen_{};

  // In the order of making; destroyed in the reverse order.
  io::MmapPageSource pages_;
  core::Rng rng_;
  KernelRandomness randomness_;
  std::unique_ptr<Crypto> crypto_;
  const SealedIdentity* identity_ = nullptr;  // of a node that is sealed
  std::optional<KeyLog> key_log_;
  Sleeper mesh_wake_;
  Sleeper service_wake_;
  std::unique_ptr<NodeRings> rings_;
  std::unique_ptr<io::Device> device_;  // nullptr: kernel sockets
  std::vector<std::unique_ptr<DataCore>> cores_;
  std::unique_ptr<MeshNode> mesh_;
  std::unique_ptr<MeshDriver> driver_;

  core::Atomic<bool> asking_{false};  // one thread at a time has the asking end of the rings
  uint64_t questions_ = 0;            // that thread's
  Sleeper asker_;                     // that thread sleeps here

  Snapshot<MeshDriver::Gauges> gauges_;
  std::vector<std::unique_ptr<Snapshot<LinkStatus>>> links_;
  core::Histogram timer_lateness_;
  Nanos state_due_{};
  bool state_stale_ = false;  // something happened since it was written

  enum MeshPhase : uint32_t { kRunning, kDrain, kDrained, kStop };
  core::Atomic<uint32_t> mesh_phase_{kRunning};
  core::Atomic<bool> service_stop_{false};
  Sleeper stopper_;  // stop() waits for kDrained here
  bool stopped_ = false;

  std::vector<std::unique_ptr<io::Thread>> core_threads_;
  io::Thread mesh_thread_;
  io::Thread service_thread_;
};

}  // namespace trunkline::relay
