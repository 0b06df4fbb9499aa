// Sizes that depend on the cache. Constants of our own: std::hardware_destructive_interference_size in a
// header warns under g++ 12, because its value may differ between translation units.
#pragma once

#include <cstddef>

namespace trunkline::core {

inline constexpr std::size_t kCacheLine = 64;  // x86-64 and most ARM64 cores
inline constexpr std::size_t kSharingDistance =
    128;  // x86 prefetches lines in pairs: keep writers this far apart

// Asks for the line that holds `at`. The empty statement keeps g++ from taking a function that only
// prefetches for one without effect, whose calls it may leave out (GCC 12 does).
inline void prefetch_line(const void* at) noexcept {
  __builtin_prefetch(at);
  asm volatile("");
}
// Asks for the line that holds `at` in order to write it: no other core keeps a copy. The instruction is
// spelt out because compilers give the reader's one to a processor that they know nothing about; every x86-64
// of the last ten years has it, and all older ones take it for no operation.
inline void prefetch_line_to_write(void* at) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<char*>(at)));
#else
  __builtin_prefetch(at, 1);
  asm volatile("");
#endif
}
// Asks for every line of [from, from + bytes), and for those between two addresses.
inline void prefetch(const void* from, std::size_t bytes) noexcept {
  const auto* at = static_cast<const char*>(from);
  for (std::size_t i = 0; i < bytes; i += kCacheLine) prefetch_line(at + i);
}
inline void prefetch_between(const void* from, const void* to) noexcept {
  prefetch(from, static_cast<std::size_t>(static_cast<const char*>(to) - static_cast<const char*>(from)));
}

}  // namespace trunkline::core
