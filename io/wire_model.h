// What a bad wire does to one datagram: the model behind the impaired port and the simulator.
//
// One WireModel is one ordered path (from here to there). Each datagram passes these stages in this order:
//
//   cut        everything is lost
//   rate       a line of rate_bps with a queue of queue_bytes in front of it; a full queue drops the newcomer
//   loss       independently with probability `loss`, or by the Gilbert-Elliott chain (below)
//   delay      delay + a uniform share of [0, jitter]. Like a FIFO whose delay varies: never earlier than the
//              datagram before, so jitter alone reorders nothing
//   reorder    with probability `reorder`, reorder_extra later; those behind may overtake
//   duplicate  a second copy at the same instant, behind the first
//   corrupt    one bit, anywhere, is flipped (in the first copy only)
//
// Gilbert-Elliott: in the good state nothing is lost, in the bad state loss_in_bad is. The chain steps once
// per datagram before the loss is drawn; it starts good. Stationary share of bad = g / (g + b) with g =
// p_good_to_bad and b = p_bad_to_good, mean length of a bad period = 1 / b datagrams, loss = loss_in_bad * g
// / (g + b).
//
// Pure: no clock, no memory but its own few words; the same seed and the same calls give the same fates. One
// owner. Cost: at most one random number for each stage that is in use, a comparison for the others.
#pragma once

#include <cstdint>

#include "core/rng.h"
#include "core/time.h"

namespace trunkline::io {

using core::Nanos;

struct Impairment {
  Nanos delay{};   // one way
  Nanos jitter{};  // uniform in [0, jitter], on top of delay
  double loss = 0;
  double p_good_to_bad = 0;
  double p_bad_to_good = 0;
  double loss_in_bad = 0;
  double duplicate = 0;
  double reorder = 0;
  Nanos reorder_extra{};
  double corrupt = 0;
  uint64_t rate_bps = 0;     // 0: unlimited
  uint32_t queue_bytes = 0;  // with rate_bps: what may wait for the line, the datagram in it included
  bool cut = false;
};

class WireModel {
 public:
  struct Fate {
    uint8_t copies = 0;  // 0: lost, 1, or 2
    bool corrupt = false;
    bool queue_full = false;   // with copies 0: lost to a full queue, not by chance
    uint32_t corrupt_bit = 0;  // of the first copy; bit k is bit k % 8 of byte k / 8
    Nanos due[2]{};            // when each copy arrives
  };
  struct Counters {
    uint64_t passed = 0;  // datagrams that arrive at least once
    uint64_t lost = 0;    // by chance, burst or cut
    uint64_t queue_full = 0;
    uint64_t duplicated = 0;
    uint64_t reordered = 0;
    uint64_t corrupted = 0;
  };

  WireModel(const Impairment& impairment, uint64_t seed) noexcept : rng_(seed) { set(impairment); }

  // `now` never decreases from call to call.
  Fate pass(Nanos now, uint32_t bytes) noexcept;

  // From the next datagram on. What is on its way keeps its fate.
  void set(const Impairment& impairment) noexcept;
  const Impairment& impairment() const noexcept { return impairment_; }
  const Counters& counters() const noexcept { return counters_; }

 private:
  bool lose() noexcept;
  Nanos arrival(Nanos departure) noexcept;

  // What a wire that only delays needs comes first: a mesh of simulated nodes has thousands of them.
  Nanos delay_{};       // impairment_.delay
  Nanos last_due_{};    // of the last datagram that was not reordered
  bool plain_ = false;  // impairment_ has a delay, and nothing else
  bool bad_ = false;    // the state of the Gilbert-Elliott chain
  Counters counters_;
  core::Rng rng_;
  Nanos line_free_{};  // when the line has sent all it was given
  Impairment impairment_;
};

}  // namespace trunkline::io
