// The handshake of a link: msg1, msg2, confirm, each possibly lost, repeated, late or forged.
//
//   initiator                                       responder
//   kIdle --msg1--> kAwaitMsg2                      judges HELLO; installs the session, receive only
//                   installs, activates, confirms   <--msg2-- kAwaitProof
//                   kIdle                           --confirm, or any packet of the session--> activates,
//                   kIdle
//
// Both ends start when the link is down. The lower node id's msg1 wins: who has one under way ignores that of
// a higher id and drops its own for that of a lower.
//
// A msg1 is repeated byte for byte, however often, so that an answer to the first still fits when the way is
// longer than the retry interval; and the answer to a repeated msg1 is repeated byte for byte too. Each
// exchange ends after kExchange, and the next begins with fresh keys.
//
// A refusal is msg2 with the setting and both values, or, of an answer, the confirm with the same; what it
// does to the link is in refusal.cc.
#include <algorithm>

#include "relay/certificate.h"
#include "relay/mesh/mesh_state.h"
#include "relay/sealed_envelope.h"
#include "relay/sealed_suite.h"

namespace trunkline::relay::mesh {

namespace {

constexpr Nanos kFirstRetry = core::from_ms(100);
constexpr Nanos kExchange = core::from_s(3);         // then a new msg1; longer than any round trip
constexpr Nanos kLongestBackoff = core::from_s(30);  // of an incompatible link
// More msg1 than these, and one of each peer, in so long are a load: some 5 % of the mesh thread's time.
constexpr Nanos kLoadWindow = core::from_ms(250);
constexpr uint32_t kCalmMsg1 = 64;

std::span<uint8_t> after_header(std::array<uint8_t, kMaxFrameBytes>& datagram, uint16_t length) {
  return std::span(datagram).subspan(kHeaderBytes, length - kHeaderBytes);
}

// Of a msg1, without the place of a cookie at its end, and without the datagram's header, which anybody may
// have changed: with others it is the same message.
uint64_t hash_of(const Frame& frame) {
  const size_t without = std::min<size_t>(kMacBytes, frame.length - kHeaderBytes);
  return core::keyed_hash(
      {}, std::span(frame.bytes).subspan(kHeaderBytes, frame.length - kHeaderBytes - without));
}

}  // namespace

void MeshState::on_handshake(const Frame& frame) {
  counters.add(MeshCounter::handshakes_received);
  crypto.at(now);
  if (frame.length >= kHeaderBytes && frame.length <= kMaxFrameBytes) {
    switch (decode_header(frame.bytes.data()).type) {
      case DatagramType::kHandshake1:
        return on_msg1(frame);
      case DatagramType::kHandshake2:
        return on_msg2(frame);
      case DatagramType::kHandshakeConfirm:
        return on_confirm(frame);
      case DatagramType::kCookieReply:
        return on_cookie(frame);
      case DatagramType::kData:
        break;
    }
  }
  counters.add(MeshCounter::handshakes_ignored);
}

// In msg1 the counter is our own index: who answers without reading it (a cookie reply) answers to that.
size_t MeshState::write_message(Link& l, DatagramType type, uint32_t index,
                                std::span<const uint8_t> payload) {
  DatagramHeader header;
  header.type = type;
  header.session_index = index;
  if (type == DatagramType::kHandshake1) header.counter = l.sessions[l.made & 1].receive_index[0];
  encode_header(l.message.data(), header);
  const size_t length =
      l.handshake->write(static_cast<uint8_t>(type), payload, std::span(l.message).subspan(kHeaderBytes));
  l.message_length = length == 0 ? uint16_t{0} : static_cast<uint16_t>(kHeaderBytes + length);
  l.peer_msg1 = 0;  // what was there answered it, and is gone
  l.answer_proven = false;
  return l.message_length;
}

void MeshState::send_message(Link& l, const UdpAddress& to) {
  l.sent_at = now;
  if (l.message_length != 0) send_handshake(to, std::span(l.message).first(l.message_length));
}

void MeshState::send_handshake(const UdpAddress& to, std::span<const uint8_t> datagram) {
  counters.add(MeshCounter::handshakes_sent);
  outputs_left -= outputs_left > 0 ? 1 : 0;
  sink->handshake(to, datagram);
}

// ---- the initiator

void MeshState::begin_handshake(Link& l) {
  crypto.at(now);
  Hello mine = make_hello(config, incarnation);
  l.made = static_cast<int8_t>(prepare_session(l, mine));
  std::array<uint8_t, kMaxHelloBytes> payload;
  const size_t length = encode(mine, payload);
  l.handshake->begin();
  write_message(l, DatagramType::kHandshake1, 0, std::span(payload).first(length));
  l.step = HandshakeStep::kAwaitMsg2;
  l.exchange_at = now;
  l.sends = 0;
}

void MeshState::handshake_timer(Link& l) {
  if (l.step == HandshakeStep::kAwaitProof) {
    // Ours comes when theirs has failed: the last answer counts, but copies do not hold it up for ever.
    l.retry_at = std::min(l.sent_at, l.exchange_at + kProof) + kProof;
    if (now < l.retry_at) return;
    if (l.made >= 0) remove_session(l, l.made);
    l.made = -1;
    l.step = HandshakeStep::kIdle;
  }
  if (l.alive && !l.incompatible && !wants_new_stream(l) && !wants_new_keys(l)) {
    if (l.step == HandshakeStep::kAwaitMsg2) l.step = HandshakeStep::kIdle;  // it came back by itself
    l.retry_interval = Nanos{0};
    l.retry_at = core::kNever;
    return;
  }
  if (l.step == HandshakeStep::kIdle || now - l.exchange_at > kExchange) begin_handshake(l);
  ++l.sends;
  if (l.message_length != 0)
    l.handshake->stamp(std::span(l.message).subspan(kHeaderBytes, l.message_length - kHeaderBytes), now);
  send_message(l, l.configured);
  // Whoever was refused asks ever more seldom. What is lost is repeated as on any other link: the peer may
  // have another reason by now, or none.
  const Nanos longest = l.incompatible ? kLongestBackoff : kLongestRetry;
  const Nanos grown = l.retry_interval.ns == 0 ? kFirstRetry : l.retry_interval * 3 / 2;
  const bool begins = l.sends == 1 || l.retry_interval.ns == 0;  // or refused the peer in the middle of it
  if (!l.incompatible || begins) l.retry_interval = std::min(grown, longest);
  const Nanos wait = std::min(l.retry_interval, kLongestRetry);
  // Up to a quarter sooner: nodes that started together do not stay in step.
  const auto quarter = static_cast<uint64_t>(wait.ns / 4);
  l.retry_at = now + wait - core::from_ns(static_cast<int64_t>(rng.below(quarter + 1)));
  if (!config.rules.retry_links) l.retry_at = core::kNever;
}

// The link and the exchange that a datagram answers: its index is the one that our HELLO gave for core 0.
// nullptr, and counted: there is none that waits for it. Anybody may say such an index: until the message has
// been read, it does not even have the link looked at in this step.
const Link* MeshState::exchange_of(const Frame& frame, HandshakeStep step) {
  const uint32_t index = decode_header(frame.bytes.data()).session_index;
  const uint32_t slot = SessionIndex::slot(index);
  const Link* const l = slot / 2 < links.size() ? &std::as_const(links)[slot / 2] : nullptr;
  if (l != nullptr && l->step == step && l->made == static_cast<int8_t>(slot & 1) &&
      l->sessions[slot & 1].receive_index[0] == index) {
    return l;
  }
  counters.add(MeshCounter::handshakes_ignored);
  return nullptr;
}

void MeshState::on_msg2(const Frame& frame) {
  const Link* const asked = exchange_of(frame, HandshakeStep::kAwaitMsg2);
  if (asked == nullptr) return;
  std::array<uint8_t, kMaxFrameBytes> bytes = frame.bytes;
  const Handshake::Read read = asked->handshake->read(static_cast<uint8_t>(DatagramType::kHandshake2),
                                                      after_header(bytes, frame.length));
  if (!read.ok && !may_be_told(read.fault)) return counters.add(MeshCounter::handshakes_ignored);
  Link* const l = &links[asked->id];
  if (may_be_told(read.fault)) {
    l->step = HandshakeStep::kIdle;
    l->made = -1;
    return refused(*l, certificate_refusal(read.fault));
  }
  if (payload_kind(read.payload) == PayloadKind::kRefusal) {
    if (const std::optional<Refusal> refusal = decode_refusal(read.payload)) {
      l->step = HandshakeStep::kIdle;
      l->made = -1;
      return refused(*l, *refusal);
    }
  }
  const std::optional<Hello> theirs = decode_hello(read.payload);
  if (!theirs || theirs->node != l->node) {
    counters.add(MeshCounter::handshakes_ignored);
    return;
  }
  if (theirs->incarnation < l->incarnation) return refuse_answer(*l, frame, *theirs);
  l->step = HandshakeStep::kIdle;
  if (const auto refusal = judge(make_hello(config, incarnation), *theirs, config.rules)) {
    l->made = -1;
    return refused(*l, *refusal);
  }
  if (l->sends == 1 && !l->rtt.known()) {
    l->rtt.sample(static_cast<uint32_t>(std::max<int64_t>(1, (now - l->exchange_at).us())));
  }
  // Whatever msg1 it wrote before it answered is a copy from now on; what another life of it wrote says
  // nothing.
  l->order = read.order != 0 ? read.order + 1 : 0;
  l->ordered_incarnation = theirs->incarnation;
  const int8_t parity = l->made;
  install_session(*l, parity, *theirs, l->handshake->keys(), address_of(*l, frame, *theirs));
  if (write_message(*l, DatagramType::kHandshakeConfirm, theirs->cores[0].receive_index, {}) != 0) {
    send_message(*l, frame.address);
  }
  // It answers the confirm: a round trip, which this exchange took at least.
  activate_session(*l, parity, theirs->incarnation, theirs->core_count, now - l->exchange_at);
}

// Asked to show that it is where it says it is: the same msg1 again, with the cookie, at once.
void MeshState::on_cookie(const Frame& frame) {
  const Link* const asked = exchange_of(frame, HandshakeStep::kAwaitMsg2);
  if (asked == nullptr) return;
  std::array<uint8_t, kMaxFrameBytes> bytes = frame.bytes;
  if (asked->handshake->read_cookie(after_header(bytes, frame.length), now)) {
    links[asked->id].retry_at = now;
  } else {
    counters.add(MeshCounter::handshakes_ignored);
  }
}

// Where the session's datagrams are to go: where the message came from, which proves nothing of who sent it
// on. So a peer that is heard at its address, and that only replaces its keys, stays there.
UdpAddress MeshState::address_of(const Link& l, const Frame& frame, const Hello& theirs) const {
  const bool stays = l.alive && l.active >= 0 && theirs.incarnation == l.incarnation;
  return stays ? l.sessions[l.active].address : frame.address;
}

// ---- the responder

void MeshState::on_msg1(const Frame& frame) {
  std::array<uint8_t, kMaxFrameBytes> bytes = frame.bytes;
  if (!admit_msg1(frame, after_header(bytes, frame.length))) return;
  const Handshake::Read read =
      stranger->read(static_cast<uint8_t>(DatagramType::kHandshake1), after_header(bytes, frame.length));
  if (may_be_told(read.fault)) {
    // Its holder has the key, and a signer that is trusted did sign it: it is told what is wrong.
    return refuse_stranger(frame, certificate_refusal(read.fault));
  }
  const std::optional<Hello> theirs = read.ok ? decode_hello(read.payload) : std::nullopt;
  Link* l = theirs && theirs->node != config.id ? find_link(theirs->node) : nullptr;
  const Certificate* const holder = stranger->peer();
  if (l == nullptr || (holder != nullptr && holder->node != theirs->node)) {
    counters.add(MeshCounter::handshakes_ignored);
    return;
  }
  // A copy of an earlier msg1 that somebody kept: what came of it is over, and this must not end what is now.
  // Or the peer came back from a snapshot, and counts again from where it was then: it is told to be somebody
  // new, which a copy's sender can neither read nor follow.
  const bool stale =
      read.order != 0 && theirs->incarnation == l->ordered_incarnation && read.order < l->order;
  // While what a rekey replaced is still received, its place is not free.
  if (l->alive && (stale || l->old_until.ns != 0)) {
    counters.add(MeshCounter::handshakes_ignored);
    return;
  }
  if (stale) return refuse_stranger(frame, outlived(l->ordered_incarnation, theirs->incarnation));
  const uint64_t hash = hash_of(frame);
  if (l->message_length != 0 && l->peer_msg1 == hash && l->step != HandshakeStep::kAwaitMsg2) {
    if (!l->answer_proven) return send_message(*l, frame.address);  // it was lost, or this is a copy
    if (l->alive) {
      counters.add(MeshCounter::handshakes_ignored);  // a copy: the answer has done its work
      return;
    }
    // The peer is as it was before it had the answer: a machine that was restored from a snapshot. The same
    // answer would give it the keys of the former session again, and the numbers with which it used them.
  }
  // Ours wins, and the peer answers it; but not if it cannot read ours, since it has another key by now, or
  // if ours must have been lost and its repetition is far, as on a link that was incompatible and is not any
  // more.
  const bool can_read_ours = holder == nullptr || !l->key || holder->public_key == *l->key;
  if (l->step == HandshakeStep::kAwaitMsg2 && config.id < l->node && can_read_ours &&
      now - l->sent_at < kLongestRetry) {
    counters.add(MeshCounter::handshakes_ignored);
    return;
  }
  // Of lives, the one that is being answered counts, too: a recording of an earlier one does not end that.
  const bool awaits_proof = l->step == HandshakeStep::kAwaitProof;
  const uint64_t known = awaits_proof ? std::max(l->incarnation, l->made_incarnation) : l->incarnation;
  if (theirs->incarnation < known) {
    return refuse_stranger(frame, outlived(known, theirs->incarnation));
  }
  if (const auto refusal = judge(make_hello(config, incarnation), *theirs, config.rules)) {
    refuse_stranger(frame, *refusal);
    return refused_by_us(*l, *refusal);
  }
  answer_msg1(*l, frame, *theirs, read.order, hash);
}

// Whether a msg1 is worth the work of reading it. Under load whoever sends it is to prove its address first:
// this window's, or the one before it.
bool MeshState::admit_msg1(const Frame& frame, std::span<const uint8_t> message) {
  const uint32_t calm = kCalmMsg1 + static_cast<uint32_t>(links.size());
  if (now - msg1_since >= kLoadWindow) {
    msg1_load_before = msg1_count > calm;
    msg1_since = now;
    msg1_count = 0;
  }
  crypto.under_load(++msg1_count > calm || msg1_load_before);
  std::array<uint8_t, kMaxFrameBytes> reply;
  const Handshake::Admission admission =
      stranger->admit(message, frame.address, now, std::span(reply).subspan(kHeaderBytes));
  switch (admission.verdict) {
    case Handshake::Admission::Verdict::kRead:
      return true;
    case Handshake::Admission::Verdict::kReply:
      answer_stranger(frame, DatagramType::kCookieReply, reply, admission.reply_length);
      return false;
    case Handshake::Admission::Verdict::kIgnore:
      break;
  }
  counters.add(MeshCounter::handshakes_ignored);
  return false;
}

// An answer to the msg1 that the stranger's object has just read: no link is touched, for it may be an old
// one.
void MeshState::refuse_stranger(const Frame& frame, const Refusal& refusal) {
  counters.add(MeshCounter::handshakes_refused);
  std::array<uint8_t, kMaxHelloBytes> payload;
  const size_t length = encode(refusal, payload);
  std::array<uint8_t, kMaxFrameBytes> answer;
  answer_stranger(frame, DatagramType::kHandshake2, answer,
                  stranger->write(static_cast<uint8_t>(DatagramType::kHandshake2),
                                  std::span(payload).first(length), std::span(answer).subspan(kHeaderBytes)));
  stranger->begin();  // so that nothing of this exchange is left for the next
}

// The `length` bytes behind the header's place in `datagram`, to the index that the msg1 gives in its header.
void MeshState::answer_stranger(const Frame& msg1, DatagramType type,
                                std::array<uint8_t, kMaxFrameBytes>& datagram, size_t length) {
  if (length == 0) return;
  DatagramHeader header;
  header.type = type;
  header.session_index = static_cast<uint32_t>(decode_header(msg1.bytes.data()).counter);
  encode_header(datagram.data(), header);
  send_handshake(msg1.address, std::span(datagram).first(kHeaderBytes + length));
}

// The stranger's object has read it, and `order` is what it said.
void MeshState::answer_msg1(Link& l, const Frame& frame, const Hello& theirs, uint64_t order, uint64_t hash) {
  if (l.made >= 0) remove_session(l, l.made);
  l.handshake->take_over(*stranger);
  l.order = order;
  l.ordered_incarnation = theirs.incarnation;
  // Both ends accept it, or one would have been refused.
  const HelloSetting* const suite = theirs.find_setting("suite");
  if (const auto chosen = sealed_suite_named(suite != nullptr ? suite->current : ""))
    l.handshake->use(*chosen);
  Hello mine = make_hello(config, incarnation);
  l.made = static_cast<int8_t>(prepare_session(l, mine));
  std::array<uint8_t, kMaxHelloBytes> payload;
  const size_t length = encode(mine, payload);
  if (write_message(l, DatagramType::kHandshake2, theirs.cores[0].receive_index,
                    std::span(payload).first(length)) == 0) {
    return;
  }
  l.peer_msg1 = hash;
  install_session(l, l.made, theirs, l.handshake->keys(), address_of(l, frame, theirs));
  l.made_incarnation = theirs.incarnation;
  l.made_cores = theirs.core_count;
  l.step = HandshakeStep::kAwaitProof;
  l.exchange_at = now;
  l.retry_at = now + kProof;
  send_message(l, frame.address);
}

void MeshState::on_confirm(const Frame& frame) {
  const Link* const answered = exchange_of(frame, HandshakeStep::kAwaitProof);
  if (answered == nullptr) return;
  std::array<uint8_t, kMaxFrameBytes> bytes = frame.bytes;
  const Handshake::Read read = answered->handshake->read(
      static_cast<uint8_t>(DatagramType::kHandshakeConfirm), after_header(bytes, frame.length));
  if (!read.ok) return counters.add(MeshCounter::handshakes_ignored);
  Link* const l = &links[answered->id];
  if (read.payload.empty()) return proven(*l);
  const std::optional<Refusal> refusal = decode_refusal(read.payload);
  if (!refusal) {
    counters.add(MeshCounter::handshakes_ignored);
    return;
  }
  remove_session(*l, l->made);
  l->made = -1;
  l->step = HandshakeStep::kIdle;
  refused(*l, *refusal);
}

void MeshState::proven(Link& l) {
  if (!l.rtt.known()) {
    l.rtt.sample(static_cast<uint32_t>(std::max<int64_t>(1, (now - l.exchange_at).us())));
  }
  l.step = HandshakeStep::kIdle;
  l.answer_proven = true;
  if (l.order != 0) ++l.order;  // that msg1 has done its work
  // It may have a new key by now, which its certificate was for.
  if (const Certificate* const holder = l.handshake->peer(); holder != nullptr) {
    l.key = holder->public_key;
    l.handshake->expect({l.node, *l.key});
  }
  activate_session(l, l.made, l.made_incarnation, l.made_cores, Nanos{0});
}

}  // namespace trunkline::relay::mesh
