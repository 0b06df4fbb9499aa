// See data_core.h.
#include "relay/data_core.h"

#include <algorithm>

#include "io/thread.h"

namespace trunkline::relay {

DataCore::DataCore(const NodeConfig& config, CoreId id, std::unique_ptr<io::Port> port, Crypto& crypto,
                   core::PageSource& pages, NodeRings& rings, Sleeper& mesh,
                   const std::vector<std::unique_ptr<DataCore>>& all)
    : config_(config),
      id_(id),
      rings_(rings),
      mine_(*rings.cores[id.value]),
      mesh_(mesh),
      all_(all),
      port_(std::move(port)),
      path_(std::make_unique<PacketPath>(config, id, *port_, crypto, pages, mine_)) {
  path_->time_stages(stages_.get());
}

DataCore::~DataCore() {
  // What the port still transmits lies in the path's buffers: wait for it, within reason.
  for (uint32_t i = 0; i < 100 && path_->transmit_buffers_in_use() != 0; ++i) {
    port_->poll(io::monotonic_now());
    port_->wait(io::SleepUntil::kAnyPacket, core::from_ms(1));
  }
  path_.reset();
}

void DataCore::run() noexcept {
  io::sharpen_thread_timers();
  port_->enter_thread();
  Nanos last_work = io::monotonic_now();
  uint32_t idle = 0;
  while (!stop_.load_relaxed()) {  // a flag: the rings carry whatever must be seen with it
    const Nanos now = io::monotonic_now();
    const uint32_t work = path_->run_once(now);
    turns_.add();
    wake_others();
    if (work != 0) {
      last_work = now;
      idle = 0;
    } else if (config_.idle == IdleMode::kAdaptive && ++idle >= kSpins) {
      sleep(now, last_work);
    }
  }
  // What the mesh thread wrote last goes out. Bounded: a full ring takes some 20 turns.
  for (uint32_t i = 0; i < 100 && (i == 0 || has_input()); ++i) path_->run_once(io::monotonic_now());
  port_->leave_thread();
}

void DataCore::stop() noexcept {
  stop_.store_relaxed(true);
  port_->wake();
}

void DataCore::wake_others() noexcept {
  // Nothing in a ring: either nothing was written or its reader is awake and has taken it.
  if (mine_.events.size_approx() != 0 || mine_.frames_out.size_approx() != 0) mesh_.wake();
  uint64_t touched = path_->take_touched_queues();
  while (touched != 0) {
    rings_.channels[static_cast<size_t>(__builtin_ctzll(touched))]->host.wake();
    touched &= touched - 1;
  }
  if (mine_.handover == nullptr) return;
  for (uint32_t bits = mine_.handover->take_touched(); bits != 0; bits &= bits - 1)
    all_[static_cast<size_t>(__builtin_ctz(bits))]->wake();
}

bool DataCore::has_input() const noexcept {
  if (mine_.commands.size_approx() != 0 || mine_.frames_in.size_approx() != 0) return true;
  const auto has_packets = [](const auto& queue) { return queue->to_core.size_approx() != 0; };
  if (std::any_of(mine_.queues.begin(), mine_.queues.end(), has_packets)) return true;
  return mine_.handover != nullptr && mine_.handover->has_incoming();
}

void DataCore::sleep(Nanos now, Nanos last_work) noexcept {
  word_.announce_sleep();  // A1, R2
  if (!has_input() && !stop_.load_relaxed()) {
    const bool flowing = now - last_work < kTrafficWindow;
    const Nanos due = std::min(path_->next_due(), port_->next_due());
    Nanos bound = flowing ? config_.idle_bound : kLongestSleep;
    bound = std::min(bound, due - now);
    if (bound.ns > 0) {
      sleeps_.add();
      port_->wait(flowing ? io::SleepUntil::kBatch : io::SleepUntil::kAnyPacket, bound);
    }
  }
  word_.awake();  // A1
}

}  // namespace trunkline::relay
