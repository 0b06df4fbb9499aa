// Who this node is, and whom it believes: paths of key files, as relay/key_files.h reads them.
#define TOML_EXCEPTIONS 0
#define TOML_ASSERT(expression) static_cast<void>(0)  // as in config_toml.cc
#include <toml++/toml.h>  // tidy: allow(vendor-header) the part of config_toml.cc that grew too long for it

#include <charconv>

#include "relay/config_toml_security.h"

namespace trunkline::relay {
namespace {

constexpr size_t kMaxFileNameBytes = 4'096;  // PATH_MAX

// Relative to the configuration's own directory, wherever the node is started from.
std::string beside(const TomlReader& reader, const std::string& path) {
  const size_t slash = reader.file().rfind('/');
  const bool relative = !path.empty() && path[0] != '/';
  return relative && slash != std::string::npos ? reader.file().substr(0, slash + 1) + path : path;
}

// As `trunkline keys show` prints it: 16 hexadecimal digits.
bool parse_serial(std::string_view text, uint64_t& serial) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), serial, 16);
  return text.size() == 16 && error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

void read_security(TomlReader& reader, const toml::table& table, NodeConfig& config) {
  TomlSection section(reader, table, "security", {"secret", "certificate", "anchors", "revoked", "key_log"});
  SecurityConfig& security = config.security;
  section.text("secret", security.secret, kMaxFileNameBytes);
  section.text("certificate", security.certificate, kMaxFileNameBytes);
  section.text("key_log", security.key_log, kMaxFileNameBytes);
  security.key_log = beside(reader, security.key_log);
  security.secret = beside(reader, security.secret);
  security.certificate = beside(reader, security.certificate);
  section.each("anchors", [&](const toml::node& item, const std::string& key) {
    const auto path = item.value_exact<std::string>();
    if (!path || path->empty() || path->size() > kMaxFileNameBytes)
      return reader.fail(item.source(), section.name(key), "must be the path of a cluster's public key file");
    security.anchors.push_back(beside(reader, *path));
  });
  if (security.anchors.size() > kMaxAnchors) {
    section.fail("anchors",
                 "lists " + std::to_string(security.anchors.size()) +
                     " files, and two signers are trusted at a time: the one that was, and the one "
                     "that is to be");
  }
  section.each("revoked", [&](const toml::node& item, const std::string& key) {
    const auto text = item.value_exact<std::string>();
    uint64_t serial = 0;
    if (!text || !parse_serial(*text, serial))
      return reader.fail(
          item.source(), section.name(key),
          "must be a certificate's serial in quotes, 16 hexadecimal digits, as `trunkline keys "
          "show` prints it");
    security.revoked.push_back(serial);
  });
}

}  // namespace trunkline::relay
