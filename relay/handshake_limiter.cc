// See handshake_limiter.h.
#include "relay/handshake_limiter.h"

#include <algorithm>
#include <cstring>

namespace trunkline::relay {

// The source's bucket; else a place whose bucket is full, made its own; else nothing.
HandshakeLimiter::Bucket* HandshakeLimiter::find(const core::UdpAddress& from, core::Nanos now) noexcept {
  uint64_t network;
  std::memcpy(&network, from.ip, sizeof network);
  std::array<uint8_t, 10> name;
  std::memcpy(name.data(), &network, sizeof network);
  std::memcpy(name.data() + sizeof network, &from.family, sizeof from.family);
  auto& set = sets_[core::keyed_hash(key_, name) % kSets];
  Bucket* free = nullptr;
  for (Bucket& bucket : set) {
    if (bucket.network == network && bucket.family == from.family) return &bucket;
    if (bucket.full_at <= now) free = &bucket;
  }
  if (free != nullptr) *free = {network, now, from.family};
  return free;
}

bool HandshakeLimiter::try_take(const core::UdpAddress& from, core::Nanos now) noexcept {
  Bucket* const bucket = find(from, now);
  if (bucket == nullptr) return false;
  const core::Nanos full_at = std::max(bucket->full_at, now) + kInterval;
  if (full_at - now > kEmpty) return false;
  bucket->full_at = full_at;
  return true;
}

}  // namespace trunkline::relay
