// LazyArray: a fixed number of zeroed elements whose pages the system provides when they are first touched.
//
// The idea: tables are sized for the configured maximum, but a node that uses a hundredth of it should pay
// for a hundredth, in memory and in construction time (a simulator builds thousands of nodes). calloc gives
// exactly that: large blocks come untouched from the system, already zero. So an element type must mean
// "unused" by all bits zero, and need neither constructor nor destructor.
//
// Where every element is written before it is read, kUnwritten leaves out even the zeros: memory that an
// earlier node gave back is then taken over as it is.
//
// One allocation, in the constructor; none later. Owned and used by one thread.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

#include "core/check.h"

namespace trunkline::relay {

enum class Contents : uint8_t { kZero, kUnwritten };

template <class T>
class LazyArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  // Contract: there is memory for it (the process ends otherwise: nothing has started yet).
  explicit LazyArray(std::size_t size, Contents contents = Contents::kZero) : size_(size) {
    const std::size_t bytes = (size == 0 ? 1 : size) * sizeof(T) + kAlign;
    block_ = contents == Contents::kZero ? std::calloc(1, bytes) : std::malloc(bytes);
    TL_CHECK(block_ != nullptr);
    const auto address = reinterpret_cast<std::uintptr_t>(block_);
    items_ = reinterpret_cast<T*>((address + kAlign - 1) & ~(kAlign - 1));
    if (bytes >= kWorthHugePages) ask_for_huge_pages(address, bytes);
  }
  ~LazyArray() { std::free(block_); }
  LazyArray(const LazyArray&) = delete;
  LazyArray& operator=(const LazyArray&) = delete;

  T& operator[](std::size_t i) noexcept {
    TL_DCHECK(i < size_);
    return items_[i];
  }
  const T& operator[](std::size_t i) const noexcept {
    TL_DCHECK(i < size_);
    return items_[i];
  }
  std::size_t size() const noexcept { return size_; }

 private:
  // From here on a random element costs more in address translation than in itself; and the 2 MiB that are
  // touched with the first of them are little beside it.
  static constexpr std::size_t kWorthHugePages = std::size_t{16} << 20;
  // Where the system has transparent huge pages for who asks. If not, they are ordinary ones.
  static void ask_for_huge_pages(std::uintptr_t address, std::size_t bytes) noexcept {
    constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;
    const std::uintptr_t first = (address + kHugePage - 1) & ~(kHugePage - 1);
    const std::uintptr_t end = (address + bytes) & ~(kHugePage - 1);
    (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  }

  static constexpr std::uintptr_t kAlign = alignof(T) > 64 ? alignof(T) : 64;
  void* block_ = nullptr;
  T* items_ = nullptr;
  std::size_t size_;
};

}  // namespace trunkline::relay
