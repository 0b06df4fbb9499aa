// The judgement on a peer's HELLO (relay/mesh/hello.h), and the refusal that carries it.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "relay/byte_reader.h"
#include "relay/mesh/hello.h"
#include "relay/text.h"

namespace trunkline::relay {
namespace {

template <class... Args>
ShortText format(const char* pattern, Args... args) {
  char text[kMaxSettingValueBytes + 1];
  const int length = std::snprintf(text, sizeof text, pattern, args...);
  if (length < 0) return {};
  return {std::string_view(text, std::min(static_cast<size_t>(length), sizeof text - 1))};
}

ShortText versions(const Hello& hello) {
  if (hello.version_min == hello.version_max) return format("%u", unsigned{hello.version_min});
  return format("%u to %u", unsigned{hello.version_min}, unsigned{hello.version_max});
}

std::optional<Refusal> judge_features(const Hello& mine, const Hello& theirs) {
  const uint64_t they_lack = mine.features_required & ~theirs.features_supported;
  const uint64_t i_lack = theirs.features_required & ~mine.features_supported;
  if (they_lack != 0) {
    return Refusal{RefusalCode::kFeature, "features", format("requires 0x%" PRIx64, they_lack),
                   format("supports 0x%" PRIx64, theirs.features_supported)};
  }
  if (i_lack != 0) {
    return Refusal{RefusalCode::kFeature, "features", format("supports 0x%" PRIx64, mine.features_supported),
                   format("requires 0x%" PRIx64, i_lack)};
  }
  return std::nullopt;
}

Refusal setting_refusal(std::string_view name, const HelloSetting* mine, const HelloSetting* theirs) {
  Refusal refusal;
  refusal.code = RefusalCode::kSetting;
  refusal.setting = format("wire.%.*s", static_cast<int>(name.size()), name.data());
  if (mine != nullptr) refusal.mine = mine->current;
  if (theirs != nullptr) refusal.theirs = theirs->current;
  return refusal;
}

bool agree(const HelloSetting& a, const HelloSetting& b) {
  return a.accepts(b.current) && b.accepts(a.current);
}

std::optional<Refusal> judge_settings(const Hello& mine, const Hello& theirs, uint8_t version) {
  const WireProfile& profile = mine.profile != nullptr ? *mine.profile : production_profile();
  for (const std::string& name : required_settings(version, profile)) {
    const HelloSetting* const a = mine.find_setting(name);
    const HelloSetting* const b = theirs.find_setting(name);
    if (a == nullptr || b == nullptr || !agree(*a, *b)) return setting_refusal(name, a, b);
  }
  for (size_t i = 0; i < mine.setting_count; ++i) {
    const HelloSetting& a = mine.settings[i];
    const HelloSetting* const b = theirs.find_setting(a.name);
    if (b != nullptr && !agree(a, *b)) return setting_refusal(a.name, &a, b);
  }
  return std::nullopt;
}

}  // namespace

uint8_t common_version(const Hello& mine, const Hello& theirs) noexcept {
  const uint8_t highest = std::min(mine.version_max, theirs.version_max);
  return highest >= std::max(mine.version_min, theirs.version_min) ? highest : 0;
}

std::optional<Refusal> judge(const Hello& mine, const Hello& theirs, const Rules& rules) noexcept {
  const uint8_t version = common_version(mine, theirs);
  if (version == 0 && rules.versions) {
    return Refusal{RefusalCode::kVersion, "wire version", versions(mine), versions(theirs)};
  }
  if (mine.cluster != theirs.cluster) {
    return Refusal{RefusalCode::kCluster, "cluster", mine.cluster, theirs.cluster};
  }
  const auto [least, most] = std::minmax(mine.incarnation, theirs.incarnation);
  if (most - least > kFurthestIncarnation) {
    return Refusal{RefusalCode::kSetting, "incarnation, a Unix time in ms",
                   format("%" PRIu64, mine.incarnation), format("%" PRIu64, theirs.incarnation)};
  }
  if (auto refusal = judge_features(mine, theirs)) return refusal;
  const uint64_t my_schema = mine.fingerprints[version];
  const uint64_t their_schema = theirs.fingerprints[version];
  if ((my_schema != their_schema || my_schema == 0) && rules.versions) {
    return Refusal{RefusalCode::kSchema, format("schema of wire version %u", unsigned{version}),
                   format("%016" PRIx64, my_schema), format("%016" PRIx64, their_schema)};
  }
  return rules.required_settings ? judge_settings(mine, theirs, version) : std::nullopt;
}

// ---- refusals

const char* refusal_code_name(RefusalCode code) noexcept {
  switch (code) {
    case RefusalCode::kVersion:
      return "version";
    case RefusalCode::kFeature:
      return "feature";
    case RefusalCode::kCluster:
      return "cluster";
    case RefusalCode::kSetting:
      return "setting";
    case RefusalCode::kIncarnation:
      return "incarnation";
    case RefusalCode::kUnknownPeer:
      return "unknown_peer";
    case RefusalCode::kSchema:
      return "schema";
    case RefusalCode::kCertificate:
      return "certificate";
  }
  return "?";
}

ShortText::ShortText(std::string_view text) noexcept
    : length_(static_cast<uint8_t>(std::min(text.size(), text_.size()))) {
  std::copy_n(text.begin(), length_, text_.begin());
}

std::array<char, 192> Refusal::text() const noexcept {
  std::array<char, 192> out{};
  size_t at = 0;
  const auto add = [&](std::string_view part) {
    const size_t length = std::min(part.size(), out.size() - 1 - at);
    std::copy_n(part.begin(), length, out.begin() + static_cast<std::ptrdiff_t>(at));
    at += length;
  };
  const auto add_value = [&](std::string_view who, const ShortText& value) {
    add(who);
    if (value.view().empty()) return add("absent");
    add("'");
    add(value.view());
    add("'");
  };
  add(setting.view());
  add_value(": mine ", mine);
  add_value(", theirs ", theirs);
  return out;
}

Refusal outlived(uint64_t remembered, uint64_t said) noexcept {
  return {RefusalCode::kIncarnation, "incarnation", format("%" PRIu64, remembered), format("%" PRIu64, said)};
}

size_t encode(const Refusal& refusal, std::span<uint8_t> out) noexcept {
  if (refusal_code_name(refusal.code)[0] == '?' || refusal.setting.view().empty()) return 0;
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(PayloadKind::kRefusal));
  w.u8(static_cast<uint8_t>(refusal.code));
  for (const ShortText* text : {&refusal.setting, &refusal.mine, &refusal.theirs}) {
    if (!is_plain_text(text->view())) return 0;
    w.u8(static_cast<uint8_t>(text->view().size()));
    w.bytes(as_bytes(text->view()));
  }
  return w.length();
}

std::optional<Refusal> decode_refusal(std::span<const uint8_t> payload) noexcept {
  if (payload_kind(payload) != PayloadKind::kRefusal) return std::nullopt;
  ByteReader in(payload.subspan(1));
  Refusal refusal;
  refusal.code = static_cast<RefusalCode>(in.u8());
  bool good = refusal_code_name(refusal.code)[0] != '?';
  for (ShortText* text : {&refusal.setting, &refusal.theirs, &refusal.mine}) {  // the sender's "mine" first
    const std::string_view read = as_text(in.take(in.u8()));
    good = good && read.size() <= kMaxSettingValueBytes && is_plain_text(read);
    *text = read;
  }
  if (!good || !in.ok() || in.remaining() != 0 || refusal.setting.view().empty()) return std::nullopt;
  return refusal;
}

}  // namespace trunkline::relay
