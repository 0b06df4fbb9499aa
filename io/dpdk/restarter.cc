// See restarter.h.
#include "io/dpdk/restarter.h"

#include <pthread.h>

#include <utility>

#include "io/dpdk/rte.h"

namespace trunkline::io {

core::Result<void> Restarter::begin(uint16_t device, uint32_t queues) {
  device_ = device;
  queues_ = queues;
  for (uint32_t queue = 0; queue < queues; ++queue)
    paused_[queue].store_relaxed(1);  // before there are threads
  return thread_.start(
      "tl-restarter", -1, [](void* self) { static_cast<Restarter*>(self)->run(); }, this);
}

void Restarter::end() noexcept {
  ending_.store_relaxed(true);  // a flag: the join orders the rest
  wake_.signal();
  thread_.join_or_cancel(kEndsWithin);
}

void Restarter::run() {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  while (!ending_.load_relaxed()) wake_.sleep(take_step());
}

// Returns for how long things stay as they are then.
Nanos Restarter::take_step() {
  switch (phase_.load_relaxed()) {  // its own
    case kRunning:
      if (!link_is_down()) return kGrace;
      phase_.store_release(kPausing);  // R1: nothing but the wish
      return kPauseLook;
    case kPausing:
      if (!all_paused()) return kPauseLook;
      rte_eth_dev_stop(device_);
      phase_.store_release(kStopped);  // R1
      return kGrace;
    default:
      if (start()) phase_.store_release(kRunning);  // R1
      return kGrace;
  }
}

// The one call that may wait for good, and in which end() cancels the thread then.
bool Restarter::start() {
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  const bool started = rte_eth_dev_start(device_) == 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  if (started && std::exchange(was_started_, true)) restarts_.add();
  return started;
}

bool Restarter::link_is_down() const noexcept {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(device_, &link) == 0 && link.link_status != RTE_ETH_LINK_UP;
}

bool Restarter::all_paused() const noexcept {
  for (uint32_t queue = 0; queue < queues_; ++queue) {
    if (paused_[queue].load_acquire() == 0) return false;  // A2
  }
  return true;
}

}  // namespace trunkline::io
