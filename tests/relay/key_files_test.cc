// Key files: what is written is read, and every way in which a file can be wrong or too public is named with
// its place.
#include "relay/key_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/seeded_randomness.h"

namespace trunkline::relay {
namespace {

namespace fs = std::filesystem;

class KeyFiles : public testing::Test {
 protected:
  KeyFiles() {
    std::string name = (fs::temp_directory_path() / "trunkline-keys-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~KeyFiles() override { fs::remove_all(directory_); }

  std::string path(const char* name) const { return (directory_ / name).string(); }
  std::string file(const char* name, std::string_view text, mode_t mode = 0600) const {
    const std::string where = path(name);
    std::ofstream(where) << text;
    EXPECT_EQ(chmod(where.c_str(), mode), 0);
    return where;
  }
  static std::string text_of(const std::string& where) {
    std::ifstream in(where);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static mode_t mode_of(const std::string& where) {
    struct stat status {};
    EXPECT_EQ(stat(where.c_str(), &status), 0);
    return status.st_mode & 0777;
  }
  // The error of reading this text as a key, without the directory.
  std::string error_of(std::string_view text, mode_t mode = 0600) const {
    const std::string where = file("k", text, mode);
    const auto read = read_key_file(where);
    fs::remove(where);
    return read ? "none" : read.error().text.substr(directory_.string().size() + 1);
  }

  test::SeededRandomness random_{3};
  const noise::KeyPair pair_ = noise::KeyPair::generate(random_);
  fs::path directory_;
};

constexpr const char* kPublic = "trunkline-node-public-1 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
constexpr const char* kSecret = "trunkline-node-secret-1 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

TEST_F(KeyFiles, ANodesKeyIsReadAsItWasWritten) {
  const std::string where = path("node-7.secret");
  ASSERT_TRUE(
      write_key_file(where, KeyKind::kNodeSecret, pair_.secret.bytes(), "Secret key of node 7.\nKeep it."));
  EXPECT_EQ(mode_of(where), 0600u);
  EXPECT_EQ(text_of(where).substr(0, 59), "# Secret key of node 7.\n# Keep it.\ntrunkline-node-secret-1 ");
  const auto read = read_node_secret(where);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->secret.bytes(), pair_.secret.bytes());
  EXPECT_EQ(read->public_key, pair_.public_key);

  const std::string open = path("node-7.public");
  ASSERT_TRUE(write_key_file(open, KeyKind::kNodePublic, pair_.public_key, ""));
  EXPECT_EQ(mode_of(open) & 0600, 0600u);
  EXPECT_EQ(text_of(open), public_line(KeyKind::kNodePublic, pair_.public_key));
  EXPECT_EQ(read_node_public(open).value(), pair_.public_key);
}

TEST_F(KeyFiles, AClustersKeysCarryItsName) {
  const SigningKey key = SigningKey::of(pair_.secret);
  ClusterName name;
  ASSERT_TRUE(name.assign("prod of \"us\", 2"));
  const std::string secret = path("c.secret"), open = path("c.public");
  ASSERT_TRUE(
      write_key_file(secret, KeyKind::kClusterSecret, cluster_payload(key.seed.bytes(), name).bytes(), ""));
  ASSERT_TRUE(
      write_key_file(open, KeyKind::kClusterPublic, cluster_payload(key.public_key, name).bytes(), ""));
  EXPECT_EQ(mode_of(secret), 0600u);
  const auto read = read_cluster_secret(secret);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->key.public_key, key.public_key);
  EXPECT_EQ(read->cluster, name);
  const auto anchor = read_cluster_public(open);
  ASSERT_TRUE(anchor) << anchor.error().text;
  EXPECT_EQ(anchor->public_key, key.public_key);
  EXPECT_EQ(anchor->cluster, name);
}

TEST_F(KeyFiles, ACertificateIsReadAsItWasWritten) {
  Certificate c;
  c.node = {7};
  c.expires = 100;
  c.roles = kAllRoles;
  c.public_key = pair_.public_key;
  ASSERT_TRUE(c.cluster.assign("prod") && c.region.assign("ams"));
  CertificateBytes bytes;
  ASSERT_TRUE(sign(c, SigningKey::of(pair_.secret), bytes));
  const std::string where = path("node-7.certificate");
  ASSERT_TRUE(write_key_file(where, KeyKind::kCertificate, bytes, "node 7"));
  const auto read = read_certificate(where);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*read, bytes);
}

TEST_F(KeyFiles, NothingIsOverwritten) {
  const std::string where = file("k", "precious");
  const auto written = write_key_file(where, KeyKind::kNodePublic, pair_.public_key, "");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().text,
            where + ": exists already, and is not overwritten; move it away, or write elsewhere");
  EXPECT_EQ(text_of(where), "precious");
  EXPECT_FALSE(write_key_file(path("no/such"), KeyKind::kNodePublic, pair_.public_key, ""));
}

TEST_F(KeyFiles, ASecretThatOthersCanReadIsRefusedWithTheCommandThatRepairsIt) {
  for (const mode_t mode : {0640u, 0604u, 0610u, 0601u, 0620u, 0666u}) {
    const std::string said = error_of(kSecret, mode);
    EXPECT_NE(said.find("chmod 600 '" + path("k") + "'"), std::string::npos) << said;
  }
  EXPECT_NE(error_of(kSecret, 0640).find("its mode 0640 lets group or others at it"), std::string::npos);
  EXPECT_EQ(error_of(kSecret, 0600), "none");
  EXPECT_EQ(error_of(kSecret, 0400), "none");
  EXPECT_EQ(error_of(kPublic, 0644), "none") << "a public key may be read by anybody";
}

TEST_F(KeyFiles, ASecretOfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: it gives a file away";
  const std::string where = file("k", kSecret);
  ASSERT_EQ(chown(where.c_str(), 12345, 0), 0);
  const auto read = read_node_secret(where);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().text.find("belongs to user 12345"), std::string::npos) << read.error().text;
  EXPECT_NE(read.error().text.find("chown 0 '" + where + "'"), std::string::npos) << read.error().text;
}

TEST_F(KeyFiles, CommentsBlanksAndForeignLineEndsDoNotMatter) {
  EXPECT_EQ(error_of(std::string("\n  # a comment\r\n\t\n  ") + kPublic + " \t\r\n# the end"), "none");
  EXPECT_EQ(error_of(kPublic), "none") << "no end of line";
}

TEST_F(KeyFiles, WhatIsWrongIsNamedWithItsLine) {
  const std::string two = std::string("# x\n") + kPublic + "\n\n" + kPublic + "\n";
  EXPECT_EQ(error_of(two), "k:4: a second key, after the one in line 2: one key per file");
  EXPECT_EQ(error_of(""), "k: holds no key: there is no line but comments");
  EXPECT_EQ(error_of("# nothing\n\n"), "k: holds no key: there is no line but comments");
  EXPECT_EQ(error_of("\ntrunkline-node-public-1"), "k:2: is not a node's key: 32 bytes are expected");
  EXPECT_EQ(error_of("trunkline-node-public-1 AQID"), "k:1: is not a node's key: 32 bytes are expected");
  for (const char* bad : {"AQI", "AQID!", "AQ==AQ==", "A QID", "AQIDBA=", "\x01"}) {
    EXPECT_EQ(error_of(std::string("trunkline-node-public-1 ") + bad),
              "k:1: what follows 'trunkline-node-public-1' is not base64: copy the whole line, unchanged")
        << bad;
  }
  EXPECT_EQ(error_of("trunkline-cluster-public-1 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="),
            "k:1: is not a cluster's key: 32 bytes and the cluster's name are expected");
  EXPECT_EQ(error_of("trunkline-certificate-1 AQID").substr(0, 33), "k:1: the certificate is cut off: ");
  EXPECT_EQ(error_of(std::string(5'000, '#')), "k: is longer than 4096 bytes: no key file is");
}

TEST_F(KeyFiles, AnUnknownWordIsNotRepeatedSinceItMayBeASecret) {
  const std::string said = error_of("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
  EXPECT_EQ(said.find("AQID"), std::string::npos);
  EXPECT_EQ(said,
            "k:1: begins with no known kind of key (trunkline-cluster-secret-1, trunkline-cluster-public-1, "
            "trunkline-node-secret-1, trunkline-node-public-1, trunkline-certificate-1)");
}

TEST_F(KeyFiles, AKindThatIsNotWantedAndWhatIsNoFileAreErrors) {
  const std::string where = file("k", kPublic);
  const auto read = read_node_secret(where);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().text,
            where + ": holds a 'trunkline-node-public-1', and 'trunkline-node-secret-1' is needed here");
  EXPECT_FALSE(read_cluster_secret(where));
  EXPECT_FALSE(read_cluster_public(where));
  EXPECT_FALSE(read_certificate(where));
  EXPECT_EQ(read_key_file(path("absent")).error().text,
            path("absent") + ": cannot be opened: No such file or directory");
  EXPECT_EQ(read_key_file(directory_.string()).error().text, directory_.string() + ": is no ordinary file");
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_key_file(path("pipe")).error().text, path("pipe") + ": is no ordinary file");
}

}  // namespace
}  // namespace trunkline::relay
