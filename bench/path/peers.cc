// The peers, on an ethdev of their own, as DPDK's own applications drive one.
#include <rte_ethdev.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include <array>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "bench/path/contestants.h"
#include "bench/path/relay_core.h"
#include "relay/flow_table.h"

namespace trunkline::bench {
namespace {

constexpr uint16_t kBurst = 32;  // testpmd's --burst
constexpr uint16_t kRing = 512;
constexpr uint32_t kBuffers = 16'384, kCache = 250;

enum class Loaded { kYes, kNo };

// A net_null device with one queue pair and its pool, and the load on it; without, it receives what lies in
// its buffers.
class NullDevice {
 public:
  NullDevice(const char* name, const LoadShape& shape, Loaded loaded = Loaded::kYes) : load_(shape) {
    const std::string words = std::string(name) + ",copy=0,size=" + std::to_string(load_.frame_bytes());
    if (rte_dev_probe(words.c_str()) != 0 || rte_eth_dev_get_port_by_name(name, &id) != 0)
      give_up("no net_null");
    pool = rte_pktmbuf_pool_create(name, kBuffers, kCache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    rte_eth_conf conf{};
    if (pool == nullptr || rte_eth_dev_configure(id, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(id, 0, kRing, 0, nullptr, pool) != 0 ||
        rte_eth_tx_queue_setup(id, 0, kRing, 0, nullptr) != 0 || rte_eth_dev_start(id) != 0)
      give_up("net_null does not start");
    if (loaded == Loaded::kYes) load_.attach(name);
  }
  ~NullDevice() {
    load_.detach();
    rte_eth_dev_info info{};
    const bool known = rte_eth_dev_info_get(id, &info) == 0;
    rte_eth_dev_stop(id);
    rte_eth_dev_close(id);
    if (known) rte_dev_remove(info.device);
    rte_mempool_free(pool);
  }
  NullDevice(const NullDevice&) = delete;
  NullDevice& operator=(const NullDevice&) = delete;

  uint16_t receive(rte_mbuf** mbufs) const { return rte_eth_rx_burst(id, 0, mbufs, kBurst); }
  void send(rte_mbuf** mbufs, uint16_t count) const {
    const uint16_t sent = rte_eth_tx_burst(id, 0, mbufs, count);
    if (sent < count) rte_pktmbuf_free_bulk(mbufs + sent, static_cast<unsigned>(count - sent));
  }

  uint16_t id = 0;
  rte_mempool* pool = nullptr;

 private:
  DeviceLoad load_;
};

// Ethernet, IPv4 and UDP addresses change places (testpmd, app/test-pmd/5tswap.c).
void swap_five_tuple(rte_mbuf* mbuf) {
  auto* ethernet = rte_pktmbuf_mtod(mbuf, rte_ether_hdr*);
  rte_ether_addr station;
  rte_ether_addr_copy(&ethernet->dst_addr, &station);
  rte_ether_addr_copy(&ethernet->src_addr, &ethernet->dst_addr);
  rte_ether_addr_copy(&station, &ethernet->src_addr);
  mbuf->l2_len = sizeof(rte_ether_hdr);
  if (ethernet->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4)) return;
  auto* ip = reinterpret_cast<rte_ipv4_hdr*>(ethernet + 1);
  const rte_be32_t source = ip->src_addr;
  ip->src_addr = ip->dst_addr;
  ip->dst_addr = source;
  mbuf->l3_len = sizeof(rte_ipv4_hdr);
  if (ip->next_proto_id != IPPROTO_UDP) return;
  auto* udp = reinterpret_cast<rte_udp_hdr*>(ip + 1);
  const rte_be16_t port = udp->src_port;
  udp->src_port = udp->dst_port;
  udp->dst_port = port;
}

// From one device to the other, or back to the same.
uint16_t swap_burst(const NullDevice& from, const NullDevice& to) {
  std::array<rte_mbuf*, kBurst> mbufs;
  const uint16_t count = from.receive(mbufs.data());
  for (uint16_t i = 0; i < count; ++i) {
    if (i + 1 < count) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 1u], void*));
    swap_five_tuple(mbufs[i]);
  }
  to.send(mbufs.data(), count);
  return count;
}

class Swap final : public Contestant {
 public:
  explicit Swap(const LoadShape& shape) : device_(next_name().c_str(), shape) {}
  uint32_t turn() override { return swap_burst(device_, device_); }

 private:
  static std::string next_name() {  // there may be several at a time
    static uint32_t made = 0;
    return "net_null_swap" + std::to_string(made++);
  }
  NullDevice device_;
};

class BareSwap final : public Contestant {
 public:
  explicit BareSwap(const LoadShape& shape)
      : one_("net_null_bare0", shape, Loaded::kNo), other_("net_null_bare1", shape, Loaded::kNo) {}
  uint32_t turn() override { return swap_burst(one_, other_) + uint32_t{swap_burst(other_, one_)}; }

 private:
  NullDevice one_, other_;
};

// One more output by DPDK's own means.
enum class More { kClone, kCopy };

template <More kMore>
class FanOut final : public Contestant {
 public:
  FanOut(const LoadShape& shape, uint32_t outputs)
      : outputs_(outputs), device_(kMore == More::kClone ? "net_null_clone" : "net_null_copy", shape) {
    if (kMore == More::kClone)
      headers_ = rte_pktmbuf_pool_create("headers", kBuffers, kCache, 0, 256, SOCKET_ID_ANY);
    else
      headers_ = device_.pool;
    if (headers_ == nullptr) give_up("no memory for headers");
  }
  ~FanOut() override {
    if (kMore == More::kClone) rte_mempool_free(headers_);
  }
  uint32_t turn() override {
    std::array<rte_mbuf*, kBurst> mbufs;
    const uint16_t count = device_.receive(mbufs.data());
    for (uint32_t output = 1; output < outputs_; ++output) {
      std::array<rte_mbuf*, kBurst> more;
      uint16_t made = 0;
      for (uint16_t i = 0; i < count; ++i) {
        more[made] =
            kMore == More::kClone ? clone(mbufs[i]) : rte_pktmbuf_copy(mbufs[i], device_.pool, 0, UINT32_MAX);
        if (more[made] == nullptr) give_up("no buffer for an output");
        if (kMore == More::kCopy) swap_five_tuple(more[made]);
        ++made;
      }
      device_.send(more.data(), made);
    }
    for (uint16_t i = 0; i < count; ++i) swap_five_tuple(mbufs[i]);
    device_.send(mbufs.data(), count);
    return count;
  }

 private:
  static constexpr uint16_t kHeaders = 14 + 20 + 8 + relay::kHeaderBytes + relay::kRecordHeaderBytes;

  // The payload shared by reference, headers of its own in front (examples/ipv4_multicast).
  rte_mbuf* clone(rte_mbuf* packet) {
    rte_mbuf* payload = rte_pktmbuf_clone(packet, headers_);
    rte_mbuf* header = rte_pktmbuf_alloc(headers_);
    if (payload == nullptr || header == nullptr) return nullptr;
    rte_memcpy(rte_pktmbuf_append(header, kHeaders), rte_pktmbuf_mtod(packet, void*), kHeaders);
    rte_pktmbuf_adj(payload, kHeaders);
    header->next = payload;
    header->nb_segs = 2;
    header->pkt_len = header->data_len + payload->pkt_len;
    swap_five_tuple(header);
    return header;
  }

  uint32_t outputs_;
  NullDevice device_;
  rte_mempool* headers_ = nullptr;
};

class Stock final : public Contestant {
 public:
  Stock(const LoadShape& shape, uint32_t outputs)
      : outputs_(outputs), device_("net_null_stock", shape), flows_(shape.labels) {
    headers_ = rte_pktmbuf_pool_create("stock_headers", kBuffers, kCache, 0, 256, SOCKET_ID_ANY);
    rte_hash_parameters parameters{};
    parameters.name = "stock";
    parameters.entries = shape.labels + shape.labels / 4;
    parameters.key_len = sizeof(uint32_t);
    parameters.hash_func = rte_hash_crc;
    parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF;
    table_ = rte_hash_create(&parameters);
    if (headers_ == nullptr || table_ == nullptr) give_up("no memory for the stock relay");
    for (uintptr_t flow = 0; flow < shape.labels; ++flow) {
      const uint32_t key =
          __builtin_bswap32(relay::flow_label(static_cast<uint32_t>(flow), core::CoreId{0}, 0, 1).value);
      if (rte_hash_add_key_data(table_, &key, reinterpret_cast<void*>(flow + 1)) != 0)
        give_up("rte_hash is full");
    }
  }
  ~Stock() override {
    rte_hash_free(table_);
    rte_mempool_free(headers_);
  }
  uint32_t turn() override {
    std::array<rte_mbuf*, kBurst> mbufs;
    std::array<const void*, kBurst> keys;
    std::array<void*, kBurst> found;
    const uint16_t count = device_.receive(mbufs.data());
    for (uint16_t i = 0; i < count; ++i) keys[i] = rte_pktmbuf_mtod_offset(mbufs[i], void*, kLabelAt);
    uint64_t hits = 0;
    rte_hash_lookup_bulk_data(table_, keys.data(), count, &hits, found.data());
    const uint64_t now = rte_rdtsc();
    for (uint32_t output = 0; output < outputs_; ++output) {
      std::array<rte_mbuf*, kBurst> out;
      uint16_t made = 0;
      for (uint16_t i = 0; i < count; ++i) {
        if ((hits >> i & 1) == 0) continue;
        Flow& flow = flows_[reinterpret_cast<uintptr_t>(found[i]) - 1];
        flow.last_seen = now;
        rte_mbuf* payload = rte_pktmbuf_clone(mbufs[i], headers_);
        rte_mbuf* header = rte_pktmbuf_alloc(headers_);
        if (payload == nullptr || header == nullptr) give_up("no buffer for an output");
        rte_memcpy(rte_pktmbuf_append(header, kHeaders), rte_pktmbuf_mtod(mbufs[i], void*), kHeaders);
        rte_pktmbuf_adj(payload, kHeaders);
        header->next = payload;
        header->nb_segs = 2;
        header->pkt_len = header->data_len + payload->pkt_len;
        swap_five_tuple(header);
        out[made++] = header;
      }
      device_.send(out.data(), made);
    }
    rte_pktmbuf_free_bulk(mbufs.data(), count);
    return count;
  }

 private:
  static constexpr uint16_t kLabelAt = 14 + 20 + 8 + relay::kHeaderBytes;
  static constexpr uint16_t kHeaders = kLabelAt + relay::kRecordHeaderBytes;
  struct alignas(64) Flow {
    uint64_t last_seen = 0;
  };
  uint32_t outputs_;
  NullDevice device_;
  std::vector<Flow> flows_;
  rte_mempool* headers_ = nullptr;
  rte_hash* table_ = nullptr;
};

}  // namespace

std::unique_ptr<Contestant> make_swap(const LoadShape& shape) {
  return std::make_unique<Swap>(shape);
}
std::unique_ptr<Contestant> make_bare_swap(const LoadShape& shape) {
  return std::make_unique<BareSwap>(shape);
}
std::unique_ptr<Contestant> make_stock(const LoadShape& shape, uint32_t outputs) {
  return std::make_unique<Stock>(shape, outputs);
}
std::unique_ptr<Contestant> make_cloner(const LoadShape& shape, uint32_t outputs) {
  return std::make_unique<FanOut<More::kClone>>(shape, outputs);
}
std::unique_ptr<Contestant> make_copier(const LoadShape& shape, uint32_t outputs) {
  return std::make_unique<FanOut<More::kCopy>>(shape, outputs);
}

double cycles_per_packet(Contestant& contestant, uint64_t packets) {
  uint64_t moved = 0;
  const uint64_t begin = rte_rdtsc_precise();
  while (moved < packets) {
    const uint32_t now = contestant.turn();
    if (now == 0) give_up("a contestant moves nothing");
    moved += now;
  }
  return static_cast<double>(rte_rdtsc_precise() - begin) / static_cast<double>(moved);
}

double cycles_per_random_line(uint64_t lines) {
  constexpr size_t kLines = size_t{1} << 24;  // 1 GiB: far beyond every cache
  static std::vector<std::array<uint64_t, 8>> memory(kLines);
  std::mt19937_64 random(2);
  uint64_t sum = 0, cycles = 0;
  for (uint64_t done = 0; done < lines; done += kBurst) {
    std::array<uint32_t, kBurst> at;
    for (uint32_t& a : at) a = static_cast<uint32_t>(random() % kLines);
    const uint64_t begin = rte_rdtsc_precise();
    for (const uint32_t a : at) rte_prefetch0(&memory[a]);
    for (const uint32_t a : at) sum += ++memory[a][0];
    cycles += rte_rdtsc_precise() - begin;
  }
  if (sum == 0) give_up("no line was touched");
  return static_cast<double>(cycles) / static_cast<double>(lines);
}

}  // namespace trunkline::bench
