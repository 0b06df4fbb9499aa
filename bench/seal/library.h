// AES-128-GCM of Intel's library as a relay without Trunkline would call it: the direct functions, in place,
// keys expanded before. One object per hop; one thread.
#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <cstdint>
#include <memory>

#include "bench/seal/hop.h"
#include "relay/ipsec_mb.h"
#include "relay/wire.h"

namespace trunkline::bench {

using KeyBytes = std::array<uint8_t, 16>;
struct alignas(64) GcmKey {  // as the library wants it, and does not declare
  gcm_key_data data;
};

class GcmLibrary {
 public:
  GcmLibrary() {
    auto made = relay::make_manager(core::CoreId{0}, 1);
    if (!made) give_up(made.error().text);
    manager_ = std::move(*made);
    seal_ = manager_->gcm128_enc;
    open_ = manager_->gcm128_dec;
  }

  GcmKey expand(const KeyBytes& key) const {
    GcmKey out;
    manager_->gcm128_pre(key.data(), &out.data);
    return out;
  }
  // `text` in place under `nonce` (12 bytes), with so many bytes at `header` authenticated; 16 bytes of tag.
  void seal(const GcmKey& key, uint8_t* text, uint64_t bytes, const uint8_t* nonce, const uint8_t* header,
            uint64_t header_bytes, uint8_t* tag) noexcept {
    seal_(&key.data, &context_, text, text, bytes, nonce, header, header_bytes, tag, relay::kTagBytes);
  }
  // The tag that it should have had.
  void open(const GcmKey& key, uint8_t* text, uint64_t bytes, const uint8_t* nonce, const uint8_t* header,
            uint64_t header_bytes, uint8_t* tag) noexcept {
    open_(&key.data, &context_, text, text, bytes, nonce, header, header_bytes, tag, relay::kTagBytes);
  }

 private:
  relay::Manager manager_;
  aes_gcm_enc_dec_t seal_, open_;
  gcm_context_data context_;
};

inline bool tags_equal(const uint8_t* a, const uint8_t* b) noexcept {
  return ((relay::load_be64(a) ^ relay::load_be64(b)) |
          (relay::load_be64(a + 8) ^ relay::load_be64(b + 8))) == 0;
}

inline KeyBytes keyed(uint8_t byte) {
  KeyBytes key;
  key.fill(byte);
  return key;
}

}  // namespace trunkline::bench
