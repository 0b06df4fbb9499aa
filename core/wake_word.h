// WakeWord: lets a thread that found nothing to do sleep, without ever missing work. One word per sleeper;
// any number of producers may wake it. Used only where idle is adaptive, once per burst.
//
// The protocol
//   sleeper    announce_sleep(); look at every ring again; if all are empty, sleep in poll on the eventfd;
//              awake(), also when the second look found something
//   producer   publish to the ring; if (should_wake()) write the sleeper's eventfd
//
// Why it is not enough to store and load. This is store-buffering: each side writes one thing (the ring, the
// word) and then reads the other. With plain acquire and release both may read the old value, for a release
// store may still wait in the store buffer while the load behind it is served: the sleeper sees an empty
// ring, the producer sees "awake", and the item waits for ever. So every access of the word is a
// read-modify-write. These are totally ordered on one word and each reads the one just before it:
//   - the sleeper's announcement comes first: the producer's exchange reads kAsleep, and wakes; or
//   - the producer's exchange comes first: the announcement comes after it in the chain of read-modify-writes
//     and so synchronises with it (R1 -> A1), and the second look at the rings sees the item.
// awake() is an exchange too, and should_wake() must not peek with a load before it exchanges: a plain store
// would cut that chain (an exchange that reads from it synchronises with nobody before it), and a plain load
// would be store-buffering once more. No exchange orders more than it has to, which costs nothing where all
// are alike (x86) and a barrier less where they are not.
//
// Edge
//   R1 -> A1  the producer's publications before should_wake() happen before what the sleeper does after a
//             later announce_sleep()
// The other way, from the sleeper to the producer that wakes it, there is none.
//
// Wait-free. About 2 ns when nobody else touches the word. A wake-up may be spurious (the sleeper may find
// the eventfd set and all rings empty), never lost.
#pragma once

#include <cstdint>

#include "core/atomic.h"
#include "core/cacheline.h"

namespace trunkline::core {

template <class Sync = StdSync>
class alignas(kSharingDistance) WakeWord {
 public:
  // Sleeper: from here on producers will wake us. Look at the rings again before sleeping.
  void announce_sleep() noexcept { word_.exchange_acquire(kAsleep); }  // A1

  // Sleeper: slept, or changed its mind. Spares producers the wake-up.
  void awake() noexcept { word_.exchange_relaxed(kAwake); }  // a link of the chain

  // Producer, after publishing: true when the sleeper may be asleep and it falls to this caller to write its
  // eventfd. Exactly one producer is told so per announcement.
  bool should_wake() noexcept { return word_.exchange_release(kAwake) == kAsleep; }  // R1

 private:
  static constexpr uint32_t kAwake = 0;
  static constexpr uint32_t kAsleep = 1;
  typename Sync::template Atomic<uint32_t> word_{kAwake};
};

}  // namespace trunkline::core
