// Keys stay where they belong: in pages that no core dump has and no forked child reads, and only as long as
// they are used.
#include "relay/key_memory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "relay/lane_key.h"
#include "relay/sealed_suite.h"
#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using core::CoreId;
using test::Buffer;

struct Mapping {
  uintptr_t begin = 0, end = 0;
  bool undumped = false, wiped_on_fork = false;
};

std::vector<Mapping> mappings() {
  std::vector<Mapping> all;
  std::ifstream smaps("/proc/self/smaps");
  for (std::string line; std::getline(smaps, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) all.push_back({begin, end});
    if (line.rfind("VmFlags:", 0) != 0 || all.empty()) continue;
    std::istringstream flags(line.substr(8));
    for (std::string flag; flags >> flag;) {
      all.back().undumped |= flag == "dd";
      all.back().wiped_on_fork |= flag == "wf";
    }
  }
  return all;
}

// How often these bytes stand in memory that key_memory mapped.
size_t found_in_key_memory(const Buffer& bytes) {
  size_t found = 0;
  for (const Mapping& mapping : mappings()) {
    if (!mapping.undumped || !mapping.wiped_on_fork) continue;
    const auto* at = reinterpret_cast<const uint8_t*>(mapping.begin);
    const auto* const end = reinterpret_cast<const uint8_t*>(mapping.end);
    while ((at = std::search(at, end, bytes.begin(), bytes.end())) != end) ++found, ++at;
  }
  return found;
}

struct Secret {
  uint8_t bytes[10'000];
};

TEST(KeyMemory, IsInNoCoreDumpAndInNoForkedChild) {
  const KeyPtr<Secret> secret = make_keys<Secret>();
  const auto at = reinterpret_cast<uintptr_t>(secret.get());
  const std::vector<Mapping> all = mappings();
  const auto mapping =
      std::find_if(all.begin(), all.end(), [&](const Mapping& m) { return m.begin <= at && at < m.end; });
  ASSERT_NE(mapping, all.end());
  EXPECT_TRUE(mapping->undumped);
  EXPECT_TRUE(mapping->wiped_on_fork);

  std::memset(secret->bytes, 0x77, sizeof secret->bytes);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0)
    _exit(static_cast<int>(std::count(std::begin(secret->bytes), std::end(secret->bytes), 0x77) != 0));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child read the secret";
  EXPECT_EQ(secret->bytes[0], 0x77);
}

TEST(SealedSession, KeysAreInKeyMemoryAndWipedWhenOthersTakeTheirPlace) {
  auto suite = SealedSuite::make(Suite::kChaCha20Poly1305, 1);  // whose expanded key is the key itself
  ASSERT_TRUE(suite) << suite.error().text;
  auto session = (*suite)->make_session();
  SessionKeys keys{Suite::kChaCha20Poly1305, {}, {}};
  keys.send_secret.fill(0xa1);
  keys.receive_secret.fill(0xb2);
  (*suite)->key_session(*session, keys);
  uint8_t bytes[64]{};
  SealJob seal{bytes, sizeof bytes - kTagBytes};
  session->seal({0}, {0}, {&seal, 1});
  OpenJob open{bytes, sizeof bytes, true};
  session->open({0}, {0}, {&open, 1});

  const auto derived = [&](const std::array<uint8_t, 32>& secret) {
    const LaneKey lane = derive_lane_key(secret, Suite::kChaCha20Poly1305, CoreId{0}, CoreId{0});
    return Buffer(lane.key.begin(), lane.key.end());
  };
  const std::vector<Buffer> secrets = {Buffer(32, 0xa1), Buffer(32, 0xb2), derived(keys.send_secret),
                                       derived(keys.receive_secret)};
  for (const Buffer& secret : secrets) EXPECT_EQ(found_in_key_memory(secret), 1u);
  SessionKeys others{Suite::kChaCha20Poly1305, {}, {}};
  others.send_secret.fill(0xc3);
  (*suite)->key_session(*session, others);
  for (const Buffer& secret : secrets) EXPECT_EQ(found_in_key_memory(secret), 0u);
  EXPECT_EQ(found_in_key_memory(Buffer(32, 0xc3)), 1u);
}

}  // namespace
}  // namespace trunkline::relay
