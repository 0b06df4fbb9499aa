// What [security] names, read and judged: every fault ends in a sentence that names the key, the file and the
// way out; and the configuration that asks for keys it has not got.
#include "relay/node_keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "relay/config_toml.h"
#include "relay/key_files.h"
#include "relay/sealed_crypto.h"

namespace trunkline::relay {
namespace {

constexpr uint64_t kNow = 1'800'000'000;

class NodeKeysTest : public testing::Test {
 protected:
  NodeKeysTest() {
    char name[] = "/tmp/trunkline-node-keys-XXXXXX";
    directory_ = mkdtemp(name);
    write_cluster("cluster", "prod", signer_);
    write_cluster("foreign", "other", foreign_);
    pair_ = noise::KeyPair::generate(randomness_);
    write("node.secret", KeyKind::kNodeSecret, pair_.secret.bytes());
    write("node.certificate", KeyKind::kCertificate, certificate());
    config_.id = {7};
    config_.cluster = "prod";
    config_.region = "ams";
    config_.wire = {{"suite", "aes-128-gcm", {"aes-128-gcm"}}};
    config_.security = {path("node.secret"), path("node.certificate"), {path("cluster.public")}, {}};
  }
  ~NodeKeysTest() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name, KeyKind kind, Bytes payload) {
    unlink(path(name).c_str());
    const auto written = write_key_file(path(name), kind, payload, "of a test");
    ASSERT_TRUE(written) << written.error().text;
  }
  void write_cluster(const std::string& name, const std::string& cluster, SigningKey& key) {
    Secret seed;
    randomness_.fill(seed.bytes());
    key = SigningKey::of(seed);
    ClusterName text;
    ASSERT_TRUE(text.assign(cluster));
    write(name + ".public", KeyKind::kClusterPublic, cluster_payload(key.public_key, text).bytes());
  }
  CertificateBytes certificate() {
    Certificate c;
    c.node = {node_};
    c.serial = 99;
    c.not_before = kNow - 10;
    c.expires = expires_;
    c.roles = roles_;
    c.public_key = pair_.public_key;
    EXPECT_TRUE(c.cluster.assign(cluster_) && c.region.assign(region_));
    CertificateBytes bytes{};
    EXPECT_TRUE(sign(c, *by_, bytes));
    return bytes;
  }
  void renew() { write("node.certificate", KeyKind::kCertificate, certificate()); }
  std::string fault() {
    const auto keys = read_node_keys(config_, kNow);
    return keys ? "" : keys.error().text;
  }
  void expect_fault(const std::string& key, const std::string& file, const std::string& word) {
    const std::string text = fault();
    EXPECT_TRUE(text.starts_with("security." + key + ": " + path(file))) << text;
    EXPECT_NE(text.find(word), std::string::npos) << text;
  }

  std::string directory_;
  KernelRandomness randomness_;
  SigningKey signer_, foreign_;
  const SigningKey* by_ = &signer_;
  noise::KeyPair pair_;
  uint64_t node_ = 7, expires_ = kNow + 3'600;
  uint32_t roles_ = kAllRoles;
  std::string cluster_ = "prod", region_ = "ams";
  NodeConfig config_;
};

TEST_F(NodeKeysTest, AreWhatTheFilesSay) {
  const auto keys = read_node_keys(config_, kNow);
  ASSERT_TRUE(keys) << keys.error().text;
  EXPECT_EQ(keys->key.public_key, pair_.public_key);
  EXPECT_EQ(keys->anchor_count, 1);
  const auto crypto = SealedCrypto::make(config_, *keys, kNow, {}, randomness_);
  ASSERT_TRUE(crypto) << crypto.error().text;
  EXPECT_EQ((*crypto)->identity().own().node.value, 7u);
}

TEST_F(NodeKeysTest, TwoSignersAreTrustedAtOnce) {
  SigningKey next;
  write_cluster("next", "prod", next);
  config_.security.anchors.push_back(path("next.public"));
  EXPECT_EQ(fault(), "");
  by_ = &next;
  renew();
  EXPECT_EQ(fault(), "");
  config_.security.anchors.pop_back();
  expect_fault("certificate", "node.certificate", "sign");
}

TEST_F(NodeKeysTest, ACertificateIsForThisNodeItsRegionItsClusterItsKeyAndNow) {
  node_ = 8;
  renew();
  expect_fault("certificate", "node.certificate", "is for node 8, and node.id is 7");
  node_ = 7;
  region_ = "nyc";
  renew();
  expect_fault("certificate", "node.certificate", "is for region 'nyc', and node.region is 'ams'");
  region_ = "ams";
  cluster_ = "other";
  renew();
  expect_fault("certificate", "node.certificate", "cluster");
  cluster_ = "prod";
  expires_ = kNow;
  renew();
  expect_fault("certificate", "node.certificate", "expired");
  expires_ = kNow + 1;
  renew();
  EXPECT_EQ(fault(), "");
  config_.security.revoked = {1, 99};
  expect_fault("certificate", "node.certificate", "revoked");
  config_.security.revoked.clear();
  write("node.secret", KeyKind::kNodeSecret, noise::KeyPair::generate(randomness_).secret.bytes());
  expect_fault("certificate", "node.certificate", "key");
}

TEST_F(NodeKeysTest, TheTracksOfTheConfigurationNeedTheirRole) {
  roles_ = 4;  // relay
  renew();
  EXPECT_EQ(fault(), "");
  config_.ingest.emplace_back();
  expect_fault(
      "certificate", "node.certificate",
      " has no role 'publish', and [[ingest]] publishes tracks: have one signed that has it (trunkline keys "
      "node --role publish");
  roles_ = 1 | 4;
  renew();
  EXPECT_EQ(fault(), "");
  config_.egress.emplace_back();
  expect_fault("certificate", "node.certificate", " has no role 'acquire', and [[egress]] acquires tracks");
  roles_ = 1 | 2;
  renew();
  EXPECT_EQ(fault(), "");
}

TEST_F(NodeKeysTest, FilesAreWhatTheyAreSaidToBe) {
  chmod(path("node.secret").c_str(), 0640);
  expect_fault("secret", "node.secret", "chmod");
  chmod(path("node.secret").c_str(), 0600);
  config_.security.anchors = {path("foreign.public")};
  expect_fault("anchors", "foreign.public", "is the key of cluster 'other', and node.cluster is 'prod'");
  config_.security.anchors = {path("node.certificate")};
  expect_fault("anchors", "node.certificate", "trunkline-cluster-public-1");
  config_.security.anchors = {path("none.public")};
  expect_fault("anchors", "none.public", "No such file");
}

// ---- the configuration

constexpr const char* kNode =
    "[node]\nid = 7\ncluster = \"prod\"\nregion = \"ams\"\nlisten = \"192.0.2.1:7000\"\n";
constexpr const char* kSealed = "[wire]\ntrack_namespace = \"t\"\nmtu = 1500\nsuite = \"aes-128-gcm\"\n";
constexpr const char* kSecurity =
    "[security]\nsecret = \"a.secret\"\ncertificate = \"/b.certificate\"\nanchors = [\"c.public\"]\n";

std::string error_of(const std::string& text, const char* file = "n.toml") {
  const auto config = parse_config(text, file);
  return config ? "(accepted)" : config.error().text;
}

TEST(SecurityConfig, SuitesThatSealNeedKeysOfBothEnds) {
  const std::string start = std::string(kNode) + kSealed;
  EXPECT_EQ(
      error_of(start),
      "n.toml: wire.suite 'aes-128-gcm' needs security.secret, the file of this node's key: `trunkline keys "
      "node` makes one");
  EXPECT_NE(error_of(start + "[security]\nsecret = \"a\"\n").find("needs security.certificate"),
            std::string::npos);
  EXPECT_NE(
      error_of(start + "[security]\nsecret = \"a\"\ncertificate = \"b\"\n").find("needs security.anchors"),
      std::string::npos);
  EXPECT_EQ(error_of(start + kSecurity), "(accepted)");
  const std::string peer = "[[peer]]\nid = 8\nname = \"nyc\"\naddress = \"192.0.2.2:7000\"\n";
  EXPECT_EQ(error_of(start + kSecurity + peer),
            "n.toml: wire.suite 'aes-128-gcm' needs peer[1].public_key (of 'nyc'): write what `trunkline "
            "keys public` "
            "prints of that node's certificate");
  const std::string key = "public_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n";
  EXPECT_EQ(error_of(start + kSecurity + peer + key), "(accepted)");
  EXPECT_EQ(error_of(start + kSecurity + peer + "public_key = \"trunkline-node-public-1 AAA=\"\n"),
            "n.toml:18:14: peer[1].public_key: must be what `trunkline keys public` prints of the peer's "
            "certificate");
}

TEST(SecurityConfig, PathsAreRelativeToTheFile) {
  const auto config = parse_config(std::string(kNode) + kSealed + kSecurity, "/etc/trunkline/n.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->security.secret, "/etc/trunkline/a.secret");
  EXPECT_EQ(config->security.certificate, "/b.certificate");
  EXPECT_EQ(config->security.anchors, std::vector<std::string>{"/etc/trunkline/c.public"});
}

TEST(SecurityConfig, NobodyCanBeTalkedOutOfSealing) {
  const std::string text = std::string(kNode) + kSealed + "[wire.accept]\nsuite = [\"null\"]\n" + kSecurity;
  EXPECT_NE(error_of(text).find("what could be talked out of sealing is not sealed"), std::string::npos);
}

TEST(SecurityConfig, ListsAreShortAndOfTheirKind) {
  const std::string start = std::string(kNode) + kSealed;
  EXPECT_NE(error_of(start + "[security]\nanchors = [\"a\", \"b\", \"c\"]\n")
                .find("two signers are trusted at a time"),
            std::string::npos);
  for (const char* serial : {"\"12\"", "\"0123456789abcdeg\"", "12", "\"0123456789abcdef0\""}) {
    EXPECT_NE(error_of(start + "[security]\nrevoked = [" + serial + "]\n").find("16 hexadecimal digits"),
              std::string::npos)
        << serial;
  }
  const auto config = parse_config(start + kSecurity + "revoked = [\"0123456789abcdef\"]\n", "n.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->security.revoked, std::vector<uint64_t>{0x0123456789abcdefu});
}

}  // namespace
}  // namespace trunkline::relay
