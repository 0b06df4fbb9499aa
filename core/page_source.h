// PageSource: where pools take their memory from, so that the same pool lies on 2 MiB pages in production, on
// DPDK's memory beside a NIC, and on the heap in a test. Core makes no system call itself; the other sources
// live where theirs are wrapped. One thread, at start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

namespace trunkline::core {

class PageSource {
 public:
  PageSource() = default;
  virtual ~PageSource() = default;
  PageSource(const PageSource&) = delete;
  PageSource& operator=(const PageSource&) = delete;

  // `bytes` bytes, zeroed, aligned to at least 64; empty when there is no more. They stay valid, and stay the
  // source's, until the source is destroyed.
  virtual std::span<uint8_t> take(size_t bytes) = 0;
};

// Ordinary memory.
class HeapPageSource final : public PageSource {
 public:
  HeapPageSource() = default;
  ~HeapPageSource() override {
    for (uint8_t* block : blocks_) ::operator delete(block, kAlignment);
  }

  std::span<uint8_t> take(size_t bytes) override {
    if (bytes == 0) return {};
    auto* block = static_cast<uint8_t*>(::operator new(bytes, kAlignment, std::nothrow));
    if (block == nullptr) return {};
    for (size_t i = 0; i < bytes; ++i) block[i] = 0;  // also makes the pages present
    blocks_.push_back(block);
    return {block, bytes};
  }

 private:
  static constexpr std::align_val_t kAlignment{4096};  // the small page of x86-64 and most ARM64
  std::vector<uint8_t*> blocks_;
};

}  // namespace trunkline::core
