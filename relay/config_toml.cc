// See relay/config_toml.h. Each function reads one table, in the order of tools/examples/node.toml. What
// needs several values to judge is left to validate(), except where a line of the file can be named.
#define TOML_EXCEPTIONS 0
// A table header that is none (`[}`) would end the process by an assertion, before toml++ says what is wrong.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "relay/config_toml.h"
#include "relay/config_toml_security.h"
#include "relay/include/trunkline/trunkline.h"
#include "relay/key_files.h"
#include "relay/mesh/hello.h"
#include "relay/toml_section.h"
#include "relay/toml_text.h"

namespace trunkline::relay {
namespace {

using core::UdpAddress;
using Keys = std::vector<std::string_view>;

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;
// A minute bounds every wait that a configuration may ask for.
constexpr int64_t kMaxWaitMs = 60'000;
constexpr size_t kMaxTrackBytes = 256;  // a track's name is hashed, never sent
constexpr size_t kMaxKeyBytes = 128;
constexpr size_t kMaxPathBytes = 107;  // sockaddr_un.sun_path with its zero (unix(7))

void read_node(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection node(reader, table, "node",
                   {"id", "name", "cluster", "region", "colour", "full_mesh", "lab", "listen", "data_cores",
                    "pin", "port", "idle", "idle_bound_us", "bundle_wait_us", "host_queues", "admin"});
  node.require("id", "write a number that no other node of the cluster has");
  node.require("cluster", "write the name that all nodes of the mesh share");
  node.require("region", "write where this node runs, as region = \"ams\"");
  node.require("listen", "write the UDP address of data core 0, as listen = \"192.0.2.1:7000\"");
  node.integer("id", config.id.value, 1, INT64_MAX);
  config.name = "node-" + std::to_string(config.id.value);
  node.text("name", config.name, kMaxNameBytes);
  node.text("cluster", config.cluster, kMaxClusterBytes);
  node.text("region", config.region, kMaxNameBytes);
  node.text("colour", config.colour, kMaxNameBytes);
  node.boolean("full_mesh", config.full_mesh);
  node.boolean("lab", config.lab);
  node.address("listen", config.listen, true);
  node.integer("data_cores", config.data_cores, 1, core::kMaxCores);
  node.each("pin", [&](const toml::node& cpu, const std::string& key) {
    const auto number = cpu.value_exact<int64_t>();
    if (!number || *number < 0 || *number > 1'023)
      return reader.fail(cpu.source(), node.name(key), "must be the number of a CPU, from 0 to 1023");
    config.pin.push_back(static_cast<int>(*number));
  });
  if (!config.pin.empty() && config.pin.size() != config.data_cores)
    node.fail("pin", "lists " + std::to_string(config.pin.size()) + " CPUs for " +
                         std::to_string(config.data_cores) + " data cores; write one for each");
  size_t choice = static_cast<size_t>(config.port);
  node.choice("port", choice, {"auto", "mmsg", "uring", "dpdk"});
  config.port = static_cast<PortChoice>(choice);
  choice = static_cast<size_t>(config.idle);
  node.choice("idle", choice, {"busy", "adaptive"});
  config.idle = static_cast<IdleMode>(choice);
  node.duration("idle_bound_us", config.idle_bound, kUs, 1, 100'000);
  node.duration("bundle_wait_us", config.bundle_wait, kUs, 0, 1'000);
  node.integer("host_queues", config.host_queues, 1, 64);
  node.text("admin", config.admin_socket, kMaxPathBytes);
}

// ---- [dpdk]: the device that node.port = "dpdk" drives

constexpr size_t kMaxDeviceBytes = 511;

// "192.0.2.1" or "2001:db8::1", without a port.
std::optional<UdpAddress> parse_ip(const std::string& text) {
  const bool v6 = text.find(':') != std::string::npos;
  auto address = UdpAddress::parse(v6 ? "[" + text + "]:1" : text + ":1");
  if (address) address->port = 0;
  return address;
}

// The same with a prefix length: "192.0.2.1/24".
std::optional<io::InterfaceAddress> parse_interface(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto ip = parse_ip(text.substr(0, slash));
  const std::string bits = text.substr(slash + 1);
  if (!ip || bits.empty() || bits.size() > 3 || bits.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  const unsigned long count = std::stoul(bits);
  if (count > (ip->family == 6 ? 128u : 32u)) return std::nullopt;
  return io::InterfaceAddress{*ip, static_cast<uint8_t>(count)};
}

void read_gateway(TomlSection& dpdk, std::string_view key, uint16_t family, UdpAddress& out) {
  std::string text;
  dpdk.text(key, text, 64);
  if (text.empty()) return;
  const auto ip = parse_ip(text);
  if (!ip || ip->family != family)
    return dpdk.fail(key,
                     quoted(text) + " is not an IPv" + std::to_string(family) + " address without a port");
  out = *ip;
}

void read_dpdk(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection dpdk(
      reader, table, "dpdk",
      {"device", "interface", "addresses", "gateway", "gateway6", "buffers", "receive_ring", "transmit_ring",
       "verify_udp_checksum", "udp_checksum_ipv4", "pages", "memory_mib", "eal", "plugin"});
  io::DeviceOptions& device = config.device;
  if (config.port != PortChoice::kDpdk)
    return dpdk.fail_here("device", "is for node.port = \"dpdk\"; write that, or remove [dpdk]");
  dpdk.text("interface", device.interface, 15);  // IFNAMSIZ with its zero
  for (std::string_view key : {"device", "addresses", "gateway", "gateway6"}) {
    if (dpdk.has("interface") && dpdk.has(key))
      dpdk.fail(key, "is the kernel's to say with dpdk.interface; remove one of the two");
  }
  if (!dpdk.has("interface")) {
    dpdk.require("device",
                 "write what DPDK calls it, as device = \"net_af_packet0,iface=eth1\", or interface = "
                 "\"eth1\" to share one with the kernel");
    dpdk.require("addresses", "write the node's own, as addresses = [\"192.0.2.1/24\"]");
  }
  dpdk.text("device", device.device, kMaxDeviceBytes);
  dpdk.each("addresses", [&](const toml::node& value, const std::string& key) {
    const auto address = parse_interface(value.value_exact<std::string>().value_or(""));
    if (!address)
      return reader.fail(
          value.source(), dpdk.name(key),
          "must be an address with a prefix length, as \"192.0.2.1/24\" or \"2001:db8::1/64\"");
    device.addresses.push_back(*address);
  });
  read_gateway(dpdk, "gateway", 4, device.gateway_v4);
  read_gateway(dpdk, "gateway6", 6, device.gateway_v6);
  dpdk.integer("buffers", device.buffers, 512, 1 << 20);
  dpdk.integer("receive_ring", device.receive_ring, 64, 8'192);
  dpdk.integer("transmit_ring", device.transmit_ring, 64, 8'192);
  dpdk.boolean("verify_udp_checksum", device.verify_udp_checksum);
  dpdk.boolean("udp_checksum_ipv4", device.udp_checksum_ipv4);
  size_t pages = static_cast<size_t>(device.pages);
  dpdk.choice("pages", pages, {"auto", "huge", "small"});
  device.pages = static_cast<io::DevicePages>(pages);
  dpdk.integer("memory_mib", device.memory_mib, 16, 1 << 20);
  dpdk.each("eal", [&](const toml::node& value, const std::string& key) {
    const auto word = value.value_exact<std::string>();
    if (!word)
      return reader.fail(value.source(), dpdk.name(key), "must be a string: one of DPDK's own arguments");
    device.eal_arguments.push_back(*word);
  });
  dpdk.text("plugin", device.plugin, kMaxDeviceBytes);
}

// ---- [wire]: one current value and an accepted set for each setting

// The canonical text of a setting's value; nothing when it is of the wrong type or out of range.
std::optional<std::string> setting_text(TomlReader& reader, const toml::node& value, std::string_view setting,
                                        const std::string& key) {
  if (setting == "mtu") {
    const auto bytes = value.value_exact<int64_t>();
    if (bytes && *bytes >= 1'280 && *bytes <= 9'216) return std::to_string(*bytes);
    reader.fail(value.source(), key, "must be bytes of an IP packet, an integer from 1280 to 9216");
    return std::nullopt;
  }
  const auto text = value.value_exact<std::string>();
  if (text && !text->empty() && text->size() <= kMaxSettingValueBytes) return text;
  reader.fail(value.source(), key, "must be a string of 1 to 64 bytes");
  return std::nullopt;
}

void read_setting(TomlReader& reader, TomlSection& wire, TomlSection* accept, const std::string& setting,
                  NodeConfig& config) {
  if (!wire.has(setting)) {
    if (accept != nullptr && accept->has(setting))
      accept->fail(setting, "accepts values of a setting that has none here; write wire." + setting);
    return;
  }
  const auto current = setting_text(reader, *wire.node(setting), setting, wire.name(setting));
  if (!current) return;
  WireSetting result{setting, *current, {}};
  if (accept != nullptr) {
    accept->each(setting, [&](const toml::node& value, const std::string& key) {
      if (const auto text = setting_text(reader, value, setting, accept->name(key)))
        result.accepted.push_back(*text);
    });
  }
  if (std::find(result.accepted.begin(), result.accepted.end(), *current) == result.accepted.end())
    result.accepted.push_back(*current);
  if (setting == "mtu" && !reader.failed()) config.mtu = static_cast<uint32_t>(std::stoul(*current));
  config.wire.push_back(std::move(result));
}

void read_wire(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  const Keys settings{"track_namespace", "mtu", "suite"};
  Keys keys{"version_min", "version_max", "accept"};
  keys.insert(keys.end(), settings.begin(), settings.end());
  TomlSection wire(reader, table, "wire", keys);
  wire.integer("version_min", config.wire_version_min, 1, kWireVersion);
  wire.integer("version_max", config.wire_version_max, config.wire_version_min, kWireVersion);
  std::optional<TomlSection> accept;
  if (const toml::table* sub = wire.table("accept")) accept.emplace(reader, *sub, "wire.accept", settings);
  for (std::string_view setting : settings)
    read_setting(reader, wire, accept ? &*accept : nullptr, std::string(setting), config);
  if (!config.rules.required_settings) return;
  // A build that needs a setting must not run where the setting was not rolled out.
  for (const std::string& setting : required_settings(config.wire_version_max)) {
    wire.require(setting, "wire version " + std::to_string(config.wire_version_max) +
                              " has no default for it; all nodes of the cluster must agree on its value");
  }
}

// ---- timing and sizes

void read_acquire(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection acquire(reader, table, "acquire", {"deadline_ms", "rendezvous_ms"});
  acquire.duration("deadline_ms", config.acquire.deadline, kMs, 1, kMaxWaitMs);
  acquire.duration("rendezvous_ms", config.acquire.rendezvous, kMs, 0, kMaxWaitMs);
}

void read_link(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection link(reader, table, "link",
                   {"heartbeat_ms", "probe_ms", "down_after_ms", "rekey_s", "rekey_datagrams"});
  link.duration("heartbeat_ms", config.link.heartbeat, kMs, 5, 10'000);
  link.duration("probe_ms", config.link.probe, kMs, 1, 10'000);
  link.duration("down_after_ms", config.link.down_after, kMs, 20, kMaxWaitMs);
  link.duration("rekey_s", config.link.rekey, 1'000 * kMs, 1, 3'600);
  link.integer("rekey_datagrams", config.link.rekey_datagrams, 1'000, int64_t{1} << 27);
}

void read_limits(TomlReader& reader, const toml::table& table, NodeLimits& limits) {
  TomlSection section(
      reader, table, "limits",
      {"max_peers", "max_tracks", "max_acquires", "max_requests", "max_flows_per_core",
       "max_outputs_per_core", "max_egress_per_core", "control_window", "queue_depth", "command_depth",
       "core_ring_depth", "frame_ring_depth", "transmit_buffers", "handover_buffers"});
  section.integer("max_peers", limits.max_peers, 1, 1'024);
  section.integer("max_tracks", limits.max_tracks, 16, 1 << 20);
  section.integer("max_acquires", limits.max_acquires, 16, 1 << 20);
  section.integer("max_requests", limits.max_requests, 16, 1 << 20);
  section.integer("max_flows_per_core", limits.max_flows_per_core, 16, 1 << 18);  // a label's index: 22 bits
  section.integer("max_outputs_per_core", limits.max_outputs_per_core, 16, 1 << 22);
  section.integer("max_egress_per_core", limits.max_egress_per_core, 1, 1 << 15);
  section.integer("control_window", limits.control_window, 4, 1'024);
  section.power_of_two("queue_depth", limits.queue_depth, 64, 1 << 16);
  section.power_of_two("command_depth", limits.command_depth, 64, 1 << 16);
  // A step of the mesh may write kMaxOutputs at once; below twice that it would mostly wait for room.
  section.power_of_two("core_ring_depth", limits.core_ring_depth, 512, 1 << 16);
  section.power_of_two("frame_ring_depth", limits.frame_ring_depth, 512, 1 << 16);
  section.integer("transmit_buffers", limits.transmit_buffers, 8, 1 << 14);
  section.integer("handover_buffers", limits.handover_buffers, core::kMaxCores, 1 << 16);
}

// ---- who and what is where

void read_peer(TomlReader& reader, const toml::table& table, const std::string& path, NodeConfig& config) {
  TomlSection section(reader, table, path, {"id", "name", "address", "serve", "public_key"});
  PeerConfig peer;
  section.require("id", "write the peer's node.id");
  section.require("address", "write the peer's node.listen");
  section.integer("id", peer.id.value, 1, INT64_MAX);
  peer.name = "node-" + std::to_string(peer.id.value);
  section.text("name", peer.name, kMaxNameBytes);
  section.address("address", peer.address, false);
  section.boolean("serve", peer.serve);
  std::string key;
  section.text("public_key", key, kMaxKeyBytes);
  if (section.has("public_key") && !reader.failed()) {
    peer.public_key = parse_node_public(key);
    if (!peer.public_key)
      section.fail("public_key", "must be what `trunkline keys public` prints of the peer's certificate");
  }
  if (peer.id == config.id) section.fail("id", "is this node's own id");
  for (const PeerConfig& other : config.peers) {
    if (other.id == peer.id)
      section.fail("id", "is the id of '" + other.name + "' already; each peer needs one of its own");
    if (other.address == peer.address)
      section.fail("address", "is the address of '" + other.name + "' already");
  }
  config.peers.push_back(std::move(peer));
}

bool parse_hex(std::string_view text, core::TrackId& id) {
  if (text.size() != 2 * id.bytes.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    const size_t digit = kDigits.find(text[i]);
    if (digit == std::string_view::npos) return false;
    id.bytes[i / 2] = static_cast<uint8_t>((size_t{id.bytes[i / 2]} << 4) | digit);
  }
  return true;
}

void read_location(TomlReader& reader, const toml::table& table, const std::string& path,
                   NodeConfig& config) {
  TomlSection section(reader, table, path, {"track", "track_id", "node"});
  LocationHint hint;
  std::string name, id;
  if (section.has("track") == section.has("track_id"))
    section.fail_here("track", "write either track (a name) or track_id (32 hexadecimal digits)");
  section.text("track", name, kMaxTrackBytes);
  section.text("track_id", id, 32);
  section.require("node", "write the node.id of who has the track");
  section.integer("node", hint.node.value, 1, INT64_MAX);
  const WireSetting* track_namespace = config.find_setting("track_namespace");
  hint.track = track_id(track_namespace != nullptr ? track_namespace->current : "", name);
  if (section.has("track_id") && !parse_hex(id, hint.track))
    section.fail("track_id", quoted(id) + " is not 32 lower-case hexadecimal digits");
  config.locations.push_back(hint);
}

void read_ingest(TomlReader& reader, const toml::table& table, const std::string& path, NodeConfig& config) {
  TomlSection section(reader, table, path,
                      {"track", "listen", "from", "class", "codec", "ssrc", "generation"});
  IngestConfig ingest;
  section.require("track", "write the name that subscribers ask for");
  section.require("listen", "write the UDP address to receive plain RTP on");
  section.text("track", ingest.track, kMaxTrackBytes);
  section.address("listen", ingest.listen, true);
  section.address("from", ingest.from, true);
  size_t traffic_class = 0;
  section.choice("class", traffic_class, {"rest", "video", "audio"});
  ingest.traffic_class = static_cast<TrafficClass>(traffic_class);
  size_t codec = 0;
  const Keys codecs{"", "opus", "vp8", "h264"};
  section.choice("codec", codec, codecs);
  ingest.codec = codecs[codec];
  section.integer("ssrc", ingest.ssrc, 0, UINT32_MAX);
  section.integer("generation", ingest.generation, 0, INT64_MAX);
  for (const IngestConfig& other : config.ingest) {
    if (other.track == ingest.track) section.fail("track", quoted(ingest.track) + " has an ingest already");
    if (other.listen == ingest.listen && ingest.listen.port != 0)
      section.fail("listen", "is the address of track '" + other.track + "' already");
  }
  config.ingest.push_back(std::move(ingest));
}

void read_egress(TomlReader& reader, const toml::table& table, const std::string& path, NodeConfig& config) {
  TomlSection section(reader, table, path, {"track", "to", "deadline_ms", "rendezvous_ms"});
  EgressConfig egress;
  egress.rendezvous = config.acquire.rendezvous;
  section.require("track", "write the name that its publisher uses");
  section.require("to", "write the UDP address to send plain RTP to");
  section.text("track", egress.track, kMaxTrackBytes);
  section.address("to", egress.to, false);
  section.duration("deadline_ms", egress.deadline, kMs, 1, kMaxWaitMs);
  section.duration("rendezvous_ms", egress.rendezvous, kMs, 0, kMaxWaitMs);
  config.egress.push_back(std::move(egress));
}

// ---- [lab]

void read_impairment(TomlReader& reader, const toml::table& table, const std::string& path,
                     NodeConfig& config) {
  TomlSection section(reader, table, path,
                      {"to", "delay_ms", "jitter_ms", "loss", "burst_enter", "burst_leave", "burst_loss",
                       "duplicate", "reorder", "reorder_ms", "corrupt", "rate_bps", "queue_bytes", "cut"});
  ImpairmentConfig impair;
  section.require("to", "write the address whose datagrams to impair; port 0 stands for all of its ports");
  section.address("to", impair.to, true);
  section.number("delay_ms", impair.delay_ms, 0, 10'000);
  section.number("jitter_ms", impair.jitter_ms, 0, 10'000);
  section.number("loss", impair.loss, 0, 1);
  section.number("burst_enter", impair.burst_enter, 0, 1);
  section.number("burst_leave", impair.burst_leave, 0, 1);
  section.number("burst_loss", impair.burst_loss, 0, 1);
  section.number("duplicate", impair.duplicate, 0, 1);
  section.number("reorder", impair.reorder, 0, 1);
  section.number("reorder_ms", impair.reorder_ms, 0, 10'000);
  section.number("corrupt", impair.corrupt, 0, 1);
  section.integer("rate_bps", impair.rate_bps, 0, INT64_C(1'000'000'000'000));
  section.integer("queue_bytes", impair.queue_bytes, 0, 1 << 30);
  section.boolean("cut", impair.cut);
  config.impairments.push_back(impair);
}

void read_without(TomlReader& reader, TomlSection& lab, NodeConfig& config) {
  lab.each("without", [&](const toml::node& rule, const std::string& key) {
    const Keys rules{
#define X(name, text) #name,
        TRUNKLINE_RULES(X)
#undef X
    };
    const auto word = rule.value_exact<std::string>();
    bool known = false;
#define X(name, text)          \
  if (word == #name) {         \
    config.rules.name = false; \
    known = true;              \
  }
    TRUNKLINE_RULES(X)
#undef X
    if (!known) {
      reader.fail(rule.source(), lab.name(key),
                  "is not the name of a rule" + suggestion(word.value_or(""), rules));
    }
  });
}

// Calls read(reader, table, "peer[1]", config) for each [[peer]].
template <class Read>
void read_array(TomlReader& reader, TomlSection& parent, std::string_view key, Read&& read,
                NodeConfig& config) {
  parent.each(key, [&](const toml::node& element, const std::string& path) {
    const toml::table* table = element.as_table();
    if (table == nullptr)
      return reader.fail(element.source(), parent.name(path),
                         "must be a table: [[" + parent.name(key) + "]]");
    read(reader, *table, parent.name(path), config);
  });
}

void read_lab(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection lab(reader, table, "lab", {"without", "seed", "impair"});
  if (!config.lab) {
    for (std::string_view key : {"without", "seed", "impair"}) {
      if (lab.has(key)) lab.fail(key, "is for laboratories; set node.lab = true, or remove it");
    }
  }
  read_without(reader, lab, config);
  lab.integer("seed", config.impairment_seed, 0, INT64_MAX);
  read_array(reader, lab, "impair", read_impairment, config);
}

void read_file(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection root(reader, table, "",
                   {"node", "dpdk", "wire", "security", "acquire", "link", "limits", "peer", "location",
                    "ingest", "egress", "lab"});
  root.require("node", "every node has an id, a cluster, a region and an address");
  if (const toml::table* sub = root.table("node")) read_node(reader, *sub, config);
  if (const toml::table* sub = root.table("dpdk")) read_dpdk(reader, *sub, config);
  // Before [wire]: a laboratory may take the rule about required settings away.
  if (const toml::table* sub = root.table("lab")) read_lab(reader, *sub, config);
  const toml::table no_wire;
  const toml::table* wire = root.table("wire");
  read_wire(reader, wire != nullptr ? *wire : no_wire, config);
  if (const toml::table* sub = root.table("security")) read_security(reader, *sub, config);
  if (const toml::table* sub = root.table("acquire")) read_acquire(reader, *sub, config);
  if (const toml::table* sub = root.table("link")) read_link(reader, *sub, config);
  if (const toml::table* sub = root.table("limits")) read_limits(reader, *sub, config.limits);
  read_array(reader, root, "peer", read_peer, config);
  read_array(reader, root, "location", read_location, config);
  read_array(reader, root, "ingest", read_ingest, config);
  read_array(reader, root, "egress", read_egress, config);
}

}  // namespace

core::Result<NodeConfig> parse_config(std::string_view text, std::string_view file_name) {
  TomlReader reader(file_name, TL_ECONFIG);
  if (const auto place = misplaced_letter(text)) {
    const toml::source_position at{place->line, place->column};
    reader.fail({at, at, nullptr}, "",
                "a letter beyond ASCII, outside of quotes or behind a backslash; put the text into quotes, "
                "on one line");
    return reader.error();
  }
  const toml::parse_result parsed = toml::parse(text, file_name);
  if (!parsed) {
    reader.fail(parsed.error().source(), "", std::string(parsed.error().description()));
    return reader.error();
  }
  NodeConfig config;
  read_file(reader, parsed.table(), config);
  if (reader.failed()) return reader.error();
  if (auto valid = validate(config); !valid)
    return core::Error{TL_ECONFIG, std::string(file_name) + ": " + valid.error().text};
  return config;
}

core::Result<NodeConfig> load_config(const char* path) {
  constexpr size_t kMaxFileBytes = size_t{16} << 20;
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr)
    return core::Error{TL_ECONFIG, std::string(path) + ": cannot be read: " + std::strerror(errno)};
  std::string text;
  char block[4096];
  size_t n = 0;
  while (text.size() <= kMaxFileBytes && (n = std::fread(block, 1, sizeof block, file)) > 0)
    text.append(block, n);
  const bool failed = std::ferror(file) != 0;
  const int error = errno;
  std::fclose(file);
  if (failed) return core::Error{TL_ECONFIG, std::string(path) + ": cannot be read: " + std::strerror(error)};
  if (text.size() > kMaxFileBytes)
    return core::Error{TL_ECONFIG, std::string(path) + ": is longer than 16 MiB: not a configuration"};
  return parse_config(text, path);
}

}  // namespace trunkline::relay
