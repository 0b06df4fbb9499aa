// Fiber: a function on a stack of its own, run piece by piece by one thread. The explorer runs the threads of
// a program as fibers, so that it alone decides who goes on.
//
// A fiber that is not needed any more is simply not resumed: its stack is used again, and nothing on it is
// destroyed. So what runs on one must not own anything.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace trunkline::model {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Forgets what it was doing; the next resume() begins `body`, which outlives it.
  void begin(const std::function<void()>& body);
  // Runs it until it pauses or its body returns. Not from within a fiber.
  void resume();
  // From within: back to whoever resumed it.
  void pause();
  bool finished() const noexcept { return finished_; }

 private:
  struct Stacks;
  static void enter();

  std::unique_ptr<Stacks> stacks_;
  const std::function<void()>* body_ = nullptr;
  bool finished_ = true;
};

}  // namespace trunkline::model
