// Memory for pools, on the largest pages there are. A pool of 8 MiB spans 2 048 pages of 4 KiB, more than a
// core's translation cache holds, and only 4 of 2 MiB.
//
// Three tries per request: reserved huge pages (MAP_HUGETLB), ordinary memory that the kernel is asked to
// make huge (MADV_HUGEPAGE), ordinary memory. Each block is mapped whole and never given back before the
// source goes. One thread, at start; afterwards read-only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/page_source.h"

namespace trunkline::io {

class MmapPageSource final : public core::PageSource {
 public:
  MmapPageSource() = default;
  ~MmapPageSource() override;

  std::span<uint8_t> take(size_t bytes) override;

  size_t huge_bytes() const { return huge_bytes_; }        // on reserved 2 MiB pages
  size_t advised_bytes() const { return advised_bytes_; }  // the kernel was asked for huge pages
  size_t small_bytes() const { return small_bytes_; }
  // "16 MiB on 2 MiB pages, 0 MiB ..." for the line a node prints at start.
  std::string describe() const;

 private:
  struct Block {
    void* address;
    size_t bytes;
  };
  std::vector<Block> blocks_;
  size_t huge_bytes_ = 0;
  size_t advised_bytes_ = 0;
  size_t small_bytes_ = 0;
};

}  // namespace trunkline::io
