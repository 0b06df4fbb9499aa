// A copy of an input with nothing behind it, so that a parser that reads one byte too far is caught. Under
// AddressSanitizer it is a heap block of exactly the input's size, which gives the best report. In every
// other build the copy ends at a page that may not be read, so an over-read is a fault even without a
// sanitizer. Reads before the first byte are seen by AddressSanitizer only. One owner; cost: a heap block, or
// one memcpy into pages mapped once.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#if defined(__SANITIZE_ADDRESS__)
#define TRUNKLINE_EXACT_COPY_ON_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRUNKLINE_EXACT_COPY_ON_HEAP 1
#endif
#endif

namespace trunkline::fuzz {

#ifdef TRUNKLINE_EXACT_COPY_ON_HEAP

class ExactCopy {
 public:
  // Valid until the next call.
  std::span<const uint8_t> of(std::span<const uint8_t> input) {
    copy_.reset(new uint8_t[input.size()]);
    if (!input.empty()) std::memcpy(copy_.get(), input.data(), input.size());
    return {copy_.get(), input.size()};
  }

 private:
  std::unique_ptr<uint8_t[]> copy_;
};

#else

class ExactCopy {
 public:
  ExactCopy() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = (kMaxInput / page + 2) * page;
    void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    start_ = static_cast<uint8_t*>(memory);
    guard_ = start_ + mapped_ - page;
    if (mprotect(guard_, page, PROT_NONE) != 0) std::abort();
  }
  ~ExactCopy() { munmap(start_, mapped_); }
  ExactCopy(const ExactCopy&) = delete;
  ExactCopy& operator=(const ExactCopy&) = delete;

  // Valid until the next call. Contract: at most kMaxInput bytes.
  std::span<const uint8_t> of(std::span<const uint8_t> input) {
    if (input.size() > kMaxInput) std::abort();
    uint8_t* copy = guard_ - input.size();
    if (!input.empty()) std::memcpy(copy, input.data(), input.size());
    return {copy, input.size()};
  }

 private:
  static constexpr size_t kMaxInput = size_t{1} << 20;
  size_t mapped_ = 0;
  uint8_t* start_ = nullptr;
  uint8_t* guard_ = nullptr;
};

#endif

}  // namespace trunkline::fuzz
