// Keying, sealing and opening allocate nothing: every malloc of this process is counted, the ciphers' library
// included. An executable of its own, because it replaces malloc.
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "relay/sealed_suite.h"

namespace {

uint64_t g_allocations = 0;
bool g_counting = false;

void count() {
  if (g_counting) ++g_allocations;
}

}  // namespace

// glibc's own, under the names that it keeps for this.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

[[gnu::visibility("default")]] void* malloc(size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
[[gnu::visibility("default")]] void* calloc(size_t items, size_t bytes) {
  count();
  return __libc_calloc(items, bytes);
}
[[gnu::visibility("default")]] void* realloc(void* p, size_t bytes) {
  count();
  return __libc_realloc(p, bytes);
}
[[gnu::visibility("default")]] void* memalign(size_t alignment, size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
[[gnu::visibility("default")]] void* aligned_alloc(size_t alignment, size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
[[gnu::visibility("default")]] int posix_memalign(void** out, size_t alignment, size_t bytes) {
  count();
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}
}

namespace trunkline::relay {
namespace {

TEST(SealedSuiteAllocation, TheCounterSeesAllocationsOfThisProgramAndOfTheLibrary) {
  g_allocations = 0;
  g_counting = true;
  std::vector<int> v(100);
  g_counting = false;
  EXPECT_EQ(v.size(), 100u);
  EXPECT_EQ(g_allocations, 1u);
  g_allocations = 0;
  g_counting = true;
  const auto made = Aead::make(Suite::kChaCha20Poly1305, 1);  // the library allocates a manager
  g_counting = false;
  ASSERT_TRUE(made);
  EXPECT_GE(g_allocations, 2u);
}

TEST(SealedSuiteAllocation, KeyingSealingAndOpeningAllocateNothing) {
  for (const Suite kind : {Suite::kAes128Gcm, Suite::kAes256Gcm, Suite::kChaCha20Poly1305}) {
    auto suite = SealedSuite::make(kind, core::kMaxCores);
    ASSERT_TRUE(suite) << suite.error().text;
    auto a = (*suite)->make_session(), b = (*suite)->make_session();
    std::vector<uint8_t> memory(32 * 1600);
    std::vector<SealJob> seals(32);
    std::vector<OpenJob> opens(32);
    uint64_t counter = 0, authentic = 0;
    g_allocations = 0;
    g_counting = true;
    for (uint32_t session = 0; session < 100; ++session) {
      SessionKeys keys{kind, {}, {}};
      keys.send_secret.fill(static_cast<uint8_t>(session));
      (*suite)->key_session(*a, keys);
      (*suite)->key_session(*b, {kind, keys.receive_secret, keys.send_secret});
      for (uint8_t lane = 0; lane < core::kMaxCores; ++lane) {
        for (uint32_t i = 0; i < 32; ++i) {
          uint8_t* const data = memory.data() + i * 1600;
          encode_header(data, {.lane = lane, .counter = counter++});
          seals[i] = {data, kHeaderBytes + i * 40};
          opens[i] = {data, seals[i].length + kTagBytes, false};
        }
        a->seal({lane}, {0}, seals);
        b->open({lane}, {0}, opens);
        for (const OpenJob& job : opens) authentic += job.authentic ? 1 : 0;
      }
    }
    g_counting = false;
    EXPECT_EQ(g_allocations, 0u);
    EXPECT_EQ(authentic, counter);
  }
}

}  // namespace
}  // namespace trunkline::relay
