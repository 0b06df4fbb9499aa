// The key log: lines as documented, appended whole, into a file that nobody else can read, or an error that
// says what to do.
#include "relay/key_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>

namespace trunkline::relay {
namespace {

namespace fs = std::filesystem;
using Secret32 = std::array<uint8_t, 32>;

constexpr const char* kCounted = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

Secret32 counted() {
  Secret32 secret;
  std::iota(secret.begin(), secret.end(), uint8_t{0});
  return secret;
}

class KeyLogFile : public testing::Test {
 protected:
  KeyLogFile() {
    std::string name = (fs::temp_directory_path() / "trunkline-key-log-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = (directory_ / "keys.log").string();
  }
  ~KeyLogFile() override { fs::remove_all(directory_); }

  std::string text() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void make(const std::string& content, mode_t mode) const {
    std::ofstream(path_) << content;
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
  }
  // Of opening the file as it is now; "none" when it opens.
  std::string error() const {
    const auto log = KeyLog::open(path_);
    return log ? "none" : log.error().text;
  }

  fs::path directory_;
  std::string path_;
};

TEST_F(KeyLogFile, ALineIsWrittenAsTheDissectorReadsIt) {
  auto log = KeyLog::open(path_);
  ASSERT_TRUE(log) << log.error().text;
  ASSERT_TRUE(log->write(0x50071234, Suite::kAes128Gcm, counted()));
  EXPECT_EQ(text(), std::string("TRUNKLINE_SESSION 50071234 1 ") + kCounted + "\n");
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST_F(KeyLogFile, ASessionIsALinePerIndexOfEachEnd) {
  auto log = KeyLog::open(path_);
  ASSERT_TRUE(log);
  SessionKeys keys{Suite::kChaCha20Poly1305, {}, {}};
  keys.send_secret.fill(0x5e);
  keys.receive_secret.fill(0xec);
  const uint32_t own[] = {0x00010002, 0x10010003}, peer[] = {0xf0ffffff};
  ASSERT_TRUE(log->write_session(keys, own, peer));
  std::string send, receive;
  for (int i = 0; i < 32; ++i) send += "5e", receive += "ec";
  EXPECT_EQ(text(), "TRUNKLINE_SESSION 00010002 3 " + receive + "\nTRUNKLINE_SESSION 10010003 3 " + receive +
                        "\nTRUNKLINE_SESSION f0ffffff 3 " + send + "\n");
}

TEST_F(KeyLogFile, SuitesWithoutKeysLeaveNoLine) {
  auto log = KeyLog::open(path_);
  ASSERT_TRUE(log);
  EXPECT_TRUE(log->write(1, Suite::kNull, counted()));
  EXPECT_TRUE(log->write(1, Suite::kModel, counted()));
  EXPECT_EQ(text(), "");
}

TEST_F(KeyLogFile, WhatIsThereStaysAndTwoWritersTakeTurns) {
  make("TRUNKLINE_SESSION of yesterday\n", 0600);
  auto one = KeyLog::open(path_), two = KeyLog::open(path_);
  ASSERT_TRUE(one && two);
  KeyLog moved = std::move(*one);
  ASSERT_TRUE(moved.write(1, Suite::kAes256Gcm, counted()));
  ASSERT_TRUE(two->write(2, Suite::kAes256Gcm, counted()));
  ASSERT_TRUE(moved.write(3, Suite::kAes256Gcm, counted()));
  const std::string rest = std::string(" 2 ") + kCounted + "\n";
  EXPECT_EQ(text(), "TRUNKLINE_SESSION of yesterday\nTRUNKLINE_SESSION 00000001" + rest +
                        "TRUNKLINE_SESSION 00000002" + rest + "TRUNKLINE_SESSION 00000003" + rest);
}

TEST_F(KeyLogFile, AFileThatOthersCanReadIsRefusedWithTheCommandThatRepairsIt) {
  for (const mode_t mode : {0640u, 0604u, 0620u, 0602u, 0666u}) {
    make("", mode);
    EXPECT_EQ(error(),
              path_ + ": lets group or others at the keys that are to be written to it; run: chmod 600 '" +
                  path_ + "'");
  }
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_EQ(error(), "none");
}

TEST_F(KeyLogFile, AFileOfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: it gives a file away";
  make("", 0600);
  ASSERT_EQ(chown(path_.c_str(), 12345, 0), 0);
  EXPECT_EQ(error(),
            path_ +
                ": belongs to user 12345, who could read all keys in it; it must belong to the user who "
                "runs this, 0: chown 0 '" +
                path_ + "', or name another file");
}

TEST_F(KeyLogFile, WhatIsNoOrdinaryFileIsRefused) {
  const std::string elsewhere = (directory_ / "elsewhere").string();
  ASSERT_EQ(symlink(elsewhere.c_str(), path_.c_str()), 0);
  EXPECT_EQ(error(), path_ + ": is a symbolic link; name the file itself");
  EXPECT_FALSE(fs::exists(elsewhere));
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(error(), path_ + ": cannot be opened as a key log: No such device or address");
  const int reader = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(error(), path_ + ": is no ordinary file; a key log needs a file of its own");
  close(reader);
  path_ = (directory_ / "no" / "such").string();
  EXPECT_EQ(error(), path_ + ": cannot be opened as a key log: No such file or directory");
}

// A limit of this process stands for a full disk: the kernel first takes a part of the line, then nothing.
TEST_F(KeyLogFile, AFileThatCannotGrowIsSaid) {
  auto log = KeyLog::open(path_);
  ASSERT_TRUE(log);
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {50, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto part = log->write(1, Suite::kAes128Gcm, counted());
  const auto nothing = log->write(1, Suite::kAes128Gcm, counted());
  const uint32_t own[] = {1}, peer[] = {2};
  const auto neither = log->write_session({Suite::kAes128Gcm, {}, {}}, own, peer);
  const auto no_peer = log->write_session({Suite::kAes128Gcm, {}, {}}, {}, peer);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);
  ASSERT_FALSE(part || nothing || neither || no_peer);
  EXPECT_EQ(part.error().text, path_ +
                                   ": took a part of a line only: make room on its file system, and begin "
                                   "another key log");
  EXPECT_EQ(nothing.error().text,
            path_ +
                ": cannot be written: File too large; sessions that begin now cannot be "
                "opened in a capture");
  EXPECT_EQ(neither.error().text, nothing.error().text);
  EXPECT_EQ(no_peer.error().text, nothing.error().text);
}

}  // namespace
}  // namespace trunkline::relay
