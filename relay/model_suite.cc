// The model suite (relay/model_suite.h). Its datagrams' tag is a multiply-and-fold hash in two independent
// chains of eight bytes per step, keyed by the session's secret.
#include "relay/model_suite.h"

#include <algorithm>
#include <cstring>

#include "core/hash.h"
#include "relay/byte_reader.h"
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

constexpr core::HashKey kCluster{0x6a09e667f3bcc908, 0xbb67ae8584caa73b};  // square roots of 2 and 3
constexpr size_t kNonceBytes = 32, kOrderAt = kNonceBytes, kLengthAt = kOrderAt + 8, kBodyAt = kLengthAt + 2,
                 kModelTagBytes = 8;
static_assert(kBodyAt + kModelTagBytes == kModelHandshakeOverhead);

// What derive() is asked for: one number per use, so that no value serves two.
constexpr uint64_t kInitiatorSends = 1, kResponderSends = 2;

std::array<uint8_t, 32> derive(uint64_t said, uint64_t purpose) noexcept {
  std::array<uint8_t, 32> out;
  for (uint64_t word = 0; word < 4; ++word) {
    std::array<uint8_t, 16> of;
    store_be64(of.data(), purpose);
    store_be64(of.data() + 8, word);
    store_be64(out.data() + 8 * word, core::keyed_hash({said, kCluster.k1}, of));
  }
  return out;
}

bool all_zero(std::span<const uint8_t> bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

}  // namespace

// ---- handshake

void ModelHandshake::begin() noexcept {
  step_ = Step::kIdle;
  initiates_ = false;
  asked_ = said_ = 0;
  const auto now = static_cast<uint64_t>(node_.now_.ns);
  for (size_t at = 0; at < kNonceBytes; at += 8) {
    std::array<uint8_t, 8> drawn;
    store_be64(drawn.data(), node_.rng_.next());
    store_be64(nonce_.data() + at, core::keyed_hash({now, kCluster.k1}, drawn));
  }
}

// msg1 is for somebody; the others are for who said what was said.
uint64_t ModelHandshake::tag(uint8_t message, core::NodeId for_whom,
                             std::span<const uint8_t> bytes) const noexcept {
  const uint64_t before = message == kMsg1 ? for_whom.value : message == kMsg2 ? asked_ : said_;
  return core::keyed_hash({kCluster.k0 ^ message, kCluster.k1 ^ before}, bytes);
}

std::size_t ModelHandshake::write(uint8_t message, std::span<const uint8_t> payload,
                                  std::span<uint8_t> out) noexcept {
  const size_t needed = kModelHandshakeOverhead + payload.size();
  const size_t length = message == kMsg1 ? kMaxHandshakeBytes : needed;
  if (needed > kMaxHandshakeBytes || out.size() < length) return 0;
  const Step before = message == kMsg1 ? Step::kIdle : message == kMsg2 ? Step::kGotMsg1 : Step::kGotMsg2;
  const bool again = message == kMsg1 && step_ == Step::kSentMsg1;
  if (message < kMsg1 || message > kConfirm || (step_ != before && !again)) return 0;

  uint8_t* const p = out.data();
  std::memcpy(p, nonce_.data(), kNonceBytes);
  store_be64(p + kOrderAt, message == kMsg1 ? ++node_.orders_ : node_.orders_);
  store_be16(p + kLengthAt, static_cast<uint16_t>(payload.size()));
  std::copy(payload.begin(), payload.end(), p + kBodyAt);
  std::memset(p + kBodyAt + payload.size(), 0, length - needed);
  const uint64_t mac = tag(message, expected_, out.first(length - kModelTagBytes));
  store_be64(p + length - kModelTagBytes, mac);
  if (message == kMsg1) {
    step_ = Step::kSentMsg1;
    initiates_ = true;
    asked_ = mac;
  } else if (message == kMsg2) {
    said_ = mac;
  }
  return length;
}

Handshake::Read ModelHandshake::read(uint8_t message, std::span<uint8_t> in) noexcept {
  if (in.size() < kModelHandshakeOverhead || in.size() > kMaxHandshakeBytes) return {};
  if (message == kMsg1 && in.size() != kMaxHandshakeBytes) return {};  // a reply could be longer
  const bool expected = message == kMsg1   ? !initiates_
                        : message == kMsg2 ? initiates_ && step_ != Step::kIdle
                                           : message == kConfirm && !initiates_ && said_ != 0;
  if (!expected) return {};
  const std::span<const uint8_t> covered = in.first(in.size() - kModelTagBytes);
  const uint64_t mac = load_be64(in.data() + covered.size());
  if (mac != tag(message, node_.own_, covered)) return {};
  if (message == kMsg2 && said_ != 0 && said_ != mac) return {};  // a second, different reply
  const std::span<const uint8_t> body = covered.subspan(kBodyAt);
  const size_t length = load_be16(in.data() + kLengthAt);
  if (length > body.size() || !all_zero(body.subspan(length))) return {};
  if (message == kMsg1) {
    step_ = Step::kGotMsg1;
    asked_ = mac;
    said_ = 0;
  } else if (message == kMsg2) {
    step_ = Step::kGotMsg2;
    said_ = mac;
  }
  Read read{true, body.first(length)};
  if (message != kConfirm) read.order = load_be64(in.data() + kOrderAt);
  return read;
}

// The nonce that answers is this object's own.
void ModelHandshake::take_over(Handshake& reader) noexcept {
  auto& from = static_cast<ModelHandshake&>(reader);
  begin();
  if (from.step_ != Step::kGotMsg1) return;
  step_ = Step::kGotMsg1;
  asked_ = from.asked_;
  from.step_ = Step::kIdle;
  from.asked_ = from.said_ = 0;
}

SessionKeys ModelHandshake::keys() const noexcept {
  SessionKeys keys;
  keys.suite = Suite::kModel;
  keys.send_secret = derive(said_, initiates_ ? kInitiatorSends : kResponderSends);
  keys.receive_secret = derive(said_, initiates_ ? kResponderSends : kInitiatorSends);
  return keys;
}

// ---- datagrams

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
  return std::make_unique<ModelHandshake>(*this);
}
std::unique_ptr<SessionCrypto> ModelCrypto::make_session() {
  return std::make_unique<ModelSession>();
}
void ModelCrypto::key_session(SessionCrypto& session, const SessionKeys& keys) noexcept {
  static_cast<ModelSession&>(session).key(keys);
}

}  // namespace trunkline::relay
