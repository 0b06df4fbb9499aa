// See secret.h. libsodium's memory functions do the work: sodium_malloc locks, guards and overwrites.
#include "relay/secret.h"

#include <sodium.h>

#include <cstring>
#include <utility>

#include "core/check.h"

namespace trunkline::relay {

void wipe(std::span<uint8_t> bytes) noexcept {
  sodium_memzero(bytes.data(), bytes.size());
}

bool equal_in_constant_time(std::span<const uint8_t> a, std::span<const uint8_t> b) noexcept {
  TL_CHECK(a.size() == b.size());
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

SecretBytes::SecretBytes(size_t size) : size_(size) {
  TL_CHECK(sodium_init() >= 0);
  data_ = static_cast<uint8_t*>(sodium_malloc(size));
  TL_CHECK(data_ != nullptr);
  std::memset(data_, 0, size);
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SecretBytes::~SecretBytes() {
  sodium_free(data_);
}

KernelRandomness::KernelRandomness() noexcept {
  TL_CHECK(sodium_init() >= 0);
}

void KernelRandomness::fill(std::span<uint8_t> out) noexcept {
  randombytes_buf(out.data(), out.size());
}

}  // namespace trunkline::relay
