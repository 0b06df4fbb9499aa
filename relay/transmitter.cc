// See relay/transmitter.h. Order of the runs: a counting sort by class, stable, so that a flow's runs keep
// theirs; cost: one copy of a 64-byte descriptor per run, and none where all are of one class.
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
      sorted_infos_(kMaxRuns, Contents::kUnwritten),
      notes_(size_t{buffers} * kRunNotes, Contents::kUnwritten),
      frames_(port.frames()),
      frame_notes_(frames_ == nullptr ? 0 : size_t{frames_->frame_count()} * kFrameNotes,
                   Contents::kUnwritten) {
  const uint32_t frames = frames_ == nullptr ? 0 : frames_->frame_count();
  for (uint32_t c = 0; c < 4; ++c) {
    if (kReserveDivisor[c] == 0) continue;
    reserve_[c] = buffers / kReserveDivisor[c];
    frame_reserve_[c] = frames / kReserveDivisor[c];
  }
}

Transmitter::~Transmitter() {
  if (frames_ != nullptr) frames_->free_frames({stock_.data(), stock_count_});
}

core::Buffer* Transmitter::try_alloc(TrafficClass traffic_class, Nanos now) noexcept {
  const uint32_t reserve = reserve_[static_cast<uint32_t>(traffic_class)];
  if (pool_.free_count() <= reserve && run_count_ > 0) {
    accounting_.count(CoreCounter::early_flushes);
    flush(now);
  }
  return pool_.free_count() > reserve ? pool_.try_alloc() : nullptr;
}

core::Buffer* Transmitter::try_alloc_frame(TrafficClass traffic_class, Nanos now) noexcept {
  if (stock_count_ == 0 && !restock(traffic_class)) {
    if (run_count_ == 0) return nullptr;
    accounting_.count(CoreCounter::early_flushes);
    flush(now);
    if (!restock(traffic_class)) return nullptr;
  }
  return stock_[--stock_count_];
}

// A burst of frames at a time. What is in stock is anybody's; the classes' reserves lie at the port.
bool Transmitter::restock(TrafficClass traffic_class) noexcept {
  if (frames_->free_frames_at_least() <= frame_reserve_[static_cast<uint32_t>(traffic_class)]) return false;
  stock_count_ = frames_->alloc_frames(stock_);
  return stock_count_ != 0;
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
  run_count_ = 0;
  const bool one_class = per_class_[runs_[0].traffic_class & 3] == count;
  if (one_class) {
    per_class_ = {};
    return hand_over(&runs_[0], &infos_[0], count, now);
  }
  // Places: control first, rest last.
  std::array<uint32_t, 4> place{};
  for (uint32_t c = 3, at = 0;; --c) {
    place[c] = at;
    at += per_class_[c];
    if (c == 0) break;
  }
  per_class_ = {};
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t to = place[runs_[i].traffic_class & 3]++;
    sorted_[to] = runs_[i];
    sorted_infos_[to] = infos_[i];
  }
  return hand_over(&sorted_[0], &sorted_infos_[0], count, now);
}

uint32_t Transmitter::hand_over(core::Packet* packets, const RunInfo* infos, uint32_t count,
                                Nanos now) noexcept {
  uint32_t sent = 0;
  uint64_t units = 0;
  while (sent < count) {
    const uint32_t burst = std::min(count - sent, io::kMaxBurst);
    const uint32_t taken = port_.transmit_burst({packets + sent, burst}, now);
    for (uint32_t i = sent; i < sent + taken; ++i) units += infos[i].units;
    sent += taken;
    if (taken < burst) break;  // strictly by importance: nothing overtakes what was refused
  }
  accounting_.forwarded(units);
  accounting_.count(CoreCounter::runs_sent, sent);
  for (uint32_t i = sent; i < count; ++i) refuse(packets[i], infos[i]);
  return sent;
}

void Transmitter::refuse(const core::Packet& packet, const RunInfo& info) noexcept {
  accounting_.drop(DropReason::tx_full, info.units);
  accounting_.count(CoreCounter::own_records_lost, info.own);
  const FrameNote* noted = info.inline_note ? &info.note : notes(packet.buffer);
  const uint32_t count = info.inline_note ? 1u : info.notes;
  for (uint32_t i = 0; i < count && loss_count_ < kMaxLosses; ++i) {
    losses_[loss_count_++] = {info.kind, info.target, info.remote_core, noted[i]};
  }
  release(packet.buffer);
}

uint64_t Transmitter::units_queued() const noexcept {
  uint64_t units = 0;
  for (uint32_t i = 0; i < run_count_; ++i) units += infos_[i].units;
  return units;
}

}  // namespace trunkline::relay
