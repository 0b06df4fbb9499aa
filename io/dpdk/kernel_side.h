// KernelSide: what a device beside the kernel (AF_XDP) needs of it, kept on a thread that may block.
//
// The kernel keeps the interface: its addresses, ARP and neighbour discovery, routes, and every datagram that
// is not ours. This object
//   * removes what a killed predecessor left on the interface, and names the XDP program to net_af_xdp
//   * reserves each endpoint's UDP port in the kernel, and tells the program that it is ours
//   * answers the IpHosts of the queues: for each destination that they want, the MAC that the kernel would
//     send to, now and whenever that changes
//
// A queue asks through a ring and a wake-up, and is answered through a ring; it never waits. A ring that is
// full loses a question, which is asked again after a second, or an answer, which the next question brings.
//
// Threads: made, opened and closed by the thread that starts the node; want() and take_known() by each
// queue's core; add_endpoint() by either, one at a time for each queue. Its own thread does the rest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/atomic.h"
#include "core/counters.h"
#include "core/spsc_ring.h"
#include "io/device.h"
#include "io/dpdk/steering/kernel_network.h"
#include "io/dpdk/steering/reserved_ports.h"
#include "io/dpdk/steering/xdp_steering.h"
#include "io/interface_address.h"
#include "io/ip_host.h"
#include "io/thread.h"
#include "io/wake_event.h"

namespace trunkline::io {

class KernelSide {
 public:
  // Looks at the interface. Errors name it, what is wrong and what to do.
  static core::Result<std::unique_ptr<KernelSide>> open(const std::string& interface, uint32_t queues);
  ~KernelSide() { stop(); }
  KernelSide(const KernelSide&) = delete;
  KernelSide& operator=(const KernelSide&) = delete;

  // For net_af_xdp: the device's name and arguments. Errors: the program is not installed.
  core::Result<std::string> device() const;
  std::vector<InterfaceAddress> addresses() const;
  uint32_t mtu() const { return network_->link().mtu_bytes; }

  // When the device runs and its program is attached: what was opened so far is steered, and the thread
  // starts.
  core::Result<void> start();
  // Before the device closes.
  void stop();

  // Reserves the endpoint, and steers it from start() on. Port 0: the kernel chooses.
  core::Result<core::UdpAddress> add_endpoint(uint32_t queue, const core::UdpAddress& address,
                                              Nanos patience);
  void want(uint32_t queue, const core::UdpAddress& destination) noexcept;
  bool take_known(uint32_t queue, IpHost::Neighbour& neighbour) noexcept {
    return queues_[queue]->known.try_pop(neighbour);
  }

  std::string describe() const;
  // What `queue` lost to a full ring; with queue 0 also the interface's own. Any thread.
  std::vector<NamedCounter> counters(uint32_t queue) const;

 private:
  struct Queue {
    core::SpscRing<core::UdpAddress> wanted{kDeviceRingDepth};     // core -> us: whose MAC?
    core::SpscRing<core::UdpAddress> endpoints{kDeviceRingDepth};  // core -> us: to be steered
    core::SpscRing<IpHost::Neighbour> known{kDeviceRingDepth};     // us -> core
    ReservedPorts reserved;                                        // whoever opens endpoints
    core::Counter questions_lost;                                  // wanted was full
    core::Counter answers_lost;                                    // known was full
  };

  KernelSide(std::string interface, uint32_t queues);
  void run() noexcept;
  void answer(const Destination& destination) noexcept;
  void take_questions(Nanos now);
  void take_endpoints();
  void read_counts(Nanos now);

  std::string interface_;
  std::unique_ptr<KernelNetwork> network_;
  XdpSteering steering_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<core::UdpAddress> steered_;
  Nanos counts_at_{};  // when to read the program's again
  core::Counter redirected_, no_socket_, fragments_;
  core::Counter unsteered_;
  WakeEvent wake_;
  core::Atomic<bool> stop_{false};
  Thread thread_;
  bool running_ = false;
};

}  // namespace trunkline::io
