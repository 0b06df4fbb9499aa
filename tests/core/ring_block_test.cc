// A ring as a block of memory: what lies where, what is refused, and items that cross from one mapping of the
// block to another.
#include "core/ring_block.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "core/line_ring.h"
#include "core/packet.h"
#include "core/spsc_ring.h"

namespace trunkline::core {
namespace {

struct Stamp {
  uint64_t number = 0;
  uint64_t square = 0;
};

// Memory that can be mapped more than once: each mapping has an address of its own.
class Shared {
 public:
  explicit Shared(size_t bytes) : bytes_(bytes), file_(memfd_create("ring", 0)) {
    EXPECT_EQ(ftruncate(file_, static_cast<off_t>(bytes)), 0);
  }
  ~Shared() {
    for (void* at : maps_) munmap(at, bytes_);
    close(file_);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  std::span<std::byte> map() {
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    EXPECT_NE(at, MAP_FAILED);
    maps_.push_back(at);
    return {static_cast<std::byte*>(at), bytes_};
  }

 private:
  size_t bytes_;
  int file_;
  std::vector<void*> maps_;
};

template <class T>
T at(std::span<const std::byte> memory, size_t offset) {
  T value;
  std::memcpy(&value, memory.data() + offset, sizeof value);
  return value;
}

template <class Ring>
class RingInABlock : public testing::Test {};
using Rings = testing::Types<SpscRing<Stamp>, LineRing<Stamp>>;
TYPED_TEST_SUITE(RingInABlock, Rings);

TYPED_TEST(RingInABlock, CarriesItemsBetweenTwoMappings) {
  Shared shared(TypeParam::bytes_for(4));
  const std::span<std::byte> here = shared.map(), there = shared.map();
  ASSERT_NE(here.data(), there.data());
  auto producer = TypeParam::format(here, 4);
  ASSERT_TRUE(producer) << producer.error().text;
  auto consumer = TypeParam::attach(there);
  ASSERT_TRUE(consumer) << consumer.error().text;
  EXPECT_EQ(consumer->capacity(), 4u);
  for (uint64_t i = 0; i < 11; ++i) {  // beyond the end of the array, twice
    ASSERT_TRUE(producer->try_push({i, i * i}));
    ASSERT_EQ(producer->push_burst(std::array<Stamp, 2>{{{i, 1}, {i, 2}}}), 2u);
    std::array<Stamp, 4> out;
    ASSERT_EQ(consumer->pop_burst(out), 3u);
    ASSERT_EQ(out[0].number, i);
    ASSERT_EQ(out[0].square, i * i);
    ASSERT_EQ(out[2].square, 2u);
  }
  EXPECT_EQ(producer->free_approx(), 4u);
}

TYPED_TEST(RingInABlock, CarriesItemsBetweenProcesses) {
  constexpr uint64_t kItems = 20'000;
  Shared shared(TypeParam::bytes_for(64));
  auto consumer = TypeParam::format(shared.map(), 64);
  ASSERT_TRUE(consumer);
  const pid_t child = fork();
  if (child == 0) {
    auto producer = TypeParam::attach(shared.map());
    if (!producer) _exit(1);
    for (uint64_t i = 0; i < kItems;) i += producer->try_push({i, i * i}) ? 1 : 0;
    _exit(0);
  }
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kItems;) {
    Stamp stamp;
    if (!consumer->try_pop(stamp)) continue;
    wrong += stamp.number != i || stamp.square != i * i;
    ++i;
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(wrong, 0u);
}

// A side that is taken over goes on where it stopped.
TYPED_TEST(RingInABlock, KeepsItsItemsWhenASideIsAttachedAgain) {
  Shared shared(TypeParam::bytes_for(4));
  {
    auto ring = TypeParam::format(shared.map(), 4);
    ASSERT_TRUE(ring);
    Stamp out;
    for (uint64_t i = 0; i < 6; ++i) {
      ASSERT_TRUE(ring->try_push({i, 0}));
      ASSERT_TRUE(i >= 3 || ring->try_pop(out));
    }
  }
  auto ring = TypeParam::attach(shared.map());
  ASSERT_TRUE(ring);
  EXPECT_EQ(ring->size_approx(), 3u);
  ASSERT_TRUE(ring->try_push({6, 0}));
  auto full = TypeParam::attach(shared.map());
  ASSERT_TRUE(full) << full.error().text;
  EXPECT_FALSE(full->try_push({7, 0}));
  for (uint64_t i = 3; i < 7; ++i) {
    Stamp out;
    ASSERT_TRUE(full->try_pop(out));
    EXPECT_EQ(out.number, i);
  }
}

struct Spoiled {
  const char* what;
  size_t offset;
  uint32_t value;
  const char* error;
};

// Each field of the header, spoiled alone. The block has room for eight slots, and a ring of four.
TYPED_TEST(RingInABlock, IsRefusedWhenItsHeaderIsNotThatOfThisRing) {
  const std::vector<Spoiled> all = {
      {"other bytes", 0, 0x5a5a5a5a, "magic"},
      {"other bytes, further on", 4, 0, "magic"},
      {"a later layout", 8, 2, "version"},
      {"a layout before the first", 8, 0, "version"},
      {"no kind", 12, 0, "kind"},
      {"the other kind", 12, std::is_same_v<TypeParam, SpscRing<Stamp>> ? 2u : 1u, "kind"},
      {"smaller slots", 16, 8, "bytes per slot"},
      {"larger slots", 16, 128, "bytes per slot"},
      {"no slots", 20, 0, "capacity"},
      {"not a power of two", 20, 3, "capacity"},
      {"more slots than memory", 20, 16, "size"},
      {"very many slots", 20, 0x80000000, "size"},
      {"slots elsewhere", 24, 256, "offset of the slots"},
      {"slots far away", 28, 1, "offset of the slots"},
      {"more items than slots", 128, 5, "number of items"},
      {"fewer items than none", 256, 1, "number of items"},
  };
  for (const Spoiled& spoiled : all) {
    SCOPED_TRACE(spoiled.what);
    Shared shared(TypeParam::bytes_for(8));
    const std::span<std::byte> memory = shared.map();
    ASSERT_TRUE(TypeParam::format(memory, 4));
    ASSERT_TRUE(TypeParam::attach(memory));
    std::memcpy(memory.data() + spoiled.offset, &spoiled.value, sizeof spoiled.value);
    const auto ring = TypeParam::attach(memory);
    ASSERT_FALSE(ring);
    const std::string& text = ring.error().text;
    EXPECT_EQ(text.rfind(std::string("ring block: ") + spoiled.error + " is ", 0), 0u) << text;
  }
}

TYPED_TEST(RingInABlock, IsRefusedInMemoryThatDoesNotHoldIt) {
  Shared shared(TypeParam::bytes_for(4) + 64);
  const std::span<std::byte> all = shared.map(), memory = all.first(TypeParam::bytes_for(4));
  ASSERT_TRUE(TypeParam::format(memory, 4));
  EXPECT_FALSE(TypeParam::attach({}));
  EXPECT_FALSE(TypeParam::attach(memory.first(383)));
  EXPECT_FALSE(TypeParam::attach(memory.first(memory.size() - 1)));
  EXPECT_FALSE(TypeParam::format(memory.first(memory.size() - 1), 4));
  EXPECT_FALSE(TypeParam::format(all.subspan(64), 4));  // half a sharing distance off
  EXPECT_FALSE(TypeParam::format(memory, 3));
  EXPECT_FALSE(TypeParam::format(memory, 0));
  EXPECT_TRUE(TypeParam::attach(memory));  // none of which touched it
}

TYPED_TEST(RingInABlock, IsEmptyWhateverTheMemoryHeld) {
  Shared shared(TypeParam::bytes_for(4));
  const std::span<std::byte> memory = shared.map();
  std::memset(memory.data(), 1, memory.size());
  auto ring = TypeParam::format(memory, 4);
  ASSERT_TRUE(ring);
  Stamp out;
  EXPECT_FALSE(ring->try_pop(out));
  EXPECT_EQ(ring->size_approx(), 0u);
  EXPECT_EQ(ring->free_approx(), 4u);
  EXPECT_EQ(at<uint64_t>(memory, 32), 0u);
  EXPECT_EQ(at<uint64_t>(memory, 376), 0u);
}

// The layout, byte by byte: other programs will rely on it.
TEST(RingBlock, OfItemsLiesAsTheHeaderSays) {
  Shared shared(SpscRing<uint32_t>::bytes_for(8));
  const std::span<std::byte> memory = shared.map();
  EXPECT_EQ(memory.size(), 384u + 8 * 4);
  auto ring = SpscRing<uint32_t>::format(memory, 8);
  ASSERT_TRUE(ring);
  EXPECT_EQ(std::memcmp(memory.data(), "TLRING\r\n", 8), 0);
  EXPECT_EQ(at<uint32_t>(memory, 8), 1u);
  EXPECT_EQ(at<uint32_t>(memory, 12), 1u);
  EXPECT_EQ(at<uint32_t>(memory, 16), 4u);
  EXPECT_EQ(at<uint32_t>(memory, 20), 8u);
  EXPECT_EQ(at<uint64_t>(memory, 24), 384u);
  for (uint32_t i = 1; i <= 5; ++i) ASSERT_TRUE(ring->try_push(100 + i));
  uint32_t out = 0;
  ASSERT_TRUE(ring->try_pop(out));
  ASSERT_TRUE(ring->try_pop(out));
  EXPECT_EQ(at<uint64_t>(memory, 128), 5u);
  EXPECT_EQ(at<uint64_t>(memory, 136), 0u);
  EXPECT_EQ(at<uint64_t>(memory, 256), 2u);
  EXPECT_EQ(at<uint64_t>(memory, 264), 5u);
  EXPECT_EQ(at<uint32_t>(memory, 384 + 4 * 4), 105u);
}

TEST(RingBlock, OfLinesLiesAsTheHeaderSays) {
  Shared shared(LineRing<Stamp>::bytes_for(8));
  const std::span<std::byte> memory = shared.map();
  EXPECT_EQ(memory.size(), 384u + 8 * 64);
  auto ring = LineRing<Stamp>::format(memory, 8);
  ASSERT_TRUE(ring);
  EXPECT_EQ(at<uint32_t>(memory, 12), 2u);
  EXPECT_EQ(at<uint32_t>(memory, 16), 64u);
  for (uint32_t i = 1; i <= 5; ++i) ASSERT_TRUE(ring->try_push({100 + i, 1000}));
  EXPECT_EQ(at<uint64_t>(memory, 128), 5u);
  EXPECT_EQ(at<uint64_t>(memory, 384 + 4 * 64), 5u);
  EXPECT_EQ(at<uint64_t>(memory, 384 + 4 * 64 + 8), 105u);
  EXPECT_EQ(at<uint64_t>(memory, 384 + 4 * 64 + 16), 1000u);
  EXPECT_EQ(at<uint64_t>(memory, 384 + 5 * 64), 0u);
}

// Items that own something are ended with the ring.
TEST(RingBlock, OfItsOwnEndsItsItems) {
  static int alive;
  struct Counted {
    Counted() noexcept { ++alive; }
    Counted(const Counted&) noexcept { ++alive; }
    Counted& operator=(const Counted&) noexcept = default;
    ~Counted() { --alive; }
  };
  alive = 0;
  {
    SpscRing<Counted> ring(4);
    EXPECT_EQ(alive, 4);
    EXPECT_TRUE(ring.try_push(Counted()));
    EXPECT_EQ(alive, 4);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace trunkline::core
