// See key_log.h.
#include "relay/key_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "relay/lane_key.h"
#include "relay/secret.h"
#include "relay/text.h"

namespace trunkline::relay {
namespace {

using core::Error;
using core::Result;

Error error(const std::string& path, const std::string& what) {
  return {0, path + ": " + what};
}

// What makes an open file no place for keys; empty when it is one.
std::string trouble(const std::string& path, int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return std::string("cannot be looked at: ") + std::strerror(errno);
  if (!S_ISREG(status.st_mode)) return "is no ordinary file; a key log needs a file of its own";
  const std::string me = std::to_string(geteuid());
  if (status.st_uid != geteuid()) {
    return "belongs to user " + std::to_string(status.st_uid) +
           ", who could read all keys in it; it must belong to the user who runs this, " + me + ": chown " +
           me + " '" + path + "', or name another file";
  }
  if ((status.st_mode & 077u) != 0) {
    return "lets group or others at the keys that are to be written to it; run: chmod 600 '" + path + "'";
  }
  return {};
}

constexpr std::string_view kWord = "TRUNKLINE_SESSION ";
constexpr size_t kMaxLine = kWord.size() + 8 + 1 + 3 + 1 + 64 + 1;

char* put_hex(char* at, uint8_t byte) noexcept {
  constexpr char kDigits[] = "0123456789abcdef";
  *at++ = kDigits[byte >> 4];
  *at++ = kDigits[byte & 15];
  return at;
}

}  // namespace

Result<KeyLog> KeyLog::open(const std::string& path) {
  // Not through a link, which somebody else may have laid; not blocking, should it be a pipe.
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) {
    if (errno == ELOOP) return error(path, "is a symbolic link; name the file itself");
    return error(path, std::string("cannot be opened as a key log: ") + std::strerror(errno));
  }
  KeyLog log(path, fd);
  if (const std::string what = trouble(path, fd); !what.empty()) return error(path, what);
  return log;
}

KeyLog::KeyLog(KeyLog&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

KeyLog& KeyLog::operator=(KeyLog&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

KeyLog::~KeyLog() {
  if (fd_ >= 0) close(fd_);
}

Result<void> KeyLog::write(uint32_t session_index, Suite suite, std::span<const uint8_t, 32> secret) {
  TL_CHECK(fd_ >= 0);
  if (cipher_key_bytes(suite) == 0) return {};
  std::array<char, kMaxLine> line;
  char* at = line.data() + kWord.copy(line.data(), kWord.size());
  for (int shift = 24; shift >= 0; shift -= 8) at = put_hex(at, static_cast<uint8_t>(session_index >> shift));
  *at++ = ' ';
  at = std::to_chars(at, at + 3, static_cast<unsigned>(suite)).ptr;
  *at++ = ' ';
  for (const uint8_t byte : secret) at = put_hex(at, byte);
  *at++ = '\n';
  const auto length = static_cast<size_t>(at - line.data());
  ssize_t written = 0;
  do {
    written = ::write(fd_, line.data(), length);
  } while (written < 0 && errno == EINTR);
  const int reason = errno;
  wipe({reinterpret_cast<uint8_t*>(line.data()), line.size()});
  if (written < 0) {
    return error(path_, std::string("cannot be written: ") + std::strerror(reason) +
                            "; sessions that begin now cannot be opened in a capture");
  }
  if (static_cast<size_t>(written) != length) {
    return error(path_,
                 "took a part of a line only: make room on its file system, and begin another key log");
  }
  return {};
}

Result<void> KeyLog::write_session(const SessionKeys& keys, std::span<const uint32_t> own,
                                   std::span<const uint32_t> peer) {
  for (const uint32_t index : own) {
    if (Result<void> done = write(index, keys.suite, keys.receive_secret); !done) return done;
  }
  for (const uint32_t index : peer) {
    if (Result<void> done = write(index, keys.suite, keys.send_secret); !done) return done;
  }
  return {};
}

}  // namespace trunkline::relay
