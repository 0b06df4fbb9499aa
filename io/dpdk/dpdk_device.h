// DpdkDevice: one ethdev with N queue pairs, a buffer pool for each, and what its ports share: nothing on the
// path of packets, and a ring from each queue to each other for neighbours (a device may deliver an ARP or
// NDP answer to any queue).
//
// The buffers are mbufs; before each one's bytes lies a core::Buffer, so that the packet path can fill and
// forward them like its own. A pool is used by its queue's core alone and therefore made without atomics
// (single producer, single consumer), behind the cache that DPDK keeps per registered thread; net_ring is the
// exception, because there the other end's core frees what this one sent.
//
// Control path, one thread, but for what a port calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/spsc_ring.h"
#include "io/device.h"
#include "io/dpdk/kernel_side.h"
#include "io/dpdk/restarter.h"
#include "io/dpdk/rte.h"
#include "io/ip_host.h"

namespace trunkline::io {

class DpdkDevice final : public Device {
 public:
  // Starts EAL if need be, and takes the device. Errors name the device, what is wrong, and what to do.
  static core::Result<std::unique_ptr<Device>> open(const DeviceOptions& options);
  ~DpdkDevice() override;
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  core::Result<std::unique_ptr<Port>> make_port(uint32_t queue, const PortOptions& options) override;
  core::Result<void> start() override;
  std::vector<std::string> take_log() override;
  uint32_t close() override;
  Reach reach() const override;
  std::string describe() const override;

  // ---- for its ports

  const DeviceOptions& options() const { return options_; }
  uint16_t id() const { return id_; }
  rte_mempool* pool(uint32_t queue) const { return pools_[queue]; }
  IpHostOptions ip_options() const;
  bool transmit_checksums() const { return transmit_checksums_; }
  KernelSide* kernel() const { return kernel_.get(); }  // nullptr: the device is ours alone

  Restarter& restarter() { return restarter_; }

  // Neighbours on their way to another queue. What finds it full is learnt again when it is needed.
  using NeighbourRing = core::SpscRing<IpHost::Neighbour>;
  NeighbourRing& neighbours(uint32_t from, uint32_t to) { return *neighbours_[from * options_.queues + to]; }

 private:
  explicit DpdkDevice(const DeviceOptions& options) : options_(options) {}
  core::Result<void> go_beside_the_kernel();
  core::Result<void> take();
  core::Result<void> configure();
  core::Result<void> make_pools();
  core::Error refusal(const std::string& what, int error) const;

  DeviceOptions options_;
  std::string name_;    // of the device, without arguments
  std::string driver_;  // "net_af_packet"
  uint16_t id_ = RTE_MAX_ETHPORTS;
  rte_ether_addr mac_{};
  bool is_pci_ = false;  // reads and writes memory by itself
  bool receive_checksums_ = false;
  bool transmit_checksums_ = false;
  bool started_ = false;
  std::unique_ptr<KernelSide> kernel_;
  Restarter restarter_;
  std::vector<rte_mempool*> pools_;
  std::vector<std::unique_ptr<NeighbourRing>> neighbours_;
};

}  // namespace trunkline::io
