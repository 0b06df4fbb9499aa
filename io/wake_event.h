// The one way in which another thread ends a port's sleep: an eventfd. signal() from any thread; everything
// else from the port's owner. A signal that nobody waits for is kept and ends the next wait, so none is lost.
// Cost: one system call per signal, which is why a loop that is awake is not signalled (see the wake word of
// the rings).
#pragma once

#include "core/time.h"
#include "io/udp_socket.h"

namespace trunkline::io {

class WakeEvent {
 public:
  WakeEvent();
  int fd() const noexcept { return fd_.get(); }
  void signal() noexcept;
  // Sleeps until a signal, `bound` (or an hour) at most; then forgets the signals so far. True: there was
  // one.
  bool sleep(core::Nanos bound) noexcept;
  // Forgets the signals so far; true if there was one.
  bool drain() noexcept;

 private:
  FileDescriptor fd_;
};

// Lets the calling thread's sleeps end within 1 us of their bound instead of the default 50 us. Once per
// thread that sleeps; errors are ignored (sleeps are then merely coarser).
void sharpen_thread_timers() noexcept;

}  // namespace trunkline::io
