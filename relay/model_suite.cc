// The model suite's tag (relay/model_suite.h): a multiply-and-fold hash in two independent chains of eight
// bytes per step, keyed by the session's secret.
#include "relay/model_suite.h"

#include <cstring>

#include "relay/wire.h"

namespace trunkline::relay {
namespace {

__extension__ using Wide = unsigned __int128;

inline uint64_t fold(uint64_t a, uint64_t b) noexcept {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t word_at(const uint8_t* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

constexpr uint64_t kA = 0xa0761d6478bd642fu, kB = 0xe7037ed1a0b428dbu;  // odd, half of the bits set

uint64_t hash(const uint64_t (&secret)[2], uint64_t lane, const uint8_t* p, size_t length) noexcept {
  uint64_t x = secret[0] ^ (length * kA);
  uint64_t y = secret[1] ^ (lane * kB);
  for (; length >= 16; length -= 16, p += 16) {
    x = fold(x ^ word_at(p), kA) + secret[1];
    y = fold(y ^ word_at(p + 8), kB) + secret[0];
  }
  uint8_t rest[16]{};  // the length is already in x
  if (length > 0) std::memcpy(rest, p, length);
  x = fold(x ^ word_at(rest), kA);
  y = fold(y ^ word_at(rest + 8), kB);
  return fold(x ^ kB, y ^ kA) ^ x;
}

inline uint64_t lane_of(core::CoreId from, core::CoreId to) noexcept {
  return (uint64_t{from.value} << 8) | to.value;
}

}  // namespace

void ModelSession::key(const SessionKeys& keys) noexcept {
  for (size_t i = 0; i < 2; ++i) {
    send_[i] = load_be64(keys.send_secret.data() + 8 * i);
    receive_[i] = load_be64(keys.receive_secret.data() + 8 * i);
  }
}

void ModelSession::seal(core::CoreId from, core::CoreId to, std::span<SealJob> jobs) noexcept {
  for (const SealJob& job : jobs) {
    copy_records(job, kHeaderBytes);
    const uint64_t tag = hash(send_, lane_of(from, to), job.data, job.length);
    store_be64(job.data + job.length, tag);
    store_be64(job.data + job.length + 8, tag * kA);
  }
}

void ModelSession::open(core::CoreId from, core::CoreId to, std::span<OpenJob> jobs) noexcept {
  for (OpenJob& job : jobs) {
    job.authentic = false;
    if (job.length < kHeaderBytes + kTagBytes) continue;
    const uint32_t length = job.length - kTagBytes;
    const uint64_t tag = hash(receive_, lane_of(from, to), job.data, length);
    job.authentic = load_be64(job.data + length) == tag && load_be64(job.data + length + 8) == tag * kA;
  }
}

std::unique_ptr<Handshake> ModelCrypto::make_handshake() {
  return std::make_unique<NullHandshake>(rng_, Suite::kModel);
}
std::unique_ptr<SessionCrypto> ModelCrypto::make_session() {
  return std::make_unique<ModelSession>();
}
void ModelCrypto::key_session(SessionCrypto& session, const SessionKeys& keys) noexcept {
  static_cast<ModelSession&>(session).key(keys);
}

}  // namespace trunkline::relay
