// KeyAuditor: the judge of keys. It sees every secret of every session at both of its ends, every datagram
// that is sealed or opened under one, and every handshake message that is written or read, on all nodes.
//
//   S6   no key is used with one counter twice: each secret is one node's to seal with, and the counters of
//        each of its lanes only grow, whatever was restarted, restored or replaced
//   S7   nothing is taken for genuine that no node wrote: not a handshake message, and not a datagram, which
//        must be what was sealed under that key, lane and counter. (That what is refused has no effect is
//        judged by running the seed a second time without strangers: world.h)
//   S8   two nodes that share a secret agree on everything that links need: the suite, and what their
//        configurations say of versions and wire-relevant settings. A secret is a function of all that was
//        said in the handshake, so that this is also: both read what the other wrote
//
// The idea: cryptography is wrapped (audited_crypto.h), not looked into, so that the same judge watches the
// model and the real suites. O(1) per datagram; keeps 16 bytes for each that was sealed lately.
//
// One thread. Directions stay where they are until the end.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/ids.h"
#include "relay/config.h"
#include "relay/crypto.h"
#include "tools/sim/record_kinds.h"

namespace trunkline::sim {

class KeyAuditor {
 public:
  using Secret = std::array<uint8_t, 32>;
  using Life = uint32_t;  // one start of one node
  static constexpr Life kNobody = UINT32_MAX;

  // One direction of a session, known by its secret.
  struct Direction {
    relay::Suite suite{};
    Life sender = kNobody, receiver = kNobody;
    struct Lane {
      uint16_t cores = 0;                                   // sender's << 8 | receiver's
      uint64_t next = 0;                                    // the lowest counter that is not spent
      std::vector<std::pair<uint64_t, uint64_t>> sealed{};  // counter, tag; ascending
    };
    std::vector<Lane> lanes{};
  };
  struct Totals {
    uint64_t secrets = 0;        // each a direction of a session
    uint64_t lanes = 0;          // of those that sealed anything; each has a key of its own
    uint64_t sealed = 0;         // datagrams
    uint64_t opened = 0;         // that were authentic
    uint64_t refused = 0;        // that were not
    uint64_t messages_read = 0;  // of handshakes, that were authentic
    uint64_t messages_refused = 0;

    void add(const Totals& other);
  };

  // `complain` gets each broken promise as a sentence.
  explicit KeyAuditor(std::function<void(std::string)> complain) : complain_(std::move(complain)) {}
  KeyAuditor(const KeyAuditor&) = delete;
  KeyAuditor& operator=(const KeyAuditor&) = delete;

  // A node starts: what it derives and writes from now on is of this life.
  Life starts(const relay::NodeConfig& config);

  // ---- what the wrapped cryptography tells
  Direction& sends(Life life, relay::Suite suite, const Secret& secret);
  Direction& receives(Life life, relay::Suite suite, const Secret& secret);
  // `datagram`: header, records, tag.
  void sealed(Direction& direction, core::CoreId from, core::CoreId to, std::span<const uint8_t> datagram);
  // From now on it is remembered what is in each, for those who cannot read it any more.
  void note_kinds() { notes_kinds_ = true; }
  bool notes_kinds() const { return notes_kinds_; }
  void note(std::span<const uint8_t> datagram, RecordKinds kinds);
  RecordKinds kinds_of(std::span<const uint8_t> datagram) const;
  void opened(const Direction& direction, core::CoreId from, core::CoreId to, uint64_t counter, uint64_t tag);
  void refused() { ++totals_.refused; }
  void wrote(Life life, uint8_t message, std::span<const uint8_t> bytes);
  // `hash`: message_hash() of what came, before it was read.
  void read(Life life, uint8_t message, uint64_t hash, bool ok);
  // Without the last bytes, where a cookie may be put into a msg1 later. What they are of is covered by them.
  static uint64_t message_hash(uint8_t message, std::span<const uint8_t> bytes);

  const Totals& totals() const { return totals_; }

 private:
  struct Hash {
    size_t operator()(const Secret& secret) const;
  };

  Direction& find(relay::Suite suite, const Secret& secret);
  Direction& take_end(Life life, Direction& direction, Life Direction::*end, const std::string& verb);
  void judge_pair(const Direction& direction);
  std::string name(Life life) const;

  std::function<void(std::string)> complain_;
  std::deque<relay::NodeConfig> lives_;
  std::deque<Direction> directions_;
  std::unordered_map<Secret, Direction*, Hash> by_secret_;
  std::unordered_map<uint64_t, Life> written_;  // handshake messages, by their hash
  bool notes_kinds_ = false;
  std::unordered_map<uint64_t, RecordKinds> kinds_;  // by tag
  Totals totals_;
};

}  // namespace trunkline::sim
