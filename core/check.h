// Contracts. TL_CHECK is always on and ends the process with the place and the condition: a broken contract
// of our own is a defect, and going on would relay wrong packets. TL_DCHECK (per packet) exists in debug
// builds only. Never check what came from the wire, a peer, a file or a caller of the C ABI: that is an error
// to count or return.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace trunkline::core {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "trunkline: contract broken: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace trunkline::core

#define TL_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::trunkline::core::check_failed(#condition, __FILE__, __LINE__))

#ifdef TRUNKLINE_DEBUG
#define TL_DCHECK(condition) TL_CHECK(condition)
#else
#define TL_DCHECK(condition) void(0)
#endif
