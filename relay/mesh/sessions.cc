// The sessions of a link: installed by a handshake to be received on, activated when both ends have the keys,
// removed when what was under way on them must have arrived.
#include <algorithm>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

namespace {

constexpr Nanos kLongestRoundTrip = core::from_s(1);  // over any wire, where none was measured
constexpr Nanos kShortest = core::from_ms(20);        // a measured one may have been a lucky one
constexpr Nanos kOldSession = core::from_s(1);        // a replaced session still receives what was under way

}  // namespace

uint32_t MeshState::prepare_session(Link& l, Hello& hello) {
  const uint32_t parity = l.active == 0 ? 1 : 0;
  // What was replaced and still received goes now: its place is needed.
  if (l.sessions[parity].installed) remove_session(l, static_cast<int8_t>(parity));
  l.sessions[parity].said_incarnation = hello.incarnation;
  hello.core_count = static_cast<uint8_t>(cores);
  for (uint32_t k = 0; k < cores; ++k) {
    const CoreId core{static_cast<uint8_t>(k)};
    const uint32_t index =
        SessionIndex::make(core, uint32_t{l.id} * 2 + parity, static_cast<uint16_t>(rng.next()));
    l.sessions[parity].receive_index[k] = index;
    hello.cores[k] = {ports[k], index};
  }
  return parity;
}

void MeshState::install_session(Link& l, int8_t parity, const Hello& theirs, const SessionKeys& keys,
                                const UdpAddress& address) {
  Session& session = l.sessions[parity];
  session.installed = true;
  session.address = address;
  l.foreign = common_version(make_hello(config, incarnation), theirs) == 0;
  CoreCommand c;
  c.kind = CoreCommandKind::kSessionInstall;
  c.session.slot = uint32_t{l.id} * 2 + static_cast<uint32_t>(parity);
  c.session.link = l.id;
  c.session.keys = keys;
  c.session.peer_address = address;
  c.session.peer_cores = theirs.core_count;
  for (uint32_t k = 0; k < theirs.core_count; ++k) {
    c.session.peer_ports[k] = theirs.cores[k].port;
    c.session.peer_indexes[k] = theirs.cores[k].receive_index;
  }
  for (uint32_t k = 0; k < cores; ++k) {
    c.session.receive_index = session.receive_index[k];
    command(CoreId{static_cast<uint8_t>(k)}, c);
  }
}

void MeshState::remove_session(Link& l, int8_t parity) {
  if (parity == l.active || !l.sessions[parity].installed) return;
  l.sessions[parity].installed = false;
  l.peer_msg1 = 0;  // the answer that led to it must not be repeated
  // Which of the two was replaced: the one that is not used, where none is made in its place.
  if (l.active >= 0 || !l.sessions[1 - parity].installed) l.old_until = Nanos{0};
  CoreCommand c;
  c.kind = CoreCommandKind::kSessionRemove;
  c.slot = uint32_t{l.id} * 2 + static_cast<uint32_t>(parity);
  command_all(c);
}

// `first_word`: how long the peer's first packet on it may take to arrive. An exchange with lost messages
// takes longer than a round trip: patience for one, not for the exchange.
void MeshState::activate_session(Link& l, int8_t parity, uint64_t peer_incarnation, uint8_t peer_cores,
                                 Nanos first_word) {
  l.continues = l.alive && peer_incarnation == l.incarnation;
  CoreCommand c;
  c.kind = CoreCommandKind::kSessionActivate;
  c.slot = uint32_t{l.id} * 2 + static_cast<uint32_t>(parity);
  c.continues = l.continues;
  command_all(c);
  if (l.active >= 0) l.old_until = now + std::max(kOldSession, l.rtt.smoothed() * 2);
  l.active = parity;
  l.made = -1;
  l.active_since = now;
  // One end begins, and the other if that one does not. A peer that was told of an incarnation that this node
  // has given up is told at once: later, what it has from here then would end for nothing.
  const Nanos keys_live = config.link.rekey + (config.id < l.node ? Nanos{0} : config.link.rekey / 8);
  l.rekey_at = l.sessions[parity].said_incarnation == incarnation ? now + keys_live : now;
  const Nanos round_trip = l.rtt.known() ? std::max(l.rtt.patience(), kShortest) : kLongestRoundTrip;
  first_word = std::min(first_word, round_trip);
  // None where the peer spoke until now, and goes on on the old session until it hears of the new one.
  l.heard = l.continues ? now : now + first_word;
  l.deaf = false;
  l.cores = peer_cores;
  // To hear a first word and to say so: a round trip, and two heartbeats and a bit in case one is lost. Twice
  // as long where the confirm has yet to reach the peer, and may have to be asked for again.
  const bool confirmed = l.continues || first_word.ns == 0;
  const Nanos answer = confirmed ? l.rtt.patience() : std::max(l.rtt.smoothed(), first_word) * 2;
  l.heard_by_peer = now;
  l.excused_until = now + answer + config.link.heartbeat * 12 / 5;
  // Everything is said anew. What the peer said before counts until its new view is complete, unless it is
  // another incarnation: that one has nothing of the old.
  ++l.session;
  ++l.view;
  l.view_complete = false;
  take_roles(l);
  l.stream.reset();
  l.next_ask = l.asks.first;
  l.next_change = changes.first;
  l.snapshot_due = true;
  l.untold = false;
  l.ended = {};
  l.busy_count = 0;
  if (peer_incarnation != l.incarnation) {
    if (l.incarnation != 0) {
      counters.add(MeshCounter::peers_reborn);
      if (may_log(l)) {
        log(LogLevel::kInfo, "node %llu is a new incarnation", static_cast<unsigned long long>(l.node.value));
      }
    }
    l.incarnation = peer_incarnation;
    l.health.forget();
    l.view_valid = l.view;
  }
  l.incompatible = false;
  l.text = {};
  l.missed = true;  // so that the pace is set
  pace(l, false);
  set_alive(l, true);
  show_state(l);
  link_news(l);
}

}  // namespace trunkline::relay::mesh
