// See dpdk_device.h.
#include "io/dpdk/dpdk_device.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/packet.h"
#include "io/dpdk/dpdk_port.h"
#include "io/dpdk/eal.h"

namespace trunkline::io {
namespace {

// The cache that DPDK keeps for a thread: two bursts and some, as testpmd has it.
constexpr uint32_t kPoolCache = 250;

std::string name_of(const std::string& device) {
  return device.substr(0, device.find(','));
}

const char* remedy(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return "; it needs root, or CAP_NET_ADMIN and CAP_NET_RAW (trunkline doctor shows what this process "
             "has)";
    case EBUSY:
      return "; something else uses it: another process, or another node of this one";
    case ENODEV:
    case EINVAL:
      return "; check its name and arguments, that its driver is installed (librte-net-*), and that this "
             "process may use "
             "it (root, or CAP_NET_ADMIN and CAP_NET_RAW)";
    case ENOMEM:
      return "; raise dpdk.memory_mib, or lower dpdk.buffers";
    default:
      return "";
  }
}

// The value of `key` among a device's arguments; empty: it has none.
std::string argument(const std::string& device, const std::string& key) {
  const size_t at = device.find(',' + key + '=');
  if (at == std::string::npos) return {};
  const size_t from = at + key.size() + 2;
  return device.substr(from, device.find(',', from) - from);
}

// A memif server that was killed leaves its socket's name behind, on which nobody listens any more, and DPDK
// would take it for a server that lives.
void remove_dead_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path.data(), path.size());
  // Not blocking: a server that lives, but is paused with a full backlog, is no dead one.
  const int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return;
  const bool refused = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
                       errno == ECONNREFUSED;
  ::close(probe);
  if (refused) unlink(path.c_str());
}

// rte_pktmbuf_pool_create(), but for one thing: where no DMA comes by, objects may lie across pages. On
// ordinary pages each would otherwise begin one of its own, and net_af_xdp, which counts on their size as
// their distance, would give the kernel three fifths of them.
rte_mempool* make_pool(const char* name, uint32_t count, uint32_t cache, uint16_t room, const char* ops,
                       bool for_dma) {
  const auto bytes = static_cast<uint32_t>(sizeof(rte_mbuf) + kBufferBytes + room);
  rte_mempool* pool = rte_mempool_create_empty(name, count, bytes, cache, sizeof(rte_pktmbuf_pool_private),
                                               SOCKET_ID_ANY, for_dma ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == nullptr) return nullptr;
  rte_pktmbuf_pool_private shape{};
  shape.mbuf_data_room_size = room;
  shape.mbuf_priv_size = kBufferBytes;
  if (rte_mempool_set_ops_byname(pool, ops, nullptr) != 0) {
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_pktmbuf_pool_init(pool, &shape);
  if (rte_mempool_populate_default(pool) < 0) {
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

// Each mbuf's Buffer is filled once: where its bytes are never changes.
void fill_buffer(rte_mempool*, void*, void* object, unsigned index) {
  auto* mbuf = static_cast<rte_mbuf*>(object);
  core::Buffer* buffer = buffer_of(mbuf);
  *buffer = core::Buffer{};
  buffer->data = static_cast<uint8_t*>(mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM;
  buffer->capacity = mbuf->buf_len - RTE_PKTMBUF_HEADROOM;
  buffer->index = index;
}

}  // namespace

core::Result<std::unique_ptr<Device>> DpdkDevice::open(const DeviceOptions& options) {
  if (auto started = start_eal(options); !started) return started.error();
  std::unique_ptr<DpdkDevice> device(new DpdkDevice(options));
  if (!options.interface.empty()) {
    if (auto beside = device->go_beside_the_kernel(); !beside) return beside.error();
  }
  if (auto taken = device->take(); !taken) return taken.error();
  if (auto configured = device->configure(); !configured) return configured.error();
  if (auto right = IpHost::check(device->ip_options()); !right)
    return core::Error{0, "device " + device->options_.device + ": " + right.error().text};
  return std::unique_ptr<Device>(std::move(device));
}

DpdkDevice::~DpdkDevice() {
  close();
}

core::Error DpdkDevice::refusal(const std::string& what, int error) const {
  const std::string said = take_eal_words();
  const std::string why = said.empty() ? rte_strerror(error) : said;
  return core::Error{0, "device " + options_.device + " " + what + ": " + why + remedy(error)};
}

// The kernel's interface becomes the device, and its addresses ours.
core::Result<void> DpdkDevice::go_beside_the_kernel() {
  auto kernel = KernelSide::open(options_.interface, options_.queues);
  if (!kernel) return kernel.error();
  kernel_ = std::move(kernel).value();
  auto device = kernel_->device();
  if (!device) return device.error();
  options_.device = *device;
  options_.addresses = kernel_->addresses();
  if (options_.mtu > kernel_->mtu()) {
    return core::Error{0, "interface " + options_.interface + " has an MTU of " +
                              std::to_string(kernel_->mtu()) + ", and wire.mtu is " +
                              std::to_string(options_.mtu) + ": raise the one or lower the other"};
  }
  return {};
}

core::Result<void> DpdkDevice::take() {
  name_ = name_of(options_.device);
  uint16_t there = 0;
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &there) == 0)
    return core::Error{0,
                       "device " + name_ + " is in use by another node of this process: give each its own"};
  if (name_.rfind("net_memif", 0) == 0 && argument(options_.device, "role") == "server" &&
      argument(options_.device, "socket-abstract") == "no")
    remove_dead_socket(argument(options_.device, "socket"));
  if (rte_dev_probe(options_.device.c_str()) != 0)
    return refusal("is not there", ENODEV);  // it says no more than "no"
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &id_) != 0) return refusal("is no network device", ENODEV);
  return {};
}

core::Result<void> DpdkDevice::configure() {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0)
    return refusal("does not describe itself", -error);
  driver_ = info.driver_name;
  is_pci_ = info.device != nullptr && std::strcmp(rte_bus_name(rte_dev_bus(info.device)), "pci") == 0;
  const auto queues = static_cast<uint16_t>(options_.queues);
  if (queues > info.max_rx_queues || queues > info.max_tx_queues) {
    return core::Error{0, "device " + options_.device + " has " + std::to_string(info.max_rx_queues) +
                              " receive and " + std::to_string(info.max_tx_queues) + " transmit queues for " +
                              std::to_string(queues) +
                              " data cores: lower node.data_cores, or give the device more queues"};
  }
  constexpr uint64_t kReceive = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
  constexpr uint64_t kTransmit = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
  receive_checksums_ = (info.rx_offload_capa & kReceive) == kReceive;
  transmit_checksums_ = (info.tx_offload_capa & kTransmit) == kTransmit;
  rte_eth_conf conf{};
  conf.rxmode.mtu = options_.mtu;
  conf.rxmode.offloads = receive_checksums_ ? kReceive : 0;
  conf.txmode.offloads = transmit_checksums_ ? kTransmit : 0;
  // Every mbuf that a queue sends is of its own pool, with one reference.
  conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  if (queues > 1 && info.flow_type_rss_offloads != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
  }
  // Virtual devices bound what they say of their MTU by what they were made with.
  conf.rxmode.mtu =
      std::clamp<uint32_t>(options_.mtu, info.min_mtu, std::max<uint32_t>(info.min_mtu, info.max_mtu));
  if (const int error = rte_eth_dev_configure(id_, queues, queues, &conf); error != 0)
    return refusal("takes no " + std::to_string(queues) + " queues", -error);
  uint16_t receive_ring = options_.receive_ring, transmit_ring = options_.transmit_ring;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &receive_ring, &transmit_ring); error != 0)
    return refusal("takes no rings of that size", -error);
  if (auto made = make_pools(); !made) return made.error();
  const int socket = std::max(0, rte_eth_dev_socket_id(id_));
  for (uint16_t queue = 0; queue < queues; ++queue) {
    rte_eth_rxconf receive = info.default_rxconf;
    receive.offloads = conf.rxmode.offloads;
    rte_eth_txconf transmit = info.default_txconf;
    transmit.offloads = conf.txmode.offloads;
    const auto node = static_cast<unsigned>(socket);
    if (const int error = rte_eth_rx_queue_setup(id_, queue, receive_ring, node, &receive, pools_[queue]);
        error != 0)
      return refusal("takes no receive queue " + std::to_string(queue), -error);
    if (const int error = rte_eth_tx_queue_setup(id_, queue, transmit_ring, node, &transmit); error != 0)
      return refusal("takes no transmit queue " + std::to_string(queue), -error);
  }
  if (const int error = rte_eth_macaddr_get(id_, &mac_); error != 0)
    return refusal("has no MAC address", -error);
  if (!rte_is_valid_assigned_ether_addr(&mac_)) rte_eth_random_addr(mac_.addr_bytes);  // net_ring has none
  // The other end of a net_tap is an interface of the kernel with that same address: we are another station.
  if (driver_ == "net_tap") mac_.addr_bytes[RTE_ETHER_ADDR_LEN - 1] ^= 1;
  for (uint32_t pair = 0; pair < options_.queues * options_.queues; ++pair)
    neighbours_.push_back(std::make_unique<NeighbourRing>(kDeviceRingDepth));
  return {};
}

core::Result<void> DpdkDevice::make_pools() {
  static_assert(RTE_PKTMBUF_HEADROOM == 128 && sizeof(rte_mbuf) == 128);
  const uint32_t room = options_.frame_room_bytes();
  const bool shared = driver_ == "net_ring";
  for (uint32_t queue = 0; queue < options_.queues; ++queue) {
    char name[RTE_MEMPOOL_NAMESIZE];
    std::snprintf(name, sizeof name, "tl_%u_%u", id_, queue);
    const uint32_t cache = std::min(kPoolCache, options_.buffers * 2 / 3);
    const char* ops = shared ? "ring_mp_mc" : "ring_sp_sc";
    rte_mempool* pool = make_pool(name, options_.buffers, cache, static_cast<uint16_t>(room), ops, is_pci_);
    if (pool == nullptr) {
      return refusal("gets no memory for " + std::to_string(options_.buffers) + " buffers of " +
                         std::to_string(room) + " bytes",
                     ENOMEM);
    }
    pools_.push_back(pool);
    rte_mempool_obj_iter(pool, fill_buffer, nullptr);
  }
  return {};
}

core::Result<std::unique_ptr<Port>> DpdkDevice::make_port(uint32_t queue, const PortOptions& options) {
  TL_CHECK(queue < options_.queues);
  return std::unique_ptr<Port>(std::make_unique<DpdkPort>(*this, static_cast<uint16_t>(queue), options));
}

core::Result<void> DpdkDevice::start() {
  if (started_) return {};
  const bool connects = driver_ == "net_memif" && argument(options_.device, "role") != "server";
  if (connects) {
    if (auto begun = restarter_.begin(id_, options_.queues); !begun) return begun;
  } else if (const int error = rte_eth_dev_start(id_); error != 0) {
    return refusal("does not start", -error);
  }
  started_ = true;
  return kernel_ == nullptr ? core::Result<void>{} : kernel_->start();
}

uint32_t DpdkDevice::close() {
  if (kernel_ != nullptr) kernel_->stop();
  restarter_.end();
  if (id_ != RTE_MAX_ETHPORTS) {
    rte_eth_dev_info info{};
    const bool known = rte_eth_dev_info_get(id_, &info) == 0;
    if (started_) rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
    if (known && info.device != nullptr) rte_dev_remove(info.device);
    id_ = RTE_MAX_ETHPORTS;
  }
  // net_af_xdp keeps what lies in its fill ring, and what the kernel has received meanwhile: they go with the
  // pool.
  const bool keeps_some = driver_ == "net_af_xdp";
  uint32_t missing = 0;
  for (rte_mempool* pool : pools_) {
    if (!keeps_some) missing += options_.buffers - rte_mempool_avail_count(pool);
    rte_mempool_free(pool);
  }
  pools_.clear();
  return missing;
}

IpHostOptions DpdkDevice::ip_options() const {
  IpHostOptions ip;
  std::copy_n(mac_.addr_bytes, ip.mac.bytes.size(), ip.mac.bytes.begin());
  ip.addresses = options_.addresses;
  // The kernel routes: every destination is a neighbour, whose station it names.
  for (InterfaceAddress& own : ip.addresses)
    own.prefix_length = kernel_ != nullptr ? uint8_t{0} : own.prefix_length;
  ip.resolved_elsewhere = kernel_ != nullptr;
  ip.gateway_v4 = options_.gateway_v4;
  ip.gateway_v6 = options_.gateway_v6;
  ip.mtu = options_.mtu;
  ip.share_neighbours = options_.queues > 1 && kernel_ == nullptr;
  ip.hash_key = {rte_rand(), rte_rand()};
  ip.verify_udp_checksum = options_.verify_udp_checksum;
  ip.udp_checksum_ipv4 = options_.udp_checksum_ipv4;
  ip.udp_checksum_offload = transmit_checksums_;
  ip.ip_checksum_offload = transmit_checksums_;
  return ip;
}

std::vector<std::string> DpdkDevice::take_log() {
  return take_eal_log();
}

Device::Reach DpdkDevice::reach() const {
  return {options_.addresses, options_.gateway_v4.family != 0, options_.gateway_v6.family != 0};
}

std::string DpdkDevice::describe() const {
  char mac[RTE_ETHER_ADDR_FMT_SIZE];
  rte_ether_format_addr(mac, sizeof mac, &mac_);
  return options_.device + " (" + driver_ + ", " + mac + "), " + std::to_string(options_.queues) +
         " queues, " + std::to_string(options_.buffers) + " buffers each, checksums by " +
         (transmit_checksums_ ? "the device" : "software") +
         (kernel_ != nullptr ? "; " + kernel_->describe() : "") + "; " + describe_eal();
}

}  // namespace trunkline::io
