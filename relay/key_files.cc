// See key_files.h.
#include "relay/key_files.h"

#include <fcntl.h>
#include <sodium/utils.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "relay/text.h"

namespace trunkline::relay {
namespace {

using core::Error;
using core::Result;

constexpr size_t kMaxFileBytes = 4'096;  // the longest line is 345 bytes; the rest is room for comments
constexpr int kBase64 = sodium_base64_VARIANT_ORIGINAL;

constexpr KeyKind kAllKinds[kKeyKinds] = {KeyKind::kClusterSecret, KeyKind::kClusterPublic,
                                          KeyKind::kNodeSecret, KeyKind::kNodePublic, KeyKind::kCertificate};

Error error(const std::string& where, const std::string& what) {
  return {0, where + ": " + what};
}
std::string at_line(const std::string& path, uint32_t line) {
  return path + ":" + std::to_string(line);
}

// An open file that closes itself.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// ---- reading

struct Content {
  SecretBytes bytes;
  size_t length = 0;
  uint32_t mode = 0;   // permission bits
  uint32_t owner = 0;  // user id
};

Result<Content> read_file(const std::string& path) {
  // Not blocking: a pipe in the file's place is an error, not a wait.
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd() < 0) return error(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status {};
  if (fstat(file.fd(), &status) != 0) return error(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return error(path, "is no ordinary file");
  Content content{SecretBytes(kMaxFileBytes + 1), 0, status.st_mode & 0777u, status.st_uid};
  while (content.length < content.bytes.size()) {
    const auto rest = content.bytes.bytes().subspan(content.length);
    const ssize_t n = read(file.fd(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error(path, std::string("cannot be read: ") + std::strerror(errno));
    if (n == 0) break;
    content.length += static_cast<size_t>(n);
  }
  if (content.length > kMaxFileBytes) return error(path, "is longer than 4096 bytes: no key file is");
  return content;
}

std::string octal(uint32_t mode) {
  std::string text = "0";
  for (int shift = 6; shift >= 0; shift -= 3) text += static_cast<char>('0' + (mode >> shift & 7));
  return text;
}

// Who can read a secret has it.
Result<void> check_private(const std::string& path, const Content& content) {
  if (content.owner != geteuid()) {
    return error(path, "holds a secret key and belongs to user " + std::to_string(content.owner) +
                           ", who can read it at will; it must belong to the user who runs this, " +
                           std::to_string(geteuid()) + ": chown " + std::to_string(geteuid()) + " '" + path +
                           "'");
  }
  if ((content.mode & 077u) != 0) {
    return error(path, "holds a secret key, and its mode " + octal(content.mode) +
                           " lets group or others at it; run: chmod 600 '" + path + "'");
  }
  return {};
}

struct Line {
  uint32_t number = 0;
  std::string_view text;  // without blanks at its ends
};

constexpr std::string_view kBlanks = " \t\r";

// The one line that is neither empty nor a comment.
Result<Line> find_line(const std::string& path, std::string_view content) {
  Line found;
  uint32_t number = 0;
  while (!content.empty()) {
    const size_t end = std::min(content.find('\n'), content.size());
    std::string_view text = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    ++number;
    const size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos || text[first] == '#') continue;
    text = text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
    if (found.number != 0) {
      return error(at_line(path, number), "a second key, after the one in line " +
                                              std::to_string(found.number) + ": one key per file");
    }
    found = {number, text};
  }
  if (found.number == 0) return error(path, "holds no key: there is no line but comments");
  return found;
}

std::optional<KeyKind> kind_of(std::string_view word) {
  for (const KeyKind kind : kAllKinds) {
    if (word == key_kind_word(kind)) return kind;
  }
  return std::nullopt;
}

// What is wrong with a payload of this kind; nothing when it is right.
const char* trouble(const KeyFile& file) {
  const size_t size = file.payload.size();
  switch (file.kind) {
    case KeyKind::kClusterSecret:
    case KeyKind::kClusterPublic:
      if (size <= kKeyBytes || cluster_of(file).view().empty()) {
        return "is not a cluster's key: 32 bytes and the cluster's name are expected";
      }
      return nullptr;
    case KeyKind::kNodeSecret:
    case KeyKind::kNodePublic:
      return size == kKeyBytes ? nullptr : "is not a node's key: 32 bytes are expected";
    case KeyKind::kCertificate: {
      Certificate ignored;
      const CertificateFault fault = decode(file.payload.bytes(), ignored);
      return fault == CertificateFault::kNone ? nullptr : certificate_fault_text(fault);
    }
  }
  return "is of no known kind";
}

Result<KeyFile> parse(const std::string& path, const Line& line) {
  const std::string where = at_line(path, line.number);
  const size_t blank = std::min(line.text.find_first_of(kBlanks), line.text.size());
  const std::optional<KeyKind> kind = kind_of(line.text.substr(0, blank));
  if (!kind) {
    // The word itself is not repeated: it may be a secret that somebody pasted without its kind.
    std::string kinds;
    for (const KeyKind k : kAllKinds) kinds += (kinds.empty() ? "" : ", ") + std::string(key_kind_word(k));
    return error(where, "begins with no known kind of key (" + kinds + ")");
  }
  std::string_view text = line.text.substr(blank);
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  KeyFile file{*kind, {}};
  SecretBytes buffer(text.size() + 1);
  size_t length = 0;
  const char* end = nullptr;
  if (sodium_base642bin(buffer.bytes().data(), buffer.size(), text.data(), text.size(), nullptr, &length,
                        &end, kBase64) != 0 ||
      end != text.data() + text.size()) {
    return error(where, "what follows '" + std::string(key_kind_word(*kind)) +
                            "' is not base64: copy the whole line, unchanged");
  }
  file.payload = SecretBytes(length);
  std::copy_n(buffer.bytes().begin(), length, file.payload.bytes().begin());
  if (const char* what = trouble(file)) return error(where, what);
  return file;
}

Result<KeyFile> read_kind(const std::string& path, KeyKind kind) {
  Result<KeyFile> file = read_key_file(path);
  if (file && file->kind != kind) {
    return error(path, "holds a '" + std::string(key_kind_word(file->kind)) + "', and '" +
                           std::string(key_kind_word(kind)) + "' is needed here");
  }
  return file;
}

Key first_key(const KeyFile& file) {
  Key key;
  std::copy_n(file.payload.bytes().begin(), kKeyBytes, key.begin());
  return key;
}

// ---- writing

// The line of a key, zero-terminated. In locked memory, since it may be a secret's.
SecretBytes line_of(KeyKind kind, Bytes payload) {
  const std::string_view word = key_kind_word(kind);
  const size_t encoded = sodium_base64_encoded_len(payload.size(), kBase64);  // with its zero
  SecretBytes line(word.size() + 1 + encoded + 1);
  char* const text = reinterpret_cast<char*>(line.bytes().data());
  std::copy(word.begin(), word.end(), text);
  text[word.size()] = ' ';
  sodium_bin2base64(text + word.size() + 1, encoded, payload.data(), payload.size(), kBase64);
  text[word.size() + encoded] = '\n';
  return line;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

std::optional<Key> parse_node_public(std::string_view text) {
  const std::string_view word = key_kind_word(KeyKind::kNodePublic);
  if (text.starts_with(word)) text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  Key key;
  size_t length = 0;
  const char* end = nullptr;
  if (sodium_base642bin(key.data(), key.size(), text.data(), text.size(), nullptr, &length, &end, kBase64) !=
      0)
    return std::nullopt;
  const bool whole = length == key.size() && end == text.data() + text.size();
  return whole ? std::optional(key) : std::nullopt;
}

std::string_view key_kind_word(KeyKind kind) noexcept {
  switch (kind) {
    case KeyKind::kClusterSecret:
      return "trunkline-cluster-secret-1";
    case KeyKind::kClusterPublic:
      return "trunkline-cluster-public-1";
    case KeyKind::kNodeSecret:
      return "trunkline-node-secret-1";
    case KeyKind::kNodePublic:
      return "trunkline-node-public-1";
    case KeyKind::kCertificate:
      return "trunkline-certificate-1";
  }
  return "?";
}

Result<KeyFile> read_key_file(const std::string& path) {
  const Result<Content> content = read_file(path);
  if (!content) return content.error();
  const Result<Line> line = find_line(path, as_text(content->bytes.bytes().first(content->length)));
  if (!line) return line.error();
  Result<KeyFile> file = parse(path, *line);
  if (!file || !is_secret(file->kind)) return file;
  const Result<void> priv = check_private(path, *content);
  if (!priv) return priv.error();
  return file;
}

Result<ClusterSecret> read_cluster_secret(const std::string& path) {
  const Result<KeyFile> file = read_kind(path, KeyKind::kClusterSecret);
  if (!file) return file.error();
  Secret seed;
  std::copy_n(file->payload.bytes().begin(), kKeyBytes, seed.bytes().begin());
  return ClusterSecret{SigningKey::of(seed), cluster_of(*file)};
}

Result<ClusterPublic> read_cluster_public(const std::string& path) {
  const Result<KeyFile> file = read_kind(path, KeyKind::kClusterPublic);
  if (!file) return file.error();
  return ClusterPublic{first_key(*file), cluster_of(*file)};
}

Result<noise::KeyPair> read_node_secret(const std::string& path) {
  const Result<KeyFile> file = read_kind(path, KeyKind::kNodeSecret);
  if (!file) return file.error();
  Secret secret;
  std::copy_n(file->payload.bytes().begin(), kKeyBytes, secret.bytes().begin());
  return noise::KeyPair::of(secret);
}

Result<Key> read_node_public(const std::string& path) {
  const Result<KeyFile> file = read_kind(path, KeyKind::kNodePublic);
  if (!file) return file.error();
  return first_key(*file);
}

Result<CertificateBytes> read_certificate(const std::string& path) {
  const Result<KeyFile> file = read_kind(path, KeyKind::kCertificate);
  if (!file) return file.error();
  CertificateBytes bytes;
  std::copy_n(file->payload.bytes().begin(), bytes.size(), bytes.begin());
  return bytes;
}

ClusterName cluster_of(const KeyFile& file) {
  ClusterName name;
  if (file.payload.size() > kKeyBytes) (void)name.assign(as_text(file.payload.bytes().subspan(kKeyBytes)));
  return name;
}

SecretBytes cluster_payload(const Key& key, const ClusterName& cluster) {
  const std::string_view name = cluster.view();
  SecretBytes payload(kKeyBytes + name.size());
  std::copy(key.begin(), key.end(), payload.bytes().begin());
  std::copy(name.begin(), name.end(), payload.bytes().begin() + kKeyBytes);
  return payload;
}

std::string public_line(KeyKind kind, Bytes payload) {
  TL_CHECK(!is_secret(kind));
  return reinterpret_cast<const char*>(line_of(kind, payload).bytes().data());
}

Result<void> write_key_file(const std::string& path, KeyKind kind, Bytes payload, std::string_view comment) {
  const mode_t mode = is_secret(kind) ? 0600 : 0644;
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (file.fd() < 0) {
    if (errno == EEXIST)
      return error(path, "exists already, and is not overwritten; move it away, or write elsewhere");
    return error(path, std::string("cannot be made: ") + std::strerror(errno));
  }
  std::string head;
  while (!comment.empty()) {
    const size_t end = std::min(comment.find('\n'), comment.size());
    head += "# " + std::string(comment.substr(0, end)) + "\n";
    comment.remove_prefix(std::min(end + 1, comment.size()));
  }
  const SecretBytes line = line_of(kind, payload);
  const std::string_view text(reinterpret_cast<const char*>(line.bytes().data()));
  if (!write_all(file.fd(), head) || !write_all(file.fd(), text) || fsync(file.fd()) != 0) {
    const int reason = errno;
    unlink(path.c_str());
    return error(path, std::string("cannot be written: ") + std::strerror(reason));
  }
  return {};
}

}  // namespace trunkline::relay
