// HELLO: what a node says about itself inside the handshake, and the judgement on what a peer says.
//
//   payload    kind 8 (1 HELLO, 2 refusal) | fields
//   field      tag 8 | length 16 | body                      big-endian
//
// Two nodes that disagree about what bytes mean must find out before they exchange any, and the operator must
// read which setting it was, with both values, on both sides. judge() says so from two HELLOs, purely: no
// state, no order of evaluation that differs between the ends (version, cluster, features, schema, settings
// by name). HELLO must be readable across versions, so unknown fields are skipped; known ones are canonical:
// tags ascend, each once but settings (ascending by name) and fingerprints (ascending by version), exact
// lengths, and the fields in kRequired* present.
//
// Texts are views: of the configuration when sending, of the received bytes when receiving. No allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/ids.h"
#include "relay/config.h"
#include "relay/core_link.h"

namespace trunkline::relay {

// What a handshake may wrap around its payload: Noise IK msg1 is 96 bytes, mac1 and mac2 32, and a node
// certificate is to fit too.
inline constexpr uint32_t kHandshakeEnvelopeBytes = 384;
inline constexpr uint32_t kMaxHelloBytes = kMaxFrameBytes - kHeaderBytes - kHandshakeEnvelopeBytes;  // 800

inline constexpr uint32_t kMaxNameBytes = 32;  // node name, region, colour, setting name
inline constexpr uint32_t kMaxClusterBytes = 64;
inline constexpr uint32_t kMaxSettingValueBytes = 64;
inline constexpr uint32_t kMaxHelloSettings = 8;
inline constexpr uint32_t kMaxAcceptedValues = 8;  // per setting
inline constexpr uint32_t kMaxWireVersions = 8;    // the header's version field has 3 bits

struct HelloSetting {
  std::string_view name;
  std::string_view current;
  std::array<std::string_view, kMaxAcceptedValues> accepted{};
  uint8_t accepted_count = 0;

  bool accepts(std::string_view value) const noexcept;
};

struct HelloCore {
  uint16_t port = 0;           // UDP
  uint32_t receive_index = 0;  // session index to send to it with
};

struct Hello {
  uint8_t version_min = 1;
  uint8_t version_max = 1;
  uint64_t features_supported = 0;
  uint64_t features_required = 0;
  std::string_view cluster;
  core::NodeId node{};  // not 0
  std::string_view name;
  uint64_t incarnation = 0;
  std::string_view region;
  std::string_view colour;
  std::array<HelloCore, core::kMaxCores> cores{};
  uint8_t core_count = 0;  // 1 .. kMaxCores
  std::array<HelloSetting, kMaxHelloSettings> settings{};
  uint8_t setting_count = 0;
  std::array<uint64_t, kMaxWireVersions> fingerprints{};  // [v]: of offered version v; 0: not offered
  // Not on the wire: of the build that made this HELLO; nullptr when it was received.
  const WireProfile* profile = nullptr;

  const HelloSetting* find_setting(std::string_view name) const noexcept;
};

// What `config` says about this node. Ports and session indexes are the caller's to fill in. The result views
// `config`. Settings beyond kMaxHelloSettings and values beyond kMaxAcceptedValues are left out: validate()
// has refused such a configuration.
Hello make_hello(const NodeConfig& config, uint64_t incarnation) noexcept;

// Length; 0 if a text or count is over its limit, or the whole does not fit `out`.
size_t encode(const Hello& hello, std::span<uint8_t> out) noexcept;
// Nothing: malformed. The result views `payload`.
std::optional<Hello> decode_hello(std::span<const uint8_t> payload) noexcept;

enum class PayloadKind : uint8_t { kUnknown = 0, kHello = 1, kRefusal = 2 };
PayloadKind payload_kind(std::span<const uint8_t> payload) noexcept;

// ---- refusals

// The numbers are on the wire: append only.
enum class RefusalCode : uint8_t {
  kVersion = 1,      // no wire version in common
  kFeature = 2,      // one side requires what the other does not support
  kCluster = 3,      // another cluster
  kSetting = 4,      // a wire-relevant setting differs or is absent
  kIncarnation = 5,  // a newer incarnation of this node id is known
  kUnknownPeer = 6,  // this node id is not configured as a peer
  kSchema = 7,       // same wire version, other messages
  kCertificate = 8,  // the node's certificate is not accepted
};
const char* refusal_code_name(RefusalCode code) noexcept;  // "version"; "?" for a number that is none

// A short text with its storage. Longer input is cut.
class ShortText {
 public:
  ShortText() = default;
  ShortText(std::string_view text) noexcept;  // NOLINT: implicit by design
  ShortText(const char* text) noexcept        // NOLINT: implicit by design
      : ShortText(std::string_view(text)) {}
  std::string_view view() const noexcept { return {text_.data(), length_}; }

 private:
  std::array<char, kMaxSettingValueBytes> text_{};
  uint8_t length_ = 0;
};

// Both values as the reader of this object sees them: "mine" is always this node's.
struct Refusal {
  RefusalCode code = RefusalCode::kSetting;
  ShortText setting;  // "wire.track_namespace", "cluster", "wire version", ...
  ShortText mine;     // empty: absent
  ShortText theirs;   // empty: absent

  // "wire.track_namespace: mine 'a', theirs 'b'", zero-terminated. The type of HostEvent::text.
  std::array<char, 192> text() const noexcept;
};

// How far two incarnations may be apart: a hundred years in milliseconds. A node whose clock stands at 1970
// still meets the others; and no peer can say or remember one that a node's next start is not raised above.
inline constexpr uint64_t kFurthestIncarnation = uint64_t{100} * 365 * 86'400'000;

// A peer that gives incarnation `said`, while `remembered` is known of it.
Refusal outlived(uint64_t remembered, uint64_t said) noexcept;

size_t encode(const Refusal& refusal, std::span<uint8_t> out) noexcept;
// As the receiver sees it: what the sender called "mine" is "theirs" here. Nothing: malformed.
std::optional<Refusal> decode_refusal(std::span<const uint8_t> payload) noexcept;

// The highest wire version that both offer; 0: none.
uint8_t common_version(const Hello& mine, const Hello& theirs) noexcept;

// Nothing: these two may form a link. Checked in this order: version ranges intersect; cluster equal;
// incarnations not too far apart; required features supported, both ways; the schema fingerprint of the
// common version equal; and, unless rules.required_settings is off, every setting that the common version
// requires is there on both sides, and each setting that both have has each side's current value in the
// other's accepted set. What a version requires is what the profile of `mine` says. Without rules.versions
// neither versions nor schemas are compared. Whether the node id is known and its incarnation new is the
// caller's to judge.
std::optional<Refusal> judge(const Hello& mine, const Hello& theirs, const Rules& rules) noexcept;

}  // namespace trunkline::relay
