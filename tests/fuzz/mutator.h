// A small seeded byte mutator for the deterministic fuzz tests. It knows what breaks parsers rather than what
// any one format means: single bits, values at the edges of their range, length fields that are off by one or
// enormous, cuts, growth, blocks that repeat, vanish or come from another input. The same seed and the same
// calls give the same bytes on every machine, so a failure is named by its seed. One thread. Cost: one vector
// per input.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/rng.h"

namespace trunkline::fuzz {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : rng_(seed) {}

  // `seed_input` after one to four edits. It is also remembered, as the other half of later splices.
  std::vector<uint8_t> mutate(std::span<const uint8_t> seed_input) {
    std::vector<uint8_t> bytes(seed_input.begin(), seed_input.end());
    const uint64_t edits = 1 + below(4);
    for (uint64_t i = 0; i < edits; ++i) edit(bytes);
    previous_.assign(seed_input.begin(), seed_input.end());
    return bytes;
  }

  // 0 to `max_len` uniform bytes; half of all inputs are at most 32 long, where headers end.
  std::vector<uint8_t> random(size_t max_len) {
    const size_t bound = rng_.chance(0.5) ? std::min<size_t>(max_len, kHeaderSized) : max_len;
    std::vector<uint8_t> bytes(below(bound + 1));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng_.next());
    return bytes;
  }

  // Uniform in [0, bound), bound > 0: for choices of the test itself, from the same seed.
  size_t below(size_t bound) { return static_cast<size_t>(rng_.below(bound)); }

 private:
  static constexpr size_t kHeaderSized = 32;
  static constexpr size_t kMaxGrowth = 64;     // bytes that one edit may add
  static constexpr size_t kMaxLength = 4'096;  // an input never grows beyond this

  template <class Container>
  static auto offset(Container& bytes, size_t at) {
    return bytes.begin() + static_cast<std::ptrdiff_t>(at);
  }

  void edit(std::vector<uint8_t>& bytes) {
    switch (below(9)) {
      case 0:
        return flip_bit(bytes);
      case 1:
        return set_byte(bytes);
      case 2:
        return write_length(bytes);
      case 3:
        return truncate(bytes);
      case 4:
        return extend(bytes);
      case 5:
        return erase_block(bytes);
      case 6:
        return repeat_block(bytes);
      case 7:
        return splice(bytes);
      default:
        return step_field(bytes);
    }
  }

  void flip_bit(std::vector<uint8_t>& bytes) {
    if (bytes.empty()) return;
    bytes[below(bytes.size())] ^= static_cast<uint8_t>(1u << below(8));
  }

  void set_byte(std::vector<uint8_t>& bytes) {
    static constexpr std::array<uint8_t, 8> kEdges = {0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0xfe, 0xff};
    if (bytes.empty()) return;
    bytes[below(bytes.size())] = kEdges[below(kEdges.size())];
  }

  // A big-endian field of 1, 2 or 4 bytes receives a length that is nearly right, or very wrong: what is left
  // behind it, the whole size, in bytes or 32-bit words, one more, one less; zero; the largest.
  void write_length(std::vector<uint8_t>& bytes) {
    if (bytes.empty()) return;
    const size_t width = std::min(size_t{1} << below(3), bytes.size());
    const size_t at = below(bytes.size() - width + 1);
    const size_t behind = bytes.size() - at - width;
    const std::array<size_t, 4> bases = {behind, bytes.size(), behind / 4, bytes.size() / 4};
    size_t value = bases[below(bases.size())] + below(3) - 1;
    if (rng_.chance(0.25)) value = rng_.chance(0.5) ? 0 : SIZE_MAX;
    write_field(bytes, at, width, value);
  }

  // A big-endian field of 1, 2 or 4 bytes moves by a few.
  void step_field(std::vector<uint8_t>& bytes) {
    if (bytes.empty()) return;
    const size_t width = std::min(size_t{1} << below(3), bytes.size());
    const size_t at = below(bytes.size() - width + 1);
    size_t value = 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | bytes[at + i];
    write_field(bytes, at, width, value + below(9) - 4);
  }

  static void write_field(std::vector<uint8_t>& bytes, size_t at, size_t width, size_t value) {
    for (size_t i = 0; i < width; ++i) bytes[at + i] = static_cast<uint8_t>(value >> 8 * (width - 1 - i));
  }

  void truncate(std::vector<uint8_t>& bytes) { bytes.resize(below(bytes.size() + 1)); }

  void extend(std::vector<uint8_t>& bytes) {
    const size_t extra = room(bytes, 1 + below(kMaxGrowth));
    const bool zeros = rng_.chance(0.25);
    for (size_t i = 0; i < extra; ++i)
      bytes.push_back(zeros ? uint8_t{0} : static_cast<uint8_t>(rng_.next()));
  }

  void erase_block(std::vector<uint8_t>& bytes) {
    const auto [at, count] = block(bytes.size());
    bytes.erase(offset(bytes, at), offset(bytes, at + count));
  }

  void repeat_block(std::vector<uint8_t>& bytes) {
    const auto [at, count] = block(bytes.size());
    insert(bytes, at, std::vector<uint8_t>(offset(bytes, at), offset(bytes, at + count)));
  }

  // A block of the previous input goes into this one, or replaces its tail.
  void splice(std::vector<uint8_t>& bytes) {
    const auto [from, count] = block(previous_.size());
    const std::vector<uint8_t> piece(offset(previous_, from), offset(previous_, from + count));
    const size_t at = below(bytes.size() + 1);
    if (rng_.chance(0.5)) bytes.resize(at);
    insert(bytes, at, piece);
  }

  struct Block {
    size_t at;
    size_t count;
  };
  // Somewhere within `size` bytes; half of the time aligned to 32-bit words, as most of what we parse is.
  Block block(size_t size) {
    size_t at = below(size + 1);
    size_t count = below(std::min(size - at, kMaxGrowth) + 1);
    if (rng_.chance(0.5)) {
      at -= at % 4;
      count -= count % 4;
    }
    return {at, count};
  }

  static void insert(std::vector<uint8_t>& bytes, size_t at, const std::vector<uint8_t>& piece) {
    const size_t count = room(bytes, piece.size());
    bytes.insert(offset(bytes, at), piece.begin(), offset(piece, count));
  }
  static size_t room(const std::vector<uint8_t>& bytes, size_t wanted) {
    return bytes.size() >= kMaxLength ? 0 : std::min(wanted, kMaxLength - bytes.size());
  }

  core::Rng rng_;
  std::vector<uint8_t> previous_;
};

}  // namespace trunkline::fuzz
