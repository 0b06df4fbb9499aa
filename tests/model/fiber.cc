// See fiber.h. A switch saves what a called function must preserve and changes the stack pointer: six
// nanoseconds. Where this file knows no such code it uses swapcontext, which makes a system call each time.
#include "tests/model/fiber.h"

#include <array>
#include <cstdint>
#include <cstdlib>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace trunkline::model {

namespace {

constexpr size_t kStackBytes = 64 * 1024;
Fiber* entering = nullptr;  // whose body enter() begins

}  // namespace

#if defined(__x86_64__)

// Saves the registers that a callee must preserve (System V ABI, x86-64) on the running stack, and goes on
// where another one was left.
asm(R"(
.text
.p2align 4
.globl trunkline_model_switch
.type trunkline_model_switch, @function
trunkline_model_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size trunkline_model_switch, .-trunkline_model_switch
)");
extern "C" void trunkline_model_switch(void** left, void* entered);

struct Fiber::Stacks {
  void* own = nullptr;     // where the fiber goes on
  void* caller = nullptr;  // where whoever resumed it goes on
  std::array<std::byte, kStackBytes> memory;

  void prepare(void (*function)()) {
    constexpr size_t kRegisters = 6;
    // At the entry of a function the stack is 8 short of a multiple of 16.
    auto* top = reinterpret_cast<uint64_t*>(
        (reinterpret_cast<uintptr_t>(memory.data() + kStackBytes) & ~uintptr_t{15}));
    *--top = 0;
    *--top = reinterpret_cast<uint64_t>(function);
    for (size_t i = 0; i < kRegisters; ++i) *--top = 0;
    own = top;
  }
  void enter() { trunkline_model_switch(&caller, own); }
  void leave() { trunkline_model_switch(&own, caller); }
};

#else

struct Fiber::Stacks {
  ucontext_t own, caller;
  std::array<std::byte, kStackBytes> memory;

  void prepare(void (*function)()) {
    getcontext(&own);
    own.uc_stack.ss_sp = memory.data();
    own.uc_stack.ss_size = kStackBytes;
    own.uc_link = nullptr;
    makecontext(&own, function, 0);
  }
  void enter() { swapcontext(&caller, &own); }
  void leave() { swapcontext(&own, &caller); }
};

#endif

Fiber::Fiber() : stacks_(std::make_unique<Stacks>()) {}
Fiber::~Fiber() = default;

void Fiber::begin(const std::function<void()>& body) {
  body_ = &body;
  finished_ = false;
  stacks_->prepare(&Fiber::enter);
}

void Fiber::resume() {
  entering = this;
  stacks_->enter();
}

void Fiber::pause() {
  stacks_->leave();
}

void Fiber::enter() {
  Fiber* const self = entering;
  (*self->body_)();
  self->finished_ = true;
  self->pause();
  std::abort();  // a finished fiber was resumed
}

}  // namespace trunkline::model
