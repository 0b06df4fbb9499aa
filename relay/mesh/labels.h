// Labels: which flow of which data core a track gets, and when a number may stand for something else.
//
// The idea: a label is (flow, core, generation) in our number space. A peer that was told a label may go on
// sending with it for a while after we let go of it. So an index rests before it is used again, and comes
// back with the next generation (10 bits, never 0): what still arrives for the old holder matches nothing. An
// index that no peer can be using (everybody who was told it has said no) need not rest.
//
// Owner: MeshNode. O(1) but for the choice of the core, O(cores). Memory: 16 bytes per flow and core.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "relay/core_link.h"
#include "relay/mesh/slab.h"

namespace trunkline::relay::mesh {

// A flow of ours. label.value == 0: none.
struct Flow {
  FlowId id = 0;
  CoreId core{};
  Label label{};
  bool open() const { return label.value != 0; }
  bool operator==(const Flow&) const = default;
};

class Labels {
 public:
  // Longer than any datagram or control segment of the old holder can be under way: two seconds.
  static constexpr Nanos kRest = core::from_s(2);

  enum class Owner : uint8_t { kNone, kPublication, kTrack };
  struct Holder {
    Owner owner = Owner::kNone;
    uint32_t index = kNil;  // in the owner's slab
  };

  Labels(uint32_t cores, uint32_t flows_per_core);

  // A flow on the core with the fewest; Flow{} when every free one still rests or is in use.
  Flow allocate(Nanos now, Holder holder) noexcept;
  void release(const Flow& flow, Nanos now, bool rest) noexcept;
  // Who holds exactly this label now.
  Holder holder(CoreId core, Label label) const noexcept;
  uint32_t in_use() const noexcept { return in_use_; }
  uint32_t core_bits() const noexcept { return core_bits_; }

 private:
  struct Entry {
    uint32_t next = kNil;  // in its free list
    Holder holder{};
    uint16_t generation = 0;
  };
  struct Core {
    std::unique_ptr<Entry[]> entries;
    std::unique_ptr<Nanos[]> rested_at;
    uint32_t fresh = 0;                             // entries from here on were never used
    uint32_t clean = kNil;                          // free without rest, newest first
    uint32_t oldest_resting = kNil, newest = kNil;  // free and resting, oldest first
    uint32_t used = 0;
  };
  uint32_t take(Core& core, Nanos now) noexcept;

  uint32_t flows_;
  uint32_t core_bits_;
  uint32_t in_use_ = 0;
  std::vector<Core> cores_;
};

}  // namespace trunkline::relay::mesh
