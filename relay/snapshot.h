// Snapshot<T>: the latest value of something that one thread writes now and then and others look at, whole.
//
// The idea is a sequence lock on atomic words: the writer makes the sequence odd, writes the words, makes it
// even; a reader that saw the same even sequence before and after has one consistent value. The words are
// atomics, so a reader that loses reads an old or mixed value and looks again; nobody reads torn bytes.
//
// Threads: one writer, any number of readers. The writer is wait-free. A reader tries kTries times and then
// says false: it is for statistics, and a writer that is always writing is not expected. No allocation.
//
// Edges
//   R1 -> A1  a reader that saw a word of the new value sees the odd sequence written before it
//   R2 -> A2  a reader that saw the even sequence sees all words written before it
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/atomic.h"

namespace trunkline::relay {

template <class T, class Sync = core::StdSync>
class Snapshot {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr uint32_t kTries = 64;

  void write(const T& value) noexcept {
    uint64_t words[kWords]{};
    std::memcpy(words, &value, sizeof value);
    const uint64_t sequence = sequence_.load_relaxed();
    sequence_.store_relaxed(sequence + 1);
    for (uint32_t i = 0; i < kWords; ++i) words_[i].store_release(words[i]);  // R1
    sequence_.store_release(sequence + 2);                                    // R2
  }

  bool read(T& value) const noexcept {
    uint64_t words[kWords];
    for (uint32_t attempt = 0; attempt < kTries; ++attempt) {
      const uint64_t before = sequence_.load_acquire();  // A2
      if (before & 1) continue;
      for (uint32_t i = 0; i < kWords; ++i) words[i] = words_[i].load_acquire();  // A1
      if (sequence_.load_relaxed() != before) continue;
      std::memcpy(static_cast<void*>(&value), words, sizeof value);
      return true;
    }
    return false;
  }

 private:
  static constexpr uint32_t kWords = (sizeof(T) + 7) / 8;
  typename Sync::template Atomic<uint64_t> sequence_{0};
  typename Sync::template Atomic<uint64_t> words_[kWords];
};

}  // namespace trunkline::relay
