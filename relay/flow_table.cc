// FlowTable's commands; see relay/flow_table.h. Outputs are kept packed: the first in the flow's line, the
// others in order through its chunks; to remove one, the last takes its place.
#include "relay/flow_table.h"

#include <algorithm>

namespace trunkline::relay {
namespace {

bool matches(const OutputSlot& slot, uint64_t handle, const Output& output) noexcept {
  if (slot.kind != output.kind || slot.target != output.target) return false;
  if (slot.kind == OutputKind::kLink) {
    return slot.remote_core == output.remote_core.value && slot.label == output.label.value;
  }
  return slot.kind != OutputKind::kQueue || handle == output.handle;
}

}  // namespace

FlowTable::FlowTable(const NodeLimits& limits, CoreId core, uint32_t cores)
    : core_(core),
      core_bits_(core_bits_for(cores)),
      core_mask_((1u << core_bits_) - 1),
      limit_(limits.max_flows_per_core),
      outputs_max_(limits.max_outputs_per_core),
      flows_(limit_ + 1u),
      details_(limit_ + 1u),
      first_handles_(limit_ + 1u),
      // Full chunks for all outputs, and one that is partly filled for each flow with several outputs.
      chunks_(outputs_max_ / kPerChunk + std::min(limit_, outputs_max_ / 2) + 1u) {}

bool FlowTable::open(const FlowOpen& from) noexcept {
  if (from.flow >= limit_ || from.label.value == 0 || flow_of(from.label) != from.flow) return false;
  close(from.flow);
  Flow& flow = flows_[from.flow];
  flow.label = from.label;
  flow.source = from.source;
  flow.traffic_class = from.traffic_class;
  flow.peer = from.source == FlowSource::kUpstream ? from.link : from.queue;
  flow.handle = from.handle;
  FlowDetail& detail = details_[from.flow];
  detail.upstream_label = from.upstream_label;
  detail.upstream_core = from.upstream_core;
  detail.keyframe_interval = from.keyframe_interval;
  high_water_ = std::max(high_water_, from.flow + 1);
  return true;
}

// Its first packet from the new source is reported as the first packet was.
bool FlowTable::redirect(const FlowRedirect& to, Nanos now) noexcept {
  if (!is_open(to.flow) || flows_[to.flow].source != FlowSource::kUpstream) return false;
  Flow& flow = flows_[to.flow];
  FlowDetail& detail = details_[to.flow];
  if (flow.peer != to.link) {
    // Longer than a queue on the way keeps a packet, and shorter than a sequence number takes half way round:
    // that is 6 500 packets per second.
    constexpr Nanos kResume = core::from_s(5);
    flow.resuming = flow.packets > 0;
    detail.resume_ssrc = flow.newest.ssrc;
    detail.resume_sequence = flow.newest.sequence;
    detail.resume_until = now + kResume;
    flow.start = FlowStart::kNone;
  }
  flow.peer = to.link;
  detail.upstream_label = to.upstream_label;
  detail.upstream_core = to.upstream_core;
  detail.keyframe_interval = to.keyframe_interval;
  return true;
}

bool FlowTable::repeats(Flow& flow, const Record& record, Nanos now) noexcept {
  const FlowDetail& detail = details_[static_cast<FlowId>(&flow - &flows_[0])];
  if (now >= detail.resume_until) {
    flow.resuming = false;
    return false;
  }
  if (record_is_rtcp(record) || record_ssrc(record) != detail.resume_ssrc) return false;
  const auto behind = static_cast<uint16_t>(detail.resume_sequence - record_sequence(record));
  return behind < 0x8000;
}

bool FlowTable::close(FlowId id) noexcept {
  if (!is_open(id)) return false;
  Flow& flow = flows_[id];
  outputs_in_use_ -= flow.output_count;
  for (uint32_t chunk = flow.more; chunk != 0;) {
    const uint32_t next = chunks_[chunk - 1].next;
    free_chunk(chunk);
    chunk = next;
  }
  flow = Flow{};
  details_[id] = FlowDetail{};
  first_handles_[id] = 0;
  return true;
}

bool FlowTable::add_output(FlowId id, const Output& output) noexcept {
  if (!is_open(id) || output.kind == OutputKind::kNone || output.remote_core.value >= core::kMaxCores) {
    return false;
  }
  Flow& flow = flows_[id];
  if (outputs_in_use_ >= outputs_max_ || flow.output_count == UINT16_MAX) return false;
  // Position 0 is inline, 1..7 the first chunk: a chunk begins at each position p with (p - 1) % 7 == 0.
  if (flow.output_count > 0 && (flow.output_count - 1u) % kPerChunk == 0) {
    const uint32_t fresh = take_chunk();
    if (fresh == 0) return false;
    uint32_t* link = &flow.more;
    while (*link != 0) link = &chunks_[*link - 1].next;
    *link = fresh;
  }
  const Place at = place(id, flow.output_count);
  *at.slot = OutputSlot{};
  at.slot->kind = output.kind;
  at.slot->remote_core = output.remote_core.value;
  at.slot->target = output.target;
  at.slot->label = output.label.value;
  *at.handle = output.handle;
  ++flow.output_count;
  ++outputs_in_use_;
  return true;
}

bool FlowTable::remove_output(FlowId id, const Output& output) noexcept {
  if (!is_open(id)) return false;
  Flow& flow = flows_[id];
  Place found{nullptr, nullptr};
  for_each_output(flow, [&](OutputSlot& slot, uint64_t& handle) {
    if (!matches(slot, handle, output)) return true;
    found = {&slot, &handle};
    return false;
  });
  if (found.slot == nullptr) return false;
  const Place last = place(id, flow.output_count - 1u);
  *found.slot = *last.slot;
  *found.handle = *last.handle;
  --flow.output_count;
  --outputs_in_use_;
  if (flow.output_count > 0 && (flow.output_count - 1u) % kPerChunk == 0) {  // the last chunk is empty now
    uint32_t* link = &flow.more;
    while (chunks_[*link - 1].next != 0) link = &chunks_[*link - 1].next;
    free_chunk(*link);
    *link = 0;
  }
  return true;
}

OutputSlot* FlowTable::find_output(Flow& flow, OutputKind kind, uint16_t target,
                                   uint8_t remote_core) noexcept {
  OutputSlot* found = nullptr;
  for_each_output(flow, [&](OutputSlot& slot, uint64_t&) {
    if (slot.kind == kind && slot.target == target &&
        (kind != OutputKind::kLink || slot.remote_core == remote_core)) {
      found = &slot;
    }
    return found == nullptr;
  });
  return found;
}

FlowTable::Place FlowTable::place(FlowId flow, uint32_t position) noexcept {
  if (position == 0) return {&flows_[flow].first, &first_handles_[flow]};
  uint32_t chunk = flows_[flow].more;
  uint32_t left = position - 1;
  for (; left >= kPerChunk; left -= kPerChunk) chunk = chunks_[chunk - 1].next;
  return {&chunks_[chunk - 1].outputs[left], &chunks_[chunk - 1].handles[left]};
}

uint32_t FlowTable::take_chunk() noexcept {
  uint32_t chunk = free_chunks_;
  if (chunk != 0) {
    free_chunks_ = chunks_[chunk - 1].next;
  } else {
    if (chunks_used_ == chunks_.size()) return 0;
    chunk = ++chunks_used_;
  }
  chunks_[chunk - 1].next = 0;
  return chunk;
}

void FlowTable::free_chunk(uint32_t chunk) noexcept {
  chunks_[chunk - 1].next = free_chunks_;
  free_chunks_ = chunk;
}

}  // namespace trunkline::relay
