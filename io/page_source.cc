// See page_source.h.
#include "io/page_source.h"

#include <sys/mman.h>

namespace trunkline::io {
namespace {

constexpr size_t kHugePage = 2u << 20;
constexpr size_t kSmallPage = 4096;
constexpr int kHugeFlags = MAP_HUGETLB | (21 << 26);  // MAP_HUGE_2MB: log2 of the size in bits 26 and up

constexpr size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

void* map(size_t bytes, int flags) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return address == MAP_FAILED ? nullptr : address;
}

// Ordinary memory whose start is on a 2 MiB boundary, as transparent huge pages want it: maps more and cuts
// off both ends. `bytes` is a multiple of kHugePage.
void* map_aligned(size_t bytes) {
  auto* start = static_cast<uint8_t*>(map(bytes + kHugePage, 0));
  if (start == nullptr) return nullptr;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  if (before != 0) munmap(start, before);
  munmap(start + before + bytes, kHugePage - before);
  return start + before;
}

std::string mebibytes(size_t bytes) {
  return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB";
}

}  // namespace

MmapPageSource::~MmapPageSource() {
  for (const Block& block : blocks_) munmap(block.address, block.bytes);
}

std::span<uint8_t> MmapPageSource::take(size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX - 2 * kHugePage) return {};
  void* address = nullptr;
  size_t mapped = round_up(bytes, kHugePage);
  if (bytes >= kHugePage / 2) {  // for less, a huge page would be mostly waste
    if ((address = map(mapped, kHugeFlags)) != nullptr) {
      huge_bytes_ += mapped;
    } else if ((address = map_aligned(mapped)) != nullptr) {
      (madvise(address, mapped, MADV_HUGEPAGE) == 0 ? advised_bytes_ : small_bytes_) += mapped;
    }
  }
  if (address == nullptr) {
    mapped = round_up(bytes, kSmallPage);
    if ((address = map(mapped, 0)) == nullptr) return {};
    small_bytes_ += mapped;
  }
  blocks_.push_back({address, mapped});
  return {static_cast<uint8_t*>(address), bytes};
}

std::string MmapPageSource::describe() const {
  return mebibytes(huge_bytes_) + " on reserved 2 MiB pages, " + mebibytes(advised_bytes_) +
         " on transparent huge pages if the kernel has any, " + mebibytes(small_bytes_) + " on 4 KiB pages";
}

}  // namespace trunkline::io
