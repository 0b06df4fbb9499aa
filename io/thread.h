// Thread: one of our own threads. Named, deaf to signals (those are the host's), joined by its owner.
//
// A thin wrapper over pthreads, because std::thread reports a failure by an exception and the library has
// none.
#pragma once

#include <pthread.h>

#include "core/result.h"
#include "core/time.h"

namespace trunkline::io {

// CLOCK_MONOTONIC. For the loops that drive everything else; whatever they drive is told the time.
core::Nanos monotonic_now() noexcept;

class Thread {
 public:
  Thread() = default;
  ~Thread() { join(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  // Runs body(argument) on a new thread; `argument` must outlive it. `name`: at most 15 bytes, shown by ps
  // and top. `cpu` < 0: wherever the scheduler likes. Errors: the system's words and what to change.
  core::Result<void> start(const char* name, int cpu, void (*body)(void*), void* argument);
  // Waits for its end. Does nothing when it never started.
  void join() noexcept;
  // The same for a body that calls what may wait for good: after `patience` it is cancelled (pthread_cancel),
  // at the next call that may wait and where it has not disabled that.
  void join_or_cancel(core::Nanos patience) noexcept;

 private:
  static void* enter(void* self);

  pthread_t thread_{};
  bool started_ = false;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace trunkline::io
