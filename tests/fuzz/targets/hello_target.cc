// HELLO and refusals: what reads is written back and reads the same; both ends judge alike.
#include <optional>

#include "relay/mesh/hello.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

bool same(const Hello& a, const Hello& b) {
  const auto cores = [](const HelloCore& x, const HelloCore& y) {
    return x.port == y.port && x.receive_index == y.receive_index;
  };
  const auto settings = [](const HelloSetting& x, const HelloSetting& y) {
    return x.name == y.name && x.current == y.current && x.accepted_count == y.accepted_count &&
           x.accepted == y.accepted;
  };
  return a.version_min == b.version_min && a.version_max == b.version_max &&
         a.features_supported == b.features_supported && a.features_required == b.features_required &&
         a.cluster == b.cluster && a.node == b.node && a.name == b.name && a.incarnation == b.incarnation &&
         a.region == b.region && a.colour == b.colour && a.core_count == b.core_count &&
         std::equal(a.cores.begin(), a.cores.end(), b.cores.begin(), cores) &&
         a.setting_count == b.setting_count &&
         std::equal(a.settings.begin(), a.settings.begin() + a.setting_count, b.settings.begin(), settings) &&
         a.fingerprints == b.fingerprints;
}

const NodeConfig& config() {
  static const NodeConfig config = [] {
    NodeConfig c;
    c.id = {7};
    c.cluster = "lab-one";
    c.name = "ams-1";
    c.wire = {
        {"mtu", "1500", {"1500", "9000"}}, {"suite", "null", {"null"}}, {"track_namespace", "a", {"a"}}};
    return c;
  }();
  return config;
}

void check_hello(trunkline::fuzz::Bytes input, uint8_t rules_bits) {
  const std::optional<Hello> read = decode_hello(input);
  if (!read) return;
  std::array<uint8_t, 70'000> bytes;
  const size_t length = encode(*read, bytes);
  ASSERT_GT(length, 0u);
  EXPECT_LE(length, input.size()) << "only unknown fields are left out";
  const auto again = decode_hello(std::span(bytes).first(length));
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(same(*read, *again));
  EXPECT_EQ(encode(*read, std::span(bytes).first(length - 1)), 0u);

  Hello mine = make_hello(config(), 1);
  mine.cores[0] = {7000, 0x10002};
  Rules rules;
  rules.required_settings = (rules_bits & 1) == 0;
  rules.versions = (rules_bits & 2) == 0;
  const auto refusal = judge(mine, *read, rules);
  Hello theirs = *read;
  theirs.profile = mine.profile;
  const auto other = judge(theirs, mine, rules);
  ASSERT_EQ(refusal.has_value(), other.has_value());
  EXPECT_LE(common_version(mine, *read), kMaxWireVersions);
  if (refusal) {
    EXPECT_EQ(refusal->code, other->code);
    EXPECT_EQ(refusal->setting.view(), other->setting.view());
    EXPECT_EQ(refusal->mine.view(), other->theirs.view());
    EXPECT_EQ(refusal->theirs.view(), other->mine.view());
    EXPECT_EQ(refusal->text().back(), '\0');
  }
}

void check_refusal(trunkline::fuzz::Bytes input) {
  const std::optional<Refusal> read = decode_refusal(input);
  if (!read) return;
  EXPECT_STRNE(refusal_code_name(read->code), "?");
  EXPECT_EQ(read->text().back(), '\0');
  Refusal swapped = *read;
  std::swap(swapped.mine, swapped.theirs);
  std::array<uint8_t, 256> bytes;
  const size_t length = encode(swapped, bytes);
  EXPECT_TRUE(std::equal(input.begin(), input.end(), bytes.begin(),
                         bytes.begin() + static_cast<std::ptrdiff_t>(length)));
  EXPECT_EQ(encode(swapped, std::span(bytes).first(length - 1)), 0u);
}

}  // namespace

// One byte of rules, then the payload.
TRUNKLINE_FUZZ_TARGET(hello) {
  trunkline::fuzz::Input in(input);
  const uint8_t rules = in.u8();
  const auto payload = in.rest();
  check_hello(payload, rules);
  check_refusal(payload);
}
