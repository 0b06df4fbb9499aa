// What the SRTP hops share: their packets, their keys, and a witness that both speak the same SRTP.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

#include "bench/seal/hop.h"
#include "relay/wire.h"

namespace trunkline::bench {

// Key and salt, as a policy of libsrtp has them one behind the other (RFC 7714, section 12).
using SrtpMasterKey = std::array<uint8_t, 16 + 12>;
inline constexpr SrtpMasterKey kSrtpIn = {1, 2, 3}, kSrtpOut = {4, 5, 6};

struct SrtpSessionKey {
  std::array<uint8_t, 16> key;
  std::array<uint8_t, 12> salt;
};
// RFC 3711, section 4.3, with a key derivation rate of zero.
SrtpSessionKey derive_srtp_key(const SrtpMasterKey& master);

// Streams take turns. Spread over all numbers, as SSRCs are.
inline uint32_t srtp_ssrc(uint32_t flow) {
  return (flow + 1) * 0x85ebca6b;
}
constexpr uint64_t srtp_index(uint64_t counter, uint32_t flows = kHopFlows) {
  return counter / flows;
}
constexpr uint32_t roc_of(uint64_t counter) {
  return static_cast<uint32_t>(srtp_index(counter) >> 16);
}
// The RTP header of packet `counter` of all.
inline void write_rtp(uint8_t* rtp, uint64_t counter, uint32_t flows = kHopFlows) {
  const uint64_t index = srtp_index(counter, flows);
  rtp[0] = 0x80;
  rtp[1] = 96;
  relay::store_be16(rtp + 2, static_cast<uint16_t>(index));
  relay::store_be32(rtp + 4, static_cast<uint32_t>(index));
  relay::store_be32(rtp + 8, srtp_ssrc(static_cast<uint32_t>(counter % flows)));
}

// libsrtp2 at both far ends: it protects under kSrtpIn and reads under kSrtpOut. Ends the process where it
// does not agree.
class SrtpWitness {
 public:
  virtual ~SrtpWitness() = default;
  virtual void protect(uint8_t* rtp, uint32_t length) = 0;
  virtual void unprotect(uint8_t* srtp, uint32_t length) = 0;
};
// nullptr: this build has it not.
std::unique_ptr<SrtpWitness> make_srtp_witness();

}  // namespace trunkline::bench
