// SessionTable: the sessions a data core receives on and sends with.
//
// The idea: a datagram's session index names the slot, so a look-up is an array access and one full compare.
// Each link has at most one *active* session, the one it sends with; a newer one is installed beside it,
// receives at once, and takes over when the mesh thread says so, so a re-key loses nothing.
//
// Per session and peer core (a lane) there is a send counter and a replay window; both belong to this data
// core alone. Nonces never repeat: a counter only grows while its keys live, and install() brings new keys.
//
// Memory: 2 x max_peers slots of about 900 bytes, and 16 windows of 1 KiB each that are touched when used.
#pragma once

#include <memory>
#include <vector>

#include "core/cacheline.h"
#include "relay/config.h"
#include "relay/core_link.h"
#include "relay/crypto.h"
#include "relay/lazy_array.h"
#include "relay/replay_window.h"
#include "relay/wire.h"

namespace trunkline::relay {

// One core of the peer: what is sent to it, and what it was heard to say (relay/liveness.h).
struct SessionLane {
  uint64_t send_counter = 0;
  uint64_t heard = 0;           // datagrams
  uint64_t newest_sent_us = 0;  // of its heartbeats; 0: none
  Nanos newest_arrival{};
  uint32_t peer_index = 0;
  uint16_t peer_port = 0;
};

// What a datagram touches comes first: a heartbeat there or back costs these two lines and a lane's.
struct alignas(core::kCacheLine) Session {
  enum class State : uint8_t { kFree, kInstalled, kActive };

  State state = State::kFree;
  uint8_t peer_cores = 0;
  LinkId link = 0;
  uint32_t slot = 0;
  uint32_t receive_index = 0;
  // Evidence for the mesh thread.
  bool heard_anything = false;
  bool report_due = false;    // something was heard that the board does not show
  bool pressing = false;      // and the mesh thread is to be told, not left to look
  bool worn = false;          // the mesh thread knows that its keys are to be replaced
  bool continues = false;     // what was heard on the one before counts: it was between the same lives
  bool peer_is_deaf = false;  // the newest heartbeat says that the peer does not hear us
  uint32_t rtt_sample_us = 0;
  SessionCrypto* crypto = nullptr;
  Nanos last_heard{};
  Nanos heard_by_peer{};  // arrival of the newest heartbeat that says that the peer hears us
  Nanos sampled{};        // when rtt_sample_us was measured; 0: not yet
  uint32_t peer_heard_age_us = kNothingHeard;

  UdpAddress peer_address{};
  std::array<SessionLane, core::kMaxCores> lanes{};
  uint32_t rtt_us = 0;    // smoothed (RFC 6298: 7/8 old, 1/8 new)
  bool reported = false;  // last_report means something
  Nanos last_report{};

  UdpAddress address_of(CoreId core) const noexcept {
    UdpAddress to = peer_address;
    if (core.value != 0) to.port = lanes[core.value].peer_port;
    return to;
  }
};

class SessionTable {
 public:
  // Makes one SessionCrypto per slot: the only allocations.
  SessionTable(uint32_t max_peers, CoreId core, Crypto& crypto);

  // Commands of the mesh thread; false when they name a slot or link beyond the limits.
  bool install(const SessionInstall& install) noexcept;
  bool activate(uint32_t slot, bool continues) noexcept;
  bool remove(uint32_t slot) noexcept;

  // The session that a datagram's index stands for; nullptr when it is not one of ours.
  Session* find(uint32_t session_index) noexcept {
    const uint32_t slot = SessionIndex::slot(session_index);
    if (slot >= sessions_.size()) return nullptr;
    Session& s = sessions_[slot];
    return s.state != Session::State::kFree && s.receive_index == session_index ? &s : nullptr;
  }
  // The session that `link` sends with; nullptr: none.
  Session* active(LinkId link) noexcept {
    if (link >= active_.size()) return nullptr;
    const uint16_t slot_plus_1 = active_[link];
    return slot_plus_1 == 0 ? nullptr : &sessions_[slot_plus_1 - 1u];
  }
  // Something of this session is opened soon, or sent.
  void prefetch(uint32_t slot) const noexcept {
    if (slot >= sessions_.size()) return;
    core::prefetch(&sessions_[slot], 2 * core::kCacheLine);
    core::prefetch(&windows_[slot], 2 * core::kCacheLine);
    core::prefetch_line(cryptos_[slot].get());
  }
  // Something is sent on this link soon.
  void prefetch_link(LinkId link) const noexcept {
    if (link < active_.size() && active_[link] != 0)
      core::prefetch(&sessions_[active_[link] - 1u], 2 * core::kCacheLine);
  }
  Session& at(uint32_t slot) noexcept { return sessions_[slot]; }
  // When the peer was last heard, on this session or on the one that it replaced, which the peer speaks on
  // until it knows. 0: never.
  Nanos last_heard(const Session& session) const noexcept {
    if (session.heard_anything) return session.last_heard;
    const Session& before = sessions_[session.slot ^ 1];
    const bool counts = session.continues && before.state != Session::State::kFree &&
                        before.link == session.link && before.heard_anything;
    return counts ? before.last_heard : Nanos{};
  }
  // Contract: lane < kMaxCores.
  LaneReplayWindow& window(const Session& session, uint8_t lane) noexcept {
    return windows_[lane * sessions_.size() + session.slot];  // those in use lie side by side
  }

  uint32_t slots() const noexcept { return static_cast<uint32_t>(sessions_.size()); }
  uint32_t links() const noexcept { return static_cast<uint32_t>(active_.size()); }

 private:
  CoreId core_;
  Crypto& crypto_;
  std::vector<std::unique_ptr<SessionCrypto>> cryptos_;
  std::vector<Session> sessions_;
  std::vector<uint16_t> active_;  // by link: slot + 1
  LazyArray<LaneReplayWindow> windows_;
};

}  // namespace trunkline::relay
