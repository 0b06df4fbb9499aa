// Packets that prove themselves: written in one pass, checked in one pass; counters seen are one bit each.
#include "tools/demo/demo_media.h"

#include <algorithm>
#include <cstring>

namespace trunkline::tools::demo {
namespace {

// 12 bytes of RTP header (RFC 3550, 5.1), then track 16, zero 16, checksum 32, counter 64, sent 64, filling.
constexpr uint32_t kTrackAt = 12, kSumAt = 16, kCounterAt = 20, kSentAt = 28, kProofEnd = 36;

// FNV-1a over 8-byte words is enough to notice damage, and cheap.
uint32_t checksum(const uint8_t* bytes, uint32_t n) {
  uint64_t h = 0xcbf29ce484222325u;
  for (uint32_t i = 0; i < n; i += 4) {
    uint32_t word = 0;
    std::memcpy(&word, bytes + i, std::min<uint32_t>(4, n - i));
    if (i == kSumAt) word = 0;
    h = (h ^ word) * 0x100000001b3u;
  }
  return static_cast<uint32_t>(h ^ (h >> 32));
}

template <class T>
void put(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <class T>
T get(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

void make_packet(uint8_t* out, uint32_t bytes, uint16_t track, uint64_t counter, int64_t now_ns) {
  const bool video = bytes == kVideoBytes;
  out[0] = 0x80;                                      // version 2
  out[1] = static_cast<uint8_t>((video ? 96 : 111));  // dynamic payload types (RFC 3551, 3)
  out[2] = static_cast<uint8_t>(counter >> 8);
  out[3] = static_cast<uint8_t>(counter);
  const auto timestamp = static_cast<uint32_t>(video ? counter * 432 : counter * 960);
  for (uint32_t i = 0; i < 4; ++i) out[4 + i] = static_cast<uint8_t>(timestamp >> (24 - 8 * i));
  for (uint32_t i = 0; i < 4; ++i) out[8 + i] = static_cast<uint8_t>((track + 1u) >> (24 - 8 * i));
  put<uint16_t>(out + kTrackAt, track);
  put<uint16_t>(out + kTrackAt + 2, 0);
  put<uint64_t>(out + kCounterAt, counter);
  put<int64_t>(out + kSentAt, now_ns);
  for (uint32_t i = kProofEnd; i < bytes; ++i) out[i] = static_cast<uint8_t>(counter + i);
  put<uint32_t>(out + kSumAt, checksum(out, bytes));
}

void TrackCheck::packet(std::span<const uint8_t> rtp, int64_t now_ns) {
  const auto n = static_cast<uint32_t>(rtp.size());
  if ((n != kVideoBytes && n != kAudioBytes) || get<uint16_t>(rtp.data() + kTrackAt) != track_ ||
      get<uint32_t>(rtp.data() + kSumAt) != checksum(rtp.data(), n)) {
    ++damaged_;
    return;
  }
  const uint64_t counter = get<uint64_t>(rtp.data() + kCounterAt);
  if (received_ == 0) first_ = counter;
  if (counter >= seen_.size()) seen_.resize(counter + 1024);
  if (seen_[counter]) {
    ++repeated_;
    return;
  }
  seen_[counter] = true;
  ++received_;
  added_ns_.record(std::max<int64_t>(0, now_ns - get<int64_t>(rtp.data() + kSentAt) - one_way_ns_));
}

}  // namespace trunkline::tools::demo
