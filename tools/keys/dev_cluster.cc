// See tools/keys/dev_cluster.h.
#include "tools/keys/dev_cluster.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>

#include "relay/key_files.h"
#include "relay/sealed_suite.h"
#include "tools/keys/new_keys.h"

namespace trunkline::tools {
namespace {

using relay::KeyKind;

constexpr uint64_t kDays = 30;

// Held while the directory's files are looked at and made.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& directory)
      : fd_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (fd_ >= 0) flock(fd_, LOCK_EX);
  }
  ~DirectoryLock() {
    if (fd_ >= 0) close(fd_);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  // Whether it is a directory of this user alone.
  bool is_ours() const {
    struct stat status {};
    return fd_ >= 0 && fstat(fd_, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 0077) == 0;
  }

 private:
  int fd_;
};

core::Result<relay::ClusterSecret> cluster_key(const std::string& directory, const std::string& name) {
  const std::string base = directory + "/cluster";
  if (access((base + ".secret").c_str(), F_OK) == 0) return relay::read_cluster_secret(base + ".secret");
  relay::ClusterName cluster;
  if (!cluster.assign(name)) return core::Error{0, "'" + name + "' is no cluster's name"};
  const relay::ClusterSecret made = new_cluster(cluster);
  const auto secret = relay::cluster_payload(made.key.seed.bytes(), made.cluster);
  const auto open = relay::cluster_payload(made.key.public_key, made.cluster);
  const std::string comment = "Throw-away key of cluster " + name + ", for nodes of this machine and user.";
  if (auto written =
          relay::write_key_file(base + ".secret", KeyKind::kClusterSecret, secret.bytes(), comment);
      !written)
    return written.error();
  if (auto written = relay::write_key_file(base + ".public", KeyKind::kClusterPublic, open.bytes(), comment);
      !written)
    return written.error();
  return made;
}

// Whether the node's files are there, and good for another day.
bool is_good(const std::string& base, const relay::ClusterSecret& cluster, const DevNode& node,
             uint64_t now) {
  if (access((base + ".secret").c_str(), F_OK) != 0) return false;
  const auto bytes = relay::read_certificate(base + ".certificate");
  if (!bytes) return false;
  relay::Trust trust;
  trust.cluster = cluster.cluster.view();
  trust.anchors[0] = cluster.key.public_key;
  trust.anchor_count = 1;
  relay::Certificate certificate;
  return relay::verify(*bytes, trust, now + kDaySeconds, certificate) == relay::CertificateFault::kNone &&
         certificate.node.value == node.id && certificate.region.view() == node.region;
}

core::Result<void> make_node(const std::string& base, const relay::ClusterSecret& cluster,
                             const DevNode& node, uint64_t now) {
  unlink((base + ".secret").c_str());
  unlink((base + ".certificate").c_str());
  const auto pair = new_node_key();
  const Holder holder{.node = node.id, .region = node.region, .public_key = pair.public_key};
  const auto bytes = new_certificate(cluster, holder, now, kDays);
  if (!bytes)
    return core::Error{0,
                       "node " + std::to_string(node.id) + " in '" + node.region + "' cannot be certified"};
  const std::string comment = "Throw-away, of node " + std::to_string(node.id) + ".";
  if (auto written =
          relay::write_key_file(base + ".secret", KeyKind::kNodeSecret, pair.secret.bytes(), comment);
      !written)
    return written.error();
  return relay::write_key_file(base + ".certificate", KeyKind::kCertificate, *bytes, comment);
}

}  // namespace

core::Result<DevCluster> DevCluster::open(const std::string& directory, const std::string& cluster,
                                          const std::vector<DevNode>& nodes) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return core::Error{0, directory + ": cannot be made: " + std::strerror(errno)};
  DevCluster made(directory);
  const DirectoryLock lock(directory);
  if (!lock.is_ours()) {
    return core::Error{0, directory +
                              ": holds throw-away keys and must be a directory of yours that nobody else "
                              "can read: remove it, or chmod 700 it"};
  }
  if (auto done = made.make(cluster, nodes); !done) return done.error();
  return made;
}

core::Result<void> DevCluster::make(const std::string& cluster, const std::vector<DevNode>& nodes) {
  const auto key = cluster_key(directory_, cluster);
  if (!key) return key.error();
  const auto now = static_cast<uint64_t>(std::time(nullptr));
  for (const DevNode& node : nodes) {
    const std::string base = file(node.id, "");
    if (!is_good(base, *key, node, now)) {
      if (auto made = make_node(base, *key, node, now); !made) return made;
    }
    const auto bytes = relay::read_certificate(base + ".certificate");
    if (!bytes) return bytes.error();
    relay::Certificate certificate;
    (void)relay::decode(*bytes, certificate);
    std::string line = relay::public_line(KeyKind::kNodePublic, certificate.public_key);
    while (!line.empty() && line.back() == '\n') line.pop_back();
    public_lines_[node.id] = line;
  }
  return {};
}

std::string DevCluster::file(uint64_t id, const char* what) const {
  return directory_ + "/node-" + std::to_string(id) + what;
}

std::string DevCluster::security(uint64_t id) const {
  return "[security]\nsecret = \"" + file(id, ".secret") + "\"\ncertificate = \"" + file(id, ".certificate") +
         "\"\nanchors = [\"" + directory_ + "/cluster.public\"]\n";
}

std::string DevCluster::public_key(uint64_t id) const {
  return "public_key = \"" + public_lines_.at(id) + "\"\n";
}

const std::string& DevCluster::suite() {
  static const std::string best =
      relay::SealedSuite::make(relay::Suite::kAes128Gcm, 1) ? "aes-128-gcm" : "chacha20-poly1305";
  return best;
}

DevCluster::DevCluster(DevCluster&& other) noexcept
    : directory_(std::move(other.directory_)),
      public_lines_(std::move(other.public_lines_)),
      remove_(std::exchange(other.remove_, false)) {}

DevCluster::~DevCluster() {
  std::error_code ignored;
  if (remove_) std::filesystem::remove_all(directory_, ignored);
}

}  // namespace trunkline::tools
