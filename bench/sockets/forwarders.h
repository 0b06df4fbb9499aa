// The peers: what one would write without Trunkline. Each receives on one address and sends everything to one
// or more destinations, until a deadline; CPU time is the thread's own (scheduler statistics), so that a
// forwarder that sleeps is not charged for sleeping.
#pragma once

#include <cstdint>

namespace trunkline::bench {

enum class Forwarder {
  kMmsg,    // recvmmsg / sendmmsg, batch 32, one packet per datagram; blocks for the first of a batch
  kGroGso,  // UDP_GRO in, UDP_SEGMENT out, one run at a time: copies through the kernel and does nothing else
};

enum class Pace {
  kBlock,  // sleeps in the kernel until a datagram is there: one wake-up per packet at a low rate
  kSleep,  // polls; when empty sleeps for sleep_us, so that wake-ups are amortised
};

struct ForwarderOptions {
  Forwarder kind = Forwarder::kMmsg;
  Pace pace = Pace::kBlock;
  uint32_t sleep_us = 250;
  const char* listen_ip = nullptr;
  uint16_t listen_port = 0;
  const char* to_ip = nullptr;
  uint16_t to_port = 0;  // destinations: to_port .. to_port + destinations - 1, chosen by the source port
  uint32_t destinations = 1;
  double seconds = 1;
  bool stamp = false;  // packets carry their send time (big-endian ns at byte 12): record how long they took
};

struct ForwarderResult {
  uint64_t packets = 0;  // sent on
  uint64_t cpu_ns = 0;   // of the forwarding thread
  double seconds = 0;
  double p99_us = 0;  // with `stamp`: from the generator's send to this forwarder's
};

ForwarderResult forward(const ForwarderOptions& options);

// CPU nanoseconds of the calling thread, softirq work in its context included (/proc/thread-self/schedstat).
uint64_t thread_cpu_ns();

}  // namespace trunkline::bench
