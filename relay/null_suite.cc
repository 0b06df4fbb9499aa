// The laboratory handshake and the null suite's tag (relay/null_suite.h).
#include "relay/null_suite.h"

#include <cstring>

#include "core/hash.h"
#include "relay/byte_reader.h"
#include "relay/crc32c.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

constexpr uint32_t kNonceBytes = 32;

// What derive() is asked for: one number per use, so that no value serves two.
constexpr uint64_t kInitiatorSends = 1, kResponderSends = 2, kConfirmation = 3;

// Of the message's number and everything before the checksum.
uint32_t checksum(uint8_t message, std::span<const uint8_t> bytes) {
  return crc32c(bytes, crc32c({&message, 1}));
}

bool all_zero(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    if (byte != 0) return false;
  }
  return true;
}

}  // namespace

// ---- handshake

void NullHandshake::begin() noexcept {
  role_ = Role::kNone;
  have_peer_ = false;
  peer_ = {};
  for (size_t at = 0; at < kNonceBytes; at += 8) store_be64(mine_.data() + at, rng_.next());
}

std::size_t NullHandshake::write(uint8_t message, std::span<const uint8_t> payload,
                                 std::span<uint8_t> out) noexcept {
  const size_t needed = kNullHandshakeOverhead + payload.size();
  const size_t length = message == kMsg1 ? kMaxHandshakeBytes : needed;
  if (needed > kMaxHandshakeBytes || out.size() < length) return 0;
  Nonce nonce = mine_;
  switch (message) {
    case kMsg1:
      if (role_ == Role::kResponder) return 0;
      role_ = Role::kInitiator;
      break;
    case kMsg2:
      if (role_ != Role::kResponder) return 0;
      break;
    case kConfirm:
      if (role_ != Role::kInitiator || !have_peer_) return 0;
      nonce = derive(kConfirmation);
      break;
    default:
      return 0;
  }
  uint8_t* const p = out.data();
  std::memcpy(p, nonce.data(), kNonceBytes);
  store_be16(p + kNonceBytes, static_cast<uint16_t>(payload.size()));
  uint8_t* const body = p + kNonceBytes + 2;
  if (!payload.empty()) std::memcpy(body, payload.data(), payload.size());
  std::memset(body + payload.size(), 0, length - needed);
  store_be32(p + length - 4, checksum(message, {p, length - 4}));
  return length;
}

Handshake::Read NullHandshake::read(uint8_t message, std::span<uint8_t> in) noexcept {
  if (in.size() < kNullHandshakeOverhead || in.size() > kMaxHandshakeBytes) return {};
  if (message == kMsg1 && in.size() != kMaxHandshakeBytes) return {};  // a reply could be longer
  const std::span<const uint8_t> checked = in.first(in.size() - 4);
  if (load_be32(in.data() + checked.size()) != checksum(message, checked)) return {};
  const std::span<const uint8_t> body = checked.subspan(kNonceBytes + 2);
  const size_t length = load_be16(in.data() + kNonceBytes);
  if (length > body.size() || !all_zero(body.subspan(length))) return {};

  Nonce nonce;
  std::memcpy(nonce.data(), in.data(), kNonceBytes);
  switch (message) {
    case kMsg1:
      if (role_ == Role::kInitiator) return {};
      role_ = Role::kResponder;
      break;
    case kMsg2:  // a second, different reply changes nothing
      if (role_ != Role::kInitiator || (have_peer_ && nonce != peer_)) return {};
      break;
    case kConfirm:
      if (role_ != Role::kResponder || !have_peer_ || nonce != derive(kConfirmation)) return {};
      return {true, body.first(length)};
    default:
      return {};
  }
  peer_ = nonce;
  have_peer_ = true;
  return {true, body.first(length)};
}

// The nonce that answers is this object's own.
void NullHandshake::take_over(Handshake& reader) noexcept {
  auto& from = static_cast<NullHandshake&>(reader);
  begin();
  if (from.role_ != Role::kResponder || !from.have_peer_) return;
  role_ = Role::kResponder;
  peer_ = from.peer_;
  have_peer_ = true;
  from.role_ = Role::kNone;
  from.have_peer_ = false;
}

// A function of both nonces and a purpose, the same at both ends.
NullHandshake::Nonce NullHandshake::derive(uint64_t purpose) const noexcept {
  const bool initiator = role_ == Role::kInitiator;
  std::array<uint8_t, 2 * kNonceBytes> both;
  std::memcpy(both.data(), (initiator ? mine_ : peer_).data(), kNonceBytes);
  std::memcpy(both.data() + kNonceBytes, (initiator ? peer_ : mine_).data(), kNonceBytes);
  Nonce out;
  for (uint64_t word = 0; word < kNonceBytes / 8; ++word) {
    store_be64(out.data() + 8 * word, core::keyed_hash({purpose, word}, both));
  }
  return out;
}

SessionKeys NullHandshake::keys() const noexcept {
  const bool initiator = role_ == Role::kInitiator;
  SessionKeys keys;
  keys.suite = suite_;
  keys.send_secret = derive(initiator ? kInitiatorSends : kResponderSends);
  keys.receive_secret = derive(initiator ? kResponderSends : kInitiatorSends);
  return keys;
}

// ---- datagrams

namespace {

struct Tag {
  uint64_t a, b;
};

// Two rounds of multiply and fold over (secret, header's first word, lane): values that look unrelated for
// neighbouring counters, in about 2 ns. `header` holds version, type, phase, lane and counter.
inline Tag null_tag(uint64_t secret_a, uint64_t secret_b, uint64_t header, uint64_t lane) noexcept {
  uint64_t x = (header ^ secret_a) * 0x9e3779b97f4a7c15u;
  x ^= x >> 32;
  x = (x ^ secret_b ^ lane) * 0xbf58476d1ce4e5b9u;
  x ^= x >> 29;
  return {x, (x ^ secret_a) * 0x94d049bb133111ebu};
}

inline uint64_t lane_of(core::CoreId from, core::CoreId to) noexcept {
  return (uint64_t{from.value} << 8) | to.value;
}

}  // namespace

void NullSession::key(const SessionKeys& keys) noexcept {
  send_ = {load_be64(keys.send_secret.data()), load_be64(keys.send_secret.data() + 8)};
  receive_ = {load_be64(keys.receive_secret.data()), load_be64(keys.receive_secret.data() + 8)};
}

void NullSession::seal(core::CoreId from, core::CoreId to, std::span<SealJob> jobs) noexcept {
  for (const SealJob& job : jobs) {
    copy_records(job, kHeaderBytes);
    const Tag tag = null_tag(send_.a, send_.b, load_be64(job.data), lane_of(from, to));
    store_be64(job.data + job.length, tag.a);
    store_be64(job.data + job.length + 8, tag.b);
  }
}

void NullSession::open(core::CoreId from, core::CoreId to, std::span<OpenJob> jobs) noexcept {
  for (OpenJob& job : jobs) {
    job.authentic = false;
    if (job.length < kHeaderBytes + kTagBytes) continue;
    const Tag tag = null_tag(receive_.a, receive_.b, load_be64(job.data), lane_of(from, to));
    const uint8_t* const p = job.data + job.length - kTagBytes;
    job.authentic = load_be64(p) == tag.a && load_be64(p + 8) == tag.b;
  }
}

std::unique_ptr<Handshake> NullCrypto::make_handshake() {
  return std::make_unique<NullHandshake>(rng_, Suite::kNull);
}
std::unique_ptr<SessionCrypto> NullCrypto::make_session() {
  return std::make_unique<NullSession>();
}
void NullCrypto::key_session(SessionCrypto& session, const SessionKeys& keys) noexcept {
  static_cast<NullSession&>(session).key(keys);
}

}  // namespace trunkline::relay
