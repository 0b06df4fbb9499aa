// Reading and writing network-order bytes that somebody else chose. All arithmetic on lengths from the wire
// happens in these two classes, and both have one idea: the error is sticky. A read past the end yields zero,
// empties the reader and is remembered, so a parser reads a whole structure straight down and asks ok() once,
// at the end; a wrong length cannot move the position outside the span it was given. Values live on the stack
// of whoever uses them; a read costs one comparison.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace trunkline::relay {

using Bytes = std::span<const uint8_t>;

// Big-endian loads at an offset that a parser has already proven to be inside `bytes`.
// Contract: offset + width <= bytes.size().
constexpr uint16_t load_u16(Bytes bytes, size_t offset) noexcept {
  return static_cast<uint16_t>((bytes[offset] << 8) | bytes[offset + 1]);
}
constexpr uint32_t load_u32(Bytes bytes, size_t offset) noexcept {
  return (uint32_t{load_u16(bytes, offset)} << 16) | load_u16(bytes, offset + 2);
}

class ByteReader {
 public:
  explicit constexpr ByteReader(Bytes bytes) noexcept : rest_(bytes) {}

  // False from the first read past the end on, for ever.
  constexpr bool ok() const noexcept { return !failed_; }
  constexpr size_t remaining() const noexcept { return rest_.size(); }

  // The next `count` bytes; empty, and the reader failed, when fewer are left.
  constexpr Bytes take(size_t count) noexcept {
    if (count > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const Bytes head = rest_.first(count);
    rest_ = rest_.subspan(count);
    return head;
  }
  constexpr uint8_t u8() noexcept {
    const Bytes head = take(1);
    return head.empty() ? uint8_t{0} : head[0];
  }
  constexpr uint16_t u16() noexcept {
    const Bytes head = take(2);
    return head.empty() ? uint16_t{0} : load_u16(head, 0);
  }
  constexpr uint32_t u32() noexcept {
    const Bytes head = take(4);
    return head.empty() ? 0 : load_u32(head, 0);
  }
  constexpr uint64_t u64() noexcept {
    const Bytes head = take(8);
    return head.empty() ? 0 : (uint64_t{load_u32(head, 0)} << 32) | load_u32(head, 4);
  }

 private:
  Bytes rest_;
  bool failed_ = false;
};

class ByteWriter {
 public:
  explicit constexpr ByteWriter(std::span<uint8_t> out) noexcept : out_(out) {}

  constexpr void u8(uint8_t value) noexcept {
    if (failed_ || length_ == out_.size()) {
      failed_ = true;
      return;
    }
    out_[length_++] = value;
  }
  constexpr void u16(uint16_t value) noexcept {
    u8(static_cast<uint8_t>(value >> 8));
    u8(static_cast<uint8_t>(value & 0xff));
  }
  constexpr void u32(uint32_t value) noexcept {
    u16(static_cast<uint16_t>(value >> 16));
    u16(static_cast<uint16_t>(value & 0xffff));
  }
  constexpr void u64(uint64_t value) noexcept {
    u32(static_cast<uint32_t>(value >> 32));
    u32(static_cast<uint32_t>(value & 0xffffffff));
  }
  constexpr void bytes(Bytes value) noexcept {
    for (const uint8_t byte : value) u8(byte);
  }
  // Bytes written; 0 when not everything fitted (a half-written packet is never sent).
  constexpr size_t length() const noexcept { return failed_ ? 0 : length_; }

 private:
  std::span<uint8_t> out_;
  size_t length_ = 0;
  bool failed_ = false;
};

}  // namespace trunkline::relay
