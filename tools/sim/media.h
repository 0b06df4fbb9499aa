// What a simulated publisher sends: an RTP packet whose payload says which track it truly belongs to.
//
//   RTP header 12 (RFC 3550, 5.1) | magic 32 | track 128 | publication 32 | number 32 | length filler
//
// So whoever receives it can be judged without looking at any state of the nodes in between.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "core/ids.h"
#include "relay/wire.h"

namespace trunkline::sim {

struct Stamp {
  core::TrackId track{};
  uint32_t publication = 0;  // the auditor's number
  uint32_t number = 0;       // of the packet, from 0 per publication
};
inline constexpr uint32_t kStampBytes = 12 + 4 + 16 + 4 + 4;
inline constexpr uint32_t kStampMagic = 0x54'4c'53'49;

// The filler is a ramp: byte i of the packet is the packet's number + i. A window into this array, so that
// writing and comparing it, for each packet and each subscriber, is one call.
inline constexpr uint32_t kMaxFiller = 256;
inline constexpr auto kRamp = [] {
  std::array<uint8_t, 256 + kMaxFiller> ramp{};
  for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<uint8_t>(i);
  return ramp;
}();
inline const uint8_t* filler(uint32_t number) {
  return &kRamp[(number + kStampBytes) & 0xff];
}

// `out` has at least kStampBytes; what is beyond, at most kMaxFiller bytes, is filled with a pattern. The
// SSRC is the publication's number.
inline void write_stamp(const Stamp& stamp, std::span<uint8_t> out) {
  out[0] = 0x80;  // version 2
  out[1] = 96;    // first dynamic payload type (RFC 3551)
  relay::store_be16(&out[2], static_cast<uint16_t>(stamp.number));
  relay::store_be32(&out[4], stamp.number * 960);
  relay::store_be32(&out[8], stamp.publication + 1);
  relay::store_be32(&out[12], kStampMagic);
  std::memcpy(&out[16], stamp.track.bytes.data(), 16);
  relay::store_be32(&out[32], stamp.publication);
  relay::store_be32(&out[36], stamp.number);
  std::memcpy(&out[kStampBytes], filler(stamp.number), out.size() - kStampBytes);
}

// Nothing: these bytes were never sent by a publisher of ours, or were changed on the way.
inline std::optional<Stamp> read_stamp(std::span<const uint8_t> bytes) {
  if (bytes.size() < kStampBytes || bytes.size() > kStampBytes + kMaxFiller) return std::nullopt;
  if (relay::load_be32(&bytes[12]) != kStampMagic) return std::nullopt;
  Stamp stamp;
  std::memcpy(stamp.track.bytes.data(), &bytes[16], 16);
  stamp.publication = relay::load_be32(&bytes[32]);
  stamp.number = relay::load_be32(&bytes[36]);
  if (relay::load_be16(&bytes[2]) != static_cast<uint16_t>(stamp.number)) return std::nullopt;
  if (std::memcmp(&bytes[kStampBytes], filler(stamp.number), bytes.size() - kStampBytes) != 0)
    return std::nullopt;
  return stamp;
}

}  // namespace trunkline::sim
