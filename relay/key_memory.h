// Memory for keys, whole pages of its own: a core dump leaves it out, and a child of fork() finds zeros there
// (MADV_DONTDUMP, MADV_WIPEONFORK: no dump and no forked helper of the host carries keys away). Pages cost
// memory when they are first written, not before. It is not locked: a machine that swaps needs encrypted
// swap.
//
// Control path: two or three system calls each. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace trunkline::relay {

// `bytes` of zeros at the beginning of a page. Contract: there is memory for it (the process ends otherwise:
// nothing has started yet).
void* map_key_memory(std::size_t bytes);
// Gives back what map_key_memory(bytes) gave. The system hands zeros to whoever gets these pages next.
void unmap_key_memory(void* memory, std::size_t bytes) noexcept;

template <class T>
struct UnmapKeyMemory {
  void operator()(T* keys) const noexcept { unmap_key_memory(keys, sizeof(T)); }
};
template <class T>
using KeyPtr = std::unique_ptr<T, UnmapKeyMemory<T>>;

// A T of zeros. It must mean "no key" by them, since that is what a forked child sees.
template <class T>
KeyPtr<T> make_keys() {
  static_assert(std::is_trivially_default_constructible_v<T> && std::is_trivially_destructible_v<T>);
  return KeyPtr<T>(static_cast<T*>(map_key_memory(sizeof(T))));
}

}  // namespace trunkline::relay
