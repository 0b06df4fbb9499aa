// See keys_command.h: making keys. What is shown of them is in keys_show.cc.
#include "tools/keys/keys_command.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "relay/key_files.h"
#include "tools/keys/new_keys.h"

namespace trunkline::tools {
namespace {

using relay::Bytes;
using relay::KeyKind;

constexpr int kDone = 0, kFailed = 1;

int failed(const std::string& what) {
  std::fprintf(stderr, "trunkline keys: %s\n", what.c_str());
  return kFailed;
}

struct NewFile {
  std::string path;
  KeyKind kind;
  Bytes payload;
  std::string comment;
};

// All or none: what was made before one failed goes again.
bool write_files(const std::string& directory, std::initializer_list<NewFile> files) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    failed(directory + ": cannot be made: " + std::strerror(errno));
    return false;
  }
  for (const NewFile* file = files.begin(); file != files.end(); ++file) {
    const auto written = relay::write_key_file(file->path, file->kind, file->payload, file->comment);
    if (written) continue;
    for (const NewFile* made = files.begin(); made != file; ++made) unlink(made->path.c_str());
    failed(written.error().text);
    return false;
  }
  for (const NewFile& file : files) std::printf("%s\n", file.path.c_str());
  return true;
}

// The public key of the node: of the file that was given, which may hold either half, or of a new pair.
core::Result<relay::noise::KeyPair> node_key(const std::string& path) {
  if (path.empty()) return new_node_key();
  const auto file = relay::read_key_file(path);
  if (!file) return file.error();
  if (file->kind == KeyKind::kNodeSecret) return relay::read_node_secret(path);
  const auto key = relay::read_node_public(path);
  if (!key) return key.error();
  return relay::noise::KeyPair{{}, *key};
}

// Nothing, or the name that is no role.
std::string parse_roles(const std::vector<std::string>& names, uint32_t& roles) {
  roles = names.empty() ? relay::kAllRoles : 0;
  for (const std::string& name : names) {
    if (name == "publish") {
      roles |= static_cast<uint32_t>(relay::Role::kPublish);
    } else if (name == "acquire") {
      roles |= static_cast<uint32_t>(relay::Role::kAcquire);
    } else if (name == "relay") {
      roles |= static_cast<uint32_t>(relay::Role::kRelay);
    } else {
      return name;
    }
  }
  return "";
}

}  // namespace

int run_keys_cluster(const KeysClusterCommand& command) {
  relay::ClusterName name;
  if (!name.assign(command.name)) {
    return failed("--name: a cluster's name has 1 to 64 bytes and no control character, as node.cluster");
  }
  const relay::ClusterSecret cluster = new_cluster(name);
  const relay::SecretBytes secret = relay::cluster_payload(cluster.key.seed.bytes(), name);
  const relay::SecretBytes open = relay::cluster_payload(cluster.key.public_key, name);
  const std::string base = command.out + "/cluster";
  const std::string of = " of cluster " + command.name;
  const bool written = write_files(
      command.out, {{base + ".secret", KeyKind::kClusterSecret, secret.bytes(),
                     "Secret signing key" + of +
                         ".\nWhoever reads it can make nodes of the cluster: keep it off the nodes."},
                    {base + ".public", KeyKind::kClusterPublic, open.bytes(),
                     "Signing key" + of + ", which its nodes trust."}});
  return written ? kDone : kFailed;
}

int run_keys_node(const KeysNodeCommand& command) {
  Holder holder{.node = command.node, .region = command.region};
  if (command.node == 0) return failed("--node: a node id is a number from 1, as node.id");
  if (relay::CertificateText<relay::kMaxNameBytes> region; !region.assign(command.region)) {
    return failed("--region: a region has 1 to 32 bytes and no control character, as node.region");
  }
  const std::string unknown = parse_roles(command.roles, holder.roles);
  if (!unknown.empty()) return failed("--role: '" + unknown + "' is none; give publish, acquire or relay");

  const auto cluster = relay::read_cluster_secret(command.cluster_key);
  if (!cluster) return failed(cluster.error().text);
  const auto pair = node_key(command.node_key);
  if (!pair) return failed(pair.error().text);
  holder.public_key = pair->public_key;
  const auto now = static_cast<uint64_t>(std::time(nullptr));
  const auto bytes = new_certificate(*cluster, holder, now, command.days);
  if (!bytes) return failed("the node's public key is no key: make a new one");
  const std::string base = command.out + "/node-" + std::to_string(command.node);
  const std::string of =
      " of node " + std::to_string(command.node) + " in cluster " + std::string(cluster->cluster.view());
  const NewFile signed_file{base + ".certificate", KeyKind::kCertificate, *bytes, "Certificate" + of + "."};
  if (!command.node_key.empty()) return write_files(command.out, {signed_file}) ? kDone : kFailed;
  const NewFile secret{base + ".secret", KeyKind::kNodeSecret, pair->secret.bytes(),
                       "Secret key" + of + ".\nWhoever reads it can pass for that node."};
  return write_files(command.out, {secret, signed_file}) ? kDone : kFailed;
}

}  // namespace trunkline::tools
