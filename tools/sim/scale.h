// Scale: one large mesh for a minute of virtual time, and what that costs. Where the seeds look for broken
// promises in small meshes, this asks whether the machine stays affordable in large ones; the auditor judges
// it all the same.
//
// The mesh: nodes in turn over the ten regions, links as in tools/sim/peering.h, heartbeats as in production.
// Tracks are spread over all nodes; a few per node are spoken on, the others are muted. Each node's
// subscribers acquire at a steady rate, hold what they got for some seconds, and release it. Links are cut
// for a moment, some lose packets.
//
// One thread. Deterministic but for the clock that it prints.
#pragma once

#include <cstdint>
#include <cstdio>

namespace trunkline::sim {

struct ScaleOptions {
  uint32_t nodes = 300;
  uint32_t links = 30;  // a node, at most
  uint32_t tracks = 10'000;
  uint32_t seconds = 60;
  uint64_t seed = 1;
};

struct ScaleResult {
  double build_s = 0;  // making all nodes and publishing all tracks
  double run_s = 0;    // the simulated time
  uint64_t events = 0;
  uint64_t resident_bytes = 0;  // the largest, of the process
  uint64_t trace_hash = 0;
  uint64_t violations = 0;
};

// Prints a table to `out`; nullptr: nowhere.
ScaleResult run_scale(const ScaleOptions& options, std::FILE* out);

}  // namespace trunkline::sim
