// The names that every room uses for things on the mesh. Strong types: a label is not a core, a node is not a
// track. All are plain values, compared and copied freely on any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>

namespace trunkline::core {

// 128-bit name of one track (one encoding of a media stream), in network byte order.
struct TrackId {
  std::array<uint8_t, 16> bytes{};

  constexpr auto operator<=>(const TrackId&) const = default;
  // Two words: a call of memcmp for each of them is what g++ 12 makes of the default.
  bool operator==(const TrackId& other) const { return high() == other.high() && low() == other.low(); }
  uint64_t high() const {
    uint64_t v;
    std::memcpy(&v, bytes.data(), 8);
    return v;
  }
  uint64_t low() const {
    uint64_t v;
    std::memcpy(&v, bytes.data() + 8, 8);
    return v;
  }
  bool is_zero() const { return high() == 0 && low() == 0; }
  // 32 lower-case hexadecimal digits.
  std::string hex() const {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(32);
    for (uint8_t b : bytes) {
      out += kDigits[b >> 4];
      out += kDigits[b & 15];
    }
    return out;
  }
};

// A data core of one node, counted from 0. At most kMaxCores per node: the lane field of the header has 8
// bits and the session index spends 4 of its 32 on the core.
struct CoreId {
  uint8_t value = 0;
  constexpr auto operator<=>(const CoreId&) const = default;
};
inline constexpr uint32_t kMaxCores = 16;

// A running core on the mesh; never 0. Chosen by the operator, unique in a cluster.
struct NodeId {
  uint64_t value = 0;
  constexpr auto operator<=>(const NodeId&) const = default;
};

// 32 bits that stand for a track on one link, always in the number space of the node that RECEIVES the
// record: index 22 (an array look-up), generation 10 (an index rests before re-use; a late record of the old
// holder does not match). Label 0 is the control stream.
struct Label {
  uint32_t value = 0;

  static constexpr uint32_t kIndexBits = 22;
  static constexpr uint32_t kGenerationBits = 10;
  static constexpr uint32_t kMaxIndex = (1u << kIndexBits) - 1;
  static constexpr uint32_t kMaxGeneration = (1u << kGenerationBits) - 1;

  static constexpr Label make(uint32_t index, uint32_t generation) {
    return {(index << kGenerationBits) | (generation & kMaxGeneration)};
  }
  constexpr uint32_t index() const { return value >> kGenerationBits; }
  constexpr uint32_t generation() const { return value & kMaxGeneration; }
  constexpr auto operator<=>(const Label&) const = default;
};

// Order of two claims to the same track, greatest wins: (generation, incarnation, node id).
// generation: given by the host per publication, grows per track. incarnation: Unix milliseconds of the
// node's start, raised above any value a peer remembers for this id.
struct Epoch {
  uint64_t generation = 0;
  uint64_t incarnation = 0;
  NodeId node{};
  constexpr auto operator<=>(const Epoch&) const = default;
};

}  // namespace trunkline::core
