// HandleTable: which handles a host queue has given out, and what each stands for.
//
//   handle 64   publication 1 | generation 31 | slot + 1, 32
//
// A fixed slab with a free list. The generation of a slot grows with each use, so a handle that was freed
// names nothing ever after (TL_ENOHANDLE), and what still arrives for it (a packet in a ring) is recognised.
// No handle is 0.
//
// Owned by the host thread that has the queue open; it survives closing and opening again, so that handles
// of the queue's former life stay stale. No allocation after construction; O(1).
#pragma once

#include <cstdint>

#include "core/ids.h"
#include "relay/core_link.h"
#include "relay/lazy_array.h"

namespace trunkline::relay {

inline constexpr uint64_t kPublicationBit = uint64_t{1} << 63;

constexpr bool is_publication(uint64_t handle) {
  return (handle & kPublicationBit) != 0;
}
// Of a handle that a HandleTable gave out.
constexpr uint32_t handle_slot(uint64_t handle) {
  return static_cast<uint32_t>(handle) - 1;
}

class HandleTable {
 public:
  struct Entry {
    uint64_t handle;  // 0: free
    uint32_t generation;
    uint32_t next_free;  // + 1
    FlowId flow;         // where packets go, once ready
    CoreId core;
    uint8_t traffic_class;
    bool ready;   // published, or acquired with outcome OK
    bool ending;  // released or unpublished; its last event is on the way
  };

  explicit HandleTable(uint32_t size) : entries_(size) {}

  // nullptr when every slot is in use.
  Entry* try_alloc(bool publication) noexcept {
    uint32_t slot = 0;
    if (free_ != 0) {
      slot = free_ - 1;
      free_ = entries_[slot].next_free;
    } else if (fresh_ < entries_.size()) {
      slot = fresh_++;
    } else {
      return nullptr;
    }
    Entry& entry = entries_[slot];
    entry.generation = (entry.generation + 1) & 0x7fffffff;
    entry.handle = (publication ? kPublicationBit : 0) | uint64_t{entry.generation} << 32 | (slot + 1);
    entry.ready = entry.ending = false;
    ++in_use_;
    return &entry;
  }

  // Any 64 bits may come in; nullptr unless this handle is in use.
  Entry* find(uint64_t handle) noexcept {
    const uint32_t slot = handle_slot(handle);
    if (slot >= entries_.size() || handle == 0) return nullptr;
    return entries_[slot].handle == handle ? &entries_[slot] : nullptr;
  }

  void free(Entry* entry) noexcept {
    const uint32_t slot = handle_slot(entry->handle);
    entry->handle = 0;
    entry->next_free = free_;
    free_ = slot + 1;
    --in_use_;
  }

  // The queue was closed: nothing is in use any more.
  void free_all() noexcept {
    for (uint32_t slot = 0; slot < fresh_; ++slot) {
      if (entries_[slot].handle != 0) free(&entries_[slot]);
    }
  }

  uint32_t in_use() const noexcept { return in_use_; }
  uint32_t size() const noexcept { return static_cast<uint32_t>(entries_.size()); }

 private:
  LazyArray<Entry> entries_;
  uint32_t free_ = 0;   // + 1
  uint32_t fresh_ = 0;  // entries_[fresh_ ..] were never used
  uint32_t in_use_ = 0;
};

}  // namespace trunkline::relay
