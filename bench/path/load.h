// The load of the path figures: frames that a device without a wire (net_null) "receives", written by a
// callback on its receive queue, so that the relay and every peer pay for the same generated headers.
//
// A frame is what a mesh peer sends: Ethernet, IPv4, UDP (without checksum), the datagram's header with a
// counter that grows, one media record with the next label, RTP, and the null suite's tag. Payload bytes
// beyond RTP's header are whatever lies in the buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/ids.h"
#include "core/udp_address.h"
#include "relay/crypto.h"
#include "relay/wire.h"

namespace trunkline::bench {

// The relay's address, the peer that sends, and the peer that is sent to.
inline constexpr auto kRelayAddress = core::UdpAddress::v4(198, 18, 0, 1, 7000);
inline constexpr auto kFromAddress = core::UdpAddress::v4(198, 18, 0, 2, 7000);
inline constexpr auto kToAddress = core::UdpAddress::v4(198, 18, 0, 3, 7000);

struct LoadShape {
  uint32_t payload = 1200;  // RTP bytes
  // Audio shares datagrams, video leaves in its frame. By the size, unless it says.
  std::optional<relay::TrafficClass> traffic_class{};
  uint32_t labels = 4096;  // hot flows, used in order
  bool shuffled = false;   // in the order of a random permutation instead
  // Of the relay's data cores, the one that the datagrams belong to; it need not be the one that gets them.
  core::CoreId owner{};
  uint32_t cores = 1;
};

// What the device receives.
enum class Arrivals : uint8_t {
  kMedia,
  kIntroductions,  // ARP requests, by which the relay learns its peers' stations
  kNothing,        // buffers are taken and given back: some two cycles for each of a burst of 32
};

class DeviceLoad {
 public:
  explicit DeviceLoad(const LoadShape& shape);
  ~DeviceLoad();
  DeviceLoad(const DeviceLoad&) = delete;
  DeviceLoad& operator=(const DeviceLoad&) = delete;

  // Bytes of one frame: net_null's size.
  uint32_t frame_bytes() const;
  // Writes what `device` (by its DPDK name) receives on queue 0 from here on. Exits when there is no such
  // one.
  void attach(const char* device);
  // No more; before the device goes, for its number may be given to another.
  void detach();
  // From here on. Not while another thread drives the device.
  void arrive(Arrivals what) { arrivals_ = what; }
  uint64_t frames() const { return counter_; }

  // Called by the device's queue, with its mbufs. Returns how many are received.
  uint16_t fill(void* const* mbufs, uint16_t count) noexcept;

 private:
  void write_media(uint8_t* frame) noexcept;
  void write_introduction(uint8_t* frame) const noexcept;

  LoadShape shape_;
  std::vector<uint8_t> head_;    // of every frame
  std::vector<uint32_t> order_;  // labels, big-endian, one after the other
  uint32_t next_ = 0;
  uint64_t counter_ = 0;
  Arrivals arrivals_ = Arrivals::kMedia;
  std::unique_ptr<relay::SessionCrypto> seal_;
  uint16_t device_ = 0;
  const void* callback_ = nullptr;
};

// The session on which the load arrives, at the relay's end: its index at a data core, and its keys.
uint32_t load_session(core::CoreId core);
relay::SessionKeys load_keys();

}  // namespace trunkline::bench
