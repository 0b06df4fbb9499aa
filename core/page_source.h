// PageSource: where pools take their memory from, so that the same pool lies on 2 MiB pages in production, on
// DPDK's memory beside a NIC, and on the heap in a test. Core makes no system call itself; the other sources
// live where theirs are wrapped. One thread, at start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
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

  // `bytes` bytes, aligned to at least 64; empty when there is no more. They stay valid, and stay the
  // source's, until the source is destroyed. Zeroed, unless the source says otherwise.
  virtual std::span<uint8_t> take(size_t bytes) = 0;
};

// Ordinary memory.
class HeapPageSource final : public PageSource {
 public:
  // kAsFound: the bytes are whatever their last owner left, and their pages come when they are touched. For
  // pools that live for a moment and whose buffers are written before they are read.
  enum class Bytes : uint8_t { kZeroed, kAsFound };
  explicit HeapPageSource(Bytes bytes = Bytes::kZeroed) : bytes_(bytes) {}
  ~HeapPageSource() override {
    for (uint8_t* block : blocks_) ::operator delete(block, kAlignment);
  }

  std::span<uint8_t> take(size_t bytes) override {
    if (bytes == 0) return {};
    auto* block = static_cast<uint8_t*>(::operator new(bytes, kAlignment, std::nothrow));
    if (block == nullptr) return {};
    if (bytes_ == Bytes::kZeroed) std::memset(block, 0, bytes);  // also makes the pages present
    blocks_.push_back(block);
    return {block, bytes};
  }

 private:
  static constexpr std::align_val_t kAlignment{4096};  // the small page of x86-64 and most ARM64
  Bytes bytes_;
  std::vector<uint8_t*> blocks_;
};

}  // namespace trunkline::core
