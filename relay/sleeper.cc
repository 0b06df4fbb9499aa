// See sleeper.h.
#include "relay/sleeper.h"

namespace trunkline::relay {

void Sleeper::sleep(core::Nanos bound) noexcept {
  if (bound.ns <= 0) return;
  event.sleep(bound);
}

}  // namespace trunkline::relay
