// The counters' names and texts, from the one list in ip_host_counters.h.
#include "io/ip_host_counters.h"

namespace trunkline::io {
namespace {

constexpr const char* kNames[] = {
#define X(name, text) #name,
    TRUNKLINE_IP_HOST_COUNTERS(X)
#undef X
};
constexpr const char* kTexts[] = {
#define X(name, text) text,
    TRUNKLINE_IP_HOST_COUNTERS(X)
#undef X
};

}  // namespace

const char* ip_host_counter_name(IpHostCounter counter) noexcept {
  return counter < IpHostCounter::kCount ? kNames[static_cast<uint32_t>(counter)] : "unknown";
}

const char* ip_host_counter_text(IpHostCounter counter) noexcept {
  return counter < IpHostCounter::kCount ? kTexts[static_cast<uint32_t>(counter)] : "unknown";
}

}  // namespace trunkline::io
