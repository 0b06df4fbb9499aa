// Link: everything a node keeps about one peer: the handshake under way, the sessions, what was heard and how
// long round trips take, the control stream, and the records that belong to this peer.
//
// Two sessions fit (slot = 2 * link + parity): the one in use, and one that is being made or has just been
// replaced. A session replaces another only when both ends are known to have its keys.
//
// Two facts make the state. `alive`: authenticated packets arrive, and the peer says that ours do.
// `incompatible`: one end refused the other for a setting. Neither is latched: handshakes are retried in
// both.
//
// What is to be said on the control stream is never queued as bytes. Each list below is a level: a new
// session starts all over from the records, and the messages are written when the stream has room (pump.cc).
//
// Owner: MeshNode. Memory: about 4 KiB and the control stream's windows.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/cacheline.h"
#include "relay/crypto.h"
#include "relay/mesh/control_stream.h"
#include "relay/mesh/hello.h"
#include "relay/mesh/peer_health.h"
#include "relay/mesh/records.h"

namespace trunkline::relay::mesh {

// Round-trip time as RFC 6298 smooths it, and the largest of the last 128 to 256 samples, which stands for
// the 99th percentile: attempt timers must not cut off the slow one in a hundred.
class RoundTrip {
 public:
  void sample(uint32_t rtt_us) noexcept {
    if (smoothed_us_ == 0) {
      smoothed_us_ = rtt_us;
    } else {
      smoothed_us_ = static_cast<uint32_t>((uint64_t{smoothed_us_} * 7 + rtt_us) / 8);
    }
    if (rtt_us > largest_us_) largest_us_ = rtt_us;
    if (++samples_ == kWindow) {
      previous_largest_us_ = largest_us_;
      largest_us_ = 0;
      samples_ = 0;
    }
  }
  bool known() const noexcept { return smoothed_us_ != 0; }
  // Until the first sample: the longest way between regions of one continent.
  Nanos smoothed() const noexcept { return core::from_us(known() ? smoothed_us_ : kUnknownUs); }
  Nanos p99() const noexcept {
    const uint32_t largest = largest_us_ > previous_largest_us_ ? largest_us_ : previous_largest_us_;
    return core::from_us(largest == 0 ? kUnknownUs : largest);
  }
  // What an answer is waited for: a peer that stood still leaves a worst one that says nothing of the way.
  Nanos patience() const noexcept { return std::min(p99(), smoothed() * 2); }

 private:
  static constexpr uint32_t kWindow = 128;
  static constexpr uint32_t kUnknownUs = 100'000;
  uint32_t smoothed_us_ = 0, largest_us_ = 0, previous_largest_us_ = 0, samples_ = 0;
};

enum class HandshakeStep : uint8_t {
  kIdle,        // nothing under way; msg1 at retry_at
  kAwaitMsg2,   // we sent msg1
  kAwaitProof,  // we answered with msg2; the session is installed and waits for the peer's first packet
};

struct Session {
  bool installed = false;
  std::array<uint32_t, core::kMaxCores> receive_index{};
  uint64_t said_incarnation = 0;  // of this node, in the HELLO that led to it
  UdpAddress address{};           // of the peer's core 0
};

struct alignas(core::kCacheLine) Link {
  // ---- liveness (liveness.cc): what a heartbeat concerns, in one line
  LinkId id = 0;
  int8_t active = -1;  // sessions[active] is sent with
  int8_t made = -1;    // sessions[made] waits for proof
  bool alive = false;
  bool missed = false;  // heartbeats are fast
  bool deaf = false;    // no core of the peer says any more that it hears us
  HandshakeStep step = HandshakeStep::kIdle;
  Nanos heard{};
  Nanos heard_by_peer{};  // when a core of the peer last said so; or when the session began
  Nanos active_since{};
  Nanos sampled{};  // the newest sample in rtt
  RoundTrip rtt;

  core::NodeId node{};
  UdpAddress configured{};  // of the peer's core 0

  // ---- handshake (handshake.cc)
  std::unique_ptr<Handshake> handshake;
  std::optional<std::array<uint8_t, 32>> key{};  // to which our msg1 is written, where it is known
  Nanos retry_at{};                              // send msg1 (again)
  Nanos retry_interval{};
  Nanos rekey_at = core::kNever;  // the session's keys are to be replaced then
  Nanos sent_at{};                // when `message` was last sent
  Nanos exchange_at{};            // when the exchange under way began
  uint32_t sends = 0;             // of this exchange's msg1
  uint64_t peer_msg1 = 0;      // hash of the msg1 that `message` answers: a repetition gets the same answer
  bool answer_proven = false;  // the peer has used it
  Session sessions[2];
  Nanos old_until{};  // the replaced session is removed then; 0: there is none
  // Which msg1 of the peer is no copy: the least order (Handshake::Read::order), of the incarnation that
  // numbered it.
  uint64_t order = 0;
  uint64_t ordered_incarnation = 0;
  uint64_t made_incarnation = 0;
  uint8_t made_cores = 0;
  bool incompatible = false;
  bool told = false;  // the log has what `text` says
  Nanos log_at{};     // from then on the log hears of the peer again
  Nanos heed_at{};    // from then on a refusal raises the incarnation again
  Nanos heed_each{};  //   twice as long each time
  Outcome incompatible_outcome = Outcome::config_mismatch;

  // ---- what is known of the peer (liveness.cc)
  Nanos since{};  // of the present LinkState
  LinkState shown = LinkState::kConnecting;
  uint64_t incarnation = 0;    // the highest seen
  Nanos excused_until{};       // until then it need not have heard us yet (activate_session)
  uint8_t cores = 0;           // of the peer
  bool continues = false;      // the session in use replaced only keys, on a link that was up
  bool foreign = false;        // without rules.versions: no version in common, and up all the same
  bool lease_over = false;     // silent for so long that what it said and asked no longer counts
  PeerHealth health;           // what came of our requests
  uint32_t roles = kAllRoles;  // what the certificate of the session in use allows it (roles.cc)
  uint32_t roles_missed = 0;   // those of the others that it has tried to use in this session

  // ---- control (pump.cc)
  explicit Link(uint32_t window) : stream(window) {}
  ControlStream stream;
  Nanos flushed_at{};           // when it was last flushed
  uint32_t session = 0;         // counts activations
  uint32_t view = 0;            // counts streams of the peer; what it says is stamped with it
  uint32_t view_valid = 0;      // what is stamped lower is no longer true
  bool view_complete = false;   // the peer has announced all it has since its stream began
  ListHead asks;                // requests to this peer, in the order of sending; unsent ones last
  uint32_t next_ask = kNil;     // the first one not sent in this session
  ListHead releases;            // asks to be released
  ListHead serves;              // this peer's requests that we serve, oldest view first
  ListHead serve_work;          // serves with something to say or to do
  ListHead locations;           // what it announced, oldest view first
  ListHead hints;               // locations that name it without its word
  uint32_t next_change = kNil;  // the first publication it has not been told of
  bool untold = false;          // the end of a track was forgotten before the peer was told
  bool snapshot_due = false;    // SnapshotEnd is to be sent
  uint8_t busy_count = 0;
  uint32_t news_from = kNil;  // asks from here on are to be looked at again: the link's state changed
  uint32_t news_location = kNil, news_hint = kNil;

  // ---- what is large and seldom looked at, apart from the rest
  std::array<uint64_t, 32> busy{};  // requests refused for want of a record: answered BUSY
  // Requests of this session that are over. With their tracks: a peer that came back from a snapshot gives
  // the ids of its former life again.
  struct EndedRequest {
    uint64_t id = 0;
    core::TrackId track{};
    bool operator==(const EndedRequest&) const = default;
  };
  std::array<EndedRequest, 16> ended{};
  uint8_t ended_next = 0;
  uint16_t message_length = 0;
  std::array<uint8_t, kMaxFrameBytes> message{};  // the datagram to repeat: msg1 or msg2
  std::array<char, 192> text{};                   // incompatible: why
  RoleText role_text{};  // why it refused a request in this session, or its OK was refused, for a role

  bool can_ask() const { return alive && !incompatible; }
};

// All links, and which of them a step has to look at: those that somebody could have changed, because he got
// them for writing, and those whose time has come. So a step costs what it touches, not what there is;
// reading goes through a const reference and costs nothing.
class Links {
 public:
  void reserve(size_t n) {
    links_.reserve(n);
    due_.reserve(n);
    touched_.resize(n / 64 + 1);
  }
  Link& emplace_back(uint32_t window) {
    due_.push_back({});
    return links_.emplace_back(window);
  }
  size_t size() const { return links_.size(); }
  Link& operator[](size_t i) {
    touch(i);
    return links_[i];
  }
  const Link& operator[](size_t i) const { return links_[i]; }
  auto begin() {
    for (size_t i = 0; i < size(); ++i) touch(i);
    return links_.begin();
  }
  auto end() { return links_.end(); }
  auto begin() const { return links_.begin(); }
  auto end() const { return links_.end(); }

  // ---- for the step
  bool touched(size_t i) const { return (touched_[i / 64] >> i % 64 & 1) != 0; }
  void touch(size_t i) { touched_[i / 64] |= uint64_t{1} << i % 64; }
  // For who changes nothing that the step would have to look at.
  Link& untouched(size_t i) { return links_[i]; }
  // When link `i` must be looked at again if nobody touches it: for its silence, and for all else.
  void set_due(size_t i, Nanos quiet, Nanos other) { due_[i] = {quiet, other}; }
  void set_quiet_due(size_t i, Nanos quiet) { due_[i].quiet = quiet; }
  Nanos quiet_due(size_t i) const { return due_[i].quiet; }
  Nanos due(size_t i) const { return std::min(due_[i].quiet, due_[i].other); }
  void untouch_all() { std::fill(touched_.begin(), touched_.end(), 0); }

 private:
  struct Due {
    Nanos quiet{}, other{};
  };
  std::vector<Link> links_;
  std::vector<Due> due_;
  std::vector<uint64_t> touched_;  // one bit each
};

}  // namespace trunkline::relay::mesh
