// SessionTable's commands; see relay/session_table.h. All of this is control path: a few times per link and
// hour. What runs per datagram is inline in the header.
#include "relay/session_table.h"

#include <algorithm>

namespace trunkline::relay {

SessionTable::SessionTable(uint32_t max_peers, CoreId core, Crypto& crypto)
    : core_(core),
      crypto_(crypto),
      sessions_(std::min(2 * max_peers, kMaxSessions)),
      active_(max_peers),
      windows_(sessions_.size() * core::kMaxCores, Contents::kUnwritten) {  // install() begins each anew
  cryptos_.reserve(sessions_.size());
  for (uint32_t i = 0; i < sessions_.size(); ++i) cryptos_.push_back(crypto.make_session());
}

bool SessionTable::install(const SessionInstall& from) noexcept {
  if (from.slot >= sessions_.size() || from.link >= active_.size() || from.peer_cores == 0 ||
      from.peer_cores > core::kMaxCores || SessionIndex::slot(from.receive_index) != from.slot ||
      SessionIndex::core(from.receive_index) != core_.value) {
    return false;
  }
  remove(from.slot);
  Session& s = sessions_[from.slot];
  s = Session{};
  s.state = Session::State::kInstalled;
  s.peer_cores = from.peer_cores;
  s.link = from.link;
  s.slot = from.slot;
  s.receive_index = from.receive_index;
  s.peer_address = from.peer_address;
  for (uint8_t lane = 0; lane < s.peer_cores; ++lane) {
    s.lanes[lane].peer_port = from.peer_ports[lane];
    s.lanes[lane].peer_index = from.peer_indexes[lane];
  }
  s.crypto = cryptos_[from.slot].get();
  crypto_.key_session(*s.crypto, from.keys);
  for (uint8_t lane = 0; lane < s.peer_cores; ++lane) window(s, lane) = LaneReplayWindow{};
  return true;
}

bool SessionTable::activate(uint32_t slot, bool continues) noexcept {
  if (slot >= sessions_.size() || sessions_[slot].state == Session::State::kFree) return false;
  Session& s = sessions_[slot];
  if (Session* old = active(s.link); old != nullptr) old->state = Session::State::kInstalled;
  s.state = Session::State::kActive;
  s.continues = continues;
  active_[s.link] = static_cast<uint16_t>(slot + 1);
  return true;
}

bool SessionTable::remove(uint32_t slot) noexcept {
  if (slot >= sessions_.size()) return false;
  Session& s = sessions_[slot];
  if (s.state == Session::State::kActive) active_[s.link] = 0;
  if (s.state != Session::State::kFree) crypto_.forget_session(*s.crypto);
  s.state = Session::State::kFree;
  return true;
}

}  // namespace trunkline::relay
