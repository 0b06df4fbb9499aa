// SimNode: one node of the simulation: the production state machine, packet path, rings and driver, on a port
// in virtual time, and the simulated SFU that is its host.
//
// The idea: nothing in here imitates the product. MeshNode, PacketPath, MeshDriver and NodeRings are the
// object code of the production libraries; what is replaced is the wire (SimPort), the clock (the argument),
// the threads (run() calls each part until nothing is left to do at this instant) and, unless the options
// want the real one, the cryptography (relay/model_suite.h). What the host does and hears goes to the
// auditor.
//
// A crash destroys the object; a restart makes another one with a higher incarnation. One thread.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/page_source.h"
#include "io/sim_port.h"
#include "relay/mesh/mesh_node.h"
#include "relay/node_driver.h"
#include "relay/packet_path.h"
#include "relay/topology.h"
#include "tools/sim/auditor.h"
#include "tools/sim/auditor_keys.h"
#include "tools/sim/network.h"
#include "tools/sim/options.h"
#include "tools/sim/trace.h"

namespace trunkline::sim {

class SimNode {
 public:
  // `config` and the others outlive the node.
  // `crypto` nullptr: the model, which draws from the node's own stream. `keys` nullptr: nobody judges them.
  SimNode(NodeIndex index, uint64_t seed, const relay::NodeConfig& config, uint64_t incarnation,
          std::unique_ptr<relay::Crypto> crypto, Network& network, Auditor& auditor, KeyAuditor* keys,
          Trace& trace);

  // Everything that can be done at this instant; then the host takes what came for it.
  void run(Nanos now);
  // The same, for what arrived and is to have no effect: not on when the node runs next, either. A deadline
  // that comes nearer stays so, and is an effect.
  void run_aside(Nanos now);
  // When run() must be called again if nothing comes from outside.
  Nanos next_due() const { return due_; }
  void deliver(const Network::Arrival& arrival);
  // Something will be delivered soon, on this session, or else the node will run: what that touches comes
  // into the caches while other nodes run. With hundreds of nodes that is most of what an event costs.
  void prefetch(uint32_t session_slot) const;
  // The same is to be asked for soon: the lines that it follows.
  void prefetch_self() const;
  // Something lies in the inbox or in a ring that run() would take.
  bool waiting() const { return path_waiting() || driver_.has_input(); }
  void count_drops(Report& report) const;
  // Received = forwarded + dropped + held. Looked at now and then, and by the caller before the node ends:
  // the path would end the process over it in its destructor, and the seed is to be printed first.
  void check_conservation(Nanos now);

  // ---- the host's calls; `handle` is the auditor's. False when the queue of commands is full.
  bool publish(uint64_t handle, const Publication& publication, Nanos now);
  bool unpublish(uint64_t handle, const Publication& publication, Nanos now);
  bool acquire(uint64_t handle, const Acquisition& acquisition, Nanos rendezvous, Nanos now);
  bool release(uint64_t handle, const Acquisition& acquisition, Nanos now);
  void hint(const core::TrackId& track, core::NodeId node, Nanos now);
  void drain(bool on, core::NodeId successor, Nanos now);
  // The queue has a handle left; contract of publish() and acquire().
  bool room(uint16_t queue) const;
  // The next packet of a confirmed publication; false when the ring to the data core is full.
  bool send(uint64_t handle, const Publication& publication, uint32_t number);

  const relay::MeshNode& mesh() const { return mesh_; }
  const relay::PacketPath& path() const { return *path_; }
  // Why usage() is not what it must be after everything was released; empty when it is. `forgotten`: even
  // what is remembered for a while (who had a track, and no longer has) must be gone, but for `hints` tracks.
  std::string leak(bool forgotten, uint32_t hints) const;

 private:
  std::unique_ptr<io::Port> make_port(Network& network, const relay::NodeConfig& config);

  struct Queue {
    std::unordered_map<uint64_t, uint64_t> auditor_handle;  // by the node's handle, of this life
    std::unordered_map<uint64_t, uint64_t> node_handle;
  };

  bool settle(Nanos now);
  void run_mesh(Nanos now);
  bool path_waiting() const;
  bool mesh_was_told() const;
  void take_packets(uint16_t queue, Nanos now);
  void take_events(uint16_t queue, Nanos now);
  void take_log(Nanos now);
  bool command(relay::HostCommand& command);
  uint64_t new_handle(uint16_t queue, uint64_t auditor_handle);

  NodeIndex index_;
  Auditor& auditor_;
  Trace& trace_;
  core::Rng rng_;
  std::unique_ptr<relay::Crypto> crypto_;
  core::HeapPageSource pages_{core::HeapPageSource::Bytes::kAsFound};
  io::SimPort* port_ = nullptr;      // what the wire delivers to
  std::unique_ptr<io::Port> wired_;  // that, or the laboratory's impaired wire around it
  relay::NodeRings rings_;
  relay::MeshNode mesh_;
  relay::MeshDriver driver_;
  std::unique_ptr<relay::PacketPath> path_;
  std::vector<Queue> queues_;
  Nanos due_{};
  uint32_t runs_ = 0;
  Nanos mesh_due_{};          // the driver's next deadline: it changes when the driver runs
  bool commanded_ = false;    // the hosts said something that the driver has not taken
  relay::HostEvent event_{};  // 900 bytes, kept out of the loop's frame
};

}  // namespace trunkline::sim
