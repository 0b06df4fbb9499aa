// On x86-64 with SSE 4.2 the CPU's own instruction, eight bytes at a time. Elsewhere slicing by eight
// (Kounavis and Berry, "A Systematic Approach to Building High Performance, Software-based, CRC Generators",
// 2005): table k maps a byte to its effect k bytes later, so eight look-ups advance the register by eight
// bytes.
#include "relay/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

namespace trunkline::relay {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as the CPU has them");

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed (RFC 3720, B.4)

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

uint32_t by_tables(const uint8_t* at, size_t left, uint32_t crc) noexcept {
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    word ^= crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xff];
  return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) uint32_t by_instruction(const uint8_t* at, size_t left,
                                                          uint32_t crc) noexcept {
  uint64_t wide = crc;
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; left > 0; --left, ++at) crc = __builtin_ia32_crc32qi(crc, *at);
  return crc;
}

const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

uint32_t crc32c(std::span<const uint8_t> bytes, uint32_t seed) noexcept {
#ifdef __x86_64__
  if (kHasInstruction) return ~by_instruction(bytes.data(), bytes.size(), ~seed);
#endif
  return crc32c_by_tables(bytes, seed);
}

uint32_t crc32c_by_tables(std::span<const uint8_t> bytes, uint32_t seed) noexcept {
  return ~by_tables(bytes.data(), bytes.size(), ~seed);
}

}  // namespace trunkline::relay
