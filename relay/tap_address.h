// Whether an ingest tap could hear those that it is told to hear. Asked where an address is configured, so
// that a tap which would drop everything is refused, with the reason, and never opened.
#pragma once

#include "core/udp_address.h"

namespace trunkline::relay {

// Why an ingest tap that listens on `listen` could hear nothing from `from`, which names somebody: the end of
// a sentence that begins with `from`. nullptr: it could. Static storage; any thread.
const char* why_unheard(const core::UdpAddress& listen, const core::UdpAddress& from) noexcept;

}  // namespace trunkline::relay
