// HELLO as bytes (relay/mesh/hello.h). The judgement is in relay/mesh/judge.cc.
#include "relay/mesh/hello.h"

#include <algorithm>

#include "relay/byte_reader.h"
#include "relay/text.h"

namespace trunkline::relay {
namespace {

// Of HELLO. Append only, within and across wire versions: a reader skips what is above the tags it knows.
enum class Tag : uint8_t {
  kVersions = 1,      // min 8, max 8
  kFeatures = 2,      // supported 64, required 64
  kCluster = 3,       // text
  kNode = 4,          // id 64
  kName = 5,          // text
  kIncarnation = 6,   // 64
  kRegion = 7,        // text
  kColour = 8,        // text
  kCores = 9,         // per core: port 16, receive index 32
  kSetting = 10,      // name, current, count 8, accepted values; each text with length 8. Once per setting
  kFingerprint = 11,  // version 8, fingerprint 64. Once per offered version
};
constexpr uint8_t kLastTag = static_cast<uint8_t>(Tag::kFingerprint);
// Tags 1 .. 9 must be there.
constexpr uint16_t kRequiredTags = 0x3fe;
constexpr uint32_t kCoreBytes = 6;

// ---- writing

class HelloWriter {
 public:
  explicit HelloWriter(std::span<uint8_t> out) : out_(out) {}

  void kind(PayloadKind kind) { out_.u8(static_cast<uint8_t>(kind)); }
  void field(Tag tag, size_t length) {
    out_.u8(static_cast<uint8_t>(tag));
    out_.u16(static_cast<uint16_t>(length));
  }
  void text_field(Tag tag, std::string_view text, size_t min, size_t max) {
    require(text.size() >= min && text.size() <= max && is_plain_text(text));
    if (!ok_) return;
    field(tag, text.size());
    out_.bytes(as_bytes(text));
  }
  // A text that says its own length.
  void short_text(std::string_view text, size_t min, size_t max) {
    require(text.size() >= min && text.size() <= max && is_plain_text(text));
    if (!ok_) return;
    out_.u8(static_cast<uint8_t>(text.size()));
    out_.bytes(as_bytes(text));
  }
  void setting(const HelloSetting& setting) {
    require(setting.accepted_count >= 1 && setting.accepted_count <= kMaxAcceptedValues);
    if (!ok_) return;
    size_t length = 3 + setting.name.size() + setting.current.size();
    for (size_t i = 0; i < setting.accepted_count; ++i) length += 1 + setting.accepted[i].size();
    field(Tag::kSetting, length);
    short_text(setting.name, 1, kMaxNameBytes);
    short_text(setting.current, 1, kMaxSettingValueBytes);
    out_.u8(setting.accepted_count);
    for (size_t i = 0; i < setting.accepted_count; ++i) {
      short_text(setting.accepted[i], 1, kMaxSettingValueBytes);
    }
  }
  void require(bool condition) { ok_ = ok_ && condition; }
  size_t length() const { return ok_ ? out_.length() : 0; }

  ByteWriter& raw() { return out_; }

 private:
  ByteWriter out_;
  bool ok_ = true;
};

void write_settings(HelloWriter& out, const Hello& hello) {
  out.require(hello.setting_count <= kMaxHelloSettings);
  // Ascending by name, whatever order the caller has them in: the smallest above the last one, each time.
  std::string_view last;
  for (size_t written = 0; out.length() != 0 && written < hello.setting_count; ++written) {
    const HelloSetting* next = nullptr;
    for (size_t i = 0; i < hello.setting_count; ++i) {
      const HelloSetting& candidate = hello.settings[i];
      if (candidate.name > last && (next == nullptr || candidate.name < next->name)) next = &candidate;
    }
    out.require(next != nullptr);  // a name twice, or an empty one
    if (next == nullptr) return;
    out.setting(*next);
    last = next->name;
  }
}

// ---- reading

std::string_view short_text(ByteReader& in, size_t min, size_t max, bool& good) {
  const uint8_t length = in.u8();
  const std::string_view text = as_text(in.take(length));
  good = good && in.ok() && text.size() >= min && text.size() <= max && is_plain_text(text);
  return text;
}

bool read_text(Bytes body, size_t min, size_t max, std::string_view& text) {
  text = as_text(body);
  return text.size() >= min && text.size() <= max && is_plain_text(text);
}

bool read_cores(Bytes body, Hello& hello) {
  const size_t count = body.size() / kCoreBytes;
  if (body.size() % kCoreBytes != 0 || count < 1 || count > core::kMaxCores) return false;
  ByteReader in(body);
  hello.core_count = static_cast<uint8_t>(count);
  for (size_t i = 0; i < count; ++i) {
    hello.cores[i].port = in.u16();
    hello.cores[i].receive_index = in.u32();
    if (hello.cores[i].port == 0) return false;
  }
  return true;
}

bool read_setting(Bytes body, Hello& hello) {
  if (hello.setting_count == kMaxHelloSettings) return false;
  HelloSetting& setting = hello.settings[hello.setting_count];
  ByteReader in(body);
  bool good = true;
  setting.name = short_text(in, 1, kMaxNameBytes, good);
  setting.current = short_text(in, 1, kMaxSettingValueBytes, good);
  setting.accepted_count = in.u8();
  if (setting.accepted_count < 1 || setting.accepted_count > kMaxAcceptedValues) return false;
  for (size_t i = 0; i < setting.accepted_count; ++i) {
    setting.accepted[i] = short_text(in, 1, kMaxSettingValueBytes, good);
  }
  if (hello.setting_count > 0 && setting.name <= hello.settings[hello.setting_count - 1u].name) return false;
  ++hello.setting_count;
  return good && in.ok() && in.remaining() == 0;
}

bool read_fingerprint(Bytes body, Hello& hello) {
  ByteReader in(body);
  const uint8_t version = in.u8();
  const uint64_t fingerprint = in.u64();
  if (!in.ok() || in.remaining() != 0 || version >= kMaxWireVersions || fingerprint == 0) return false;
  for (size_t v = version; v < kMaxWireVersions; ++v) {
    if (hello.fingerprints[v] != 0) return false;  // twice, or not ascending
  }
  hello.fingerprints[version] = fingerprint;
  return true;
}

bool read_field(Tag tag, Bytes body, Hello& hello) {
  ByteReader in(body);
  const auto exact = [&in] { return in.ok() && in.remaining() == 0; };
  switch (tag) {
    case Tag::kVersions:
      hello.version_min = in.u8();
      hello.version_max = in.u8();
      return exact() && hello.version_min >= 1 && hello.version_min <= hello.version_max &&
             hello.version_max < kMaxWireVersions;
    case Tag::kFeatures:
      hello.features_supported = in.u64();
      hello.features_required = in.u64();
      return exact();
    case Tag::kCluster:
      return read_text(body, 1, kMaxClusterBytes, hello.cluster);
    case Tag::kNode:
      hello.node.value = in.u64();
      return exact() && hello.node.value != 0;
    case Tag::kName:
      return read_text(body, 0, kMaxNameBytes, hello.name);
    case Tag::kIncarnation:
      hello.incarnation = in.u64();
      return exact();
    case Tag::kRegion:
      return read_text(body, 0, kMaxNameBytes, hello.region);
    case Tag::kColour:
      return read_text(body, 0, kMaxNameBytes, hello.colour);
    case Tag::kCores:
      return read_cores(body, hello);
    case Tag::kSetting:
      return read_setting(body, hello);
    case Tag::kFingerprint:
      return read_fingerprint(body, hello);
  }
  return true;  // of a later build
}

}  // namespace

bool HelloSetting::accepts(std::string_view value) const noexcept {
  if (value == current) return true;
  return std::find(accepted.begin(), accepted.begin() + accepted_count, value) !=
         accepted.begin() + accepted_count;
}

const HelloSetting* Hello::find_setting(std::string_view setting) const noexcept {
  for (size_t i = 0; i < setting_count; ++i) {
    if (settings[i].name == setting) return &settings[i];
  }
  return nullptr;
}

Hello make_hello(const NodeConfig& config, uint64_t incarnation) noexcept {
  Hello hello;
  hello.version_min = config.wire_version_min;
  hello.version_max = config.wire_version_max;
  hello.profile = config.profile;
  hello.features_supported = config.profile->features_supported;
  hello.features_required = config.profile->features_required;
  hello.cluster = config.cluster;
  hello.node = config.id;
  hello.name = config.name;
  hello.incarnation = incarnation;
  hello.region = config.region;
  hello.colour = config.colour;
  hello.core_count = static_cast<uint8_t>(std::min(config.data_cores, core::kMaxCores));
  for (const WireSetting& given : config.wire) {
    if (hello.setting_count == kMaxHelloSettings) break;
    HelloSetting& setting = hello.settings[hello.setting_count++];
    setting.name = given.name;
    setting.current = given.current;
    for (const std::string& value : given.accepted) {
      if (setting.accepted_count == kMaxAcceptedValues) break;
      setting.accepted[setting.accepted_count++] = value;
    }
  }
  for (const WireVersion& version : config.profile->versions) {
    const bool offered = version.number >= hello.version_min && version.number <= hello.version_max;
    if (offered && version.number < kMaxWireVersions) hello.fingerprints[version.number] = version.schema;
  }
  return hello;
}

size_t encode(const Hello& hello, std::span<uint8_t> out) noexcept {
  HelloWriter w(out);
  w.kind(PayloadKind::kHello);
  w.require(hello.version_min >= 1 && hello.version_min <= hello.version_max &&
            hello.version_max < kMaxWireVersions);
  w.field(Tag::kVersions, 2);
  w.raw().u8(hello.version_min);
  w.raw().u8(hello.version_max);
  w.field(Tag::kFeatures, 16);
  w.raw().u64(hello.features_supported);
  w.raw().u64(hello.features_required);
  w.text_field(Tag::kCluster, hello.cluster, 1, kMaxClusterBytes);
  w.require(hello.node.value != 0);
  w.field(Tag::kNode, 8);
  w.raw().u64(hello.node.value);
  w.text_field(Tag::kName, hello.name, 0, kMaxNameBytes);
  w.field(Tag::kIncarnation, 8);
  w.raw().u64(hello.incarnation);
  w.text_field(Tag::kRegion, hello.region, 0, kMaxNameBytes);
  w.text_field(Tag::kColour, hello.colour, 0, kMaxNameBytes);
  w.require(hello.core_count >= 1 && hello.core_count <= core::kMaxCores);
  if (w.length() == 0) return 0;
  w.field(Tag::kCores, hello.core_count * size_t{kCoreBytes});
  for (size_t i = 0; i < hello.core_count; ++i) {
    w.require(hello.cores[i].port != 0);
    w.raw().u16(hello.cores[i].port);
    w.raw().u32(hello.cores[i].receive_index);
  }
  write_settings(w, hello);
  for (size_t v = 0; v < kMaxWireVersions; ++v) {
    if (hello.fingerprints[v] == 0) continue;
    w.field(Tag::kFingerprint, 9);
    w.raw().u8(static_cast<uint8_t>(v));
    w.raw().u64(hello.fingerprints[v]);
  }
  return w.length();
}

std::optional<Hello> decode_hello(std::span<const uint8_t> payload) noexcept {
  if (payload_kind(payload) != PayloadKind::kHello) return std::nullopt;
  Hello hello;
  uint32_t seen = 0;
  uint8_t last = 0;
  ByteReader in(payload.subspan(1));
  while (in.remaining() > 0) {
    const uint8_t tag = in.u8();
    const uint16_t length = in.u16();
    const Bytes body = in.take(length);
    if (!in.ok() || tag == 0 || tag < last) return std::nullopt;
    const bool repeatable = tag >= static_cast<uint8_t>(Tag::kSetting);
    if (tag == last && !repeatable) return std::nullopt;
    if (!read_field(static_cast<Tag>(tag), body, hello)) return std::nullopt;
    if (tag <= kLastTag) seen |= 1u << tag;
    last = tag;
  }
  if ((seen & kRequiredTags) != kRequiredTags) return std::nullopt;
  return hello;
}

PayloadKind payload_kind(std::span<const uint8_t> payload) noexcept {
  if (payload.empty()) return PayloadKind::kUnknown;
  switch (payload[0]) {
    case static_cast<uint8_t>(PayloadKind::kHello):
      return PayloadKind::kHello;
    case static_cast<uint8_t>(PayloadKind::kRefusal):
      return PayloadKind::kRefusal;
    default:
      return PayloadKind::kUnknown;
  }
}

}  // namespace trunkline::relay
