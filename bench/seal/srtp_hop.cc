// An SRTP hop as good as we can write it on Intel's library: what a media server would do between two peers
// that speak AEAD_AES_128_GCM (RFC 7714), if it took packets in bursts as we do.
//
// A burst goes through in three passes. The streams' lines are sent for; then headers are parsed and judged,
// and both nonces written, since the library would wait for stores that it reads at once; then each packet is
// opened and protected again while it lies in the first-level cache.
#include <array>
#include <vector>

#include "bench/seal/library.h"
#include "bench/seal/srtp.h"
#include "io/page_source.h"
#include "relay/replay_window.h"

namespace trunkline::bench {
namespace {

using Words [[gnu::vector_size(16)]] = uint64_t;

// IV (RFC 7714, section 8.1): 00 00 | SSRC | ROC | SEQ, xor the salt. Of SSRC and SEQ the bytes as they lie.
struct SrtpNonce {
  Words words;
  const uint8_t* data() const noexcept { return reinterpret_cast<const uint8_t*>(&words); }
};
Words before_salt(const uint8_t* rtp, uint32_t roc) noexcept {
  uint32_t ssrc;
  uint16_t sequence;
  std::memcpy(&ssrc, rtp + 8, sizeof ssrc);
  std::memcpy(&sequence, rtp + 2, sizeof sequence);
  const uint64_t swapped = __builtin_bswap32(roc);
  return Words{uint64_t{ssrc} << 16 | swapped << 48, swapped >> 16 | uint64_t{sequence} << 16};
}

struct Direction {
  GcmKey key;
  Words salt{};
};

// What a receiver keeps of a stream.
struct alignas(64) Stream {
  uint32_t ssrc;
  bool used;
  uint64_t newest;  // index: ROC and sequence number
  relay::ReplayWindow<128> window;
};

class SrtpHop final : public Hop {
 public:
  explicit SrtpHop(uint32_t payload) : packet_(payload + relay::kTagBytes), frames_(kHopSlice, pages_) {
    in_ = direction(kSrtpIn);
    out_ = direction(kSrtpOut);
    for (uint32_t flow = 0; flow < kHopFlows; ++flow) find_or_add(srtp_ssrc(flow)).used = true;
    check_by_libsrtp();
  }

  void prepare() override {
    for (uint32_t i = 0; i < kHopSlice; ++i) {
      uint8_t* const rtp = frames_.payload(i);
      write_rtp(rtp, counter_);
      protect(in_, rtp, packet_, {before_salt(rtp, roc_of(counter_)) ^ in_.salt});
      ++counter_;
    }
  }

  void run() override {
    for (uint32_t first = 0; first < kHopSlice; first += kHopBurst) {
      std::array<uint8_t*, kHopBurst> burst;
      for (uint32_t i = 0; i < kHopBurst; ++i) burst[i] = frames_.payload(first + i);
      relay(burst);
    }
  }

  void check() override {
    if (refused_ != 0 || relayed_ != counter_)
      give_up("the SRTP hop relayed " + std::to_string(relayed_) + " of " + std::to_string(counter_) +
              " packets");
  }

 private:
  struct Judged {
    uint8_t* rtp;
    uint32_t header;
    uint64_t index;
    Stream* stream;
  };

  void relay(const std::array<uint8_t*, kHopBurst>& burst) noexcept {
    std::array<Judged, kHopBurst> judged;
    std::array<SrtpNonce, kHopBurst> in, out;
    uint32_t count = 0;
    for (uint8_t* const rtp : burst) __builtin_prefetch(&streams_[place_of(relay::load_be32(rtp + 8))], 1);
    for (uint8_t* const rtp : burst) {
      Judged& packet = judged[count];
      if (!judge(rtp, packet)) {
        ++refused_;
        continue;
      }
      const Words words = before_salt(rtp, static_cast<uint32_t>(packet.index >> 16));
      in[count].words = words ^ in_.salt;
      out[count].words = words ^ out_.salt;
      ++count;
    }
    for (uint32_t i = 0; i < count; ++i) {
      const Judged& packet = judged[i];
      if (!open(packet, in[i]) || !commit(*packet.stream, packet.index)) {
        ++refused_;
        continue;
      }
      protect(out_, packet.rtp, packet_, out[i], packet.header);
      ++relayed_;
    }
  }

  // Its header's length (RFC 3550, section 5.1), its stream, and its index (RFC 3711, section 3.3.1); false:
  // it is none, of nobody, or was seen.
  bool judge(uint8_t* rtp, Judged& out) noexcept {
    if (rtp[0] >> 6 != 2) return false;
    uint32_t header = 12 + 4 * (rtp[0] & 15u);
    if ((rtp[0] & 0x10) != 0) header += 4 + 4 * relay::load_be16(rtp + header + 2);
    if (header + relay::kTagBytes > packet_) return false;
    Stream* const stream = find(relay::load_be32(rtp + 8));
    if (stream == nullptr) return false;
    // The index next to the newest one that ends in this sequence number.
    const auto sequence = relay::load_be16(rtp + 2);
    const auto ahead = static_cast<int16_t>(sequence - static_cast<uint16_t>(stream->newest));
    const uint64_t index = stream->newest + static_cast<uint64_t>(int64_t{ahead});
    out = {rtp, header, index, stream};
    return stream->window.check(index) == relay::ReplayWindow<128>::Verdict::kNew;
  }

  bool open(const Judged& packet, const SrtpNonce& nonce) noexcept {
    const uint32_t text = packet_ - packet.header - relay::kTagBytes;
    std::array<uint8_t, relay::kTagBytes> tag;
    library_.open(in_.key, packet.rtp + packet.header, text, nonce.data(), packet.rtp, packet.header,
                  tag.data());
    return tags_equal(tag.data(), packet.rtp + packet.header + text);
  }

  static bool commit(Stream& stream, uint64_t index) noexcept {
    if (index > stream.newest) stream.newest = index;
    return stream.window.commit(index) == relay::ReplayWindow<128>::Verdict::kNew;
  }

  void protect(const Direction& to, uint8_t* rtp, uint32_t length, const SrtpNonce& nonce,
               uint32_t header = 12) noexcept {
    const uint32_t text = length - header - relay::kTagBytes;
    library_.seal(to.key, rtp + header, text, nonce.data(), rtp, header, rtp + header + text);
  }

  Direction direction(const SrtpMasterKey& master) {
    const SrtpSessionKey session = derive_srtp_key(master);
    Direction out{library_.expand(session.key), {}};
    std::memcpy(&out.salt, session.salt.data(), session.salt.size());
    return out;
  }

  // ---- streams, by SSRC: open addressing, half full

  static constexpr uint32_t kPlaces = 2 * kHopFlows;
  static uint32_t place_of(uint32_t ssrc) noexcept { return ssrc * 0x9e3779b1u >> (32 - 13); }
  static_assert(kPlaces == 1u << 13);
  Stream* find(uint32_t ssrc) noexcept {
    for (uint32_t place = place_of(ssrc); streams_[place].used; place = (place + 1) % kPlaces) {
      if (streams_[place].ssrc == ssrc) return &streams_[place];
    }
    return nullptr;
  }
  Stream& find_or_add(uint32_t ssrc) noexcept {
    uint32_t place = place_of(ssrc);
    while (streams_[place].used && streams_[place].ssrc != ssrc) place = (place + 1) % kPlaces;
    streams_[place].ssrc = ssrc;
    return streams_[place];
  }

  // Another implementation's packet comes in, and opens there when it has left.
  void check_by_libsrtp() {
    const std::unique_ptr<SrtpWitness> witness = make_srtp_witness();
    if (witness == nullptr) return;
    for (uint64_t i = 0; i < kHopBurst; ++i) {
      std::array<uint8_t*, kHopBurst> burst;
      for (uint32_t k = 0; k < kHopBurst; ++k) {
        burst[k] = frames_.payload(k);
        write_rtp(burst[k], counter_++);
        witness->protect(burst[k], packet_ - relay::kTagBytes);
      }
      relay(burst);
      for (uint8_t* const rtp : burst) witness->unprotect(rtp, packet_);
    }
  }

  uint32_t packet_;  // with its tag
  io::MmapPageSource pages_;
  Frames frames_;
  GcmLibrary library_;
  Direction in_, out_;
  std::vector<Stream> streams_ = std::vector<Stream>(kPlaces);
  uint64_t counter_ = 0, relayed_ = 0, refused_ = 0;
};

}  // namespace

std::unique_ptr<Hop> make_srtp_hop(uint32_t payload) {
  return std::make_unique<SrtpHop>(payload);
}

}  // namespace trunkline::bench
