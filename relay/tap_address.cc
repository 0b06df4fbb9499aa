// See tap_address.h.
#include "relay/tap_address.h"

namespace trunkline::relay {

const char* why_unheard(const core::UdpAddress& listen, const core::UdpAddress& from) noexcept {
  if (from.is_unspecified()) return "names no host: give the address that sends, or leave it out for anybody";
  if (from.is_multicast()) return "is multicast, and nothing comes from there: give the address that sends";
  // A socket of IPv6 takes no IPv4 (io/udp_socket.cc).
  if (from.family != listen.family)
    return "is not of the family of the address listened on: both must be IPv4, or both IPv6";
  return nullptr;
}

}  // namespace trunkline::relay
