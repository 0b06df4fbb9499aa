// The control messages of wire version 1: what two nodes tell each other about tracks.
//
//   message    type 8 | length 16 | body        big-endian; `length` counts the body
//
// The idea: each message's fields are listed once, in messages.cc, and that list is the encoder, the decoder
// and the text whose hash is the schema's fingerprint. So the codec cannot drift from its description, and a
// change of meaning changes the fingerprint that HELLO compares.
//
// Encoding is canonical: one byte string per value. A body that is too short or too long, a flag bit or a
// number that nobody defined, a zero where zero means nothing: malformed, and the rest of the span is not
// looked at. An unknown type is skipped by its length and reported, so that a later version may add some.
//
// No state and no allocation; texts and descriptors are views into the bytes that were read. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/ids.h"
#include "relay/outcome.h"
#include "relay/wire.h"

namespace trunkline::relay {

inline constexpr uint32_t kMessageHeaderBytes = 3;
inline constexpr uint32_t kMaxMessageBytes = 1024;     // header included
inline constexpr uint32_t kMaxPath = 8;                // nodes that an ACQUIRE has passed
inline constexpr uint32_t kMaxAnswerText = 120;        // bytes
inline constexpr uint32_t kMaxAnswerDescriptor = 512;  // bytes; the publisher's opaque track descriptor

enum class MessageType : uint8_t {
  kAnnounce = 1,
  kWithdraw = 2,
  kSnapshotEnd = 3,
  kAcquire = 4,
  kAnswer = 5,
  kRelease = 6,
  kEnded = 7,
};

// "I have this track." Its epoch is (generation, incarnation of the session, the sender's node id).
struct Announce {
  static constexpr MessageType kType = MessageType::kAnnounce;
  core::TrackId track{};
  uint64_t generation = 0;  // not 0
  bool flowing = false;     // packets arrive from the publisher
  TrafficClass traffic_class = TrafficClass::kRest;
};

// "I no longer have it." Of an older generation than announced: ignored by the receiver.
struct Withdraw {
  static constexpr MessageType kType = MessageType::kWithdraw;
  core::TrackId track{};
  uint64_t generation = 0;  // not 0
};

// All publications of the sender were announced since the stream began; the receiver drops what was not.
struct SnapshotEnd {
  static constexpr MessageType kType = MessageType::kSnapshotEnd;
};

// "Send me this track." Idempotent by request id, which is unique per session.
struct Acquire {
  static constexpr MessageType kType = MessageType::kAcquire;
  uint64_t request_id = 0;  // not 0
  core::TrackId track{};
  Label label{};                              // for media, in the asker's number space; not 0
  core::CoreId owner_core{};                  // of the asker, where media is to go
  uint32_t budget_us = 0;                     // relative: shrinks hop by hop, never a wall-clock time
  uint8_t hop_limit = 0;                      // how many more nodes the asked one may ask in turn; 0: none
  uint64_t believed_generation = 0;           // of the location asked with; 0: none known
  std::array<core::NodeId, kMaxPath> path{};  // the nodes that asked, first asker first; none is 0
  uint8_t path_length = 0;

  std::span<const core::NodeId> nodes() const noexcept { return {path.data(), path_length}; }
};

// The reply. With `pending` it is not the last word: `outcome` is then Outcome::ok and means nothing. An OK
// is repeated, with the same request id, when what it says has changed: flowing, path, feedback label.
struct Answer {
  static constexpr MessageType kType = MessageType::kAnswer;
  uint64_t request_id = 0;        // not 0
  Outcome outcome = Outcome::ok;  // one of those that a peer can answer: number below 32
  bool authoritative = false;     // NOT_HERE, GONE: by the node that would know
  bool flowing = false;           // OK: media is flowing at the sender
  bool pending = false;           // asking further; the next answer comes within next_by_us
  uint64_t generation = 0;        // of the publication, or of the one that MOVED names; 0: none
  core::NodeId node{};            // MOVED: who has it; DRAINING: who takes over; 0: nobody named
  Label feedback_label{};         // OK: for feedback, in the answerer's number space; 0: none
  core::CoreId core{};            // OK: of the answerer, where feedback is to go
  uint32_t retry_after_us = 0;    // BUSY, DRAINING
  uint32_t next_by_us = 0;        // PENDING
  // OK: the nodes that the media comes through, the publisher first, the answerer last. Nobody feeds itself.
  std::array<core::NodeId, kMaxPath> path{};
  uint8_t path_length = 0;
  std::string_view text{};                // at most kMaxAnswerText bytes: the setting that differs, ...
  std::span<const uint8_t> descriptor{};  // at most kMaxAnswerDescriptor bytes

  std::span<const core::NodeId> nodes() const noexcept { return {path.data(), path_length}; }
};

// "I no longer want it": undoes an Acquire, answered or not.
struct Release {
  static constexpr MessageType kType = MessageType::kRelease;
  uint64_t request_id = 0;  // not 0
  Label label{};            // the asker's, as in the Acquire; not 0
  core::TrackId track{};
};

// "It is over": of an Acquire that was answered OK.
struct Ended {
  static constexpr MessageType kType = MessageType::kEnded;
  uint64_t request_id = 0;  // not 0
  core::TrackId track{};
  Label label{};  // the asker's, as in the Acquire; not 0
  Outcome reason = Outcome::gone;
  uint64_t generation = 0;
};

using Message = std::variant<Announce, Withdraw, SnapshotEnd, Acquire, Answer, Release, Ended>;

// Each writes one whole message and returns its length; 0, and nothing sent, when it does not fit `out` or a
// value is outside what the comments above allow.
size_t encode(const Announce& message, std::span<uint8_t> out) noexcept;
size_t encode(const Withdraw& message, std::span<uint8_t> out) noexcept;
size_t encode(const SnapshotEnd& message, std::span<uint8_t> out) noexcept;
size_t encode(const Acquire& message, std::span<uint8_t> out) noexcept;
size_t encode(const Answer& message, std::span<uint8_t> out) noexcept;
size_t encode(const Release& message, std::span<uint8_t> out) noexcept;
size_t encode(const Ended& message, std::span<uint8_t> out) noexcept;

// Walks the messages of one span:
//
//   MessageReader reader(bytes);
//   for (auto item = reader.next(); item != MessageReader::Item::kEnd; item = reader.next()) ...
//
// kMalformed is said once, and kEnd from then on.
class MessageReader {
 public:
  enum class Item : uint8_t { kMessage, kUnknownType, kMalformed, kEnd };

  explicit MessageReader(std::span<const uint8_t> bytes) noexcept : rest_(bytes) {}
  Item next() noexcept;
  // After kMessage; its views are valid as long as the bytes are.
  const Message& message() const noexcept { return message_; }

 private:
  std::span<const uint8_t> rest_;
  Message message_{};
};

// What HELLO carries per offered wire version: frozen in a table, so that two builds that mean different
// things by the same version refuse each other. 0 for a version that does not exist.
uint64_t schema_fingerprint(uint8_t wire_version) noexcept;
// The text from which the fingerprint of version 1 is computed (FNV-1a, 64 bits): every message, field, type
// and order, as the codec executes them. For tests and documents; allocates.
std::string schema_text();

}  // namespace trunkline::relay
