// The messages of a handshake, as every suite numbers and bounds them.
#pragma once

#include <cstdint>

#include "relay/core_link.h"
#include "relay/wire.h"

namespace trunkline::relay {

// The number of a handshake message, as Handshake takes it: that of its DatagramType.
inline constexpr uint8_t kMsg1 = 1, kMsg2 = 2, kConfirm = 3;
static_assert(kMsg1 == static_cast<uint8_t>(DatagramType::kHandshake1) &&
              kMsg2 == static_cast<uint8_t>(DatagramType::kHandshake2) &&
              kConfirm == static_cast<uint8_t>(DatagramType::kHandshakeConfirm));
// The largest handshake message: a frame without the datagram's header. msg1 always has this size.
inline constexpr uint32_t kMaxHandshakeBytes = kMaxFrameBytes - kHeaderBytes;
static_assert(kMaxHandshakeBytes == 1184);

}  // namespace trunkline::relay
