// See keys_command.h: what a key file holds, for a person. Of a secret nothing is shown but its public half.
#include <array>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <string>

#include "relay/key_files.h"
#include "tools/keys/keys_command.h"

namespace trunkline::tools {
namespace {

using relay::KeyKind;

constexpr int kDone = 0, kFailed = 1;

int failed(const std::string& what) {
  std::fprintf(stderr, "trunkline keys: %s\n", what.c_str());
  return kFailed;
}

relay::Key first_key(const relay::KeyFile& file) {
  relay::Key key;
  std::copy_n(file.payload.bytes().begin(), key.size(), key.begin());
  return key;
}

// The public half of what the file holds, as a line.
std::string line_for(const relay::KeyFile& file) {
  switch (file.kind) {
    case KeyKind::kClusterSecret: {
      const auto key = relay::SigningKey::of(relay::Secret(first_key(file)));
      return relay::public_line(KeyKind::kClusterPublic,
                                relay::cluster_payload(key.public_key, relay::cluster_of(file)).bytes());
    }
    case KeyKind::kNodeSecret: {
      const auto pair = relay::noise::KeyPair::of(relay::Secret(first_key(file)));
      return relay::public_line(KeyKind::kNodePublic, pair.public_key);
    }
    case KeyKind::kCertificate: {
      relay::Certificate certificate;
      (void)relay::decode(file.payload.bytes(), certificate);  // read_key_file() has done so
      return relay::public_line(KeyKind::kNodePublic, certificate.public_key);
    }
    case KeyKind::kClusterPublic:
    case KeyKind::kNodePublic:
      break;
  }
  return relay::public_line(file.kind, file.payload.bytes());
}

std::string utc(uint64_t unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  std::array<char, 32> text{};
  if (gmtime_r(&seconds, &parts) == nullptr) return std::to_string(unix_s);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

std::string roles_of(const relay::Certificate& certificate) {
  std::string text;
  for (const relay::Role role : {relay::Role::kPublish, relay::Role::kAcquire, relay::Role::kRelay}) {
    if (certificate.has(role)) text += (text.empty() ? "" : ", ") + std::string(relay::role_name(role));
  }
  return text;
}

void print_certificate(const relay::Certificate& c) {
  const std::string cluster(c.cluster.view()), region(c.region.view());
  std::printf("cluster     %s\n", cluster.c_str());
  std::printf("node        %" PRIu64 "\n", c.node.value);
  std::printf("region      %s\n", region.c_str());
  std::printf("roles       %s\n", roles_of(c).c_str());
  std::printf("valid from  %s\n", utc(c.not_before).c_str());
  std::printf("expires     %s\n", utc(c.expires).c_str());
  std::printf("serial      %016" PRIx64 "\n", c.serial);
  std::printf("signer      %016" PRIx64 "\n", c.signer);
}

// Without trusted keys there is nothing to judge a certificate by but the clock.
int judge_certificate(const relay::KeyFile& file, const std::vector<std::string>& trusted) {
  relay::Certificate certificate;
  (void)relay::decode(file.payload.bytes(), certificate);
  print_certificate(certificate);
  const auto now = static_cast<uint64_t>(std::time(nullptr));
  if (trusted.empty()) {
    const bool valid = certificate.not_before <= now && now < certificate.expires;
    std::printf("now         %s; its signature was not checked: give --trust with a cluster's public file\n",
                valid ? "in its time" : "NOT in its time");
    return kDone;
  }
  relay::ClusterName cluster;
  relay::Trust trust;
  if (trusted.size() > trust.anchors.size()) return failed("--trust: a node trusts at most two keys at once");
  for (const std::string& path : trusted) {
    const auto anchor = relay::read_cluster_public(path);
    if (!anchor) return failed(anchor.error().text);
    if (trust.anchor_count > 0 && !(anchor->cluster == cluster)) {
      return failed(path + ": is of another cluster than the key before it");
    }
    cluster = anchor->cluster;
    trust.anchors[trust.anchor_count++] = anchor->public_key;
  }
  trust.cluster = cluster.view();
  const relay::CertificateFault fault = relay::verify(file.payload.bytes(), trust, now, certificate);
  std::printf("verdict     %s\n", relay::certificate_fault_text(fault));
  return fault == relay::CertificateFault::kNone ? kDone : kFailed;
}

}  // namespace

int run_keys_show(const KeysShowCommand& command) {
  const auto file = relay::read_key_file(command.file);
  if (!file) return failed(file.error().text);
  const std::string word(relay::key_kind_word(file->kind));
  std::printf("holds       %s\n", word.c_str());
  std::printf("public      %s", line_for(*file).c_str());
  switch (file->kind) {
    case KeyKind::kClusterSecret:
    case KeyKind::kClusterPublic: {
      const relay::ClusterName name = relay::cluster_of(*file);
      const relay::Key key = file->kind == KeyKind::kClusterPublic
                                 ? first_key(*file)
                                 : relay::SigningKey::of(relay::Secret(first_key(*file))).public_key;
      std::printf("cluster     %s\n", std::string(name.view()).c_str());
      std::printf("signer      %016" PRIx64 "\n", relay::signer_id(key));
      return kDone;
    }
    case KeyKind::kCertificate:
      return judge_certificate(*file, command.trusted);
    case KeyKind::kNodeSecret:
    case KeyKind::kNodePublic:
      break;
  }
  return kDone;
}

int run_keys_public(const std::string& path) {
  const auto file = relay::read_key_file(path);
  if (!file) return failed(file.error().text);
  std::fputs(line_for(*file).c_str(), stdout);
  return kDone;
}

}  // namespace trunkline::tools
