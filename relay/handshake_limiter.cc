// See handshake_limiter.h.
#include "relay/handshake_limiter.h"

#include <algorithm>
#include <cstring>

namespace trunkline::relay {

HandshakeLimiter::Bucket HandshakeLimiter::bucket_of(const core::UdpAddress& from) noexcept {
  Bucket bucket;
  std::memcpy(&bucket.network, from.ip, sizeof bucket.network);
  bucket.family = from.family;
  return bucket;
}

HandshakeLimiter::Host HandshakeLimiter::host_of(const core::UdpAddress& from) noexcept {
  Host host;
  std::copy(std::begin(from.ip), std::end(from.ip), host.begin());
  host.back() = static_cast<uint8_t>(from.family);
  return host;
}

void HandshakeLimiter::keep_place_for(const core::UdpAddress& peer) {
  const Host wanted = host_of(peer);
  const auto at = std::ranges::lower_bound(kept_, wanted, {}, &Kept::host);
  if (at == kept_.end() || at->host != wanted) kept_.insert(at, Kept{wanted, {}});
}

core::Nanos* HandshakeLimiter::find_full_at(const core::UdpAddress& from, core::Nanos now) noexcept {
  const Host wanted = host_of(from);
  const auto kept = std::ranges::lower_bound(kept_, wanted, {}, &Kept::host);
  if (kept != kept_.end() && kept->host == wanted) return &kept->full_at;
  Bucket* const bucket = find(from, now);
  return bucket != nullptr ? &bucket->full_at : nullptr;
}

// The source's bucket in the table; else a place whose bucket is full, made its own; else nothing.
HandshakeLimiter::Bucket* HandshakeLimiter::find(const core::UdpAddress& from, core::Nanos now) noexcept {
  const Bucket wanted = bucket_of(from);
  std::array<uint8_t, 10> name;
  std::memcpy(name.data(), &wanted.network, sizeof wanted.network);
  std::memcpy(name.data() + sizeof wanted.network, &wanted.family, sizeof wanted.family);
  auto& set = sets_[core::keyed_hash(key_, name) % kSets];
  Bucket* free = nullptr;
  for (Bucket& bucket : set) {
    if (bucket.same_source(wanted)) return &bucket;
    if (bucket.full_at <= now) free = &bucket;
  }
  if (free != nullptr) {
    *free = wanted;
    free->full_at = now;
  }
  return free;
}

bool HandshakeLimiter::try_take(const core::UdpAddress& from, core::Nanos now) noexcept {
  core::Nanos* const bucket = find_full_at(from, now);
  if (bucket == nullptr) return false;
  const core::Nanos full_at = std::max(*bucket, now) + kInterval;
  if (full_at - now > kEmpty) return false;
  *bucket = full_at;
  return true;
}

}  // namespace trunkline::relay
