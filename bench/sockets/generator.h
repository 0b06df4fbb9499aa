// Open-loop load: sends prebuilt datagrams from one or more local ports to one address, in GSO runs, at a
// paced rate or as fast as one core can. Each datagram may be patched just before it leaves (counters,
// times). Bounded in time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace trunkline::bench {

struct Load {
  // One run: `segments` datagrams of `segment_bytes` (the last of a run may not be shorter: all equal), from
  // source port index `source`. fill() writes run number n of this entry into `out`.
  struct Run {
    uint32_t source = 0;
    uint32_t segments = 16;
    uint32_t segment_bytes = 1200;
    std::function<void(uint8_t* out, uint64_t now_ns)> fill;
  };
  std::vector<Run> runs;  // sent round robin
  uint32_t sources = 1;   // local sockets; source i sends to destination_port
  uint16_t first_source_port = 20'000;
  const char* source_ip = nullptr;
  const char* destination_ip = nullptr;
  uint16_t destination_port = 0;
  double datagrams_per_s = 0;  // 0: as fast as possible
  double seconds = 1;
};

// Blocks for load.seconds; returns datagrams sent.
uint64_t generate(const Load& load);

}  // namespace trunkline::bench
