// io_uring as the port and the probes use it: the one file that includes liburing.h (2.3 or later).
//
// Two things are wrapped: a ring that falls back feature by feature to what the kernel grants, and the ring
// of provided buffers, for which liburing 2.3 leaves the memory to the caller.
//
// Owner: whoever enables the ring; a ring is made disabled, so that endpoints can be opened on the thread
// that starts the node, and belongs to the data core's thread from enable() on (IORING_SETUP_SINGLE_ISSUER).
#pragma once

#include <liburing.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "core/result.h"

namespace trunkline::io {

// What to tell the operator when io_uring_setup fails with `error` (positive).
inline std::string explain_uring_error(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return "blocked (EPERM): kernel.io_uring_disabled or this container's seccomp profile forbids it";
    case ENOSYS:
      return "absent (ENOSYS): this kernel or container does not offer io_uring";
    case ENOMEM:
      return "no locked memory left (ENOMEM): raise the limit with ulimit -l";
    default:
      return std::string("refused: ") + std::strerror(error);
  }
}

// What a completion is about: the kind in the upper half of user_data, an endpoint or slot in the lower.
enum class UringWork : uint32_t { kReceive = 1, kSend = 2, kCancel = 3 };
constexpr uint64_t uring_tag(UringWork work, uint32_t index) {
  return (static_cast<uint64_t>(work) << 32) | index;
}

class Uring {
 public:
  // Disabled until enable(). The kernel's best mode is tried first.
  static core::Result<std::unique_ptr<Uring>> make(uint32_t submissions, uint32_t completions) {
    // Completions are posted when the owner asks (DEFER_TASKRUN, Linux 6.1), or else without an interrupt
    // (COOP_TASKRUN, 5.19); TASKRUN_FLAG shows in shared memory whether asking is worth a system call.
    static constexpr Mode kModes[] = {
        {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
         "DEFER_TASKRUN"},
        {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "COOP_TASKRUN"},
        {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "COOP_TASKRUN, many issuers"},
        {0, "plain"},
    };
    auto uring = std::unique_ptr<Uring>(new Uring);
    int error = 0;
    for (const Mode& mode : kModes) {
      io_uring_params params{};
      params.flags = mode.flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
      params.cq_entries = completions;
      error = -io_uring_queue_init_params(submissions, &uring->ring_, &params);
      if (error == 0) {
        uring->mode_ = &mode;
        return uring;
      }
      if (error != EINVAL) break;  // EINVAL: a flag that this kernel does not know
    }
    return core::Error{0, "io_uring: " + explain_uring_error(error)};
  }
  ~Uring() {
    if (mode_ != nullptr) io_uring_queue_exit(&ring_);
  }
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  io_uring* get() noexcept { return &ring_; }
  const char* mode() const noexcept { return mode_->name; }
  bool defers_taskrun() const noexcept { return (mode_->flags & IORING_SETUP_DEFER_TASKRUN) != 0; }

  // From the thread that will own the ring. False: the kernel refused (it never does for a ring just made).
  bool enable() noexcept {
    // By the bare call: liburing 2.3 declares io_uring_enable_rings() but does not export it.
    if (syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) != 0)
      return false;
    io_uring_register_ring_fd(&ring_);  // saves a descriptor look-up per call where the kernel can
    return true;
  }

  // True when there is something to submit or to collect inside the kernel. Reads shared memory only, so an
  // idle loop makes no system call.
  bool wants_enter() noexcept {
    return io_uring_sq_ready(&ring_) != 0 ||
           (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }
  // Submits and collects, in one system call. Negative errno on failure.
  int enter() noexcept { return io_uring_submit_and_get_events(&ring_); }

 private:
  struct Mode {
    uint32_t flags;
    const char* name;
  };
  Uring() = default;
  io_uring ring_{};
  const Mode* mode_ = nullptr;
};

// Buffers that the kernel picks from, oldest first. 16 bytes each, in pages of their own. Outlives the ring:
// the kernel reads these pages until the ring is closed.
class ProvidedBuffers {
 public:
  static constexpr uint16_t kGroup = 0;

  // `entries`: a power of two, at most 32 768. Before or after the ring is enabled.
  static core::Result<std::unique_ptr<ProvidedBuffers>> make(Uring& uring, uint32_t entries) {
    auto buffers = std::unique_ptr<ProvidedBuffers>(new ProvidedBuffers(entries));
    void* memory =
        mmap(nullptr, buffers->bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return core::Error{0, "io_uring: no memory for the buffer ring"};
    buffers->ring_ = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(memory);
    registration.ring_entries = entries;
    registration.bgid = kGroup;
    if (const int error = -io_uring_register_buf_ring(uring.get(), &registration, 0); error != 0)
      return core::Error{
          0, "io_uring: no provided buffer rings (Linux 5.19): " + std::string(std::strerror(error))};
    io_uring_buf_ring_init(buffers->ring_);
    return buffers;
  }
  ~ProvidedBuffers() {
    if (ring_ != nullptr) munmap(ring_, bytes());
  }
  ProvidedBuffers(const ProvidedBuffers&) = delete;
  ProvidedBuffers& operator=(const ProvidedBuffers&) = delete;

  // Contract: no more than `entries` are with the kernel at once. Visible to it from publish() on.
  void add(void* data, uint32_t length, uint16_t id) noexcept {
    io_uring_buf_ring_add(ring_, data, length, id, io_uring_buf_ring_mask(entries_), added_++);
  }
  void publish() noexcept {
    if (added_ == 0) return;
    io_uring_buf_ring_advance(ring_, added_);
    added_ = 0;
  }

 private:
  explicit ProvidedBuffers(uint32_t entries) : entries_(entries) {}
  size_t bytes() const { return entries_ * sizeof(io_uring_buf); }

  io_uring_buf_ring* ring_ = nullptr;
  uint32_t entries_;
  int added_ = 0;
};

}  // namespace trunkline::io
