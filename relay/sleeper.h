// Sleeper: a thread that may sleep, as seen by those who have work for it.
//
// The sleeper announces itself in the wake word, looks at its rings once more, and sleeps in poll on the
// eventfd. Whoever gives it work publishes first and then calls wake(): an exchange while the sleeper is
// awake, one system call when it is not. The argument is in core/wake_word.h.
#pragma once

#include "core/time.h"
#include "core/wake_word.h"
#include "io/wake_event.h"

namespace trunkline::relay {

struct Sleeper {
  core::WakeWord<> word;
  io::WakeEvent event;

  // Any thread, after it published.
  void wake() noexcept {
    if (word.should_wake()) event.signal();  // R1
  }
  // The sleeper, between announce_sleep() with a second look, and awake(). Ends on wake() or after `bound`.
  void sleep(core::Nanos bound) noexcept;
};

}  // namespace trunkline::relay
