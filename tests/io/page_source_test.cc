// MmapPageSource: memory on the largest pages there are, and what it says of them is what the kernel says.
#include "io/page_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace trunkline::io {
namespace {

constexpr size_t kHugePage = 2u << 20;

// What the kernel says of the mapping in which `at` lies: the value of one line of /proc/self/smaps.
std::string mapping(const void* at, const std::string& key) {
  std::ifstream smaps("/proc/self/smaps");
  const auto address = reinterpret_cast<uintptr_t>(at);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream head(line);
    if (head >> std::hex >> begin >> dash >> end && dash == '-') inside = begin <= address && address < end;
    if (inside && line.rfind(key + ":", 0) == 0) {
      const size_t value = line.find_first_not_of(' ', key.size() + 1);
      return value == std::string::npos ? "" : line.substr(value);
    }
  }
  return "none";
}

// One figure of /proc/meminfo, in its own unit.
size_t of_machine(const std::string& key) {
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stoul(line.substr(key.size() + 1));
  }
  return 0;
}

TEST(MmapPageSource, GivesZeroedAlignedMemoryAndAddsUpWhatItGave) {
  MmapPageSource pages;
  for (const size_t bytes : {size_t{100}, size_t{5000}, size_t{2u << 20}, size_t{3'000'000}}) {
    const auto memory = pages.take(bytes);
    ASSERT_EQ(memory.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 4096, 0u);
    if (bytes >= (2u << 20)) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % (2u << 20), 0u);
    }
    EXPECT_EQ(std::count(memory.begin(), memory.end(), 0), static_cast<ptrdiff_t>(bytes));
    memory.back() = 1;
  }
  EXPECT_EQ(pages.huge_bytes() + pages.advised_bytes() + pages.small_bytes(),
            4096u + 8192u + (2u << 20) + (4u << 20));
  EXPECT_NE(pages.describe().find("MiB"), std::string::npos);
  EXPECT_TRUE(pages.take(0).empty());
  EXPECT_TRUE(pages.take(SIZE_MAX).empty());
}

TEST(MmapPageSource, LiesOnThePagesThatItSays) {
  MmapPageSource pages;
  const auto large = pages.take(4 * kHugePage);
  ASSERT_EQ(large.size(), 4 * kHugePage);
  std::fill(large.begin(), large.end(), uint8_t{1});
  std::printf("  %s\n", pages.describe().c_str());
  EXPECT_EQ(pages.huge_bytes() + pages.advised_bytes() + pages.small_bytes(), 4 * kHugePage);
  const std::string flags = mapping(large.data(), "VmFlags") + " ";
  if (pages.huge_bytes() > 0) {
    EXPECT_EQ(mapping(large.data(), "KernelPageSize"), "2048 kB");
  } else {
    EXPECT_EQ(mapping(large.data(), "KernelPageSize"), "4 kB");
    EXPECT_EQ(flags.find("hg ") != std::string::npos, pages.advised_bytes() > 0) << flags;
  }
}

TEST(MmapPageSource, SpendsNoLargePageOnALittle) {
  MmapPageSource pages;
  const auto little = pages.take(100'000);
  ASSERT_EQ(little.size(), 100'000u);
  EXPECT_EQ(mapping(little.data(), "KernelPageSize"), "4 kB");
  EXPECT_EQ(pages.huge_bytes() + pages.advised_bytes(), 0u);
}

TEST(MmapPageSource, AsksForTransparentHugePagesWhenTooFewAreReserved) {
  std::ifstream file("/proc/sys/vm/nr_overcommit_hugepages");
  size_t beyond = 0;
  if (file >> beyond && beyond > 0) GTEST_SKIP() << "this kernel reserves more when asked";
  MmapPageSource pages;
  const size_t bytes = (of_machine("HugePages_Total") + 1) * kHugePage;
  const auto memory = pages.take(bytes);  // of which nothing is touched but its first page
  ASSERT_EQ(memory.size(), bytes);
  EXPECT_EQ(pages.huge_bytes(), 0u);
  EXPECT_EQ(pages.advised_bytes() + pages.small_bytes(), bytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % kHugePage, 0u);
  memory.front() = 1;
  const bool advised = (mapping(memory.data(), "VmFlags") + " ").find("hg ") != std::string::npos;
  EXPECT_EQ(advised, pages.advised_bytes() > 0);
}

}  // namespace
}  // namespace trunkline::io
