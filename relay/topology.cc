// See topology.h.
#include "relay/topology.h"

#include <bit>
#include <cstdio>

#include "io/ip_host.h"
#include "io/port_options.h"
#include "relay/node_keys.h"
#include "relay/sealed_suite.h"
#include "relay/transmitter.h"

namespace trunkline::relay {
namespace {

// Of a device that the node drives itself: its queues tell each other of neighbours, or the kernel's side of
// its interface tells them all.
void add_device_rings(const NodeConfig& config, std::vector<RingRow>& rows) {
  using Neighbour = io::IpHost::Neighbour;
  const uint32_t cores = config.data_cores;
  const uint32_t depth = io::kDeviceRingDepth;
  if (config.device.interface.empty()) {
    if (cores > 1) {
      rows.push_back({"neighbours", "data core", "data core", "Neighbour", sizeof(Neighbour), depth,
                      cores * cores, "dropped, counted: news_lost; learnt again when needed"});
    }
    return;
  }
  rows.push_back({"wanted", "data core", "kernel side", "UdpAddress", sizeof(core::UdpAddress), depth, cores,
                  "dropped, counted: questions_lost; asked again after a second"});
  rows.push_back({"known", "kernel side", "data core", "Neighbour", sizeof(Neighbour), depth, cores,
                  "dropped, counted: answers_lost; the next question brings it"});
  rows.push_back({"endpoints", "data core", "kernel side", "UdpAddress", sizeof(core::UdpAddress), depth,
                  cores, "the endpoint is not opened"});
}

}  // namespace

NodeRings::NodeRings(const NodeConfig& config, core::PageSource& pages)
    : handovers(Handover::make(config, pages)) {
  for (uint32_t i = 0; i < config.data_cores; ++i) {
    cores.push_back(std::make_unique<CoreRings>(config.limits, config.host_queues));
    if (!handovers.empty()) cores.back()->handover = handovers[i].get();
  }
  for (uint32_t i = 0; i < config.host_queues; ++i)
    channels.push_back(
        std::make_unique<HostChannel>(i, config.limits.command_depth, config.limits.max_acquires));
}

std::vector<RingRow> ring_table(const NodeConfig& config) {
  const NodeLimits& limits = config.limits;
  const uint32_t cores = config.data_cores;
  const uint32_t queues = config.host_queues;
  const uint32_t core_depth = std::bit_ceil(limits.core_ring_depth);
  const uint32_t frame_depth = std::bit_ceil(limits.frame_ring_depth);
  const uint32_t packet_depth = std::bit_ceil(limits.queue_depth);
  std::vector<RingRow> rows = {
      {"commands", "mesh", "data core", "CoreCommand", sizeof(CoreCommand), core_depth, cores,
       "the mesh makes no step until there is room for one"},
      {"frames_in", "mesh", "data core", "Frame", sizeof(Frame), frame_depth, cores,
       "the mesh makes no step until there is room for one"},
      {"events", "data core", "mesh", "CoreEvent", sizeof(CoreEvent), core_depth, cores,
       "kept and offered again; evidence that is renewed anyway is dropped, counted"},
      {"frames_out", "data core", "mesh", "Frame", sizeof(Frame), frame_depth, cores,
       "dropped, counted: control_full, handshake_full; both are repeated"},
      {"to_core", "host queue", "data core", "HostPacket", sizeof(HostPacket), packet_depth, cores * queues,
       "tl_tx_burst takes fewer packets"},
      {"to_host", "data core", "host queue", "HostPacket", sizeof(HostPacket), packet_depth, cores * queues,
       "dropped, counted: queue_full"},
      {"host commands", "host queue", "mesh", "HostCommand", sizeof(HostCommand),
       std::bit_ceil(limits.command_depth), queues, "the call returns TL_EFULL"},
      {"host events", "mesh", "host queue", "slot number", sizeof(uint32_t),
       std::bit_ceil(2 * limits.max_acquires), queues,
       "cannot be: there is a slot for each event of each handle"},
      {"host notices", "mesh", "host queue", "HostEvent", sizeof(HostEvent), HostChannel::kNotices, queues,
       "dropped, counted: notices_lost"},
      {"questions", "who asks", "mesh", "Question", sizeof(Question), QuestionRings::kDepth, 1,
       "the call says TL_ETIMEOUT after a second"},
      {"replies", "mesh", "who asks", "Reply", sizeof(Reply), QuestionRings::kDepth, 1,
       "the mesh leaves the question in its ring"},
      {"log", "mesh", "service", "LogLine", sizeof(LogLine), kLogDepth, 1, "dropped, counted: log_lost"},
  };
  if (cores > 1) {  // one of each for each ordered pair of them
    const uint32_t share = Handover::share(config);
    rows.push_back({"handover", "data core", "data core", "Packet", sizeof(core::Packet), share,
                    cores * (cores - 1), "dropped, counted: handover_full"});
    rows.push_back({"handover home", "data core", "data core", "Buffer*", sizeof(core::Buffer*), share,
                    cores * (cores - 1), "cannot be: no more are lent than it has slots"});
  }
  if (config.port == PortChoice::kDpdk) add_device_rings(config, rows);
  return rows;
}

std::vector<MemoryRow> memory_table(const NodeConfig& config) {
  const NodeLimits& limits = config.limits;
  std::vector<MemoryRow> rows;
  for (const RingRow& ring : ring_table(config)) {
    rows.push_back(
        {std::string("ring ") + ring.name, uint64_t{ring.element_bytes} * ring.depth * ring.count});
  }
  rows.push_back({"host event slots, two per handle",
                  uint64_t{2} * limits.max_acquires * sizeof(HostEvent) * config.host_queues});
  rows.push_back(
      {"host handles", uint64_t{limits.max_acquires} * sizeof(HandleTable::Entry) * config.host_queues});
  if (seals(config)) {
    rows.push_back({"keys of sealed sessions, a page for each with a peer of one core, when it is used",
                    uint64_t{kSealedSessionBytes} * CoreRings::sessions(limits) * config.data_cores});
  }
  rows.push_back({"evidence boards: a line per session and core",
                  EvidenceBoard::bytes(CoreRings::sessions(limits)) * config.data_cores});
  // Where a received buffer can be: with the kernel, waiting to be filled; or in hand for one run of the
  // loop.
  rows.push_back({"receive buffers: being filled, one burst per core",
                  uint64_t{io::kMaxBurst} * io::PortOptions{}.receive_buffer_bytes * config.data_cores});
  rows.push_back({"receive buffers: in hand, one burst per core",
                  uint64_t{io::kMaxBurst} * io::PortOptions{}.receive_buffer_bytes * config.data_cores});
  // Where a transmit buffer can be: filling in a lane, finished and waiting for the end of the loop's run, or
  // at the port. What is in one place is not in another, so the sum of the places is what is configured.
  rows.push_back({"transmit buffers: filling, finished, or at the port",
                  uint64_t{limits.transmit_buffers} * kRunBufferStride * config.data_cores});
  // Where a hand-over buffer can be: on its way to another core, in hand there, or on its way back. Each
  // other core has a share of its own, so the sum of the shares is the pool.
  if (config.data_cores > 1) {
    rows.push_back({"hand-over buffers: with other cores, or on their way",
                    uint64_t{Handover::share(config)} * (config.data_cores - 1) *
                        Handover::buffer_bytes(config) * config.data_cores});
  }
  rows.push_back({"stage clocks: a histogram per stage and core", sizeof(StageTimes) * config.data_cores});
  if (config.port == PortChoice::kDpdk) {
    io::DeviceOptions device = config.device;
    device.mtu = config.mtu;
    // Where a frame can be: in the device's receive ring, in hand, or being sent. DPDK's own memory.
    rows.push_back({"device frames: in its rings, in hand, being sent",
                    device.frame_bytes() * device.buffers * config.data_cores});
  }
  uint64_t sum = 0;
  for (const MemoryRow& row : rows) sum += row.bytes;
  rows.push_back({"sum", sum});
  return rows;
}

std::string topology_text(const NodeConfig& config) {
  std::string text;
  char line[256];
  std::snprintf(line, sizeof line, "%-14s %-11s %-11s %-12s %7s %7s %5s  %s\n", "ring", "producer",
                "consumer", "element", "bytes", "depth", "rings", "when full");
  text += line;
  for (const RingRow& r : ring_table(config)) {
    std::snprintf(line, sizeof line, "%-14s %-11s %-11s %-12s %7u %7u %5u  %s\n", r.name, r.producer,
                  r.consumer, r.element, r.element_bytes, r.depth, r.count, r.when_full);
    text += line;
  }
  text += "\nmemory reserved at start, touched when used\n";
  for (const MemoryRow& row : memory_table(config)) {
    std::snprintf(line, sizeof line, "%10.1f KiB  %s\n", static_cast<double>(row.bytes) / 1024,
                  row.what.c_str());
    text += line;
  }
  return text;
}

}  // namespace trunkline::relay
