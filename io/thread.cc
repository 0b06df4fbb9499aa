// See thread.h.
#include "io/thread.h"

#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

namespace trunkline::io {

core::Nanos monotonic_now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return {int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec};
}

core::Result<void> Thread::start(const char* name, int cpu, void (*body)(void*), void* argument) {
  body_ = body;
  argument_ = argument;
  // A thread inherits the mask of its maker, so there is no moment at which it could be interrupted.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&thread_, nullptr, &Thread::enter, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    return core::Error{0, std::string("cannot start thread ") + name + ": " + std::strerror(error) +
                              "; raise the limit of processes (ulimit -u)"};
  }
  started_ = true;
  pthread_setname_np(thread_, name);
  if (cpu < 0) return {};
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(cpu), &cpus);
  if (const int refused = pthread_setaffinity_np(thread_, sizeof cpus, &cpus); refused != 0) {
    return core::Error{0, std::string("cannot pin thread ") + name + " to CPU " + std::to_string(cpu) + ": " +
                              std::strerror(refused) + "; node.pin may name only CPUs that " +
                              "this process may use (taskset -p shows them)"};
  }
  return {};
}

void Thread::join() noexcept {
  if (!started_) return;
  pthread_join(thread_, nullptr);
  started_ = false;
}

void Thread::join_or_cancel(core::Nanos patience) noexcept {
  if (!started_) return;
  const core::Nanos end = monotonic_now() + patience;
  const timespec limit{end.ns / 1'000'000'000, end.ns % 1'000'000'000};
  if (pthread_clockjoin_np(thread_, nullptr, CLOCK_MONOTONIC, &limit) != 0) {
    pthread_cancel(thread_);
    pthread_join(thread_, nullptr);
  }
  started_ = false;
}

void* Thread::enter(void* self) {
  auto* thread = static_cast<Thread*>(self);
  thread->body_(thread->argument_);
  return nullptr;
}

}  // namespace trunkline::io
