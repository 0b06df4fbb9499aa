// See restarter.h.
#include "io/dpdk/restarter.h"

#include "io/dpdk/rte.h"

namespace trunkline::io {

void Restarter::begin(uint16_t device, uint32_t queues, bool running) noexcept {
  device_ = device;
  queues_ = queues;
  phase_.store_relaxed(running ? kRunning : kStopped);  // before there are threads
}

bool Restarter::step_first(Nanos now) noexcept {
  switch (phase_.load_relaxed()) {  // its own
    case kRunning: {
      if (now < look_at_) return true;
      look_at_ = now + kGrace;
      rte_eth_link link{};
      if (rte_eth_link_get_nowait(device_, &link) != 0 || link.link_status == RTE_ETH_LINK_UP) return true;
      phase_.store_release(kPausing);  // R1: nothing but the wish
      return false;
    }
    case kPausing:
      if (!all_paused()) return false;
      rte_eth_dev_stop(device_);
      phase_.store_release(kStopped);  // R1
      [[fallthrough]];
    default:
      if (now >= look_at_) start(now);
      return phase_.load_relaxed() == kRunning;
  }
}

void Restarter::start(Nanos now) noexcept {
  look_at_ = now + kGrace;
  if (rte_eth_dev_start(device_) != 0) return;
  restarts_.add();
  phase_.store_release(kRunning);  // R1
}

bool Restarter::step_other(uint32_t queue) noexcept {
  const bool running = phase_.load_acquire() == kRunning;  // A1
  paused_[queue].store_release(running ? 0u : 1u);         // R2
  return running;
}

bool Restarter::all_paused() const noexcept {
  for (uint32_t queue = 1; queue < queues_; ++queue) {
    if (paused_[queue].load_acquire() == 0) return false;  // A2
  }
  return true;
}

}  // namespace trunkline::io
