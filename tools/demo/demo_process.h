// One node of the demo, as a process: started by fork before the parent has threads, told what to do over a
// socket pair, reports over the same. Inside it is a host like any other: the C ABI, one queue, one thread of
// its own.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/demo/demo_plan.h"

namespace trunkline::tools::demo {

enum class Order : uint32_t {
  kPublishAll,  // the tracks of act one that live here
  kAcquireAll,  // those that live elsewhere
  kSend,        // media of the published tracks starts
  kStopSending,
  kCounts,    // answer with kCounts
  kSummary,   // answer with kSummary: counts, and the latency histogram
  kHint,      // track text is at node
  kAcquire,   // one track, by name, with deadline_ms
  kLinks,     // answer with kLinks: stats JSON's links, as text
  kRequests,  // answer with kRequests: how many ACQUIREs of peers were received
  kQuit,
};

struct OrderMessage {
  Order order{};
  uint32_t tracks = 0;
  uint64_t node = 0;
  uint32_t deadline_ms = 0;
  std::array<char, 64> track{};
};

enum class News : uint32_t { kReady, kFailed, kDone, kCounts, kSummary, kOutcome, kLinks, kRequests };

struct Counts {
  uint64_t sent = 0;      // packets this node's clients published
  uint64_t expected = 0;  // of them, copies owed to other nodes
  uint64_t received = 0;  // packets delivered to this node's clients
  uint64_t repeated = 0;
  uint64_t damaged = 0;
  uint64_t datagrams = 0;   // mesh datagrams sent
  uint64_t media_sent = 0;  // media packets put into them
  uint64_t acquired = 0;    // acquires that ended OK
};

struct Bucket {
  int64_t value;
  uint64_t count;
};
inline constexpr std::size_t kBucketsMax = 3'000;

struct NewsMessage {
  News news{};
  Counts counts{};
  uint32_t outcome = 0;
  uint64_t elapsed_us = 0;
  uint32_t attempts = 0;
  uint64_t node = 0;
  uint64_t number = 0;
  std::array<char, 1024> text{};
  uint32_t buckets = 0;
  std::array<Bucket, kBucketsMax> histogram;
};

class Process {
 public:
  Process() = default;
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  // Forks; the child opens a node from `config` and serves orders until kQuit or until the parent is gone.
  static Process start(const Place& place, const std::string& config);

  void send(const OrderMessage& order) const;
  // Waits at most timeout_ms for the next message; false on time-out or when the child is gone.
  bool receive(NewsMessage& news, int timeout_ms) const;
  // Sends and waits for the answer of that kind, dropping others.
  bool ask(const OrderMessage& order, News kind, NewsMessage& answer, int timeout_ms) const;

  void pause() const;   // SIGSTOP
  void resume() const;  // SIGCONT
  void stop();          // kQuit, then SIGKILL after 3 s
  const Place& place() const { return place_; }
  pid_t pid() const { return pid_; }

 private:
  Place place_{"", 0};
  pid_t pid_ = -1;
  int fd_ = -1;
};

// The child's life; returns its exit code.
int run_demo_node(const Place& place, const std::string& config, int fd);

}  // namespace trunkline::tools::demo
