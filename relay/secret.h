// Secret bytes: where they come from, where they lie, and that nothing of them stays.
//
//   Key          32 bytes, public or the output of a function: a plain value
//   Secret       32 secret bytes by value, on the stack or in an object; overwritten when it goes
//   SecretBytes  secrets that live as long as the process, and whatever is read from a secret file: in pages
//   of
//                their own that are locked into memory, left out of core dumps, and bordered by pages that
//                fault
//   Randomness   where new secrets come from: the kernel, or a test's seed
//
// Any thread, one owner per object. SecretBytes allocates when it is made; the others never do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trunkline::relay {

inline constexpr size_t kKeyBytes = 32;
using Key = std::array<uint8_t, kKeyBytes>;

// Overwrites with zeros, and the compiler may not leave it out.
void wipe(std::span<uint8_t> bytes) noexcept;
inline void wipe(void* memory, size_t bytes) noexcept {
  wipe({static_cast<uint8_t*>(memory), bytes});
}
// In a time that depends on the length only. Contract: equal lengths.
bool equal_in_constant_time(std::span<const uint8_t> a, std::span<const uint8_t> b) noexcept;

class Secret {
 public:
  Secret() noexcept = default;
  explicit Secret(const Key& bytes) noexcept : bytes_(bytes) {}
  Secret(const Secret&) noexcept = default;
  Secret& operator=(const Secret&) noexcept = default;
  ~Secret() { wipe(bytes_); }

  Key& bytes() noexcept { return bytes_; }
  const Key& bytes() const noexcept { return bytes_; }
  uint8_t* data() noexcept { return bytes_.data(); }
  const uint8_t* data() const noexcept { return bytes_.data(); }

 private:
  Key bytes_{};
};

class SecretBytes {
 public:
  SecretBytes() noexcept = default;
  // `size` zero bytes. A process that gets no memory for its keys ends.
  explicit SecretBytes(size_t size);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  ~SecretBytes();

  std::span<uint8_t> bytes() noexcept { return {data_, size_}; }
  std::span<const uint8_t> bytes() const noexcept { return {data_, size_}; }
  size_t size() const noexcept { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

class Randomness {
 public:
  virtual ~Randomness() = default;
  // Fills all of `out` with bytes that nobody can guess.
  virtual void fill(std::span<uint8_t> out) noexcept = 0;
};

// The kernel's generator. It never blocks once the machine has started.
class KernelRandomness final : public Randomness {
 public:
  KernelRandomness() noexcept;
  void fill(std::span<uint8_t> out) noexcept override;
};

}  // namespace trunkline::relay
