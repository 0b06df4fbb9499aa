// Device: a network device that the process drives itself, with one queue pair for each data core. Devices
// come from plug-ins (io/dpdk_plugin.h); the ports that they make keep the contract of io/port.h.
//
// Control path; the thread that starts the node opens it and makes its ports. It outlives them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/udp_address.h"
#include "io/interface_address.h"
#include "io/port.h"
#include "io/port_options.h"

namespace trunkline::io {

class Device {
 public:
  virtual ~Device() = default;

  // The port of queue pair `queue`, once for each, below DeviceOptions::queues.
  virtual core::Result<std::unique_ptr<Port>> make_port(uint32_t queue, const PortOptions& options) = 0;
  // After the last port was made and its endpoints were opened: packets flow from here on.
  virtual core::Result<void> start() = 0;

  // What the driver has said since the last call, a line each; any thread.
  virtual std::vector<std::string> take_log() = 0;

  // After its ports are gone. Returns how many buffers the driver has not given back: 0, or it leaks.
  virtual uint32_t close() = 0;

  // The addresses whose datagrams go through the device, with the networks that it reaches.
  struct Reach {
    std::vector<InterfaceAddress> addresses;
    bool gateway_v4 = false;  // and everything else of the family
    bool gateway_v6 = false;
  };
  virtual Reach reach() const = 0;

  // One sentence for the operator: driver, MAC address, offloads in use, memory.
  virtual std::string describe() const = 0;
};

// Whose memory packets lie in. One choice for the process: DPDK starts once.
enum class DevicePages : uint8_t {
  kAuto,   // reserved 2 MiB pages when enough of them are free, else ordinary ones
  kHuge,   // an error when there are not enough
  kSmall,  // ordinary pages: any user, any container; devices with real DMA need huge ones
};

inline constexpr uint32_t kMaxInterfaceAddresses = 8;

// Slots of each ring that a device has between its queues, and between a queue and the kernel's side of an
// interface; relay/topology.cc lists them.
inline constexpr uint32_t kDeviceRingDepth = 256;

struct DeviceOptions {
  // What DPDK calls it: a virtual device with its arguments ("net_af_packet0,iface=eth1"), or the PCI address
  // of a NIC that is bound to a user-space driver ("0000:00:05.0"). Empty with an interface.
  std::string device;
  // Beside the kernel: an interface of the kernel's, of which AF_XDP takes our datagrams and nothing else.
  // Its addresses, routes and neighbours are the kernel's; those below are not used.
  std::string interface;
  std::vector<InterfaceAddress> addresses;  // at most kMaxInterfaceAddresses
  core::UdpAddress gateway_v4{};            // family 0: none. The port is 0
  core::UdpAddress gateway_v6{};

  uint32_t queues = 1;          // one for each data core
  uint32_t buffers = 8'192;     // per queue: frames in the device's rings, in hand, and being sent
  uint16_t receive_ring = 512;  // descriptors per queue; the driver may round them
  uint16_t transmit_ring = 512;
  uint32_t mtu = 1'500;  // bytes of an IP packet
  bool verify_udp_checksum =
      true;                       // false: for a veth, whose sender leaves it to an offload that nobody does
  bool udp_checksum_ipv4 = true;  // false: IPv4 datagrams are sent without one, as RFC 768 allows

  // Of the process: those of the first device that is opened count.
  DevicePages pages = DevicePages::kAuto;
  uint32_t memory_mib = 256;               // with ordinary pages: all that devices may use
  std::vector<std::string> eal_arguments;  // DPDK's own, after ours

  std::string plugin;  // path of libtrunkline-dpdk.so; empty: found beside this program or library

  // Room of a frame, from where the driver may put its begin: 128 bytes for headers in front, and the longest
  // Ethernet frame with a VLAN tag that somebody forgot, or the 2 KiB that drivers ask for.
  uint32_t frame_room_bytes() const { return 128 + std::max(2'048u, mtu + 18); }
  // What one frame takes of DPDK's memory: the pool's header, the mbuf (128 bytes), our Buffer, and the room.
  uint64_t frame_bytes() const { return 64 + 128 + 64 + (frame_room_bytes() + 63) / 64 * 64; }
};

// Loads the plug-in that drives it (io/dpdk_plugin.h) and opens the device.
core::Result<std::unique_ptr<Device>> open_device(const DeviceOptions& options);

}  // namespace trunkline::io
