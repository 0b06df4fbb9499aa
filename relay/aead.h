// Aead: the cipher of a sealed suite, working on runs of datagrams under one lane's key. It knows neither
// lanes nor counters; relay/sealed_suite.h does, and is what everybody else uses.
//
// One implementation, on Intel's multi-buffer library (relay/aead_ipsec_mb.cc); a build without it has
// relay/aead_absent.cc, which says so. One object per node: it is constant but for what belongs to a data
// core, which is told apart by the core's number.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/ids.h"
#include "core/result.h"
#include "relay/crypto.h"

namespace trunkline::relay {

// The first 12 bytes; whole 16, so that one store writes it and one load reads it.
struct alignas(16) AeadNonce {
  uint8_t bytes[16];
};

// A key as the cipher wants it. For AES-GCM, 1008 bytes: the round keys and 48 powers of the hash key. For
// ChaCha20-Poly1305 the key itself.
struct alignas(64) AeadKey {
  uint8_t bytes[1024];
};

class Aead {
 public:
  // Checks what a node must not start without, and says in the error which it was: the library's self-test,
  // the instructions that the suite needs, and that this build has the library. `data_cores` (at most
  // core::kMaxCores): how many cores will call. Allocates.
  static core::Result<std::unique_ptr<Aead>> make(Suite suite, uint32_t data_cores);

  virtual ~Aead() = default;

  // `key` has 32 bytes, of which the cipher takes as many as it has. 0.1 us.
  virtual void expand(std::span<const uint8_t, 32> key, AeadKey& out) const noexcept = 0;

  // The first `header` bytes of each job are authenticated, the rest is encrypted too, in place or out of
  // `records`, and the tag is written behind it. One nonce per job. `core` is the calling core, which no
  // other thread uses at that time. Contract: core < data_cores, nonces.size() == jobs.size(), each job has
  // at least `header` bytes (seal), or `header` + kTagBytes (open).
  virtual void seal(core::CoreId core, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
                    std::span<SealJob> jobs) noexcept = 0;
  // Sets `authentic` of each job; the time does not depend on where a tag differs.
  virtual void open(core::CoreId core, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
                    std::span<OpenJob> jobs) noexcept = 0;
};

}  // namespace trunkline::relay
