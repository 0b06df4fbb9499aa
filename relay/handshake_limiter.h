// HandshakeLimiter: how often one source may make this node do the work of a handshake: 20 times a second,
// five of them at once. A source is an IPv4 address or an IPv6 network of 64 bits, the least that one holder
// has.
//
// A token bucket per source, in a fixed table: a source has four places, chosen by a keyed hash. What is
// stored is when its bucket will be full again; a bucket that is full by now is as good as none, so places
// free themselves after 250 ms without a clean-up. With all four taken by others that are not full, a new
// source is refused: the table never grows, and nobody is thrown out by a newcomer. The peers that a node is
// configured with have buckets of their own beside the table, one per whole address: who holds a thousand
// addresses fills the table and cannot keep them out, nor can a neighbour in a peer's own network of 64 bits.
//
// Ask it only about sources that have proven their address (by a cookie): a bucket that strangers could empty
// in another's name would lock that one out.
//
// Owner: the mesh thread. 24 KiB and 32 bytes per peer; only keep_place_for() allocates. Cost: a binary
// search among the peers, one short hash and four compares.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/hash.h"
#include "core/time.h"
#include "core/udp_address.h"

namespace trunkline::relay {

class HandshakeLimiter {
 public:
  static constexpr int64_t kPerSecond = 20;  // as WireGuard's limiter
  static constexpr int64_t kBurst = 5;
  static constexpr uint32_t kSets = 256, kWays = 4;

  explicit HandshakeLimiter(core::HashKey key) noexcept : key_(key) {}

  // At start, for each peer.
  void keep_place_for(const core::UdpAddress& peer);
  // Takes a token of `from`. False: none is left, or there is no place for another source. `now` never falls.
  bool try_take(const core::UdpAddress& from, core::Nanos now) noexcept;

 private:
  static constexpr core::Nanos kInterval = core::from_ms(1'000 / kPerSecond);
  static constexpr core::Nanos kEmpty = kInterval * kBurst;  // from empty to full

  struct Bucket {
    uint64_t network = 0;  // the address's first 64 bits; an IPv4 address and zeros
    core::Nanos full_at{};
    uint16_t family = 0;

    bool same_source(const Bucket& other) const noexcept {
      return network == other.network && family == other.family;
    }
  };
  using Host = std::array<uint8_t, sizeof(core::UdpAddress::ip) + 1>;  // the whole address, and its family
  struct Kept {
    Host host{};
    core::Nanos full_at{};
  };
  static Bucket bucket_of(const core::UdpAddress& from) noexcept;
  static Host host_of(const core::UdpAddress& from) noexcept;
  // When the bucket that counts for `from` will be full; nullptr: there is no place for another one.
  core::Nanos* find_full_at(const core::UdpAddress& from, core::Nanos now) noexcept;
  Bucket* find(const core::UdpAddress& from, core::Nanos now) noexcept;

  core::HashKey key_;
  std::array<std::array<Bucket, kWays>, kSets> sets_{};
  std::vector<Kept> kept_;  // of configured peers, by host
};

}  // namespace trunkline::relay
