// Each message's fields, once, in wire order: `fields()` below. Three visitors run over them: Encoder,
// Decoder, and Describer, whose text is hashed into the schema's fingerprint.
#include "relay/mesh/messages.h"

#include <concepts>
#include <type_traits>

#include "relay/byte_reader.h"
#include "relay/text.h"

namespace trunkline::relay {
namespace {

template <class M, class Struct>
concept Of = std::same_as<std::remove_const_t<M>, Struct>;

// Whether zero is a value of a field, or a mistake.
enum class Zero : uint8_t { kAllowed, kRefused };

// ---- the fields. A name says the unit; the order is the wire's.

template <class V, Of<Announce> M>
void fields(V& v, M& m) {
  v.track("track", m.track);
  v.u64("generation", m.generation, Zero::kRefused);
  v.bits("flowing", m.flowing);
  v.traffic_class("class", m.traffic_class);
}

template <class V, Of<Withdraw> M>
void fields(V& v, M& m) {
  v.track("track", m.track);
  v.u64("generation", m.generation, Zero::kRefused);
}

template <class V, Of<SnapshotEnd> M>
void fields(V&, M&) {}

template <class V, Of<Acquire> M>
void fields(V& v, M& m) {
  v.u64("request_id", m.request_id, Zero::kRefused);
  v.track("track", m.track);
  v.label("media_label", m.label, Zero::kRefused);
  v.core("owner_core", m.owner_core);
  v.u32("budget_us", m.budget_us);
  v.u8("hop_limit", m.hop_limit);
  v.u64("believed_generation", m.believed_generation, Zero::kAllowed);
  v.path("path", m.path, m.path_length);
}

template <class V, Of<Answer> M>
void fields(V& v, M& m) {
  v.u64("request_id", m.request_id, Zero::kRefused);
  v.answer("outcome", m.outcome);
  v.bits("authoritative,flowing,pending", m.authoritative, m.flowing, m.pending);
  v.u64("generation", m.generation, Zero::kAllowed);
  v.u64("moved_to_node", m.node.value, Zero::kAllowed);
  v.label("feedback_label", m.feedback_label, Zero::kAllowed);
  v.core("feedback_core", m.core);
  v.u32("retry_after_us", m.retry_after_us);
  v.u32("next_by_us", m.next_by_us);
  v.path("path", m.path, m.path_length);
  v.text("text", m.text, kMaxAnswerText);
  v.blob("descriptor", m.descriptor, kMaxAnswerDescriptor);
}

template <class V, Of<Release> M>
void fields(V& v, M& m) {
  v.u64("request_id", m.request_id, Zero::kRefused);
  v.label("media_label", m.label, Zero::kRefused);
  v.track("track", m.track);
}

template <class V, Of<Ended> M>
void fields(V& v, M& m) {
  v.u64("request_id", m.request_id, Zero::kRefused);
  v.track("track", m.track);
  v.label("media_label", m.label, Zero::kRefused);
  v.reason("reason", m.reason);
  v.u64("generation", m.generation, Zero::kAllowed);
}

// ---- what a value may be

constexpr bool is_outcome(uint8_t number) {
  switch (number) {
#define X(name, value, label, text) case value:
    TRUNKLINE_OUTCOMES(X)
#undef X
    return true;
    default:
      return false;
  }
}
constexpr uint8_t kFirstLocalOutcome = static_cast<uint8_t>(Outcome::no_reply);
static_assert(kFirstLocalOutcome == 32, "messages.h says so");

constexpr bool is_answer(uint8_t number) {
  return number < kFirstLocalOutcome && is_outcome(number);
}
constexpr bool is_class(uint8_t number) {
  return number <= static_cast<uint8_t>(TrafficClass::kControl);
}

// ---- Encoder: a value that is not allowed fails the message, as one that does not fit does.

class Encoder {
 public:
  explicit Encoder(std::span<uint8_t> out) : out_(out) {}

  void track(std::string_view, const core::TrackId& track) { out_.bytes(track.bytes); }
  void u8(std::string_view, uint8_t value) { out_.u8(value); }
  void u32(std::string_view, uint32_t value) { out_.u32(value); }
  void u64(std::string_view, uint64_t value, Zero zero) {
    require(value != 0 || zero == Zero::kAllowed);
    out_.u64(value);
  }
  void label(std::string_view, Label label, Zero zero) {
    require(label.value != 0 || zero == Zero::kAllowed);
    out_.u32(label.value);
  }
  void core(std::string_view, core::CoreId core) {
    require(core.value < core::kMaxCores);
    out_.u8(core.value);
  }
  void traffic_class(std::string_view, TrafficClass value) {
    require(is_class(static_cast<uint8_t>(value)));
    out_.u8(static_cast<uint8_t>(value));
  }
  void answer(std::string_view, Outcome outcome) {
    require(is_answer(static_cast<uint8_t>(outcome)));
    out_.u8(static_cast<uint8_t>(outcome));
  }
  void reason(std::string_view, Outcome outcome) {
    require(is_outcome(static_cast<uint8_t>(outcome)));
    out_.u8(static_cast<uint8_t>(outcome));
  }
  template <class... Flags>
  void bits(std::string_view, Flags... flags) {
    unsigned value = 0, bit = 1;
    ((value |= flags ? bit : 0, bit <<= 1), ...);
    out_.u8(static_cast<uint8_t>(value));
  }
  void path(std::string_view, const std::array<core::NodeId, kMaxPath>& nodes, uint8_t length) {
    require(length <= kMaxPath);
    out_.u8(length);
    for (size_t i = 0; ok_ && i < length; ++i) {
      require(nodes[i].value != 0);
      out_.u64(nodes[i].value);
    }
  }
  void text(std::string_view, std::string_view text, uint32_t max) {
    require(is_plain_text(text));
    blob({}, as_bytes(text), max);
  }
  void blob(std::string_view, std::span<const uint8_t> bytes, uint32_t max) {
    require(bytes.size() <= max);
    if (!ok_) return;
    out_.u16(static_cast<uint16_t>(bytes.size()));
    out_.bytes(bytes);
  }
  void header(MessageType type, uint16_t length) {
    out_.u8(static_cast<uint8_t>(type));
    out_.u16(length);
  }
  size_t length() const { return ok_ ? out_.length() : 0; }

 private:
  void require(bool condition) { ok_ = ok_ && condition; }

  ByteWriter out_;
  bool ok_ = true;
};

// ---- Decoder: reads straight down; ok() once at the end.

class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> body) : in_(body) {}

  void track(std::string_view, core::TrackId& track) {
    const Bytes bytes = in_.take(track.bytes.size());
    for (size_t i = 0; i < bytes.size(); ++i) track.bytes[i] = bytes[i];
  }
  void u8(std::string_view, uint8_t& value) { value = in_.u8(); }
  void u32(std::string_view, uint32_t& value) { value = in_.u32(); }
  void u64(std::string_view, uint64_t& value, Zero zero) {
    value = in_.u64();
    require(value != 0 || zero == Zero::kAllowed);
  }
  void label(std::string_view, Label& label, Zero zero) {
    label.value = in_.u32();
    require(label.value != 0 || zero == Zero::kAllowed);
  }
  void core(std::string_view, core::CoreId& core) {
    core.value = in_.u8();
    require(core.value < core::kMaxCores);
  }
  void traffic_class(std::string_view, TrafficClass& value) {
    const uint8_t number = in_.u8();
    require(is_class(number));
    value = static_cast<TrafficClass>(number);
  }
  void answer(std::string_view, Outcome& outcome) {
    const uint8_t number = in_.u8();
    require(is_answer(number));
    outcome = static_cast<Outcome>(number);
  }
  void reason(std::string_view, Outcome& outcome) {
    const uint8_t number = in_.u8();
    require(is_outcome(number));
    outcome = static_cast<Outcome>(number);
  }
  template <class... Flags>
  void bits(std::string_view, Flags&... flags) {
    const unsigned value = in_.u8();
    unsigned bit = 1;
    ((flags = (value & bit) != 0, bit <<= 1), ...);
    require(value < bit);
  }
  void path(std::string_view, std::array<core::NodeId, kMaxPath>& nodes, uint8_t& length) {
    length = in_.u8();
    require(length <= kMaxPath);
    for (size_t i = 0; ok_ && i < length; ++i) {
      nodes[i].value = in_.u64();
      require(nodes[i].value != 0);
    }
  }
  void text(std::string_view, std::string_view& text, uint32_t max) {
    std::span<const uint8_t> bytes;
    blob({}, bytes, max);
    text = as_text(bytes);
    require(is_plain_text(text));
  }
  void blob(std::string_view, std::span<const uint8_t>& bytes, uint32_t max) {
    const uint16_t length = in_.u16();
    require(length <= max);
    bytes = in_.take(length);
  }
  // Every value was allowed, none was missing, nothing was left.
  bool ok() const { return ok_ && in_.ok() && in_.remaining() == 0; }

 private:
  void require(bool condition) { ok_ = ok_ && condition; }

  ByteReader in_;
  bool ok_ = true;
};

// ---- Describer

class Describer {
 public:
  explicit Describer(std::string& out) : out_(out) {}

  void track(std::string_view name, core::TrackId&) { add(name, "track 128"); }
  void u8(std::string_view name, uint8_t) { add(name, "u8"); }
  void u32(std::string_view name, uint32_t) { add(name, "u32"); }
  void u64(std::string_view name, uint64_t, Zero zero) { add(name, "u64", zero); }
  void label(std::string_view name, Label, Zero zero) { add(name, "label 32", zero); }
  void core(std::string_view name, core::CoreId) { add(name, "core 8"); }
  void traffic_class(std::string_view name, TrafficClass) { add(name, "class 8"); }
  void answer(std::string_view name, Outcome) { add(name, "outcome 8 below 32"); }
  void reason(std::string_view name, Outcome) { add(name, "outcome 8"); }
  template <class... Flags>
  void bits(std::string_view names, Flags...) {
    add(names, "bits 8 from the lowest");
  }
  void path(std::string_view name, const std::array<core::NodeId, kMaxPath>&, uint8_t) {
    add(name, "count 8, node u64 not 0", kMaxPath);
  }
  void text(std::string_view name, std::string_view, uint32_t max) { add(name, "length 16, text", max); }
  void blob(std::string_view name, std::span<const uint8_t>, uint32_t max) {
    add(name, "length 16, bytes", max);
  }

 private:
  void add(std::string_view name, std::string_view type) {
    out_ += "  ";
    out_ += name;
    out_ += ": ";
    out_ += type;
    out_ += '\n';
  }
  void add(std::string_view name, std::string_view type, Zero zero) {
    add(name, zero == Zero::kRefused ? std::string(type) + " not 0" : std::string(type));
  }
  void add(std::string_view name, std::string_view type, uint32_t max) {
    add(name, std::string(type) + ", at most " + std::to_string(max));
  }

  std::string& out_;
};

template <class M>
void describe(std::string_view name, std::string& out) {
  out += name;
  out += ' ';
  out += std::to_string(static_cast<unsigned>(M::kType));
  out += '\n';
  M message;
  Describer describer(out);
  fields(describer, message);
}

// ---- whole messages

template <class M>
size_t encode_message(const M& message, std::span<uint8_t> out) noexcept {
  if (out.size() < kMessageHeaderBytes) return 0;
  Encoder body(out.subspan(kMessageHeaderBytes));
  fields(body, message);
  const size_t length = body.length();
  if (length == 0 && !std::is_same_v<M, SnapshotEnd>) return 0;  // only SnapshotEnd has an empty body
  Encoder(out).header(M::kType, static_cast<uint16_t>(length));
  return kMessageHeaderBytes + length;
}
static_assert(kMessageHeaderBytes + 41 + 1 + 8 * kMaxPath + 2 + kMaxAnswerText + 2 + kMaxAnswerDescriptor <=
                  kMaxMessageBytes,
              "the largest message");

template <class M>
bool decode_message(std::span<const uint8_t> body, Message& message) noexcept {
  M decoded;
  Decoder decoder(body);
  fields(decoder, decoded);
  if (!decoder.ok()) return false;
  message = decoded;
  return true;
}

}  // namespace

size_t encode(const Announce& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}
size_t encode(const Withdraw& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}
size_t encode(const SnapshotEnd& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}
size_t encode(const Acquire& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}
size_t encode(const Answer& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}
size_t encode(const Release& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}
size_t encode(const Ended& message, std::span<uint8_t> out) noexcept {
  return encode_message(message, out);
}

MessageReader::Item MessageReader::next() noexcept {
  if (rest_.empty()) return Item::kEnd;
  ByteReader reader(rest_);
  const auto type = static_cast<MessageType>(reader.u8());
  const uint16_t length = reader.u16();
  const Bytes body = reader.take(length);
  rest_ = rest_.last(reader.remaining());
  if (!reader.ok()) return Item::kMalformed;

  bool known = true, good = false;
  switch (type) {
    case MessageType::kAnnounce:
      good = decode_message<Announce>(body, message_);
      break;
    case MessageType::kWithdraw:
      good = decode_message<Withdraw>(body, message_);
      break;
    case MessageType::kSnapshotEnd:
      good = decode_message<SnapshotEnd>(body, message_);
      break;
    case MessageType::kAcquire:
      good = decode_message<Acquire>(body, message_);
      break;
    case MessageType::kAnswer:
      good = decode_message<Answer>(body, message_);
      break;
    case MessageType::kRelease:
      good = decode_message<Release>(body, message_);
      break;
    case MessageType::kEnded:
      good = decode_message<Ended>(body, message_);
      break;
    default:
      known = false;
  }
  if (!known) return Item::kUnknownType;
  if (good) return Item::kMessage;
  rest_ = {};
  return Item::kMalformed;
}

std::string schema_text() {
  std::string out = "message: type 8, length 16, body; big-endian\n";
  describe<Announce>("announce", out);
  describe<Withdraw>("withdraw", out);
  describe<SnapshotEnd>("snapshot_end", out);
  describe<Acquire>("acquire", out);
  describe<Answer>("answer", out);
  describe<Release>("release", out);
  describe<Ended>("ended", out);
#define X(name, number, label, text) out += "outcome " #number " " label "\n";
  TRUNKLINE_OUTCOMES(X)
#undef X
  return out;
}

uint64_t schema_fingerprint(uint8_t wire_version) noexcept {
  // Frozen: a row is never edited once a release carried it. A change of schema_text() is a new wire version.
  switch (wire_version) {
    case 1:
      return 0xf8136803cb7ac31f;
    default:
      return 0;
  }
}

}  // namespace trunkline::relay
