// The texts of relay/core_counters.h: static tables made from its list.
#include "relay/core_counters.h"

namespace trunkline::relay {
namespace {

constexpr const char* kNames[] = {
#define X(name, text) #name,
    TRUNKLINE_CORE_COUNTERS(X)
#undef X
};
constexpr const char* kTexts[] = {
#define X(name, text) text,
    TRUNKLINE_CORE_COUNTERS(X)
#undef X
};
constexpr auto kCount = static_cast<uint32_t>(CoreCounter::kCount);

}  // namespace

const char* core_counter_name(CoreCounter which) noexcept {
  const auto i = static_cast<uint32_t>(which);
  return i < kCount ? kNames[i] : "unknown";
}

const char* core_counter_text(CoreCounter which) noexcept {
  const auto i = static_cast<uint32_t>(which);
  return i < kCount ? kTexts[i] : "unknown";
}

}  // namespace trunkline::relay
