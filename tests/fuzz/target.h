// One fuzz target: a name, and a function that takes any bytes and expects what must hold for all of them. A
// target's file is all that it is; who feeds it is chosen when it is linked:
//
//   NAME_fuzzer        libfuzzer_entry.cc: libFuzzer, AddressSanitizer and UBSan (`tools/dev fuzz`)
//   fuzz_smoke_test    fuzz_smoke_test.cc: all targets in one program. Their corpora, then mutations of them
//   for
//                      a moment; also what the coverage of a corpus is measured with
//
// Expectations are GoogleTest's. Bytes come as an exact copy (exact_copy.h): a read behind them is a fault.
// `Input` splits them into values, and never fails: at its end there are zeros and empty spans.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace trunkline::fuzz {

using Bytes = std::span<const uint8_t>;

struct Target {
  const char* name;
  void (*run)(Bytes input);
};
inline std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}
// TRUNKLINE_FUZZ_TARGET(rtp) { ... input ... }
#define TRUNKLINE_FUZZ_TARGET(name)                                         \
  static void fuzz_##name(::trunkline::fuzz::Bytes input);                  \
  [[maybe_unused]] static const bool added_##name =                         \
      (::trunkline::fuzz::targets().push_back({#name, fuzz_##name}), true); \
  static void fuzz_##name([[maybe_unused]] ::trunkline::fuzz::Bytes input)

class Input {
 public:
  explicit Input(Bytes bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  uint8_t u8() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_[0];
    rest_ = rest_.subspan(1);
    return byte;
  }
  uint16_t u16() {
    const uint32_t high = u8();
    return static_cast<uint16_t>(high << 8 | u8());
  }
  uint32_t u32() {
    const uint32_t high = u16();
    return high << 16 | u16();
  }
  uint64_t u64() {
    const uint64_t high = u32();
    return high << 32 | u32();
  }
  bool flag() { return (u8() & 1) != 0; }
  // Below `bound`, which is at most 256.
  uint32_t below(uint32_t bound) { return u8() % bound; }
  // The next n bytes, or as many as there are.
  Bytes take(size_t n) {
    const Bytes taken = rest_.first(std::min(n, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // As many as the next byte or two say.
  Bytes counted() { return take(u8()); }
  Bytes counted16() { return take(u16()); }
  Bytes rest() { return take(rest_.size()); }

 private:
  Bytes rest_;
};

inline std::vector<uint8_t> copy_of(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace trunkline::fuzz
