// The relay as it is measured: the production packet path on a production socket port, one data core, null
// suite or a sealed one, sessions and flows installed as the mesh thread would. Mesh to mesh: records arrive
// from P peers and leave to D peers. And the matching load: the datagrams that such peers send, with valid
// sessions, counters and tags.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bench/sockets/generator.h"
#include "core/page_source.h"
#include "io/port.h"
#include "relay/config.h"
#include "relay/crypto.h"

namespace trunkline::bench {

struct MeshTraffic {
  uint32_t peers_in = 1;
  uint32_t peers_out = 1;
  uint32_t flows = 500;           // labels in use, spread over the peers
  uint32_t payload_bytes = 1200;  // of each RTP packet
  uint32_t records = 1;           // per datagram that arrives
  uint32_t run_datagrams = 16;    // datagrams that arrive as one aggregate
  relay::TrafficClass traffic_class = relay::TrafficClass::kVideoBase;
  bool mix = false;  // video sizes of +-1 byte, and audio among it (sockets.mix)
  relay::Suite suite = relay::Suite::kNull;
};

struct RelayOptions {
  MeshTraffic traffic;
  relay::PortChoice port = relay::PortChoice::kAuto;
  uint32_t sleep_us = 0;  // 0: saturated, sleeps only when nothing is there; else the adaptive bound
  bool busy = false;      // never sleeps
  uint32_t bundle_wait_us = 0;
  const char* listen_ip = nullptr;
  uint16_t listen_port = 0;
  const char* to_ip = nullptr;
  uint16_t to_port = 0;  // peer i of the outputs is at to_port + i
  double seconds = 1;
  bool stamp = false;  // record how long packets took (see mesh_load)
};

struct RelayResult {
  uint64_t packets = 0;    // media packets that left
  uint64_t datagrams = 0;  // mesh datagrams that left
  uint64_t drops = 0;
  uint64_t cpu_ns = 0;
  double seconds = 0;
  double p99_us = 0;  // with `stamp`: from the generator's send to the hand-over to the port
  char port[32] = {};
};

// Blocks for about options.seconds after the first packet.
RelayResult run_relay(const RelayOptions& options);
// The same on a port that is there already (options.port does not count). `when_open` is called when its
// endpoints are open, before the first run. `pages` outlives the call.
RelayResult run_relay_on(const RelayOptions& options, std::unique_ptr<io::Port> port, core::PageSource& pages,
                         const std::function<void()>& when_open);

// The load that run_relay expects from its peers. Addresses and rate are the caller's. Its keys are made when
// the first run is written, and stay in the process that wrote it (relay/key_memory.h).
Load mesh_load(const MeshTraffic& traffic);

}  // namespace trunkline::bench
