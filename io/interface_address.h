// An address of ours on a device, and the network that it shares with its neighbours.
#pragma once

#include <cstdint>

#include "core/udp_address.h"

namespace trunkline::io {

struct InterfaceAddress {
  core::UdpAddress address;   // its port is 0
  uint8_t prefix_length = 0;  // in bits, of the addresses that are reached without a gateway; 0: all
};

}  // namespace trunkline::io
