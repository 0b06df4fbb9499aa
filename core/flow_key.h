// FlowKey: which flow a plain RTP packet belongs to, as a key of BoundedTable. The local port is part of it:
// SSRCs are drawn at random by each sender, and two that agree (RFC 3550, section 8.1) are told apart by
// where they come in.
//
// A value: any thread. The rest of its 16 bytes is zero and compared like all of them.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/bounded_table.h"

namespace trunkline::core {

struct FlowKey {
  uint32_t ssrc = 0;  // both in the host's byte order
  uint16_t port = 0;  // local, UDP
  uint16_t zero = 0;
  uint64_t zeros = 0;

  static constexpr FlowKey of(uint16_t port, uint32_t ssrc) { return {ssrc, port, 0, 0}; }
  constexpr bool operator==(const FlowKey&) const = default;
};
static_assert(sizeof(FlowKey) == 16 && std::has_unique_object_representations_v<FlowKey>);

using TrackTable = BoundedTable<TrackId>;
using FlowTable = BoundedTable<FlowKey>;

}  // namespace trunkline::core
