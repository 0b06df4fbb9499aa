// Three places to take an index from, in this order: free without rest, rested, never used. So the numbers in
// use stay dense, and the data cores' arrays warm.
#include "relay/mesh/labels.h"

#include <algorithm>

namespace trunkline::relay::mesh {

Labels::Labels(uint32_t cores, uint32_t flows_per_core) : core_bits_(core_bits_for(cores)) {
  // A label's index has 22 bits, of which the lowest say the core.
  flows_ = std::min(flows_per_core, (Label::kMaxIndex >> core_bits_) + 1);
  cores_.resize(cores);
  for (Core& core : cores_) {
    core.entries = std::make_unique<Entry[]>(flows_);
    core.rested_at = std::make_unique_for_overwrite<Nanos[]>(flows_);
  }
}

uint32_t Labels::take(Core& core, Nanos now) noexcept {
  if (core.clean != kNil) {
    const uint32_t i = core.clean;
    core.clean = core.entries[i].next;
    return i;
  }
  if (core.oldest_resting != kNil && now >= core.rested_at[core.oldest_resting]) {
    const uint32_t i = core.oldest_resting;
    core.oldest_resting = core.entries[i].next;
    if (core.oldest_resting == kNil) core.newest = kNil;
    return i;
  }
  return core.fresh < flows_ ? core.fresh++ : kNil;
}

Flow Labels::allocate(Nanos now, Holder holder) noexcept {
  // Cores in order of load; at most one pass each, because a core may be full of resting ones.
  std::array<bool, core::kMaxCores> tried{};
  for (size_t pass = 0; pass < cores_.size(); ++pass) {
    size_t best = cores_.size();
    for (size_t c = 0; c < cores_.size(); ++c) {
      if (!tried[c] && (best == cores_.size() || cores_[c].used < cores_[best].used)) best = c;
    }
    tried[best] = true;
    Core& core = cores_[best];
    const uint32_t i = take(core, now);
    if (i == kNil) continue;
    Entry& entry = core.entries[i];
    entry.next = kNil;
    entry.holder = holder;
    entry.generation = static_cast<uint16_t>((entry.generation & Label::kMaxGeneration) + 1);
    if (entry.generation > Label::kMaxGeneration) entry.generation = 1;
    ++core.used;
    ++in_use_;
    const CoreId id{static_cast<uint8_t>(best)};
    return {i, id, flow_label(i, id, core_bits_, entry.generation)};
  }
  return {};
}

void Labels::release(const Flow& flow, Nanos now, bool rest) noexcept {
  Core& core = cores_[flow.core.value];
  Entry& entry = core.entries[flow.id];
  TL_CHECK(entry.holder.owner != Owner::kNone);
  entry.holder = {};
  --core.used;
  --in_use_;
  if (!rest) {
    entry.next = core.clean;
    core.clean = flow.id;
    return;
  }
  entry.next = kNil;
  core.rested_at[flow.id] = now + kRest;
  if (core.newest == kNil) {
    core.oldest_resting = flow.id;
  } else {
    core.entries[core.newest].next = flow.id;
  }
  core.newest = flow.id;
}

Labels::Holder Labels::holder(CoreId core, Label label) const noexcept {
  if (core.value >= cores_.size()) return {};
  const FlowId flow = label_flow(label, core_bits_);
  if (flow >= flows_ || (label.index() & ((1u << core_bits_) - 1)) != core.value) return {};
  const Entry& entry = cores_[core.value].entries[flow];
  return entry.generation == label.generation() ? entry.holder : Holder{};
}

}  // namespace trunkline::relay::mesh
