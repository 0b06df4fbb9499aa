// One data core of a relay under test: a PacketPath on a port of a net_null device of its own, with the load
// on it and the commands that the mesh thread would send put into its ring. Sessions and flows are there when
// it is made: the load's peer, and for each output a peer to which every flow goes.
//
// Made and destroyed by one thread; between enter() and leave() it belongs to the thread that called them.
#pragma once

#include <memory>
#include <string>

#include "bench/path/load.h"
#include "core/rng.h"
#include "io/device.h"
#include "io/page_source.h"
#include "relay/null_suite.h"
#include "relay/packet_path.h"

namespace trunkline::bench {

// Ends the process, with the reason.
[[noreturn]] void give_up(const std::string& why);

// A node with room for that load, and for `outputs` peers that it is sent to.
relay::NodeConfig relay_config(const LoadShape& shape, uint32_t outputs);

class RelayCore {
 public:
  // References outlive it.
  RelayCore(const relay::NodeConfig& config, core::CoreId id, relay::CoreRings& rings, const LoadShape& shape,
            uint32_t outputs);
  ~RelayCore();
  RelayCore(const RelayCore&) = delete;
  RelayCore& operator=(const RelayCore&) = delete;

  // The thread that runs it from here on, until leave().
  void enter() { port_->enter_thread(); }
  void leave() { port_->leave_thread(); }
  // One turn of the loop.
  void run(core::Nanos now) { path_.run_once(now); }
  // One turn in which the peers say where they are: good for 30 s.
  void introduce(core::Nanos now);

  DeviceLoad& load() { return load_; }
  relay::PacketPath& path() { return path_; }
  // Media that was appended to datagrams for peers; and drops, since it was made.
  uint64_t relayed() const { return path_.counters().value(relay::CoreCounter::media_to_links); }
  uint64_t dropped() const { return path_.drops().total(); }
  // Ends the process when anything was dropped for another reason, with what it was.
  void check_drops(relay::DropReason allowed = relay::kNoDrop) const;

 private:
  static std::unique_ptr<io::Device> open(const LoadShape& shape, const std::string& name);
  std::unique_ptr<io::Port> make_port(core::CoreId id);
  void push(const relay::CoreCommand& command);
  void open_session(uint16_t link, const core::UdpAddress& address, bool active);
  void open_flow(uint32_t flow, uint32_t outputs);

  core::CoreId id_;
  uint32_t core_bits_;
  relay::CoreRings& rings_;
  DeviceLoad load_;
  std::string name_;  // of the device
  core::Rng rng_{1};
  relay::NullCrypto crypto_{rng_};
  io::MmapPageSource pages_;
  std::unique_ptr<io::Device> device_;
  std::unique_ptr<io::Port> port_;
  relay::PacketPath path_;
  core::Nanos now_;  // while it is set up
};

}  // namespace trunkline::bench
