// See wake_event.h.
#include "io/wake_event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "core/check.h"

namespace trunkline::io {

WakeEvent::WakeEvent() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  // Fails only when the process is out of descriptors before its first endpoint: there is nothing to run.
  TL_CHECK(fd_);
}

void WakeEvent::signal() noexcept {
  const uint64_t one = 1;
  // EAGAIN (2^64 - 2 signals pending) still leaves the event readable, which is all that is wanted.
  [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof one);
}

bool WakeEvent::sleep(core::Nanos bound) noexcept {
  if (bound.ns <= 0) return drain();
  pollfd ready{fd_.get(), POLLIN, 0};
  constexpr int64_t kSecond = 1'000'000'000;
  // An hour instead of for ever: timespec has its limits, and a spurious wake-up an hour costs nothing.
  const int64_t ns = std::min(bound.ns, 3'600 * kSecond);
  const timespec limit{ns / kSecond, ns % kSecond};
  return ppoll(&ready, 1, &limit, nullptr) > 0 && drain();
}

bool WakeEvent::drain() noexcept {
  uint64_t count = 0;
  return ::read(fd_.get(), &count, sizeof count) == static_cast<ssize_t>(sizeof count);
}

void sharpen_thread_timers() noexcept {
  constexpr unsigned long kSlackNs = 1'000;
  prctl(PR_SET_TIMERSLACK, kSlackNs, 0UL, 0UL, 0UL);
}

}  // namespace trunkline::io
