// What a relay would cost if it were nothing but its cryptography: Intel's library, called directly.
#include <intel-ipsec-mb.h>

#include <array>
#include <cstring>

#include "bench/seal/hop.h"
#include "bench/seal/library.h"
#include "io/page_source.h"
#include "relay/wire.h"

namespace trunkline::bench {
namespace {

using relay::kHeaderBytes;
using relay::kTagBytes;

using Nonce = std::array<uint8_t, 16>;  // of which 12 bytes count

// The IV of either lane is zero.
Nonce nonce_of(uint64_t counter) {
  Nonce nonce{};
  relay::store_be64(&nonce[4], counter);
  return nonce;
}

class BareHop final : public Hop {
 public:
  explicit BareHop(uint32_t payload)
      : plain_(relay::kLoneRecordOverhead - kTagBytes + payload),

        frames_(kHopSlice, pages_) {}

  void prepare() override {
    for (uint32_t i = 0; i < kHopSlice; ++i) {
      uint8_t* const datagram = frames_.payload(i);
      relay::encode_header(datagram, {.counter = counter_, .session_index = 1});
      nonces_[i] = nonce_of(counter_++);
      seal(in_, datagram, nonces_[i]);
    }
  }

  void run() override {
    for (uint32_t first = 0; first < kHopSlice; first += kHopBurst) {
      for (uint32_t i = first; i < first + kHopBurst; ++i) {
        uint8_t* const datagram = frames_.payload(i);
        uint8_t* const text = datagram + kHeaderBytes;
        std::array<uint8_t, kTagBytes> tag;
        library_.open(in_, text, plain_ - kHeaderBytes, nonces_[i].data(), datagram, kHeaderBytes,
                      tag.data());
        if (!tags_equal(tag.data(), datagram + plain_)) ++forged_;
      }
      for (uint32_t i = first; i < first + kHopBurst; ++i) seal(out_, frames_.payload(i), nonces_[i]);
    }
  }

  void check() override {
    if (forged_ != 0) give_up("the bare hop found a datagram that is not authentic");
  }

 private:
  void seal(const GcmKey& key, uint8_t* datagram, const Nonce& nonce) {
    library_.seal(key, datagram + kHeaderBytes, plain_ - kHeaderBytes, nonce.data(), datagram, kHeaderBytes,
                  datagram + plain_);
  }

  uint32_t plain_;  // header and record
  alignas(64) std::array<Nonce, kHopSlice> nonces_;
  io::MmapPageSource pages_;
  Frames frames_;
  GcmLibrary library_;
  GcmKey in_ = library_.expand(keyed(1)), out_ = library_.expand(keyed(2));
  uint64_t counter_ = 0, forged_ = 0;
};

class BareSealer final : public Hop {
 public:
  explicit BareSealer(uint32_t payload)
      : plain_(relay::kLoneRecordOverhead - kTagBytes + payload), frames_(kHopBurst, pages_) {}

  void prepare() override {
    for (uint32_t i = 0; i < kHopBurst; ++i) {
      relay::encode_header(frames_.payload(i), {.counter = counter_, .session_index = 1});
      nonces_[i] = nonce_of(counter_++);
    }
  }
  void run() override {
    for (uint32_t done = 0; done < kHopSlice; done += kHopBurst) {
      for (uint32_t i = 0; i < kHopBurst; ++i) {
        uint8_t* const datagram = frames_.payload(i);
        library_.seal(key_, datagram + kHeaderBytes, plain_ - kHeaderBytes, nonces_[i].data(), datagram,
                      kHeaderBytes, datagram + plain_);
      }
    }
  }
  void check() override {}

 private:
  uint32_t plain_;
  std::array<Nonce, kHopBurst> nonces_;
  io::MmapPageSource pages_;
  Frames frames_;
  GcmLibrary library_;
  GcmKey key_ = library_.expand(keyed(1));
  uint64_t counter_ = 0;
};

}  // namespace

std::unique_ptr<Hop> make_bare_hop(uint32_t payload) {
  return std::make_unique<BareHop>(payload);
}
std::unique_ptr<Hop> make_bare_sealer(uint32_t payload) {
  return std::make_unique<BareSealer>(payload);
}

}  // namespace trunkline::bench
