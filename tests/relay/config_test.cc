// validate() as a table: one change to a good configuration per row, and the text that its operator reads.
// And track_id() against vectors that Python's hashlib computed.
#include "relay/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "relay/include/trunkline/trunkline.h"
#include "relay/mesh/hello.h"

namespace trunkline::relay {
namespace {

using core::UdpAddress;

NodeConfig good() {
  NodeConfig c;
  c.id = {1};
  c.name = "ams-1";
  c.cluster = "lab-one";
  c.region = "ams";
  c.lab = true;
  c.listen = UdpAddress::v4(127, 0, 0, 1, 7000);
  c.wire = {{"track_namespace", "prod", {"prod"}}, {"mtu", "1500", {"1500"}}, {"suite", "null", {"null"}}};
  c.peers = {{{2}, "fra-1", UdpAddress::v4(127, 0, 0, 1, 7100)},
             {{3}, "nyc-1", UdpAddress::v4(198, 18, 0, 3, 7000)}};
  core::TrackId track;
  track.bytes[0] = 1;
  c.locations = {{track, {2}}};
  c.ingest = {{"camera", UdpAddress::v4(127, 0, 0, 1, 5000), TrafficClass::kRest, "vp8", 0, 0}};
  c.egress = {{"camera", UdpAddress::v4(127, 0, 0, 1, 6000), {}, {}}};
  ImpairmentConfig impairment;
  impairment.to = UdpAddress::v4(127, 0, 0, 1, 0);
  c.impairments = {impairment};
  return c;
}

struct Row {
  std::function<void(NodeConfig&)> change;
  const char* text;
};

void expect_texts(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    NodeConfig config = good();
    row.change(config);
    const auto result = validate(config);
    ASSERT_FALSE(result.has_value()) << row.text;
    EXPECT_EQ(result.error().text, row.text);
    EXPECT_EQ(result.error().code, TL_ECONFIG);
  }
}

TEST(Validate, TakesAGoodConfiguration) {
  EXPECT_TRUE(validate(good()).has_value());
  NodeConfig production_like = good();
  production_like.impairments.clear();
  EXPECT_TRUE(validate(production_like).has_value());
}

TEST(Validate, NamesWhatIsWrongWithTheNode) {
  const std::string long_path(108, 'x'), long_name(33, 'x');
  expect_texts({
      {[](NodeConfig& c) { c.id = {}; },
       "node.id is missing or 0: give each node of the cluster a number of its own, from 1"},
      {[](NodeConfig& c) { c.cluster = ""; }, "node.cluster is missing and has no default: set it"},
      {[&](NodeConfig& c) { c.name = long_name; },
       "node.name has 33 bytes, and at most 32 fit a HELLO: shorten it"},
      {[](NodeConfig& c) { c.region = "a\tb"; },
       "node.region contains a control character: use printable text"},
      {[&](NodeConfig& c) { c.admin_socket = long_path; },
       "node.admin has 108 bytes, and a unix socket's path at most 107: choose a shorter path"},
      {[](NodeConfig& c) { c.wire_version_min = 2; },
       "wire.version_min = 2 is above wire.version_max = 1: exchange them"},
      {[](NodeConfig& c) { c.wire_version_min = 0; },
       "wire.version_min = 0 is outside 1 to 1: choose a value in that range"},
      {[](NodeConfig& c) { c.wire_version_max = 2; },
       "wire.version_max = 2 is outside 1 to 1: choose a value in that range"},
  });
}

TEST(Validate, NamesWhatIsWrongWithTheDataCores) {
  expect_texts({
      {[](NodeConfig& c) { c.data_cores = 0; },
       "node.data_cores = 0 is outside 1 to 16: choose a value in that range"},
      {[](NodeConfig& c) { c.data_cores = 17; },
       "node.data_cores = 17 is outside 1 to 16: choose a value in that range"},
      {[](NodeConfig& c) { c.listen = {}; }, "node.listen is missing: set it to ADDRESS:PORT"},
      {[](NodeConfig& c) { c.listen = UdpAddress::v4(224, 0, 0, 1, 7000); },
       "node.listen = '224.0.0.1:7000' is multicast: use a unicast address"},
      {[](NodeConfig& c) { c.listen.port = 65535, c.data_cores = 2; },
       "node.listen = '127.0.0.1:65535' leaves no ports for 2 data cores, which use consecutive ones: choose "
       "a lower port"},
      {[](NodeConfig& c) {
         c.pin = {0, 1};
       },
       "node.pin names 2 CPUs for 1 data cores: name one for each, or none"},
      {[](NodeConfig& c) { c.pin = {-1}; }, "node.pin contains -1: CPUs are counted from 0"},
      {[](NodeConfig& c) {
         c.data_cores = 2, c.pin = {1, 1};
       },
       "node.pin names CPU 1 twice: two data cores on one CPU wait for each other"},
      {[](NodeConfig& c) { c.idle_bound = core::from_us(0); },
       "node.idle_bound_us = 0 is outside 1 to 10000 us: choose a value in that range"},
      {[](NodeConfig& c) { c.bundle_wait = core::from_us(1001); },
       "node.bundle_wait_us = 1001 is outside 0 to 1000 us: choose a value in that range"},
      {[](NodeConfig& c) { c.host_queues = 0; },
       "node.host_queues = 0 is outside 1 to 1024: choose a value in that range"},
      {[](NodeConfig& c) { c.limits.max_peers = 0; },
       "limits.max_peers = 0 is outside 1 to 2048: choose a value in that range"},
      {[](NodeConfig& c) { c.data_cores = 16, c.limits.max_flows_per_core = 262'145; },
       "limits.max_flows_per_core = 262145 is outside 1 to 262144: choose a value in that range"},
      {[](NodeConfig& c) { c.limits.control_window = 1025; },
       "limits.control_window = 1025 is outside 2 to 1024: choose a value in that range"},
      {[](NodeConfig& c) { c.limits.queue_depth = 1000; },
       "limits.queue_depth = 1000 is the depth of a ring: choose a power of two"},
  });
}

TEST(Validate, NamesTheSettingThatTheWireVersionRequires) {
  for (const std::string& name : required_settings(1)) {
    NodeConfig config = good();
    std::erase_if(config.wire, [&](const WireSetting& s) { return s.name == name; });
    const auto result = validate(config);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().text, "wire." + name +
                                       " is required by wire version 1 and has no default: set it to "
                                       "the value that the whole cluster uses");
    config.rules.required_settings = false;  // the naive variant starts, in a laboratory
    EXPECT_TRUE(validate(config).has_value()) << result.error().text;
  }
  EXPECT_EQ(required_settings(1), (std::vector<std::string>{"track_namespace", "mtu", "suite"}));
  EXPECT_TRUE(required_settings(2).empty());
}

TEST(Validate, NamesWhatIsWrongWithASetting) {
  const std::string value(65, 'x');
  expect_texts({
      {[](NodeConfig& c) { c.wire[0].current = ""; },
       "wire.track_namespace is empty: set it to the value that the whole cluster uses"},
      {[&](NodeConfig& c) { c.wire[0].current = value; },
       "wire.track_namespace has 65 bytes, and at most 64 fit a HELLO: shorten it"},
      {[](NodeConfig& c) { c.wire[0].accepted = {}; }, "wire.track_namespace accepts 0 values: list 1 to 8"},
      {[](NodeConfig& c) { c.wire[0].accepted = {"prod", "1", "2", "3", "4", "5", "6", "7", "8"}; },
       "wire.track_namespace accepts 9 values: list 1 to 8"},
      {[](NodeConfig& c) {
         c.wire[0].accepted = {"prod", ""};
       },
       "an accepted value of wire.track_namespace is missing and has no default: set it"},
      {[](NodeConfig& c) { c.wire[0].accepted = {"test"}; },
       "wire.track_namespace = 'prod' is not among its accepted values: accept it everywhere first, then use "
       "it"},
      {[](NodeConfig& c) { c.wire.push_back(c.wire[0]); }, "wire.track_namespace is given twice: keep one"},
      {[](NodeConfig& c) {
         for (int i = 0; i < 6; ++i) c.wire.push_back({"s" + std::to_string(i), "1", {"1"}});
       },
       "[wire] has 9 settings: a HELLO carries at most 8"},
      {[](NodeConfig& c) {
         c.wire[0].name = std::string(33, 'n');
         c.rules.required_settings = false;
       },
       "the name of wire.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn has 33 bytes, and at most 32 fit a HELLO: shorten "
       "it"},
      {[](NodeConfig& c) { c.mtu = 1279; },
       "wire.mtu = 1279 is outside 1280 to 9216 bytes: choose a value in that range"},
      {[](NodeConfig& c) {
         c.wire[1] = {"mtu", "01500", {"01500"}};
       },
       "wire.mtu is '01500' as a setting and 1500 as a value: write one decimal number without leading "
       "zeros"},
      {[](NodeConfig& c) {
         c.wire[1].accepted = {"1500", "big"};
       },
       "wire.mtu accepts 'big', which is not a number: write a decimal number of bytes"},
      {[](NodeConfig& c) {
         c.wire[1].accepted = {"1500", "10000"};
       },
       "an accepted value of wire.mtu = 10000 is outside 1280 to 9216 bytes: choose a value in that range"},
      {[](NodeConfig& c) {
         c.wire[2] = {"suite", "rot13", {"rot13"}};
       },
       "wire.suite 'rot13' is none: write \"aes-128-gcm\", \"aes-256-gcm\" or \"chacha20-poly1305\"; "
       "\"null\" "
       "protects nothing and is for laboratories"},
  });
}

TEST(Validate, KeepsTheNullSuiteInTheLaboratory) {
  const std::string what =
      "wire.suite 'null' neither authenticates nor encrypts and is for laboratories only: ";
  const std::string ranges = " is not in 127.0.0.0/8, ::1, 198.18.0.0/15 or 2001:2::/48";
  const std::string no_lab = what + "set node.lab = true, or choose a suite that seals";
  const std::string cluster = what + "node.cluster = 'prod' must begin with 'lab-'";
  const std::string listen = what + "node.listen = '0.0.0.0:7000'" + ranges;
  const std::string peer = what + "peer[2].address = '192.0.2.1:7000'" + ranges;
  expect_texts({
      {[](NodeConfig& c) { c.lab = false, c.impairments.clear(); }, no_lab.c_str()},
      {[](NodeConfig& c) { c.cluster = "prod"; }, cluster.c_str()},
      {[](NodeConfig& c) { c.listen = UdpAddress::v4(0, 0, 0, 0, 7000); }, listen.c_str()},
      {[](NodeConfig& c) { c.peers[1].address = UdpAddress::v4(192, 0, 2, 1, 7000); }, peer.c_str()},
  });
}

TEST(Validate, NamesWhatOnlyALaboratoryMayDo) {
  expect_texts({
      {[](NodeConfig& c) { c.lab = false; },
       "[[lab.impair]] damages traffic and is for laboratories only: remove it, or set node.lab = true"},
      {[](NodeConfig& c) { c.lab = false, c.rules.deadlines = false; },
       "lab.without names 'deadlines', which takes a promise away and is for laboratories only: remove it, "
       "or set node.lab = true"},
      {[](NodeConfig& c) { c.lab = false, c.rules.negative_answers = false; },
       "lab.without names 'negative_answers', which takes a promise away and is for laboratories only: "
       "remove it, or set node.lab = true"},
      {[](NodeConfig& c) { c.lab = false, c.rules.required_settings = false; },
       "lab.without names 'required_settings', which takes a promise away and is for laboratories only: "
       "remove it, or set node.lab = true"},
      {[](NodeConfig& c) { c.impairments[0].to = {}; },
       "lab.impair[1].to is missing: set it to ADDRESS:PORT"},
      {[](NodeConfig& c) { c.impairments[0].loss = 1.5; },
       "lab.impair[1].loss = 1.5 is not a probability: choose a value from 0 to 1"},
      {[](NodeConfig& c) { c.impairments[0].corrupt = std::nan(""); },
       "lab.impair[1].corrupt = nan is not a probability: choose a value from 0 to 1"},
      {[](NodeConfig& c) { c.impairments[0].delay_ms = -1; },
       "lab.impair[1].delay_ms = -1 is outside 0 to 60000 ms"},
  });
}

TEST(Validate, NamesWhatIsWrongWithTimes) {
  expect_texts({
      {[](NodeConfig& c) { c.acquire.deadline = {}; },
       "acquire.deadline_ms = 0 is outside 1 to 3600000 ms: choose a value in that range"},
      {[](NodeConfig& c) { c.acquire.rendezvous = core::from_ms(-1); },
       "acquire.rendezvous_ms = -1 is outside 0 to 3600000 ms: choose a value in that range"},
      {[](NodeConfig& c) { c.acquire.rendezvous = core::from_ms(2000); },
       "acquire.rendezvous_ms = 2000 is longer than acquire.deadline_ms = 1000: an acquire ends by its "
       "deadline whatever it waits for"},
      {[](NodeConfig& c) { c.link.heartbeat = {}; },
       "link.heartbeat_ms = 0 is outside 1 to 10000 ms: choose a value in that range"},
      {[](NodeConfig& c) { c.link.probe = core::from_ms(51); },
       "link.probe_ms = 51 is outside 1 to 50 ms: choose a value in that range"},
      {[](NodeConfig& c) { c.link.down_after = core::from_ms(60); },
       "link.down_after_ms = 60 leaves no time for one missed heartbeat and one probe: choose more than 60"},
      {[](NodeConfig& c) { c.link.down_after = core::from_ms(60'001); },
       "link.down_after_ms = 60001 is outside 1 to 60000 ms: choose a value in that range"},
  });
}

TEST(Validate, NamesWhatIsWrongWithPeersAndLocations) {
  expect_texts({
      {[](NodeConfig& c) { c.limits.max_peers = 1; },
       "[[peer]] has 2 entries and limits.max_peers is 1: raise the limit"},
      {[](NodeConfig& c) { c.peers[1].id = {}; }, "peer[2].id is missing or 0: give the peer's node.id"},
      {[](NodeConfig& c) { c.peers[0].id = {1}; },
       "peer[1].id = 1 is this node's own id: list the other nodes only"},
      {[](NodeConfig& c) { c.peers[1].id = {2}; },
       "peer[2].id = 2 is listed twice: node ids are unique in a cluster"},
      {[](NodeConfig& c) { c.peers[0].name = "\x7f"; },
       "peer[1].name contains a control character: use printable text"},
      {[](NodeConfig& c) { c.peers[0].address = {}; }, "peer[1].address is missing: set it to ADDRESS:PORT"},
      {[](NodeConfig& c) { c.peers[0].address.port = 0; },
       "peer[1].address = '127.0.0.1:0' has port 0: name the port to send to"},
      {[](NodeConfig& c) { c.peers[0].address = UdpAddress::v4(0, 0, 0, 0, 1); },
       "peer[1].address = '0.0.0.0:1' names no host: give the address to send to"},
      {[](NodeConfig& c) { c.peers[1].address = c.peers[0].address; },
       "peer[2].address = '127.0.0.1:7100' is listed twice: each node listens on a port of its own"},
      {[](NodeConfig& c) { c.locations[0].track = {}; }, "location[1].track is missing: name the track"},
      {[](NodeConfig& c) { c.locations[0].node = {9}; },
       "location[1].node = 9 is not the id of a peer: add it to [[peer]]"},
  });
}

TEST(Validate, NamesWhatIsWrongWithTaps) {
  expect_texts({
      {[](NodeConfig& c) { c.ingest[0].track = ""; },
       "ingest[1].track is missing: name the track to publish"},
      {[](NodeConfig& c) { c.ingest.push_back(c.ingest[0]); },
       "ingest[2].track = 'camera' is published twice: one source per track"},
      {[](NodeConfig& c) { c.ingest.push_back(c.ingest[0]), c.ingest[1].track = "mic"; },
       "ingest[2].listen = '127.0.0.1:5000' is used twice: give each tap a port of its own"},
      {[](NodeConfig& c) { c.ingest[0].listen = {}; }, "ingest[1].listen is missing: set it to ADDRESS:PORT"},
      {[](NodeConfig& c) { c.ingest[0].codec = "av1"; },
       "ingest[1].codec = 'av1' is not known: use 'opus', 'vp8', 'h264', or leave it out"},
      {[](NodeConfig& c) { c.ingest[0].from = *UdpAddress::parse("[::1]:5000"); },
       "ingest[1].from = '[::1]:5000' is not of the family of the address listened on: both must be IPv4, or "
       "both IPv6"},
      {[](NodeConfig& c) {
         c.ingest[0].listen = *UdpAddress::parse("[::]:5000");
         c.ingest[0].from = UdpAddress::v4(127, 0, 0, 1, 0);
       },
       "ingest[1].from = '127.0.0.1:0' is not of the family of the address listened on: both must be IPv4, "
       "or "
       "both IPv6"},
      {[](NodeConfig& c) { c.ingest[0].from = UdpAddress::v4(0, 0, 0, 0, 5000); },
       "ingest[1].from = '0.0.0.0:5000' names no host: give the address that sends, or leave it out for "
       "anybody"},
      {[](NodeConfig& c) { c.ingest[0].from = *UdpAddress::parse("[::]:0"); },
       "ingest[1].from = '[::]:0' names no host: give the address that sends, or leave it out for anybody"},
      {[](NodeConfig& c) { c.ingest[0].from = UdpAddress::v4(224, 0, 0, 1, 0); },
       "ingest[1].from = '224.0.0.1:0' is multicast, and nothing comes from there: give the address that "
       "sends"},
      {[](NodeConfig& c) { c.egress[0].track = ""; },
       "egress[1].track is missing: name the track to acquire"},
      {[](NodeConfig& c) { c.egress[0].to.port = 0; },
       "egress[1].to = '127.0.0.1:0' has port 0: name the port to send to"},
      {[](NodeConfig& c) { c.egress[0].deadline = core::from_ms(-1); },
       "egress[1].deadline_ms = -1 is outside 0 to 3600000 ms: choose a value in that range"},
      {[](NodeConfig& c) { c.egress[0].rendezvous = core::from_ms(-1); },
       "egress[1].rendezvous_ms = -1 is outside 0 to 3600000 ms: choose a value in that range"},
  });
}

TEST(Validate, RefusesAHelloThatWouldNotFit) {
  NodeConfig config = good();
  for (int i = 0; i < 8; ++i) config.wire[0].accepted.push_back(std::string(63, 'x') + std::to_string(i));
  config.wire[0].accepted.pop_back();
  for (int i = 0; i < 4; ++i)
    config.wire.push_back({"s" + std::to_string(i), std::string(64, 'y'), {std::string(64, 'y')}});
  const auto result = validate(config);
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(result.error().text.starts_with("names and [wire] settings make a HELLO of "))
      << result.error().text;
  EXPECT_TRUE(result.error().text.ends_with(", and at most 800 fit: shorten values or accept fewer"));
}

// python3: b = hashlib.blake2b; b(name, digest_size=16, key=b(namespace,
// digest_size=32).digest()).hexdigest()
TEST(TrackId, AgreesWithThePublishedVectors) {
  EXPECT_EQ(track_id("prod", "room-1/alice/camera").hex(), "80b9cf86c9e1cfc88cf969f2227644fc");
  EXPECT_EQ(track_id("", "").hex(), "01b2636fded87125c42806dfa3902afd");
  EXPECT_EQ(track_id("a namespace that is longer than the sixty-four bytes which BLAKE2b takes as a key", "t")
                .hex(),
            "12f7a11dd7c23f25ca7d3ea67cb44432");
}

TEST(TrackId, AnotherNamespaceMeansAnotherTrack) {
  EXPECT_NE(track_id("prod", "camera"), track_id("test", "camera"));
  EXPECT_NE(track_id("prod", "camera"), track_id("prod", "Camera"));
}

}  // namespace
}  // namespace trunkline::relay
