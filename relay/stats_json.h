// Everything a running node counts, as one JSON object: for tl_stats_json, the admin socket and `trunkline
// top`.
//
//   node       who it is: id, name, cluster, region, colour, incarnation, uptime_ms, version, listen,
//   draining,
//              successor (the node that requests are referred to; 0: none)
//   cores      per data core: port and its counters, counters, drops, conservation, time per stage
//   mesh       counters of the mesh state machine
//   outcomes   per outcome: count, and the time from asking to outcome in microseconds
//   links      per peer: state, round-trip time, why it is not up
//   usage      slabs in use
//   queues     per host queue: what waits where
//   service    log lines lost; how late timers ran
//
// Any thread. Numbers are read one by one while the node runs: each is right, sums may be a few packets
// apart.
#pragma once

#include <string>

#include "relay/node_runtime.h"

namespace trunkline::relay {

std::string stats_json(const NodeRuntime& node);

}  // namespace trunkline::relay
