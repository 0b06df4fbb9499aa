// Stranger: somebody on the wire who has no key. It sees datagrams pass, and sends nodes others that it made
// of them: damaged, cut, under other indexes and counters, put together from two, sent back, or mere noise.
//
// None is authentic, so none may have an effect (S7): the run must be the same, to the last event, when they
// say nothing (mute). What may show is that a handshake wakes the mesh thread: its timer wheel moves on, and
// has another moment at which to look again for timers that are far off. So the stranger draws from a stream
// of its own, its datagrams are no events of the queue, and they come only to nodes that have nothing else to
// do at that instant, and are on time: a node that is late would be woken by them, as by anything that
// arrives. Authentic datagrams that come twice or late are the fault `replay`; a path that damages what it
// carries is `corrupt`.
//
// One thread. Two draws per datagram that passes.
#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <vector>

#include "core/rng.h"
#include "core/udp_address.h"
#include "tools/sim/marks.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

class Stranger {
 public:
  struct Forgery {
    Nanos due{};
    uint64_t number = 0;  // in the order in which they were made
    NodeIndex to = 0;
    core::UdpAddress from{};
    std::vector<uint8_t> bytes{};
    Mark mark{};  // which trick it is

    // A handshake's bytes become zeros, but for version and type; all else is not sent.
    void mute();
  };

  // It does nothing unless it is shown something.
  explicit Stranger(const Options& options);

  // A datagram was sent and will arrive at `due`.
  void sees(NodeIndex from, NodeIndex to, std::span<const uint8_t> datagram, Nanos due);
  Nanos next_due() const { return pending_.empty() ? core::kNever : pending_.top().due; }
  // Contract: next_due() is not kNever.
  Forgery take();

 private:
  struct Later {
    bool operator()(const Forgery& a, const Forgery& b) const {
      return a.due != b.due ? a.due > b.due : a.number > b.number;
    }
  };

  bool forge(Forgery& forgery, NodeIndex from, std::span<const uint8_t> seen);
  void forge_handshake(Forgery& forgery);
  void forge_data(Forgery& forgery);
  void flip(std::vector<uint8_t>& bytes, size_t begin, size_t end);

  size_t nodes_;
  core::Rng rng_;
  std::vector<uint8_t> before_;  // what was seen before, a data datagram
  uint64_t made_ = 0;
  std::priority_queue<Forgery, std::vector<Forgery>, Later> pending_;
};

}  // namespace trunkline::sim
