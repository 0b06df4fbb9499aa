// HELLO and refusals as bytes, and the judgement as a table: each row is one disagreement and the sentence
// that an operator reads for it, at both ends.
#include "relay/mesh/hello.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "relay/mesh/messages.h"
#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using test::Buffer;
using test::hex;

NodeConfig a_config() {
  NodeConfig c;
  c.id = {7};
  c.name = "ams-1";
  c.cluster = "lab-one";
  c.region = "ams";
  c.colour = "blue";
  c.data_cores = 2;
  c.wire = {
      {"track_namespace", "prod", {"prod"}}, {"mtu", "1500", {"1500", "9000"}}, {"suite", "null", {"null"}}};
  return c;
}

Hello hello_of(const NodeConfig& config) {
  Hello hello = make_hello(config, 1'700'000'000'000);
  for (uint8_t i = 0; i < hello.core_count; ++i) {
    hello.cores[i] = {static_cast<uint16_t>(7000 + i), SessionIndex::make({i}, 3, 0xbeef)};
  }
  return hello;
}

template <class T>
Buffer encoded(const T& value, size_t room = kMaxHelloBytes) {
  Buffer out(room);
  out.resize(encode(value, out));
  return out;
}

TEST(Hello, ComesBackAsItWas) {
  const NodeConfig config = a_config();
  const Buffer bytes = encoded(hello_of(config));
  ASSERT_FALSE(bytes.empty());
  EXPECT_EQ(payload_kind(bytes), PayloadKind::kHello);
  const auto hello = decode_hello(bytes);
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->version_min, 1);
  EXPECT_EQ(hello->version_max, 1);
  EXPECT_EQ(hello->cluster, "lab-one");
  EXPECT_EQ(hello->node.value, 7u);
  EXPECT_EQ(hello->name, "ams-1");
  EXPECT_EQ(hello->incarnation, 1'700'000'000'000u);
  EXPECT_EQ(hello->region, "ams");
  EXPECT_EQ(hello->colour, "blue");
  ASSERT_EQ(hello->core_count, 2);
  EXPECT_EQ(hello->cores[1].port, 7001);
  EXPECT_EQ(hello->cores[1].receive_index, SessionIndex::make({1}, 3, 0xbeef));
  ASSERT_EQ(hello->setting_count, 3);
  EXPECT_EQ(hello->settings[0].name, "mtu") << "ascending by name";
  EXPECT_TRUE(hello->settings[0].accepts("9000"));
  EXPECT_FALSE(hello->settings[0].accepts("1400"));
  EXPECT_EQ(hello->find_setting("track_namespace")->current, "prod");
  EXPECT_EQ(hello->find_setting("colour"), nullptr);
  EXPECT_EQ(hello->fingerprints[1], schema_fingerprint(1));
  EXPECT_EQ(encoded(*hello), bytes) << "canonical: one byte string per value";
}

TEST(Hello, IsNotWrittenWhenItDoesNotFitOrNobodyWouldReadIt) {
  const NodeConfig config = a_config();
  const size_t length = encoded(hello_of(config)).size();
  for (size_t room = 0; room < length; ++room) EXPECT_TRUE(encoded(hello_of(config), room).empty()) << room;

  const std::string long_name(kMaxNameBytes + 1, 'x');
  const std::string long_value(kMaxSettingValueBytes + 1, 'x');
  const std::function<void(Hello&)> changes[] = {
      [](Hello& h) { h.version_min = 0; },
      [](Hello& h) { h.version_min = 2; },
      [](Hello& h) { h.version_max = 8; },
      [](Hello& h) { h.cluster = ""; },
      [](Hello& h) { h.node = {}; },
      [&](Hello& h) { h.name = long_name; },
      [](Hello& h) { h.region = "a\nb"; },
      [](Hello& h) { h.core_count = 0; },
      [](Hello& h) { h.core_count = 17; },
      [](Hello& h) { h.cores[0].port = 0; },
      [](Hello& h) { h.setting_count = 9; },
      [](Hello& h) { h.settings[1] = h.settings[0]; },
      [](Hello& h) { h.settings[1].name = ""; },
      [](Hello& h) { h.settings[1].accepted_count = 0; },
      [&](Hello& h) { h.settings[1].current = long_value; },
  };
  int row = 0;
  for (const auto& change : changes) {
    Hello hello = hello_of(config);
    change(hello);
    EXPECT_TRUE(encoded(hello).empty()) << "row " << row;
    ++row;
  }
}

// A HELLO of the smallest legal fields, with `extra` behind them.
Buffer small(const char* extra = "", const char* versions = "01 0002 01 01") {
  return test::join(
      {hex("01"), hex(versions),
       hex("02 0010 0000000000000000 0000000000000000 03 0001 63 04 0008 0000000000000001 05 0000 "
           "06 0008 0000000000000002 07 0000 08 0000 09 0006 1b58 00000000"),
       hex(extra)});
}

// One more than there is room for, in order and each well-formed.
std::string nine_settings() {
  static_assert(kMaxHelloSettings == 8);
  std::string fields;
  for (char name = '1'; name <= '9'; ++name)
    fields += std::string("0a 0007 01 6") + name + " 01 62 01 01 62 ";
  return fields;
}

TEST(Hello, RefusesEveryMalformedField) {
  ASSERT_TRUE(decode_hello(small()).has_value());
  ASSERT_TRUE(decode_hello(small("0a 0007 01 61 01 62 01 01 62 0b 0009 01 0000000000000001")).has_value());
  const std::string f1 = "0b 0009 01 0000000000000001", f2 = "0b 0009 02 0000000000000001";
  const struct {
    const char* what;
    Buffer bytes;
  } cases[] = {
      {"nothing", {}},
      {"another kind", test::join({hex("03"), hex("01 0002 01 01")})},
      {"required fields missing", hex("01 01 0002 01 01")},
      {"version 0", small("", "01 0002 00 01")},
      {"version 8", small("", "01 0002 01 08")},
      {"versions the wrong way round", small("", "01 0002 02 01")},
      {"versions one byte long", small("", "01 0003 01 01 00")},
      {"versions twice", small("", "01 0002 01 01 01 0002 01 01")},
      {"tag 0", small("", "00 0000 01 0002 01 01")},
      {"tags that descend", small("01 0002 01 01")},
      {"field beyond the end", small("0c 0001")},
      {"half a field header", small("0c 00")},
      {"setting without a name", small("0a 0006 00 01 62 01 01 62")},
      {"setting without a value", small("0a 0006 01 61 00 01 01 62")},
      {"setting that accepts nothing", small("0a 0005 01 61 01 62 00")},
      {"setting that accepts an empty value", small("0a 0006 01 61 01 62 01 00")},
      {"setting that accepts nine",
       small("0a 0017 01 61 01 62 09 0162 0162 0162 0162 0162 0162 0162 0162 0162")},
      {"setting one byte long", small("0a 0008 01 61 01 62 01 01 62 00")},
      {"setting whose value passes its end", small("0a 0007 01 61 01 62 01 02 62")},
      {"setting with a control character", small("0a 0007 01 0a 01 62 01 01 62")},
      {"setting twice", small("0a 0007 01 61 01 62 01 01 62 0a 0007 01 61 01 62 01 01 62")},
      {"settings that descend", small("0a 0007 01 62 01 62 01 01 62 0a 0007 01 61 01 62 01 01 62")},
      {"nine settings", small(nine_settings().c_str())},
      {"fingerprint 0", small("0b 0009 01 0000000000000000")},
      {"fingerprint of version 8", small("0b 0009 08 0000000000000001")},
      {"fingerprint twice", small((f1 + f1).c_str())},
      {"fingerprints that descend", small((f2 + f1).c_str())},
      {"short fingerprint", small("0b 0008 01 00000000000001")},
  };
  for (const auto& c : cases) EXPECT_FALSE(decode_hello(c.bytes).has_value()) << c.what;
}

TEST(Hello, RefusesBadValuesInRequiredFields) {
  const auto with = [](const char* cluster, const char* node, const char* cores) {
    return test::join({hex("01 01 0002 01 01 02 0010 0000000000000000 0000000000000000"), hex(cluster),
                       hex(node), hex("05 0000 06 0008 0000000000000002 07 0000 08 0000"), hex(cores)});
  };
  const char* cluster = "03 0001 63";
  const char* node = "04 0008 0000000000000001";
  const char* cores = "09 0006 1b58 00000000";
  EXPECT_TRUE(decode_hello(with(cluster, node, cores)).has_value());
  EXPECT_FALSE(decode_hello(with("03 0000", node, cores)).has_value()) << "empty cluster";
  EXPECT_FALSE(decode_hello(with("03 0001 1b", node, cores)).has_value()) << "escape character";
  EXPECT_FALSE(decode_hello(with(cluster, "04 0008 0000000000000000", cores)).has_value()) << "node 0";
  EXPECT_FALSE(decode_hello(with(cluster, "04 0007 00000000000001", cores)).has_value()) << "short node";
  EXPECT_FALSE(decode_hello(with(cluster, node, "09 0006 0000 00000000")).has_value()) << "port 0";
  EXPECT_FALSE(decode_hello(with(cluster, node, "09 0000")).has_value()) << "no core";
  EXPECT_FALSE(decode_hello(with(cluster, node, "09 0007 1b58 00000000 00")).has_value())
      << "a core and a bit";
  Buffer seventeen = hex("09 0066");
  for (int i = 0; i < 17; ++i) seventeen = test::join({seventeen, hex("1b58 00000000")});
  EXPECT_FALSE(decode_hello(test::join({with(cluster, node, ""), seventeen})).has_value()) << "17 cores";
}

TEST(Hello, SkipsFieldsOfALaterBuild) {
  const Buffer bytes = small("0c 0003 aabbcc 0c 0000 ff 0001 00");  // outlives the views
  const auto hello = decode_hello(bytes);
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->cluster, "c");
}

// ---- the judgement

struct Row {
  const char* what;
  std::function<void(NodeConfig&)> theirs;
  const char* text;  // as `mine` reads it; "" when they may link
  RefusalCode code = RefusalCode::kSetting;
};

TEST(Judge, NamesWhatDiffersWithBothValues) {
  const Row rows[] = {
      {"equal", [](NodeConfig&) {}, ""},
      {"another name, region and colour", [](NodeConfig& c) { c.name = c.region = c.colour = "x"; }, ""},
      {"cluster", [](NodeConfig& c) { c.cluster = "lab-two"; }, "cluster: mine 'lab-one', theirs 'lab-two'",
       RefusalCode::kCluster},
      {"namespace",
       [](NodeConfig& c) {
         c.wire[0] = {"track_namespace", "b", {"b"}};
       },
       "wire.track_namespace: mine 'prod', theirs 'b'"},
      {"namespace absent", [](NodeConfig& c) { c.wire.erase(c.wire.begin()); },
       "wire.track_namespace: mine 'prod', theirs absent"},
      {"theirs is accepted here, mine is not there",
       [](NodeConfig& c) {
         c.wire[1] = {"mtu", "9000", {"9000"}};
       },
       "wire.mtu: mine '1500', theirs '9000'"},
      {"mine is accepted there, theirs is not here",
       [](NodeConfig& c) {
         c.wire[1] = {"mtu", "1400", {"1400", "1500"}};
       },
       "wire.mtu: mine '1500', theirs '1400'"},
      {"each accepts the other's",
       [](NodeConfig& c) {
         c.wire[1] = {"mtu", "9000", {"1500", "9000"}};
       },
       ""},
      {"an optional setting that one side has",
       [](NodeConfig& c) {
         c.wire.push_back({"extra", "1", {"1"}});
       },
       ""},
  };
  const NodeConfig mine = a_config();
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    NodeConfig theirs = a_config();
    row.theirs(theirs);
    const auto refusal = judge(hello_of(mine), hello_of(theirs), Rules{});
    EXPECT_EQ(refusal.has_value() ? refusal->text().data() : std::string(), row.text);
    EXPECT_TRUE(!refusal || refusal->code == row.code);
    // The other end comes to the same conclusion by itself ...
    const auto mirrored = judge(hello_of(theirs), hello_of(mine), Rules{});
    ASSERT_EQ(mirrored.has_value(), refusal.has_value());
    if (!refusal) continue;
    EXPECT_EQ(mirrored->mine.view(), refusal->theirs.view());
    // ... and reads the same sentence when it is told.
    const auto told = decode_refusal(encoded(*refusal));
    ASSERT_TRUE(told.has_value());
    EXPECT_EQ(told->text(), mirrored->text());
    EXPECT_EQ(told->code, mirrored->code);
  }
}

// Unix time in ms. One whose clock stands at 1970 meets the others all the same.
TEST(Judge, AnIncarnationAHundredYearsAheadIsRefused) {
  const NodeConfig config = a_config();
  Hello mine = make_hello(config, 1), theirs = mine;
  theirs.incarnation = 1'800'000'000'000;
  EXPECT_FALSE(judge(mine, theirs, {}).has_value());
  theirs.incarnation = 1 + kFurthestIncarnation;
  EXPECT_FALSE(judge(mine, theirs, {}).has_value());
  ++theirs.incarnation;
  const auto refusal = judge(mine, theirs, {});
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->code, RefusalCode::kSetting);
  EXPECT_EQ(std::string(refusal->text().data()).find("incarnation"), 0u) << refusal->text().data();
  EXPECT_TRUE(judge(theirs, mine, {}).has_value()) << "both ends say so";
}

TEST(Judge, ComparesAnOptionalSettingThatBothHave) {
  NodeConfig mine = a_config(), theirs = a_config();
  mine.wire.push_back({"extra", "1", {"1"}});
  theirs.wire.push_back({"extra", "2", {"2"}});
  const auto refusal = judge(hello_of(mine), hello_of(theirs), Rules{});
  ASSERT_TRUE(refusal.has_value());
  EXPECT_STREQ(refusal->text().data(), "wire.extra: mine '1', theirs '2'");
}

TEST(Judge, WithoutTheRuleSettingsAreNotJudged) {
  NodeConfig theirs = a_config();
  theirs.wire.clear();
  Rules naive;
  naive.required_settings = false;
  EXPECT_FALSE(judge(hello_of(a_config()), hello_of(theirs), naive).has_value());
  theirs.cluster = "lab-two";
  EXPECT_TRUE(judge(hello_of(a_config()), hello_of(theirs), naive).has_value()) << "the rest still is";
}

// Builds that do not exist yet, as the simulator makes them.
WireProfile a_profile(uint8_t oldest, uint8_t newest) {
  WireProfile profile;
  for (uint8_t number = oldest; number <= newest; ++number) {
    profile.versions.push_back({number, 0x1000u + number, {"track_namespace", "mtu", "suite"}});
  }
  return profile;
}
NodeConfig speaks(const WireProfile& profile) {
  NodeConfig config = a_config();
  config.profile = &profile;
  config.wire_version_min = profile.oldest();
  config.wire_version_max = profile.newest();
  return config;
}

TEST(Judge, LetsABuildMeetTheOneBeforeAndTheOneAfterButNotBoth) {
  const WireProfile before = a_profile(1, 1), now = a_profile(1, 2), after = a_profile(2, 3);
  const Rules rules;
  EXPECT_FALSE(judge(hello_of(speaks(before)), hello_of(speaks(now)), rules).has_value());
  EXPECT_FALSE(judge(hello_of(speaks(after)), hello_of(speaks(now)), rules).has_value());
  const auto refusal = judge(hello_of(speaks(before)), hello_of(speaks(after)), rules);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->code, RefusalCode::kVersion);
  EXPECT_STREQ(refusal->text().data(), "wire version: mine '1', theirs '2 to 3'");
  Rules naive;
  naive.versions = false;
  EXPECT_FALSE(judge(hello_of(speaks(before)), hello_of(speaks(after)), naive).has_value());
}

TEST(Judge, AsksForWhatTheCommonVersionOfTheProfileRequires) {
  WireProfile before = a_profile(1, 1), now = a_profile(1, 2), after = a_profile(2, 2);
  for (WireProfile* profile : {&now, &after}) profile->versions.back().required.push_back("relay_protocol");
  const auto met = [](const WireProfile& mine, const WireProfile& theirs) {
    return judge(hello_of(speaks(mine)), hello_of(speaks(theirs)), Rules{});
  };
  EXPECT_FALSE(met(now, before).has_value()) << "version 1 does not require it";
  const auto refusal = met(now, after);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_STREQ(refusal->text().data(), "wire.relay_protocol: mine absent, theirs absent");
}

TEST(Judge, ChoosesTheHighestCommonVersion) {
  const struct {
    uint8_t mine_min, mine_max, theirs_min, theirs_max, common;
  } rows[] = {{1, 1, 1, 1, 1}, {1, 3, 2, 5, 3}, {2, 5, 1, 3, 3},
              {1, 2, 3, 4, 0}, {3, 4, 1, 2, 0}, {1, 7, 7, 7, 7}};
  for (const auto& row : rows) {
    Hello mine, theirs;
    mine.version_min = row.mine_min;
    mine.version_max = row.mine_max;
    theirs.version_min = row.theirs_min;
    theirs.version_max = row.theirs_max;
    EXPECT_EQ(common_version(mine, theirs), row.common);
  }
}

TEST(Judge, RefusesVersionsFeaturesAndSchemasThatDoNotMeet) {
  const NodeConfig config = a_config();
  const struct {
    std::function<void(Hello&)> mine, theirs;
    RefusalCode code;
    const char* text;
  } rows[] = {
      {[](Hello&) {}, [](Hello& h) { h.version_min = 2, h.version_max = 3; }, RefusalCode::kVersion,
       "wire version: mine '1', theirs '2 to 3'"},
      {[](Hello& h) { h.features_required = 6; }, [](Hello& h) { h.features_supported = 2; },
       RefusalCode::kFeature, "features: mine 'requires 0x4', theirs 'supports 0x2'"},
      {[](Hello& h) { h.features_supported = 1; }, [](Hello& h) { h.features_required = 1 << 4; },
       RefusalCode::kFeature, "features: mine 'supports 0x1', theirs 'requires 0x10'"},
      {[](Hello& h) { h.fingerprints[1] = 0xab; }, [](Hello& h) { h.fingerprints[1] = 0xcd; },
       RefusalCode::kSchema, "schema of wire version 1: mine '00000000000000ab', theirs '00000000000000cd'"},
  };
  for (const auto& row : rows) {
    Hello mine = hello_of(config), theirs = hello_of(config);
    row.mine(mine);
    row.theirs(theirs);
    const auto refusal = judge(mine, theirs, Rules{});
    ASSERT_TRUE(refusal.has_value()) << row.text;
    EXPECT_EQ(refusal->code, row.code);
    EXPECT_STREQ(refusal->text().data(), row.text);
  }
  // Only the common version's schema counts.
  Hello mine = hello_of(config), theirs = hello_of(config);
  mine.version_max = 2;
  mine.fingerprints[2] = 0xab;
  EXPECT_FALSE(judge(mine, theirs, Rules{}).has_value());
  theirs.fingerprints[1] = 0;
  EXPECT_TRUE(judge(mine, theirs, Rules{}).has_value());
}

// ---- refusals as bytes

TEST(Refusal, IsTheBytesThatTheProtocolDrawsAndSwapsSides) {
  const Refusal refusal{RefusalCode::kIncarnation, "incarnation", "5", ""};
  const Buffer bytes = encoded(refusal);
  EXPECT_EQ(bytes, hex("02 05 0b 696e6361726e6174696f6e 01 35 00"));
  EXPECT_EQ(payload_kind(bytes), PayloadKind::kRefusal);
  const auto told = decode_refusal(bytes);
  ASSERT_TRUE(told.has_value());
  EXPECT_STREQ(told->text().data(), "incarnation: mine absent, theirs '5'");
  EXPECT_STREQ(refusal_code_name(told->code), "incarnation");
}

TEST(Refusal, MalformedOnesAreRefused) {
  EXPECT_TRUE(decode_refusal(hex("02 04 01 61 00 00")).has_value());
  for (const char* bytes : {"", "01 04 01 61 00 00", "02", "02 04", "02 00 01 61 00 00", "02 09 01 61 00 00",
                            "02 04 00 00 00", "02 04 01 0a 00 00", "02 04 01 61 00 00 00",
                            "02 04 02 61 00 00", "02 04 01 61 01 1b 00", "02 04 01 61 00"}) {
    EXPECT_FALSE(decode_refusal(hex(bytes)).has_value()) << bytes;
  }
  EXPECT_FALSE(decode_refusal(test::join({hex("02 04 41"), Buffer(65, 'x'), hex("00 00")})).has_value());
  EXPECT_TRUE(encoded(Refusal{static_cast<RefusalCode>(9), "a", "", ""}).empty());
  EXPECT_TRUE(encoded(Refusal{RefusalCode::kSetting, "", "", ""}).empty());
  EXPECT_TRUE(encoded(Refusal{RefusalCode::kSetting, "a", "\n", ""}).empty());
}

TEST(Refusal, TheLongestTextStillEndsInAZero) {
  const std::string longest(200, 'x');
  const Refusal refusal{RefusalCode::kSetting, std::string_view(longest), std::string_view(longest),
                        std::string_view(longest)};
  const auto text = refusal.text();
  EXPECT_EQ(text.back(), '\0');
  EXPECT_EQ(std::string(text.data()).size(), text.size() - 1) << "cut, not overrun";
}

}  // namespace
}  // namespace trunkline::relay
