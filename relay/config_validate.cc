// validate(): everything about a configuration that a single value cannot say.
//
// Each check is a function that returns the first problem it finds: the key as the operator wrote it, what is
// wrong, what to do. The checks run in the order in which a person would fix them; nothing is repaired
// silently. Runs once at start; allocates.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <set>
#include <string>

#include "relay/config.h"
#include "relay/include/trunkline/trunkline.h"
#include "relay/mesh/control_stream.h"
#include "relay/mesh/hello.h"
#include "relay/sealed_suite.h"
#include "relay/tap_address.h"
#include "relay/text.h"

namespace trunkline::relay {
namespace {

using Problem = std::optional<std::string>;

std::string quoted(std::string_view text) {
  return std::string("'").append(text) + "'";  // not "'" + std::string: g++ 12 warns of it at -O3
}
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}
// Entries are counted from 1, as relay/config_toml names them.
std::string indexed(std::string_view list, size_t index, std::string_view key) {
  return std::string(list) + "[" + std::to_string(index + 1) + "]." + std::string(key);
}

Problem check_range(const std::string& key, int64_t value, int64_t min, int64_t max,
                    std::string_view unit = "") {
  if (value >= min && value <= max) return {};
  return key + " = " + std::to_string(value) + " is outside " + std::to_string(min) + " to " +
         std::to_string(max) + std::string(unit) + ": choose a value in that range";
}

Problem check_text(const std::string& key, const std::string& text, size_t min, size_t max) {
  if (text.size() < min) return key + " is missing and has no default: set it";
  if (text.size() > max) {
    return key + " has " + std::to_string(text.size()) + " bytes, and at most " + std::to_string(max) +
           " fit a HELLO: shorten it";
  }
  if (!is_plain_text(text)) return key + " contains a control character: use printable text";
  return {};
}

Problem check_address(const std::string& key, const core::UdpAddress& address) {
  if (address.family != 4 && address.family != 6) return key + " is missing: set it to ADDRESS:PORT";
  if (address.is_multicast())
    return key + " = " + quoted(address.to_string()) + " is multicast: use a unicast address";
  return {};
}

Problem check_destination(const std::string& key, const core::UdpAddress& address) {
  if (auto problem = check_address(key, address)) return problem;
  if (address.port == 0)
    return key + " = " + quoted(address.to_string()) + " has port 0: name the port to send to";
  if (address.is_unspecified()) {
    return key + " = " + quoted(address.to_string()) + " names no host: give the address to send to";
  }
  return {};
}

// ---- who this node is

Problem check_identity(const NodeConfig& c) {
  if (c.id.value == 0)
    return "node.id is missing or 0: give each node of the cluster a number of its own, from 1";
  if (auto p = check_text("node.name", c.name, 0, kMaxNameBytes)) return p;
  if (auto p = check_text("node.cluster", c.cluster, 1, kMaxClusterBytes)) return p;
  if (auto p = check_text("node.region", c.region, 0, kMaxNameBytes)) return p;
  if (auto p = check_text("node.colour", c.colour, 0, kMaxNameBytes)) return p;
  // A sockaddr_un has 108 bytes for the path and its zero (unix(7)).
  if (c.admin_socket.size() > 107) {
    return "node.admin has " + std::to_string(c.admin_socket.size()) +
           " bytes, and a unix socket's path at most 107: choose a shorter path";
  }
  return {};
}

Problem check_versions(const NodeConfig& c) {
  if (c.wire_version_min > c.wire_version_max) {
    return "wire.version_min = " + std::to_string(c.wire_version_min) +
           " is above wire.version_max = " + std::to_string(c.wire_version_max) + ": exchange them";
  }
  const WireProfile& speaks = *c.profile;
  if (auto p = check_range("wire.version_min", c.wire_version_min, speaks.oldest(), speaks.newest()))
    return p;
  return check_range("wire.version_max", c.wire_version_max, speaks.oldest(), speaks.newest());
}

// ---- [wire]

Problem check_setting(const WireSetting& setting) {
  const std::string key = "wire." + setting.name;
  if (auto p = check_text("the name of " + key, setting.name, 1, kMaxNameBytes)) return p;
  if (setting.current.empty()) return key + " is empty: set it to the value that the whole cluster uses";
  if (auto p = check_text(key, setting.current, 1, kMaxSettingValueBytes)) return p;
  if (setting.accepted.empty() || setting.accepted.size() > kMaxAcceptedValues) {
    return key + " accepts " + std::to_string(setting.accepted.size()) + " values: list 1 to " +
           std::to_string(kMaxAcceptedValues);
  }
  for (const std::string& value : setting.accepted) {
    if (auto p = check_text("an accepted value of " + key, value, 1, kMaxSettingValueBytes)) return p;
  }
  if (std::find(setting.accepted.begin(), setting.accepted.end(), setting.current) ==
      setting.accepted.end()) {
    return key + " = " + quoted(setting.current) +
           " is not among its accepted values: accept it everywhere first, then use it";
  }
  return {};
}

Problem check_required(const NodeConfig& c) {
  for (unsigned version = c.wire_version_min; version <= c.wire_version_max; ++version) {
    for (const std::string& name : required_settings(static_cast<uint8_t>(version), *c.profile)) {
      if (c.find_setting(name) != nullptr) continue;
      return "wire." + name + " is required by wire version " + std::to_string(version) +
             " and has no default: set it to the value that the whole cluster uses";
    }
  }
  return {};
}

constexpr int64_t kMinMtu = 1280;  // RFC 8200, section 5; kMaxFrameBytes counts on it
constexpr int64_t kMaxMtu = 9216;  // jumbo frames; beyond it one GSO run would hold few datagrams

Problem check_mtu(const NodeConfig& c) {
  if (auto p = check_range("wire.mtu", c.mtu, kMinMtu, kMaxMtu, " bytes")) return p;
  const WireSetting* const setting = c.find_setting("mtu");
  if (setting == nullptr) return {};
  if (setting->current != std::to_string(c.mtu)) {
    return "wire.mtu is " + quoted(setting->current) + " as a setting and " + std::to_string(c.mtu) +
           " as a value: write one decimal number without leading zeros";
  }
  for (const std::string& text : setting->accepted) {
    int64_t value = 0;
    const auto end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || at != end || text != std::to_string(value)) {
      return "wire.mtu accepts " + quoted(text) + ", which is not a number: write a decimal number of bytes";
    }
    if (auto p = check_range("an accepted value of wire.mtu", value, kMinMtu, kMaxMtu, " bytes")) return p;
  }
  return {};
}

Problem check_null_suite(const NodeConfig& c) {
  const std::string what =
      "wire.suite 'null' neither authenticates nor encrypts and is for laboratories only: ";
  if (!c.lab) return what + "set node.lab = true, or choose a suite that seals";
  if (!c.cluster.starts_with("lab-")) {
    return what + "node.cluster = " + quoted(c.cluster) + " must begin with 'lab-'";
  }
  const std::string ranges = " is not in 127.0.0.0/8, ::1, 198.18.0.0/15 or 2001:2::/48";
  if (!c.listen.in_lab_range()) return what + "node.listen = " + quoted(c.listen.to_string()) + ranges;
  for (size_t i = 0; i < c.peers.size(); ++i) {
    if (c.peers[i].address.in_lab_range()) continue;
    return what + indexed("peer", i, "address") + " = " + quoted(c.peers[i].address.to_string()) + ranges;
  }
  return {};
}

Problem check_security(const NodeConfig& c) {
  const SecurityConfig& security = c.security;
  const std::string needs = "wire.suite " + quoted(c.find_setting("suite")->current) + " needs ";
  if (security.secret.empty())
    return needs + "security.secret, the file of this node's key: `trunkline keys node` makes one";
  if (security.certificate.empty())
    return needs + "security.certificate, the file that `trunkline keys node` makes beside the key";
  if (security.anchors.empty())
    return needs +
           "security.anchors, the files of the cluster keys that certificates are signed with: write "
           "anchors = [\"cluster.public\"]";
  for (size_t i = 0; i < c.peers.size(); ++i) {
    if (c.peers[i].public_key) continue;
    return needs + indexed("peer", i, "public_key") + " (of " + quoted(c.peers[i].name) +
           "): write what `trunkline keys public` prints of that node's certificate";
  }
  return {};
}

Problem check_suite(const NodeConfig& c) {
  const WireSetting* const setting = c.find_setting("suite");
  if (setting == nullptr) return {};
  bool null = false, sealed = false;
  for (const std::string& value : setting->accepted) {
    null |= value == "null";
    const bool known = sealed_suite_named(value).has_value();
    sealed |= known;
    if (!known && value != "null") {
      return "wire.suite " + quoted(value) +
             " is none: write \"aes-128-gcm\", \"aes-256-gcm\" or \"chacha20-poly1305\"; \"null\" protects "
             "nothing and is for laboratories";
    }
  }
  if (null && sealed) {
    return "wire.suite and wire.accept.suite name 'null' beside a suite that seals: what could be talked out "
           "of "
           "sealing is not sealed; accept one kind only";
  }
  return null ? check_null_suite(c) : check_security(c);
}

Problem check_wire(const NodeConfig& c) {
  if (c.rules.required_settings) {
    if (auto p = check_required(c)) return p;
  }
  if (c.wire.size() > kMaxHelloSettings) {
    return "[wire] has " + std::to_string(c.wire.size()) + " settings: a HELLO carries at most " +
           std::to_string(kMaxHelloSettings);
  }
  std::set<std::string> names;
  for (const WireSetting& setting : c.wire) {
    if (auto p = check_setting(setting)) return p;
    if (!names.insert(setting.name).second) return "wire." + setting.name + " is given twice: keep one";
  }
  if (auto p = check_mtu(c)) return p;
  return check_suite(c);
}

// Single texts are bounded, their sum is not.
Problem check_hello(const NodeConfig& c) {
  Hello hello = make_hello(c, 1);
  for (HelloCore& core : hello.cores) core.port = 1;
  std::array<uint8_t, 8192> buffer;
  const size_t length = encode(hello, buffer);
  if (length != 0 && length <= kMaxHelloBytes) return {};
  return "names and [wire] settings make a HELLO of " + std::to_string(length) + " bytes, and at most " +
         std::to_string(kMaxHelloBytes) + " fit: shorten values or accept fewer";
}

// ---- data cores

Problem check_cores(const NodeConfig& c) {
  if (auto p = check_range("node.data_cores", c.data_cores, 1, core::kMaxCores)) return p;
  if (auto p = check_address("node.listen", c.listen)) return p;
  if (c.listen.port != 0 && c.listen.port + c.data_cores - 1 > 65535) {
    return "node.listen = " + quoted(c.listen.to_string()) + " leaves no ports for " +
           std::to_string(c.data_cores) + " data cores, which use consecutive ones: choose a lower port";
  }
  if (!c.pin.empty() && c.pin.size() != c.data_cores) {
    return "node.pin names " + std::to_string(c.pin.size()) + " CPUs for " + std::to_string(c.data_cores) +
           " data cores: name one for each, or none";
  }
  std::set<int> cpus;
  for (const int cpu : c.pin) {
    if (cpu < 0) return "node.pin contains " + std::to_string(cpu) + ": CPUs are counted from 0";
    if (!cpus.insert(cpu).second) {
      return "node.pin names CPU " + std::to_string(cpu) +
             " twice: two data cores on one CPU wait for each other";
    }
  }
  if (auto p = check_range("node.idle_bound_us", c.idle_bound.us(), 1, 10'000, " us")) return p;
  return check_range("node.bundle_wait_us", c.bundle_wait.us(), 0, 1'000, " us");
}

// ---- [dpdk]

Problem check_device(const NodeConfig& c) {
  if (c.port != PortChoice::kDpdk) return {};
  if (c.listen.port == 0) {
    return "node.listen = " + quoted(c.listen.to_string()) +
           " has port 0: on a device of one's own nobody chooses, write the port";
  }
  if (!c.device.interface.empty()) return {};  // whether it has the address, the kernel says
  if (c.device.device.empty()) {
    return "node.port = 'dpdk' without dpdk.device: write what DPDK calls it, as "
           "'net_af_packet0,iface=eth1' or '0000:00:05.0'";
  }
  if (c.device.addresses.empty())
    return "dpdk.addresses is missing: write the node's own, as ['192.0.2.1/24']";
  if (c.device.addresses.size() > io::kMaxInterfaceAddresses) {
    return "dpdk.addresses has " + std::to_string(c.device.addresses.size()) + " entries, and at most " +
           std::to_string(io::kMaxInterfaceAddresses) + " fit: use fewer";
  }
  for (const io::InterfaceAddress& own : c.device.addresses) {
    core::UdpAddress ip = c.listen;
    ip.port = 0;
    if (own.address == ip) return {};
  }
  return "node.listen = " + quoted(c.listen.to_string()) +
         " is none of dpdk.addresses: listen on one of them";
}

// ---- [limits]

struct Limit {
  const char* name;
  uint32_t value;
  uint32_t min;
  uint32_t max;
  bool power_of_two;  // rings: a position is masked
};

Problem check_limits(const NodeConfig& c) {
  const NodeLimits& l = c.limits;
  const Limit limits[] = {
      // Two sessions per link share kMaxSessions slots.
      {"max_peers", l.max_peers, 1, kMaxSessions / 2, false},
      {"max_tracks", l.max_tracks, 1, 1u << 22, false},
      {"max_acquires", l.max_acquires, 1, 1u << 22, false},
      {"max_requests", l.max_requests, 1, 1u << 22, false},
      // A flow's number and the core's share the 22 bits of a label's index.
      {"max_flows_per_core", l.max_flows_per_core, 1, (Label::kMaxIndex + 1) >> core_bits_for(c.data_cores),
       false},
      {"max_outputs_per_core", l.max_outputs_per_core, 1, 1u << 24, false},
      {"max_egress_per_core", l.max_egress_per_core, 1, 65'535, false},
      {"control_window", l.control_window, 2, ControlStream::kMaxWindow, false},
      {"queue_depth", l.queue_depth, 2, 1u << 20, true},
      {"command_depth", l.command_depth, 2, 1u << 20, true},
      {"core_ring_depth", l.core_ring_depth, 2, 1u << 20, true},
      {"frame_ring_depth", l.frame_ring_depth, 2, 1u << 20, true},
      {"transmit_buffers", l.transmit_buffers, 8, 1u << 16, false},
      {"handover_buffers", l.handover_buffers, core::kMaxCores, 1u << 16, false},  // one for each other core
  };
  for (const Limit& limit : limits) {
    const std::string key = std::string("limits.") + limit.name;
    if (auto p = check_range(key, limit.value, limit.min, limit.max)) return p;
    if (limit.power_of_two && (limit.value & (limit.value - 1)) != 0) {
      return key + " = " + std::to_string(limit.value) + " is the depth of a ring: choose a power of two";
    }
  }
  return check_range("node.host_queues", c.host_queues, 1, 1'024);
}

// ---- time

Problem check_times(const NodeConfig& c) {
  // A budget travels as 32 bits of microseconds.
  constexpr int64_t kLongest = 3'600'000;
  if (auto p = check_range("acquire.deadline_ms", c.acquire.deadline.ms(), 1, kLongest, " ms")) return p;
  if (auto p = check_range("acquire.rendezvous_ms", c.acquire.rendezvous.ms(), 0, kLongest, " ms")) return p;
  if (c.acquire.rendezvous > c.acquire.deadline) {
    return "acquire.rendezvous_ms = " + std::to_string(c.acquire.rendezvous.ms()) +
           " is longer than acquire.deadline_ms = " + std::to_string(c.acquire.deadline.ms()) +
           ": an acquire ends by its deadline whatever it waits for";
  }
  if (auto p = check_range("link.heartbeat_ms", c.link.heartbeat.ms(), 1, 10'000, " ms")) return p;
  if (auto p = check_range("link.probe_ms", c.link.probe.ms(), 1, c.link.heartbeat.ms(), " ms")) return p;
  if (c.link.down_after <= c.link.heartbeat + c.link.probe) {
    return "link.down_after_ms = " + std::to_string(c.link.down_after.ms()) +
           " leaves no time for one missed heartbeat and one probe: choose more than " +
           std::to_string((c.link.heartbeat + c.link.probe).ms());
  }
  return check_range("link.down_after_ms", c.link.down_after.ms(), 1, 60'000, " ms");
}

// ---- peers and locations

Problem check_peers(const NodeConfig& c) {
  if (c.peers.size() > c.limits.max_peers) {
    return "[[peer]] has " + std::to_string(c.peers.size()) + " entries and limits.max_peers is " +
           std::to_string(c.limits.max_peers) + ": raise the limit";
  }
  std::set<uint64_t> ids;
  std::set<std::string> addresses;
  for (size_t i = 0; i < c.peers.size(); ++i) {
    const PeerConfig& peer = c.peers[i];
    const std::string key = indexed("peer", i, "id");
    if (peer.id.value == 0) return key + " is missing or 0: give the peer's node.id";
    if (peer.id == c.id) {
      return key + " = " + std::to_string(peer.id.value) +
             " is this node's own id: list the other nodes only";
    }
    if (!ids.insert(peer.id.value).second) {
      return key + " = " + std::to_string(peer.id.value) +
             " is listed twice: node ids are unique in a cluster";
    }
    if (auto p = check_text(indexed("peer", i, "name"), peer.name, 0, kMaxNameBytes)) return p;
    if (auto p = check_destination(indexed("peer", i, "address"), peer.address)) return p;
    if (!addresses.insert(peer.address.to_string()).second) {
      return indexed("peer", i, "address") + " = " + quoted(peer.address.to_string()) +
             " is listed twice: each node listens on a port of its own";
    }
  }
  for (size_t i = 0; i < c.locations.size(); ++i) {
    const LocationHint& hint = c.locations[i];
    if (hint.track.is_zero()) return indexed("location", i, "track") + " is missing: name the track";
    if (ids.contains(hint.node.value)) continue;
    return indexed("location", i, "node") + " = " + std::to_string(hint.node.value) +
           " is not the id of a peer: add it to [[peer]]";
  }
  return {};
}

// ---- taps

Problem check_ingest(const NodeConfig& c) {
  std::set<std::string> tracks, addresses;
  for (size_t i = 0; i < c.ingest.size(); ++i) {
    const IngestConfig& tap = c.ingest[i];
    if (tap.track.empty()) return indexed("ingest", i, "track") + " is missing: name the track to publish";
    if (!tracks.insert(tap.track).second) {
      return indexed("ingest", i, "track") + " = " + quoted(tap.track) +
             " is published twice: one source per track";
    }
    const std::string key = indexed("ingest", i, "listen");
    if (auto p = check_address(key, tap.listen)) return p;
    if (tap.listen.port != 0 && !addresses.insert(tap.listen.to_string()).second) {
      return key + " = " + quoted(tap.listen.to_string()) + " is used twice: give each tap a port of its own";
    }
    const char* const unheard = tap.from.family != 0 ? why_unheard(tap.listen, tap.from) : nullptr;
    if (unheard != nullptr)
      return indexed("ingest", i, "from") + " = " + quoted(tap.from.to_string()) + " " + unheard;
    if (tap.codec != "" && tap.codec != "opus" && tap.codec != "vp8" && tap.codec != "h264") {
      return indexed("ingest", i, "codec") + " = " + quoted(tap.codec) +
             " is not known: use 'opus', 'vp8', 'h264', or leave it out";
    }
  }
  return {};
}

Problem check_egress(const NodeConfig& c) {
  for (size_t i = 0; i < c.egress.size(); ++i) {
    const EgressConfig& tap = c.egress[i];
    if (tap.track.empty()) return indexed("egress", i, "track") + " is missing: name the track to acquire";
    if (auto p = check_destination(indexed("egress", i, "to"), tap.to)) return p;
    if (auto p = check_range(indexed("egress", i, "deadline_ms"), tap.deadline.ms(), 0, 3'600'000, " ms"))
      return p;
    if (auto p =
            check_range(indexed("egress", i, "rendezvous_ms"), tap.rendezvous.ms(), 0, 3'600'000, " ms")) {
      return p;
    }
  }
  return {};
}

// ---- what only a laboratory may do

Problem check_impairment(size_t index, const ImpairmentConfig& wire) {
  if (auto p = check_address(indexed("lab.impair", index, "to"), wire.to)) return p;
  const std::pair<const char*, double> chances[] = {{"loss", wire.loss},
                                                    {"burst_enter", wire.burst_enter},
                                                    {"burst_leave", wire.burst_leave},
                                                    {"burst_loss", wire.burst_loss},
                                                    {"duplicate", wire.duplicate},
                                                    {"reorder", wire.reorder},
                                                    {"corrupt", wire.corrupt}};
  for (const auto& [name, value] : chances) {
    if (value >= 0 && value <= 1) continue;  // false for NaN
    return indexed("lab.impair", index, name) + " = " + number(value) +
           " is not a probability: choose a value from 0 to 1";
  }
  const std::pair<const char*, double> delays[] = {
      {"delay_ms", wire.delay_ms}, {"jitter_ms", wire.jitter_ms}, {"reorder_ms", wire.reorder_ms}};
  for (const auto& [name, value] : delays) {
    if (value >= 0 && value <= 60'000) continue;
    return indexed("lab.impair", index, name) + " = " + number(value) + " is outside 0 to 60000 ms";
  }
  return {};
}

Problem check_laboratory(const NodeConfig& c) {
  const std::pair<const char*, bool> rules[] = {
#define X(name, text) {#name, c.rules.name},
      TRUNKLINE_RULES(X)
#undef X
  };
  for (const auto& [name, on] : rules) {
    if (on || c.lab) continue;
    return std::string("lab.without names ") + quoted(name) +
           ", which takes a promise away and is for laboratories only: remove it, or set node.lab = true";
  }
  if (!c.impairments.empty() && !c.lab) {
    return "[[lab.impair]] damages traffic and is for laboratories only: remove it, or set node.lab = true";
  }
  for (size_t i = 0; i < c.impairments.size(); ++i) {
    if (auto p = check_impairment(i, c.impairments[i])) return p;
  }
  return {};
}

}  // namespace

core::Result<void> validate(const NodeConfig& config) {
  constexpr Problem (*kChecks[])(const NodeConfig&) = {
      check_identity, check_versions, check_laboratory, check_cores, check_device, check_limits,
      check_times,    check_peers,    check_wire,       check_hello, check_ingest, check_egress};
  for (const auto check : kChecks) {
    if (Problem problem = check(config)) return core::Error{TL_ECONFIG, *std::move(problem)};
  }
  return {};
}

}  // namespace trunkline::relay
