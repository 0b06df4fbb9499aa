// See sleeper.h.
#include "relay/sleeper.h"

#include <poll.h>

namespace trunkline::relay {

void Sleeper::sleep(core::Nanos bound) noexcept {
  if (bound.ns <= 0) return;
  pollfd watched{event.fd(), POLLIN, 0};
  constexpr int64_t kSecond = 1'000'000'000;
  // An hour instead of for ever: timespec has its limits, and a spurious wake-up an hour costs nothing.
  const int64_t ns = bound.ns < 3'600 * kSecond ? bound.ns : 3'600 * kSecond;
  const timespec timeout{ns / kSecond, ns % kSecond};
  ppoll(&watched, 1, &timeout, nullptr);
  event.drain();
}

}  // namespace trunkline::relay
