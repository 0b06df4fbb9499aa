// The topology of a node: every ring between its threads stands in one table, and every byte that it reserves
// in one sum. The second file to read, after the packet path.
//
// Threads: N data cores, one mesh thread, one service thread, and the host's threads, one per queue. They
// meet in these rings only (and in wake words, relay/sleeper.h). Each ring has one producer and one consumer.
//
// NodeRings makes them all from the configuration, at start. Memory is reserved here and touched when used.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/spsc_ring.h"
#include "relay/config.h"
#include "relay/host_channel.h"
#include "relay/host_queue.h"
#include "relay/mesh/mesh_node.h"
#include "relay/question.h"
#include "relay/snapshot.h"

namespace trunkline::relay {

// One line for people, from the mesh thread to the service thread, which may block on it.
struct LogLine {
  LogLine() noexcept {}  // the text stays unwritten: the ring costs memory when it is used

  LogLevel level = LogLevel::kInfo;
  uint16_t length = 0;
  std::array<char, 508> text;
};
inline constexpr uint32_t kLogDepth = 1'024;

struct NodeRings {
  // `pages` is where buffers that go from core to core are taken from; it outlives the rings.
  NodeRings(const NodeConfig& config, core::PageSource& pages);

  std::vector<std::unique_ptr<Handover>> handovers;    // by CoreId; none when there is one data core
  std::vector<std::unique_ptr<CoreRings>> cores;       // by CoreId
  std::vector<std::unique_ptr<HostChannel>> channels;  // by host queue
  QuestionRings ask;                                   // why does this track (not) flow?
  core::SpscRing<LogLine> log{kLogDepth};
  core::Counter log_lost;  // lines that found the ring full; written by the mesh thread
};

// One kind of ring.
struct RingRow {
  const char* name;
  const char* producer;
  const char* consumer;
  const char* element;
  uint32_t element_bytes;
  uint32_t depth;
  uint32_t count;  // how many there are on this node
  const char* when_full;
};
std::vector<RingRow> ring_table(const NodeConfig& config);

// One place where memory is.
struct MemoryRow {
  std::string what;
  uint64_t bytes;
};
// Rings, event slots, pools; the last row is the sum.
std::vector<MemoryRow> memory_table(const NodeConfig& config);

// Both tables as text, for `trunkline node` at start and for documents.
std::string topology_text(const NodeConfig& config);

}  // namespace trunkline::relay
