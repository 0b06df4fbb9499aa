// See relay/edge_writer.h.
#include "relay/edge_writer.h"

namespace trunkline::relay {

DropReason EdgeWriter::make_room(uint32_t length, TrafficClass traffic_class, Nanos now) noexcept {
  if (length > io::kMaxRunBytes) return DropReason::too_big;
  if (segments_ != 0) end_run(now);
  if (arena_ != nullptr && used_ + length > kRunBufferBytes) {
    transmitter_.release(arena_);  // its runs hold it from here on
    arena_ = nullptr;
  }
  if (arena_ == nullptr) {
    used_ = 0;
    arena_ = transmitter_.try_alloc(traffic_class, now);
    if (arena_ == nullptr) return DropReason::no_buffer;
  }
  return kNoDrop;
}

void EdgeWriter::end_run(Nanos now) noexcept {
  core::Packet run;
  run.data = arena_->data + used_;
  run.buffer = arena_;
  run.length = open_bytes_;
  run.segment_size = segments_ > 1 ? static_cast<uint16_t>(segment_) : uint16_t{0};
  run.traffic_class = static_cast<uint8_t>(traffic_class_);
  run.owner_port = destination_.endpoint;
  run.owner_core = core_.value;
  run.address = destination_.to;
  info_.kind = destination_.kind;
  info_.target = destination_.target;
  transmitter_.retain(arena_);
  transmitter_.queue(run, info_, now);
  // Keep runs on cache lines of their own, so that the copy into one does not share a line with another.
  used_ = (used_ + open_bytes_ + 63) & ~63u;
  open_bytes_ = 0;
  segment_ = 0;
  segments_ = 0;
  traffic_class_ = TrafficClass::kRest;
  info_ = RunInfo{};
}

void EdgeWriter::finish(Nanos now) noexcept {
  if (segments_ != 0) end_run(now);
  if (arena_ != nullptr) transmitter_.release(arena_);
  arena_ = nullptr;
  used_ = 0;
}

}  // namespace trunkline::relay
