// Who seals and opens in the figures of `tools/dev figures seal`: our sessions, OpenSSL, and Intel's library
// by itself. Each gets the same datagrams and the same work per datagram: the next counter, and an AEAD over
// header, record header and packet, in place.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "relay/sealed_suite.h"

namespace trunkline::bench {

// A run as the lane writer makes it, of packets of one size, each in a record of its own. 74 KiB in all: it
// stays in the second-level cache, as a run does that was copied a moment ago. Datagrams lie an odd number of
// lines apart, and begin on one: where all lay alike modulo 4 KiB, a run cost a third more or not, by where
// the allocator had put what else is touched.
class SealRun {
 public:
  static constexpr uint32_t kDatagrams = 32;

  explicit SealRun(uint32_t packet);

  uint8_t* datagram(uint32_t i) noexcept { return lines_[i * kStride].data(); }
  // Header | records, without the tag.
  uint32_t length() const noexcept { return length_; }
  // A counter for each datagram, as goes out with it; wraps long before a key's limit.
  void next_counters() noexcept;

 private:
  struct alignas(64) Line : std::array<uint8_t, 64> {};
  static constexpr uint32_t kStride = 37;  // lines
  uint32_t length_;
  uint64_t counter_ = 0;
  std::vector<Line> lines_;
};

// Ours: one session that seals, one that opens what the other sealed.
class OurSeal {
 public:
  // As data core `core` of a node with `cores` of them.
  explicit OurSeal(relay::Suite suite, uint8_t core = 0, uint32_t cores = 1);

  void seal(SealRun& run) noexcept;
  // Copies `sealed` to `run` first, since opening is in place. True: all were authentic.
  bool open(SealRun& run, SealRun& sealed) noexcept;

 private:
  core::CoreId core_;
  std::unique_ptr<relay::SealedSuite> suite_;
  std::unique_ptr<relay::SessionCrypto> sender_, receiver_;
};

// OpenSSL's EVP at its best: a context per lane keeps the expanded key, only the nonce is set per datagram.
class OpensslSeal {
 public:
  explicit OpensslSeal(relay::Suite suite);
  ~OpensslSeal();
  OpensslSeal(const OpensslSeal&) = delete;
  OpensslSeal& operator=(const OpensslSeal&) = delete;

  void seal(SealRun& run) noexcept;
  bool open(SealRun& run, SealRun& sealed) noexcept;

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

// Intel's library in a bare loop, AES-128-GCM: the nonces are there before.
class BareSeal {
 public:
  BareSeal();
  ~BareSeal();
  BareSeal(const BareSeal&) = delete;
  BareSeal& operator=(const BareSeal&) = delete;

  void seal(SealRun& run) noexcept;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace trunkline::bench
