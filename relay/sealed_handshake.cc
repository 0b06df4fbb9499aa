// See sealed_handshake.h.
#include "relay/sealed_handshake.h"

#include <sodium/crypto_auth_hmacsha256.h>

#include <algorithm>
#include <string_view>

#include "relay/text.h"

namespace trunkline::relay {
namespace {

constexpr std::string_view kPrologue = "trunkline handshake 1";
constexpr std::string_view kSessionLabel = "trunkline session 1";
constexpr std::string_view kConfirmLabel = "trunkline confirm 1";

// The plaintext of a msg1: whatever its payload, it is as long.
constexpr size_t kMsg1Plaintext = kMaxHandshakeBytes - kMacsBytes - noise::kMessage1Overhead;
constexpr size_t kPlaintextOverhead = kCertificateBytes + kSealedFieldBytes;
static_assert(kMsg1Plaintext - kPlaintextOverhead >= kMaxHelloBytes);
static_assert(kMaxHelloBytes + kSealedMsg2Overhead <= kMaxHandshakeBytes, "msg2 is not longer than msg1");

Secret derive(const Secret& key, std::string_view label, Bytes context) noexcept {
  Secret out;
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key.data(), kKeyBytes);
  crypto_auth_hmacsha256_update(&state, as_bytes(label).data(), label.size());
  crypto_auth_hmacsha256_update(&state, context.data(), context.size());
  crypto_auth_hmacsha256_final(&state, out.data());
  wipe({reinterpret_cast<uint8_t*>(&state), sizeof state});
  return out;
}

// mac1 of all before it, behind it.
void put_mac1(uint8_t message, const Key& key, std::span<uint8_t> out, size_t covered) noexcept {
  const Mac mac = message_mac(key, message, out.first(covered));
  std::copy(mac.begin(), mac.end(), out.begin() + static_cast<std::ptrdiff_t>(covered));
}

}  // namespace

SealedHandshake::~SealedHandshake() {
  wipe(cookie_);
}

void SealedHandshake::begin() noexcept {
  step_ = Step::kIdle;
  suite_ = own_suite_;
  refused_ = confirmed_ = false;
  noise_ = {};
  initiator_sends_ = responder_sends_ = confirm_key_ = {};
  transcript_ = {};
  has_peer_ = false;
  awaits_cookie_ = false;  // a cookie that we have stays good: it is of our address, not of an exchange
}

void SealedHandshake::expect(const ExpectedPeer& peer) noexcept {
  if (has_expected_ && peer.public_key != expected_.public_key) has_cookie_ = false;
  expected_ = peer;
  has_expected_ = true;
}

const Key& SealedHandshake::responder_key() const noexcept {
  return initiates() ? noise_.peer() : identity_.key().public_key;
}

// ---- writing

std::size_t SealedHandshake::write(uint8_t message, std::span<const uint8_t> payload,
                                   std::span<uint8_t> out) noexcept {
  switch (message) {
    case kMsg1:
      return write_msg1(payload, out);
    case kMsg2:
      return write_msg2(payload, out);
    case kConfirm:
      return write_confirm(payload, out);
    default:
      return 0;
  }
}

// Returns the length; what is behind it in `out` is zeros.
size_t SealedHandshake::fill_plaintext(uint64_t order, Bytes payload, std::span<uint8_t> out) const noexcept {
  const CertificateBytes& certificate = identity_.certificate();
  auto at = std::copy(certificate.begin(), certificate.end(), out.begin());
  store_be64(&*at, order);
  store_be16(&*at + 8, static_cast<uint16_t>(payload.size()));
  at = std::copy(payload.begin(), payload.end(), at + kSealedFieldBytes);
  std::fill(at, out.end(), uint8_t{0});
  return kPlaintextOverhead + payload.size();
}

size_t SealedHandshake::write_msg1(Bytes payload, std::span<uint8_t> out) noexcept {
  if (!has_expected_ || step_ == Step::kGotMsg1 || step_ == Step::kSentMsg2) return 0;
  if (payload.size() > kMsg1Plaintext - kPlaintextOverhead || out.size() < kMaxHandshakeBytes) return 0;
  out = out.first(kMaxHandshakeBytes);
  std::array<uint8_t, kMsg1Plaintext> plaintext;
  fill_plaintext(identity_.next_order(), payload, plaintext);
  auto state = noise::HandshakeState::initiator(as_bytes(kPrologue), identity_.key(), expected_.public_key);
  const auto ephemeral = identity_.fresh_key_pair();
  const size_t length = state.write(ephemeral, plaintext, out.first(out.size() - kMacsBytes));
  if (length == 0) return 0;
  put_mac1(kMsg1, mac1_key(expected_.public_key), out, length);
  std::fill(out.end() - kMacBytes, out.end(), uint8_t{0});  // stamp() puts mac2 there
  begin();
  noise_ = state;
  step_ = Step::kSentMsg1;
  std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(length), kMacBytes, sent_mac1_.begin());
  awaits_cookie_ = true;
  return out.size();
}

size_t SealedHandshake::write_msg2(Bytes payload, std::span<uint8_t> out) noexcept {
  if (step_ != Step::kGotMsg1 && step_ != Step::kSentMsg2) return 0;
  const size_t whole = kSealedMsg2Overhead + payload.size();
  if (whole > kMaxHandshakeBytes || out.size() < whole) return 0;
  std::array<uint8_t, kMaxHandshakeBytes> plaintext;
  const size_t plain_length = fill_plaintext(identity_.last_order(), payload, plaintext);
  noise::HandshakeState state = noise_;
  const auto ephemeral = identity_.fresh_key_pair();
  const size_t length = state.write(ephemeral, Bytes(plaintext).first(plain_length), out);
  if (length == 0) return 0;
  put_mac1(kMsg2, mac1_key(noise_.peer()), out, length);
  std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(length + kMacBytes), kMacBytes, uint8_t{0});
  established(state);
  step_ = Step::kSentMsg2;
  return whole;
}

// Once per exchange: its key has one nonce.
size_t SealedHandshake::write_confirm(Bytes payload, std::span<uint8_t> out) noexcept {
  const size_t whole = kSealedConfirmOverhead + payload.size();
  if (step_ != Step::kEstablished || confirmed_ || whole > kMaxHandshakeBytes || out.size() < whole) return 0;
  const size_t length = payload.size() + noise::kTagBytes;
  noise::CipherState(confirm_key_).encrypt(transcript_, payload, out.first(length));
  put_mac1(kConfirm, mac1_key(responder_key()), out, length);
  confirmed_ = true;
  return whole;
}

// ---- reading

Handshake::Read SealedHandshake::read(uint8_t message, std::span<uint8_t> in) noexcept {
  if (in.size() > kMaxHandshakeBytes) {
    identity_.counts.add(SealedCounter::malformed);
    return {};
  }
  switch (message) {
    case kMsg1:
      return read_msg1(in);
    case kMsg2:
      return read_msg2(in);
    case kConfirm:
      return read_confirm(in);
    default:
      return {};
  }
}

// What was read holds for this object too, but that it is of the node that this one expects.
void SealedHandshake::take_over(Handshake& reader) noexcept {
  auto& from = static_cast<SealedHandshake&>(reader);
  begin();
  const bool expected = !has_expected_ || expected_.node.value == 0 || from.peer_.node == expected_.node;
  if (from.step_ == Step::kGotMsg1 && from.has_peer_ && expected) {
    noise_ = from.noise_;
    step_ = Step::kGotMsg1;
    peer_ = from.peer_;
    has_peer_ = true;
  }
  from.begin();
}

bool SealedHandshake::check_mac1(uint8_t message, const Key& key, Bytes covered, Bytes mac1) noexcept {
  const bool right = equal_in_constant_time(message_mac(key, message, covered), mac1);
  identity_.counts.add(SealedCounter::wrong_mac1, right ? 0 : 1);
  return right;
}

// What a Noise message carried: the sender's certificate, judged, and the payload. Here the sender is known
// to hold `sender`, so what is wrong is worth a sentence.
Handshake::Read SealedHandshake::open_plaintext(uint8_t message, Bytes plaintext, const Key& sender,
                                                Certificate& certificate) noexcept {
  ByteReader in(plaintext);
  const Bytes signed_part = in.take(kCertificateBytes);
  const uint64_t order = in.u64();
  const size_t length = in.u16();
  const Bytes payload = in.take(length);
  const Bytes rest = in.take(in.remaining());
  const bool filled = std::all_of(rest.begin(), rest.end(), [](uint8_t byte) { return byte == 0; });
  const bool canonical = message == kMsg1 ? order != 0 && filled : rest.empty();
  if (!in.ok() || !canonical) {
    identity_.counts.add(SealedCounter::forged);
    return {};
  }
  CertificateFault fault = identity_.judge(signed_part, sender, certificate);
  const bool foreign = has_expected_ && expected_.node.value != 0 && certificate.node != expected_.node;
  if (fault == CertificateFault::kNone && foreign) fault = CertificateFault::kWrongNode;
  if (fault != CertificateFault::kNone) {
    identity_.counts.add(SealedCounter::certificate_refused);
    return {false, {}, fault};
  }
  return {true, payload, fault, order};
}

Handshake::Read SealedHandshake::read_msg1(Bytes in) noexcept {
  if (initiates()) return {};
  if (in.size() != kMaxHandshakeBytes) {  // a reply could be longer
    identity_.counts.add(SealedCounter::malformed);
    return {};
  }
  const Bytes message = in.first(in.size() - kMacsBytes);
  if (!check_mac1(kMsg1, identity_.own_mac1_key(), message, in.subspan(message.size(), kMacBytes))) return {};
  auto state = noise::HandshakeState::responder(as_bytes(kPrologue), identity_.key());
  const auto plaintext = std::span(opened_).first(kMsg1Plaintext);
  if (!state.read(message, plaintext)) {
    identity_.counts.add(SealedCounter::forged);
    return {};
  }
  Certificate certificate;
  const Read read = open_plaintext(kMsg1, plaintext, state.peer(), certificate);
  // One that is to be refused takes no exchange's place.
  if (!read.ok && (!may_be_told(read.fault) || step_ == Step::kSentMsg2)) return read;
  begin();
  noise_ = state;
  step_ = Step::kGotMsg1;
  refused_ = !read.ok;
  peer_ = certificate;
  has_peer_ = read.ok;
  return read;
}

Handshake::Read SealedHandshake::read_msg2(Bytes in) noexcept {
  if (!initiates()) return {};
  if (in.size() < kSealedMsg2Overhead) {
    identity_.counts.add(SealedCounter::malformed);
    return {};
  }
  const Bytes message = in.first(in.size() - kMacsBytes), mac2 = in.last(kMacBytes);
  if (!check_mac1(kMsg2, identity_.own_mac1_key(), message, in.subspan(message.size(), kMacBytes))) return {};
  noise::HandshakeState state = noise_;
  const auto plaintext = std::span(opened_).first(message.size() - noise::kMessage2Overhead);
  const bool authentic = std::all_of(mac2.begin(), mac2.end(), [](uint8_t byte) { return byte == 0; }) &&
                         state.read(message, plaintext);
  // A second, different reply changes nothing, though it is authentic.
  const bool accepted = step_ == Step::kEstablished && !refused_;
  if (!authentic || (accepted && state.hash() != transcript_)) {
    identity_.counts.add(SealedCounter::forged);
    return {};
  }
  Certificate certificate;
  const Read read = open_plaintext(kMsg2, plaintext, state.peer(), certificate);
  if (accepted || (!read.ok && !may_be_told(read.fault))) return read;
  established(state);
  step_ = Step::kEstablished;
  refused_ = !read.ok;
  peer_ = certificate;
  has_peer_ = read.ok;
  return read;
}

Handshake::Read SealedHandshake::read_confirm(Bytes in) noexcept {
  if (step_ != Step::kSentMsg2) return {};
  if (in.size() < kSealedConfirmOverhead) {
    identity_.counts.add(SealedCounter::malformed);
    return {};
  }
  const Bytes message = in.first(in.size() - kMacBytes);
  if (!check_mac1(kConfirm, identity_.own_mac1_key(), message, in.last(kMacBytes))) return {};
  const auto payload = std::span(opened_).first(message.size() - noise::kTagBytes);
  if (!noise::CipherState(confirm_key_).decrypt(transcript_, message, payload)) {
    identity_.counts.add(SealedCounter::forged);
    return {};
  }
  return {true, payload};
}

// ---- keys

void SealedHandshake::established(const noise::HandshakeState& after_msg2) noexcept {
  if (after_msg2.hash() != transcript_) confirmed_ = false;  // the confirm has another key
  const auto split = after_msg2.split();
  const uint8_t suite = static_cast<uint8_t>(suite_);
  initiator_sends_ = derive(split.initiator_sends.key(), kSessionLabel, {&suite, 1});
  responder_sends_ = derive(split.responder_sends.key(), kSessionLabel, {&suite, 1});
  confirm_key_ = derive(split.initiator_sends.key(), kConfirmLabel, {});
  transcript_ = after_msg2.hash();
}

SessionKeys SealedHandshake::keys() const noexcept {
  SessionKeys keys;
  keys.suite = suite_;
  if (!has_keys()) return keys;
  const bool initiator = initiates();
  keys.send_secret = (initiator ? initiator_sends_ : responder_sends_).bytes();
  keys.receive_secret = (initiator ? responder_sends_ : initiator_sends_).bytes();
  return keys;
}

// ---- under load

Handshake::Admission SealedHandshake::admit(std::span<const uint8_t> msg1, const core::UdpAddress& from,
                                            core::Nanos now, std::span<uint8_t> reply) noexcept {
  using Verdict = Admission::Verdict;
  if (msg1.size() != kMaxHandshakeBytes) {
    identity_.counts.add(SealedCounter::malformed);
    return {Verdict::kIgnore};
  }
  const Bytes covered = msg1.first(msg1.size() - kMacsBytes), mac1 = msg1.subspan(covered.size(), kMacBytes);
  if (!check_mac1(kMsg1, identity_.own_mac1_key(), covered, mac1)) return {Verdict::kIgnore};
  if (!identity_.under_load()) return {Verdict::kRead};
  if (identity_.check_mac2(msg1, from, now)) {
    if (identity_.limiter().try_take(from, now)) return {Verdict::kRead};
    identity_.counts.add(SealedCounter::limited);
    return {Verdict::kIgnore};
  }
  if (reply.size() < kCookieReplyBytes) return {Verdict::kIgnore};
  identity_.write_cookie_reply(mac1, from, now, reply.first(kCookieReplyBytes));
  identity_.counts.add(SealedCounter::cookies_sent);
  return {Verdict::kReply, kCookieReplyBytes};
}

// One reply per msg1 counts. Whoever saw the msg1 can make one, which cannot be helped: he could have dropped
// it.
bool SealedHandshake::read_cookie(std::span<const uint8_t> in, core::Nanos now) noexcept {
  if (step_ != Step::kSentMsg1 || !awaits_cookie_) return false;
  if (!open_cookie(cookie_reply_key(responder_key()), sent_mac1_, in, cookie_)) {
    identity_.counts.add(SealedCounter::forged);
    return false;
  }
  cookie_at_ = now;
  has_cookie_ = true;
  awaits_cookie_ = false;
  return true;
}

void SealedHandshake::stamp(std::span<uint8_t> msg1, core::Nanos now) noexcept {
  if (msg1.size() != kMaxHandshakeBytes) return;
  Mac mac2{};
  if (has_cookie_ && now - cookie_at_ < kCookieLife) {
    mac2 = message_mac(cookie_, kMsg1, msg1.first(msg1.size() - kMacBytes));
  }
  std::copy(mac2.begin(), mac2.end(), msg1.end() - kMacBytes);
}

}  // namespace trunkline::relay
