// Plain RTP to its flow: who would a packet be for that a tap receives, by its UDP port and its SSRC, among
// 100 000 flows? BoundedTable beside rte_hash, with the same keys taken from the same packets by the same
// loop.
//
// The packets lie in a ring of 512 buffers, as many as a device's receive ring has. Between two rounds it is
// filled anew, with packets of other flows in random order, outside the measured time: a device does that
// without the CPU. So packets come from the second-level cache and flows from wherever the table keeps them.
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "bench/path/contest.h"
#include "bench/path/relay_core.h"
#include "core/flow_key.h"
#include "core/rng.h"
#include "relay/wire.h"

namespace trunkline::bench {
namespace {

using core::FlowKey;

constexpr uint32_t kFlows = 100'000, kPorts = 64, kFirstPort = 20'000;
constexpr uint32_t kBurst = 32, kRing = 512;
constexpr uint32_t kUdpAt = 14 + 20, kRtpAt = kUdpAt + 8;
constexpr double kPackets = 4e6;  // in a repetition

struct Flows {
  std::vector<FlowKey> keys;
  Flows() {
    core::Rng rng(3);
    for (uint32_t i = 0; i < kFlows; ++i) {
      keys.push_back(
          FlowKey::of(static_cast<uint16_t>(kFirstPort + i % kPorts), static_cast<uint32_t>(rng.next())));
    }
  }
};

// What a device has received: Ethernet, IPv4, UDP, RTP, 172 bytes of it.
class Ring {
 public:
  explicit Ring(const Flows& flows) : flows_(flows) {
    for (Frame& frame : frames_) {
      frame.bytes[14] = 0x45;
      frame.bytes[14 + 9] = 17;
      frame.bytes[kRtpAt] = 0x80;
      frame.bytes[kRtpAt + 1] = 111;
    }
  }
  void refill() {
    for (uint32_t i = 0; i < kRing; ++i) {
      flow_[i] = static_cast<uint32_t>(rng_.below(kFlows));
      const FlowKey& key = flows_.keys[flow_[i]];
      relay::store_be16(&frames_[i].bytes[kUdpAt + 2], key.port);
      relay::store_be32(&frames_[i].bytes[kRtpAt + 8], key.ssrc);
    }
  }
  const uint8_t* frame(uint32_t i) const { return frames_[i].bytes.data(); }
  uint32_t flow(uint32_t i) const { return flow_[i]; }

 private:
  struct alignas(64) Frame {
    std::array<uint8_t, 256> bytes{};
  };
  const Flows& flows_;
  core::Rng rng_{4};
  std::vector<Frame> frames_{kRing};
  std::array<uint32_t, kRing> flow_{};
};

// RFC 3550, 5.1: version 2, and the SSRC at byte 8. What is no RTP gets a key that no flow has.
FlowKey key_of(const uint8_t* frame) {
  const bool rtp = (frame[kRtpAt] & 0xc0) == 0x80;
  return rtp ? FlowKey::of(relay::load_be16(frame + kUdpAt + 2), relay::load_be32(frame + kRtpAt + 8))
             : FlowKey{};
}

// ---- the two tables

struct OurTable {
  io::MmapPageSource pages;
  core::FlowTable table{kFlows, {0x1234, 0x5678}, pages};
  explicit OurTable(const Flows& flows) {
    for (uint32_t i = 0; i < kFlows; ++i) table.insert(flows.keys[i], i);
  }
  void find(std::span<const FlowKey, kBurst> keys, std::span<uint32_t, kBurst> flows) const {
    table.find_burst(keys, flows);
  }
};

// Lock-free readers, its CRC hash, bulk look-ups; 16-byte keys, which it has a comparison of its own for.
class RteTable {
 public:
  explicit RteTable(const Flows& flows) {
    rte_hash_parameters parameters{};
    parameters.name = "ingress";
    parameters.entries = kFlows + kFlows / 8;
    parameters.key_len = sizeof(FlowKey);
    parameters.hash_func = rte_hash_crc;
    parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF;
    table_ = rte_hash_create(&parameters);
    if (table_ == nullptr) give_up("no memory for rte_hash");
    for (uintptr_t i = 0; i < kFlows; ++i) {
      if (rte_hash_add_key_data(table_, &flows.keys[i], reinterpret_cast<void*>(i)) != 0)
        give_up("rte_hash is full");
    }
  }
  ~RteTable() { rte_hash_free(table_); }
  RteTable(const RteTable&) = delete;
  RteTable& operator=(const RteTable&) = delete;

  void find(std::span<const FlowKey, kBurst> keys, std::span<uint32_t, kBurst> flows) const {
    std::array<const void*, kBurst> wanted;
    std::array<void*, kBurst> data;
    for (uint32_t i = 0; i < kBurst; ++i) wanted[i] = &keys[i];
    uint64_t hits = 0;
    rte_hash_lookup_bulk_data(table_, wanted.data(), kBurst, &hits, data.data());
    for (uint32_t i = 0; i < kBurst; ++i) {
      flows[i] = (hits >> i & 1) != 0 ? static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data[i]))
                                      : core::FlowTable::kNone;
    }
  }

 private:
  rte_hash* table_ = nullptr;
};

// ---- the loop

template <class Table>
double ns_per_packet(const Table& table, Ring& ring, uint64_t packets) {
  std::array<uint32_t, kRing> found;
  std::chrono::steady_clock::duration spent{};
  uint64_t done = 0;
  while (done < packets) {
    ring.refill();
    const auto begin = std::chrono::steady_clock::now();
    for (uint32_t first = 0; first < kRing; first += kBurst) {
      std::array<FlowKey, kBurst> keys;
      for (uint32_t i = 0; i < kBurst; ++i) keys[i] = key_of(ring.frame(first + i));
      table.find(keys, std::span<uint32_t, kBurst>(&found[first], kBurst));
    }
    spent += std::chrono::steady_clock::now() - begin;
    done += kRing;
    for (uint32_t i = 0; i < kRing; ++i) {
      if (found[i] != ring.flow(i)) give_up("a packet was classified wrongly");
    }
  }
  return std::chrono::duration<double, std::nano>(spent).count() / static_cast<double>(done);
}

}  // namespace

void ingress_figures(const PathOptions& options) {
  const Figure figure{.name = "path.ingress",
                      .unit = "ns/packet",
                      .peer = "rte_hash lock-free, bulk 32, CRC",
                      .goal = 0.5,
                      .note = "port and SSRC of 100 000 flows, read from packets in memory; bursts of 32"};
  if (!options.wants(figure.name)) return;
  const Flows flows;
  Ring ring(flows);
  const auto ours = std::make_unique<OurTable>(flows);
  const RteTable peer(flows);
  const uint64_t packets = options.scaled(kPackets);
  contest(
      options, figure, [&] { return ns_per_packet(*ours, ring, packets); },
      [&] { return ns_per_packet(peer, ring, packets); });
}

}  // namespace trunkline::bench
