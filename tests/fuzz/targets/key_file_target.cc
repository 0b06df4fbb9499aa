// Key files: what is read is written again as a line that reads the same.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/key_files.h"
#include "relay/text.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

// A file without a place, which the process can name.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text, mode_t mode) : fd_(memfd_create("key", MFD_CLOEXEC)) {
    EXPECT_EQ(fchmod(fd_, mode), 0);
    EXPECT_EQ(write(fd_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace

// One byte for the mode and the kind that is wanted, then the text.
TRUNKLINE_FUZZ_TARGET(key_file) {
  trunkline::fuzz::Input in(input);
  const uint8_t choice = in.u8();
  const std::string_view text = as_text(in.rest());
  const MemoryFile file(text, choice & 1 ? 0640 : 0600);
  const auto read = read_key_file(file.path());
  const bool wanted[] = {read_cluster_secret(file.path()).has_value(),
                         read_cluster_public(file.path()).has_value(),
                         read_node_secret(file.path()).has_value(), read_node_public(file.path()).has_value(),
                         read_certificate(file.path()).has_value()};
  for (uint32_t kind = 0; kind < kKeyKinds; ++kind) {
    EXPECT_EQ(wanted[kind], read && static_cast<uint32_t>(read->kind) == kind);
  }
  if (!read) {
    EXPECT_EQ(read.error().text.rfind(file.path() + ":", 0), 0u) << read.error().text;
    return;
  }
  EXPECT_FALSE(is_secret(read->kind) && (choice & 1) != 0) << "a secret that others can read";
  if (is_secret(read->kind)) return;
  const MemoryFile again(public_line(read->kind, read->payload.bytes()), 0600);
  const auto second = read_key_file(again.path());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->kind, read->kind);
  EXPECT_TRUE(std::equal(second->payload.bytes().begin(), second->payload.bytes().end(),
                         read->payload.bytes().begin(), read->payload.bytes().end()));
}
