// What a control segment says, as words for a trace: "ACQUIRE 1f hop 2 | ANSWER 20 MOVED to 3". The model
// suite leaves records readable, so whoever looks at a failed seed reads the protocol rather than lengths.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace trunkline::sim {

// `segment`: the payload of one control record (relay/mesh/control_stream.h). Empty for a pure
// acknowledgement.
std::string control_text(std::span<const uint8_t> segment);

}  // namespace trunkline::sim
