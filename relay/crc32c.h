// CRC-32C (Castagnoli; RFC 3720, appendix B.4): notices what the wire did to bytes, proves nothing about who
// wrote them. Control segments and laboratory handshakes carry one, because the null suite has no integrity
// of its own and a corrupted control message must never be applied. Eight bytes per step, by the CPU's own
// instruction where it has one. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>

namespace trunkline::relay {

// Of `bytes`, or of a longer run whose CRC so far was `seed`: crc32c(b, crc32c(a)) == crc32c(a then b).
uint32_t crc32c(std::span<const uint8_t> bytes, uint32_t seed = 0) noexcept;

// The same on any CPU, with 8 KiB of tables.
uint32_t crc32c_by_tables(std::span<const uint8_t> bytes, uint32_t seed = 0) noexcept;

}  // namespace trunkline::relay
