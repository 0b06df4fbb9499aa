// The key log: the secrets of sessions as lines of a file, with which a capture of sealed datagrams can be
// read (tools/wireshark/trunkline.lua). What SSLKEYLOGFILE is to TLS.
//
//   TRUNKLINE_SESSION 50071234 1 000102..1f\n
//                     |        | the secret of the direction, 64 hexadecimal digits
//                     |        the suite's number (docs/protocol.md)
//                     the receiver's session index, 8 hexadecimal digits, as in the header
//
// A session has an index per data core of each end, and a secret per direction: so one line for each index,
// with the secret of what is sent to it. Whoever has the file reads those sessions, and can write datagrams
// in their name while they live. Therefore nothing makes one unless it is told to, only its owner may be able
// to read it, and it is no way to look into what was recorded before it was opened.
//
// Control path, one thread at a time, when a session is installed. A line is one write() to a file that is
// open for appending: lines of several processes do not mix, and one that is cut off by a full disk is the
// last. Blocks as long as a write to a file does. Errors are `file: what, and what to do`.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"
#include "relay/crypto.h"

namespace trunkline::relay {

class KeyLog {
 public:
  // Makes the file, mode 0600, or goes on at the end of one that is there. An error if that is no ordinary
  // file, belongs to somebody else, or may be read or written by group or others.
  static core::Result<KeyLog> open(const std::string& path);

  KeyLog(KeyLog&& other) noexcept;
  KeyLog& operator=(KeyLog&& other) noexcept;
  ~KeyLog();

  // One direction of a session at one data core: what is sent to `session_index` is sealed with lane keys of
  // `secret`. Of a suite that is not sealed nothing is written: its datagrams can be read as they are. After
  // an error the file may end in a part of the line.
  core::Result<void> write(uint32_t session_index, Suite suite, std::span<const uint8_t, 32> secret);
  // Both directions: `own` are the indexes by which this node receives, one per data core, `peer` the
  // other's. Stops at the first error.
  core::Result<void> write_session(const SessionKeys& keys, std::span<const uint32_t> own,
                                   std::span<const uint32_t> peer);

 private:
  KeyLog(std::string path, int fd) noexcept : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_ = -1;  // ours; -1 after a move
};

}  // namespace trunkline::relay
