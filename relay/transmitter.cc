// See relay/transmitter.h. Order of the runs: a counting sort by class, stable, so that a flow's runs keep
// theirs; cost: one copy of a 64-byte descriptor per run, that is per 64 KiB of traffic.
#include "relay/transmitter.h"

#include <algorithm>

namespace trunkline::relay {
namespace {

// Buffers that each class leaves to more important ones, as parts of all: video enhancement layers stop
// first, at the last quarter, then base video, then audio; control may have every one. Powers of two so that
// the smallest pool (8) still keeps two for what is not video, and because 3/4 of the pool is a full burst's
// worth for the class that needs the most of it.
constexpr std::array<uint32_t, 4> kReserveDivisor = {4, 8, 16, 0};  // by TrafficClass; 0: leaves none
static_assert(static_cast<uint32_t>(TrafficClass::kRest) == 0 &&
              static_cast<uint32_t>(TrafficClass::kControl) == 3);

}  // namespace

Transmitter::Transmitter(uint32_t buffers, core::PageSource& pages, io::Port& port, Accounting& accounting)
    : pool_(buffers, kRunBufferStride, pages),
      port_(port),
      accounting_(accounting),
      runs_(kMaxRuns, Contents::kUnwritten),
      sorted_(kMaxRuns, Contents::kUnwritten),
      infos_(kMaxRuns, Contents::kUnwritten),
      order_(kMaxRuns, Contents::kUnwritten),
      notes_(size_t{buffers} * kMaxNotes, Contents::kUnwritten) {
  for (uint32_t c = 0; c < 4; ++c) {
    reserve_[c] = kReserveDivisor[c] == 0 ? 0 : buffers / kReserveDivisor[c];
  }
}

core::Buffer* Transmitter::try_alloc(TrafficClass traffic_class, Nanos now) noexcept {
  const uint32_t reserve = reserve_[static_cast<uint32_t>(traffic_class)];
  if (pool_.free_count() <= reserve && run_count_ > 0) {
    accounting_.count(CoreCounter::early_flushes);
    flush(now);
  }
  return pool_.free_count() > reserve ? pool_.try_alloc() : nullptr;
}

void Transmitter::queue(const core::Packet& packet, const RunInfo& info, Nanos now) noexcept {
  if (run_count_ == kMaxRuns) {
    accounting_.count(CoreCounter::early_flushes);
    flush(now);
  }
  runs_[run_count_] = packet;
  infos_[run_count_] = info;
  ++per_class_[packet.traffic_class & 3];
  ++run_count_;
}

uint32_t Transmitter::flush(Nanos now) noexcept {
  const uint32_t count = run_count_;
  if (count == 0) return 0;
  const StageScope stage(accounting_.clock, Stage::transmit);
  // Places: control first, rest last.
  std::array<uint32_t, 4> place{};
  for (uint32_t c = 3, at = 0;; --c) {
    place[c] = at;
    at += per_class_[c];
    if (c == 0) break;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t to = place[runs_[i].traffic_class & 3]++;
    sorted_[to] = runs_[i];
    order_[to] = static_cast<uint16_t>(i);
  }
  per_class_ = {};
  run_count_ = 0;

  uint32_t sent = 0;
  while (sent < count) {
    const uint32_t burst = std::min(count - sent, io::kMaxBurst);
    const uint32_t taken = port_.transmit_burst({&sorted_[sent], burst}, now);
    for (uint32_t i = sent; i < sent + taken; ++i) accounting_.forwarded(infos_[order_[i]].units);
    sent += taken;
    if (taken < burst) break;  // strictly by importance: nothing overtakes what was refused
  }
  accounting_.count(CoreCounter::runs_sent, sent);
  for (uint32_t i = sent; i < count; ++i) refuse(sorted_[i], infos_[order_[i]]);
  return sent;
}

void Transmitter::refuse(const core::Packet& packet, const RunInfo& info) noexcept {
  accounting_.drop(DropReason::tx_full, info.units);
  accounting_.count(CoreCounter::own_records_lost, info.own);
  const FrameNote* noted = info.kind == OutputKind::kLink ? notes(packet.buffer) : &info.note;
  for (uint32_t i = 0; i < info.notes && loss_count_ < kMaxLosses; ++i) {
    losses_[loss_count_++] = {info.kind, info.target, info.remote_core, noted[i]};
  }
  pool_.release(packet.buffer);
}

uint64_t Transmitter::units_queued() const noexcept {
  uint64_t units = 0;
  for (uint32_t i = 0; i < run_count_; ++i) units += infos_[i].units;
  return units;
}

}  // namespace trunkline::relay
