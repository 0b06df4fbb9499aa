// See relay/key_memory.h.
#include "relay/key_memory.h"

#include <sys/mman.h>

#include "core/check.h"

namespace trunkline::relay {

void* map_key_memory(std::size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TL_CHECK(memory != MAP_FAILED);
  // A kernel that refuses (before 4.14, or in a sandbox) leaves ordinary memory, which works as well.
  (void)madvise(memory, bytes, MADV_DONTDUMP);
  (void)madvise(memory, bytes, MADV_WIPEONFORK);
  return memory;
}

void unmap_key_memory(void* memory, std::size_t bytes) noexcept {
  munmap(memory, bytes);
}

}  // namespace trunkline::relay
