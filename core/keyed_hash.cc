// See keyed_hash.h.
#include "core/keyed_hash.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace trunkline::core {

KeyedHash::KeyedHash(HashKey key, Use use) noexcept : key_(key), aes_(false) {
#if defined(__x86_64__)
  aes_ = use == Use::kBest && __builtin_cpu_supports("aes");
#else
  (void)use;
#endif
  // Independent round keys: SipHash of their numbers.
  uint8_t number[16] = {};
  for (auto& round_key : round_keys_) {
    for (uint64_t& word : round_key) {
      word = keyed_hash16(key, number);
      ++number[0];
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("aes,sse4.1"))) void KeyedHash::aes_burst(const uint8_t* keys, size_t n,
                                                                uint64_t* hashes) const noexcept {
  const auto load = [](const void* at) { return _mm_load_si128(static_cast<const __m128i*>(at)); };
  const __m128i k0 = load(&round_keys_[0]), k1 = load(&round_keys_[1]), k2 = load(&round_keys_[2]),
                k3 = load(&round_keys_[3]), k4 = load(&round_keys_[4]);
  for (size_t i = 0; i < n; ++i) {
    __m128i state = _mm_loadu_si128(reinterpret_cast<const __m128i*>(keys + 16 * i));
    state = _mm_xor_si128(state, k0);
    state = _mm_aesenc_si128(state, k1);
    state = _mm_aesenc_si128(state, k2);
    state = _mm_aesenc_si128(state, k3);
    state = _mm_aesenc_si128(state, k4);
    hashes[i] = static_cast<uint64_t>(_mm_cvtsi128_si64(state));
  }
}
#else
void KeyedHash::aes_burst(const uint8_t*, size_t, uint64_t*) const noexcept {}
#endif

}  // namespace trunkline::core
