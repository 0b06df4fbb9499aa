// PacketReturn: how buffers that one data core has lent to another come home. One per pair of cores and
// direction: the lender owns the pool, the borrower may read and write the bytes and nothing else.
//
// The idea: reference counts are plain and stay at home, so the borrower never touches one. What it is done
// with goes back through an SpscRing, in bursts, and the lender releases it. The ring cannot be full: no more
// references are out at a time than it has slots. The lender counts them, on its side alone, and lends no
// further: that is a drop for it to count, of packets for a core that does not keep up. So a return never
// fails, nothing has to be kept elsewhere meanwhile, and a core that stands still holds at most `limit`
// buffers of each other's pool: the sum of the limits belongs in the pool's size.
//
//   lender     n = lend_burst(buffers); hand the first n over (an SpscRing of Packet); release the others
//              collect(), when there is no credit, or nothing better to do
//   borrower   take from that ring; use the bytes; give_back() once per packet taken; flush(), once a round
//
// A packet taken is one reference. Who needs more packets on the same bytes over there retains once for each
// before lending.
//
// Threads: every function names its side; a side is one thread at a time. Wait-free: no loop but over a
// burst. Cost: on each side about the copy of a pointer per buffer, and one shared line per burst. Memory:
// one pointer per slot, in the constructor.
//
// Invariants
//   I1  lent() <= limit = slots of the ring
//   I2  what lies in the ring, or in slots claimed for it, is lent; so there is a free slot for each
//       reference that is out
//   I3  of each buffer no more references come back than were lent (Buffer::lent): what is given back twice
//       ends the process, at the latest when the one comes that was taken for it
// Edges
//   R1 -> A1, R2 -> A2  the ring's: the borrower's use of the bytes happens before they are given out again
//   H1 -> H2  the hand-over, the caller's: from lend_burst() to the borrower's first use. Through it the
//             borrower also knows of every slot that the lender had emptied before (R2), as I2 needs
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "core/atomic.h"
#include "core/cacheline.h"
#include "core/check.h"
#include "core/counters.h"
#include "core/packet.h"
#include "core/packet_pool.h"
#include "core/spsc_ring.h"

namespace trunkline::core {

template <class Sync = StdSync>
class PacketReturn {
 public:
  static constexpr uint32_t kBurst = 32;  // that of the packet path

  // `limit`: a power of two; how many references may be out at a time. The pool outlives this.
  PacketReturn(PacketPool& pool, uint32_t limit) : pool_(pool), ring_(limit) {}
  PacketReturn(const PacketReturn&) = delete;
  PacketReturn& operator=(const PacketReturn&) = delete;

  // ---- lender

  // One reference on each of the first so many buffers is the borrower's from here on: as many as may be
  // lent, which is what it returns. The others are still the caller's, and counted. Contract: the caller
  // holds these references, and they are of this pool.
  uint32_t lend_burst(std::span<Buffer* const> buffers) noexcept {
    const auto wanted = static_cast<uint32_t>(std::min<size_t>(buffers.size(), UINT32_MAX));
    const uint32_t count = std::min(wanted, credit());
    for (Buffer* buffer : buffers.first(count)) {
      TL_DCHECK(buffer->pool == &pool_ && buffer->lent < buffer->refs);
      ++buffer->lent;
    }
    lent_ += count;
    refused_.add(wanted - count);
    return count;
  }
  bool try_lend(Buffer* buffer) noexcept { return lend_burst({&buffer, 1}) == 1; }

  // So many may be lent now.
  uint32_t credit() const noexcept { return ring_.capacity() - lent_; }

  // Releases what has come home, up to a burst of it and to the end of the ring's array; returns how many, 0
  // when nothing is there.
  uint32_t collect() noexcept {
    const std::span<Slot> home = ring_.peek(kBurst);
    std::array<Buffer*, kBurst> buffers;
    const auto count = static_cast<uint32_t>(home.size());
    for (uint32_t i = 0; i < count; ++i) {
      buffers[i] = home[i].read();
      TL_CHECK(buffers[i]->lent > 0);
      --buffers[i]->lent;
    }
    if (count == 0) return 0;
    ring_.release(count);
    lent_ -= count;
    pool_.release_burst(std::span(buffers).first(count));
    return count;
  }

  // Who has what is lent. When the borrower has ended, after its last flush(), exact; before, `returning` is
  // a lower bound. After collect() has returned 0, `held` is what the borrower has not given back: a leak, if
  // it has ended.
  struct Loans {
    uint32_t held = 0;       // with the borrower, given back but not flushed included
    uint32_t returning = 0;  // in the ring
    bool operator==(const Loans&) const = default;
  };
  Loans loans() const noexcept {
    const uint32_t returning = ring_.size_approx();
    return {lent_ - returning, returning};
  }
  uint32_t lent() const noexcept { return lent_; }

  // ---- borrower

  // A reference goes home, with the next flush() or when a burst of them has gathered. The bytes are no
  // longer the borrower's. Contract: it was lent, and is given back once.
  void give_back(Buffer* buffer) noexcept {
    if (filled_ == slots_.size()) claim();
    slots_[filled_++].write() = buffer;
  }

  // The lender may see all that was given back.
  void flush() noexcept {
    if (filled_ == 0) return;
    ring_.commit(filled_);
    slots_ = {};
    filled_ = 0;
  }

  // ---- any thread

  uint32_t limit() const noexcept { return ring_.capacity(); }
  uint64_t refused() const noexcept { return refused_.value(); }  // references that could not be lent

 private:
  using Slot = typename Sync::template Var<Buffer*>;

  // Borrower: the next slots to write to. There is one (I2), or more was given back than lent.
  void claim() noexcept {
    flush();
    slots_ = ring_.claim(kBurst);
    TL_CHECK(!slots_.empty());
  }

  // Lender.
  PacketPool& pool_;
  uint32_t lent_ = 0;
  Counter refused_;
  // Read by both.
  alignas(kSharingDistance) SpscRing<Slot, Sync> ring_;
  // Borrower: slots of the ring, of which the first `filled_` are written and not yet committed.
  alignas(kSharingDistance) std::span<Slot> slots_;
  uint32_t filled_ = 0;
};

static_assert(sizeof(PacketReturn<>) == 3 * kSharingDistance, "lender, the ring's handle, borrower");

}  // namespace trunkline::core
