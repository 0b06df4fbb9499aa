// What stands behind the opaque handles of trunkline.h, for relay/abi.cc and relay/abi_queue.cc only.
#pragma once

#include <cstdarg>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "relay/include/trunkline/trunkline.h"
#include "relay/node_runtime.h"

// One host queue as its thread sees it. Made with the node and re-used, so a queue that was closed is still
// an object and a late call is an error, not a crash.
struct tl_queue {
  tl_node* node = nullptr;
  trunkline::relay::NodeRuntime* runtime = nullptr;
  trunkline::relay::HostChannel* channel = nullptr;
  std::vector<trunkline::relay::HostQueue*> rings;  // by data core
  bool open = false;

  // tl_rx_burst: how many slots of each core's ring are in the host's hands, and which core is first next
  // time.
  std::vector<uint32_t> rx_taken;
  uint32_t rx_total = 0;
  uint32_t rx_first = 0;
  // tl_tx_claim: the slots that are claimed, and for what.
  std::span<trunkline::relay::HostPacket> claimed;
  uint64_t claim_handle = 0;
};

struct tl_node {
  std::unique_ptr<trunkline::relay::NodeRuntime> runtime;
  std::vector<std::unique_ptr<tl_queue>> queues;
};

namespace trunkline::relay {

// Keeps the text for tl_last_error() of this thread; returns `code`.
[[gnu::format(printf, 2, 3)]] int abi_error(int code, const char* format, ...);

// Copies what the caller's version of an options struct has; the rest keeps its default, zero. False when the
// caller knows members that this library does not, and uses them.
template <class T>
bool read_options(const T* from, T& to) {
  const size_t theirs = from->size;
  if (theirs < sizeof(uint32_t)) return false;
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (size_t i = sizeof(T); i < theirs; ++i) {
    if (bytes[i] != 0) return false;
  }
  std::memcpy(static_cast<void*>(&to), bytes, theirs < sizeof(T) ? theirs : sizeof(T));
  return true;
}

// Copies a text with its zero when it fits; returns its length either way.
int64_t copy_out(const std::string& from, char* to, size_t bytes);

}  // namespace trunkline::relay
