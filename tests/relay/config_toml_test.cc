// The configuration file, as its author meets it: what is read, and for each mistake the exact text. Every
// error text in relay/config_toml.cc and relay/toml_section.h has a row.
#include "relay/config_toml.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "relay/include/trunkline/trunkline.h"
#include "relay/toml_text.h"

namespace trunkline::relay {
namespace {

// Lines 1 to 6, and 8 to 10; what a case adds to [node] begins on line 7, what it adds behind on line 11 or
// later.
constexpr const char* kNode =
    "[node]\nid = 7\ncluster = \"lab-a\"\nregion = \"ams\"\nlisten = \"127.0.0.1:7000\"\nlab = true\n";
constexpr const char* kWire = "[wire]\ntrack_namespace = \"t\"\nmtu = 1500\nsuite = \"null\"\n";

std::string file_with(const std::string& in_node, const std::string& behind) {
  return kNode + in_node + kWire + behind;
}

std::string error_of(const std::string& text) {
  const auto config = parse_config(text, "n.toml");
  if (config) return "(accepted)";
  EXPECT_EQ(config.error().code, TL_ECONFIG);
  return config.error().text;
}

struct Mistake {
  std::string in_node;  // lines at the end of [node]
  std::string behind;   // lines at the end of the file, which is in [wire]
  std::string text;
};

void check(std::initializer_list<Mistake> mistakes) {
  for (const Mistake& m : mistakes) {
    SCOPED_TRACE(m.in_node + m.behind);
    EXPECT_EQ(error_of(file_with(m.in_node, m.behind)), m.text);
  }
}

TEST(ConfigToml, ReadsTheSmallestFile) {
  const auto config = parse_config(file_with("", ""), "n.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->id.value, 7u);
  EXPECT_EQ(config->name, "node-7");
  EXPECT_EQ(config->listen, core::UdpAddress::v4(127, 0, 0, 1, 7000));
  EXPECT_EQ(config->acquire.deadline, core::from_ms(1'000));
  ASSERT_NE(config->find_setting("mtu"), nullptr);
  EXPECT_EQ(config->find_setting("mtu")->accepted, std::vector<std::string>{"1500"});
}

TEST(ConfigToml, AHeaderThatIsNoneIsAnErrorWithItsPlace) {
  for (const char* header : {"[}", "[[[", "[", "[[", "[a", "[]", "[.]", "[a.]", "[=]", "]", "[a]]"}) {
    const std::string text = error_of(std::string(header));
    EXPECT_TRUE(text.starts_with("n.toml:1:")) << header << ": " << text;
  }
}

TEST(ConfigToml, ALetterBeyondAsciiStandsInQuotesOrIsAnErrorWithItsPlace) {
  const auto place = [](std::string_view text) {
    const auto at = misplaced_letter(text);
    return at ? std::to_string(at->line) + ":" + std::to_string(at->column) : "none";
  };
  EXPECT_EQ(place("a = 1\n\u00e9 = 2\n"), "2:1");
  EXPECT_EQ(place("a = \u00e9\n"), "1:5");
  EXPECT_EQ(place("\"\u00e9\u00e9\" = \u00e9"), "1:8") << "a letter is one column";
  EXPECT_EQ(place("\xef\xbb\xbf[node]"), "none") << "a byte order mark";
  EXPECT_EQ(place("[node] \xef\xbb\xbf"), "1:8");
  EXPECT_EQ(place("\x80"), "1:1") << "no letter at all";
  for (const char* fine : {"# \u00e9\na = 1", "a = \"\u00e9\"", "a = '\u00e9'", R"(a = "\"é")", R"(a = """
é""é"""")",
                           R"(a = '''
é''')",
                           R"(a = '\' # é)", R"(a = "é)", R"("\)"}) {
    EXPECT_EQ(place(fine), "none") << fine;
  }
  for (const char* wrong :
       {R"(a = "" é)", R"(a = '\' é)", R"(a = """""" é)", R"(a = "\\" é)", R"(a = '''b''''' é)"})
    EXPECT_NE(place(wrong), "none") << wrong;
  for (const char* part_of_a_number :
       {"a = 2x\"\u00e9\"", "a=-'\u00e9'", "a = 2=\"\u00e9\"", "a = [1\"\u00e9\"]"})
    EXPECT_NE(place(part_of_a_number), "none") << part_of_a_number;
  for (const char* behind_a_backslash : {"a = \"\"\"\\\u00e9\"\"\"", "a = \"\"\"b\\ \n \n\u00e9\"\"\""})
    EXPECT_NE(place(behind_a_backslash), "none") << behind_a_backslash;
  for (const char* fine :
       {"a-2 = \"\u00e9\"", "a = [1, \"\u00e9\"]", "a = 1 # \u00e9", "a = \"\"\"b\\\n  c\u00e9\"\"\"",
        "a = \"\"\"b\\\n\"\"\" # \u00e9", "a = \"\"\"b\\\\\u00e9\"\"\""})
    EXPECT_EQ(place(fine), "none") << fine;
  const auto read = parse_config("[node]\nid = \u00e9\n", "f.toml");
  ASSERT_FALSE(read);
  EXPECT_EQ(
      read.error().text,
      "f.toml:2:6: a letter beyond ASCII, outside of quotes or behind a backslash; put the text into quotes, "
      "on one line");
}

TEST(ConfigToml, ReadsTheExampleWithEveryKey) {
  const auto config = load_config(TRUNKLINE_SOURCE_DIR "/tools/examples/node.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->name, "ams-1");
  EXPECT_EQ(config->mtu, 1500u);
  EXPECT_EQ(config->find_setting("mtu")->accepted, (std::vector<std::string>{"1500", "1400"}));
  ASSERT_EQ(config->peers.size(), 1u);
  EXPECT_EQ(config->peers[0].name, "nyc-1");
  EXPECT_TRUE(config->peers[0].serve);
  ASSERT_EQ(config->locations.size(), 1u);
  EXPECT_EQ(config->locations[0].track, track_id("example", "camera/1"));
  ASSERT_EQ(config->ingest.size(), 1u);
  EXPECT_EQ(config->ingest[0].traffic_class, TrafficClass::kVideoBase);
  EXPECT_EQ(config->ingest[0].codec, "vp8");
  ASSERT_EQ(config->egress.size(), 1u);
  EXPECT_EQ(config->egress[0].rendezvous, core::from_ms(2'000));
  ASSERT_EQ(config->impairments.size(), 1u);
  EXPECT_DOUBLE_EQ(config->impairments[0].loss, 0.01);
}

TEST(ConfigToml, AnIngestHearsWhomItsFileNamesAndOtherwiseAnybody) {
  const std::string ingest = "[[ingest]]\ntrack = \"t\"\nlisten = \"127.0.0.1:5004\"\n";
  const auto open = parse_config(file_with("", ingest), "n.toml");
  ASSERT_TRUE(open) << open.error().text;
  EXPECT_EQ(open->ingest[0].from.family, 0);
  const auto named = parse_config(file_with("", ingest + "from = \"127.0.0.2:0\"\n"), "n.toml");
  ASSERT_TRUE(named) << named.error().text;
  EXPECT_EQ(named->ingest[0].from, core::UdpAddress::v4(127, 0, 0, 2, 0));
  const auto six = parse_config(file_with("", ingest + "from = \"[::1]:0\"\n"), "n.toml");
  ASSERT_FALSE(six);
  EXPECT_NE(six.error().text.find("ingest[1].from = '[::1]:0' is not of the family"), std::string::npos)
      << six.error().text;
}

TEST(ConfigToml, APeerIsServedUnlessTheFileSaysOtherwise) {
  const auto config = parse_config(file_with("",
                                             "[[peer]]\nid = 2\naddress = \"127.0.0.1:7001\"\nserve = false\n"
                                             "[[peer]]\nid = 3\naddress = \"127.0.0.1:7002\"\n"),
                                   "n.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_FALSE(config->peers[0].serve);
  EXPECT_TRUE(config->peers[1].serve);
}

// The example says "default 4" and so on: it must not lie when a default changes.
TEST(ConfigToml, TheExampleStatesTheDefaults) {
  const auto example = load_config(TRUNKLINE_SOURCE_DIR "/tools/examples/node.toml");
  ASSERT_TRUE(example) << example.error().text;
  const NodeConfig fresh;
  EXPECT_EQ(example->data_cores, fresh.data_cores);
  EXPECT_EQ(example->idle_bound, fresh.idle_bound);
  EXPECT_EQ(example->bundle_wait, fresh.bundle_wait);
  EXPECT_EQ(example->host_queues, fresh.host_queues);
  EXPECT_EQ(example->acquire.deadline, fresh.acquire.deadline);
  EXPECT_EQ(example->acquire.rendezvous, fresh.acquire.rendezvous);
  EXPECT_EQ(example->link.heartbeat, fresh.link.heartbeat);
  EXPECT_EQ(example->link.probe, fresh.link.probe);
  EXPECT_EQ(example->link.down_after, fresh.link.down_after);
  EXPECT_EQ(example->limits.max_peers, fresh.limits.max_peers);
  EXPECT_EQ(example->limits.max_tracks, fresh.limits.max_tracks);
  EXPECT_EQ(example->limits.max_acquires, fresh.limits.max_acquires);
  EXPECT_EQ(example->limits.max_requests, fresh.limits.max_requests);
  EXPECT_EQ(example->limits.max_flows_per_core, fresh.limits.max_flows_per_core);
  EXPECT_EQ(example->limits.max_outputs_per_core, fresh.limits.max_outputs_per_core);
  EXPECT_EQ(example->limits.max_egress_per_core, fresh.limits.max_egress_per_core);
  EXPECT_EQ(example->limits.control_window, fresh.limits.control_window);
  EXPECT_EQ(example->limits.queue_depth, fresh.limits.queue_depth);
  EXPECT_EQ(example->limits.command_depth, fresh.limits.command_depth);
  EXPECT_EQ(example->limits.core_ring_depth, fresh.limits.core_ring_depth);
  EXPECT_EQ(example->limits.frame_ring_depth, fresh.limits.frame_ring_depth);
  EXPECT_EQ(example->limits.transmit_buffers, fresh.limits.transmit_buffers);
  EXPECT_EQ(example->limits.handover_buffers, fresh.limits.handover_buffers);
}

TEST(ConfigToml, NamesWhatIsWrongWithAValue) {
  check({
      {"data_cores = 17\n", "", "n.toml:7:14: node.data_cores: must be from 1 to 16"},
      {"data_cores = \"2\"\n", "", "n.toml:7:14: node.data_cores: must be an integer, and is a string"},
      {"data_cores = 2.0\n", "",
       "n.toml:7:14: node.data_cores: must be an integer, and is a floating-point number"},
      {"name = 5\n", "", "n.toml:7:8: node.name: must be a string, and is an integer"},
      {"name = \"\"\n", "", "n.toml:7:8: node.name: must not be empty"},
      {"name = \"0123456789012345678901234567890123\"\n", "",
       "n.toml:7:8: node.name: is 34 bytes; at most 32 fit"},
      {"pin = 3\n", "", "n.toml:7:7: node.pin: must be an array, and is an integer"},
      {"pin = [0, \"1\"]\n", "", "n.toml:7:11: node.pin[2]: must be the number of a CPU, from 0 to 1023"},
      {"pin = [0, 1]\n", "", "n.toml:7:7: node.pin: lists 2 CPUs for 1 data cores; write one for each"},
      {"port = \"urin\"\n", "",
       "n.toml:7:8: node.port: 'urin' is not one of its values; did you mean 'uring'?"},
      {"idle = \"sleepy-head\"\n", "",
       "n.toml:7:8: node.idle: 'sleepy-head' is not one of its values; known here: busy, adaptive"},
      {"idle = true\n", "", "n.toml:7:8: node.idle: must be a string, and is a boolean"},
      {"bundle_wait_us = 1001\n", "", "n.toml:7:18: node.bundle_wait_us: must be from 0 to 1000"},
      {"", "[limits]\nqueue_depth = 1000\n",
       "n.toml:12:15: limits.queue_depth: must be a power of two, as 1024; it is 1000"},
      {"", "[limits]\nmax_peers = 0\n", "n.toml:12:13: limits.max_peers: must be from 1 to 1024"},
      {"", "[[lab.impair]]\nto = \"127.0.0.1:0\"\nloss = 1.5\n",
       "n.toml:13:8: lab.impair[1].loss: must be from 0 to 1"},
      {"", "[[lab.impair]]\nto = \"127.0.0.1:0\"\nloss = \"much\"\n",
       "n.toml:13:8: lab.impair[1].loss: must be a number, and is a string"},
      {"", "[[lab.impair]]\nto = \"127.0.0.1:0\"\ncut = 1\n",
       "n.toml:13:7: lab.impair[1].cut: must be true or false, and is an integer"},
      {"", "[lab]\nwithout = [\"deadline\"]\n",
       "n.toml:12:12: lab.without[1]: is not the name of a rule; did you mean 'deadlines'?"},
      {"", "[acquire]\ndeadline_ms = 0\n", "n.toml:12:15: acquire.deadline_ms: must be from 1 to 60000"},
      {"", "[link]\nheartbeat_ms = 1979-05-27\n",
       "n.toml:12:16: link.heartbeat_ms: must be an integer, and is a date"},
  });
}

TEST(ConfigToml, NamesUnknownKeysAndWhatWasMeant) {
  check({
      {"nmae = \"x\"\n", "", "n.toml:7:1: node.nmae: unknown key; did you mean 'name'?"},
      {"frobnicate = 1\n", "",
       "n.toml:7:1: node.frobnicate: unknown key; known here: id, name, cluster, region, colour, full_mesh, "
       "lab, "
       "listen, data_cores, pin, port, idle, idle_bound_us, bundle_wait_us, host_queues, admin"},
      {"", "[acquier]\ndeadline_ms = 5\n", "n.toml:11:2: acquier: unknown key; did you mean 'acquire'?"},
      {"", "[limits]\nmax_peer = 5\n",
       "n.toml:12:1: limits.max_peer: unknown key; did you mean 'max_peers'?"},
      {"", "[wire.accept]\nmtus = [1400]\n",
       "n.toml:12:1: wire.accept.mtus: unknown key; did you mean 'mtu'?"},
      {"", "[[peer]]\nid = 2\nadress = \"127.0.0.1:7001\"\n",
       "n.toml:13:1: peer[1].adress: unknown key; did you mean 'address'?"},
  });
}

TEST(ConfigToml, SaysWhatAnAddressLooksLike) {
  check({
      {"", "[[peer]]\nid = 2\naddress = \"localhost:7001\"\n",
       "n.toml:13:11: peer[1].address: 'localhost:7001' is not an address; write IP:port, as "
       "\"192.0.2.1:7000\" or \"[2001:db8::1]:7000\" (names are not looked up)"},
      {"", "[[peer]]\nid = 2\naddress = \"127.0.0.1\"\n",
       "n.toml:13:11: peer[1].address: '127.0.0.1' is not an address; write IP:port, as \"192.0.2.1:7000\" "
       "or \"[2001:db8::1]:7000\" (names are not looked up)"},
      {"", "[[peer]]\nid = 2\naddress = \"127.0.0.1:0\"\n",
       "n.toml:13:11: peer[1].address: '127.0.0.1:0' has port 0; write the port to send to"},
      {"", "[[peer]]\nid = 2\naddress = \"127.0.0.1:7001\"\nserve = \"no\"\n",
       "n.toml:14:9: peer[1].serve: must be true or false, and is a string"},
      {"", "[[peer]]\nid = 2\naddress = 7001\n",
       "n.toml:13:11: peer[1].address: must be a string with an address, and is an integer"},
  });
}

TEST(ConfigToml, NamesDuplicatesAndContradictions) {
  const std::string peer = "[[peer]]\nid = 2\nname = \"b\"\naddress = \"127.0.0.1:7001\"\n";
  const std::string ingest = "[[ingest]]\ntrack = \"t\"\nlisten = \"127.0.0.1:5004\"\n";
  check({
      {"", peer + "[[peer]]\nid = 2\naddress = \"127.0.0.1:7002\"\n",
       "n.toml:16:6: peer[2].id: is the id of 'b' already; each peer needs one of its own"},
      {"", peer + "[[peer]]\nid = 3\naddress = \"127.0.0.1:7001\"\n",
       "n.toml:17:11: peer[2].address: is the address of 'b' already"},
      {"", "[[peer]]\nid = 7\naddress = \"127.0.0.1:7001\"\n",
       "n.toml:12:6: peer[1].id: is this node's own id"},
      {"", ingest + "[[ingest]]\ntrack = \"t\"\nlisten = \"127.0.0.1:5005\"\n",
       "n.toml:15:9: ingest[2].track: 't' has an ingest already"},
      {"", ingest + "[[ingest]]\ntrack = \"u\"\nlisten = \"127.0.0.1:5004\"\n",
       "n.toml:16:10: ingest[2].listen: is the address of track 't' already"},
      {"", "[[location]]\ntrack = \"a\"\ntrack_id = \"b\"\nnode = 2\n",
       "n.toml:11:1: location[1].track: write either track (a name) or track_id (32 hexadecimal digits)"},
      {"", "[[location]]\nnode = 2\n",
       "n.toml:11:1: location[1].track: write either track (a name) or track_id (32 hexadecimal digits)"},
      {"", "[[location]]\ntrack_id = \"0123\"\nnode = 2\n",
       "n.toml:12:12: location[1].track_id: '0123' is not 32 lower-case hexadecimal digits"},
      {"id = 8\n", "",
       "n.toml:7:6: Error while parsing key-value pair: cannot redefine existing integer 'id'"},
  });
}

TEST(ConfigToml, NamesTheTableThatIsNone) {
  check({
      {"", "[wire.accept]\nmtu = 1400\n",
       "n.toml:12:7: wire.accept.mtu: must be an array, and is an integer"},
      {"", "[wire.accept]\nmtu = [\"1400\"]\n",
       "n.toml:12:8: wire.accept.mtu[1]: must be bytes of an IP packet, an integer from 1280 to 9216"},
      {"", "[wire.accept]\nsuite = [\"\"]\n",
       "n.toml:12:10: wire.accept.suite[1]: must be a string of 1 to 64 bytes"},
      {"", "accept = 3\n", "n.toml:11:10: wire.accept: must be a table: [wire.accept], and is an integer"},
      {"", "[peer]\nid = 3\n", "n.toml:11:1: peer: must be an array of tables: [[peer]], and is a table"},
      {"", "[lab]\nimpair = [3]\n", "n.toml:12:11: lab.impair[1]: must be a table: [[lab.impair]]"},
  });
  EXPECT_EQ(error_of("node = 3\n"), "n.toml:1:8: node: must be a table: [node], and is an integer");
}

TEST(ConfigToml, RefusesToStartWithoutARequiredKey) {
  EXPECT_EQ(
      error_of(""),
      "n.toml:1:1: node: is required and absent: every node has an id, a cluster, a region and an address");
  EXPECT_EQ(
      error_of("[node]\nid = 1\n"),
      "n.toml:1:1: node.cluster: is required and absent: write the name that all nodes of the mesh share");
  EXPECT_EQ(error_of(kNode),
            "n.toml:1:1: wire.track_namespace: is required and absent: wire version 1 has no default for it; "
            "all nodes of the cluster must agree on its value");
  EXPECT_EQ(error_of(std::string(kNode) + "[wire]\nmtu = 1500\nsuite = \"null\"\n"),
            "n.toml:7:1: wire.track_namespace: is required and absent: wire version 1 has no default for it; "
            "all nodes of the cluster must agree on its value");
  EXPECT_EQ(error_of(std::string(kNode) + "[wire]\ntrack_namespace = \"t\"\nsuite = \"null\"\n"),
            "n.toml:7:1: wire.mtu: is required and absent: wire version 1 has no default for it; all nodes "
            "of the cluster must agree on its value");
  EXPECT_EQ(error_of(std::string(kNode) + "[wire]\ntrack_namespace = \"t\"\n[wire.accept]\nmtu = [1500]\n"),
            "n.toml:10:7: wire.accept.mtu: accepts values of a setting that has none here; write wire.mtu");
  check({
      {"", "[[peer]]\nid = 2\n",
       "n.toml:11:1: peer[1].address: is required and absent: write the peer's node.listen"},
      {"", "[[egress]]\ntrack = \"t\"\n",
       "n.toml:11:1: egress[1].to: is required and absent: write the UDP address to send plain RTP to"},
  });
}

TEST(ConfigToml, KeepsLaboratoryKeysOutOfProduction) {
  const std::string production =
      "[node]\nid = 7\ncluster = \"a\"\nregion = \"ams\"\nlisten = \"127.0.0.1:7000\"\n";
  EXPECT_EQ(error_of(production + "[lab]\nseed = 3\n" + kWire),
            "n.toml:7:8: lab.seed: is for laboratories; set node.lab = true, or remove it");
}

TEST(ConfigToml, ALaboratoryMayTakeARuleAway) {
  const auto config = parse_config(std::string(kNode) +
                                       "[lab]\nwithout = [\"required_settings\", \"negative_answers\"]\n"
                                       "[wire]\ntrack_namespace = \"t\"\n",
                                   "n.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_FALSE(config->rules.required_settings);
  EXPECT_FALSE(config->rules.negative_answers);
  EXPECT_TRUE(config->rules.deadlines);
}

TEST(ConfigToml, PassesOnWhatTomlItselfFinds) {
  EXPECT_EQ(error_of("[node\n"), "n.toml:1:6: Error while parsing table header: expected ']', saw '\\n'");
}

TEST(ConfigToml, SaysThatAFileCannotBeRead) {
  const auto config = load_config("no-such-file.toml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text, "no-such-file.toml: cannot be read: No such file or directory");
  EXPECT_EQ(load_config("/").error().text, "/: cannot be read: Is a directory");
}

TEST(ConfigToml, RefusesAFileThatIsTooLongToBeOne) {
  const std::string path = ::testing::TempDir() + "long.toml";
  std::ofstream(path) << std::string((size_t{16} << 20) + 1, '#');
  EXPECT_EQ(load_config(path.c_str()).error().text, path + ": is longer than 16 MiB: not a configuration");
  std::remove(path.c_str());
}

TEST(ConfigToml, PassesOnWhatValidateFinds) {
  check({{"", "[[peer]]\nid = 2\naddress = \"192.0.2.1:7000\"\n",
          "n.toml: wire.suite 'null' neither authenticates nor encrypts and is for laboratories only: "
          "peer[1].address = '192.0.2.1:7000' is not in 127.0.0.0/8, ::1, 198.18.0.0/15 or 2001:2::/48"}});
}

}  // namespace
}  // namespace trunkline::relay
