// See load.h.
#include "bench/path/load.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "relay/flow_table.h"
#include "relay/null_suite.h"
#include "relay/wire.h"

namespace trunkline::bench {
namespace {

constexpr uint32_t kEthernet = 14, kIp = 20, kUdp = 8;
constexpr uint32_t kHeader = kEthernet + kIp + kUdp;            // before the datagram
constexpr uint32_t kRecord = kHeader + relay::kHeaderBytes;     // the record's header
constexpr uint32_t kRtp = kRecord + relay::kRecordHeaderBytes;  // and its payload
constexpr uint32_t kHead = kRtp + 12;                           // all that is written
constexpr std::array<uint8_t, 6> kSender = {2, 0, 0, 0, 0, 2};

uint16_t ip_checksum(const uint8_t* header) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < kIp; i += 2) sum += relay::load_be16(header + i);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~(sum + (sum >> 16)));
}

uint16_t fill_queue(uint16_t, uint16_t, rte_mbuf* mbufs[], uint16_t count, uint16_t, void* load) {
  return static_cast<DeviceLoad*>(load)->fill(reinterpret_cast<void* const*>(mbufs), count);
}

}  // namespace

uint32_t load_session(core::CoreId core) {
  return relay::SessionIndex::make(core, 0, 77);
}

relay::SessionKeys load_keys() {
  relay::SessionKeys keys;
  for (uint8_t i = 0; i < 32; ++i) {
    keys.send_secret[i] = static_cast<uint8_t>(i + 1);
    keys.receive_secret[i] = static_cast<uint8_t>(i + 101);
  }
  return keys;
}

DeviceLoad::DeviceLoad(const LoadShape& shape) : shape_(shape), head_(kHead), order_(shape.labels) {
  std::vector<uint32_t> flows(shape.labels);
  std::iota(flows.begin(), flows.end(), 0u);
  if (shape.shuffled) std::shuffle(flows.begin(), flows.end(), std::mt19937(1));
  const uint32_t bits = relay::core_bits_for(shape.cores);
  for (uint32_t i = 0; i < shape.labels; ++i)
    order_[i] = __builtin_bswap32(relay::flow_label(flows[i], shape.owner, bits, 1).value);

  uint8_t* const ethernet = head_.data();
  std::copy(kSender.begin(), kSender.end(), ethernet + 6);
  relay::store_be16(ethernet + 12, 0x0800);
  uint8_t* const ip = ethernet + kEthernet;
  const auto datagram = static_cast<uint16_t>(relay::kLoneRecordOverhead + shape.payload);
  ip[0] = 0x45;
  relay::store_be16(ip + 2, static_cast<uint16_t>(kIp + kUdp + datagram));
  ip[6] = 0x40;  // may not be fragmented
  ip[8] = 64;
  ip[9] = 17;
  std::memcpy(ip + 12, kFromAddress.ip, 4);
  std::memcpy(ip + 16, kRelayAddress.ip, 4);
  relay::store_be16(ip + 10, ip_checksum(ip));
  uint8_t* const udp = ip + kIp;
  relay::store_be16(udp, kFromAddress.port);
  relay::store_be16(udp + 2, kRelayAddress.port);
  relay::store_be16(udp + 4, static_cast<uint16_t>(kUdp + datagram));
  relay::DatagramHeader header;
  header.session_index = load_session(shape.owner);
  relay::encode_header(&head_[kHeader], header);
  relay::RecordHeader record;
  record.kind = relay::RecordKind::kMedia;
  record.traffic_class = shape.traffic_class.value_or(shape.payload < 400 ? relay::TrafficClass::kAudio
                                                                          : relay::TrafficClass::kVideoBase);
  record.ttl = 3;
  record.length = static_cast<uint16_t>(shape.payload);
  relay::encode_record(&head_[kRecord], record);
  head_[kRtp] = 0x80;
  head_[kRtp + 1] = 96;

  core::Rng rng(1);
  relay::NullCrypto crypto(rng);
  relay::SessionKeys theirs = load_keys();
  std::swap(theirs.send_secret, theirs.receive_secret);
  seal_ = crypto.make_session();
  crypto.key_session(*seal_, theirs);
}

DeviceLoad::~DeviceLoad() {
  detach();
}

void DeviceLoad::detach() {
  if (callback_ != nullptr)
    rte_eth_remove_rx_callback(device_, 0, static_cast<const rte_eth_rxtx_callback*>(callback_));
  callback_ = nullptr;
}

uint32_t DeviceLoad::frame_bytes() const {
  return kHeader + relay::kLoneRecordOverhead + shape_.payload;
}

void DeviceLoad::attach(const char* device) {
  rte_ether_addr station{};
  if (rte_eth_dev_get_port_by_name(device, &device_) != 0 || rte_eth_macaddr_get(device_, &station) != 0) {
    std::fprintf(stderr, "bench: there is no device %s\n", device);
    std::exit(1);
  }
  std::copy_n(station.addr_bytes, 6, head_.begin());
  callback_ = rte_eth_add_rx_callback(device_, 0, fill_queue, this);
}

uint16_t DeviceLoad::fill(void* const* mbufs, uint16_t count) noexcept {
  if (arrivals_ == Arrivals::kNothing) {
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(const_cast<void**>(mbufs)), count);
    return 0;
  }
  std::array<relay::SealJob, 64> jobs;
  for (uint16_t i = 0; i < count; ++i) {
    auto* frame = rte_pktmbuf_mtod(static_cast<rte_mbuf*>(mbufs[i]), uint8_t*);
    if (arrivals_ == Arrivals::kIntroductions) {
      write_introduction(frame);
      continue;
    }
    write_media(frame);
    jobs[i] = {frame + kHeader, relay::kLoneRecordOverhead - relay::kTagBytes + shape_.payload};
  }
  if (arrivals_ == Arrivals::kMedia) seal_->seal(core::CoreId{0}, shape_.owner, {jobs.data(), count});
  return count;
}

void DeviceLoad::write_media(uint8_t* frame) noexcept {
  std::memcpy(frame, head_.data(), kHead);
  // The counter's 48 bits end the first word; version, type and phase stand before them and lane is 0.
  relay::store_be64(frame + kHeader, relay::load_be64(&head_[kHeader]) + counter_++);
  std::memcpy(frame + kRecord, &order_[next_], 4);
  if (++next_ == order_.size()) next_ = 0;
}

// ARP (RFC 826): who has the relay's address? Asked by each peer.
void DeviceLoad::write_introduction(uint8_t* frame) const noexcept {
  std::memset(frame, 0, 60);
  std::memset(frame, 0xff, 6);
  std::copy(kSender.begin(), kSender.end(), frame + 6);
  relay::store_be16(frame + 12, 0x0806);
  relay::store_be16(frame + 14, 1);
  relay::store_be16(frame + 16, 0x0800);
  frame[18] = 6;
  frame[19] = 4;
  relay::store_be16(frame + 20, 1);
  std::copy(kSender.begin(), kSender.end(), frame + 22);
  std::memcpy(frame + 28, kToAddress.ip, 4);
  std::memcpy(frame + 38, kRelayAddress.ip, 4);
}

}  // namespace trunkline::bench
