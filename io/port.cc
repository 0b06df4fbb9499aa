// The counters' names and texts, from the one list in port.h.
#include "io/port.h"

namespace trunkline::io {
namespace {

constexpr const char* kNames[] = {
#define X(name, text) #name,
    TRUNKLINE_PORT_COUNTERS(X)
#undef X
};
constexpr const char* kTexts[] = {
#define X(name, text) text,
    TRUNKLINE_PORT_COUNTERS(X)
#undef X
};

}  // namespace

const char* port_counter_name(PortCounter counter) noexcept {
  const auto i = static_cast<uint32_t>(counter);
  return counter < PortCounter::kCount ? kNames[i] : "unknown";
}

const char* port_counter_text(PortCounter counter) noexcept {
  const auto i = static_cast<uint32_t>(counter);
  return counter < PortCounter::kCount ? kTexts[i] : "unknown";
}

}  // namespace trunkline::io
