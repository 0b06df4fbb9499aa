// See dpdk_port.h.
#include "io/dpdk/dpdk_port.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/packet_pool.h"
#include "io/dpdk/dpdk_device.h"

namespace trunkline::io {

DpdkPort::DpdkPort(DpdkDevice& device, uint16_t queue, const PortOptions& options)
    : device_(device),
      id_(device.id()),
      queue_(queue),
      core_(options.core),
      pool_(device.pool(queue)),
      ip_(device.ip_options()),
      by_port_(2u << 16) {}

DpdkPort::~DpdkPort() {
  rte_pktmbuf_free_bulk(stage_.data(), staged_);
  rte_pktmbuf_free(spare_);
}

core::Result<uint16_t> DpdkPort::open_endpoint(const EndpointOptions& options) {
  core::UdpAddress address = options.bind;
  const auto& ours = device_.options().addresses;
  core::UdpAddress ip = address;
  ip.port = 0;
  const bool known = std::any_of(ours.begin(), ours.end(), [&](const InterfaceAddress& own) {
    return own.address.family == ip.family && (ip.is_unspecified() || own.address == ip);
  });
  if (!known) {
    return core::Error{
        0, address.to_string() + " is not an address of device " + device_.options().device +
               (device_.kernel() != nullptr ? ": give it to the interface" : ": list it in dpdk.addresses")};
  }
  if (KernelSide* kernel = device_.kernel(); kernel != nullptr) {
    auto reserved = kernel->add_endpoint(queue_, address, options.patience);
    if (!reserved) return reserved.error();
    address = *reserved;
  }
  for (uint32_t port = kDynamicPorts; address.port == 0 && port <= UINT16_MAX; ++port) {
    if (by_port_[place_of(address.family, static_cast<uint16_t>(port))] == 0)
      address.port = static_cast<uint16_t>(port);
  }
  uint16_t& place = by_port_[place_of(address.family, address.port)];
  if (address.port == 0 || place != 0) {
    return core::Error{0,
                       address.to_string() + " is in use: another endpoint of this data core has that port"};
  }
  endpoints_.push_back(address);
  place = static_cast<uint16_t>(endpoints_.size());
  return static_cast<uint16_t>(endpoints_.size() - 1);
}

uint16_t DpdkPort::endpoint_for(const core::UdpAddress& destination) const noexcept {
  const uint16_t endpoint_and_1 = by_port_[place_of(destination.family, destination.port)];
  if (endpoint_and_1 == 0) return kNoEndpoint;
  const core::UdpAddress& bound = endpoints_[endpoint_and_1 - 1u];
  const bool any = bound.is_unspecified();
  return any || std::memcmp(bound.ip, destination.ip, sizeof bound.ip) == 0 ? uint16_t(endpoint_and_1 - 1)
                                                                            : kNoEndpoint;
}

// ---- receive

uint32_t DpdkPort::receive_burst(std::span<core::Packet> out, Nanos now) noexcept {
  if (!running_) [[unlikely]]
    return 0;
  const auto wanted = static_cast<uint16_t>(std::min<size_t>(out.size(), kMaxBurst));
  const uint16_t count = rte_eth_rx_burst(id_, queue_, received_.data(), wanted);
  if (count == 0) return 0;
  constexpr uint64_t kChecked = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  uint32_t given = 0, repeats = 0, ended = 0;
  uint64_t bytes = 0;
  std::array<rte_mbuf*, kMaxBurst> done;
  for (uint32_t i = 0; i < count; ++i) {
    rte_mbuf* mbuf = received_[i];
    if (i + 1u < count) rte_prefetch0(rte_pktmbuf_mtod(received_[i + 1u], const void*));
    if (mbuf->nb_segs != 1) [[unlikely]] {
      counters_.add(PortCounter::rx_truncated);
      done[ended++] = mbuf;
      continue;
    }
    core::Packet& packet = out[given];
    uint8_t* const frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
    const bool checked = (mbuf->ol_flags & kChecked) == kChecked;
    const IpHost::Repeat repeat = ip_.receive_repeat(frame, mbuf->data_len, checked);
    if (repeat.payload != nullptr) [[likely]] {
      packet = from_[repeat.place];
      packet.data = repeat.payload;
      packet.length = repeat.length;
      ++repeats;
    } else if (!receive_first(frame, mbuf->data_len, checked, packet, now)) {
      done[ended++] = mbuf;
      continue;
    }
    packet.buffer = buffer_of(mbuf);
    packet.time = now;
    bytes += packet.length;
    ++given;
  }
  if (ended != 0) rte_pktmbuf_free_bulk(done.data(), ended);
  ip_.count_repeats(repeats);
  counters_.add(PortCounter::rx_datagrams, given);
  counters_.add(PortCounter::rx_runs, given);
  counters_.add(PortCounter::rx_bytes, bytes);
  return given;
}

// A frame of a sender that is not remembered, or no datagram for us at all (false; counted).
bool DpdkPort::receive_first(uint8_t* frame, uint32_t length, bool checked, core::Packet& packet,
                             Nanos now) noexcept {
  const IpHost::Received received = ip_.receive(frame, length, checked, now);
  if (received.kind != IpHost::Received::Kind::kDatagram) return false;
  const uint16_t endpoint = endpoint_for(received.destination);
  if (endpoint == kNoEndpoint) {
    counters_.add(PortCounter::rx_no_endpoint);
    return false;
  }
  packet = {};
  packet.data = received.payload;
  packet.length = received.length;
  packet.owner_port = endpoint;
  packet.owner_core = core_;
  packet.address = received.source;
  if (const uint32_t place = ip_.remember(frame); place < from_.size()) from_[place] = packet;
  return true;
}

void DpdkPort::give_back(std::span<core::Packet> packets) noexcept {
  std::array<rte_mbuf*, kMaxBurst> mbufs;
  uint32_t count = 0;
  for (core::Packet& packet : packets) {
    if (packet.buffer == nullptr) continue;  // kept, to be sent
    mbufs[count++] = mbuf_of(packet.buffer);
    if (count == mbufs.size()) {
      rte_pktmbuf_free_bulk(mbufs.data(), count);
      count = 0;
    }
  }
  rte_pktmbuf_free_bulk(mbufs.data(), count);
}

// ---- transmit

uint32_t DpdkPort::transmit_burst(std::span<core::Packet> packets, Nanos now) noexcept {
  uint32_t taken = 0;
  const core::Packet* last = nullptr;  // a packet that goes by the same path as many behind it
  const IpHost::Path* path = nullptr;
  for (core::Packet& packet : packets) {
    if (!has_room()) break;
    if (!is_frame(packet)) {
      path = nullptr;
      if (!take_run(packet, now)) break;
    } else {
      if (path == nullptr || packet.owner_port != last->owner_port ||
          !frame::same(packet.address, last->address)) {
        path = ip_.find_path(endpoints_[packet.owner_port], packet.address, now);
        last = &packet;
      }
      stage(mbuf_of(packet.buffer), packet.data, packet.length, packet, path);
    }
    ++taken;
  }
  for (const core::Packet& refused : packets.subspan(taken))
    counters_.add(PortCounter::tx_refused, refused.datagrams());
  flush();
  return taken;
}

// A run in somebody's pool, datagram by datagram. False: it is shortened to what could not be taken.
bool DpdkPort::take_run(core::Packet& packet, Nanos now) noexcept {
  const uint32_t step = packet.segment_size == 0 ? packet.length : packet.segment_size;
  do {  // once for an empty datagram
    const uint32_t length = std::min(step, packet.length);
    if (!has_room() || !stage_copy(packet, packet.data, length, now)) return false;
    packet.data += length;
    packet.length -= length;
  } while (packet.length != 0);
  packet.buffer->pool->release(packet.buffer);
  return true;
}

// False: no buffer; nothing has happened.
bool DpdkPort::stage_copy(const core::Packet& packet, uint8_t* data, uint32_t length, Nanos now) noexcept {
  rte_mbuf* mbuf = new_mbuf();
  if (mbuf == nullptr) return false;
  core::Buffer* buffer = buffer_of(mbuf);
  if (length > buffer->capacity) {
    counters_.add(PortCounter::tx_errors);
    rte_pktmbuf_free(mbuf);
    return true;
  }
  std::memcpy(buffer->data, data, length);
  stage(mbuf, buffer->data, length, packet,
        ip_.find_path(endpoints_[packet.owner_port], packet.address, now));
  return true;
}

// The datagram at `payload`, in `mbuf`, becomes a frame; or waits for its neighbour in the IpHost.
inline void DpdkPort::stage(rte_mbuf* mbuf, uint8_t* payload, uint32_t length, const core::Packet& packet,
                            const IpHost::Path* path) noexcept {
  const uint32_t header = path != nullptr ? ip_.write_headers(*path, payload, length) : 0;
  if (header != 0) [[likely]] {
    finish_frame(mbuf, payload, length, header);
    stage_[staged_++] = mbuf;
    return;
  }
  if (!ip_.hold(payload, length, endpoints_[packet.owner_port], packet.address))
    counters_.add(PortCounter::tx_errors);
  rte_pktmbuf_free(mbuf);
}

void DpdkPort::finish_frame(rte_mbuf* mbuf, uint8_t* payload, uint32_t length, uint32_t header) noexcept {
  mbuf->data_off = static_cast<uint16_t>(payload - header - static_cast<uint8_t*>(mbuf->buf_addr));
  mbuf->data_len = static_cast<uint16_t>(header + length);
  mbuf->pkt_len = header + length;
  mbuf->ol_flags = 0;  // of its reception, if it is sent on
  if (!device_.transmit_checksums()) return;
  const bool v4 = header == RTE_ETHER_HDR_LEN + sizeof(rte_ipv4_hdr) + sizeof(rte_udp_hdr);
  mbuf->l2_len = RTE_ETHER_HDR_LEN;
  mbuf->l3_len = v4 ? sizeof(rte_ipv4_hdr) : sizeof(rte_ipv6_hdr);
  mbuf->ol_flags = v4 ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : RTE_MBUF_F_TX_IPV6;
  if (!v4 || device_.options().udp_checksum_ipv4) mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
}

rte_mbuf* DpdkPort::new_mbuf() noexcept {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
  if (mbuf == nullptr) counters_.add(PortCounter::rx_no_buffer);
  return mbuf;
}

uint32_t DpdkPort::alloc_frames(std::span<core::Buffer*> out) noexcept {
  std::array<rte_mbuf*, kMaxBurst> mbufs;
  const auto count = static_cast<uint32_t>(std::min<size_t>(out.size(), mbufs.size()));
  if (rte_pktmbuf_alloc_bulk(pool_, mbufs.data(), count) != 0) {  // all or nothing
    counters_.add(PortCounter::rx_no_buffer);
    return 0;
  }
  for (uint32_t i = 0; i < count; ++i) out[i] = buffer_of(mbufs[i]);
  return count;
}

void DpdkPort::free_frames(std::span<core::Buffer* const> frames) noexcept {
  for (core::Buffer* frame : frames) rte_pktmbuf_free(mbuf_of(frame));
}

// In the pool itself; what lies in threads' caches is not looked at, for there is one per possible thread.
uint32_t DpdkPort::free_frames_at_least() const noexcept {
  return rte_mempool_get_ops(pool_->ops_index)->get_count(pool_);
}
uint32_t DpdkPort::frame_count() const noexcept {
  return device_.options().buffers;
}

uint32_t DpdkPort::flush() noexcept {
  if (staged_ == 0 || !running_) return 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < staged_; ++i) bytes += stage_[i]->pkt_len;
  const uint16_t sent = rte_eth_tx_burst(id_, queue_, stage_.data(), static_cast<uint16_t>(staged_));
  for (uint32_t i = sent; i < staged_; ++i) bytes -= stage_[i]->pkt_len;
  std::copy(stage_.begin() + sent, stage_.begin() + staged_, stage_.begin());
  staged_ -= sent;
  counters_.add(PortCounter::tx_datagrams, sent);
  counters_.add(PortCounter::tx_runs, sent);
  counters_.add(PortCounter::tx_bytes, bytes);
  return sent;
}

// ---- once per run of the loop

void DpdkPort::poll(Nanos now) noexcept {
  running_ = device_.restarter().step(queue_);
  flush();
  if (ip_.next_due() <= now) ip_.poll(now);
  share_neighbours(now);
  send_own_frames(now);
  if (now >= statistics_at_) read_statistics(now);
}

void DpdkPort::share_neighbours(Nanos now) noexcept {
  const uint32_t queues = device_.options().queues;
  IpHost::Neighbour neighbour;
  if (KernelSide* kernel = device_.kernel(); kernel != nullptr) {
    core::UdpAddress wanted;
    while (ip_.take_wanted(wanted)) kernel->want(queue_, wanted);  // bounded: each once a second
    while (kernel->take_known(queue_, neighbour)) ip_.learn(neighbour, now);
    return;
  }
  if (queues == 1) return;
  while (ip_.take_learnt(neighbour)) {  // bounded by what the IpHost keeps
    for (uint32_t to = 0; to < queues; ++to) {
      if (to != queue_ && !device_.neighbours(queue_, to).try_push(neighbour)) news_lost_.add();
    }
  }
  for (uint32_t from = 0; from < queues; ++from) {
    if (from == queue_) continue;
    while (device_.neighbours(from, queue_).try_pop(neighbour)) ip_.learn(neighbour, now);
  }
}

void DpdkPort::send_own_frames(Nanos now) noexcept {
  for (uint32_t i = 0; i < kStage && has_room(); ++i) {
    if (spare_ == nullptr) spare_ = new_mbuf();
    if (spare_ == nullptr) return;
    core::Buffer* buffer = buffer_of(spare_);
    const uint32_t length = ip_.take_frame({buffer->data, buffer->capacity}, now);
    if (length == 0) break;
    spare_->data_off = RTE_PKTMBUF_HEADROOM;
    spare_->data_len = static_cast<uint16_t>(length);
    spare_->pkt_len = length;
    stage_[staged_++] = std::exchange(spare_, nullptr);
  }
  flush();
}

void DpdkPort::read_statistics(Nanos now) noexcept {
  statistics_at_ = now + kStatisticsInterval;
  if (queue_ != 0) return;  // they are the device's
  rte_eth_link link{};
  link_up_.set(rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP ? 1 : 0);
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return;
  const uint64_t missed = stats.imissed + stats.ierrors + stats.rx_nombuf;
  if (missed > missed_) counters_.add(PortCounter::rx_errors, missed - missed_);
  missed_ = missed;
}

// ---- the owning thread

void DpdkPort::wait(SleepUntil, Nanos bound) noexcept {
  const Nanos nap = std::min(bound, kNap);
  if (nap.ns <= 0) return;
  counters_.add(PortCounter::syscalls);
  wake_.sleep(nap);
  counters_.add(PortCounter::wakeups);
}

// A thread that DPDK knows has a cache of each pool; one that it does not know is slower, and as correct.
void DpdkPort::enter_thread() noexcept {
  registered_ = rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0;
}

void DpdkPort::leave_thread() noexcept {
  if (registered_) {
    rte_mempool_cache_flush(rte_mempool_default_cache(pool_, rte_lcore_id()), pool_);
    rte_thread_unregister();
  }
  registered_ = false;
}

std::string DpdkPort::describe() const {
  return "queue " + std::to_string(queue_) + " of " + device_.describe();
}

std::vector<NamedCounter> DpdkPort::more_counters() const {
  std::vector<NamedCounter> all;
  for (uint32_t i = 0; i < static_cast<uint32_t>(IpHostCounter::kCount); ++i) {
    const auto which = static_cast<IpHostCounter>(i);
    all.push_back({ip_host_counter_name(which), ip_host_counter_text(which), ip_.counters().value(which)});
  }
  all.push_back(
      {"news_lost", "drop: neighbours that another queue had no room to be told of", news_lost_.value()});
  if (const KernelSide* kernel = device_.kernel(); kernel != nullptr) {
    for (const NamedCounter& counter : kernel->counters(queue_)) all.push_back(counter);
  }
  if (queue_ == 0) {
    all.push_back({"link_up", "1: the device says that its link is up", link_up_.value()});
    all.push_back({"restarts", "times the device was started again because its link was down",
                   device_.restarter().restarts()});
  }
  return all;
}

}  // namespace trunkline::io
